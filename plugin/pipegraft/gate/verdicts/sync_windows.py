"""Whether an Argo CD project's sync windows let an Application be synced by itself now.

Source: argoproj/argo-cd, ``pkg/apis/application/v1alpha1/types.go``, ``SyncWindows.CanSync``, with the cron
dialect of robfig/cron: `?` is `*`, a step in a day's field restricts it, and Sunday is 0 alone. cronsim knows
Debian's dialect, so that schedules are put into that one. A table of Argo CD's own decisions is tested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from pipegraft.core.model import parse_duration
from pipegraft.gate.verdicts.conditions import Object

__all__ = ["can_sync", "is_active", "matches"]

_HIGHEST = (59, 23, 31, 12, 6)
_LOWEST = (0, 0, 1, 1, 0)
_STEP = re.compile(r"(\*|\w+)/(\d+)")
_ITEM = re.compile(r"(\*|(\d+|[a-z]{3})(-(\d+|[a-z]{3}))?)(/\d+)?")


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
