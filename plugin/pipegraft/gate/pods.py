"""Why a pod does not run, or does not end, and whether that mends itself.

Source: Kubernetes API reference (core/v1): conditions, container states, finalizers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipegraft.gate.conditions import Object, condition, name_of, said, time_of

__all__ = ["FORGIVEN_RESTARTS", "NEVER_RUNS", "Symptom", "has_lasted", "symptoms", "undeleted"]

FORGIVEN_RESTARTS = 2
"""Restarts that are forgiven: a container may wait for another one by failing."""
_UNSCHEDULABLE = timedelta(seconds=60)
"""A cluster that grows needs about that long to see that it should."""
_CONFIGURATION = timedelta(seconds=15)
"""A Secret or ConfigMap may be applied a moment after the pod that names it."""
_FINALIZED = timedelta(seconds=30)
"""How long after its grace period a pod's finalizers may take."""
NEVER_RUNS = {"ImagePullBackOff", "InvalidImageName", "CreateContainerError", "RunContainerError"}
_WAITING = NEVER_RUNS | {"CrashLoopBackOff", "ErrImagePull", "CreateContainerConfigError"}


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that keeps a pod from running.

    Arguments:
        lines: what it is.
        fatal: whether it counts as known to fail.
    """

    lines: tuple[str, ...]
    fatal: bool


def has_lasted(since: str | None, limit: timedelta, now: str | None) -> bool:
    """Whether something has been so for longer than `limit`; true where the times are not known."""
    return not (since and now) or time_of(now) - time_of(since) > limit


def symptoms(pod: Object, now: str | None) -> Iterator[Symptom]:
    """What keeps a pod from running.

    Arguments:
        now: the cluster's time, RFC 3339; None forgives nothing.
    """
    status: Mapping[str, Any] = pod.get("status") or {}
    name = name_of(pod)
    if status.get("phase") == "Failed":
        why = said(status) or "no reason given"
        yield Symptom((f"{name} failed: {why}",), fatal=False)  # its owner makes another, or says it failed
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        line = f"{name} cannot be scheduled: {scheduled.get('message', '')}"
        yield Symptom((line,), has_lasted(scheduled.get("lastTransitionTime"), _UNSCHEDULABLE, now))
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _WAITING:
                yield _waiting(f"{name}, container {container['name']}", container, waiting, status, now)


def _waiting(
    name: str, container: Object, waiting: Object, status: Mapping[str, Any], now: str | None
) -> Symptom:
    reason = waiting["reason"]
    lines = [f"{name}: {said(waiting)}"]
    last = (container.get("lastState") or {}).get("terminated") or {}
    if last:
        words = last.get("message") or last.get("reason") or ""
        lines.append(f"    it ended with exit status {last.get('exitCode')}: {' '.join(words.split())}")
    if reason == "CrashLoopBackOff":
        fatal = container.get("restartCount", FORGIVEN_RESTARTS + 1) > FORGIVEN_RESTARTS
    elif reason == "CreateContainerConfigError":
        fatal = has_lasted(status.get("startTime"), _CONFIGURATION, now)
    else:
        fatal = reason in NEVER_RUNS
    return Symptom(tuple(lines), fatal)


def undeleted(pods: Sequence[Object], now: str | None) -> Symptom | None:
    """A pod that is being deleted and waits for its finalizers; its successor may wait for it, too."""
    for pod in pods:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp") and metadata.get("finalizers"):
            waits = ", ".join(metadata["finalizers"])
            line = f"{name_of(pod)} is being deleted, and waits for its finalizers: {waits}"
            return Symptom((line,), has_lasted(metadata["deletionTimestamp"], _FINALIZED, now))
    return None
