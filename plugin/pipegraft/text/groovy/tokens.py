"""Cuts Groovy source into tokens whose spans tile the text, as the lexer of Groovy 2.4 does (groovy.g).

A string is one token, whatever code its ``${…}`` hold. `/` begins a slashy string only where an
expression cannot have ended before it: the lexer decides so by the token before, and so do we.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from pipegraft.core.errors import EditRefused, Place

__all__ = ["Kind", "Token", "place_of", "scan", "string_value"]

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
