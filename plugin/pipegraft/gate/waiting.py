"""Waiting until a GitOps engine has a revision live and healthy, or it is known that it will not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipegraft.core.errors import AccessDenied, OutsideError, PipegraftError, SyncFailed, Unreachable
from pipegraft.core.ports import Clock, Event, Progress
from pipegraft.core.reading import readable
from pipegraft.gate.ports import GitOpsEngine, RunImage, State, Verdict, VerdictRule
from pipegraft.iac.ports import IacHistory
from pipegraft.iac.released_images import Reference, same_repository

__all__ = ["Patience", "Waited", "follow_revision", "wait_for_revision"]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_GROWTH = 1.3
_SYNC_AGAIN = 30.0
"""Seconds after which the engine is asked once more to look: the first request may have been lost."""
_DENIED_AT_FIRST, _DENIED_LATER = 1.0, 30.0
"""Seconds a refusal must last: rights that are missing stay so, a server that starts refuses for a moment."""
_SILENT_AT_FIRST = 60.0
"""Seconds an engine that has never answered is given: a wrong address stays wrong, a restart is shorter."""
_NAMED_AFTER = 60.0
"""Seconds of the same wait after which all that is known of it is told."""
_SKIPPED_AFTER = 10.0
"""Seconds after which an old image is no longer one whose successor is about to be seen."""
_UNKNOWN_AGAIN = 5.0
"""Seconds after which the history is asked again about a commit that did not contain the target."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait.

    Arguments:
        timeout: seconds until waiting ends.
        settle: seconds success must hold without a break, seen by two looks at least that far apart. The
            second one reads everything anew: what tells of changes may be behind for one kind alone.
        suspended: wait while the engine waits for a person.
    """

    timeout: float = 600.0
    settle: float = 0.0
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Waited:
    """How waiting ended.

    Arguments:
        verdict: the last one; None if the engine never answered.
        seconds: how long it took.
        phases: seconds until the engine had ``seen`` the target, had it ``live``, and the gate ``ended``.
        error: why it did not succeed.
    """

    verdict: Verdict | None
    seconds: float
    phases: Mapping[str, float] = field(default_factory=dict)
    error: PipegraftError | None = None


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
    """Wait until `target`, or a commit that contains it, is live; see `follow_revision`.

    Raises:
        SyncFailed: the engine reports a failure, or is blocked or suspended, or the time is over.
        OutsideError: the engine does not answer, or refuses.
        UsageError: it does not know the application.
    """
    waited = follow_revision(
        engine, rule, history=history, target=target, patience=patience, clock=clock, progress=progress
    )
    if waited.error:
        raise waited.error
    return waited


def follow_revision(
    engine: GitOpsEngine,
    rule: VerdictRule,
    *,
    history: IacHistory,
    target: str,
    patience: Patience,
    clock: Clock,
    progress: Progress,
    objection: Callable[[str], str | None] = lambda _revision: None,
    released: Sequence[str] = (),
) -> Waited:
    """Wait until `target`, or a commit that contains it, is live, or it is known that it will not be.

    Arguments:
        rule: reads the engine's status.
        history: knows which commits contain the target.
        objection: why a commit that contains the target is not what we wait for: it takes it back.
        released: the images that must run, ``repository[:tag]@digest``: what an engine calls applied may
            have been skipped.
    """
    watch = _Watch(
        engine, rule, patience=patience, clock=clock, progress=progress, target=target, released=released
    )
    at_target = _memory(lambda revision: history.contains(target, at=revision), clock)

    def is_ours(revision: str) -> bool:
        if not at_target(revision):
            return False
        why = objection(revision) if revision != target else None
        if why:
            raise SyncFailed(why)
        watch.phases.setdefault("seen", clock.now() - watch.started)
        return True

    for _ in _looks(watch, engine, clock, patience.timeout):
        ended = watch.look(is_ours)
        if ended:
            return ended
    return watch.too_late()


class _Watch:
    """One wait, from look to look."""

    def __init__(
        self,
        engine: GitOpsEngine,
        rule: VerdictRule,
        *,
        patience: Patience,
        clock: Clock,
        progress: Progress,
        target: str,
        released: Sequence[str],
    ) -> None:
        self._engine = engine
        self._rule = rule
        self._patience = patience
        self._clock = clock
        self._progress = progress
        self._target = target
        self._released = released
        self._skipped_since: float | None = None
        self._told: Event | None = None
        self._verdict: Verdict | None = None
        self._trouble: OutsideError | None = None
        self._denied_since: float | None = None
        self._succeeded: float | None = None
        self._waits: tuple[Verdict | None, float] = (None, 0.0)
        self.started = clock.now()
        self.phases: dict[str, float] = {}

    @property
    def settles_in(self) -> float | None:
        """Seconds for which the success that was seen must still hold; None if none was."""
        if self._succeeded is None:
            return None
        return max(0.0, self._succeeded + self._patience.settle - self._clock.now())

    def look(self, at_target: Callable[[str], bool]) -> Waited | None:
        """Look once; how it ended, if it did."""
        now = self._clock.now()
        settled = self._succeeded is not None and now - self._succeeded >= self._patience.settle
        try:
            with readable("the GitOps engine"):
                found = self._compared(self._rule(self._engine.observe(anew=settled), at_target))
        except OutsideError as error:
            return self._failed(error)
        except PipegraftError as error:  # a wrong name, or the target was taken back: known for good
            return self.end(error)
        self._verdict, self._trouble, self._denied_since = found, None, None
        self.tell(_event(found, self._target))
        if found.state is State.PROGRESSING or (found.state is State.SUSPENDED and self._patience.suspended):
            self._succeeded = None
            self._name(found)
            return None
        if found.state is not State.SUCCEEDED:
            return self.end(Unreachable(_words(found)) if found.outside else None)
        if self._succeeded is None:
            self._succeeded = self._clock.now()
        self.phases["live"] = self._succeeded - self.started
        return self.end(None) if settled else None

    def _compared(self, found: Verdict) -> Verdict:
        """A success only if the images of the release run where the engine has applied it."""
        if found.state is not State.SUCCEEDED or found.images is None:
            self._skipped_since = None
            return found
        held = _held(found.images, self._released)
        if held:
            return replace(found, state=State.BLOCKED, reason=held)
        behind = tuple(_behind(found.images, self._released))
        if not behind:
            self._skipped_since = None
            known = dict.fromkeys(one.held for one in found.images if one.held)
            return replace(found, evidence=(*found.evidence, *known, *_unseen(found.images, self._released)))
        now = self._clock.now()
        self._skipped_since = now if self._skipped_since is None else self._skipped_since
        lasts = now - self._skipped_since >= _SKIPPED_AFTER
        how = f"the engine reports success ({found.reason}), and left this as it was"
        state = State.BLOCKED if lasts else State.PROGRESSING
        return replace(found, state=state, reason=behind[0], evidence=(how, *behind[1:]))

    def _name(self, found: Verdict) -> None:
        """Tell all that is known of a wait that lasts, once."""
        now = self._clock.now()
        known, since = self._waits
        if known is None or (known.state, known.reason) != (found.state, found.reason):
            self._waits = (found, now)
        elif now - since >= _NAMED_AFTER:
            self._waits = (found, float("inf"))
            told = replace(found, evidence=(*found.evidence, *self._engine.explain()))
            self._progress.emit(Event("warning", f"{_NAMED_AFTER:g} s of {_words(told)}", self._target))

    def tell(self, event: Event) -> None:
        """Report something, once until something else is."""
        if event != self._told:
            self._progress.emit(event)
            self._told = event

    def end(self, error: PipegraftError | None) -> Waited:
        """The result, with what more is known if it is a bad one."""
        verdict = self._verdict
        if verdict and (error or verdict.state is not State.SUCCEEDED):
            verdict = replace(verdict, evidence=(*verdict.evidence, *self._engine.explain()))
            error = error or SyncFailed(_words(verdict))
        seconds = self._clock.now() - self.started
        return Waited(verdict, seconds, {**self.phases, "ended": seconds}, error)

    def too_late(self) -> Waited:
        """The result when the time is over."""
        if self._trouble:
            return self.end(self._trouble)
        within = f"{self._target[:12]} was not live within {self._patience.timeout:g} s"
        fix = "look at what is named above, or raise 'gate.timeout'"
        ended = self.end(SyncFailed(within, fix=fix))
        reached = _words(ended.verdict) if ended.verdict else "nothing was seen"
        return replace(ended, error=SyncFailed(f"{within}; at the end it was {reached}", fix=fix))

    def _failed(self, error: OutsideError) -> Waited | None:
        """The engine could not be asked; a refusal that lasts ends the wait, and silence from the start."""
        self._trouble, self._succeeded = error, None
        self.tell(Event("warning", str(error), self._target))
        now = self._clock.now()
        if not isinstance(error, AccessDenied):
            self._denied_since = None
            silent = self._verdict is None and now - self.started >= _SILENT_AT_FIRST
            return self.end(error) if silent else None
        self._denied_since = now if self._denied_since is None else self._denied_since
        limit = _DENIED_AT_FIRST if self._verdict is None else _DENIED_LATER
        return self.end(error) if now - self._denied_since >= limit else None


def _looks(watch: _Watch, engine: GitOpsEngine, clock: Clock, timeout: float) -> Iterator[None]:
    """Once at once, then again after growing pauses, the last time when the time is over."""
    pause, asked = _FIRST_PAUSE, None
    while True:
        if asked is None or (clock.now() - asked >= _SYNC_AGAIN and watch.settles_in is None):
            try:
                engine.request_sync()
            except AccessDenied as error:
                watch.tell(Event("warning", f"the engine will look when it is due: {error}"))
                asked = clock.now()
            except PipegraftError:
                pass  # the look that follows finds out, and says so
            else:
                asked = clock.now()
        yield
        left = watch.started + timeout - clock.now()
        if left <= 0:
            return
        engine.wait(min(pause, left, pause if watch.settles_in is None else watch.settles_in))
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def _unseen(images: Sequence[RunImage], released: Sequence[str]) -> Iterator[str]:
    """Images of the release that no workload could be read of: that they run is the engine's word alone."""
    seen = [Reference.parse(one.image).repository for one in images]
    for ours in map(Reference.parse, released):
        if not any(same_repository(one, ours.repository) for one in seen):
            yield f"not compared with what runs: {ours}, which no workload that could be read has"


