"""What delivery adds to a pipeline: calls of the shared library's steps, each in a stage of its own.

A graft is a stage that does nothing but call one step of the library. It stands on lines of its own
wherever the stage before it ends its line; else it follows on the same line behind a semicolon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipegraft.core.errors import UsageError
from pipegraft.core.planning import Plan
from pipegraft.text.groovy import Script, Span, Statement

__all__ = [
    "PREFIX",
    "Call",
    "Graft",
    "Slot",
    "find_grafts",
    "is_step",
    "literal",
    "place",
    "planned_calls",
    "read_call",
    "slot_behind",
    "step_name",
    "take_out",
]

PREFIX = "pipegraft"


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a library step.

    Arguments:
        step: name of the step.
        title: name of the stage around it.
        arguments: name → Groovy source of the value.
    """

    step: str
    title: str
    arguments: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """Two calls with the same key do the same stage."""
        return self.step, self.arguments.get("environment", "")

    def tuned_as(self, other: Call | None, defaults: Mapping[str, str]) -> Call:
        """This call with the title and the further arguments that people gave the other one.

        Arguments:
            other: the same call as it stands, None if it does not.
            defaults: arguments for a call that has none of that name.
        """
        held = other.arguments if other else {}
        title = other.title if other else self.title
        return Call(self.step, title, {**held, **self.arguments} | _lacking(defaults, held, self.arguments))

    def __str__(self) -> str:
        return f"{self.step}({', '.join(f'{name}: {value}' for name, value in self.arguments.items())})"


def _lacking(defaults: Mapping[str, str], *given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in defaults.items() if not any(name in one for one in given)}


def step_name(stage: str) -> str:
    """The library's step for a stage: ``image-build`` → ``pipegraftImageBuild``."""
    return PREFIX + "".join(part.capitalize() for part in stage.split("-"))


def is_step(word: str) -> bool:
    """Whether a word names a step of the library."""
    rest = word[len(PREFIX) :]
    return word.startswith(PREFIX) and (not rest or rest[0].isupper())


def planned_calls(plan: Plan, *, whole: bool, runner: Mapping[str, str]) -> tuple[Call, ...]:
    """One call a planned stage, or a single one for the whole plan.

    Arguments:
        runner: further arguments of each call: where it runs.
    """
    if not whole:
        return tuple(
            _call(
                step_name(planned.stage),
                planned.id,
                {"environment": planned.environment, "inputs": planned.inputs, **runner},
            )
            for planned in plan.stages
        )
    stages = [planned.id for planned in plan.stages]
    inputs = {planned.id: planned.inputs for planned in plan.stages if planned.inputs}
    return (_call(PREFIX, "delivery", {"stages": stages, "inputs": inputs, **runner}),)


def _call(step: str, title: str, arguments: Mapping[str, Any]) -> Call:
    return Call(step, title, {name: literal(value) for name, value in arguments.items() if value})


_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def literal(value: object) -> str:
    """Groovy source of a value; strings never interpolate.

    Raises:
        UsageError: the value is none of text, number, truth value, list, mapping or nothing.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return "'" + "".join(_escaped(character) for character in value) + "'"
        case Mapping():
            pairs = ", ".join(f"{literal(str(name))}: {literal(item)}" for name, item in value.items())
            return f"[{pairs or ':'}]"
        case Sequence():
            return f"[{', '.join(literal(item) for item in value)}]"
    raise UsageError(
        f"expected text, a number, true or false, a list or a mapping as input, found {type(value).__name__}"
    )


def _escaped(character: str) -> str:
    if character in _ESCAPES:  # Groovy reads \\u000a as a line end, not as one in the text
        return _ESCAPES[character]
    if character < " " or character in "\x7f\u2028\u2029\ufeff":
        return f"\\u{ord(character):04x}"
    return character


def read_call(script: Script, index: int, title: str) -> Call | None:
    """The call of a library step at a token, if there is one with named arguments only."""
    if not is_step(script.word(index)) or script.word(index + 1) != "(" or script.word(index - 1) == ".":
        return None
    arguments: dict[str, str] = {}
    for part in _parts(script, script.inside(index + 1)):
        colon = script.skip_newlines(part.first + 1)
        if script.word(colon) != ":" or colon >= part.last:
            return None
        arguments[script.word(part.first)] = script.source(Span(script.skip_newlines(colon + 1), part.last))
    return Call(script.word(index), title, arguments)


def _parts(script: Script, span: Span) -> Iterator[Span]:
    """What commas separate in a span, newlines around each left out."""
    first = last = script.skip_newlines(span.first)
    for index in script.top_level(Span(first, span.last)):
        if script.word(index) == ",":
            yield Span(first, last)
            first = last = script.skip_newlines(index + 1)
        elif script.code[index].kind != "newline":
            last = index
    if first <= span.last:
        yield Span(first, last)


Syntax = Literal["declarative", "scripted"]


@dataclass(frozen=True, slots=True)
class Graft:
    """A graft in a text: its call and its span."""

    call: Call
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Slot:
    """Where grafts go, as text: what stands before, and around each of them.

    Arguments:
        offset: where the first one begins.
        before, behind: what comes before and behind each of them.
    """

    offset: int
    before: str
    behind: str


def find_grafts(script: Script) -> tuple[Graft, ...]:
    """All grafts in the order they stand."""
    words = (index for index, token in enumerate(script.code) if token.kind == "word")
    found = (_graft(script, index) for index in words if script.word(index) == "stage")
    return tuple(graft for graft in found if graft)


def _graft(script: Script, at: int) -> Graft | None:
    title = script.string(at + 2)
    brace = script.skip_newlines(at + 4)
    if script.word(at - 1) == "." or title is None or (script.word(at + 1), script.word(brace)) != ("(", "{"):
        return None
    inside = script.inside(brace)
    first = script.skip_newlines(inside.first)
    steps = script.skip_newlines(first + 1)
    if script.word(first) == "steps" and script.word(steps) == "{":
        if script.skip_newlines(script.partner[steps] + 1) != inside.last + 1:
            return None
        inside = script.inside(steps)
        first = script.skip_newlines(inside.first)
    call = read_call(script, first, title)
    if call is None or script.skip_newlines(script.partner[first + 1] + 1) != inside.last + 1:
        return None
    span = Statement(at, script.partner[brace])
    start, end = script.start(span), script.end(span)
    if any(token.kind == "comment" for token in script.tokens_between(start, end)):
        return None  # somebody has something to say about it: it is theirs now
    return Graft(call, start, end)


def render(call: Call, syntax: Syntax) -> str:
    """A graft's text."""
    title = literal(call.title)
    return (
        f"stage({title}) {{ steps {{ {call} }} }}"
        if syntax == "declarative"
        else f"stage({title}) {{ {call} }}"
    )


