"""`.dockerignore` rules, as docker reads them (github.com/moby/patternmatcher, with its `ignorefile`)."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipegraft.core.errors import ConfigError, Place, Problem

__all__ = ["IgnoreRules", "Matches"]

Matches = tuple[bool, ...]
"""For each pattern, whether it matches a folder or one above it."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    matches: Callable[[str], bool]
    exception: bool


class IgnoreRules:
    """Which paths of a build context do not count.

    Arguments:
        text: lines of a `.dockerignore`; the last pattern that matches wins, and ``!`` brings a path back.
            What matches a folder matches everything in it.
        file: its name, for messages.
        before: patterns that come ahead of the file's own and can be undone by it.

    Raises:
        ConfigError: every pattern that cannot be read.
    """

    def __init__(self, text: str = "", file: str = ".dockerignore", before: Iterable[str] = ()) -> None:
        problems: list[Problem] = []
        self._patterns = [_compile(line) for line in before]
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
            if line.startswith("#") or not line.strip():
                continue
            try:
                self._patterns.append(_compile(line))
            except ValueError as error:
                problems.append(
                    Problem(
                        f"expected an ignore pattern, found {line.strip()!r}: {error}", Place(file, number)
                    )
                )
        if problems:
            raise ConfigError(problems)
        self.has_exceptions = any(pattern.exception for pattern in self._patterns)
        """Whether something below an ignored folder may count after all."""

    def look(self, path: str, above: Matches = ()) -> tuple[bool, Matches]:
        """Whether a path does not count, and what must be known of it to look at what it holds.

        Arguments:
            path: POSIX path relative to the context.
            above: what this said of the folder that holds it; nothing at the top.
        """
        ignored = False
        matches: list[bool] = []
        for number, pattern in enumerate(self._patterns):
            match = bool(above) and above[number]
            # A pattern that would change nothing is not tried, and then does not count for what is below
            # either: after `dir/a`, the line `!dir` brings nothing back.
            if not match and pattern.exception == ignored:
                match = pattern.matches(path)
            if match:
                ignored = not pattern.exception
            matches.append(match)
        return ignored, tuple(matches)


@functools.cache
def _compile(line: str) -> _Pattern:
    pattern = line.strip()
    exception = pattern.startswith("!")
    if exception:
        pattern = pattern[1:].strip()
        if not pattern.strip("/"):
            raise ValueError("'!' stands alone")
    pattern = posixpath.normpath(pattern)
    if len(pattern) > 1:
        pattern = pattern.lstrip("/")
    return _Pattern(_matcher(pattern), exception)


def _matcher(pattern: str) -> Callable[[str], bool]:
    expression, plain = _translate(pattern)
    if plain and pattern.startswith("**"):
        # The engine compares the end of the path here, so that `**name` finds `other-name` as well.
        end = pattern.removeprefix("**")
        return lambda path: path.endswith(end) or path == end.removeprefix("/")
    try:
        compiled = re.compile(expression, re.DOTALL)
    except re.error as error:
        raise ValueError(str(error)) from None
    return lambda path: compiled.fullmatch(path) is not None


def _translate(pattern: str) -> tuple[str, bool]:
    """The pattern as a regular expression, and whether it is plain but for a leading ``**``."""
    expression, plain, at = "", True, 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            start, at = at, at + 2
            at += pattern.startswith("/", at)
            expression += ".*" if at == len(pattern) else "(?:.*/)?"
            plain = plain and start == 0
            continue
        at += 1
        if char in "*?":
            expression += "[^/]*" if char == "*" else "[^/]"
        elif char == "\\":
            if at == len(pattern):
                raise ValueError("'\\' stands at the end")
            expression += re.escape(pattern[at])
            at += 1
        elif char == "[":
            end = _class_end(pattern, at)
            expression += "[" + pattern[at:end].replace("[", "\\[") + "]"
            at = end + 1
        else:
            expression += re.escape(char)
            continue
        plain = False
    return expression, plain


def _class_end(pattern: str, start: int) -> int:
    found = _CLASS.match(pattern, start)
    if not found:
        raise ValueError("'[' does not begin characters and ranges that end with ']'")
    return found.end() - 1


_CLASS = re.compile(r"\^?(?:(?:\\.|[^]\\-])(?:-(?:\\.|[^]\\-]))?)+\]", re.DOTALL)
"""As Go's `path/filepath.Match` has it; ``]`` and ``-`` stand behind a backslash."""
