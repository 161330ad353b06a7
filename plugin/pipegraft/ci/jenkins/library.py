"""The ``@Library`` annotation: the library's pin joins what the file loads already, and leaves it again.

Jenkins reads the annotation when it compiles the file, and a second ``@Library('…') _`` would declare
``_`` twice: so where there is an annotation, the pin becomes an item of it. Which side it stands on says
what was there before: first in a list that was a single text, last in a list that was one already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipegraft.ci.jenkins.grafts import PREFIX, line_end, line_start
from pipegraft.core.errors import EditRefused, UsageError
from pipegraft.text.groovy import Script, Span

__all__ = ["drop_library", "library_version", "pin_library"]


@dataclass(frozen=True, slots=True)
class _Annotation:
    """One ``@Library(…)``.

    Arguments:
        whole: its span, from the ``@`` to the closing parenthesis.
        items: indices of the string tokens it names.
        listed: the brackets of a list around them, or None.
        plain: nothing but strings stands in it.
    """

    whole: Span
    items: tuple[int, ...]
    listed: Span | None
    plain: bool


def _annotations(script: Script) -> Iterator[_Annotation]:
    for index, token in enumerate(script.code):
        if token.kind == "operator" and [script.word(index + n) for n in (0, 1, 2)] == ["@", "Library", "("]:
            yield _annotation(script, index)


def _annotation(script: Script, at: int) -> _Annotation:
    inside = script.inside(at + 2)
    first = script.skip_newlines(inside.first)
    if (script.word(first), script.word(first + 1)) == ("value", "="):
        first = script.skip_newlines(first + 2)
    listed = Span(first, script.partner[first]) if script.word(first) == "[" else None
    span = listed or Span(first, first)
    items = tuple(n for n in range(span.first, span.last + 1) if script.string(n) is not None)
    other = [
        n
        for n in range(span.first, span.last + 1)
        if n not in items and script.code[n].kind != "newline" and script.word(n) not in "[,]"
    ]
    behind = script.word(script.skip_newlines(span.last + 1))
    plain = bool(items) and not other and behind in (")", ",")
    return _Annotation(Span(at, script.partner[at + 2]), items, listed, plain)


def _is_pin(script: Script, index: int) -> bool:
    name = script.string(index)
    return name is not None and name.split("@")[0] == PREFIX


def library_version(script: Script) -> str | None:
    """The version the file pins, None if it does not load the library; empty if it names none."""
    for annotation in _annotations(script):
        for index in annotation.items:
            if _is_pin(script, index):
                return (script.string(index) or "").partition("@")[2]
    return None


def pin_library(script: Script, version: str) -> str:
    """The text with the library loaded at a version.

    Raises:
        EditRefused: the file loads libraries in a way that cannot be joined.
        UsageError: no version of a library can be called so.
    """
    if not re.fullmatch(r"[\w./+-]*", version):
        raise UsageError(
            f"expected a tag, branch or commit as the library's version, found {version!r}",
            fix="name one with letters, digits and . _ / + - alone",
        )
    pin = f"'{PREFIX}@{version}'" if version else f"'{PREFIX}'"
    annotations = list(_annotations(script))
    text = script.text
    for index in (item for annotation in annotations for item in annotation.items if _is_pin(script, item)):
        token = script.code[index]
        quote = text[token.start]
        return text[: token.start] + pin.replace("'", quote) + text[token.end :]
    for annotation in annotations:
        if annotation.plain:
            return _join(script, annotation, pin)
    if annotations:
        raise EditRefused(
            "expected @Library with the names of libraries, found an expression",
            place=script.place(annotations[0].whole.first),
            fix="write the names as plain text in single quotes",
        )
    start = _first_line(script)
    return f"{text[:start]}@Library({pin}) _{line_end(text)}{text[start:]}"


def _join(script: Script, annotation: _Annotation, pin: str) -> str:
    text = script.text
    last = script.code[annotation.items[-1]]
    if annotation.listed:
        return f"{text[: last.end]}, {pin}{text[last.end :]}"
    return f"{text[: last.start]}[{pin}, {text[last.start : last.end]}]{text[last.end :]}"


def _first_line(script: Script) -> int:
    """Offset of the line where the annotation goes: above the first statement and what is said of it."""
    first = script.skip_newlines(0)
    if script.word(first) == "package":
        while script.code[first].kind != "newline":
            first += 1
        return script.code[first].end
    offset = script.code[first].start if first < len(script.code) else len(script.text)
    start = line_start(script.text, offset)
    breaks = 0
    for token in reversed(list(script.tokens_between(0, offset))):
        breaks += token.kind == "newline"
        if token.kind != "comment":
            continue
        said = script.text[token.start : token.end]
        if breaks > 1 or said.startswith("#!") or (token.start < 3 and re.search(r"-\*-|vim?:", said)):
            break
        start, breaks = line_start(script.text, token.start), 0
    return start


def drop_library(script: Script) -> str:
    """The text without the library's pin."""
    text = script.text
    for annotation in _annotations(script):
        index = next((item for item in annotation.items if _is_pin(script, item)), None)
        if index is None:
            continue
        if len(annotation.items) == 1:
            start, end = _line(script, annotation)
        elif annotation.listed and index == annotation.items[0]:
            return _leave_first(script, annotation)
        else:
            before = annotation.items[annotation.items.index(index) - 1]
            start, end = script.code[before].end, script.code[index].end
        return text[:start] + text[end:]
    return text


def _leave_first(script: Script, annotation: _Annotation) -> str:
    text, (first, second, *more) = script.text, annotation.items
    assert annotation.listed is not None  # noqa: S101 - the caller has looked
    if more:
        return text[: script.code[first].start] + text[script.code[second].start :]
    left, right = script.start(annotation.listed), script.end(annotation.listed)
    kept = text[script.code[second].start : script.code[second].end]
    return text[:left] + kept + text[right:]


def _line(script: Script, annotation: _Annotation) -> tuple[int, int]:
    """Span of ``@Library('…') _`` with its line end, or an empty one if it stands before anything else."""
    last = annotation.whole.last + 1
    behind = script.code[last + 1] if last + 1 < len(script.code) else None
    start = script.start(annotation.whole)
    if script.word(last) != "_" or (behind is not None and behind.kind != "newline"):
        return start, start
    return start, behind.end if behind else script.code[last].end
