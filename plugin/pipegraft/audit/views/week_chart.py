"""Values by week as SVG: bars for counts, a line with gaps where there is no data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

__all__ = ["bars", "line"]

_WIDTH, _HEIGHT = 640, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 8, 10, 24
_INNER = _WIDTH - _LEFT - _RIGHT
_FLOOR = _HEIGHT - _BOTTOM


def bars(starts: Sequence[float], parts: Sequence[tuple[str, Sequence[int]]], label: str) -> str:
    """Stacked bars.

    Arguments:
        starts: beginning of each week, seconds since the epoch.
        parts: CSS class and one count a week, the lowest part first.
        label: what is drawn, for those who cannot see it.
    """
    totals = [sum(counts) for counts in zip(*(counts for _, counts in parts), strict=True)]
    top = _ceiling(max(totals, default=0))
    step = _INNER / max(len(starts), 1)
    width = max(step * 0.8, 1.0)
    drawn = ""
    for index, start in enumerate(starts):
        height = 0.0
        x = _LEFT + index * step + (step - width) / 2
        told = ", ".join(f"{counts[index]} {name}" for name, counts in parts)
        for name, counts in parts:
            part = counts[index] / top * (_FLOOR - _TOP)
            if not part:
                continue
            height += part
            drawn += (
                f'<rect class="{name}" x="{x:.1f}" y="{_FLOOR - height:.1f}" width="{width:.1f}" '
                f'height="{part:.1f}"><title>week of {_day(start)}: {told}</title></rect>'
            )
    return _svg(label, _rules(top, _count) + drawn + _dates(starts, step))


def line(starts: Sequence[float], values: Sequence[float | None], label: str) -> str:
    """A line of durations with a dot for each week that has one.

    Arguments:
        starts: beginning of each week, seconds since the epoch.
        values: seconds, None without data.
        label: what is drawn, for those who cannot see it.
    """
    hours = [None if value is None else value / 3600 for value in values]
    top = max((value for value in hours if value is not None), default=0.0) * 1.1 or 1.0
    step = _INNER / max(len(starts), 1)
    path, dots, drawing = "", "", False
    for index, value in enumerate(hours):
        if value is None:
            drawing = False
            continue
        x = _LEFT + (index + 0.5) * step
        y = _TOP + (1 - value / top) * (_FLOOR - _TOP)
        path += f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}"
        drawing = True
        title = f"week of {_day(starts[index])}: {_hours(value)}"
        dots += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{title}</title></circle>'
    drawn = f'<g class="weight"><path d="{path}"/>{dots}</g>' if path else ""
    return _svg(label, _rules(top, _hours) + drawn + _dates(starts, step))


def _svg(label: str, content: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{content}</svg>'


def _rules(top: float, shown: Callable[[float], str]) -> str:
    drawn = ""
    for share in (0.0, 0.5, 1.0):
        y = _TOP + (1 - share) * (_FLOOR - _TOP)
        text = shown(share * top)
        drawn += (
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    return drawn


def _dates(starts: Sequence[float], step: float) -> str:
    """The first and the last week, and the one in the middle if there is room."""
    if not starts:
        return ""
    chosen = {0: "start", len(starts) - 1: "end"} if len(starts) > 1 else {0: "middle"}
    if len(starts) > 4:
        chosen[len(starts) // 2] = "middle"
    return "".join(
        f'<text x="{_LEFT + (index + {"start": 0, "middle": 0.5, "end": 1}[anchor]) * step:.1f}" '
        f'y="{_HEIGHT - 6}" text-anchor="{anchor}">{_day(starts[index])}</text>'
        for index, anchor in chosen.items()
    )


def _ceiling(most: int) -> int:
    """The next even number, so that the middle of the axis is a whole one."""
    return max(2, 2 * math.ceil(most / 2))


def _count(value: float) -> str:
    return f"{value:g}"


def _day(start: float) -> str:
    return datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d")


def _hours(value: float) -> str:
    if value >= 48:
        return f"{value / 24:.3g} d"
    return f"{value:.3g} h" if value >= 1 or not value else f"{60 * value:.3g} min"
