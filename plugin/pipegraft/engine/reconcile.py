"""The embedded engine's decision: what is declared and what runs → what to do next.

Pure and called again and again: each answer is right for what is seen now, so an engine that died
between two steps goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pipegraft.engine.ports import Instance, Phase, Workload

__all__ = ["DEADLINE", "Failures", "Health", "History", "Step", "WorkloadHealth", "reconcile"]

DEADLINE = 60.0
"""Seconds an instance may take to become ready before its workload counts as degraded."""

_LOOPING = 3
"""Failures of one template in a row that make a crash loop."""
_STABLE = 10.0
"""Seconds of readiness after which earlier failures are forgiven."""
_BACKOFF = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Wait before the next start, by failures so far."""


class Health(StrEnum):
    """What can be said of a workload, from best to worst."""

    HEALTHY = "healthy"
    PROGRESSING = "progressing"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures of one template in a row."""

    count: int
    last: float
    reason: str
    evidence: tuple[str, ...] = ()

    @property
    def next_start(self) -> float:
        """When it may be started again, seconds since the epoch."""
        return self.last + _BACKOFF[min(self.count, len(_BACKOFF)) - 1]


_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class History:
    """What failed lately, by application, workload and template."""

    failures: Mapping[_Key, Failures] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()

    def observe(self, instances: Sequence[Instance], now: float) -> History:
        """With each failed instance counted once, and forgiven where its workload has been ready for long."""
        failures = dict(self.failures)
        for instance in instances:
            key = (instance.application, instance.workload, instance.template)
            if instance.phase is Phase.READY and now - instance.since >= _STABLE:
                failures.pop(key, None)
            elif instance.phase is Phase.FAILED and instance.id not in self.counted:
                failures[key] = _another(failures.get(key), now, instance.reason, instance.evidence)
        failed = frozenset(instance.id for instance in instances if instance.phase is Phase.FAILED)
        return History(failures, failed)

    def refused(self, workload: Workload, now: float, reason: str) -> History:
        """With one more failure: the runtime could not start an instance."""
        key = _key(workload)
        return replace(
            self, failures={**self.failures, key: _another(self.failures.get(key), now, reason, ())}
        )

    def of(self, workload: Workload) -> Failures | None:
        """Failures of this workload's template."""
        return self.failures.get(_key(workload))


