"""Groovy as tokens, and as blocks of statements: where things begin and end, never what they do.

The tokens' spans tile the text, as the lexer of Groovy 2.4 cuts it (groovy.g). A string is one token,
whatever code its ``${…}`` hold. `/` begins a slashy string only where an expression cannot have ended before
it: the lexer decides so by the token before, and so do we.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

from pipegraft.core.errors import EditRefused, Place

__all__ = ["Kind", "Script", "Span", "Statement", "Token", "parse", "place_of", "scan", "string_value"]

Kind = Literal["space", "newline", "comment", "word", "number", "string", "open", "close", "operator"]


class Token(NamedTuple):
    """One token.

    Arguments:
        kind: what it is; a shebang line is a comment, a byte-order mark is space.
        start, end: its span, offsets into the text.
    """

    kind: Kind
    start: int
    end: int


_SHEBANG = re.compile(r"\ufeff?(#![^\r\n]*)")
_TOKEN = re.compile(
    r"""
      (?P<space>(?:[ \t\f\ufeff]|\\(?:\r\n|\r|\n))++)
    | (?P<newline>\r\n|\r|\n)
    | (?P<comment>//[^\r\n]*+|/\*(?s:.)*?\*/)
    | (?P<word>(?:[^\W\d]|\$(?!/))[\w$]*+)
    | (?P<number>\d\w*+(?:\.\d\w*+)?)
    | (?P<string>'''|\"\"\"|'|"|\$/|/(?![*]))
    | (?P<open>[({\[])
    | (?P<close>[)}\]])
    | (?P<operator>->|\+\+|--|\?\.|\*\.|\.\.\.?|\.&|\?:|(?s:.))
    """,
    re.VERBOSE,
)
# What may stand inside each kind of string before its end or a `${`.
_BODY = {
    "'": re.compile(r"(?:[^'\\\r\n]|\\(?:\r\n|(?s:.)))*+"),
    '"': re.compile(r'(?:[^"\\$\r\n]|\\(?:\r\n|(?s:.))|\$(?!\{))*+'),
    "'''": re.compile(r"(?:[^'\\]|\\(?s:.)|'(?!''))*+"),
    '"""': re.compile(r'(?:[^"\\$]|\\(?s:.)|\$(?!\{)|"(?!""))*+'),
    "/": re.compile(r"(?:\\/|[^/$]|\$(?!\{))*+"),
    "$/": re.compile(r"(?:\$[$/]|[^/$]|/(?!\$)|\$(?!\{))*+"),
}
_CLOSING = {"'": "'", '"': '"', "'''": "'''", '"""': '"""', "/": "/", "$/": "/$"}
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_NESTED = 40
"""Strings in strings, deeper than any person writes them."""

# A \uXXXX that stands for a character of the grammar: Groovy replaces them before it reads tokens.
_GRAMMAR_ESCAPE = re.compile(
    r"(?<!\\)(?:\\\\)*+\\u++00(?:0[aAdD]|2[2-47-9aAfF]|4[0]|5[bBcCdD]|7[bBdD])", re.ASCII
)


def scan(text: str, file: str = "") -> tuple[Token, ...]:
    """Cut Groovy source into tokens.

    Arguments:
        text: the source; line ends of every kind, with or without a byte-order mark.
        file: its name, for messages.

    Returns:
        Tokens that tile the text: each begins where the one before ends, brackets are balanced.

    Raises:
        EditRefused: a string, comment or bracket has no end, or a bracket no beginning.
    """
    disguised = _GRAMMAR_ESCAPE.search(text)
    if disguised:
        raise EditRefused(
            "expected plain brackets and quotes, found one written as a unicode escape",
            place=place_of(text, disguised.end() - 1, file),
            fix="write the character itself",
        )
    return tuple(_Scanner(text, file).code(0, nested=0))


def place_of(text: str, offset: int, file: str) -> Place:
    """The place of an offset, line and column counted from 1."""
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    return Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def string_value(source: str) -> str | None:
    """What a string token stands for, or None if that is known only when it runs.

    Arguments:
        source: the token's text, quotes included.
    """
    quote = next(quote for quote in ("'''", '"""', "'", '"', "$/", "/") if source.startswith(quote))
    body = source[len(quote) : -len(_CLOSING[quote])]
    if quote == "/":
        return None if "$" in body else body.replace("\\/", "/")
    if quote == "$/" or (quote[0] == '"' and re.search(r"(?<!\\)(?:\\\\)*+\$", body)):
        return None
    return re.sub(r"\\(u+[0-9a-fA-F]{4}|[0-7]{1,3}|\r\n|(?s:.))", _unescape, body)


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "\n": "", "\r": "", "\r\n": ""}


def _unescape(match: re.Match[str]) -> str:
    escape = match[1]
    if escape[0] == "u" and len(escape) > 1:
        return chr(int(escape.lstrip("u"), 16))
    if escape[0] in "01234567":
        return chr(int(escape, 8))
    return _ESCAPES.get(escape, escape)


class _Scanner:
    """Scans one text; strings call back into `code` for what their ``${…}`` hold."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file

    def code(self, position: int, *, nested: int) -> list[Token]:
        """Tokens from `position` to the end of the text, or to the brace that closes an interpolation."""
        text, tokens = self.text, list[Token]()
        open_brackets: list[int] = []
        begin = position
        ended = False  # whether an expression may have ended at the token before: then `/` divides
        if nested == 0 and (shebang := _SHEBANG.match(text)):
            if shebang.start(1):
                tokens.append(Token("space", 0, shebang.start(1)))
            tokens.append(Token("comment", *shebang.span(1)))
            position = shebang.end()
        while position < len(text):
            match = _TOKEN.match(text, position)
            assert match is not None  # noqa: S101 - the last alternative takes any character
            kind: Kind = match.lastgroup  # type: ignore[assignment] # the groups are named after the kinds
            found, end = match[0], match.end()
            if kind == "string":
                kind, end = self._string(match, ended=ended, nested=nested)
            elif found == "/":  # it begins neither a string nor a comment that ends
                raise self._unfinished("comment", position)
            tokens.append(Token(kind, position, end))
            if kind == "open":
                open_brackets.append(position)
            elif kind == "close":
                if not open_brackets and nested and found == "}":
                    return tokens
                self._close(open_brackets, position)
            ended = self._ends_expression(kind, found, ended, open_brackets)
            position = end
        if open_brackets or nested:
            raise self._unfinished("bracket", open_brackets[-1] if open_brackets else begin - 1)
        return tokens

    def _ends_expression(self, kind: Kind, found: str, before: bool, open_brackets: list[int]) -> bool:
        if kind in ("space", "comment"):
            return before
        if kind == "newline":  # means nothing inside parentheses
            return before and bool(open_brackets) and self.text[open_brackets[-1]] != "{"
        if kind == "operator":
            return found in ("++", "--")
        return kind != "open" and not (kind == "word" and found == "do")

    def _close(self, open_brackets: list[int], position: int) -> None:
        found = self.text[position]
        if open_brackets and _PAIRS[self.text[open_brackets[-1]]] == found:
            open_brackets.pop()
            return
        expected = f"'{_PAIRS[self.text[open_brackets[-1]]]}'" if open_brackets else "no closing bracket"
        raise EditRefused(
            f"expected {expected}, found '{found}'",
            place=place_of(self.text, position, self.file),
            fix="mend the file; Jenkins would not read it either",
        )

    def _string(self, match: re.Match[str], *, ended: bool, nested: int) -> tuple[Kind, int]:
        quote = match["string"]
        if quote[-1] == "/" and ended:
            return ("operator", match.end()) if quote == "/" else ("word", match.start() + 1)
        position = match.end()
        while True:
            skipped = _BODY[quote].match(self.text, position)
            assert skipped is not None  # noqa: S101 - it may match nothing, but it matches
            position = skipped.end()
            if self.text.startswith(_CLOSING[quote], position):
                return "string", position + len(_CLOSING[quote])
            if not self.text.startswith("${", position) or nested == _NESTED:
                raise self._unfinished("string", match.start())
            position = self.code(position + 2, nested=nested + 1)[-1].end

    def _unfinished(self, what: str, start: int) -> EditRefused:
        return EditRefused(
            f"expected the end of the {what} that begins here, found none",
            place=place_of(self.text, start, self.file),
            fix="mend the file; Jenkins would not read it either",
        )


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
