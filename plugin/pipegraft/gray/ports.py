"""What gray releases need from outside: judges, sources of metrics, rollouts that a controller drives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pipegraft.core.delivery import Metric
from pipegraft.core.stage import Port
from pipegraft.gray.judgement import Answer, Evidence, Judgement, JudgePolicy
from pipegraft.gray.observation import ArmCounts, Observation

__all__ = [
    "BASELINE_METRICS",
    "JUDGE",
    "METRICS",
    "ROLLOUT",
    "Arms",
    "ConnectedRollout",
    "FakeJudge",
    "FakeRollout",
    "FakeSource",
    "Judge",
    "MetricRequest",
    "MetricSource",
    "PodSource",
    "RememberingSource",
    "Rollout",
    "RolloutPhase",
    "RolloutRule",
    "RolloutSeen",
    "RolloutVerdict",
    "metrics_port",
]


class Judge(Protocol):
    """Pure: keeps nothing between calls, so that any process can go on where another one stopped."""

    def __call__(self, policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
        """Judge a release by everything observed of it so far.

        Arguments:
            policy: what is expected.
            observations: every interval since gray got its first request, in order of time, those of
                earlier weights included. Called again after each new one.

        Returns:
            Inconclusive if there is nothing to judge by. Never passes a critical metric without data.
        """


JUDGE: Port[[str], Judge] = Port("judge")
"""The judge of an environment's gray releases."""


class FakeJudge:
    """Gives scripted answers, one a look, the last one for ever.

    Arguments:
        answers: what it says after the first observation, the second, …
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers

    def __call__(self, policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
        if not observations:
            return Judgement(Answer.INCONCLUSIVE, "nothing was observed yet", ())
        answer = self._answers[min(len(observations), len(self._answers)) - 1]
        evidence = tuple(
            Evidence(metric.name, answer, "as scripted", critical=metric.critical)
            for metric in policy.metrics
        )
        seconds = observations[-1].end - observations[0].start
        return Judgement(answer, "as scripted", evidence, seconds=seconds)


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """One metric of one environment, as a source is asked for it.

    Arguments:
        app: name of the application.
        environment: name of the environment.
        metric: what is to be measured; the keys that belong to the source are validated by it.
        root: folder of the source repository, for paths.
        baseline: whether fresh pods of the stable version are measured, too.
    """

    app: str
    environment: str
    metric: Metric
    root: Path
    baseline: bool = False


@dataclass(frozen=True, slots=True)
class Arms:
    """What both versions showed in one interval; None: there is no data.

    Arguments:
        stable: the version that serves now; while no gray release runs, everything that is served.
        gray: the version that is being released.
        weight: percent of the requests that the source itself saw meant for gray; None if it cannot tell.
        baseline: fresh pods of the stable version, if the request asked for them.
    """

    stable: ArmCounts | None = None
    gray: ArmCounts | None = None
    weight: float | None = None
    baseline: ArmCounts | None = None


class MetricSource(Protocol):
    """One metric."""

    def begin(self, at: float, now: float) -> float:
        """Start to count.

        Arguments:
            at: seconds since the epoch when what is to be observed began.
            now: the present.

        Returns:
            From when it counts: `at` for a source that remembers, `now` for one that does not.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused.
            UsageError: it does not know what it is asked for.
        """

    def take(self, until: float) -> Arms:
        """What was seen since the last call, of this or of `begin`.

        Arguments:
            until: the present.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused; nothing is lost for the next call.
        """


@runtime_checkable
class RememberingSource(MetricSource, Protocol):
    """A metric source that knows what was before anybody watched. Optional: sources need not be one."""

    def past(self, start: float, end: float) -> Arms:
        """What both versions showed in a time gone by; what `take` answers next is not changed.

        Arguments:
            start, end: seconds since the epoch.

        Returns:
            `errors` of an arm is None where nothing shows that its errors are counted at all: no series.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused.
            UsageError: it does not know what it is asked for.
        """


@runtime_checkable
class PodSource(MetricSource, Protocol):
    """A metric source that tells stable's pods apart. Optional, as `RememberingSource` is."""

    def pods(self, start: float, end: float, step: float) -> Sequence[Mapping[str, ArmCounts]]:
        """What each of stable's pods showed in a time gone by; what `take` answers next is not changed.

        Arguments:
            start, end: seconds since the epoch.
            step: length of an interval in seconds.

        Returns:
            Of each interval, oldest first, pod → what it showed; empty where pods cannot be told apart.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused.
            UsageError: it does not know what it is asked for.
        """