@dataclass(frozen=True, slots=True)
class WorkloadHealth:
    """One workload's health.

    Arguments:
        ready: ready instances of the declared template.
        message: one sentence.
    """

    workload: str
    health: Health
    replicas: int
    ready: int
    message: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next, in this order: start, route to `serving`, stop.

    Arguments:
        start: workloads to start an instance of, once for each entry.
        stop: ids of instances to end after requests go elsewhere.
        serving: workload → instances that may get requests.
        settled: workloads of which every serving instance has the declared template, and at least one serves.
    """

    start: tuple[Workload, ...]
    stop: tuple[str, ...]
    serving: Mapping[str, tuple[Instance, ...]]
    health: tuple[WorkloadHealth, ...]
    settled: frozenset[str]

    @property
    def healthy(self) -> bool:
        """Whether everything declared is healthy and nothing else is left to stop."""
        return (
            not self.stop and not self.start and all(entry.health is Health.HEALTHY for entry in self.health)
        )


def reconcile(
    desired: Sequence[Workload],
    observed: Sequence[Instance],
    history: History,
    now: float,
    retained: Collection[str] = (),
) -> Step:
    """Decide for one application.

    Arguments:
        desired: its workloads.
        observed: its instances.
        history: failures, `observed` counted in already.
        now: seconds since the epoch.
        retained: workloads no longer declared that requests are still routed to; they stay for now.
    """
    start: list[Workload] = []
    stop: set[str] = set()
    health = []
    for workload in desired:
        mine = [instance for instance in observed if instance.workload == workload.name]
        stop |= _to_stop(workload, mine)
        start += _to_start(workload, mine, history, now)
        health.append(_health(workload, mine, history.of(workload), now))
    kept = {workload.name for workload in desired} | set(retained)
    stop |= {one.id for one in observed if one.workload not in kept and one.phase is not Phase.STOPPING}
    stop |= {one.id for one in observed if one.phase is Phase.FAILED}
    serving = {
        name: tuple(
            one
            for one in observed
            if one.workload == name and one.phase is Phase.READY and one.id not in stop
        )
        for name in sorted(kept)
    }
    settled = {
        workload.name
        for workload in desired
        if _all_current(serving[workload.name], workload) or workload.replicas == 0
    }
    ordered = tuple(one.id for one in observed if one.id in stop)
    return Step(tuple(start), ordered, serving, tuple(health), frozenset(settled))


def _key(workload: Workload) -> _Key:
    return (workload.application, workload.name, workload.template)


def _another(before: Failures | None, now: float, reason: str, evidence: tuple[str, ...]) -> Failures:
    return Failures((before.count if before else 0) + 1, now, reason, evidence)


def _all_current(serving: Sequence[Instance], workload: Workload) -> bool:
    return bool(serving) and all(one.template == workload.template for one in serving)


def _alive(instances: Iterable[Instance]) -> list[Instance]:
    return [one for one in instances if one.phase not in (Phase.FAILED, Phase.STOPPING)]


def _to_start(workload: Workload, mine: Sequence[Instance], history: History, now: float) -> list[Workload]:
    alive = _alive(mine)
    current = [one for one in alive if one.template == workload.template]
    failures = history.of(workload)
    if failures and now < failures.next_start:
        return []
    if workload.rollout.recreate and any(_is_old(one, workload) for one in mine):
        return []
    missing = max(0, workload.replicas - len(current))
    if workload.rollout.surge is not None:
        missing = max(0, min(missing, workload.replicas + workload.rollout.surge - len(alive)))
    return [workload] * (min(missing, 1) if failures else missing)


def _is_old(instance: Instance, workload: Workload) -> bool:
    return instance.template != workload.template and instance.phase is not Phase.FAILED


def _to_stop(workload: Workload, mine: Sequence[Instance]) -> set[str]:
    """Instances too many of the declared template, and as many old ones as need not serve any more."""
    alive = sorted(_alive(mine), key=lambda one: one.phase is not Phase.READY)  # stable: oldest ready first
    current = [one for one in alive if one.template == workload.template]
    old = [one for one in alive if one.template != workload.template]
    ready = sum(one.phase is Phase.READY for one in current[: workload.replicas])
    keep_old = 0 if workload.rollout.recreate else workload.replicas - workload.rollout.unavailable - ready
    kept = [one for one in old if one.phase is Phase.READY][: max(0, keep_old)]
    return {one.id for one in current[workload.replicas :]} | {one.id for one in old if one not in kept}


def _health(
    workload: Workload, mine: Sequence[Instance], failures: Failures | None, now: float
) -> WorkloadHealth:
    alive = _alive(mine)
    current = [one for one in alive if one.template == workload.template]
    ready = sum(one.phase is Phase.READY for one in current)
    counts = f"{ready} of {workload.replicas} ready"

    def answer(health: Health, message: str, evidence: tuple[str, ...] = ()) -> WorkloadHealth:
        return WorkloadHealth(workload.name, health, workload.replicas, ready, message, evidence)

    looping = failures is not None and failures.count >= _LOOPING
    if ready >= workload.replicas and len(alive) == len(current) == workload.replicas:
        return answer(Health.PROGRESSING if looping else Health.HEALTHY, counts)
    if failures and looping:
        return answer(
            Health.DEGRADED, f"failed {failures.count} times in a row: {failures.reason}", failures.evidence
        )
    late = [one for one in current if one.phase is not Phase.READY and now - one.since > DEADLINE]
    if late:
        return answer(
            Health.DEGRADED,
            f"{counts}; {late[0].id} is {late[0].phase} since {DEADLINE:g} s: {late[0].reason}",
            late[0].evidence,
        )
    if failures:
        return answer(Health.PROGRESSING, f"{counts}; {failures.reason}", failures.evidence)
    reason = next((one.reason for one in current if one.phase is not Phase.READY and one.reason), "")
    return answer(Health.PROGRESSING, f"{counts}; {reason}" if reason else counts)
