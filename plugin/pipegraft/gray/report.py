"""The story of one gray release, as a page that stands alone and as JSON."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import markupsafe

from pipegraft.core.page import Axis, count_axis, duration_axis, render_page, share_axis
from pipegraft.gray.judging.readings import wilson

__all__ = ["GrayReport", "ReportedLook", "ReportedStep", "brief", "render_html"]


_WIDTH, _HEIGHT = 640, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 14, 16, 28


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Arguments:
        name: as the legend has it; also its CSS class: ``stable``, ``gray``, ``weight``, ``limit``.
        points: seconds and value, in order of time.
        stepped: whether the value holds until the next point.
        notes: of each point, what its tooltip says; empty for none.
    """

    name: str
    points: Sequence[tuple[float, float]]
    stepped: bool = False
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Band:
    """What lies between two lines.

    Arguments:
        low, high: their points, at the same times.
        of: name of the line that it belongs to.
    """

    low: Sequence[tuple[float, float]]
    high: Sequence[tuple[float, float]]
    of: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing.

    Arguments:
        title: what it shows.
        lines: one or more.
        axis: of their values; what lies beyond it is drawn at its end.
        band: shaded behind the lines.
    """

    title: str
    lines: Sequence[Line]
    axis: Axis
    band: Band | None = None

    def svg(self, start: float, end: float) -> str:
        """The drawing.

        Arguments:
            start, end: ends of the time axis, seconds since the epoch.
        """
        time = duration_axis(max(end - start, 1.0))
        place = partial(self._place, start=start, time=time)
        shaded = ""
        if self.band:
            around = [place(point) for point in (*self.band.low, *reversed(self.band.high))]
            shaded = (
                f'<path class="band {self.band.of}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in around)}Z"/>'
            )
        drawn = "".join(_draw(line, [place(point) for point in line.points]) for line in self.lines)
        rules = "".join(self._rule(tick) for tick in self.axis.ticks)
        ticks = "".join(_time_tick(time, tick) for tick in time.ticks)
        label = ", ".join(line.name for line in self.lines)
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
            f"{rules}{ticks}{shaded}{drawn}</svg>"
        )

    def _place(self, point: tuple[float, float], *, start: float, time: Axis) -> tuple[float, float]:
        x = time.at(point[0] - start, _LEFT, _WIDTH - _RIGHT)
        return x, self.axis.at(point[1], _HEIGHT - _BOTTOM, _TOP)

    def _rule(self, tick: float) -> str:
        y = self.axis.at(tick, _HEIGHT - _BOTTOM, _TOP)
        return (
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{self.axis.show(tick)}</text>'
        )


def _time_tick(time: Axis, tick: float) -> str:
    x, foot = time.at(tick, _LEFT, _WIDTH - _RIGHT), _HEIGHT - _BOTTOM
    anchor = "end" if tick == time.top else "middle"
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{foot}" y2="{foot + 4}"/>'
        f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{time.show(tick)}</text>'
    )


def _draw(line: Line, places: Sequence[tuple[float, float]]) -> str:
    path = f"M{places[0][0]:.1f} {places[0][1]:.1f}"
    for x, y in places[1:]:
        path += f"H{x:.1f}V{y:.1f}" if line.stepped else f"L{x:.1f} {y:.1f}"
    notes = line.notes or [""] * len(places)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5">{f"<title>{note}</title>" if note else ""}</circle>'
        for (x, y), note in zip(places, notes, strict=True)
        if not line.stepped
    )
    return f'<g class="{line.name}"><path d="{path}"/>{dots}</g>'


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
        stable_requests, gray_requests: how many requests the interval before it had.
    """

    end: float
    metric: str
    stable: float | None
    gray: float | None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    stable_requests: float = 0.0
    gray_requests: float = 0.0

    @property
    def note(self) -> str:
        """What it was measured on."""
        return f"{self.gray_requests:,.0f} requests of gray, {self.stable_requests:,.0f} of stable"


