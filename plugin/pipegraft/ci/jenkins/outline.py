"""Which of the two syntaxes a Jenkinsfile has, and its stages (jenkins.io/doc/book/pipeline/syntax).

Groovy can compute a Scripted pipeline in any way; only what is plain is used. What a call does with its block
is known of a few steps alone (`node`, `timestamps`); delivery stays out of every other one: it may hold a
lock or a secret, set a deadline, change the folder, run its block never or twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pipegraft.ci.jenkins.stages import (
    AFTER_FAILURE,
    NEUTRAL,
    ComesWhole,
    Outline,
    TeamStage,
    block_of,
    blocks,
    end_of,
    is_cleanup,
    is_definition,
    method_name,
    opener_index,
    section,
    title_of,
)
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
    return _scripted(script) if pipeline is None else _declarative(script, pipeline)


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
    return section(script, script.inside(brace), "stages", "agent") is not None


def _declarative(script: Script, pipeline: Span) -> Outline:
    """Stages of a pipeline block.

    Raises:
        EditRefused: it has no `stages`, or none in them.
    """
    stages = section(script, pipeline, "stages")
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
    )


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
        for part in script.statements(body) if body else ():
            inside = block_of(script, part)
            word = script.word(part.first)
            if inside is None:
                continue
            if word == "stages":
                yield from _walk(script, inside, held, holder)
            elif word == "parallel":
                yield from _walk(script, inside, behind, holder or word)
            elif word == "matrix" and (cells := section(script, inside, "stages")):
                yield from _walk(script, block_of(script, cells) or Span(1, 0), behind, holder or word)


_NEUTRAL = frozenset({*NEUTRAL, "script", "try", "if", "else", "switch", "synchronized"})
"""Openers of blocks in which delivery may follow a stage that somebody named."""
_RUNS = frozenset({"stage", "node", "parallel", "podTemplate"})


@dataclass(frozen=True, slots=True)
class _Context:
    """How a block runs.

    Arguments:
        held: what stands for each of its stages when they do not run once, in order and free of a wrapper.
        holder: what makes them run otherwise.
        kept: nothing can follow it in turn: a value runs nobody knows when, `finally` after a failure too.
    """

    held: Statement | None = None
    holder: str = ""
    kept: bool = False


@dataclass(slots=True)
class _Walk:
    script: Script
    stages: list[TeamStage] = field(default_factory=list)


def _scripted(script: Script) -> Outline:
    """Stages of a Scripted pipeline.

    Raises:
        EditRefused: the file runs no pipeline itself.
    """
    statements = script.statements(script.whole)
    runners = _RUNS | _runners(script, statements)
    running = [one for one in statements if not is_definition(script, one)]
    if not any(script.word(index) in runners for one in running for index in range(one.first, one.last + 1)):
        raise _no_pipeline(script, statements)
    walk = _Walk(script)
    _block(walk, script.whole, _Context())
    return Outline("scripted", tuple(walk.stages), _end(script))


def _end(script: Script) -> Statement | EditRefused:
    """Where the pipeline ends; a refusal matters only to those who name no place themselves."""
    try:
        return end_of(script)
    except EditRefused as refusal:
        return refusal


def _runners(script: Script, statements: tuple[Statement, ...]) -> frozenset[str]:
    """Names of the file's own methods that run stages, themselves or through one another."""
    methods: dict[str, set[str]] = {}
    for statement in statements:
        name = method_name(script, statement)
        body = block_of(script, statement)
        if name and body:
            methods[name] = {
                script.word(index)
                for index in range(body.first, body.last + 1)
                if script.code[index].kind == "word"
            }
    found: set[str] = set(_RUNS)
    while more := {name for name, words in methods.items() if name not in found and words & found}:
        found |= more
    return frozenset(found - _RUNS)


def _block(walk: _Walk, block: Span, context: _Context) -> None:
    statements = walk.script.statements(block)
    for position, statement in enumerate(statements):
        if walk.script.word(statement.first) == "stage" and not list(blocks(walk.script, statement)):
            _mark(walk, statement, _last_of_mark(walk.script, statements[position:]), context)
        else:
            _statement(walk, statement, context)


def _last_of_mark(script: Script, statements: Sequence[Statement]) -> Statement:
    """The last statement before the next stage: a stage without a block, of old, goes on until there."""
    following = (n for n, found in enumerate(statements) if n and script.word(found.first) == "stage")
    return statements[next(following, len(statements)) - 1]


def _mark(walk: _Walk, statement: Statement, last: Statement, context: _Context) -> None:
    behind = None if context.kept else context.held or last
    title = title_of(walk.script, statement.first)
    walk.stages.append(TeamStage(title, statement.first, behind, context.holder))


def _statement(walk: _Walk, statement: Statement, context: _Context) -> None:
    script = walk.script
    if is_definition(script, statement):
        context = _Context()
    for brace, opener in blocks(script, statement):
        inner = _context(script, statement, opener, context)
        if opener == "stage":
            at = opener_index(script, statement, brace)
            behind = None if context.kept else context.held or statement
            walk.stages.append(TeamStage(title_of(script, at), at, behind, context.holder))
        _block(walk, script.inside(brace), inner)


def _context(script: Script, statement: Statement, opener: str, outer: _Context) -> _Context:
    """How the block of a statement runs, given how the statement runs."""
    first = script.word(statement.first)
    if is_definition(script, statement) or first == "stage" or opener == "stage":
        return outer
    if opener in AFTER_FAILURE:
        return replace(outer, kept=True, holder=opener)
    holder = "parallel" if _calls_parallel(script, statement) else first if first in ("for", "while") else ""
    if not holder and opener == "=":
        return replace(outer, kept=True)
    if not holder and opener not in _NEUTRAL:
        holder = opener
    return replace(outer, held=outer.held or statement, holder=outer.holder or holder) if holder else outer


def _calls_parallel(script: Script, statement: Statement) -> bool:
    return any(script.word(index) == "parallel" for index in script.top_level(statement))


def _no_pipeline(script: Script, statements: tuple[Statement, ...]) -> EditRefused:
    place = script.place(script.skip_newlines(0)) if statements else Place(script.file)
    running = [
        statement
        for statement in statements
        if not is_definition(script, statement)
        and script.word(statement.first) not in ("import", "package", "@", "return", "def", "properties")
        and script.code[statement.first].kind == "word"
    ]
    if not running:
        return EditRefused(
            "expected a pipeline, found library code: it defines and runs nothing",
            place=place,
            fix="name the Jenkinsfile that uses it",
        )
    called = script.word(running[-1].first)
    return ComesWhole(
        f"expected stages or a node, found a pipeline that comes whole from elsewhere: {called}",
        place=script.place(running[-1].first),
        fix=f"call pipegraft() in the library that defines {called}, "
        "or give delivery a Jenkinsfile of its own that this one triggers",
        call=running[-1],
    )
