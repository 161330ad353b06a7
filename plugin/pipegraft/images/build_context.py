"""Build contexts: what counts of a folder by its `.dockerignore`, what it holds, and what cannot be meant.

Ignore rules are read as docker reads them (github.com/moby/patternmatcher, with its `ignorefile`).
"""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipegraft.core.delivery import Component
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.images.hooks import DOCKERFILE, ContextEntry

__all__ = ["BuildContext", "IgnoreRules", "Matches", "check_context", "read_context"]

_IGNORE = ".dockerignore"
_LARGEST = 4 << 20
"""Bytes of a Dockerfile or an ignore file."""
_ALWAYS = (".git", ".pipegraft")
"""History and our own records: with them in it, an image would change with every commit."""
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
"""First line of a file that Git LFS keeps elsewhere (git-lfs, docs/spec.md)."""
_LARGEST_POINTER = 1024
"""Bytes that a pointer has at most, by the same page."""
_SHOWN = 3
_LIKE_DOCKERFILES = re.compile(
    r"(?!.*\.(?:md|txt)$)(?:\.?(?:docker|build|deploy)/)?"
    r"(?:(?:docker|container)file(?:[._-][^/]+)?|[^/]+[._-](?:docker|container)file)",
    re.IGNORECASE,
)
"""Where people put Dockerfiles that are not called so."""

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
            end = _class_end(pattern, at)
            pieces.append("[" + pattern[at:end].replace("[", "\\[") + "]")
            at = end + 1
        else:
            pieces.append(re.escape(char))
            continue
        plain = False
    return pieces, plain


def _class_end(pattern: str, start: int) -> int:
    found = _CLASS.match(pattern, start)
    if not found:
        raise ValueError("'[' does not begin characters and ranges that end with ']'")
    return found.end() - 1


_CLASS = re.compile(r"\^?(?:(?:\\.|[^]\\-])(?:-(?:\\.|[^]\\-]))?)+\]", re.DOTALL)
"""As Go's `path/filepath.Match` has it; ``]`` and ``-`` stand behind a backslash."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What a folder gives to a build.

    Arguments:
        entries: everything that is not ignored, sorted by path.
        dockerfile: text of the Dockerfile, None without one.
    """

    entries: tuple[ContextEntry, ...]
    dockerfile: str | None


def read_context(folder: Path, dockerfile: str = DOCKERFILE) -> BuildContext:
    """Read a component's folder.

    ``<Dockerfile>.dockerignore`` is used instead of ``.dockerignore`` where it exists. `.git` and
    `.pipegraft` do not count unless a ``!`` pattern says so; the ignore files themselves never do.

    Arguments:
        folder: the component's.
        dockerfile: path of the Dockerfile in it; it need not be there.

    Raises:
        UsageError: the folder is missing, or holds what an image cannot, or the Dockerfile or an ignore file
            is a link out of it.
        ConfigError: an ignore pattern cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"expected a component's folder at {folder}, found none", fix="correct its 'path'")
    try:
        return _read(folder, dockerfile)
    except OSError as error:
        raise UsageError(f"'{error.filename}' cannot be read: {error.strerror}") from error


def _read(folder: Path, name: str) -> BuildContext:
    dockerfile = folder / name
    specific = folder / f"{name}{_IGNORE}"
    file = specific if dockerfile.is_file() and specific.is_file() else folder / _IGNORE
    for one in (dockerfile, file):
        if one.exists() and not one.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"expected {one} in the component's folder, found a link to {one.resolve()}",
                fix="put the file itself there",
            )
    rules = IgnoreRules(_text(file) or "", str(file), before=_ALWAYS)
    skipped = {_IGNORE, f"{name}{_IGNORE}"}
    found = {path: item for path, item in _walk(folder, "", rules) if path not in skipped}
    entries = [entry for path, item in found.items() if (entry := _entry_unread(item, path))]
    read = {entry.path for entry in entries}
    entries += _read_files({path: item for path, item in found.items() if path not in read})
    return BuildContext(tuple(sorted(entries)), _text(dockerfile))


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        return None
    if len(content) > _LARGEST:
        raise UsageError(f"expected at most {_LARGEST} bytes in {path}, found more")
    try:
        return content.decode()  # line ends as they are
    except UnicodeDecodeError as error:
        raise UsageError(f"expected UTF-8 text in {path}: {error}") from error


def _walk(
    folder: Path, prefix: str, rules: IgnoreRules, above: Matches = ()
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as found:
        for item in found:
            path = prefix + item.name
            ignored, matches = rules.look(path, above)
            is_folder = item.is_dir(follow_symlinks=False)
            if is_folder and (not ignored or rules.has_exceptions):
                yield from _walk(Path(item.path), f"{path}/", rules, matches)
            if not ignored:
                yield path, item


def _entry_unread(item: os.DirEntry[str], path: str) -> ContextEntry | None:
    """What is known of an entry without reading it; None for a file that must be read."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(f"expected a file name in UTF-8, found {item.path!r}", fix="rename it") from None
    if item.is_symlink():
        return ContextEntry(path, "link", content=str(Path(item.path).readlink()))
    if item.is_dir(follow_symlinks=False):
        return ContextEntry(path, "folder")
    if not item.is_file(follow_symlinks=False):
        raise UsageError(
            f"expected a file, folder or symbolic link at {item.path}, found a socket, pipe or device",
            fix=f"remove it, or name it in {_IGNORE}",
        )
    return None


