"""The stages a pipeline has, and where delivery may follow each of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.groovy import Script, Statement

__all__ = ["AFTER_FAILURE", "ComesWhole", "Outline", "TeamStage", "stage_behind", "title_of"]

AFTER_FAILURE = frozenset({"catch", "finally"})
"""What opens a block that runs when the build has failed."""


@dataclass(frozen=True, slots=True)
class TeamStage:
    """A stage of the pipeline.

    Arguments:
        name: its name; the source of the expression where it is known only when it runs.
        at: index of its first token.
        behind: the statement that delivery follows when it is to come after this stage: the stage
            itself, or what holds it where a stage would run beside others or many times; None where
            no place is known to run once and later.
        holder: what holds it then: ``parallel``, ``matrix``, ``each``, …
    """

    name: str
    at: int
    behind: Statement | None
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a pipeline.

    Arguments:
        syntax: which of the two Jenkins has.
        stages: all stages in the order they are written.
        end: the statement delivery follows unless told otherwise.
        deadline: seconds that the pipeline's own `options` give the whole build, and where it says so.
        judged: where `post` judges the build when delivery has run.
    """

    syntax: Literal["declarative", "scripted"]
    stages: Sequence[TeamStage]
    end: Statement
    deadline: tuple[float, Place] | None = None
    judged: tuple[str, Place] | None = None

    def limits(self, longest: float) -> list[str]:
        """What of the pipeline's own stands against a delivery, one sentence each.

        Arguments:
            longest: seconds that the plan may take by its own limits; 0 if unknown.
        """
        notes = []
        if self.deadline and longest > self.deadline[0]:
            notes.append(
                f"{self.deadline[1]}: 'timeout' ends the build after {self.deadline[0] / 60:.0f} min, and "
                f"by its own limits delivery may take {longest / 60:.0f}: set it on the stages that need it."
            )
        if self.judged:
            notes.append(
                f"{self.judged[1]}: '{self.judged[0]}' in the pipeline's 'post' judges the build after "
                "delivery: move it into the 'post' of the stage whose results it reads, or a bad build is "
                "delivered."
            )
        return notes


class ComesWhole(EditRefused):
    """The pipeline is one call of a library.

    Arguments:
        call: the statement that calls it.
    """

    def __init__(self, message: str, *, place: Place, fix: str, call: Statement) -> None:
        super().__init__(message, place=place, fix=fix)
        self.call = call


def title_of(script: Script, at: int) -> str:
    """Name of the stage whose ``stage`` stands at a token."""
    first = script.skip_newlines(at + 1)
    if script.word(first) == "(":
        first = script.skip_newlines(first + 1)
    if script.word(first) == "name" and script.word(first + 1) == ":":
        first += 2
    plain = script.string(first)
    if plain is not None and script.word(first + 1)[:1] in ("", "\n", "\r", ",", ";", ")", "}", "{"):
        return plain
    last = first
    while last < len(script.code) and script.word(last) not in ("\n", "\r\n", "\r", ",", ";", ")", "}", "{"):
        last = script.partner.get(last, last) + 1
    source = script.source(Statement(first, last - 1))
    return source[1:-1] if last == first + 1 and source[:1] == '"' else source


def stage_behind(outline: Outline, script: Script, name: str) -> tuple[Statement, str]:
    """What delivery follows to come after the stage of a name, and what holds that stage, if anything does.

    Raises:
        EditRefused: there is none, or more than one, or nothing can follow it.
    """
    found = [stage for stage in outline.stages if stage.name == name]
    if not found:
        names = list(dict.fromkeys(stage.name for stage in outline.stages))
        close = difflib.get_close_matches(name, names, n=1)
        raise EditRefused(
            f"there is no stage called '{name}'; there are: {', '.join(names) or 'none'}",
            place=script.place(script.skip_newlines(0)),
            fix=f"write --after '{close[0]}'" if close else "name one of them",
        )
    targets = {stage.behind for stage in found}
    if len(targets) > 1:
        lines = ", ".join(str(script.place(stage.at).line) for stage in found)
        raise EditRefused(
            f"expected one stage called '{name}', found {len(found)}, at lines {lines}",
            place=script.place(found[0].at),
            fix="name another stage, or give these names of their own",
        )
    behind = found[0].behind
    if found[0].holder in AFTER_FAILURE:
        raise EditRefused(
            f"stage '{name}' stands in '{found[0].holder}', which runs after a failure too: "
            "delivery would ship what failed",
            place=script.place(found[0].at),
            fix="name a stage outside of it, or leave out --after",
        )
    if behind is None:
        raise EditRefused(
            f"stage '{name}' belongs to a closure that is kept for later: nothing is known to run after it",
            place=script.place(found[0].at),
            fix="name a stage outside of it, or leave out --after",
        )
    return behind, found[0].holder
