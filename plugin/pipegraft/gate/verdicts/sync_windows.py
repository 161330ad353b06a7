"""Whether an Argo CD project's sync windows let an Application be synced by itself now.

Source: argoproj/argo-cd, ``pkg/apis/application/v1alpha1/types.go``, ``SyncWindows.CanSync``; the schedule
is the five fields of crontab(5), where day of month and day of week are alternatives if both are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from pipegraft.core.model import parse_duration
from pipegraft.gate.verdicts.conditions import Object

__all__ = ["can_sync"]

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES = {
    3: ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    4: ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}


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
        active = [window for window in mine if _is_active(window, now)]
    except (ValueError, KeyError):
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
    matches = [
        any(fnmatchcase(value, pattern) for value in values for pattern in window[key])
        for key, values in given.items()
        if window.get(key)
    ]
    return bool(matches) and (all(matches) if window.get("andOperator") else any(matches))


def _is_active(window: Mapping[str, Any], now: datetime) -> bool:
    """Whether its schedule has begun it less than its duration ago."""
    local = now.astimezone(ZoneInfo(window.get("timeZone") or "UTC"))
    fields = _fields(str(window["schedule"]))
    minutes = int(parse_duration(str(window["duration"])) // 60)
    start = local.replace(second=0, microsecond=0)
    return any(_matches(fields, start - timedelta(minutes=back)) for back in range(minutes))


def _fields(schedule: str) -> list[tuple[frozenset[int], bool]]:
    """Allowed values of each field, and whether it is restricted."""
    parts = schedule.lower().split()
    if len(parts) != len(_RANGES):
        raise ValueError(f"expected five fields, found '{schedule}'")
    return [(_values(part, index), not part.startswith("*")) for index, part in enumerate(parts)]


def _values(part: str, index: int) -> frozenset[int]:
    low, high = _RANGES[index]
    found: set[int] = set()
    for item in part.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        begin = low if first in {"*", "?"} else _number(first, index)
        end = high if first in {"*", "?"} or (step and not last) else _number(last or first, index)
        found |= set(range(begin, end + 1, int(step or 1)))
    return frozenset(value % 7 for value in found) if index == 4 else frozenset(found)


def _number(text: str, index: int) -> int:
    names = _NAMES.get(index, ())
    return names.index(text) + (index == 3) if text in names else int(text)


def _matches(fields: Sequence[tuple[frozenset[int], bool]], at: datetime) -> bool:
    (minute, _), (hour, _), (day, by_day), (month, _), (weekday, by_weekday) = fields
    if at.minute not in minute or at.hour not in hour or at.month not in month:
        return False
    days = at.day in day, (at.isoweekday() % 7) in weekday
    return any(days) if by_day and by_weekday else all(days)
