"""Assessments as a page: a heat map of one repository or of a fleet, and the signals behind every cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipegraft.core.views.page import render_page
from pipegraft.maturity.model import STAGES, Answer, Dimension
from pipegraft.maturity.stages import Assessment

__all__ = ["assessment_page"]

_CLASSES = {Answer.YES: "yes", Answer.NO: "no", Answer.ABSENT: "absent", Answer.UNSEEN: "unseen"}


def assessment_page(found: Sequence[Assessment]) -> str:
    """A page that stands alone.

    Arguments:
        found: one repository, drawn as dimensions by stages; or several, drawn as repositories by
            dimensions, each with its own part below.
    """
    return render_page(
        "pipegraft.maturity.views",
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
