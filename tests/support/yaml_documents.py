"""YAML documents of every shape that people write, made up by hypothesis, and ways to look at them.

The shapes: blocks and brackets in each other, all five scalar styles and values nobody wrote, comments
and blank lines anywhere, anchors, aliases, merge keys and tags, explicit keys, several documents with
directives and markers, any line ends, a byte-order mark, no line break at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import strategies as st
from yaml.events import MappingStartEvent, ScalarEvent, SequenceStartEvent

from pipegraft.text.yaml import Path

Draw = st.DrawFn
_KEYS = ["a", "b", "web", "image", "x y", "'q k'", '"d.k/z"', "é", "on", "1", "~", "long-key_0"]
_PLAIN = [
    "v1",
    "web:1.0",
    "a b",
    "x#y",
    "http://h/p?q=1#f",
    "r/i@sha256:0a",
    "é🚀",
    "-x",
    ".x",
    "a'b",
    'a"b',
    "\\d",
]
_PLAIN += ["1", "1.10", ".5", "12e4567", "0123", "0x1F", "on", "True", "null", "~", "2024-01-01"]
_CHARACTERS = st.text(st.sampled_from("ab'\"\\#:,[]{}&*!|>%@`é🚀 \t\u2028\x85-?"), max_size=8)
_COMMENTS = ["", "", " # c", "  # a: b", "   ", "\t# tab"]


class _Writer:
    """Writes one document; it remembers the anchors, so that aliases have something to stand for."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.scalars: list[str] = []
        self.mappings: list[str] = []
        self.count = 0

    def pick(self, choices: list[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def chance(self, one_in: int) -> bool:
        return bool(self.draw(st.integers(1, one_in)) == one_in)

    def anchor(self, kind: list[str] | None) -> str:
        if not self.chance(8):
            return ""
        self.count += 1
        if kind is not None:
            kind.append(f"n{self.count}")
        return f" &n{self.count}"

    def filler(self, column: int) -> list[str]:
        """Lines that mean nothing."""
        if not self.chance(4):
            return []
        return [self.pick(["", "  ", "# c", " " * column + "# k: v", " " * (column + 3) + "# deep"])]

    def value(self, column: int, depth: int, deeper: int) -> tuple[str, list[str]]:
        """What stands behind ``key:`` or a dash in that column: the rest of the line, and more lines."""
        kind = self.pick(
            ["scalar"] * 5 + ["block text", "folds", "nothing", "flow", "alias"] + ["block"] * (3 * depth)
        )
        if kind == "alias" and self.scalars:
            return f" *{self.pick(self.scalars)}{self.pick(_COMMENTS)}", []
        if kind == "block text":
            return self.block_text(column)
        if kind == "folds":
            return self.folds(column)
        if kind == "flow":
            return self.flow_value(column, depth)
        if kind == "block":
            lines = self.block(column + deeper, depth - 1)
            return self.pick(_COMMENTS[:5]), lines
        if kind == "nothing":
            return self.anchor(None) + self.pick(_COMMENTS[:5]), []
        tag = " !!str" if self.chance(10) else " !local" if self.chance(12) else ""
        between = self.pick([" ", " ", " ", "   "])
        return self.anchor(self.scalars) + tag + between + self.token() + self.pick(_COMMENTS), []

    def token(self, flow: bool = False) -> str:
        kind = self.pick(["plain", "plain", "single", "double"])
        if kind == "plain":
            return str(self.pick(_PLAIN))
        text = self.draw(_CHARACTERS)
        if kind == "single":
            return "'" + text.replace("'", "''").replace("\t", "") + "'"
        written = json.dumps(text, ensure_ascii=False)
        return written if flow or self.chance(2) else written.replace("\x85", "\\N").replace("é", "\\xe9")

    def block_text(self, column: int) -> tuple[str, list[str]]:
        indent = column + self.pick([1, 2, 4])
        chomping = self.pick(["", "-", "+"])
        digit = str(indent - column) if self.chance(4) else ""
        body = [" " * indent + line if line else "" for line in self.draw(_BODY)]
        return f" {self.pick(['|', '>'])}{digit}{chomping}{self.pick(['', '', ' # c'])}", body

    def folds(self, column: int) -> tuple[str, list[str]]:
        indent = " " * (column + 2)
        first, last = self.pick([("one", "two"), ('"one', 'two"'), ("'one", "two'"), ("&f one", "two")])
        return f" {first}", [*self.pick([[], [""]]), f"{indent}{last}{self.pick(_COMMENTS)}"]

    def flow_value(self, column: int, depth: int) -> tuple[str, list[str]]:
        text = self.flow(column + 2, max(1, depth))
        head, *rest = text.split("\n")
        rest = [*rest[:-1], rest[-1] + self.pick(_COMMENTS)] if rest else rest
        return f" {head}" if rest else f" {head}{self.pick(_COMMENTS)}", rest

    def flow(self, column: int, depth: int) -> str:
        keys = self.draw(st.lists(st.sampled_from(["k", "l", '"m"', "'n o'"]), max_size=3, unique=True))
        style = self.pick(["tight", "spaced", "padded", "lines"])
        if self.chance(2):
            opening, closing = "{", "}"
            items = [self.pair(key, column, depth, style) for key in keys]
        else:
            opening, closing = "[", "]"
            items = [self.flow_item(column, depth) for _ in keys]
        trailing = "," if items and self.chance(4) else ""
        if style == "lines" and items:
            indent = "\n" + " " * column
            comment = self.pick(["", "", " # c"])
            return (
                opening
                + indent
                + f",{comment}{indent}".join(items)
                + f"{trailing}{comment}\n{' ' * (column - 1)}{closing}"
            )
        pad = " " if style == "padded" else ""
        return opening + pad + ("," if style == "tight" else ", ").join(items) + trailing + pad + closing

    def pair(self, key: str, column: int, depth: int, style: str) -> str:
        if self.chance(8):
            return str(self.pick([key, f"{key}: "]))
        colon = ":" if style == "tight" and key[0] == '"' else ": "
        return key + colon + self.flow_item(column, depth)

    def flow_item(self, column: int, depth: int) -> str:
        if depth and self.chance(4):
            return self.flow(column + 2, depth - 1)
        if self.scalars and self.chance(6):
            return f"*{self.pick(self.scalars)} "
        token = self.token(flow=True)
        return token if token[0] in "'\"" or not set(",[]{}") & set(token) else "v"

    def block(self, column: int, depth: int) -> list[str]:
        return self.mapping(column, depth) if self.chance(2) else self.sequence(column, depth)

    def mapping(self, column: int, depth: int) -> list[str]:
        lines: list[str] = []
        indent = " " * column
        for key in self.draw(st.lists(st.sampled_from(_KEYS), min_size=1, max_size=4, unique=True)):
            lines += self.filler(column)
            if self.chance(12):
                lines += [f"{indent}? {key}", f"{indent}: {self.token()}{self.pick(_COMMENTS)}"]
            else:
                named = self.chance(10)
                deeper = self.pick([2, 2, 2, 4, 1])
                head, more = self.named_mapping(column) if named else self.value(column, depth, deeper)
                lines += [f"{indent}{key}:{head}", *more]
        if self.mappings and self.chance(4):
            lines.append(f"{indent}<<: *{self.pick(self.mappings)}")
        return lines

    def named_mapping(self, column: int) -> tuple[str, list[str]]:
        self.count += 1
        self.mappings.append(f"n{self.count}")
        return f" &n{self.count}", [f"{' ' * (column + 2)}own{self.count}: {self.token()}"]

    def sequence(self, column: int, depth: int) -> list[str]:
        lines: list[str] = []
        indent = " " * column
        for _ in range(self.draw(st.integers(1, 3))):
            lines += self.filler(column)
            if depth and self.chance(3):
                gap = self.pick([1, 1, 3])
                first, *rest = self.block(column + 1 + gap, depth - 1)
                compact = first.strip(" ") and not first.lstrip(" ").startswith("#")
                head, more = (" " * gap + first.lstrip(" "), rest) if compact else ("", [first, *rest])
            else:
                head, more = self.value(column, depth, 2)
            lines += [f"{indent}-{head}", *more]
        return lines


_BODY = st.lists(
    st.sampled_from(["text", "a: b", "# no comment", "- x", "", "", " more", "end "]), max_size=4
).map(lambda lines: ["first", *lines])


@st.composite
def documents(draw: Draw) -> str:
    """One text; not all of them are valid YAML, most are."""
    texts = []
    for number in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        writer = _Writer(draw)
        if number or writer.chance(4):
            directive = "%YAML 1.2\n" if not number and writer.chance(3) else ""
            texts.append(directive + writer.pick(["---\n", "--- # c\n"]))
        lines = writer.filler(0) + (writer.block(0, 3) if not writer.chance(6) else [writer.flow(2, 2)])
        texts.append("".join(f"{line}\n" for line in [*lines, *writer.filler(0)]))
        if writer.chance(6):
            texts.append("...\n")
    text = "".join(texts)
    if draw(st.booleans()):
        text = text.rstrip("\n")
    text = text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"])))
    if draw(st.integers(1, 5)) == 1:
        text = text.replace("\n", "\r\n", 2).replace("\r\r", "\r")
    return draw(st.sampled_from(["", "", "", "\ufeff"])) + text


def events(text: str) -> list[tuple[object, ...]]:
    """What libyaml says about a text, without the positions."""
    return [
        (type(event).__name__, *(getattr(event, name, None) for name in _ATTRIBUTES))
        for event in yaml.parse(text.removeprefix("\ufeff"), Loader=yaml.CSafeLoader)
    ]


_ATTRIBUTES = ("value", "anchor", "tag", "implicit", "style", "flow_style", "explicit", "version")


def nodes(text: str) -> Iterator[tuple[int, Path, int, Any]]:
    """Every node that a path leads to: document number, path, index of its event, the event."""
    found = list(yaml.parse(text.removeprefix("\ufeff"), Loader=yaml.CSafeLoader))
    document = -1
    at = 0
    while at < len(found):
        if type(found[at]).__name__ == "DocumentStartEvent":
            document += 1
            for path, index in _inside(found, at + 1, ()):
                yield document, path, index, found[index]
        at += 1


def _inside(found: list[Any], at: int, path: Path) -> Iterator[tuple[Path, int]]:
    yield path, at
    event = found[at]
    if isinstance(event, SequenceStartEvent):
        child = at + 1
        number = 0
        while not type(found[child]).__name__.endswith("EndEvent"):
            yield from _inside(found, child, (*path, number))
            child, number = _behind(found, child), number + 1
    elif isinstance(event, MappingStartEvent):
        child = at + 1
        while not type(found[child]).__name__.endswith("EndEvent"):
            value = _behind(found, child)
            if isinstance(found[child], ScalarEvent):
                yield from _inside(found, value, (*path, found[child].value))
            child = _behind(found, value)


def _behind(found: list[Any], at: int) -> int:
    depth = 0
    while True:
        kind = type(found[at]).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        at += 1
        if not depth:
            return at


def is_same_around(before: str, after: str, event: Any) -> bool:
    """Whether every byte of a text is the same in front of a scalar and behind it.

    Where nobody wrote a value, something is added somewhere, and nothing else.
    """
    bom = len(before) - len(before.removeprefix("\ufeff"))
    start, end = bom + event.start_mark.index, bom + event.end_mark.index
    if start == end:
        return any(
            after.startswith(before[:at]) and after.endswith(before[at:]) for at in range(len(before) + 1)
        )
    return after.startswith(before[:start]) and after.endswith(before[end:])
