"""Outline of a Scripted pipeline: which of its stages run once, one after another.

Groovy can compute a pipeline in any way; only what is plain is used. Blocks of calls are taken to run
once and in place (`node`, `timestamps`, a library's wrapper), but not those of loops and of `parallel`,
and not closures that are kept as values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pipegraft.ci.jenkins.stages import AFTER_FAILURE, Outline, TeamStage, block_of, title_of
from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.groovy import Script, Span, Statement

__all__ = ["is_definition", "outline"]

_LOOPS = frozenset(
    [
        "each",
        "eachWithIndex",
        "collect",
        "collectEntries",
        "times",
        "upto",
        "downto",
        "step",
        "any",
        "every",
        "find",
        "findAll",
        "retry",
        "waitUntil",
        "matrix",
        "parallel",
    ]
)
_MODIFIERS = frozenset(
    {"def", "public", "private", "protected", "static", "final", "abstract", "synchronized"}
)
_BUILTIN_TYPES = frozenset({"void", "boolean", "byte", "char", "short", "int", "long", "float", "double"})
_CLASSES = frozenset({"class", "interface", "enum", "trait"})
_CONDITIONS = frozenset({"if", "else", "switch"})
_ENDINGS = frozenset({"return", "throw", "break", "continue"})
_RUNS = frozenset({"stage", "node", "parallel", "podTemplate"})


@dataclass(frozen=True, slots=True)
class _Context:
    """How a block runs.

    Arguments:
        main: on every run, once, in order: what stands in it counts for where the pipeline ends.
        held: what stands for each of its stages when they do not run once and in order.
        holder: what makes them run otherwise.
        kept: nothing can follow it in turn: a value runs nobody knows when, `finally` after a failure too.
    """

    main: bool = True
    held: Statement | None = None
    holder: str = ""
    kept: bool = False


@dataclass(slots=True)
class _Walk:
    script: Script
    runners: frozenset[str]
    stages: list[TeamStage] = field(default_factory=list)
    ends: list[Statement] = field(default_factory=list)


def is_definition(script: Script, statement: Statement) -> bool:
    """Whether a statement defines a method or a class."""
    words = [index for index in script.top_level(statement) if script.code[index].kind == "word"]
    if any(script.word(index) in _CLASSES and script.word(index - 1) != "." for index in words[:4]):
        return True
    return _method_name(script, statement) is not None


def _method_name(script: Script, statement: Statement) -> str | None:
    """The name, if the statement defines a method: ``def x(…) {``, ``Map<String, String> x(…) {``."""
    if script.word(statement.last) != "}":
        return None
    close = _before(script, script.partner[statement.last])
    if script.word(close) != ")" or close <= statement.first:
        return None
    name = script.partner[close] - 1
    kind = script.word(name - 1) if name > statement.first else ""
    typed = kind in _MODIFIERS | _BUILTIN_TYPES or kind in (">", "]") or kind[:1].isupper()
    called = any(script.word(index) in ("=", "return", "new") for index in script.top_level(statement))
    return script.word(name) if typed and not called else None


def _before(script: Script, index: int) -> int:
    index -= 1
    while index > 0 and script.code[index].kind == "newline":
        index -= 1
    return index


def outline(script: Script) -> Outline:
    """Stages of a Scripted pipeline.

    Raises:
        EditRefused: the file runs no pipeline itself.
    """
    statements = script.statements(script.whole)
    walk = _Walk(script, _runners(script, statements))
    _block(walk, script.whole, _Context())
    if not walk.ends:
        raise _no_pipeline(script, statements)
    return Outline("scripted", tuple(walk.stages), walk.ends[-1])


def _runners(script: Script, statements: tuple[Statement, ...]) -> frozenset[str]:
    """Names of the file's own methods that run stages, themselves or through one another."""
    methods: dict[str, set[str]] = {}
    for statement in statements:
        name = _method_name(script, statement)
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
        if walk.script.word(statement.first) == "stage" and not list(_blocks(walk.script, statement)):
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
    if context.main:
        walk.ends.append(last)


def _statement(walk: _Walk, statement: Statement, context: _Context) -> None:
    script = walk.script
    words = {script.word(index) for index in script.top_level(statement)}
    defines = is_definition(script, statement)
    if defines:
        context = _Context(main=False)
    ends_before = len(walk.ends)
    as_one = not defines and bool(words & (walk.runners | {"parallel"}))
    for brace, opener in _blocks(script, statement):
        inner = _context(script, statement, opener, context)
        if opener == "stage":
            at = _opener_index(script, statement, brace)
            behind = None if context.kept else context.held or statement
            walk.stages.append(TeamStage(title_of(script, at), at, behind, context.holder))
        as_one = as_one or (_runs_apart(inner) and _has_stage(walk, brace, opener))
        _block(walk, script.inside(brace), inner)
    if context.main and as_one:
        del walk.ends[ends_before:]
        walk.ends.append(statement)
    elif context.main and len(walk.ends) == ends_before and (body := _node_body(script, statement)):
        walk.ends.append(body)


def _runs_apart(inner: _Context) -> bool:
    """Whether a block runs, though not simply in its turn: then delivery follows the whole statement."""
    return not inner.main and not inner.kept


def _has_stage(walk: _Walk, brace: int, opener: str) -> bool:
    words = _RUNS | walk.runners
    inside = range(brace, walk.script.partner[brace])
    return opener == "stage" or any(walk.script.word(index) in words for index in inside)


def _node_body(script: Script, statement: Statement) -> Statement | None:
    """The last statement of a node without stages, if delivery can follow it."""
    if script.word(statement.first) != "node" or (body := block_of(script, statement)) is None:
        return None
    inside = script.statements(body)
    if not inside or script.word(inside[-1].first) in _ENDINGS:
        return statement
    return inside[-1]


def _blocks(script: Script, statement: Statement) -> Iterator[tuple[int, str]]:
    """Braces of a statement that no other braces enclose, each with the word that opens it.

    The word is that of the call or the keyword; ``=`` for a closure that is a value.
    """
    index = statement.first
    while index <= statement.last:
        if script.word(index) == "{" and script.code[index].kind == "open":
            yield index, _opener(script, statement, index)
            index = script.partner[index]
        index += 1


def _opener(script: Script, statement: Statement, brace: int) -> str:
    at = _opener_index(script, statement, brace)
    return "=" if at < 0 else script.word(at)


def _opener_index(script: Script, statement: Statement, brace: int) -> int:
    """Index of the word that opens a block; -1 for a value."""
    before = _before(script, brace)
    if before < statement.first:
        return -1
    if script.code[before].kind == "word":
        return -1 if script.word(before) in _ENDINGS else before
    if script.word(before) == ")":
        return script.partner[before] - 1
    if script.word(before) == "}":  # a second closure of the same call
        return _opener_index(script, statement, script.partner[before])
    if script.word(before) not in (",", "("):
        return -1
    enclosing = _enclosing(script, statement, brace)
    if enclosing >= 0:
        return enclosing - 1 if script.word(enclosing) == "(" else -1
    return statement.first if script.word(statement.first) != "def" else -1


def _enclosing(script: Script, statement: Statement, index: int) -> int:
    """Index of the bracket within the statement that encloses a token, or -1."""
    index -= 1
    while index >= statement.first:
        kind = script.code[index].kind
        if kind == "open":
            return index
        index = (script.partner[index] if kind == "close" else index) - 1
    return -1


def _context(script: Script, statement: Statement, opener: str, outer: _Context) -> _Context:
    """How the block of a statement runs, given how the statement runs."""
    first = script.word(statement.first)
    if first == "stage" or opener == "stage":
        return replace(outer, main=False)
    holder = "parallel" if _calls_parallel(script, statement) else opener if opener in _LOOPS else ""
    holder = first if first in ("for", "while") else holder
    if holder:
        return replace(outer, main=False, held=outer.held or statement, holder=outer.holder or holder)
    if opener == "=":
        return replace(outer, main=False, kept=True)
    if opener in AFTER_FAILURE:
        return replace(outer, main=False, kept=True, holder=opener)
    main = outer.main and first not in _CONDITIONS
    return replace(outer, main=main)


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
    return EditRefused(
        f"expected stages or a node, found a pipeline that comes whole from elsewhere: {called}",
        place=script.place(running[-1].first),
        fix=f"call pipegraft() in the library that defines {called}, "
        "or give delivery a Jenkinsfile of its own that this one triggers",
    )
