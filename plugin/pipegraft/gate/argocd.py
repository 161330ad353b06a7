"""Verdict on an Argo CD Application.

It has no observedGeneration: whether a status is fresh follows from what it was compared to, and from whether
Argo CD has answered our request to compare. Source: argoproj/argo-cd,
``pkg/apis/application/v1alpha1/types.go``, ``controller/state.go``, ``controller/sync.go`` and
``controller/appcontroller.go``. How what it has applied is, its own word tells, its workloads' and its
resource tree's: Argo CD 3 keeps the health of each resource out of the Application, so absent health says
nothing. Source: ``controller/health.go``, ``controller/cache/info.go`` and ``gitops-engine``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pipegraft.gate import workloads
from pipegraft.gate.argocd_sync import (
    AtTarget,
    called,
    follows,
    is_at_target,
    is_compared_to_spec,
    is_here,
    is_ours,
    matches,
    not_synced,
    operation_of,
    out_of_sync,
    resources,
    revisions,
    sources,
    wanted_revision,
)
from pipegraft.gate.conditions import COMMIT, HOPELESS, Object, name_of, several, time_of
from pipegraft.gate.pods import FORGIVEN_RESTARTS, NEVER_RUNS, has_lasted
from pipegraft.gate.ports import Resource, State, Status, Verdict

__all__ = ["REFRESH", "applied", "verdict", "verdicts"]

REFRESH = "argocd.argoproj.io/refresh"
"""Annotation that asks for a comparison; the controller takes it away with the status it then writes."""
_SKIPPED = "argocd.argoproj.io/skip-reconcile"
_ERRORS = {"ComparisonError", "InvalidSpecError", "SyncError"}
_MOVING = {"Running", "Terminating"}
_PASSING = re.compile(
    r"Unavailable|DeadlineExceeded|code = Canceled|connection (refused|reset)|i/o timeout|no such host|EOF"
    r"|deadline exceeded|failed to list refs|error dialing|TLS handshake|too many requests|\b50[234]\b"
)
"""Words of errors of the network or of a part of Argo CD that starts: they mend themselves, mostly."""
_LASTING = timedelta(seconds=60)
"""How long such an error must have lasted before that is no hiccup."""
_ASKS = re.compile(r"waiting for (pruning|deletion) confirmation", re.IGNORECASE)
_STATES = {"Healthy": State.SUCCEEDED, "Degraded": State.FAILED, "Suspended": State.SUSPENDED}
_FINAL = {"Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "Rollout"}
"""Kinds whose failure is one; others may be Degraded for the seconds that new pods need."""
_HICCUP = timedelta(seconds=30)
"""How long health may be Degraded though no workload has failed."""
_OUT_OF_TIME, _OF_BEFORE = "exceeded its progress deadline", timedelta(seconds=10)
"""What Argo CD says of a Deployment, and how long behind a sync it may be about the template before."""
_UNCOUNTED = (
    'a CronJob with the annotation argocd.argoproj.io/ignore-healthcheck: "true" is left out of health'
)
_CRASHING = "CrashLoopBackOff"
_ELSEWHERE = (
    "its destination is another cluster, which was not looked at: how it is there is Argo CD's word alone"
)


def verdict(status: Status, at_target: AtTarget) -> Verdict:
    """Succeeded once the target is compared, synced and healthy.

    Arguments:
        status: ``application``: the object; ``answered``: whether it is from after our request to compare;
            ``repository``: URL of the IaC repository, None counts every git source; ``branch``: the one a
            source must follow, None: any; ``child``: whether another application declares this one, which
            then may be made from another repository; ``can-sync``: what its sync windows say now, or None;
            ``rolling``: whether its ApplicationSet syncs it when its turn comes, None: it may;
            ``workloads``: what it has applied, ``owned``: their ReplicaSets and pods, ``tree``: the nodes of
            its resource tree, each None where it was not looked at; ``now``: the cluster's time, RFC 3339.
        at_target: whether a revision is the target or a descendant of it.
    """
    app: Object = status["application"]
    found = _conclude(app, status, at_target)
    return replace(found, resources=tuple(_rows(app, found)))


def _conclude(app: Object, status: Status, at_target: AtTarget) -> Verdict:
    for check in (
        _gone,
        _foreign,
        _pinned,
        _skipped,
        _moving,
        _failed_operation,
        _errors,
        _other_revision,
        _stale,
        not_synced,
        out_of_sync,
    ):
        found = check(app, status, at_target)
        if found:
            return found
    return _health(app, status)


verdicts = several(verdict, lambda status: name_of(status["application"]))
"""The rule for ``applications``, see `several`."""


def applied(app: Object) -> Iterator[Mapping[str, Any]]:
    """What an application has applied of its present revision, as entries of ``status.resources``.

    While a sync runs, that is what this sync has applied already, hooks that run among it: the rest may still
    be of the one before.
    """
    operation = operation_of(app)
    if operation.get("phase") not in _MOVING:
        yield from resources(app)
        return
    for item in (operation.get("syncResult") or {}).get("resources") or ():
        if item.get("status") == "Synced" or item.get("hookPhase") == "Running":
            yield item


def _gone(app: Object, _status: Status, _at_target: AtTarget) -> Verdict | None:
    if app["metadata"].get("deletionTimestamp"):
        return Verdict(State.FAILED, "the Application is being deleted")
    return None


def _foreign(app: Object, status: Status, _at_target: AtTarget) -> Verdict | None:
    if status.get("child") or any(is_ours(source, status) for source in sources(app)):
        return None
    if app["spec"].get("sourceHydrator"):
        reason = (
            "the Application takes hydrated manifests, whose commits are others than those of the release"
        )
        return Verdict(State.FAILED, reason, ("gate by the engine 'workloads'",))
    urls = ", ".join(str(source.get("repoURL")) for source in sources(app))
    return Verdict(
        State.FAILED,
        f"no source of the Application is the IaC repository, {status.get('repository')}; it has: {urls}",
        ("if that is the same repository by another name, set 'gate.repository' to it",),
    )


def _pinned(app: Object, status: Status, _at_target: AtTarget) -> Verdict | None:
    if status.get("child"):
        return None
    followed = [wanted_revision(source) for source in sources(app) if is_ours(source, status)]
    other = next((revision for revision in followed if not follows(revision, status)), None)
    if other is None:
        return None
    return Verdict(
        State.FAILED, f"the Application follows '{other}', not the branch '{status.get('branch')}'"
    )


def _skipped(app: Object, _status: Status, _at_target: AtTarget) -> Verdict | None:
    if (app["metadata"].get("annotations") or {}).get(_SKIPPED) != "true":
        return None
    return Verdict(
        State.BLOCKED, "reconciliation is switched off", (f"remove the Application's annotation {_SKIPPED}",)
    )


def _moving(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    operation = operation_of(app)
    if operation.get("phase") not in _MOVING:
        return Verdict(State.PROGRESSING, "a sync is about to start") if app.get("operation") else None
    message = str(operation.get("message", ""))
    refused = list(_refused(operation))
    evidence = tuple(line for _, line in refused)
    found = Verdict(State.PROGRESSING, f"sync {operation['phase']}: {message}", evidence)
    if not is_at_target(operation.get("syncResult") or {}, app, status, at_target):
        return found
    if _ASKS.search(message):
        return replace(found, state=State.BLOCKED, reason=f"the sync waits for somebody: {message}")
    hopeless = next((line for is_hook, line in refused if is_hook or HOPELESS.search(line)), None)
    if hopeless:
        return replace(found, state=State.FAILED, reason=f"sync {operation['phase']}: {hopeless}")
    return _with_parts(found, status)


def _refused(operation: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """What a sync could not apply, and the hooks that failed: whether it is a hook, and what it says."""
    for item in (operation.get("syncResult") or {}).get("resources") or ():
        failed = bool(item.get("hookType")) and item.get("hookPhase") in {"Failed", "Error"}
        if failed or item.get("status") == "SyncFailed":
            yield failed, f"{called(item)}: {item.get('message', '')}"


def _failed_operation(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    operation = operation_of(app)
    if operation.get("phase") not in {"Failed", "Error"} or not _is_fresh(app, status):
        return None
    if not is_at_target(operation.get("syncResult") or {}, app, status, at_target):
        return None  # the sync of an older revision
    fix = f"Argo CD does not try this revision again by itself: argocd app sync {app['metadata']['name']}"
    reason = f"sync {operation['phase']}: {operation.get('message', '')}"
    return Verdict(State.FAILED, reason, (*(line for _, line in _refused(operation)), fix))


def _errors(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    if not _is_fresh(app, status):
        return None  # what was wrong before our commit may be what it repairs
    compared = (app.get("status") or {}).get("sync") or {}
    if any(revisions(app, compared, status)) and not is_at_target(compared, app, status, at_target):
        return None
    conditions = (app.get("status") or {}).get("conditions") or ()
    found = [entry for entry in conditions if entry.get("type") in _ERRORS and _is_about(entry, at_target)]
    if not found:
        return None
    lines = tuple(f"{entry['type']}: {entry.get('message', '')}" for entry in found)
    if not all(_PASSING.search(line) for line in lines):
        return Verdict(State.FAILED, lines[0], lines[1:])
    now = status.get("now")
    lasts = all(has_lasted(entry.get("lastTransitionTime"), _LASTING, now) for entry in found)
    return Verdict(State.FAILED if lasts else State.PROGRESSING, lines[0], lines[1:], outside=lasts)


def _is_about(entry: Mapping[str, Any], at_target: AtTarget) -> bool:
    """Whether an error that names commits names ours."""
    named = COMMIT.findall(str(entry.get("message", "")))
    return not named or any(at_target(commit) for commit in named)


def _other_revision(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    sync = (app.get("status") or {}).get("sync") or {}
    if is_at_target(sync, app, status, at_target):
        return None
    seen = ", ".join(revision[:12] for revision in revisions(app, sync, status)) or "nothing"
    return Verdict(State.PROGRESSING, f"Argo CD has compared {seen} so far")


def _stale(app: Object, status: Status, _at_target: AtTarget) -> Verdict | None:
    if not is_compared_to_spec(app, app["status"]["sync"].get("comparedTo") or {}):
        return Verdict(State.PROGRESSING, "its spec has changed since it was compared")
    finished = time_of(operation_of(app).get("finishedAt"))
    if time_of(app["status"].get("reconciledAt")) < finished:
        return Verdict(State.PROGRESSING, "the status is older than the last sync")
    if not _is_fresh(app, status):
        return Verdict(State.PROGRESSING, "the status is older than our request to look")
    return None


def _is_fresh(app: Object, status: Status) -> bool:
    """Whether the status is what Argo CD answered to our request to compare."""
    return bool(status.get("answered")) and REFRESH not in (app["metadata"].get("annotations") or {})


def _health(app: Object, status: Status) -> Verdict:
    """The verdict on an Application that is synced to the target."""
    told = app["status"].get("health") or {}
    unwell = [*_own(app), *_in_tree(_without_runs(status.get("tree") or ()))]
    evidence = tuple(dict.fromkeys(line for _, line in unwell))
    reason = f"health {told.get('status', 'unknown')}" + (f": {evidence[0]}" if evidence else "")
    match told.get("status"):
        case "Healthy":
            there = status.get("templates") or ()
            images = workloads.images_of(there, lambda item: _ignored(app, item))
            alone = () if there or is_here(app) else (_ELSEWHERE,)
            return Verdict(State.SUCCEEDED, "Synced and Healthy", alone, images=images)
        case "Degraded":
            passes = _passes(told, status, unwell)
            state = State.PROGRESSING if passes else State.FAILED
            found = _with_parts(Verdict(state, reason, evidence), status)
            of_run = any(line.startswith("CronJob ") for line in found.evidence)
            return replace(found, evidence=(*found.evidence, _UNCOUNTED)) if of_run else found
        case "Suspended":
            return _with_parts(Verdict(State.SUSPENDED, reason, evidence), status)
        case _:
            return _with_parts(Verdict(State.PROGRESSING, reason, evidence), status)


def _ignored(app: Object, item: Object) -> str:
    """The rule by which Argo CD does not see how the images of a workload differ, if one of its own does."""
    metadata, paths = item["metadata"], []
    group = "batch" if item["kind"] in {"Job", "CronJob"} else "apps"
    for entry in app["spec"].get("ignoreDifferences") or ():
        same = matches(entry.get("kind") or "", item["kind"]) and matches(entry.get("group") or "", group)
        if same and entry.get("name") in {None, "", metadata["name"]}:
            paths += [*(entry.get("jsonPointers") or ()), *(entry.get("jqPathExpressions") or ())]
            paths += [f"fields of {manager}" for manager in entry.get("managedFieldsManagers") or ()]
    return f"the Application ignores differences there ({', '.join(paths)})" if paths else ""


def _with_parts(found: Verdict, status: Status) -> Verdict:
    """What the workloads or their pods show to be over is over, however long Argo CD calls it progress."""
    told = _parts(status)
    if told is None:
        return found
    if told.state in {State.FAILED, State.BLOCKED} and found.state is State.PROGRESSING:
        return replace(told, evidence=(*told.evidence, *found.evidence))
    named = told.evidence[0] if told.state is State.SUCCEEDED and told.evidence else told.reason
    bad = told.state is not State.SUCCEEDED or told.evidence
    reason = f"{found.reason}: {named}" if bad and not found.evidence else found.reason
    return replace(found, reason=reason, evidence=(*found.evidence, *told.evidence), resources=told.resources)


def _rows(app: Object, found: Verdict) -> Iterator[Resource]:
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
    began = time_of(operation_of(status["application"]).get("startedAt"))
    fatal = list(_fatal(_without_runs(status.get("tree") or ()), began))
    return Verdict(State.FAILED, fatal[0], tuple(fatal)) if fatal else None


def _passes(told: Mapping[str, Any], status: Status, unwell: Sequence[tuple[str, str]]) -> bool:
    """Whether an Application may be well again by itself: no workload has failed, and it is not long ago.

    A Deployment's time that ran out is told of the template before for a moment, where a commit also scales.
    """
    since, lasting = told.get("lastTransitionTime"), _HICCUP
    if final := [line for kind, line in unwell if kind in _FINAL and " Degraded" in line]:
        if not all(_OUT_OF_TIME in line for line in final):
            return False
        since, lasting = operation_of(status["application"]).get("finishedAt"), _OF_BEFORE
    return bool(since and status.get("now")) and not has_lasted(since, lasting, status.get("now"))


def _own(app: Object) -> Iterator[tuple[str, str]]:
    for item in resources(app):
        yield from _line(item)


def _without_runs(tree: Sequence[Object]) -> list[Object]:
    """A tree without the runs of CronJobs: how one of them ends says nothing of a release."""
    runs = [node for node in tree if node.get("kind") == "Job" and "CronJob" in _kinds(node)]
    theirs = {node.get("uid") for node in runs}
    return [
        node
        for node in tree
        if node not in runs and theirs.isdisjoint(one.get("uid") for one in node.get("parentRefs") or ())
    ]


def _in_tree(tree: Sequence[Object]) -> Iterator[tuple[str, str]]:
    for node in tree:
        yield from _line(node)


def _line(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    told = item.get("health") or {}
    if told.get("status") not in (None, "Healthy"):
        message = f": {told['message']}" if told.get("message") else ""
        yield str(item.get("kind")), f"{called(item)} {told['status']}{message}"


def _fatal(tree: Sequence[Object], since: datetime) -> Iterator[str]:
    """Pods that will not run, of those that the last sync has made, and its Jobs that have failed.

    Argo CD's tree lags behind its status; a Job that failed stays so, however often a sync is tried again.
    """
    made = {str(node.get("uid")): time_of(node.get("createdAt")) for node in tree}
    for node in tree:
        failed = (node.get("health") or {}).get("status") == "Degraded"
        if node.get("kind") == "Job" and failed and time_of(node.get("createdAt")) >= since:
            yield from (line for _, line in _line(node))
        owners = [made.get(str(parent.get("uid"))) for parent in node.get("parentRefs") or ()]
        sets = [at for at, kind in zip(owners, _kinds(node), strict=True) if at and kind == "ReplicaSet"]
        if node.get("kind") != "Pod" or not (
            time_of(node.get("createdAt")) > since or any(at >= since for at in sets)
        ):
            continue
        info = {entry.get("name"): str(entry.get("value")) for entry in node.get("info") or ()}
        reason, restarts = info.get("Status Reason", ""), info.get("Restart Count", "0")
        crashing = reason == _CRASHING and restarts.isdecimal() and int(restarts) > FORGIVEN_RESTARTS
        if crashing or reason in NEVER_RUNS:
            message = (node.get("health") or {}).get("message", "")
            yield f"{called(node)}: {reason}" + (f": {message}" if message else "")


def _kinds(node: Object) -> list[str]:
    return [str(parent.get("kind")) for parent in node.get("parentRefs") or ()]
