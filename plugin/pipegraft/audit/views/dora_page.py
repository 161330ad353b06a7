"""Delivery figures as people read them: a table on a terminal, a page with charts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import markupsafe
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipegraft.audit.dora import Figure, Figures
from pipegraft.audit.views.week_chart import bars, line
from pipegraft.core.views.page import render_page

__all__ = ["figure_text", "figures_json", "figures_page", "figures_table"]


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
