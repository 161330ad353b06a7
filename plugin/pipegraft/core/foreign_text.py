"""Text of strangers on its way in and out: it holds no secret of this process and commands no terminal.

What a server, a commit or a program says may repeat a token that it was shown, or hold escape sequences that
move the cursor, colours that paint a failure green, and marks that turn the direction of reading
(Trojan Source, CVE-2021-42574). `echo`, `write_line` and `write_data` are the one way to a terminal.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

import click

__all__ = [
    "echo",
    "hear_libraries",
    "json_of",
    "keep_secret",
    "learn_secrets",
    "printable",
    "redacted",
    "redacted_data",
    "safe",
    "write_data",
    "write_line",
]


_HIDDEN = "[secret]"
"""What stands in a secret's place."""
_SHORTEST = 8
"""Characters; a shorter value is too often a part of a word."""
_NO_WORD = 16
"""Characters of a secret that is none by chance: it is taken out of names, too."""
_WORDS = re.compile(r"[a-z]+\d*(?:[._-][a-z]+\d*)*")
"""A shorter secret that may be a part of a name."""
_LARGE = 4096
"""Characters of a file; of a larger one only its long words are known again, as they stand."""
_LONG_WORD = re.compile(r"[\w+/=-]{20,}")
_SECRET_NAME = re.compile(r"TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|_(?:KEY|PAT|AUTH)$")
_HEADER = re.compile(r"[\w-]*(?:auth|token|key|secret)[\w-]*=(?:\w+(?:%20| ))?([^,\s]+)", re.IGNORECASE)
"""One that lets somebody in, as OpenTelemetry's variables write it."""
_SERVES_OTHERWISE = re.compile(r"[/~.].*|true|false|[\d.]+", re.IGNORECASE | re.DOTALL)
"""Values of such variables that are paths, numbers and truths."""
_NAME = re.compile(r"(/?[\w.-]+(?::\d+)?(?:/[\w.~+-]+)*)(?::[\w.-]+)?(?:@\w+:[0-9a-f]+)?")
"""An image or a path, without tag and digest in the group; all else, as addresses, is prose or data."""
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters but tabs and line ends; marks of direction, invisible ones; what is no character."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Secrets:
    """The secrets of this process, in all the forms in which they are repeated; threads keep them at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Mapping[str, tuple[re.Pattern[str], re.Pattern[str]]] = {}

    def keep(self, value: str) -> None:
        if len(value) < _SHORTEST or value in self._known:
            return
        patterns = _patterns(value)
        with self._lock:  # the longest first: a shorter one may be a part of it
            known = {**self._known, value: patterns}
            self._known = dict(sorted(known.items(), key=lambda one: len(one[0]), reverse=True))

    def hide(self, text: str) -> str:
        for sure, word in self._known.values():
            text = sure.sub(_HIDDEN, text)
            name = _NAME.fullmatch(text)
            spared = name.end(1) if name else 0
            text = word.sub(partial(_unless_before, spared), text)
        return text


def _unless_before(end: int, found: re.Match[str]) -> str:
    return found[0] if found.end() <= end else _HIDDEN


def _patterns(value: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The forms of a secret that are none by chance, and those that are words."""
    if len(value) > _LARGE:
        return _one_of({word: re.escape(word) for word in _long_words(value)}), _one_of({})
    forms = {one: _written(one) for one in (value, *value.splitlines())}
    forms |= {one: "".join(map(_in_base64, one)) for one in _encoded(value)}
    forms = {form: pattern for form, pattern in forms.items() if len(form) >= _SHORTEST}
    words = {form for form in forms if len(form) < _NO_WORD and _WORDS.fullmatch(form)}
    return (
        _one_of({form: pattern for form, pattern in forms.items() if form not in words}),
        _one_of({form: forms[form] for form in words}),
    )


def _long_words(text: str) -> Iterator[str]:
    """The lines of keys and the tokens of a file, and not the names in it."""
    for word in _LONG_WORD.findall(text.replace("\\n", "\n")):
        mixed = not (word.islower() or word.isupper())
        if re.search(r"\d", word) and (mixed or word.isalnum()):
            yield word


def _one_of(forms: Mapping[str, str]) -> re.Pattern[str]:
    return re.compile("|".join(forms[form] for form in sorted(forms, key=len, reverse=True)) or "(?!)")


def _written(text: str) -> str:
    """A secret as texts, JSON, addresses and pages write it, also one within another: an expression.

    All repetitions have a bound, else looking through a text would take the square of its length.
    """
    return "".join(_written_part(found[0]) for found in re.finditer(r"\\+|.", text, re.DOTALL))


