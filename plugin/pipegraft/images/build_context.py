"""Build contexts: what counts of a folder by its `.dockerignore`, what it holds, and what cannot be meant."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pipegraft.core.delivery import Component
from pipegraft.core.errors import UsageError
from pipegraft.core.reading import load_json
from pipegraft.images.dockerfile import IgnoreRules, Instruction, Matches, instructions
from pipegraft.images.hooks import DOCKERFILE, ContextEntry

__all__ = ["BuildContext", "Taken", "check_content", "check_context", "read_context", "taken_by"]

_IGNORE = ".dockerignore"
_LARGEST = 4 << 20
"""Bytes of a Dockerfile or an ignore file."""
_ALWAYS = (".git", ".pipegraft")
"""History and our own records: with them in it, an image would change with every commit."""
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
"""First line of a file that Git LFS keeps elsewhere (git-lfs, docs/spec.md)."""
_LARGEST_POINTER = 1024
"""Bytes that a pointer has at most, by the same page."""
_SUBMODULE = re.compile(r"^\s*path\s*=\s*\"?(.+?)\"?\s*$", re.MULTILINE)
_ANY = "$"
_UNDECIDED = re.compile(r"[$\[\\\"']")
"""In a path of a Dockerfile: what only a builder reads for certain."""
_OF_MOUNTS = ("type", "from", "source|src")
_SHOWN = 3
_LIKE_DOCKERFILES = re.compile(
    r"(?!.*\.(?:md|txt)$)(?:\.?(?:docker|build|deploy)/)?"
    r"(?:(?:docker|container)file(?:[._-][^/]+)?|[^/]+[._-](?:docker|container)file)",
    re.IGNORECASE,
)
"""Where people put Dockerfiles that are not called so."""


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


@dataclass(frozen=True, slots=True)
class Taken:
    """What a build takes of a context; all of it by default.

    Arguments:
        patterns: what is named, by the parts of paths.
        more: whether it may be more: variables and the like are not looked through.
    """

    patterns: tuple[tuple[str, ...], ...] = ((),)
    more: bool = False

    def has(self, path: str) -> bool:
        """Whether a folder, something in it, or what it lies in is named."""
        parts = [] if path == "." else path.split("/")
        return any(all(map(fnmatchcase, parts, pattern)) for pattern in self.patterns)


def taken_by(dockerfile: str, context: str = "") -> Taken:
    """What ``COPY``, ``ADD`` and mounts of a Dockerfile take of a context.

    Arguments:
        dockerfile: its text.
        context: name of a further context; the build's own if empty.
    """
    context = context.lower()
    patterns: list[tuple[str, ...]] = []
    more = False
    for one in instructions(dockerfile):
        if context and one.keyword == "FROM" and one.rest.lower().split()[:1] == [context]:
            return Taken()
        for path in (*_copied(one, context), *_mounted(one, context)):
            if _UNDECIDED.search(path):
                more = True
            else:
                patterns.append(tuple(filter(None, posixpath.normpath(f"/{path}").split("/"))))
    # One that takes nothing by itself may be built on an image that does (ONBUILD).
    return Taken(tuple(patterns), more or not (patterns or context))


def _copied(one: Instruction, context: str) -> list[str]:
    if one.keyword not in ("COPY", "ADD") or one.flags.get("from", "").lower() != context:
        return []
    if "exclude" in one.flags:
        return [_ANY]
    try:
        words = [str(word) for word in load_json(one.rest)]
    except (ValueError, TypeError):
        words = one.rest.split()
    return [word for word in words[:-1] if not word.startswith(("<<", "git@")) and "://" not in word]


def _mounted(one: Instruction, context: str) -> list[str]:
    mounts = one.flags.get("mount", "")
    kinds, others, paths = (re.findall(rf"(?:^|,)(?:{key})=([^,]+)", mounts) for key in _OF_MOUNTS)
    if context:
        return [_ANY] * (context in map(str.lower, others))
    if not mounts or len(others) >= max(kinds.count("bind"), not kinds):
        return []
    return paths if paths and not others else [_ANY]


def check_context(
    name: str, component: Component, folder: Path, context: BuildContext, taken: Taken
) -> list[str]:
    """Refuse what cannot be meant: no Dockerfile where one is named, nothing at all, no content.

    Arguments:
        name: of the component.
        folder: its build context on this machine.
        taken: of it by the build.

    Returns:
        What a careful person should know, one clause each.

    Raises:
        UsageError: one of these is the case.
    """
    notes = check_content(f"component '{name}'", folder, context.entries, taken)
    if context.dockerfile is None:
        _check_without_dockerfile(name, component, context)
    return notes


def check_content(whose: str, folder: Path, entries: Sequence[ContextEntry], taken: Taken) -> list[str]:
    """Refuse what only stands for content: submodules that are not checked out, pointers of Git LFS.

    Arguments:
        whose: content it is, for messages.
        folder: where the entries are.
        taken: of them by the build; a submodule that it does not take need not be there.

    Returns:
        Submodules of which nobody can tell whether they are taken, as a clause.

    Raises:
        UsageError: one of these is among them.
    """
    pointers = [
        entry.path
        for entry in entries
        if entry.kind == "file" and entry.size < _LARGEST_POINTER and _is_pointer(folder / entry.path)
    ]
    if pointers:
        raise UsageError(
            f"{whose}: Git LFS keeps the content of {_shown(pointers)} elsewhere; here is its pointer alone",
            fix="run `git lfs pull` before the build (in GitLab: no GIT_LFS_SKIP_SMUDGE), or ignore the file",
        )
    missing = list(_missing_submodules(folder, entries))
    if lacking := [str(folder / path) for path in missing if taken.has(path)]:
        raise UsageError(
            f"{whose}: the content of {_shown(lacking)} is that of a git submodule that is not checked out",
            fix="run `git submodule update --init --recursive` first (in GitLab: GIT_SUBMODULE_STRATEGY:"
            " recursive), or ignore the folder",
        )
    if missing and taken.more:
        return [f"a git submodule is not checked out, and the Dockerfile may copy it: {_shown(missing)}"]
    return []


def _shown(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more


def _check_without_dockerfile(name: str, component: Component, context: BuildContext) -> None:
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
    raise UsageError(
        f"component '{name}': {component.path} holds nothing an image could be made of",
        fix="correct its 'path', or what its .dockerignore leaves out",
    )


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_POINTER)) == _POINTER


def _missing_submodules(folder: Path, entries: Sequence[ContextEntry]) -> Iterator[str]:
    """Empty folders that a .gitmodules file above names, a submodule's own too (git-scm.com, gitmodules)."""
    root = folder.absolute()
    filled = {posixpath.dirname(entry.path) for entry in entries}
    folders = [entry.path for entry in entries if entry.kind == "folder" and entry.path not in filled]
    for path in [".", *folders]:
        place = root / path
        if not any(place.iterdir()) and any(place in _submodules(parent) for parent in place.parents):
            yield path


def _submodules(folder: Path) -> set[Path]:
    try:
        text = (folder / ".gitmodules").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return {folder / path for path in _SUBMODULE.findall(text)}
