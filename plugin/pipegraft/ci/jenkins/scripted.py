"""Outline of a Scripted pipeline: which of its stages run once, one after another, and where it ends.

Groovy can compute a pipeline in any way; only what is plain is used. What a call does with its block is known
of a few steps alone (`node`, `timestamps`); every other one is taken for something that delivery must stay
out of: it may hold a lock or a secret, set a deadline, change the folder, run its block never or twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipegraft.ci.jenkins.ending import NEUTRAL, end_of
from pipegraft.ci.jenkins.grammar import block_of, blocks, is_definition, method_name, opener_index
from pipegraft.ci.jenkins.stages import AFTER_FAILURE, ComesWhole, Outline, TeamStage, title_of
from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.groovy import Script, Span, Statement

__all__ = ["outline"]

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


def outline(script: Script) -> Outline:
    """Stages of a Scripted pipeline.

    Raises:
        EditRefused: the file runs no pipeline itself, or delivery could follow its end in no place.
    """
    statements = script.statements(script.whole)
    runners = _RUNS | _runners(script, statements)
    running = [one for one in statements if not is_definition(script, one)]
    if not any(script.word(index) in runners for one in running for index in range(one.first, one.last + 1)):
        raise _no_pipeline(script, statements)
    walk = _Walk(script)
    _block(walk, script.whole, _Context())
    return Outline("scripted", tuple(walk.stages), end_of(script))


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
