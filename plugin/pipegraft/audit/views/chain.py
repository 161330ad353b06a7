"""A release as people read it on a terminal: its chain, its commits, and who answered the requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pipegraft.audit.chain import Chain, Check, Link, State
from pipegraft.iac.ports.repository import Commit

__all__ = ["chain_view", "commit_table", "request_table"]

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
