"""Whether an Argo CD Application is synced to the target, and whether that may happen by itself now.

Source: argoproj/argo-cd, ``pkg/apis/application/v1alpha1/types.go`` (``SyncWindows.CanSync``) and
``controller/state.go``, with the cron dialect of robfig/cron: `?` is `*`, a step in a day's field restricts
it, and Sunday is 0 alone. cronsim knows Debian's dialect, so that schedules are put into that one. A table of
Argo CD's own decisions is tested.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from pipegraft.core.model import parse_duration
from pipegraft.gate.conditions import COMMIT, Object, same_repository
from pipegraft.gate.pods import has_lasted
from pipegraft.gate.ports import State, Status, Verdict

__all__ = [
    "AtTarget",
    "called",
    "can_sync",
    "follows",
    "is_active",
    "is_at_target",
    "is_compared_to_spec",
    "is_here",
    "is_ours",
    "matches",
    "not_synced",
    "operation_of",
    "out_of_sync",
    "resources",
    "revisions",
    "sources",
    "wanted_revision",
]

_HEAD = {"", "HEAD"}
_HERE = {"https://kubernetes.default.svc", "in-cluster"}
"""How a destination says the cluster that Argo CD itself runs in."""
_STUCK = timedelta(seconds=10)
"""How long after a sync a difference must remain, for the comparison after it may still be under way."""
_HIGHEST = (59, 23, 31, 12, 6)
_LOWEST = (0, 0, 1, 1, 0)
_STEP = re.compile(r"(\*|\w+)/(\d+)")
_ITEM = re.compile(r"(\*|(\d+|[a-z]{3})(-(\d+|[a-z]{3}))?)(/\d+)?")

AtTarget = Callable[[str], bool]


def operation_of(app: Object) -> Mapping[str, Any]:
    return (app.get("status") or {}).get("operationState") or {}


def resources(app: Object) -> Sequence[Mapping[str, Any]]:
    """Entries of ``status.resources``."""
    return (app.get("status") or {}).get("resources") or ()


def called(item: Mapping[str, Any]) -> str:
    """``Kind namespace/name`` of an entry or a node."""
    place = f"{item['namespace']}/" if item.get("namespace") else ""
    return f"{item.get('kind')} {place}{item.get('name')}"


def is_here(app: Object) -> bool:
    """Whether an Application's destination is the cluster that Argo CD itself runs in."""
    destination = app["spec"].get("destination") or {}
    return bool({destination.get("server"), destination.get("name")} & _HERE)


def sources(app: Object) -> Sequence[Mapping[str, Any]]:
    """Its sources, one or several."""
    return app["spec"].get("sources") or [app["spec"].get("source") or {}]


def wanted_revision(source: Mapping[str, Any]) -> str:
    """The revision that a source follows."""
    return str(source.get("targetRevision") or "")


def is_ours(source: Mapping[str, Any], status: Status) -> bool:
    """Whether a source is the IaC repository; any git repository is where none is named."""
    url = str(source.get("repoURL", ""))
    repository = status.get("repository")
    if source.get("chart") or url.startswith("oci://"):
        return False
    return repository is None or same_repository(url, repository)


def follows(revision: str, status: Status) -> bool:
    """Whether a revision is the branch that we write to."""
    branch = status.get("branch")
    return branch is None or revision in _HEAD | {branch, f"refs/heads/{branch}"}


def revisions(app: Object, where: Mapping[str, Any], status: Status) -> list[str]:
    """Commits of the sources that are our repository; charts have versions, not revisions.

    Where a source could not be read, Argo CD says the branch instead of a commit; that is none.
    """
    found = where.get("revisions") or [where.get("revision") or ""]
    return [
        revision if COMMIT.fullmatch(revision) else ""
        for source, revision in zip(sources(app), found, strict=False)
        if is_ours(source, status) and (not status.get("child") or follows(wanted_revision(source), status))
    ]


def is_at_target(
    where: Mapping[str, Any], app: Object, status: Status, at_target: Callable[[str], bool]
) -> bool:
    """Whether a comparison or a sync was of the target; a child without our repository always is."""
    found = revisions(app, where, status)
    if not found:
        return bool(status.get("child"))
    return all(revision and at_target(revision) for revision in found)


def is_compared_to_spec(app: Object, compared: Mapping[str, Any]) -> bool:
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


