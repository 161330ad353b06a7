"""A release's chain and commits on a terminal; the figures of delivery as a table and as a page."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import markupsafe
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pipegraft.audit.chain import Chain, Check, Link, State
from pipegraft.audit.dora import Figure, Figures
from pipegraft.core.page import Axis, count_axis, duration_axis, render_page, show_duration
from pipegraft.iac.ports import Commit

__all__ = [
    "bars",
    "chain_view",
    "commit_table",
    "figure_text",
    "figures_json",
    "figures_page",
    "figures_table",
    "line",
    "request_table",
]


_MARKS = {
    State.HOLDS: ("✔", "green"),
    State.UNPROVEN: ("?", "yellow"),
    State.UNREACHABLE: ("!", "yellow"),
    State.BROKEN: ("✘", "bold red"),
}
_LONG = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]+")
_TITLES = {
    "source": "source commit",
    "images": "images",
    "iac": "IaC commit",
    "gate": "gate",
    "gray": "gray steps",
    "outcome": "outcome",
}
_TITLE = 1 + max(map(len, _TITLES.values()))
_SUMMARY = {
    State.HOLDS: "every link holds",
    State.UNPROVEN: "no link is broken; what is marked ? is not proven",
    State.UNREACHABLE: "no link is known to be broken; what is marked ! could not be asked",
    State.BROKEN: "broken",
}
_WIDTH, _HEIGHT = 640, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 8, 10, 24
_INNER = _WIDTH - _LEFT - _RIGHT
_FLOOR = _HEIGHT - _BOTTOM


def chain_view(chain: Chain) -> RenderableType:
    """The links from top to bottom, each with its facts and what was checked."""
    release = "an unnamed release" if chain.release is None else f"release {chain.release}"
    head = Text.assemble(
        (f"{chain.app or 'app'} · {chain.environment or 'anywhere'} · {release}", "bold"),
        "  ",
        (chain.outcome, "cyan"),
    )
    links = [_Linked(link, last=index == len(chain.links) - 1) for index, link in enumerate(chain.links)]
    foot = Text(_summary(chain), style=_MARKS[chain.state][1])
    return Group(head, Text(), *links, Text(), foot)


@dataclass(frozen=True, slots=True)
class _Linked:
    """One link beside the line that joins it to the next, however many lines it takes."""

    link: Link
    last: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        mark, style = _MARKS[self.link.state]
        first = Text.assemble((mark, style), " ", (f"{_TITLES[self.link.name]:<{_TITLE}}", "bold"), end="")
        further = Text(f"{' ' if self.last else '│'}{'':<{_TITLE + 1}}", style="dim", end="")
        inner = options.update(width=max(20, options.max_width - _TITLE - 2))
        lines = [line for row in _rows(self.link) for line in console.render_lines(row, inner, pad=False)]
        for number, line in enumerate([*lines, *([] if self.last else [[]])]):
            yield from console.render(first if number == 0 else further, options)
            yield from line
            yield Segment.line()


def _rows(link: Link) -> Iterator[RenderableType]:
    for name, value in link.facts:
        shown = _LONG.sub(r"\1…", value) if link.name == "images" else value
        yield Text(shown) if name == "commit" else Text.assemble((f"{name}  ", "dim"), shown)
    for check in link.checks:
        yield _check(check)


def _check(check: Check) -> Text:
    mark, style = _MARKS[check.state]
    text = Text.assemble((f"{mark} ", style))
    if check.state is State.BROKEN:
        return text.append_text(
            Text.assemble(("expected ", "red"), f"{check.claim}; ", ("found ", "red"), check.found)
        )
    return text.append_text(
        Text.assemble((check.claim, ""), (f": {check.found}" if check.found else "", "dim"))
    )


def _summary(chain: Chain) -> str:
    if chain.state is not State.BROKEN:
        return _SUMMARY[chain.state]
    names = [_TITLES[link.name] for link in chain.links if link.state is State.BROKEN]
    return f"broken: {', '.join(names)}"


def commit_table(commits: Sequence[Commit]) -> Table:
    """One line a commit of the IaC repository, with what its trailers say of the release.

    Arguments:
        commits: oldest first.
    """
    table = Table(
        title="The IaC repository's commits, oldest first", title_justify="left", box=box.SIMPLE_HEAD
    )
    for heading in ("commit", "release", "step", "what"):
        table.add_column(heading, no_wrap=heading != "what")
    for commit in commits:
        trailers = commit.trailers
        table.add_row(
            Text(commit.id[:10], style="cyan"),
            trailers.get("Pipegraft-Release", ""),
            trailers.get("Pipegraft-Step", ""),
            commit.message.splitlines()[0],
        )
    return table


def request_table(requests: Mapping[str, Mapping[str, int]]) -> Table:
    """Who answered how many requests, and how.

    Arguments:
        requests: version → status code → requests.
    """
    table = Table(title="Requests of the application's clients", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("version")
    for heading in ("requests", "good", "failed"):
        table.add_column(heading, justify="right")
    for version, counts in requests.items():
        good = sum(count for status, count in counts.items() if status.startswith("2"))
        failed = sum(counts.values()) - good
        table.add_row(
            Text(version, style="bold"),
            str(good + failed),
            str(good),
            Text(str(failed), style="red" if failed else "dim"),
        )
    return table


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
        "pipegraft.audit",
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
