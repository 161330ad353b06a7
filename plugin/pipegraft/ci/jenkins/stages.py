"""What pipelines are made of: definitions, blocks and stages; where delivery may follow each, and the end.

The end of a Scripted pipeline is behind the last statement that can fail, on every path that got so far.
Delivery goes into a block only where nothing of the block holds it: not into the team's lock, folder,
secrets, container or deadline. Where no such place is on every path, the file is refused with the place that
is in the way.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.groovy import Script, Span, Statement

__all__ = [
    "AFTER_FAILURE",
    "NEUTRAL",
    "ComesWhole",
    "Outline",
    "TeamStage",
    "block_of",
    "blocks",
    "end_of",
    "is_cleanup",
    "is_definition",
    "is_quiet",
    "method_name",
    "opener_index",
    "section",
    "stage_behind",
    "title_of",
]

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
        end: the statement delivery follows unless told otherwise, or why there is none.
    """

    syntax: Literal["declarative", "scripted"]
    stages: Sequence[TeamStage]
    end: Statement | EditRefused


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


_MODIFIERS = frozenset(
    {"def", "public", "private", "protected", "static", "final", "abstract", "synchronized"}
)
_BUILTIN_TYPES = frozenset({"void", "boolean", "byte", "char", "short", "int", "long", "float", "double"})
_CLASSES = frozenset({"class", "interface", "enum", "trait"})
_LEAVING = frozenset({"return", "throw", "break", "continue"})


def block_of(script: Script, statement: Statement) -> Statement | None:
    """What the braces hold that a statement ends in, or None."""
    if script.word(statement.last) != "}":
        return None
    return script.inside(script.partner[statement.last])


def section(script: Script, block: Span, *names: str) -> Statement | None:
    """The first statement of a block that begins with one of some words."""
    return next((found for found in script.statements(block) if script.word(found.first) in names), None)


def is_definition(script: Script, statement: Statement) -> bool:
    """Whether a statement defines a method or a class."""
    words = [index for index in script.top_level(statement) if script.code[index].kind == "word"]
    if any(script.word(index) in _CLASSES and script.word(index - 1) != "." for index in words[:4]):
        return True
    return method_name(script, statement) is not None


def method_name(script: Script, statement: Statement) -> str | None:
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


def blocks(script: Script, statement: Statement) -> Iterator[tuple[int, str]]:
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
    at = opener_index(script, statement, brace)
    return "=" if at < 0 else script.word(at)


def opener_index(script: Script, statement: Statement, brace: int) -> int:
    """Index of the word that opens a block; -1 for a value."""
    before = _before(script, brace)
    if before < statement.first:
        return -1
    if script.code[before].kind == "word":
        return -1 if script.word(before) in _LEAVING else before
    if script.word(before) == ")":
        return script.partner[before] - 1
    if script.word(before) == "}":  # a second closure of the same call
        return opener_index(script, statement, script.partner[before])
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


NEUTRAL = frozenset({"node", "timestamps", "ansiColor", "podTemplate"})
"""Steps that run their block once and hold nothing but an executor."""
_CLEANING = frozenset({"cleanWs", "deleteDir"})
_SAYING = frozenset({"echo", "println", "print"})
_TELLING = _SAYING | {"mail", "emailext", "slackSend", "office365ConnectorSend", "mattermostSend"}
_LOUD = frozenset({"throw", "error", "unstable", "catchError", "currentBuild"})
"""Words by which a `catch` lets the build be told from a good one."""
_DECLARING = frozenset({"import", "package", "properties", "library"})


def end_of(script: Script) -> Statement:
    """The statement that delivery follows unless told otherwise.

    Raises:
        EditRefused: no place is behind everything that can fail, on every path.
    """
    found = _tail(script, script.whole)
    if found is None:
        statements = script.statements(script.whole)
        raise EditRefused(
            "expected a statement that delivery can follow, found a pipeline that ends by leaving it",
            place=script.place(statements[-1].first),
            fix="let the last statement be a call, without 'return' before it",
        )
    return found


