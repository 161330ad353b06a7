"""Verdict on an Argo CD Application.

It has no observedGeneration: whether a status is fresh follows from what it was compared to, and from whether
Argo CD has answered our request to compare. Source: argoproj/argo-cd,
``pkg/apis/application/v1alpha1/types.go``, ``controller/state.go``, ``controller/sync.go`` and
``controller/appcontroller.go``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pipegraft.gate.ports import State, Status, Verdict
from pipegraft.gate.verdicts.argocd_health import called, health, resources, rows, with_parts
from pipegraft.gate.verdicts.conditions import (
    HOPELESS,
    Object,
    name_of,
    same_repository,
    several,
    time_of,
)
from pipegraft.gate.verdicts.workloads import has_lasted

__all__ = ["REFRESH", "applied", "verdict", "verdicts"]

_HEAD = {"", "HEAD"}
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
_COMMIT = re.compile(r"\b(?:[0-9a-f]{40}|[0-9a-f]{64})\b")
_STUCK = timedelta(seconds=10)
"""How long after a sync a difference must remain, for the comparison after it may still be under way."""

AtTarget = Callable[[str], bool]


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
    return replace(found, resources=tuple(rows(app, found)))


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
        _closed,
        _out_of_sync,
    ):
        found = check(app, status, at_target)
        if found:
            return found
    return health(app, status)


verdicts = several(verdict, lambda status: name_of(status["application"]))
"""The rule for ``applications``, see `several`."""


def applied(app: Object) -> Iterator[Mapping[str, Any]]:
    """What an application has applied of its present revision, as entries of ``status.resources``.

    While a sync runs, that is what this sync has applied already, hooks that run among it: the rest may still
    be of the one before.
    """
    operation = _operation(app)
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
    followed = [_wanted(source) for source in _sources(app) if _is_ours(source, status)]
    other = next((revision for revision in followed if not _follows(revision, status)), None)
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
    operation = _operation(app)
    if operation.get("phase") not in _MOVING:
        return Verdict(State.PROGRESSING, "a sync is about to start") if app.get("operation") else None
    message = str(operation.get("message", ""))
    refused = list(_refused(operation))
    evidence = tuple(line for _, line in refused)
    found = Verdict(State.PROGRESSING, f"sync {operation['phase']}: {message}", evidence)
    if not _is_at_target(operation.get("syncResult") or {}, app, status, at_target):
        return found
    if _ASKS.search(message):
        return replace(found, state=State.BLOCKED, reason=f"the sync waits for somebody: {message}")
    hopeless = next((line for is_hook, line in refused if is_hook or HOPELESS.search(line)), None)
    if hopeless:
        return replace(found, state=State.FAILED, reason=f"sync {operation['phase']}: {hopeless}")
    return with_parts(found, status)


def _refused(operation: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """What a sync could not apply, and the hooks that failed: whether it is a hook, and what it says."""
    for item in (operation.get("syncResult") or {}).get("resources") or ():
        failed = bool(item.get("hookType")) and item.get("hookPhase") in {"Failed", "Error"}
        if failed or item.get("status") == "SyncFailed":
            yield failed, f"{called(item)}: {item.get('message', '')}"


def _failed_operation(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    operation = _operation(app)
    if operation.get("phase") not in {"Failed", "Error"} or not _is_fresh(app, status):
        return None
    if not _is_at_target(operation.get("syncResult") or {}, app, status, at_target):
        return None  # the sync of an older revision
    fix = f"Argo CD does not try this revision again by itself: argocd app sync {app['metadata']['name']}"
    reason = f"sync {operation['phase']}: {operation.get('message', '')}"
    return Verdict(State.FAILED, reason, (*(line for _, line in _refused(operation)), fix))


def _errors(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    if not _is_fresh(app, status):
        return None  # what was wrong before our commit may be what it repairs
    compared = (app.get("status") or {}).get("sync") or {}
    if any(_revisions(app, compared, status)) and not _is_at_target(compared, app, status, at_target):
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
    named = _COMMIT.findall(str(entry.get("message", "")))
    return not named or any(at_target(commit) for commit in named)


def _other_revision(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    sync = (app.get("status") or {}).get("sync") or {}
    if _is_at_target(sync, app, status, at_target):
        return None
    seen = ", ".join(revision[:12] for revision in _revisions(app, sync, status)) or "nothing"
    return Verdict(State.PROGRESSING, f"Argo CD has compared {seen} so far")


def _stale(app: Object, status: Status, _at_target: AtTarget) -> Verdict | None:
    if not _is_compared_to_spec(app, app["status"]["sync"].get("comparedTo") or {}):
        return Verdict(State.PROGRESSING, "its spec has changed since it was compared")
    finished = time_of(_operation(app).get("finishedAt"))
    if time_of(app["status"].get("reconciledAt")) < finished:
        return Verdict(State.PROGRESSING, "the status is older than the last sync")
    if not _is_fresh(app, status):
        return Verdict(State.PROGRESSING, "the status is older than our request to look")
    return None


def _closed(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
    """What keeps an OutOfSync application from being synced, without anybody doing something."""
    if app["status"]["sync"].get("status") != "OutOfSync":
        return None
    name, stale = app["metadata"]["name"], [it for it in resources(app) if it.get("status") == "OutOfSync"]
    different = tuple(called(item) for item in stale)
    automated = (app["spec"].get("syncPolicy") or {}).get("automated")
    if automated is None or automated.get("enabled") is False:
        if status.get("rolling", False) is not False:
            reason = "OutOfSync: its ApplicationSet syncs it when its turn comes"
            return Verdict(State.PROGRESSING, reason, different)
        reason = "OutOfSync, and automated sync is off: somebody must sync it"
        return Verdict(State.BLOCKED, reason, (f"argocd app sync {name}", *different))
    if status.get("can-sync") is False:
        return Verdict(State.BLOCKED, "OutOfSync, and a sync window keeps it closed", different)
    if stale and all(item.get("requiresPruning") for item in stale):
        if not automated.get("prune"):
            reason = "OutOfSync: what is no longer declared must be pruned, and automated pruning is off"
            return Verdict(State.BLOCKED, reason, different)
        if _was_synced(app, status, at_target):
            reason = "OutOfSync: what is no longer declared is told not to be pruned"
            return Verdict(State.BLOCKED, reason, different)
    if automated.get("selfHeal") or not _was_synced(app, status, at_target):
        return None
    reason = "OutOfSync though this commit was synced, and selfHeal is off: it is not synced again by itself"
    return Verdict(State.BLOCKED, reason, (f"argocd app diff {name}", *different))


def _was_synced(app: Object, status: Status, at_target: AtTarget) -> bool:
    """Whether the last sync was of the target, and is over for good."""
    operation = _operation(app)
    return (
        operation.get("phase") == "Succeeded"
        and _is_at_target(operation.get("syncResult") or {}, app, status, at_target)
        and bool(status.get("now"))
        and has_lasted(operation.get("finishedAt"), _STUCK, status.get("now"))
    )


def _out_of_sync(app: Object, _status: Status, _at_target: AtTarget) -> Verdict | None:
    sync = app["status"]["sync"]
    if sync.get("status") == "Synced":
        return None
    evidence = tuple(called(item) for item in resources(app) if item.get("status") == "OutOfSync")
    return Verdict(State.PROGRESSING, f"sync status {sync.get('status')}", evidence)


def _operation(app: Object) -> Mapping[str, Any]:
    return (app.get("status") or {}).get("operationState") or {}


def _is_fresh(app: Object, status: Status) -> bool:
    """Whether the status is what Argo CD answered to our request to compare."""
    return bool(status.get("answered")) and REFRESH not in (app["metadata"].get("annotations") or {})


def _sources(app: Object) -> Sequence[Mapping[str, Any]]:
    """Its sources, one or several."""
    return app["spec"].get("sources") or [app["spec"].get("source") or {}]


def _wanted(source: Mapping[str, Any]) -> str:
    """The revision that a source follows."""
    return str(source.get("targetRevision") or "")


def _is_ours(source: Mapping[str, Any], status: Status) -> bool:
    """Whether a source is the IaC repository; any git repository is where none is named."""
    url = str(source.get("repoURL", ""))
    repository = status.get("repository")
    if source.get("chart") or url.startswith("oci://"):
        return False
    return repository is None or same_repository(url, repository)


def _follows(revision: str, status: Status) -> bool:
    """Whether a revision is the branch that we write to."""
    branch = status.get("branch")
    return branch is None or revision in _HEAD | {branch, f"refs/heads/{branch}"}


def _revisions(app: Object, where: Mapping[str, Any], status: Status) -> list[str]:
    """Commits of the sources that are our repository; charts have versions, not revisions.

    Where a source could not be read, Argo CD says the branch instead of a commit; that is none.
    """
    found = where.get("revisions") or [where.get("revision") or ""]
    return [
        revision if _COMMIT.fullmatch(revision) else ""
        for source, revision in zip(_sources(app), found, strict=False)
        if _is_ours(source, status) and (not status.get("child") or _follows(_wanted(source), status))
    ]


def _is_at_target(
    where: Mapping[str, Any], app: Object, status: Status, at_target: Callable[[str], bool]
) -> bool:
    """Whether a comparison or a sync was of the target; a child without our repository always is."""
    found = _revisions(app, where, status)
    if not found:
        return bool(status.get("child"))
    return all(revision and at_target(revision) for revision in found)


def _is_compared_to_spec(app: Object, compared: Mapping[str, Any]) -> bool:
    """Whether the spec is still what it was when it was compared.

    What was compared is written from a struct, which leaves out what is empty and has an empty ``source``
    beside ``sources``.
    """
    keys = ("sources", "destination") if app["spec"].get("sources") else ("source", "destination")
    return all(_filled(app["spec"].get(key)) == _filled(compared[key]) for key in keys if compared.get(key))


def _filled(value: Any) -> Any:
    """A value without the parts that Go's ``omitempty`` leaves out."""
    if isinstance(value, Mapping):
        parts = {key: _filled(part) for key, part in value.items()}
        return {key: part for key, part in parts.items() if part not in (None, "", 0, False, [], {})}
    return [_filled(part) for part in value] if isinstance(value, list) else value
