"""Verdict on plain Kubernetes workloads and their pods: why one does not run, and whether that mends itself.

Source: Kubernetes API reference (apps/v1, batch/v1, core/v1) and ``kubectl rollout status``. StatefulSets
and DaemonSets never say that they failed: the pods do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from pipegraft.appspec.rendering.common import ANNOTATION
from pipegraft.gate.conditions import (
    Object,
    condition,
    is_observed,
    is_true,
    name_of,
    said,
    time_of,
    worst,
)
from pipegraft.gate.pods import has_lasted, symptoms, undeleted
from pipegraft.gate.ports import Resource, RunImage, State, Status, Verdict
from pipegraft.iac.released_images import image_uses

__all__ = [
    "KINDS",
    "REVISION",
    "TEMPLATED",
    "health",
    "images_of",
    "verdict",
]

REVISION = f"{ANNOTATION}revision"
"""Annotation that says of which commit an object is."""

KINDS = {
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "HorizontalPodAutoscaler",
    "PersistentVolumeClaim",
    "Service",
    "Ingress",
}
"""Kinds that `health` reads."""
TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
"""Kinds whose template says what they run, or will run when it is time."""
_TEMPLATE_REVISION = "deployment.kubernetes.io/revision"
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_REPLICA_FAILURE = timedelta(seconds=30)
"""A quota may be free again once old replicas have ended."""


def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    """Succeeded once every object is of the target and all that belongs to it is ready.

    Arguments:
        status: ``objects``: the workloads; ``owned``: ReplicaSets and pods they own; ``expected``: how many
            objects there must be; ``missing``: those that were named and are not there;
            ``now``: the cluster's time, RFC 3339.
        at_target: whether a revision is the target or a descendant of it.
    """
    objects: Sequence[Object] = status["objects"]
    expected = status.get("expected", 1)
    if len(objects) < expected:
        missing = ", ".join(status.get("missing") or ())
        there = f"{len(objects)} of {expected} workloads are there"
        return Verdict(State.PROGRESSING, f"{there}; there is no {missing}" if missing else there)
    for item in objects:
        revision = _annotation(item, REVISION)
        if not revision or not at_target(revision):
            return Verdict(State.PROGRESSING, f"{name_of(item)} is of {revision[:12] or 'no revision'}")
    return health(objects, status.get("owned") or (), status.get("now"))


def health(objects: Sequence[Object], owned: Sequence[Object], now: str | None = None) -> Verdict:
    """Whether workloads run as they are declared, whatever revision they are of.

    Arguments:
        owned: ReplicaSets and pods, of these and of others.
        now: the cluster's time, RFC 3339; None forgives nothing that may mend itself.
    """
    rules: dict[str, Callable[[Object], Verdict]] = {
        "Deployment": lambda item: _deployment(item, owned),
        "StatefulSet": _stateful_set,
        "DaemonSet": _daemon_set,
        "Job": _job,
        "Pod": _pod,
        "PersistentVolumeClaim": _claim,
    }
    kept = [item for item in objects if item["kind"] in rules]
    found = [_with_pods(_lasting(rules[item["kind"]](item), item, now), item, owned, now) for item in kept]
    beside = {
        "HorizontalPodAutoscaler": _autoscaler,
        "Service": _entrance,
        "Ingress": _entrance,
        "CronJob": _schedule,
    }
    others = [
        replace(beside[item["kind"]](item), kind=item["kind"]) for item in objects if item["kind"] in beside
    ]
    rows = (
        Resource(name_of(item), one.state, one.reason, item["kind"])
        for item, one in zip(kept, found, strict=True)
    )
    whole = worst(found, f"{len(found)} workloads are ready")
    unwell = tuple(row.message for row in others if row.state is not State.SUCCEEDED)
    return replace(
        whole,
        evidence=(*whole.evidence, *unwell),
        resources=(*rows, *others),
        images=images_of(objects),
    )


def images_of(
    objects: Sequence[Object], skipped: Callable[[Object], str] = lambda _item: ""
) -> tuple[RunImage, ...]:
    """The images that workloads run by their templates.

    Arguments:
        skipped: why the engine leaves a workload as it is; empty if nothing says so.
    """
    return tuple(
        RunImage(name_of(item), use.image, skipped(item), _held_back(item))
        for item in objects
        if item["kind"] in TEMPLATED
        for use in image_uses(item["spec"])
    )


def _claim(item: Object) -> Verdict:
    """A claim that waits may do so for its first consumer, so only a lost one has failed."""
    phase = (item.get("status") or {}).get("phase", "Pending")
    if phase == "Lost":
        return Verdict(State.FAILED, f"{name_of(item)} has lost its volume")
    if phase == "Bound":
        return Verdict(State.SUCCEEDED, f"{name_of(item)} is bound")
    return Verdict(State.PROGRESSING, f"{name_of(item)} is not bound to a volume: {phase}")


def _autoscaler(item: Object) -> Resource:
    """What an autoscaler says; it delivers nothing, so that it decides nothing."""
    for kind in ("AbleToScale", "ScalingActive"):
        entry = condition(item, kind)
        if entry.get("status") == "False" and entry.get("reason") != "ScalingDisabled":
            return Resource(name_of(item), State.FAILED, f"{name_of(item)}: {said(entry)}")
    return Resource(name_of(item), State.SUCCEEDED, "scales")


def _schedule(item: Object) -> Resource:
    """What a CronJob will do; that it waits for its time is as it should be, and a run decides nothing."""
    status = item.get("status") or {}
    last, good = status.get("lastScheduleTime"), status.get("lastSuccessfulTime")
    if good and time_of(good) < time_of(last) and not status.get("active"):
        return Resource(name_of(item), State.PROGRESSING, f"{name_of(item)}: its last run has not succeeded")
    doing = "is suspended" if item["spec"].get("suspend") else f"runs at {item['spec'].get('schedule')}"
    return Resource(name_of(item), State.SUCCEEDED, doing)


def _entrance(item: Object) -> Resource:
    """Whether a balancer or an Ingress controller has given it an address; that decides nothing either."""
    told = ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if told or (item["kind"] == "Service" and item["spec"].get("type") != "LoadBalancer"):
        return Resource(name_of(item), State.SUCCEEDED)
    return Resource(name_of(item), State.PROGRESSING, f"{name_of(item)} has no address yet")


def _lasting(found: Verdict, item: Object, now: str | None) -> Verdict:
    """A controller that cannot make pods, as when a quota is used up, has failed if that lasts."""
    failure = condition(item, "ReplicaFailure")
    if found.state is not State.PROGRESSING or failure.get("status") != "True" or not is_observed(item):
        return found
    reason = f"{name_of(item)}: {said(failure)}"
    if has_lasted(failure.get("lastTransitionTime"), _REPLICA_FAILURE, now):
        return Verdict(State.FAILED, reason)
    return Verdict(State.PROGRESSING, found.reason, (reason,))


def _with_pods(found: Verdict, item: Object, owned: Sequence[Object], now: str | None) -> Verdict:
    """A workload that is not ready, explained by its newest pods; a pod that cannot run fails it."""
    looked = is_observed(item) or item["kind"] == "Job"  # a Job's spec never changes
    if found.state is not State.PROGRESSING or not looked or item["kind"] == "Pod":
        return found  # before its controller has looked, the newest pods are still the old ones
    owners = _newest_owners(item, owned)
    pods = [one for one in owned if one["kind"] == "Pod" and _is_owned(one, owners) and _is_newest(one, item)]
    told = sorted((one for pod in pods for one in symptoms(pod, now)), key=lambda one: not one.fatal)
    lines = tuple(line for one in told for line in one.lines)
    if told and told[0].fatal:
        return Verdict(State.FAILED, f"{name_of(item)}: {lines[0]}", lines)
    there = _all_pods(item, owned)
    waited = undeleted([one for one in there if _is_waited_for(one, item, owners)], now)
    if waited and waited.fatal:
        fix = "have whoever set them act, or remove them with kubectl"
        return Verdict(State.BLOCKED, f"{name_of(item)}: {waited.lines[0]}", (fix, *lines))
    held = undeleted(there, now)
    return replace(found, evidence=(*found.evidence, *lines, *(held.lines if held else ())))


def _is_waited_for(pod: Object, item: Object, newest: set[str]) -> bool:
    """Whether no new pod is made before this one is gone: a name, or what still runs on a node, is taken."""
    if item["kind"] == "StatefulSet":
        return True
    runs = (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    if item["kind"] == "DaemonSet":
        return runs
    recreated = (item["spec"].get("strategy") or {}).get("type") == "Recreate"
    return recreated and runs and not _is_owned(pod, newest)


def _all_pods(item: Object, owned: Sequence[Object]) -> list[Object]:
    """Pods of a workload, of whichever template."""
    mine = {item["metadata"].get("uid", "")}
    mine |= {one["metadata"]["uid"] for one in owned if one["kind"] == "ReplicaSet" and _is_owned(one, mine)}
    return [one for one in owned if one["kind"] == "Pod" and _is_owned(one, mine)]


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
    """Whether a pod of a StatefulSet or DaemonSet is of its newest template; true where that is not told."""
    labels = pod["metadata"].get("labels") or {}
    newest, label = (owner.get("status") or {}).get("updateRevision"), labels.get("controller-revision-hash")
    if owner["kind"] == "DaemonSet":
        newest, label = _annotation(owner, _TEMPLATE_GENERATION), labels.get("pod-template-generation")
    return not (newest and label) or newest == label


def _annotation(item: Object, name: str) -> str:
    return str((item["metadata"].get("annotations") or {}).get(name, ""))


def _deployment(item: Object, owned: Sequence[Object]) -> Verdict:
    status = item.get("status") or {}
    wanted = item["spec"].get("replicas", 1)
    progressing = condition(item, "Progressing")
    if not is_observed(item):
        return _behind(item)
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        if _is_of_other_template(progressing, item, owned):
            return Verdict(State.PROGRESSING, f"{name_of(item)}: its newest template is not begun yet")
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


def _is_of_other_template(told: Object, item: Object, owned: Sequence[Object]) -> bool:
    """Whether a condition is about the ReplicaSet of a template before.

    A commit that also scales is first seen as a scaling, and its generation is written beside the condition
    of the template before (kubernetes, pkg/controller/deployment: `sync` comes before `rolloutRolling`).
    """
    named = (
        one
        for one in owned
        if one["kind"] == "ReplicaSet" and f'"{one["metadata"]["name"]}"' in str(told.get("message"))
    )
    return any(_template(one) != _template(item) for one in named)


def _template(item: Object) -> Object:
    """The template of pods, without the label that tells its ReplicaSet from others."""
    template = (item.get("spec") or {}).get("template") or {}
    labels = {**((template.get("metadata") or {}).get("labels") or {})}
    labels.pop("pod-template-hash", None)
    return {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}}


def _held_back(item: Object) -> str:
    """Why pods of an old template stay until somebody does something, and what; empty if none do."""
    status, strategy = item.get("status") or {}, item["spec"].get("updateStrategy") or {}
    if item["kind"] not in {"StatefulSet", "DaemonSet"} or not is_observed(item):
        return ""
    if strategy.get("type") != "OnDelete":
        wanted, partition = item["spec"].get("replicas", 1), _partition(item)
        old = status.get("currentRevision") != status.get("updateRevision")
        if not (partition and wanted) or partition < wanted or not old:
            return ""
        reason = f"{name_of(item)}: its partition, {partition}, keeps each of its {wanted} pods old"
        return f"{reason}; lower spec.updateStrategy.rollingUpdate.partition"
    there, new = status.get("replicas", 0), status.get("updatedReplicas", 0)
    if item["kind"] == "DaemonSet":
        there, new = status.get("currentNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
    if new >= there:
        return ""
    reason = f"{name_of(item)}: {there - new} of {there} pods are old, and its updateStrategy is OnDelete"
    return f"{reason}; delete them: kubectl delete pod -n {item['metadata'].get('namespace', 'default')} POD"


def _partition(item: Object) -> int:
    strategy = item["spec"].get("updateStrategy") or {}
    return int((strategy.get("rollingUpdate") or {}).get("partition") or 0)


def _stateful_set(item: Object) -> Verdict:
    status = item.get("status") or {}
    wanted = item["spec"].get("replicas", 1)
    if not is_observed(item):
        return _behind(item)
    strategy = item["spec"].get("updateStrategy") or {}
    rolling = strategy.get("type") != "OnDelete"  # else the current revision never becomes the new one
    partition = _partition(item)
    if status.get("readyReplicas", 0) < wanted:
        return _counting(item, status.get("readyReplicas", 0), wanted, "ready")
    updated, due = status.get("updatedReplicas", 0), max(0, wanted - partition)
    if rolling and updated < due:
        return _counting(item, updated, due, "updated")
    if rolling and not partition and wanted and status.get("currentRevision") != status.get("updateRevision"):
        return Verdict(State.PROGRESSING, f"{name_of(item)}: the new revision is not current yet")
    if updated < wanted:
        old = f"{wanted - updated} of them old, as its {'partition' if rolling else 'updateStrategy'} says"
        return Verdict(State.SUCCEEDED, f"{name_of(item)}: {wanted} ready, {old}")
    return _ready(item, wanted)


def _daemon_set(item: Object) -> Verdict:
    status = item.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    if not is_observed(item):
        return _behind(item)
    rolling = (item["spec"].get("updateStrategy") or {}).get("type") != "OnDelete"
    for key in ("updatedNumberScheduled",) * rolling + ("numberReady", "numberAvailable"):
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
    phase = (item.get("status") or {}).get("phase")
    lines = tuple(line for one in symptoms(item, None) for line in one.lines)
    if phase == "Failed" or any(one.fatal for one in symptoms(item, None)):
        return Verdict(State.FAILED, f"{name_of(item)}: {lines[0]}", lines)
    if phase == "Succeeded" or (phase == "Running" and is_true(item, "Ready")):
        return _ready(item, 1)
    return Verdict(State.PROGRESSING, f"{name_of(item)} is {phase or 'not there yet'}", lines)


def _behind(item: Object) -> Verdict:
    return Verdict(State.PROGRESSING, f"{name_of(item)} has changed and was not looked at since")


def _counting(item: Object, count: int, wanted: int, what: str) -> Verdict:
    return Verdict(State.PROGRESSING, f"{name_of(item)}: {count} of {wanted} {what}")


def _ready(item: Object, count: int) -> Verdict:
    return Verdict(State.SUCCEEDED, f"{name_of(item)}: {count} ready")