def _behind(images: Sequence[RunImage], released: Sequence[str]) -> Iterator[str]:
    """Workloads with another image of a repository that the release has one of.

    Only what is certain: nothing runs the image of the release, or the engine says that it skips these.
    """
    for ours in map(Reference.parse, released):
        mine = [
            one for one in images if same_repository(Reference.parse(one.image).repository, ours.repository)
        ]
        others = [one for one in mine if not _is_same(Reference.parse(one.image), ours)]
        for one in others:
            if one.skipped or len(others) == len(mine):
                why = f": {one.skipped}" if one.skipped else ""
                yield f"{one.workload} still runs {one.image}, not {ours} of this release{why}"


def _held(images: Sequence[RunImage], released: Sequence[str]) -> str:
    """Why a workload of the release keeps old pods; what others are told to keep is their own affair."""
    for ours in map(Reference.parse, released):
        for one in images:
            image = Reference.parse(one.image)
            if one.held and same_repository(image.repository, ours.repository) and _is_same(image, ours):
                return one.held
    return ""


def _is_same(image: Reference, ours: Reference) -> bool:
    """Whether an image may be ours: by its digest, or by its tag where ours is known."""
    if image.digest:
        return image.digest == ours.digest
    return not ours.tag or image.tag == ours.tag


def _memory(contains: Callable[[str], bool], clock: Clock) -> Callable[[str], bool]:
    """Remembers which commits contain the target; others may have been unknown, so only for a while."""
    known: dict[str, tuple[bool, float]] = {}

    def at_target(revision: str) -> bool:
        if not revision:
            return False
        answer, until = known.get(revision, (False, float("-inf")))
        if not answer and clock.now() >= until:
            answer = contains(revision)
            known[revision] = (answer, clock.now() + _UNKNOWN_AGAIN)
        return answer

    return at_target


def _event(seen: Verdict, target: str) -> Event:
    rows = [{"name": row.name, "state": str(row.state), "message": row.message} for row in seen.resources]
    data = {"state": str(seen.state), "evidence": list(seen.evidence), "resources": rows}
    return Event("verdict", f"{seen.state}: {seen.reason}", target, data)


def _words(verdict: Verdict) -> str:
    return "\n    ".join((f"{verdict.state}: {verdict.reason}", *verdict.evidence))
