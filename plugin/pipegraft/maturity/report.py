"""Assessments on a terminal and as a page: where each dimension stands, what comes next, and every signal.

The page has a heat map of one repository or of a fleet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipegraft.core.page import render_page
from pipegraft.maturity.hooks import Assessed, Assessment, Reached
from pipegraft.maturity.model import STAGES, Answer, Dimension, Evidence

__all__ = ["assessment_page", "assessment_view", "fleet_view", "signal_list"]

_COLOURS = {1: "red", 2: "yellow", 3: "yellow", 4: "green", 5: "bold green"}
_MARKS = {
    Answer.YES: ("✔", "green"),
    Answer.NO: ("✘", "red"),
    Answer.ABSENT: ("·", "dim"),
    Answer.UNSEEN: ("?", "yellow"),
}


def assessment_view(found: Assessment) -> RenderableType:
    """One repository: where each dimension stands, how much of each stage is there, and what is next."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
    for heading in ("dimension", "stands on", "stage 2", "stage 3", "stage 4", "stage 5"):
        table.add_column(heading, no_wrap=True)
    for one in found.dimensions:
        stage = Text("●" * one.stage + "○" * (5 - one.stage) + f" {one.stage}", style=_COLOURS[one.stage])
        table.add_row(Text(one.dimension, style="bold"), stage, *_meters(one))
    steps = Table.grid(padding=(0, 2, 0, 0))
    steps.add_column(no_wrap=True)
    steps.add_column(overflow="fold")
    for one in found.dimensions:
        steps.add_row(Text(one.dimension, style="bold"), _next(one))
    legend = ", ".join(f"{number} {name}" for number, name in STAGES.items())
    return Group(Text(found.name, style="bold"), table, Text(legend, style="dim"), Text(), steps)


def fleet_view(found: Sequence[Assessment]) -> RenderableType:
    """Many repositories: a row each, a column a dimension."""
    table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("repository", overflow="fold")
    for dimension in Dimension:
        table.add_column(dimension, justify="center", no_wrap=True, min_width=len(dimension))
    for one in found:
        cells = [Text(str(each.stage), style=_COLOURS[each.stage]) for each in one.dimensions]
        table.add_row(Text(one.name, style="bold"), *cells)
    return table


def signal_list(found: Assessment) -> Iterator[RenderableType]:
    """Every signal with what was found and where, by dimension."""
    for dimension in Dimension:
        yield Text(dimension, style="bold")
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column()
        table.add_column(overflow="fold")
        for one in found.signals:
            if one.signal.dimension == dimension:
                mark, style = _MARKS[one.finding.answer]
                table.add_row(Text(f"  {mark} {one.signal.stage}", style=style), _line(one))
        yield table


def _line(one: Assessed) -> Text:
    where = _where(one.finding.evidence)
    return Text.assemble(
        one.signal.claim, (f": {one.finding.reason}", "dim"), (f"  {where}" if where else "", "cyan")
    )


def _where(evidence: Sequence[Evidence]) -> str:
    return ", ".join(dict.fromkeys(str(one.place) for one in evidence[:3]))


def _meters(one: Reached) -> Iterator[Text]:
    """How many signals of each stage are there."""
    for there, applies in one.met.values():
        style = "dim" if not applies else "green" if there == applies else "red" if not there else "yellow"
        yield Text(f"{there} of {applies}" if applies else "·", style=style)


def _next(one: Reached) -> Text:
    if one.next is None:
        return Text("everything is there", style="green")
    where = _where(one.next.finding.evidence)
    return Text.assemble(
        one.next.step, (f"\n{one.next.finding.reason}", "dim"), (f"  {where}" if where else "", "cyan")
    )


_CLASSES = {Answer.YES: "yes", Answer.NO: "no", Answer.ABSENT: "absent", Answer.UNSEEN: "unseen"}


def assessment_page(found: Sequence[Assessment]) -> str:
    """A page that stands alone.

    Arguments:
        found: one repository, drawn as dimensions by stages; or several, drawn as repositories by
            dimensions, each with its own part below.
    """
    return render_page(
        "pipegraft.maturity",
        "assessment.html.j2",
        title=found[0].name if len(found) == 1 else f"{len(found)} repositories",
        fleet=[_row(one) for one in found] if len(found) > 1 else [],
        repositories=[_part(one, number) for number, one in enumerate(found)],
        dimensions=list(Dimension),
        stages=STAGES,
    )


def _row(one: Assessment) -> dict[str, Any]:
    return {
        "name": one.name,
        "cells": [(each.stage, STAGES[each.stage], each.dimension) for each in one.dimensions],
    }


def _part(one: Assessment, number: int) -> dict[str, Any]:
    """One repository with, for each dimension, a cell a stage and its signals."""
    return {
        "name": one.name,
        "id": f"r{number}",
        "dimensions": [
            {
                "name": each.dimension,
                "stage": each.stage,
                "cells": [
                    (stage, there, applies, _heat(there, applies))
                    for stage, (there, applies) in each.met.items()
                ],
                "next": each.next,
                "signals": [
                    (signal, _CLASSES[signal.finding.answer])
                    for signal in one.signals
                    if signal.signal.dimension == each.dimension
                ],
            }
            for each in one.dimensions
        ],
    }


def _heat(there: int, applies: int) -> int:
    """0 to 4: how much of a stage is there; -1 where nothing applies."""
    return -1 if not applies else 4 * there // applies
