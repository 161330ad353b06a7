"""The story of one gray release, as a page that stands alone and as JSON."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import markupsafe

from pipegraft.core.views.page import render_page

__all__ = ["Band", "GrayReport", "Line", "ReportedLook", "ReportedStep", "brief", "chart", "render_html"]


_WIDTH, _HEIGHT = 640, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 8, 16, 26


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Arguments:
        name: as the legend has it; also its CSS class: ``stable``, ``gray``, ``weight``, ``limit``.
        points: seconds and value, in order of time.
        stepped: whether the value holds until the next point.
    """

    name: str
    points: Sequence[tuple[float, float]]
    stepped: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """What lies between two lines.

    Arguments:
        low, high: their points, at the same times.
    """

    low: Sequence[tuple[float, float]]
    high: Sequence[tuple[float, float]]


def chart(
    lines: Sequence[Line], *, start: float, end: float, unit: str, least: float, band: Band | None = None
) -> str:
    """An SVG element.

    Arguments:
        lines: what to draw.
        start, end: ends of the time axis, in seconds.
        unit: what stands behind the numbers of the upright axis.
        least: the upright axis reaches at least so far.
        band: shaded behind the lines; what of it lies above the lines by far is cut off.
    """
    span = max(end - start, 1.0)
    top = max([least, *(value * 1.1 for line in lines for _, value in line.points if value > least)])

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = _LEFT + (point[0] - start) / span * (_WIDTH - _LEFT - _RIGHT)
        return x, _TOP + (1 - min(point[1], top) / top) * (_HEIGHT - _TOP - _BOTTOM)

    shaded = ""
    if band:
        around = [place(point) for point in (*band.low, *reversed(band.high))]
        shaded = f'<path class="band" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in around)}Z"/>'
    drawn = "".join(_draw(line, [place(point) for point in line.points]) for line in lines)
    axis = "".join(_rule(share, top, unit) for share in (0.0, 0.5, 1.0))
    label = ", ".join(line.name for line in lines)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        f'{axis}{shaded}{drawn}<text x="{_LEFT}" y="{_HEIGHT - 6}">0 s</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{_duration(span)}</text></svg>'
    )


def _draw(line: Line, places: Sequence[tuple[float, float]]) -> str:
    path = f"M{places[0][0]:.1f} {places[0][1]:.1f}"
    for x, y in places[1:]:
        path += f"H{x:.1f}V{y:.1f}" if line.stepped else f"L{x:.1f} {y:.1f}"
    dots = "" if line.stepped else "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
    return f'<g class="{line.name}"><path d="{path}"/>{dots}</g>'


def _rule(share: float, top: float, unit: str) -> str:
    y = _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share * top:.3g}{unit}</text>'
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


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


_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


def brief(line: str) -> str:
    """A line for people: of digests the beginning."""
    return _DIGEST.sub(r"\1…", line)


def render_html(report: GrayReport) -> str:
    """A page without scripts and without anything to fetch."""
    return render_page(
        "pipegraft.gray.views",
        "gray.html.j2",
        report=report,
        brief=brief,
        verdict=_VERDICTS.get(report.state, report.state),
        charts=[(title, markupsafe.Markup(svg), names) for title, svg, names in _charts(report)],  # noqa: S704 - our numbers
    )


_VERDICTS = {
    "gray": "under way",
    "promoted": "promoted",
    "absent": "taken back",
    "superseded": "superseded by a newer release",
}


def _charts(report: GrayReport) -> list[tuple[str, str, Sequence[str]]]:
    """Title, drawing and names of the lines; all over the same time."""
    start = report.steps[0].time
    end = max([report.steps[-1].time, *(look.end for look in report.looks)])
    weights = [(step.time, float(step.weight)) for step in report.steps]
    weights.append((end, weights[-1][1]))
    drawings: list[tuple[str, list[Line], str, float, Band | None]] = [
        ("Requests meant for the new version", [Line("weight", weights, stepped=True)], "%", 100.0, None)
    ]
    for metric in dict.fromkeys(look.metric for look in report.looks):
        looks = [look for look in report.looks if look.metric == metric]
        shares = [_line(looks, arm, 100.0) for arm in ("stable", "gray")]
        drawings.append((f"{metric}: failed requests", shares, "%", 1.0, None))
        estimate = _line(looks, "estimate", 1.0)
        if estimate.points:
            equal = Line("equal", [(start, 1.0), (end, 1.0)], stepped=True)
            title = f"{metric}: gray as a multiple of stable, with its interval"
            drawings.append((title, [equal, estimate], "", 2.0, _band(looks)))
    found: list[tuple[str, str, Sequence[str]]] = []
    for title, lines, unit, least, band in drawings:
        drawn = [line for line in lines if line.points]
        if drawn:
            svg = chart(drawn, start=start, end=end, unit=unit, least=least, band=band)
            found.append((title, svg, [line.name for line in drawn] + ["interval"] * (band is not None)))
    return found


def _band(looks: Sequence[ReportedLook]) -> Band | None:
    """The interval at each look that has one with both ends."""
    both = [
        (look.end, look.low, look.high) for look in looks if look.low is not None and look.high is not None
    ]
    if len(both) < 2:
        return None
    return Band([(end, low) for end, low, _ in both], [(end, high) for end, _, high in both])


def _line(looks: Sequence[ReportedLook], name: str, factor: float) -> Line:
    values = ((look.end, getattr(look, name)) for look in looks)
    return Line(name, [(end, factor * value) for end, value in values if value is not None])