@cache
def _written_part(part: str) -> str:
    """A character, or several backslashes, for nobody can tell one that is written twice from two."""
    char, times = part[0], len(part)
    if char.isascii() and char.isalnum():
        return char
    octets = "".join(f"%(?:25){{0,4}}{octet:02x}" for octet in char.encode(errors="surrogateescape"))
    code = f"{ord(char):x}"
    coded = rf"(?i:{octets}|\\{{1,16}}u0{{0,8}}{code}|&#x0{{0,8}}{code};)|&#0{{0,8}}{ord(char)};"
    if char == "\\":
        return rf"(?:(?:{coded}){{{times}}}|\\{{{times},{16 * times}}})"
    ways = [rf"\\{{0,16}}{re.escape(char)}", re.escape(json.dumps(char)[1:-1]), re.escape(html.escape(char))]
    return f"(?:{'|'.join(ways)}|{coded}{'|[+]' if char == ' ' else ''})"


def _encoded(value: str) -> Iterable[str]:
    """What is the same of all texts in base64 (RFC 4648) that hold a value, as `USER:PASSWORD` does."""
    octets = value.encode(errors="surrogateescape")
    for before, begins in enumerate((0, 2, 3)):
        held = bytes(before) + octets
        yield base64.b64encode(held).decode()[begins : len(held) * 8 // 6]


def _in_base64(char: str) -> str:
    """A character of base64, also in the alphabet for addresses."""
    return {"+": f"(?:-|{_written('+')})", "/": f"(?:_|{_written('/')})"}.get(char, char)


_SECRETS = _Secrets()


def learn_secrets(environment: Mapping[str, str]) -> None:
    """Remember the secrets among the variables of a process, by their names and as passwords in addresses."""
    for name, value in environment.items():
        if _SECRET_NAME.search(name.upper()) and not _SERVES_OTHERWISE.fullmatch(value.strip()):
            keep_secret(value)
        if "://" in value and "@" in value:
            keep_secret(_password(value))
        for header in _HEADER.findall(value) if name.upper().endswith("_HEADERS") else ():
            keep_secret(unquote(header))


def keep_secret(value: str | None) -> None:
    """Remember a secret that came from elsewhere: a file, a token server."""
    _SECRETS.keep((value or "").strip())


def redacted(text: str) -> str:
    """The text without the secrets of this process, however they are written.

    A short password can be a word: the name of an image and a path stay what they are.
    """
    return _SECRETS.hide(text)


def redacted_data(data: Any) -> Any:
    """The same for plain values, at any depth."""
    if isinstance(data, str):
        return redacted(data)
    if isinstance(data, Mapping):
        return {redacted_data(key): redacted_data(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [redacted_data(one) for one in data]
    return data


def json_of(data: Any) -> str:
    """Plain values as JSON for files and pipes, without the secrets of this process.

    What is half a character, as JSON of strangers may hold, is spelled out: no file takes it.
    """
    text = json.dumps(redacted_data(data), indent=2, ensure_ascii=False)
    return _SURROGATE.sub(_spelled, text) + "\n"


def printable(text: str) -> str:
    """The text with what would command a terminal spelled out, as JSON spells it: JSON stays what it is."""
    return _COMMANDS.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _password(address: str) -> str | None:
    try:
        return urlsplit(address.strip()).password
    except ValueError:
        return None


def echo(text: str, *, err: bool = False) -> None:
    """Lines for people."""
    click.echo(safe(text), err=err)


class _Libraries(logging.Handler):
    """Tells what libraries log, such as a server's words; what goes wrong with that ends nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            echo(f"{record.levelname.lower()}: {record.getMessage()}", err=True)
        except Exception:  # noqa: BLE001 - as the handlers of `logging` do
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name there
        """Say where the call is; the standard way would show its arguments past the door."""
        with suppress(OSError, ValueError):  # standard error is closed
            echo(f"warning: a log call has the wrong arguments: {record.pathname}:{record.lineno}", err=True)


_LIBRARIES = _Libraries(logging.WARNING)


def hear_libraries() -> None:
    """Have what libraries warn of told through `echo`; to say so twice changes nothing."""
    logging.getLogger().addHandler(_LIBRARIES)


def write_line(stream: TextIO, text: str) -> None:
    """One line of a log; a line end in it begins no line that looks like another."""
    stream.write(safe(text).replace("\n", "\n    ") + "\n")
    stream.flush()


def safe(text: str) -> str:
    """The text without secrets, and with what would command a terminal spelled out."""
    return printable(redacted(text))


def write_data(text: str) -> None:
    """Data for other programs on standard output, byte for byte; printable where a person looks."""
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)
