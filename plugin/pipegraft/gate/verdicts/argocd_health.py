"""How what an Argo CD Application has applied is: its own word, its workloads', its resource tree's.

Argo CD 3 keeps the health of each resource out of the Application, so absent health says nothing.
Source: argoproj/argo-cd, ``controller/health.go``, ``controller/cache/info.go``, ``gitops-engine``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pipegraft.gate.ports import Resource, State, Status, Verdict
from pipegraft.gate.verdicts import workloads
from pipegraft.gate.verdicts.conditions import Object, time_of
from pipegraft.gate.verdicts.workloads import has_lasted

__all__ = ["called", "health", "resources", "rows", "with_parts"]

_STATES = {"Healthy": State.SUCCEEDED, "Degraded": State.FAILED, "Suspended": State.SUSPENDED}
_FINAL = {"Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "Rollout"}
"""Kinds whose failure is one; others may be Degraded for the seconds that new pods need."""
_PASSING = timedelta(seconds=30)
_RESTARTS = 2
_CRASHING = "CrashLoopBackOff"
_HOPELESS = {"ImagePullBackOff", "InvalidImageName", "CreateContainerError", "RunContainerError"}


def resources(app: Object) -> Sequence[Mapping[str, Any]]:
    """Entries of ``status.resources``."""
    return (app.get("status") or {}).get("resources") or ()


def called(item: Mapping[str, Any]) -> str:
    """``Kind namespace/name`` of an entry or a node."""
    place = f"{item['namespace']}/" if item.get("namespace") else ""
    return f"{item.get('kind')} {place}{item.get('name')}"


def health(app: Object, status: Status) -> Verdict:
    """The verdict on an Application that is synced to the target."""
    told = app["status"].get("health") or {}
    unwell = [*_own(app), *_in_tree(status.get("tree") or ())]
    evidence = tuple(dict.fromkeys(line for _, line in unwell))
    reason = f"health {told.get('status', 'unknown')}" + (f": {evidence[0]}" if evidence else "")
    match told.get("status"):
        case "Healthy":
            there = status.get("templates") or ()
            images = workloads.images_of(there, lambda item: _ignored(app, item))
            old = next(filter(None, map(workloads.unreplaced, there)), None)
            return old or Verdict(State.SUCCEEDED, "Synced and Healthy", images=images)
        case "Degraded" if _passes(told, status, {kind for kind, _ in unwell}):
            return with_parts(Verdict(State.PROGRESSING, reason, evidence), status)
        case "Degraded":
            return with_parts(Verdict(State.FAILED, reason, evidence), status)
        case "Suspended":
            return with_parts(Verdict(State.SUSPENDED, reason, evidence), status)
        case _:
            return with_parts(Verdict(State.PROGRESSING, reason, evidence), status)


def _ignored(app: Object, item: Object) -> str:
    """The rule by which Argo CD does not see how the images of a workload differ, if one of its own does."""
    metadata, paths = item["metadata"], []
    for entry in app["spec"].get("ignoreDifferences") or ():
        same = entry.get("kind") in {item["kind"], "*"} and entry.get("group", "") in {"apps", "*"}
        if same and entry.get("name") in {None, "", metadata["name"]}:
            paths += [*(entry.get("jsonPointers") or ()), *(entry.get("jqPathExpressions") or ())]
            paths += [f"fields of {manager}" for manager in entry.get("managedFieldsManagers") or ()]
    return f"the Application ignores differences there ({', '.join(paths)})" if paths else ""


def with_parts(found: Verdict, status: Status) -> Verdict:
    """A failure that the workloads or their pods show is one, however long Argo CD calls it progress."""
    told = _parts(status)
    if told is None:
        return found
    if told.state is State.FAILED and found.state is State.PROGRESSING:
        return replace(told, evidence=(*told.evidence, *found.evidence))
    named = told.evidence[0] if told.state is State.SUCCEEDED and told.evidence else told.reason
    bad = told.state is not State.SUCCEEDED or told.evidence
    reason = f"{found.reason}: {named}" if bad and not found.evidence else found.reason
    return replace(found, reason=reason, evidence=(*found.evidence, *told.evidence), resources=told.resources)


def rows(app: Object, found: Verdict) -> Iterator[Resource]:
    """Its resources, as a table shows them; of workloads that were looked at, what they say themselves."""
    known = {row.name: row for row in found.resources}
    whole = found.state is State.SUCCEEDED
    for item in resources(app):
        name, own = called(item), item.get("health") or {}
        if name in known:
            yield known.pop(name)
            continue
        unsaid = State.SUCCEEDED if whole else State.PROGRESSING
        state = _STATES.get(own["status"], State.PROGRESSING) if own.get("status") else unsaid
        if item.get("status") == "OutOfSync" and state is State.SUCCEEDED:
            state = State.PROGRESSING
        said = own.get("status") or ("" if whole else "its health is not told")
        words = filter(None, (item.get("status"), said, own.get("message")))
        yield Resource(name, state, ", ".join(words))
    yield from known.values()


def _parts(status: Status) -> Verdict | None:
    """What the workloads say where they may be read, else what Argo CD's tree says of their pods."""
    if status.get("workloads") is not None:
        return workloads.health(status["workloads"], status.get("owned") or (), status.get("now"))
    operation = (status["application"].get("status") or {}).get("operationState") or {}
    fatal = list(_fatal(status.get("tree") or (), time_of(operation.get("startedAt"))))
    return Verdict(State.FAILED, fatal[0], tuple(fatal)) if fatal else None


def _passes(told: Mapping[str, Any], status: Status, kinds: set[str]) -> bool:
    """Whether an Application may be well again by itself: no workload has failed, and it is not long ago."""
    if kinds & _FINAL:
        return False
    since = told.get("lastTransitionTime")
    return bool(since and status.get("now")) and not has_lasted(since, _PASSING, status.get("now"))


def _own(app: Object) -> Iterator[tuple[str, str]]:
    for item in resources(app):
        yield from _line(item)


def _in_tree(tree: Sequence[Object]) -> Iterator[tuple[str, str]]:
    for node in tree:
        yield from _line(node)


def _line(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    told = item.get("health") or {}
    if told.get("status") not in (None, "Healthy"):
        message = f": {told['message']}" if told.get("message") else ""
        yield str(item.get("kind")), f"{called(item)} {told['status']}{message}"


def _fatal(tree: Sequence[Object], since: datetime) -> Iterator[str]:
    """Pods that will not run, of those that the last sync has made: Argo CD's tree lags behind its status."""
    made = {str(node.get("uid")): time_of(node.get("createdAt")) for node in tree}
    for node in tree:
        owners = [made.get(str(parent.get("uid"))) for parent in node.get("parentRefs") or ()]
        sets = [at for at, kind in zip(owners, _kinds(node), strict=True) if at and kind == "ReplicaSet"]
        if node.get("kind") != "Pod" or not (
            time_of(node.get("createdAt")) > since or any(at >= since for at in sets)
        ):
            continue
        info = {entry.get("name"): str(entry.get("value")) for entry in node.get("info") or ()}
        reason, restarts = info.get("Status Reason", ""), info.get("Restart Count", "0")
        crashing = reason == _CRASHING and restarts.isdecimal() and int(restarts) > _RESTARTS
        if crashing or reason in _HOPELESS:
            message = (node.get("health") or {}).get("message", "")
            yield f"{called(node)}: {reason}" + (f": {message}" if message else "")


def _kinds(node: Object) -> list[str]:
    return [str(parent.get("kind")) for parent in node.get("parentRefs") or ()]
