"""A release's chain as people read it on a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipegraft.domain.audit.chain import Chain, Check, Link, State

__all__ = ["chain_view"]

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
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for index, link in enumerate(chain.links):
        last = index == len(chain.links) - 1
        mark, style = _MARKS[link.state]
        rows = list(_rows(link))
        table.add_row(
            Text(mark, style=style), Text(_TITLES[link.name], style="bold"), rows[0] if rows else ""
        )
        for row in rows[1:]:
            table.add_row(Text(" " if last else "│", style="dim"), "", row)
        if not last:
            table.add_row(Text("│", style="dim"), "", "")
    foot = Text(_summary(chain), style=_MARKS[chain.state][1])
    return Group(head, Text(), table, Text(), foot)


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