METRICS: Port[[str], Mapping[str, MetricSource]] = Port("metric-sources")
"""The sources of an environment's gray metrics, by the metric's name."""

BASELINE_METRICS: Port[[str], Mapping[str, MetricSource]] = Port("metric-sources-with-baseline")
"""The same that measure fresh pods of the stable version, too."""


def metrics_port(*, fresh: bool) -> Port[[str], Mapping[str, MetricSource]]:
    """The sources to open.

    Arguments:
        fresh: whether fresh pods of the stable version get requests: what is deployed decides that,
            delivery.yaml only what is deployed next.
    """
    return BASELINE_METRICS if fresh else METRICS


class FakeSource:
    """Shows scripted counts, one entry a look, the last one for ever.

    Arguments:
        script: what each interval showed; an exception is raised.
        remembers: whether it can look back.
    """

    def __init__(self, script: Sequence[Arms | Exception], *, remembers: bool = False) -> None:
        self._script = list(script)
        self._remembers = remembers
        self.windows: list[tuple[float, float]] = []
        self._from = 0.0

    def begin(self, at: float, now: float) -> float:
        self._from = at if self._remembers else now
        return self._from

    def take(self, until: float) -> Arms:
        found = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(found, Exception):
            raise found
        self.windows.append((self._from, until))
        self._from = until
        return found


class RolloutPhase(StrEnum):
    """Where a rollout stands."""

    PROGRESSING = "progressing"
    WAITING = "waiting"
    PROMOTED = "promoted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RolloutVerdict:
    """What the controller's status says of our release.

    Arguments:
        phase: where it stands.
        reason: one sentence.
        weight: percent of the requests the new version gets, None if the status does not say.
        step: which of its steps it is at, None if it counts none.
        by_hand: whether a person has paused it, who alone may let it go on.
    """

    phase: RolloutPhase
    reason: str
    weight: int | None = None
    step: int | None = None
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class RolloutSeen:
    """The objects of a rollout as the cluster's API answered them.

    Arguments:
        rollout: the controller's own object, None if it is not there.
        workload: what holds the pod template that we changed; the rollout itself, or what it refers to.
        primary: the workload that serves, where the controller keeps one of its own (Flagger).
        working: the ReplicaSet that the controller's status is about, where it names one (Argo Rollouts).
    """

    rollout: Mapping[str, Any] | None
    workload: Mapping[str, Any] | None = None
    primary: Mapping[str, Any] | None = None
    working: Mapping[str, Any] | None = None


RolloutRule = Callable[[RolloutSeen, Callable[[Mapping[str, Any]], bool], float], RolloutVerdict]
"""Pure: what was seen; whether a workload runs our release; when it was committed, in seconds since the
epoch → the verdict."""


class Rollout(Protocol):
    """One rollout in a cluster."""

    def observe(self) -> RolloutSeen:
        """What the cluster's API says now.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused.
        """

    def go_on(self) -> None:
        """Let the controller go on where it waits.

        Raises:
            UsageError: this controller is told otherwise.
        """

    def abort(self) -> None:
        """Send all requests to the stable version again; nothing where the controller does so by itself once
        the old version is committed."""


class ConnectedRollout(NamedTuple):
    """The rollout that a controller drives in an environment.

    Arguments:
        rollout: what is asked.
        rule: reads its status.
    """

    rollout: Rollout
    rule: RolloutRule


ROLLOUT: Port[[str], ConnectedRollout] = Port("rollout")
"""The rollout that a controller drives in an environment."""


class FakeRollout:
    """Shows scripted states, one a look, the last one for ever.

    Arguments:
        script: what it shows.
    """

    def __init__(self, *script: RolloutSeen) -> None:
        self._script = list(script)
        self.told: list[str] = []

    @property
    def script(self) -> Sequence[RolloutSeen]:
        """What it will still show."""
        return self._script

    def show(self, *script: RolloutSeen) -> None:
        """Show this from now on."""
        self._script = list(script)

    def observe(self) -> RolloutSeen:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def go_on(self) -> None:
        self.told.append("go on")

    def abort(self) -> None:
        self.told.append("abort")
