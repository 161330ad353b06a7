"""Where a Scripted pipeline ends: behind the last statement that can fail, on every path that got so far.

Delivery goes into a block only where nothing of the block holds it: not into the team's lock, folder,
secrets, container or deadline. Where no such place is on every path, the file is refused with the place that
is in the way.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipegraft.ci.jenkins.grammar import block_of, blocks, is_definition
from pipegraft.core.errors import EditRefused
from pipegraft.text.groovy import Script, Span, Statement

__all__ = ["NEUTRAL", "end_of", "is_cleanup"]

NEUTRAL = frozenset({"node", "timestamps", "ansiColor", "podTemplate"})
"""Steps that run their block once and hold nothing but an executor."""
_CLEANING = frozenset({"cleanWs", "deleteDir"})
_SAYING = frozenset({"echo", "println", "print"})
_TELLING = _SAYING | {"mail", "emailext", "slackSend", "office365ConnectorSend", "mattermostSend"}
_LOUD = frozenset({"throw", "error", "unstable", "catchError", "currentBuild"})
"""Words by which a `catch` lets the build be told from a good one."""
_ENDINGS = frozenset({"return", "throw", "break", "continue"})
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
    if not judging or script.word(judging[-1].first) in _ENDINGS:
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
        inside = script.inside(brace)
        words = {script.word(index) for index in range(inside.first, inside.last + 1)}
        if opener == "catch" and not words & _LOUD:
            raise EditRefused(
                "this 'catch' lets the build go on as if nothing had failed, and what 'finally' does at line "
                f"{script.place(judges[0].first).line} comes last: delivery could ship what failed",
                place=script.place(brace),
                fix="let the 'catch' throw, or set currentBuild.result; or name with --after the stage that "
                "delivery is to follow",
            )
    return None