@dataclass(frozen=True, slots=True)
class GrayReport:
    """One release in one environment.

    Arguments:
        state: ``gray``, ``promoted``, ``absent`` (taken back) or ``superseded``.
        steps: oldest first.
        looks: oldest first; one a look where the release record has them, else one a step.
        limits: metric → the multiples of stable from which on gray is worse, and below which it is good.
    """

    app: str
    environment: str
    release: int
    source: str
    state: str
    steps: tuple[ReportedStep, ...]
    looks: tuple[ReportedLook, ...]
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

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
        "pipegraft.gray",
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
    charts = [_weights(report, end)]
    for metric in dict.fromkeys(look.metric for look in report.looks):
        looks = [look for look in report.looks if look.metric == metric]
        charts += [_requests(metric, looks), _shares(metric, looks), _multiple(report, metric, looks)]
    found: list[tuple[str, str, Sequence[str]]] = []
    for chart in charts:
        drawn = replace(chart, lines=[line for line in chart.lines if line.points])
        if drawn.lines:
            names = [line.name for line in drawn.lines] + ["interval"] * (chart.band is not None)
            found.append((chart.title, drawn.svg(start, end), names))
    return found


def _weights(report: GrayReport, end: float) -> Chart:
    points = [(step.time, step.weight / 100) for step in report.steps]
    line = Line("weight", [*points, (end, points[-1][1])], stepped=True)
    return Chart("Requests meant for the new version", [line], share_axis(1.0))


def _requests(metric: str, looks: Sequence[ReportedLook]) -> Chart:
    counted = [(look.end, look.gray_requests) for look in looks if look.gray_requests]
    axis = count_axis(max((number for _, number in counted), default=1.0))
    line = Line("gray", counted, notes=[look.note for look in looks if look.gray_requests])
    return Chart(f"{metric}: requests that gray served between two looks", [line], axis)


def _shares(metric: str, looks: Sequence[ReportedLook]) -> Chart:
    lines = [_line(looks, arm) for arm in ("stable", "gray")]
    band = _band(
        "gray",
        [
            (look.end, *wilson(look.gray * look.gray_requests, look.gray_requests))
            for look in looks
            if look.gray is not None and look.gray_requests
        ],
    )
    shown = [value for line in lines for _, value in line.points]
    return Chart(
        f"{metric}: failed requests, gray's with its interval at each look alone",
        lines,
        share_axis(1.3 * max(shown, default=0.0)),
        band if lines[1].points else None,
    )


def _multiple(report: GrayReport, metric: str, looks: Sequence[ReportedLook]) -> Chart:
    estimate = _line(looks, "estimate")
    band = _band(
        "estimate",
        [(look.end, look.low, look.high) for look in looks if look.low is not None and look.high is not None],
    )
    worse, good = report.limits.get(metric, (1.0, 2.0))
    times = (looks[0].end, looks[-1].end)
    limits = [
        Line(name, [(time, value) for time in times if estimate.points], stepped=True)
        for name, value in (("equal", 1.0), ("limit", good))
    ]
    top = max([1.5 * good, *(1.2 * value for _, value in estimate.points)])
    step = 0.5 if top <= 4 else 1.0
    scale = count_axis(top / step)
    axis = Axis(step * scale.top, tuple(step * tick for tick in scale.ticks), lambda value: f"{value:g}")
    title = f"{metric}: gray as a multiple of stable, worse above {worse:g}, good below {good:g}"
    return Chart(title, [*limits, estimate], axis, band if estimate.points else None)


def _band(of: str, edges: Sequence[tuple[float, float, float]]) -> Band | None:
    """Between a lower and an upper edge at several times; None of fewer than two."""
    if len(edges) < 2:
        return None
    return Band([(time, low) for time, low, _ in edges], [(time, high) for time, _, high in edges], of)


def _line(looks: Sequence[ReportedLook], name: str) -> Line:
    shown = [look for look in looks if getattr(look, name) is not None]
    return Line(
        name, [(look.end, getattr(look, name)) for look in shown], notes=[look.note for look in shown]
    )
