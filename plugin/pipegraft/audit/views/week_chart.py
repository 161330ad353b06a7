"""Values by week as SVG: bars for counts, a line with gaps where there is no data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pipegraft.core.views.page import Axis, count_axis, duration_axis, show_duration

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
    axis = count_axis(max(totals, default=0))
    step = _INNER / max(len(starts), 1)
    width = max(step * 0.8, 1.0)
    drawn = ""
    for index, start in enumerate(starts):
        height = 0.0
        x = _LEFT + index * step + (step - width) / 2
        told = ", ".join(f"{counts[index]} {name}" for name, counts in parts)
        for name, counts in parts:
            part = axis.at(counts[index], 0, _FLOOR - _TOP)
            if not part:
                continue
            height += part
            drawn += (
                f'<rect class="{name}" x="{x:.1f}" y="{_FLOOR - height:.1f}" width="{width:.1f}" '
                f'height="{part:.1f}"><title>week of {_day(start)}: {told}</title></rect>'
            )
    return _svg(label, _rules(axis) + drawn + _dates(starts, step))


def line(starts: Sequence[float], values: Sequence[float | None], label: str) -> str:
    """A line of durations with a dot for each week that has one.

    Arguments:
        starts: beginning of each week, seconds since the epoch.
        values: seconds, None without data.
        label: what is drawn, for those who cannot see it.
    """
    axis = duration_axis(max((value for value in values if value is not None), default=0.0))
    step = _INNER / max(len(starts), 1)
    path, dots, drawing = "", "", False
    for index, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        x = _LEFT + (index + 0.5) * step
        y = axis.at(value, _FLOOR, _TOP)
        path += f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}"
        drawing = True
        title = f"week of {_day(starts[index])}: {show_duration(value)}"
        dots += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{title}</title></circle>'
    drawn = f'<g class="weight"><path d="{path}"/>{dots}</g>' if path else ""
    return _svg(label, _rules(axis) + drawn + _dates(starts, step))


def _svg(label: str, content: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{content}</svg>'


def _rules(axis: Axis) -> str:
    drawn = ""
    for tick in axis.ticks:
        y = axis.at(tick, _FLOOR, _TOP)
        drawn += (
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{axis.show(tick)}</text>'
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


def _day(start: float) -> str:
    return datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d")
