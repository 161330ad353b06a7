"""Which of the two syntaxes a Jenkinsfile has, and its stages (jenkins.io/doc/book/pipeline/syntax)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipegraft.ci.jenkins import scripted
from pipegraft.ci.jenkins.ending import is_cleanup
from pipegraft.ci.jenkins.grammar import block_of, is_definition
from pipegraft.ci.jenkins.stages import Outline, TeamStage, title_of
from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.groovy import Script, Span, Statement

__all__ = ["outline"]


def outline(script: Script) -> Outline:
    """The stages of a pipeline.

    Raises:
        EditRefused: the file holds no pipeline, or none that stages can be added to.
    """
    pipeline = _pipeline_block(script)
    if pipeline is not None:
        _check_nothing_follows(script, pipeline)
    return scripted.outline(script) if pipeline is None else _declarative(script, pipeline)


def _check_nothing_follows(script: Script, pipeline: Span) -> None:
    """What runs behind the pipeline block would run after delivery."""
    later = [one for one in script.statements(script.whole) if one.first > pipeline.last]
    runs = next(
        (one for one in later if not is_definition(script, one) and not is_cleanup(script, one)), None
    )
    if runs is not None and script.source(runs) != "return this":
        raise EditRefused(
            "this runs after the pipeline block, and so after delivery",
            place=script.place(runs.first),
            fix="make it a stage of the pipeline",
        )


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
    return Outline(
        "declarative",
        tuple(_walk(script, inside, None, "")),
        direct[-1],
        _deadline(script, pipeline),
        _judged(script, pipeline),
    )


_UNITS = {"SECONDS": 1.0, "MINUTES": 60.0, "HOURS": 3600.0, "DAYS": 86400.0}
_JUDGES = frozenset(
    {"junit", "xunit", "recordIssues", "testNG", "cucumber", "nunit", "robot", "unstable", "error"}
)


def _deadline(script: Script, pipeline: Span) -> tuple[float, Place] | None:
    """The timeout of the pipeline's `options`, where it is written as numbers."""
    options = _section(script, pipeline, "options")
    inside = block_of(script, options) if options else None
    found = _section(script, inside, "timeout") if inside else None
    if found is None:
        return None
    source = script.source(found)
    time, unit = re.search(r"(?:time\s*:|\()\s*(\d+)", source), re.search(r"unit\s*:\s*['\"](\w+)", source)
    seconds = _UNITS.get(unit[1] if unit else "MINUTES")
    return (float(time[1]) * seconds, script.place(found.first)) if time and seconds else None


def _judged(script: Script, pipeline: Span) -> tuple[str, Place] | None:
    """The first step of the pipeline's `post` that may make a good build a bad one."""
    post = _section(script, pipeline, "post")
    for condition in script.statements(block_of(script, post) or Span(1, 0)) if post else ():
        if script.word(condition.first) in ("always", "success", "changed", "fixed"):
            for index in range(condition.first, condition.last + 1):
                if script.word(index) in _JUDGES and script.code[index].kind == "word":
                    return script.word(index), script.place(index)
    return None


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
