"""Verdict on an Argo CD Application.

It has no observedGeneration: whether a status is fresh follows from `reconciledAt` and from what it
was compared to. Source: argoproj/argo-cd, ``pkg/apis/application/v1alpha1/types.go`` and
``controller/state.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipegraft.gate.ports import Resource, State, Status, Verdict
from pipegraft.gate.verdicts import workloads
from pipegraft.gate.verdicts.conditions import Object, name_of, time_of
from pipegraft.gate.verdicts.repositories import same_repository
from pipegraft.gate.verdicts.several import several

__all__ = ["APPLIED", "REFRESH", "applied", "verdict", "verdicts"]

REFRESH = "argocd.argoproj.io/refresh"
"""Annotation that asks for a comparison; the controller takes it away with the status it then writes."""
APPLIED = {"Deployment", "StatefulSet", "DaemonSet", "Job"}
"""Kinds of resources whose pods tell why an application is not healthy."""
_HEAD = {"", "HEAD"}
_ERRORS = {"ComparisonError", "InvalidSpecError", "SyncError"}
_MOVING = {"Running", "Terminating"}

AtTarget = Callable[[str], bool]


def verdict(status: Status, at_target: AtTarget) -> Verdict:
    """Succeeded once the target is compared, synced and healthy.

    Arguments:
        status: ``application``: the object; ``asked``: time of our refresh request, RFC 3339, or None;
            ``repository``: URL of the IaC repository, None counts every git source; ``branch``: the one a
            source must follow, None: any; ``child``: whether another application declares this one, which
            then may be made from another repository; ``can-sync``: what its sync windows say now, or None;
            ``workloads``: what it has applied, ``owned``: their ReplicaSets and pods, None where they were
            not looked at; ``now``: the cluster's time, RFC 3339.
        at_target: whether a revision is the target or a descendant of it.
    """
    found = _conclude(status, at_target)
    return replace(found, resources=tuple(_rows(status["application"])))


def _conclude(status: Status, at_target: AtTarget) -> Verdict:
    app: Object = status["application"]
    for check in (
        _gone,
        _foreign,
        _pinned,
        _moving,
        _failed_operation,
        _errors,
        _closed,
        _other_revision,
        _out_of_sync,
        _stale,
    ):
        found = check(app, status, at_target)
        if found:
            return found
    return _with_workloads(_health(app), status)


verdicts = several(verdict, lambda status: name_of(status["application"]))
"""The rule for ``applications``, see `several`."""


def applied(app: Object) -> Iterator[Mapping[str, Any]]:
    """What an application has applied of its present revision, as entries of ``status.resources``.

    While a sync runs, that is what this sync has applied already: the rest may still be of the one before.
    """
    operation = _operation(app)
    if operation.get("phase") not in _MOVING:
        yield from _resources(app)
        return
    for item in (operation.get("syncResult") or {}).get("resources") or ():
        if item.get("status") == "Synced" and not item.get("hookType"):
            yield item


def _with_workloads(found: Verdict, status: Status) -> Verdict:
    """A failure that the pods show is one, however long Argo CD calls it progress."""
    if found.state not in {State.PROGRESSING, State.FAILED} or status.get("workloads") is None:
        return found
    told = workloads.health(status["workloads"], status.get("owned") or (), status.get("now"))
    if told.state is State.FAILED and found.state is State.PROGRESSING:
        return told
    return replace(found, evidence=(*found.evidence, *told.evidence))


def _gone(app: Object, _status: Status, _at_target: AtTarget) -> Verdict | None:
    if app["metadata"].get("deletionTimestamp"):
        return Verdict(State.FAILED, "the Application is being deleted")
    return None


def _foreign(app: Object, status: Status, _at_target: AtTarget) -> Verdict | None:
    if status.get("child") or any(_is_ours(source, status) for source in _sources(app)):
        return None
    urls = ", ".join(str(source.get("repoURL")) for source in _sources(app))
    return Verdict(
        State.FAILED,
        f"no source of the Application is the IaC repository, {status.get('repository')}; it has: {urls}",
        ("if that is the same repository by another name, set 'gate.repository' to it",),
    )


def _pinned(app: Object, status: Status, _at_target: AtTarget) -> Verdict | None:
    if status.get("child"):
        return None
    revisions = [_wanted(source) for source in _sources(app) if _is_ours(source, status)]
    other = next((revision for revision in revisions if not _follows(revision, status)), None)
    if other is None:
        return None
    return Verdict(
        State.FAILED, f"the Application follows '{other}', not the branch '{status.get('branch')}'"
    )


def _follows(revision: str, status: Status) -> bool:
    branch = status.get("branch")
    return branch is None or revision in _HEAD | {branch, f"refs/heads/{branch}"}


def _moving(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    if app.get("operation"):
        return Verdict(State.PROGRESSING, "a sync is about to start")
    operation = _operation(app)
    if operation.get("phase") not in _MOVING:
        return None
    found = Verdict(State.PROGRESSING, f"sync {operation['phase']}: {operation.get('message', '')}")
    result = operation.get("syncResult") or {}
    if _is_at_target(result, app, status, at_target):
        return _with_workloads(found, status)
    return found


def _failed_operation(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    operation = _operation(app)
    if operation.get("phase") not in {"Failed", "Error"}:
        return None
    result = operation.get("syncResult") or {}
    if not _is_at_target(result, app, status, at_target):
        return None  # the sync of an older revision
    evidence = tuple(
        f"{item.get('kind')} {item.get('namespace', '')}/{item.get('name')}: {item.get('message', '')}"
        for item in result.get("resources") or ()
        if item.get("status") == "SyncFailed" or item.get("hookPhase") in {"Failed", "Error"}
    )
    return Verdict(State.FAILED, f"sync {operation['phase']}: {operation.get('message', '')}", evidence)


def _errors(app: Object, status: Status, _at_target: AtTarget) -> Verdict | None:
    if not _is_fresh(app, status):
        return None  # what was wrong before our commit may be what it repairs
    conditions = app.get("status", {}).get("conditions") or ()
    found = [entry for entry in conditions if entry.get("type") in _ERRORS]
    if not found:
        return None
    evidence = tuple(f"{entry['type']}: {entry.get('message', '')}" for entry in found)
    return Verdict(State.FAILED, evidence[0], evidence[1:])


def _closed(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    """What keeps an OutOfSync application from being synced, without anybody doing something."""
    sync = app.get("status", {}).get("sync") or {}
    compared = _is_at_target(sync, app, status, at_target)
    if sync.get("status") != "OutOfSync" or not compared or not _is_fresh(app, status):
        return None
    automated = (app["spec"].get("syncPolicy") or {}).get("automated")
    if automated is None or automated.get("enabled") is False:
        return Verdict(State.BLOCKED, "OutOfSync, and automated sync is off: somebody must sync it")
    if status.get("can-sync") is False:
        return Verdict(State.BLOCKED, "OutOfSync, and a sync window keeps it closed")
    stale = [item for item in _resources(app) if item.get("status") == "OutOfSync"]
    if stale and all(item.get("requiresPruning") for item in stale) and not automated.get("prune"):
        return Verdict(
            State.BLOCKED,
            "OutOfSync: what is no longer declared must be pruned, and automated pruning is off",
            tuple(_called(item) for item in stale),
        )
    return None


def _other_revision(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    sync = app.get("status", {}).get("sync") or {}
    revisions = _revisions(app, sync, status)
    if _is_at_target(sync, app, status, at_target):
        return None
    seen = ", ".join(revision[:12] for revision in revisions) or "nothing"
    return Verdict(State.PROGRESSING, f"Argo CD has compared {seen} so far")


def _out_of_sync(app: Object, _status: Status, _at_target: AtTarget) -> Verdict | None:
    sync = app["status"]["sync"]
    if not _is_compared_to_spec(app, sync.get("comparedTo") or {}):
        return Verdict(State.PROGRESSING, "its spec has changed since it was compared")
    if sync.get("status") != "Synced":
        evidence = tuple(_called(item) for item in _resources(app) if item.get("status") == "OutOfSync")
        return Verdict(State.PROGRESSING, f"sync status {sync.get('status')}", evidence)
    return None


def _stale(app: Object, status: Status, _at_target: AtTarget) -> Verdict | None:
    finished = time_of(_operation(app).get("finishedAt"))
    if time_of(app["status"].get("reconciledAt")) < finished or not _is_fresh(app, status):
        return Verdict(State.PROGRESSING, "the status is older than the last sync")
    return None


def _health(app: Object) -> Verdict:
    health = app["status"].get("health") or {}
    evidence = tuple(_unhealthy(app))
    reason = f"health {health.get('status', 'unknown')}" + (f": {evidence[0]}" if evidence else "")
    match health.get("status"):
        case "Healthy":
            return Verdict(State.SUCCEEDED, "Synced and Healthy")
        case "Degraded":
            return Verdict(State.FAILED, reason, evidence)
        case "Suspended":
            return Verdict(State.SUSPENDED, reason, evidence)
        case _:
            return Verdict(State.PROGRESSING, reason, evidence)


def _operation(app: Object) -> Mapping[str, Any]:
    return app.get("status", {}).get("operationState") or {}


def _is_fresh(app: Object, status: Status) -> bool:
    if REFRESH in (app["metadata"].get("annotations") or {}):
        return False
    return time_of(app.get("status", {}).get("reconciledAt")) >= time_of(status.get("asked"))


def _sources(app: Object) -> Sequence[Mapping[str, Any]]:
    return app["spec"].get("sources") or [app["spec"].get("source") or {}]


def _revisions(app: Object, where: Mapping[str, Any], status: Status) -> list[str]:
    """Revisions of the sources that are our repository; charts have versions, not revisions."""
    revisions = where.get("revisions") or [where.get("revision") or ""]
    return [
        revision
        for source, revision in zip(_sources(app), revisions, strict=False)
        if _is_ours(source, status) and (not status.get("child") or _follows(_wanted(source), status))
    ]


def _wanted(source: Mapping[str, Any]) -> str:
    return str(source.get("targetRevision") or "")


def _is_ours(source: Mapping[str, Any], status: Status) -> bool:
    url = str(source.get("repoURL", ""))
    repository = status.get("repository")
    if source.get("chart") or url.startswith("oci://"):
        return False
    return repository is None or same_repository(url, repository)


def _all_at_target(revisions: Sequence[str], at_target: AtTarget) -> bool:
    return bool(revisions) and all(revision and at_target(revision) for revision in revisions)


def _is_at_target(where: Mapping[str, Any], app: Object, status: Status, at_target: AtTarget) -> bool:
    """Whether a comparison or a sync was of the target; a child without our repository always is."""
    revisions = _revisions(app, where, status)
    return _all_at_target(revisions, at_target) or (bool(status.get("child")) and not revisions)


def _is_compared_to_spec(app: Object, compared: Mapping[str, Any]) -> bool:
    keys = ("source", "sources", "destination")
    return all(app["spec"].get(key) == compared[key] for key in keys if compared.get(key))


def _resources(app: Object) -> Sequence[Mapping[str, Any]]:
    return app.get("status", {}).get("resources") or ()


def _called(item: Mapping[str, Any]) -> str:
    return f"{item.get('kind')} {item.get('namespace', '')}/{item.get('name')}"


def _unhealthy(app: Object) -> Iterator[str]:
    for item in _resources(app):
        health = item.get("health") or {}
        if health.get("status") not in (None, "Healthy"):
            message = f": {health['message']}" if health.get("message") else ""
            yield f"{_called(item)} {health['status']}{message}"


def _rows(app: Object) -> Iterator[Resource]:
    """Its resources, as a table shows them."""
    states = {"Healthy": State.SUCCEEDED, "Degraded": State.FAILED, "Suspended": State.SUSPENDED}
    for item in _resources(app):
        health = (item.get("health") or {}).get("status")
        state = states.get(health or "Healthy", State.PROGRESSING)
        if item.get("status") == "OutOfSync" and state is State.SUCCEEDED:
            state = State.PROGRESSING
        words = filter(None, (item.get("status"), health, (item.get("health") or {}).get("message")))
        yield Resource(_called(item), state, ", ".join(words))
