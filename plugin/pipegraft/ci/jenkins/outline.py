"""Which of the two syntaxes a Jenkinsfile has, and its stages (jenkins.io/doc/book/pipeline/syntax)."""

from __future__ import annotations

from collections.abc import Iterator

from pipegraft.ci.jenkins import scripted
from pipegraft.ci.jenkins.scripted import is_definition
from pipegraft.ci.jenkins.stages import Outline, TeamStage, block_of, title_of
from pipegraft.core.errors import EditRefused
from pipegraft.text.groovy import Script, Span, Statement

__all__ = ["outline"]


def outline(script: Script) -> Outline:
    """The stages of a pipeline.

    Raises:
        EditRefused: the file holds no pipeline, or none that stages can be added to.
    """
    pipeline = _pipeline_block(script)
    return scripted.outline(script) if pipeline is None else _declarative(script, pipeline)


def _pipeline_block(script: Script) -> Span | None:
    """What the braces of the one ``pipeline { … }`` hold, or None if there is none.

    One in a method is library code: the pipeline of whoever calls it, not of this file.

    Raises:
        EditRefused: there are several.
    """
    found = [
        index
        for statement in script.statements(script.whole)
        if not is_definition(script, statement)
        for index in range(statement.first, statement.last + 1)
        if script.word(index) == "pipeline" and _is_pipeline(script, index)
    ]
    if len(found) > 1:
        lines = ", ".join(str(script.place(index).line) for index in found)
        raise EditRefused(
            f"expected one pipeline block, found {len(found)}, at lines {lines}",
            place=script.place(found[1]),
            fix="give each pipeline a file of its own",
        )
    return script.inside(script.skip_newlines(found[0] + 1)) if found else None


def _is_pipeline(script: Script, index: int) -> bool:
    brace = script.skip_newlines(index + 1)
    if script.word(index - 1) == "." or script.word(brace) != "{":
        return False
    return _section(script, script.inside(brace), "stages", "agent") is not None


def _declarative(script: Script, pipeline: Span) -> Outline:
    """Stages of a pipeline block.

    Raises:
        EditRefused: it has no `stages`, or none in them.
    """
    stages = _section(script, pipeline, "stages")
    inside = block_of(script, stages) if stages else None
    direct = [] if inside is None else _stage_statements(script, inside)
    if inside is None or not direct:
        raise EditRefused(
            "expected a pipeline with at least one stage in 'stages', found none",
            place=script.place(stages.first if stages else pipeline.first - 1),
            fix="write a first stage; delivery follows it",
        )
    return Outline("declarative", tuple(_walk(script, inside, None, "")), direct[-1])


def _section(script: Script, block: Span, *names: str) -> Statement | None:
    return next((found for found in script.statements(block) if script.word(found.first) in names), None)


def _stage_statements(script: Script, block: Span) -> list[Statement]:
    return [
        statement
        for statement in script.statements(block)
        if script.word(statement.first) == "stage" and script.word(statement.last) == "}"
    ]


def _walk(script: Script, block: Span, held: Statement | None, holder: str) -> Iterator[TeamStage]:
    """Stages of a block; `held` is what stands for each of them where they do not run one after another."""
    for statement in _stage_statements(script, block):
        behind = held or statement
        yield TeamStage(title_of(script, statement.first), statement.first, behind, holder)
        body = block_of(script, statement)
        for section in script.statements(body) if body else ():
            inside = block_of(script, section)
            word = script.word(section.first)
            if inside is None:
                continue
            if word == "stages":
                yield from _walk(script, inside, held, holder)
            elif word == "parallel":
                yield from _walk(script, inside, behind, holder or word)
            elif word == "matrix" and (cells := _section(script, inside, "stages")):
                yield from _walk(script, block_of(script, cells) or Span(1, 0), behind, holder or word)
