"""Stages that delivery added to a pipeline: recognised by what they are, placed, and taken out again.

A graft is a stage that does nothing but call one step of the library. It stands on lines of its own
wherever the stage before it ends its line; else it follows on the same line behind a semicolon.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipegraft.ci.jenkins.calls import Call, literal, read_call
from pipegraft.text.groovy import Script, Statement

__all__ = ["Graft", "Slot", "find_grafts", "place", "slot_behind", "take_out"]

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