def is_cleanup(script: Script, statement: Statement) -> bool:
    """Whether a statement only clears up or tells people: it judges nothing."""
    first = script.word(statement.first)
    if first in ("stage", "script"):
        inside = block_of(script, statement)
        held = script.statements(inside) if inside else ()
        clears = any(script.word(one.first) not in _SAYING for one in held)
        return clears and all(is_cleanup(script, one) for one in held)
    if first == "step":
        return any(word in script.source(statement) for word in ("WsCleanup", "Mailer"))
    return first in _CLEANING | _TELLING


def _tail(script: Script, block: Span) -> Statement | None:
    """The statement of a block that delivery follows; None if it has none."""
    judging = [
        one
        for one in script.statements(block)
        if not is_definition(script, one) and script.word(one.first) not in _DECLARING
    ]
    while judging and (is_cleanup(script, judging[-1]) or _is_bare_return(script, judging[-1])):
        judging.pop()
    if not judging or script.word(judging[-1].first) in _LEAVING:
        return None
    last = judging[-1]
    if any(_clears(script, one) for one in judging[1:-1]) and block != script.whole:
        return None  # the workspace is gone: delivery takes one of its own, outside
    inside = _within(script, last)
    found = None if inside is None else _tail(script, inside)
    if found is None and (early := _leaves_early(script, last)) is not None:
        raise EditRefused(
            "this 'return' ends the block before its end, and delivery can only follow the whole block: "
            "it would ship what was not finished",
            place=script.place(early),
            fix="put what follows into an 'else', or name with --after the stage to follow",
        )
    return found or last


def _is_bare_return(script: Script, statement: Statement) -> bool:
    return script.source(statement) in ("return", "return this")


def _clears(script: Script, statement: Statement) -> bool:
    return script.word(statement.first) in _CLEANING


def _within(script: Script, statement: Statement) -> Span | None:
    """The block of a statement that delivery may end, None where it follows the whole."""
    first = script.word(statement.first)
    found = list(blocks(script, statement))
    if first in NEUTRAL and len(found) == 1 and script.partner[found[0][0]] == statement.last:
        return script.inside(found[0][0])
    if first == "try" and found:
        return _of_try(script, found)
    return None


def is_quiet(script: Script, brace: int) -> bool:
    """Whether a `catch` lets the build go on as if nothing had failed."""
    inside = script.inside(brace)
    return not any(script.word(index) in _LOUD for index in range(inside.first, inside.last + 1))


_PASSING = NEUTRAL | {"dir", "ws", "lock", "withCredentials", "withEnv", "timeout", "container", "inside"}
_BRANCHING = frozenset({"if", "else", "try"})


def _leaves_early(script: Script, statement: Statement) -> int | None:
    """Index of a `return` that leaves a block before its end; None if there is none."""
    for brace, opener in blocks(script, statement):
        if opener not in _PASSING | _BRANCHING:
            continue
        inside = script.statements(script.inside(brace))
        for one in inside:
            if script.word(one.first) == "return" and (opener in _BRANCHING or one != inside[-1]):
                return one.first
            found = _leaves_early(script, one)
            if found is not None:
                return found
    return None


def _of_try(script: Script, found: Sequence[tuple[int, str]]) -> Span | None:
    """The block of a `try`: what stands behind it there runs only where nothing has failed.

    A `finally` that judges, such as one that reads test results, must have run before. Then delivery follows
    the whole, and a `catch` must let the library see that the build is not good.
    """
    last = [script.inside(brace) for brace, opener in found if opener == "finally"]
    judges = [one for block in last for one in script.statements(block) if not is_cleanup(script, one)]
    if not judges:
        return script.inside(found[0][0])
    for brace, opener in found:
        if opener == "catch" and is_quiet(script, brace):
            raise EditRefused(
                "this 'catch' lets the build go on as if nothing had failed, and what 'finally' does at line "
                f"{script.place(judges[0].first).line} comes last: delivery could ship what failed",
                place=script.place(brace),
                fix="let the 'catch' throw, or set currentBuild.result; or name with --after the stage that "
                "delivery is to follow",
            )
    return None
