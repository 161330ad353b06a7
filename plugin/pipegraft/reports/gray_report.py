"""The story of one gray release, as a page that stands alone and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipegraft.reports.gray_chart import Line, chart

__all__ = ["GrayReport", "ReportedLook", "ReportedStep", "render_html"]


@dataclass(frozen=True, slots=True)
class ReportedStep:
    """One commit.

    Arguments:
        commit: object name.
        time: seconds since the epoch.
        author: who made it.
        step: as the trailer has it: ``prepare``, ``1/3 weight=5``, ``promote``, …
        weight: percent of the requests for gray from then on.
        lines: why, and what the judge saw.
    """

    commit: str
    time: float
    author: str
    step: str
    weight: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportedLook:
    """What was seen until one moment, for one metric.

    Arguments:
        end: seconds since the epoch.
        metric: its name.
        stable: share of failed requests, None if the metric counts none.
        gray: the same of gray.
        estimate, low, high: how many times stable's gray's is, and its interval, if the judge says so.
    """

    end: float
    metric: str
    stable: float | None
    gray: float | None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class GrayReport:
    """One release in one environment.

    Arguments:
        state: ``gray``, ``promoted``, ``absent`` (taken back) or ``superseded``.
        steps: oldest first.
        looks: oldest first; one a look where the release record has them, else one a step.
    """

    app: str
    environment: str
    release: int
    source: str
    state: str
    steps: tuple[ReportedStep, ...]
    looks: tuple[ReportedLook, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def render_html(report: GrayReport) -> str:
    """A page without scripts and without anything to fetch."""
    import jinja2  # noqa: PLC0415 - needed only here, and slow to import
    import markupsafe  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = _clock
    return environment.get_template("gray.html.j2").render(
        report=report,
        verdict=_VERDICTS.get(report.state, report.state),
        charts=[(title, markupsafe.Markup(svg), names) for title, svg, names in _charts(report)],  # noqa: S704 - our numbers
    )


_VERDICTS = {
    "gray": "under way",
    "promoted": "promoted",
    "absent": "taken back",
    "superseded": "superseded by a newer release",
}


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _charts(report: GrayReport) -> list[tuple[str, str, Sequence[str]]]:
    """Title, drawing and names of the lines."""
    found: list[tuple[str, str, Sequence[str]]] = []
    if report.steps:
        weights = [(step.time, float(step.weight)) for step in report.steps]
        last = max([weights[-1][0], *(look.end for look in report.looks)])
        weights.append((last, weights[-1][1]))
        weight = chart([Line("weight", weights, stepped=True)], unit="%", highest=100)
        found.append(("Requests meant for the new version", weight, ["weight"]))
    by_metric: dict[str, list[ReportedLook]] = {}
    for look in report.looks:
        by_metric.setdefault(look.metric, []).append(look)
    for metric, looks in by_metric.items():
        found.extend(_metric_charts(metric, looks))
    return found


def _metric_charts(metric: str, looks: Sequence[ReportedLook]) -> list[tuple[str, str, Sequence[str]]]:
    shares = [
        Line(arm, [(look.end, 100 * share) for look in looks if (share := getattr(look, arm)) is not None])
        for arm in ("stable", "gray")
    ]
    ratios = [
        Line(name, [(look.end, value) for look in looks if (value := getattr(look, name)) is not None])
        for name in ("estimate", "low", "high")
    ]
    found: list[tuple[str, str, Sequence[str]]] = []
    for title, lines, unit in (
        (f"{metric}: failed requests", shares, "%"),
        (f"{metric}: gray as a multiple of stable, with its interval", ratios, ""),
    ):
        drawn = [line for line in lines if line.points]
        if drawn:
            found.append((title, chart(drawn, unit=unit), [line.name for line in drawn]))
    return found
