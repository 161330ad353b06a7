"""Rewriting a branch that others rewrite too: compare-and-swap on an edit, not on a text.

The edit is made anew on every tip that is found, so nobody's change is lost and nothing is merged.
Waiting uses full jitter (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), and
a deadline rather than a number of attempts ends it: in a burst, a fixed small number fails most writers.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import tenacity

from pipegraft.core.errors import (
    DeliveryRefused,
    Locked,
    PipegraftError,
    TipMoved,
    Unreachable,
    UsageError,
)
from pipegraft.iac.ports import CommitFiles, Edited, Files, IacBatch, IacRepository

__all__ = ["Batch", "Change", "Changes", "Read", "Rewritten", "rewrite", "rewrite_all"]

T = TypeVar("T")


_RANDOM = random.SystemRandom()
_SHORTEST = 0.05
_LONGEST = 10.0
"""Seconds that an attempt takes, as far as nobody knows better."""
_REMAINING = 0.7
"""The share of writers who have not got through by the end of a window."""
_WRITERS = 64
"""How many writers at once can still find room for one attempt each between two of ours."""


class BatchRepository(IacRepository, IacBatch, Protocol):
    """A branch that takes several commits at once."""


Read = Files
"""The files at the tip this attempt works on."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What one commit does.

    Arguments:
        files: path → new text, None to delete the file.
        message: the whole commit message.
    """

    files: Mapping[str, str | None]
    message: str


Change = Callable[[Read], Changes | None]
"""The edit: reads what it needs and says what to write, or None if there is nothing to do.

Called again on every new tip, so it must depend on nothing but what it reads; what it raises ends
the rewriting with nothing written.
"""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """How a rewriting ended.

    Arguments:
        commit: the new commit, or the tip at which there was nothing to do.
        written: whether there is a new commit.
        attempts: how often the edit was made.
    """

    commit: str
    written: bool
    attempts: int


@dataclass(frozen=True, slots=True)
class Batch:
    """How several edits ended that were written with one push.

    Arguments:
        tip: where they were made.
        commits: number of the edit → its commit; those with nothing to do have none.
        refused: number of the edit → why it was not made.
        attempts: how often the edits were made.
    """

    tip: str
    commits: Mapping[int, str]
    refused: Mapping[int, PipegraftError]
    attempts: int


def rewrite(
    repository: IacRepository,
    change: Change,
    *,
    deadline: float = 900.0,
    patience: float = 20.0,
    notice: Callable[[str], None] = lambda _reason: None,
) -> Rewritten:
    """Make an edit on the tip of a branch, however often others move it.

    Arguments:
        repository: the branch.
        change: the edit.
        deadline: seconds after which a branch that keeps moving is given up.
        patience: seconds of no answer, or of a lock nobody lets go of, after which to give up.
        notice: told before each wait why it is necessary.

    Raises:
        TipMoved: the branch kept moving until the deadline.
        Locked, Unreachable: no progress for `patience` seconds.
        PipegraftError: whatever the edit or the repository raises beside these; nothing was written.
    """

    def attempt(tip: str, attempts: int) -> Rewritten:
        held = CommitFiles(repository, tip)
        wanted = change(held)
        files = _differing(wanted, held)
        if wanted is None or not files:
            return Rewritten(tip, written=False, attempts=attempts)
        return Rewritten(repository.commit(files, wanted.message, tip), written=True, attempts=attempts)

    return _persist(repository, attempt, _Waiting(deadline, patience, notice))


def rewrite_all(
    repository: BatchRepository,
    changes: Sequence[Change],
    *,
    deadline: float = 900.0,
    patience: float = 20.0,
    notice: Callable[[str], None] = lambda _reason: None,
) -> Batch:
    """Make several edits, each a commit of its own and all in one push; arguments as for `rewrite`.

    Each edit reads what those before it wrote. One that is refused does not stop the others.

    Raises:
        OutsideError: as `rewrite`; nothing was written.
    """

    def attempt(tip: str, attempts: int) -> Batch:
        held: dict[str, str | None] = {}
        read = Edited(CommitFiles(repository, tip), held)
        wanted: dict[int, tuple[Mapping[str, str | None], str]] = {}
        refused: dict[int, PipegraftError] = {}
        for number, change in enumerate(changes):
            try:
                made = change(read)
            except (DeliveryRefused, UsageError) as error:
                refused[number] = error
                continue
            files = _differing(made, read)
            if made and files:
                wanted[number] = (files, made.message)
                held |= files
        names = repository.commit_all(list(wanted.values()), tip) if wanted else []
        return Batch(tip, dict(zip(wanted, names, strict=True)), refused, attempts)

    return _persist(repository, attempt, _Waiting(deadline, patience, notice))


def _differing(wanted: Changes | None, read: Read) -> dict[str, str | None]:
    files = {} if wanted is None else wanted.files
    return {path: text for path, text in files.items() if text != read(path)}


@dataclass(slots=True)
class _Waiting:
    """Whether to try again, and after how long.

    A burst makes the server slow, so what the last attempt took spreads the writers at once. Once they are
    spread the server is quick again, while most of them still wait: the window shrinks as they get fewer.
    What follows is counted in attempts of the shortest kind seen: a server's slow minute must not become a
    wait of an hour for the last ones, who have it to themselves.

    Arguments:
        deadline: as for `rewrite`.
        patience: as for `rewrite`.
        notice: as for `rewrite`.
    """

    deadline: float
    patience: float
    notice: Callable[[str], None]
    attempts: int = 0
    tip: str = ""
    began: float = field(default_factory=time.monotonic)
    still_since: float = field(default_factory=time.monotonic)
    shortest: float = _LONGEST
    window: float = 0.0

    def begin(self, tip: str) -> int:
        """Note that an attempt begins, and where: while a branch moves, somebody gets through.

        Returns:
            How many attempts that makes.
        """
        self.attempts += 1
        if tip != self.tip:
            self.tip, self.still_since = tip, self.began
        return self.attempts

    def worthwhile(self, error: BaseException) -> bool:
        """Whether another attempt may succeed."""
        if isinstance(error, TipMoved):
            return True
        waited = time.monotonic() - self.still_since
        return isinstance(error, (Locked, Unreachable)) and waited < self.patience

    def seconds(self, state: tenacity.RetryCallState) -> float:
        """Until the next attempt, with full jitter; the last one is made when the deadline comes."""
        spent = max(time.monotonic() - self.began, _SHORTEST)
        self.shortest = min(self.shortest, spent)
        grown = self.shortest * min(2.0 ** min(self.attempts, 16), _WRITERS)
        self.window = max(2.5 * spent, _REMAINING * self.window, grown)
        left = self.deadline - (state.seconds_since_start or 0.0)
        return min(_RANDOM.uniform(0, self.window), max(left, 0.0))

    def tell(self, state: tenacity.RetryCallState) -> None:
        """Say why it is necessary to wait."""
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, PipegraftError):
            self.notice(error.problem.message)


def _persist(repository: IacRepository, attempt: Callable[[str, int], T], waiting: _Waiting) -> T:
    """Attempt again on each new tip, until one holds or it is time to give up."""
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(waiting.worthwhile),
        wait=waiting.seconds,
        stop=tenacity.stop_after_delay(waiting.deadline),
        before_sleep=waiting.tell,
        reraise=True,
    )
    for tried in attempts:
        with tried, repository.turn():
            waiting.began = time.monotonic()
            tip = repository.tip()
            return attempt(tip, waiting.begin(tip))
    raise AssertionError("an attempt returns or raises")
