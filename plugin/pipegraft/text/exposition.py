"""The Prometheus text format, version 0.0.4: written by the proxy, read by the metric sources.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipegraft.core.errors import UsageError

__all__ = ["CONTENT_TYPE", "Family", "Sample", "parse", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?\s*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One number.

    Arguments:
        name: with its suffix: ``requests_total``, ``duration_seconds_bucket``.
        labels: name → value.
        value: NaN and infinities are possible.
    """

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples.

    Arguments:
        name: without the suffixes of its samples.
        kind: ``counter``, ``gauge`` or ``histogram``.
        help: one line for people.
        samples: in the order they are shown.
    """

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...] = field(default=())


def render(families: Iterable[Family]) -> str:
    """The text that a scraper reads."""
    return "".join(_render_family(family) for family in families)


def parse(text: str) -> Iterator[Sample]:
    """Every sample of an exposition, in its order.

    Raises:
        UsageError: a line is not in the format.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        if match is None:
            raise UsageError(
                f"expected a sample in the Prometheus text format in line {number}, found {line!r}"
            )
        name, labels, value = match.groups()
        yield Sample(name, _labels(labels or "", number), _number(value, number))


def _render_family(family: Family) -> str:
    lines = [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
    for sample in family.samples:
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sample.labels.items())
        braces = f"{{{labels}}}" if labels else ""
        lines.append(f"{sample.name}{braces} {sample.value:.17g}")
    return "\n".join(lines) + "\n"


def _labels(text: str, line: int) -> Mapping[str, str]:
    labels: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _LABEL.match(text, position)
        if match is None:
            raise UsageError(f'expected label="value" in line {line}, found {text[position:]!r}')
        labels[match[1]] = _ESCAPED.sub(lambda escaped: "\n" if escaped[1] == "n" else escaped[1], match[2])
        position = match.end()
    return labels


def _number(text: str, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"expected a number in line {line}, found {text!r}") from None


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
