"""What a Dockerfile says of the images it builds on and of BuildKit, and what its ignore file leaves out.

Ignore rules are read as docker reads them (github.com/moby/patternmatcher, with its `ignorefile`).
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipegraft.core.errors import ConfigError, Place, Problem

__all__ = [
    "Dockerfile",
    "IgnoreRules",
    "Instruction",
    "Matches",
    "exposed_ports",
    "instructions",
    "read_dockerfile",
]

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*$")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+?])([^{}]*))?\})")
_DEEPEST = 9
"""Variables within the default of another that are looked through."""
_HEREDOC = re.compile(r"""(?:^|\s)\d*<<-?(["']?)([^\s<"'&;|()$`]+)\1(?=\s|$)""")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?\s+")
_CLASSIC_FLAGS = {
    "FROM": {"platform"},
    "COPY": {"from", "chown"},
    "ADD": {"chown"},
    "RUN": set[str](),
}
"""Flags that the engine's own builder knows; others of these instructions are BuildKit's."""


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """What was found.

    Arguments:
        images: names of the images that are not stages of the file itself, each once, in order.
        final: the one that the stage to build is built on, None for an empty one.
        needs_buildkit: why the engine's own builder cannot build it, as a clause; empty if it can.
    """

    images: tuple[str, ...]
    final: str | None
    needs_buildkit: str


def read_dockerfile(
    text: str,
    arguments: Mapping[str, str],
    *,
    stage: str = "",
    platform: str = "linux/amd64",
    contexts: Collection[str] = (),
) -> Dockerfile:
    """Read a Dockerfile as far as its images go; what cannot be read is left to the builder to refuse.

    Arguments:
        arguments: build arguments that are given; they stand over the defaults of ``ARG``.
        stage: name or number of the stage to build; the last one if empty.
        platform: ``os/architecture`` that is built for.
        contexts: names of further contexts, which stand for images.
    """
    variables = _of_platform(platform)
    stages: dict[str, str | None] = {}
    images: dict[str, None] = {}
    final: str | None = None
    reasons = ["it names a syntax of its own"] if "syntax" in _directives(text) else []
    for one in instructions(text):
        reasons += one.buildkit()
        if one.keyword == "ARG" and not stages:
            for word in one.rest.split():
                name, given, default = word.partition("=")
                if name in arguments:
                    variables[name] = arguments[name]
                elif given:  # one without a default stays unset, as BuildKit has it
                    variables[name] = _expand(default.strip("\"'"), variables)
        elif one.keyword == "FROM":
            final = _from(_expand(one.rest, variables), stages, images, contexts)
        else:
            for name in one.sources():
                _note(_expand(name, variables), stages, images, contexts)
    if stage:
        named = dict(zip(map(str, range(len(stages))), stages.values(), strict=True)) | stages
        final = named.get(stage.lower())
    return Dockerfile(tuple(images), final, reasons[0] if reasons else "")


def _of_platform(platform: str) -> dict[str, str]:
    """The arguments that BuildKit sets by itself (Dockerfile reference, "Automatic platform ARGs").

    What it builds on only the builder knows; most build for what they are.
    """
    system, architecture, variant = (*platform.split("/"), "")[:3]
    values = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant}
    return {side + name: value for side in ("TARGET", "BUILD") for name, value in values.items()}


def exposed_ports(text: str) -> tuple[int, ...]:
    """Ports that the last stage of a Dockerfile says it listens on (``EXPOSE``), each once, in order."""
    variables: dict[str, str] = {}
    ports: dict[int, None] = {}
    for one in instructions(text):
        if one.keyword == "FROM":
            ports.clear()
        elif one.keyword in ("ARG", "ENV"):
            for name, value in re.findall(r"(\w+)[= ]\s*(\S+)", one.rest):
                variables[name] = value.strip("\"'")
        elif one.keyword == "EXPOSE":
            for word in _expand(one.rest, variables).split():
                number = word.partition("/")[0].partition("-")[0]
                if number.isdecimal() and 0 < int(number) < 65536:
                    ports[int(number)] = None
    return tuple(ports)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Arguments:
        line: where it begins, counted from 1.
        keyword: in capitals.
        flags: name → value, empty for one without.
        rest: what stands behind keyword and flags, continuation lines joined.
        has_document: whether a here-document belongs to it.
    """

    line: int
    keyword: str
    flags: Mapping[str, str]
    rest: str
    has_document: bool

    def buildkit(self) -> list[str]:
        """Why this instruction needs BuildKit."""
        known = _CLASSIC_FLAGS.get(self.keyword)
        reasons = [
            f"line {self.line} uses {self.keyword} --{flag}"
            for flag in self.flags
            if known is not None and flag not in known
        ]
        return reasons + [f"line {self.line} uses a here-document"] * self.has_document

    def sources(self) -> list[str]:
        """Images or stages that files are taken from."""
        mounted = re.findall(r"(?:^|,)from=([^,]+)", self.flags.get("mount", ""))
        return [*mounted, *filter(None, [self.flags.get("from")])]


def _from(
    rest: str, stages: dict[str, str | None], images: dict[str, None], contexts: Collection[str]
) -> str | None:
    words = rest.split()
    name = words[0] if words else ""
    if name.lower() in stages:
        base = stages[name.lower()]
    elif name == "scratch" or not name or name.lower().removesuffix(":latest") in contexts:
        base = None
    else:
        base = name
        images[name] = None
    stages[words[2].lower() if len(words) == 3 else f"#{len(stages)}"] = base
    return base


def _note(
    name: str, stages: Mapping[str, str | None], images: dict[str, None], contexts: Collection[str]
) -> None:
    known = name.lower() in stages or name.lower().removesuffix(":latest") in contexts
    if not name.isdecimal() and not known:
        images[name] = None


def _directives(text: str) -> dict[str, str]:
    """Parser directives: the comments ``# key=value`` ahead of everything else."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        directive = _DIRECTIVE.match(line)
        if directive is None:
            break
        found[directive[1].lower()] = directive[2]
    return found


def instructions(text: str) -> Iterator[Instruction]:
    """Every instruction, in order; comments and here-documents are passed over."""
    text = text.removeprefix("\ufeff")
    escape = _directives(text).get("escape", "\\")
    lines = iter(enumerate(text.split("\n"), start=1))
    for number, line in lines:
        joined = "" if line.lstrip().startswith("#") else line.rstrip()
        while joined.endswith(escape):
            _, following = next(lines, (0, ""))
            if not following.lstrip().startswith("#"):
                joined = joined.removesuffix(escape) + following.rstrip()
        if not joined.strip():
            continue
        keyword, rest = (*joined.split(None, 1), "")[:2]
        documents = _HEREDOC.findall(rest) if keyword.upper() in ("RUN", "COPY", "ADD") else []
        for _, end in documents:
            while next(lines, (0, end))[1].strip() != end:
                pass
        flags: dict[str, str] = {}
        rest = rest.lstrip()
        while flag := _FLAG.match(rest):
            # An instruction may have several mounts.
            flags[flag[1]] = ",".join(filter(None, (flags.get(flag[1]), flag[2])))
            rest = rest[flag.end() :]
        yield Instruction(number, keyword.upper(), flags, rest, bool(documents))


def _expand(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        held = variables.get(found[1] or found[2])
        sign = found[3] or ""
        there = bool(held) if sign.startswith(":") else held is not None
        if sign.endswith("+"):
            return found[4] if there else ""
        return held or "" if there or sign in ("", "?", ":?") else found[4]

    for _ in range(_DEEPEST):
        text, changed = _VARIABLE.subn(value, text)
        if not changed:
            break
    return text


_ANYTHING, _FOLDERS, _IN_FOLDER = ".*", "(?:.*/)?", "[^/]*"
_STARS = (_ANYTHING, _FOLDERS, _IN_FOLDER)
_FEW = 2
"""Stars of a pattern that a regular expression is quick with, whatever the path."""

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
                said = f"expected an ignore pattern, found {line.strip()!r}: {error}"
                problems.append(Problem(said, Place(file, number)))
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
    pieces, plain = _translate(pattern)
    if plain and pattern.startswith("**"):
        # The engine compares the end of the path here, so that `**name` finds `other-name` as well.
        end = pattern.removeprefix("**")
        return lambda path: path.endswith(end) or path == end.removeprefix("/")
    try:
        compiled = re.compile("".join(pieces), re.DOTALL)
        if sum(piece in _STARS for piece in pieces) > _FEW:
            return _Steps([piece if piece in _STARS else re.compile(piece, re.DOTALL) for piece in pieces])
    except re.error as error:
        raise ValueError(str(error)) from None
    return lambda path: compiled.fullmatch(path) is not None


class _Steps:
    """Matches a pattern in one pass: a regular expression with many stars tries all ways to divide a path.

    A set of positions in the path is a number with a bit for each.

    Arguments:
        pieces: expressions for one character, and stars.
    """

    def __init__(self, pieces: Sequence[str | re.Pattern[str]]) -> None:
        self._pieces = pieces

    def __call__(self, path: str) -> bool:
        def bits(holds: Callable[[str], object]) -> int:
            return sum(1 << index for index, char in enumerate(path) if holds(char))

        inside = bits(lambda char: char != "/")
        slashes = bits(lambda char: char == "/")
        known: dict[re.Pattern[str], int] = {}
        at = 1
        for piece in self._pieces:
            if isinstance(piece, re.Pattern):
                if piece not in known:
                    known[piece] = bits(piece.fullmatch)
                at = (at & known[piece]) << 1
            elif piece == _IN_FOLDER:
                at |= ((at & inside) + inside) ^ inside  # the carry runs through to the next slash
            elif at:
                behind = -(at & -at)  # what stands before the first position is lost
                at |= behind & (slashes << 1 if piece == _FOLDERS else (2 << len(path)) - 1)
        return bool(at >> len(path) & 1)


def _translate(pattern: str) -> tuple[list[str], bool]:
    """The pieces of the pattern as a regular expression; whether it is plain but for a leading ``**``."""
    pieces: list[str] = []
    plain, at = True, 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            start, at = at, at + 2
            at += pattern.startswith("/", at)
            pieces.append(_ANYTHING if at == len(pattern) else _FOLDERS)
            plain = plain and start == 0
            continue
        at += 1
        if char in "*?":
            pieces.append(_IN_FOLDER if char == "*" else "[^/]")
        elif char == "\\":
            if at == len(pattern):
                raise ValueError("'\\' stands at the end")
            pieces.append(re.escape(pattern[at]))
            at += 1
        elif char == "[":
            found = _CLASS.match(pattern, at)
            if not found:
                raise ValueError("'[' does not begin characters and ranges that end with ']'")
            end = found.end() - 1
            pieces.append("[" + pattern[at:end].replace("[", "\\[") + "]")
            at = end + 1
        else:
            pieces.append(re.escape(char))
            continue
        plain = False
    return pieces, plain


_CLASS = re.compile(r"\^?(?:(?:\\.|[^]\\-])(?:-(?:\\.|[^]\\-]))?)+\]", re.DOTALL)
"""As Go's `path/filepath.Match` has it; ``]`` and ``-`` stand behind a backslash."""
