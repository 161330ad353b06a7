"""Waiting until a GitOps engine has a revision live and healthy, or it is known that it will not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipegraft.errors import OutsideError, SyncFailed
from pipegraft.ports.clock import Clock
from pipegraft.ports.engine import GitOpsEngine, State, Verdict, VerdictRule
from pipegraft.ports.iac import IacHistory
from pipegraft.ports.progress import Event, Progress

__all__ = ["Patience", "Waited", "wait_for_revision"]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_GROWTH = 1.3
_SYNC_AGAIN = 30.0
"""Seconds after which the engine is asked once more to look: the first request may have been lost."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait.

    Arguments:
        timeout: seconds until waiting ends.
        settle: seconds success must hold without a break.
    """

    timeout: float = 600.0
    settle: float = 0.0


@dataclass(frozen=True, slots=True)
class Waited:
    """A success.

    Arguments:
        seconds: how long it took.
    """

    verdict: Verdict
    seconds: float


def wait_for_revision(
    engine: GitOpsEngine,
    rule: VerdictRule,
    *,
    history: IacHistory,
    target: str,
    patience: Patience,
    clock: Clock,
    progress: Progress,
) -> Waited:
    """Wait until `target`, or a commit that contains it, is live.

    Arguments:
        rule: reads the engine's status.
        history: knows which commits contain the target.

    Raises:
        SyncFailed: the engine reports a failure, or is blocked or suspended, or the time is over.
        OutsideError: the time is over and the engine does not answer.
    """
    started = clock.now()
    at_target = _memory(lambda revision: history.contains(target, at=revision))
    succeeded: float | None = None
    seen: Verdict | OutsideError | None = None
    told: Event | None = None
    for _ in _looks(engine, clock, started, patience.timeout):
        seen = _look(engine, rule, at_target)
        event = _event(seen, target)
        if event != told:
            progress.emit(event)
            told = event
        if isinstance(seen, OutsideError) or seen.state is State.PROGRESSING:
            succeeded = None
            continue
        if seen.state is not State.SUCCEEDED:
            raise SyncFailed(_words(seen))
        succeeded = clock.now() if succeeded is None else succeeded
        if clock.now() - succeeded >= patience.settle:
            return Waited(seen, clock.now() - started)
    raise _too_late(seen, target, patience)


def _looks(engine: GitOpsEngine, clock: Clock, started: float, timeout: float) -> Iterator[None]:
    """Once at once, then again after growing pauses, the last time when the time is over."""
    pause, asked = _FIRST_PAUSE, None
    while True:
        if asked is None or clock.now() - asked >= _SYNC_AGAIN:
            try:
                engine.request_sync()
            except OutsideError:
                pass  # the look that follows finds out, and says so
            else:
                asked = clock.now()
        yield
        left = started + timeout - clock.now()
        if left <= 0:
            return
        engine.wait(min(pause, left))
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def _memory(contains: Callable[[str], bool]) -> Callable[[str], bool]:
    """Asks the history once for each commit that contains the target; others may have been unknown yet."""
    known: set[str] = set()

    def at_target(revision: str) -> bool:
        if revision and revision not in known and contains(revision):
            known.add(revision)
        return revision in known

    return at_target


def _look(
    engine: GitOpsEngine, rule: VerdictRule, at_target: Callable[[str], bool]
) -> Verdict | OutsideError:
    try:
        return rule(engine.observe(), at_target)
    except OutsideError as error:
        return error


def _event(seen: Verdict | OutsideError, target: str) -> Event:
    if isinstance(seen, OutsideError):
        return Event("warning", str(seen), target)
    data = {"state": str(seen.state), "evidence": list(seen.evidence)}
    return Event("verdict", f"{seen.state}: {seen.reason}", target, data)


def _words(verdict: Verdict) -> str:
    return "\n    ".join((f"{verdict.state}: {verdict.reason}", *verdict.evidence))


def _too_late(
    last: Verdict | OutsideError | None, target: str, patience: Patience
) -> SyncFailed | OutsideError:
    if isinstance(last, OutsideError):
        return last
    reached = _words(last) if last else "nothing was seen"
    return SyncFailed(
        f"{target[:12]} was not live within {patience.timeout:g} s; at the end it was {reached}",
        fix="look at what is named above, or raise 'gate.timeout'",
    )
