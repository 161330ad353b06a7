"""Verdict on plain Kubernetes workloads and their pods.

Source: Kubernetes API reference (apps/v1, batch/v1, core/v1) and ``kubectl rollout status``. StatefulSets
and DaemonSets never say that they failed: the pods do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipegraft.domain.rendering.parts import ANNOTATION
from pipegraft.domain.verdicts.conditions import Object, condition, is_observed, is_true, name_of, said, worst
from pipegraft.ports.engine import State, Status, Verdict

__all__ = ["REVISION", "health", "verdict"]

REVISION = f"{ANNOTATION}revision"
"""Annotation that says of which commit an object is."""

_TEMPLATE_REVISION = "deployment.kubernetes.io/revision"
_WAITING_FAILURES = {
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}


def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    """Succeeded once every object is of the target and all that belongs to it is ready.

    Arguments:
        status: ``objects``: the workloads; ``owned``: ReplicaSets and pods they own; ``expected``: how many
            objects there must be.
        at_target: whether a revision is the target or a descendant of it.
    """
    objects: Sequence[Object] = status["objects"]
    expected = status.get("expected", 1)
    if len(objects) < expected:
        return Verdict(State.PROGRESSING, f"{len(objects)} of {expected} workloads are there")
    for item in objects:
        revision = _annotation(item, REVISION)
        if not revision or not at_target(revision):
            return Verdict(State.PROGRESSING, f"{name_of(item)} is of {revision[:12] or 'no revision'}")
    return health(objects, status.get("owned") or ())


def health(objects: Sequence[Object], owned: Sequence[Object]) -> Verdict:
    """Whether workloads run as they are declared, whatever revision they are of.

    Arguments:
        owned: ReplicaSets and pods, of these and of others.
    """
    rules = {
        "Deployment": _deployment,
        "StatefulSet": _stateful_set,
        "DaemonSet": _daemon_set,
        "Job": _job,
        "Pod": _pod,
    }
    found = [_with_pods(rules[item["kind"]](item), item, owned) for item in objects if item["kind"] in rules]
    return worst(found, f"{len(found)} workloads are ready")


def _with_pods(found: Verdict, item: Object, owned: Sequence[Object]) -> Verdict:
    """A workload that is not ready, explained by its newest pods; a pod that cannot run fails it."""
    if found.state is not State.PROGRESSING:
        return found
    owners = _newest_owners(item, owned)
    pods = [one for one in owned if one["kind"] == "Pod" and _is_owned(one, owners) and _is_newest(one, item)]
    broken = [line for pod in pods for line in _pod_failures(pod)]
    if broken:
        return Verdict(State.FAILED, f"{name_of(item)}: {broken[0]}", tuple(broken))
    return found


def _newest_owners(item: Object, owned: Sequence[Object]) -> set[str]:
    """Who owns a workload's newest pods: itself, or the ReplicaSet of a Deployment's newest template."""
    if item["kind"] != "Deployment":
        return {item["metadata"].get("uid", "")}
    return {
        one["metadata"]["uid"]
        for one in owned
        if one["kind"] == "ReplicaSet"
        and _is_owned(one, {item["metadata"].get("uid", "")})
        and _annotation(one, _TEMPLATE_REVISION) == _annotation(item, _TEMPLATE_REVISION)
    }


def _is_owned(item: Object, owners: set[str]) -> bool:
    return any(entry.get("uid") in owners for entry in item["metadata"].get("ownerReferences") or ())


def _is_newest(pod: Object, owner: Object) -> bool:
    """Whether a pod of a StatefulSet is of its newest revision; true where that is not told."""
    newest = (owner.get("status") or {}).get("updateRevision")
    label = (pod["metadata"].get("labels") or {}).get("controller-revision-hash")
    return not (newest and label) or newest == label


def _annotation(item: Object, name: str) -> str:
    return str((item["metadata"].get("annotations") or {}).get(name, ""))


def _deployment(item: Object) -> Verdict:
    status = item.get("status") or {}
    wanted = item["spec"].get("replicas", 1)
    progressing = condition(item, "Progressing")
    if not is_observed(item):
        return _behind(item)
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Verdict(State.FAILED, f"{name_of(item)}: {said(progressing)}")
    if item["spec"].get("paused"):
        return Verdict(State.SUSPENDED, f"{name_of(item)} is paused")
    counts = {key: status.get(key, 0) for key in ("updatedReplicas", "readyReplicas", "availableReplicas")}
    short = next((key for key, count in counts.items() if count < wanted), None)
    if short:
        return _counting(item, counts[short], wanted, short.removesuffix("Replicas"))
    if status.get("replicas", 0) > wanted:
        return Verdict(State.PROGRESSING, f"{name_of(item)}: old replicas are about to end")
    if wanted and progressing.get("reason") not in {None, "NewReplicaSetAvailable"}:
        return Verdict(State.PROGRESSING, f"{name_of(item)}: {said(progressing)}")
    return _ready(item, wanted)


def _stateful_set(item: Object) -> Verdict:
    status = item.get("status") or {}
    wanted = item["spec"].get("replicas", 1)
    if not is_observed(item):
        return _behind(item)
    strategy = item["spec"].get("updateStrategy") or {}
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    if status.get("readyReplicas", 0) < wanted:
        return _counting(item, status.get("readyReplicas", 0), wanted, "ready")
    updated, due = status.get("updatedReplicas", 0), max(0, wanted - partition)
    if updated < due:
        return _counting(item, updated, due, "updated")
    if not partition and wanted and status.get("currentRevision") != status.get("updateRevision"):
        return Verdict(State.PROGRESSING, f"{name_of(item)}: the new revision is not current yet")
    return _ready(item, wanted)


def _daemon_set(item: Object) -> Verdict:
    status = item.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    if not is_observed(item):
        return _behind(item)
    for key in ("updatedNumberScheduled", "numberReady", "numberAvailable"):
        if status.get(key, 0) < wanted:
            return _counting(item, status.get(key, 0), wanted, key)
    return _ready(item, wanted)


def _job(item: Object) -> Verdict:
    if is_true(item, "Failed"):
        return Verdict(State.FAILED, f"{name_of(item)}: {said(condition(item, 'Failed'))}")
    if is_true(item, "Complete"):
        return Verdict(State.SUCCEEDED, f"{name_of(item)} is complete")
    if item["spec"].get("suspend"):
        return Verdict(State.SUSPENDED, f"{name_of(item)} is suspended")
    return Verdict(State.PROGRESSING, f"{name_of(item)} is running")


def _pod(item: Object) -> Verdict:
    failures = tuple(_pod_failures(item))
    phase = (item.get("status") or {}).get("phase")
    if failures:
        return Verdict(State.FAILED, f"{name_of(item)}: {failures[0]}", failures)
    if phase == "Succeeded" or (phase == "Running" and is_true(item, "Ready")):
        return _ready(item, 1)
    return Verdict(State.PROGRESSING, f"{name_of(item)} is {phase or 'not there yet'}")


def _pod_failures(pod: Object) -> Iterator[str]:
    """Why a pod cannot run, one line each."""
    status: Mapping[str, Any] = pod.get("status") or {}
    if status.get("phase") == "Failed":
        yield f"{name_of(pod)} failed: {status.get('reason') or status.get('message') or 'no reason given'}"
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        yield f"{name_of(pod)} cannot be scheduled: {scheduled.get('message', '')}"
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _WAITING_FAILURES:
                yield f"{name_of(pod)}, container {container['name']}: {said(waiting)}"
                last = (container.get("lastState") or {}).get("terminated") or {}
                if last:
                    words = last.get("message") or last.get("reason") or ""
                    yield f"    it ended with exit status {last.get('exitCode')}: {words}"


def _behind(item: Object) -> Verdict:
    return Verdict(State.PROGRESSING, f"{name_of(item)} has changed and was not looked at since")


def _counting(item: Object, count: int, wanted: int, what: str) -> Verdict:
    return Verdict(State.PROGRESSING, f"{name_of(item)}: {count} of {wanted} {what}")


def _ready(item: Object, count: int) -> Verdict:
    return Verdict(State.SUCCEEDED, f"{name_of(item)}: {count} ready")