def slot_behind(script: Script, statement: Statement) -> Slot:
    """Where grafts go that follow a statement."""
    end = script.end(statement)
    eol = line_end(script.text)
    for token in script.tokens_between(end, len(script.text)):
        found = script.text[token.start : token.end]
        if token.kind == "newline":
            return Slot(token.end, _indent(script, statement), found)
        if not (token.kind == "space" or found == ";" or (token.kind == "comment" and _one_line(found))):
            return Slot(end, "; ", "")
    return Slot(len(script.text), eol + _indent(script, statement), "")


def _one_line(comment: str) -> bool:
    return "\n" not in comment and "\r" not in comment


def _indent(script: Script, statement: Statement) -> str:
    """Space before the line a statement begins on; if it begins within one, before the line it ends on."""
    for offset in (script.start(statement), script.code[statement.last].start):
        start = line_start(script.text, offset)
        lead = script.text[start:offset]
        if not lead.strip(" \t"):
            return lead
    return re.match(r"[ \t]*", script.text[start:])[0]  # type: ignore[index] # it matches the empty text


def line_start(text: str, offset: int) -> int:
    """Offset of the first character of a line; a byte-order mark stands before the first line."""
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    return start + text.startswith("\ufeff", start) if start == 0 else start


def line_end(text: str) -> str:
    """How lines of a text end: as its first one does."""
    found = re.search(r"\r\n|\r|\n", text)
    return found[0] if found else "\n"


def take_out(text: str, grafts: Sequence[Graft]) -> tuple[str, Slot | None]:
    """A text without its grafts, and where the first of them stood."""
    slot: Slot | None = None
    for graft in reversed(grafts):
        start, end, slot = _extent(text, graft)
        text = text[:start] + text[end:]
    return text, slot


_REST = re.compile(r"[ \t]*(\r\n|\r|\n|\Z)")


def _extent(text: str, graft: Graft) -> tuple[int, int, Slot]:
    """Span of a graft with what was added around it."""
    start = line_start(text, graft.start)
    lead = text[start : graft.start]
    rest = _REST.match(text, graft.end)
    if rest and not lead.strip(" \t"):
        if rest[1]:
            return start, rest.end(), Slot(start, lead, rest[1])
        eol = "\r\n" if text.endswith("\r\n", 0, start) else text[start - 1 : start].strip("\ufeff")
        start -= len(eol)
        return start, rest.end(), Slot(start, eol + lead, "")
    semicolon = re.search(r";[ \t]*\Z", lead)
    if semicolon:
        return start + semicolon.start(), graft.end, Slot(start + semicolon.start(), "; ", "")
    return graft.start, graft.end, Slot(graft.start, "", "; ")


def place(text: str, slot: Slot, calls: Sequence[Call], syntax: Syntax) -> str:
    """A text with grafts in a slot."""
    added = "".join(f"{slot.before}{render(call, syntax)}{slot.behind}" for call in calls)
    return text[: slot.offset] + added + text[slot.offset :]