def _read_files(items: Mapping[str, os.DirEntry[str]]) -> list[ContextEntry]:
    def read(path: str) -> ContextEntry:
        with Path(items[path].path).open("rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        return ContextEntry(path, "file", content, bool(status.st_mode & stat.S_IXUSR), status.st_size)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing leaves the interpreter free
        return list(pool.map(read, items))


def check_context(name: str, component: Component, folder: Path, context: BuildContext) -> None:
    """Refuse what cannot be meant: no Dockerfile where one is named, nothing at all, pointers for content.

    Arguments:
        name: of the component.
        folder: its build context on this machine.

    Raises:
        UsageError: one of these is the case.
    """
    if context.dockerfile is None:
        _check_without_dockerfile(name, component, folder, context)
    pointers = [
        entry.path
        for entry in context.entries
        if entry.kind == "file" and entry.size < _LARGEST_POINTER and _is_pointer(folder / entry.path)
    ]
    if pointers:
        shown = ", ".join(pointers[:_SHOWN]) + (
            f" and {len(pointers) - _SHOWN} more" * (len(pointers) > _SHOWN)
        )
        raise UsageError(
            f"component '{name}': Git LFS keeps the content of {shown} elsewhere; here is its pointer alone",
            fix="run `git lfs pull` before the build (in GitLab: no GIT_LFS_SKIP_SMUDGE), or ignore the file",
        )


def _check_without_dockerfile(name: str, component: Component, folder: Path, context: BuildContext) -> None:
    named = {
        "dockerfile": component.dockerfile,
        "target": component.target,
        "context": component.context,
        "additional-contexts": component.additional_contexts,
    }
    given = [key for key, value in named.items() if value]
    if given:
        raise UsageError(
            f"component '{name}': expected {component.dockerfile or 'Dockerfile'} in"
            f" {component.build_folder}, which '{given[0]}' is for, found none",
            fix=f"correct '{given[0]}'; the Dockerfile is looked for relative to 'context'",
        )
    paths = [entry.path for entry in context.entries if entry.kind != "folder"]
    like = list(filter(_LIKE_DOCKERFILES.fullmatch, paths))
    if like and component.builder is None and component.base is None:
        raise UsageError(
            f"component '{name}': expected {DOCKERFILE} in {component.build_folder}, found {like[0]}",
            fix=f"write 'dockerfile: {like[0]}', or 'builder: layer' where the files are the image",
        )
    if paths:
        return
    if _is_submodule(folder):
        raise UsageError(
            f"component '{name}': {component.path} is a git submodule that is not checked out",
            fix="run `git submodule update --init` first (in GitLab: GIT_SUBMODULE_STRATEGY: recursive)",
        )
    raise UsageError(
        f"component '{name}': {component.path} holds nothing an image could be made of",
        fix="correct its 'path', or what its .dockerignore leaves out",
    )


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_POINTER)) == _POINTER


def _is_submodule(folder: Path) -> bool:
    """Whether a .gitmodules file above names a folder (git-scm.com, gitmodules)."""
    for parent in folder.absolute().parents:
        listed = parent / ".gitmodules"
        if listed.is_file():
            path = folder.absolute().relative_to(parent).as_posix()
            lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
            return any(line.replace(" ", "").strip() == f"path={path}" for line in lines)
    return False
