"""What reports share: the skeleton and style of every page, and the axes of every chart.

A page fetches nothing; it suits light and dark, desk and phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jinja2
import markupsafe

from pipegraft.core.foreign_text import printable, redacted

__all__ = [
    "Axis",
    "ago",
    "clock",
    "count_axis",
    "duration_axis",
    "render_page",
    "share_axis",
    "show_duration",
]

_ROUND = (1, 2, 2.5, 5, 10)
"""What a step between two ticks may be, times a power of ten (Heckbert, "Nice numbers for graph labels")."""
_UNITS = ((60.0, "min"), (3600.0, "h"), (86400.0, "d"))


def render_page(room: str, template: str, **values: object) -> str:
    """A page that stands alone.

    Arguments:
        room: dotted name of the package whose ``templates/`` holds the template.
        template: name of a file there that extends ``page.html.j2``.
        values: what it speaks of; everything that is not `markupsafe.Markup` is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(room), jinja2.PackageLoader(__package__)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock
    environment.finalize = _shown
    return environment.get_template(template).render(**values)


def _shown(value: Any) -> Any:  # whatever a template speaks of
    """Text without secrets and without marks that turn the direction of reading."""
    if not isinstance(value, str) or isinstance(value, markupsafe.Markup):
        return value
    return printable(redacted(value))


def clock(seconds: float) -> str:
    """A moment as pages show it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from zero with ticks.

    Arguments:
        top: value at its end.
        ticks: values with a label, rising, from 0 to `top`.
        show: a value as people read it.
    """

    top: float
    ticks: tuple[float, ...]
    show: Callable[[float], str]

    def at(self, value: float, start: float, end: float) -> float:
        """Where a value lies between two places of a picture; what is beyond the axis lies at its end."""
        return start + (end - start) * min(max(value / self.top, 0.0), 1.0)


def count_axis(most: float) -> Axis:
    """Of things that are counted: every tick is a whole number."""
    step = max(1, math.ceil(_step(most)))
    return _axis(most, step, lambda value: f"{value:,.0f}")


def share_axis(most: float) -> Axis:
    """Of shares of one: labels in percent, never above 100%."""
    step = _step(min(most, 1.0) or 0.01)
    found = _axis(min(most, 1.0) or 0.01, step, lambda value: f"{100 * value:.3g}%")
    if found.top <= 1.0:
        return found
    return Axis(1.0, (*(tick for tick in found.ticks if tick < 1.0), 1.0), found.show)


def duration_axis(most: float) -> Axis:
    """Of seconds: labels in the largest unit that the longest of them fills."""
    unit, word = next(((size, name) for size, name in reversed(_UNITS) if most >= size), (1.0, "s"))
    found = _axis(most / unit, _step(most / unit), lambda value: f"{value:g}")
    return Axis(
        found.top * unit, tuple(tick * unit for tick in found.ticks), lambda value: f"{value / unit:g} {word}"
    )


def show_duration(seconds: float) -> str:
    """A duration with its two largest units: ``3 d 4 h``, ``12 min``, ``40 s``."""
    left = round(max(seconds, 0.0))
    if left < 60:
        return f"{left} s"
    parts: list[str] = []
    for size, word in reversed(_UNITS):
        whole, left = divmod(left, int(size))
        if whole:
            parts.append(f"{whole} {word}")
        elif parts:
            break
    return " ".join(parts[:2])


def ago(seconds: float) -> str:
    """How long something is past: ``3 d ago``, with its largest unit alone."""
    unit, word = next(((size, name) for size, name in reversed(_UNITS) if seconds >= size), (0.0, ""))
    return f"{int(seconds // unit)} {word} ago" if unit else "just now"


def _step(most: float) -> float:
    """A round step that takes two to five of them to reach `most`."""
    rough = max(most, 1e-9) / 4
    power: float = 10 ** math.floor(math.log10(rough))
    return next(power * one for one in _ROUND if power * one >= rough * (1 - 1e-9))


def _axis(most: float, step: float, show: Callable[[float], str]) -> Axis:
    number = max(1, math.ceil(most / step - 1e-9))
    ticks = tuple(round(step * at, 10) for at in range(number + 1))
    return Axis(ticks[-1], ticks, show)