def not_synced(app: Object, status: Status, at_target: AtTarget) -> Verdict | None:
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
            reason = (
                "OutOfSync: what is no longer declared is told not to be pruned, or waits for its finalizers"
            )
            return Verdict(State.BLOCKED, reason, different)
    if automated.get("selfHeal") or not _was_synced(app, status, at_target):
        return None
    reason = "OutOfSync though this commit was synced, and selfHeal is off: it is not synced again by itself"
    return Verdict(State.BLOCKED, reason, (f"argocd app diff {name}", *different))


def _was_synced(app: Object, status: Status, at_target: AtTarget) -> bool:
    """Whether the last sync was of the target, and is over for good."""
    operation = operation_of(app)
    return (
        operation.get("phase") == "Succeeded"
        and is_at_target(operation.get("syncResult") or {}, app, status, at_target)
        and bool(status.get("now"))
        and has_lasted(operation.get("finishedAt"), _STUCK, status.get("now"))
    )


def out_of_sync(app: Object, _status: Status, _at_target: AtTarget) -> Verdict | None:
    sync = app["status"]["sync"]
    if sync.get("status") == "Synced":
        return None
    evidence = tuple(called(item) for item in resources(app) if item.get("status") == "OutOfSync")
    return Verdict(State.PROGRESSING, f"sync status {sync.get('status')}", evidence)


def can_sync(windows: Sequence[Mapping[str, Any]], app: Object, now: datetime) -> bool | None:
    """Whether automated sync is allowed now.

    Arguments:
        windows: ``spec.syncWindows`` of the Application's project.
        now: an aware time.

    Returns:
        None if no window is about this Application, or one cannot be understood.
    """
    mine = [window for window in windows if _is_about(window, app)]
    if not mine:
        return None
    try:
        active = [window for window in mine if is_active(window, now)]
    except (ValueError, KeyError, CronSimError):
        return None
    if any(window.get("kind") == "deny" for window in active):
        return False
    allowing = [window for window in mine if window.get("kind") == "allow"]
    return not allowing or any(window in active for window in allowing)


def _is_about(window: Mapping[str, Any], app: Object) -> bool:
    destination = app["spec"].get("destination") or {}
    given = {
        "applications": (app["metadata"]["name"],),
        "namespaces": (destination.get("namespace", ""),),
        "clusters": (destination.get("server", ""), destination.get("name", "")),
    }
    told = [
        any(matches(pattern, value) for value in values for pattern in window[key])
        for key, values in given.items()
        if window.get(key)
    ]
    return bool(told) and (all(told) if window.get("andOperator") else any(told))


def matches(pattern: str, text: str) -> bool:
    """Whether a text matches a glob, which may have alternatives in braces."""
    return any(fnmatchcase(text, one) for one in _alternatives(pattern))


def _alternatives(pattern: str) -> Iterator[str]:
    """The patterns without braces that a pattern with some stands for."""
    opened = pattern.find("{")
    if opened < 0:
        yield pattern
        return
    depth, begins, parts = 0, opened + 1, []
    for at in range(opened, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[at], 0)
        if (pattern[at] == "," and depth == 1) or depth == 0:
            parts.append(pattern[begins:at])
            begins = at + 1
        if depth == 0:
            for part in parts:
                yield from _alternatives(pattern[:opened] + part + pattern[at + 1 :])
            return
    yield pattern


def is_active(window: Mapping[str, Any], now: datetime) -> bool:
    """Whether a window's schedule has begun it less than its duration ago.

    Raises:
        ValueError, CronSimError: it cannot be understood.
    """
    zone = now.astimezone(ZoneInfo(window.get("timeZone") or "UTC"))
    local = zone.replace(tzinfo=None)  # Argo CD reckons with the zone's present offset, too
    begins = CronSim(
        _schedule(str(window["schedule"])), local - timedelta(seconds=parse_duration(str(window["duration"])))
    )
    return next(begins) < local


def _schedule(text: str) -> str:
    """A schedule in the dialect of cronsim."""
    parts = text.lower().split()
    if len(parts) != len(_HIGHEST):
        raise ValueError(f"expected five fields, found '{text}'")
    return " ".join(
        ",".join(_item(item, index) for item in part.split(",")) for index, part in enumerate(parts)
    )


def _item(item: str, index: int) -> str:
    item = item.replace("?", "*")
    if not _ITEM.fullmatch(item) or (index == 4 and "7" in item.partition("/")[0]):
        raise ValueError(f"expected a number, a name or a range, found '{item}'")
    step = _STEP.fullmatch(item)
    if not step or (step[2] == "1" and step[1] == "*"):
        return "*" if step else item
    first = str(_LOWEST[index]) if step[1] == "*" else step[1]
    return f"{first}-{_HIGHEST[index]}/{step[2]}"
