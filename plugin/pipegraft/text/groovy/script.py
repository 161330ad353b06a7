"""Groovy source as blocks of statements, each a run of tokens; what they compute is not looked at."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from pipegraft.core.errors import Place
from pipegraft.text.groovy.tokens import Token, place_of, scan, string_value

__all__ = ["Script", "Span", "Statement", "parse"]


class Span(NamedTuple):
    """Indices into `Script.code`, `last` included; empty when `last < first`."""

    first: int
    last: int


Statement = Span
"""The tokens of one statement, its blocks included, the newline or semicolon behind it not."""

_GOES_ON_AFTER = frozenset({"else", "do", "try", "finally", "def", "new", "as", "in", "instanceof"})
_GOES_ON_BEFORE = frozenset({"else", "catch", "finally"})
_HEADS = frozenset({"if", "for", "while", "switch", "catch", "synchronized"})


@dataclass(frozen=True)
class Script:
    """A parsed source.

    Arguments:
        text: the source.
        file: its name, for messages.
    """

    text: str
    file: str = ""

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """Every token; the spans tile the text."""
        return scan(self.text, self.file)

    @cached_property
    def code(self) -> tuple[Token, ...]:
        """The tokens that mean something: no space, no comments; newlines are kept."""
        return tuple(token for token in self.tokens if token.kind not in ("space", "comment"))

    @cached_property
    def partner(self) -> dict[int, int]:
        """Index of each bracket in `code` → index of the bracket that belongs to it."""
        partner: dict[int, int] = {}
        stack: list[int] = []
        for index, token in enumerate(self.code):
            if token.kind == "open":
                stack.append(index)
            elif token.kind == "close":
                partner[index] = stack.pop()
                partner[partner[index]] = index
        return partner

    @cached_property
    def whole(self) -> Span:
        """All of `code`."""
        return Span(0, len(self.code) - 1)

    def word(self, index: int) -> str:
        """Text of a token of `code`; empty beyond either end."""
        if not 0 <= index < len(self.code):
            return ""
        token = self.code[index]
        return self.text[token.start : token.end]

    def source(self, span: Span) -> str:
        """The text a span covers, comments inside included."""
        return self.text[self.start(span) : self.end(span)] if span.first <= span.last else ""

    def start(self, span: Span) -> int:
        """Offset of a span's first character."""
        return self.code[span.first].start

    def end(self, span: Span) -> int:
        """Offset behind a span's last character."""
        return self.code[span.last].end

    def tokens_between(self, start: int, end: int) -> Iterator[Token]:
        """Tokens of every kind from one offset to another."""
        index = bisect.bisect_left(self.tokens, start, key=lambda token: token.start)
        while index < len(self.tokens) and self.tokens[index].start < end:
            yield self.tokens[index]
            index += 1

    def place(self, index: int) -> Place:
        """Where a token of `code` stands, for people."""
        return place_of(self.text, self.code[index].start, self.file)

    def string(self, index: int) -> str | None:
        """Value of a string token of `code`; None if it is another token or known only when it runs."""
        if not 0 <= index < len(self.code) or self.code[index].kind != "string":
            return None
        return string_value(self.word(index))

    def inside(self, bracket: int) -> Span:
        """What stands between an opening bracket and its partner."""
        return Span(bracket + 1, self.partner[bracket] - 1)

    def skip_newlines(self, index: int) -> int:
        """Index of the first token of `code` from `index` on that is no newline."""
        while index < len(self.code) and self.code[index].kind == "newline":
            index += 1
        return index

    def top_level(self, span: Span) -> Iterator[int]:
        """Indices of the tokens of a span that no bracket within it encloses; brackets themselves count."""
        index = span.first
        while index <= span.last:
            yield index
            if self.code[index].kind == "open":
                index = self.partner[index]
                yield index
            index += 1

    def statements(self, block: Span) -> tuple[Statement, ...]:
        """The statements of a block, in order; a closure's parameters are none of them."""
        found: list[Statement] = []
        index = block.first
        while index <= block.last:
            if self.code[index].kind == "newline" or self.word(index) == ";":
                index += 1
                continue
            statement, arrow = self._statement(index, block.last)
            if arrow and not found:
                index = arrow + 1
                continue
            found.append(statement)
            index = statement.last + 1
        return tuple(found)

    def _statement(self, first: int, limit: int) -> tuple[Statement, int]:
        """A statement from its first token on, and the index of the arrow behind parameters, or 0."""
        last = index = first
        while index <= limit:
            kind = self.code[index].kind
            if kind == "newline":
                following = self.skip_newlines(index)
                if following > limit or not self._goes_on(first, last, following):
                    break
                index = following
                continue
            found = self.word(index)
            if found == ";":
                break
            if found == "->":
                return Span(first, last), index
            last = index = self.partner[index] if kind == "open" else index
            index += 1
        return Span(first, last), 0

    def _goes_on(self, first: int, last: int, following: int) -> bool:
        """Whether a newline between two tokens leaves the statement open."""
        before, after = self.word(last), self.word(following)
        if after[0] in ".?:" or after == "*." or after in _GOES_ON_BEFORE:
            return True
        if after == "{":
            return before == ")" or self.code[last].kind == "word"
        if self.code[last].kind == "operator":
            imported = before == "*" and self.word(last - 1) == "."
            return before not in ("++", "--") and not imported
        return before in _GOES_ON_AFTER or self._is_head(first, last)

    def _is_head(self, first: int, last: int) -> bool:
        """Whether tokens end in ``if (…)`` and the like, or are annotate: what they belong to follows."""
        name = self.partner[last] - 1 if self.word(last) == ")" else last
        if name != last and self.word(name) in _HEADS:
            return True
        while name > first and self.word(name - 1) == "." and self.code[name - 2].kind == "word":
            name -= 2
        return name > first and self.word(name - 1) == "@"


@lru_cache(maxsize=8)  # an edit reads the same text several times: before, after, and to prove itself
def parse(text: str, file: str = "") -> Script:
    """Read a source; see `Script`."""
    return Script(text, file)
