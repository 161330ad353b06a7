"""Lines over time as SVG: small, without scripts, readable in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Band", "Line", "chart"]

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
