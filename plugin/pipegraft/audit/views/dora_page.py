"""Delivery figures as people read them: a table on a terminal, a page with charts by week."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import markupsafe
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipegraft.audit.dora import Figure, Figures
from pipegraft.core.page import Axis, count_axis, duration_axis, render_page, show_duration

__all__ = ["bars", "figure_text", "figures_json", "figures_page", "figures_table", "line"]

_WIDTH, _HEIGHT = 640, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 8, 10, 24
_INNER = _WIDTH - _LEFT - _RIGHT
_FLOOR = _HEIGHT - _BOTTOM


def figure_text(figure: Figure) -> str:
    """A figure as it is shown; ``n/a`` where there is no data."""
    value = figure.value
    if value is None:
        return "n/a"
    if figure.unit == "share":
        return f"{100 * value:.1f}%"
    if figure.unit == "seconds":
        return _duration(value)
    return f"{value:.2g} {figure.unit}" if value < 10 else f"{value:.0f} {figure.unit}"


def figures_json(found: Figures) -> Mapping[str, Any]:
    """Plain values; null where there is no data."""
    return dataclasses.asdict(found)


def figures_table(app: str, found: Figures) -> Any:  # a rich renderable
    """The five figures for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_header=False, padding=(0, 2, 0, 0))
    for column in range(3):
        table.add_column(no_wrap=column < 2, justify="right" if column == 1 else "left")
    for figure in found.figures:
        value = figure_text(figure)
        basis = Text.assemble(figure.basis, ("\nproxy: " + figure.proxy, "dim"))
        table.add_row(
            Text(figure.name, style="bold"), Text(value, style="dim" if value == "n/a" else "cyan"), basis
        )
    window = f"{_date(found.since)} to {_date(found.until - 1)}"
    return Group(Text.assemble((f"{app} · {found.environment}".strip(" ·"), "bold"), f"  {window}"), table)


def figures_page(app: str, found: Figures) -> str:
    """A page without scripts and without anything to fetch."""
    starts = [week.start for week in found.weeks]
    good = [week.deployments - week.failed for week in found.weeks]
    failed = [week.failed for week in found.weeks]
    drawn = [
        (
            "Deployments by week",
            bars(starts, [("good", good), ("failed", failed)], "deployments by week"),
            ("good", "failed"),
        ),
        (
            "Lead time, median by week",
            line(starts, [week.lead for week in found.weeks], "lead time by week"),
            (),
        ),
        (
            "Time to recovery, median by week",
            line(starts, [week.recovery for week in found.weeks], "time to recovery by week"),
            (),
        ),
    ]
    charts = [
        (title, markupsafe.Markup(svg) if "<rect" in svg or "<circle" in svg else None, names)  # noqa: S704 - our numbers
        for title, svg, names in drawn
    ]
    return render_page(
        "pipegraft.audit.views",
        "dora.html.j2",
        app=app,
        found=found,
        figures=[(figure, figure_text(figure)) for figure in found.figures],
        charts=charts,
        since=_date(found.since),
        until=_date(found.until - 1),
    )


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _duration(seconds: float) -> str:
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


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
                f'height="{part:.1f}"><title>week of {_date(start)}: {told}</title></rect>'
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
        title = f"week of {_date(starts[index])}: {show_duration(value)}"
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
        f'y="{_HEIGHT - 6}" text-anchor="{anchor}">{_date(starts[index])}</text>'
        for index, anchor in chosen.items()
    )
