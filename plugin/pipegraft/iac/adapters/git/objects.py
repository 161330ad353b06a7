"""Git objects: read through one `cat-file --batch`, trees rewritten level by level.

No index and no work tree: a change touches the trees along its paths and nothing else, so its cost
does not depend on how many files the repository holds. New objects are written by ourselves: a process
for each would cost more than all the rest.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
import subprocess
import weakref
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git.process import Git

__all__ = ["Entry", "Objects", "edit_tree", "parse_batch", "parse_tree"]

_FOLDER = "40000"
_FILE = "100644"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a tree: mode without leading zeros, and object name."""

    mode: str
    name: str

    @property
    def kind(self) -> str:
        """The object's type."""
        return {_FOLDER: "tree", "160000": "commit"}.get(self.mode, "blob")


class Objects:
    """The objects a repository folder holds or can reach.

    Arguments:
        git: the folder.
        object_format: its hash: sha1 or sha256.
    """

    def __init__(self, git: Git, object_format: str = "sha1") -> None:
        self._git = git
        self._object_format = object_format
        self._reader: subprocess.Popen[bytes] | None = None

    def get(self, name: str) -> tuple[str, bytes] | None:
        """Type and content of an object by its full name or ``COMMIT:PATH``, or None if it is not here."""
        reader = self._running()
        assert reader.stdin is not None  # noqa: S101 - both are pipes
        assert reader.stdout is not None  # noqa: S101
        reader.stdin.write(os.fsencode(f"{name}\n"))
        reader.stdin.flush()
        line = reader.stdout.readline()
        header = line.split()
        if len(header) != 3 or line.endswith(b" missing\n"):
            return None
        content = reader.stdout.read(int(header[2]))
        reader.stdout.read(1)
        return header[1].decode(), content

    def put_blob(self, content: bytes) -> str:
        """Store a file's content; answers its object name."""
        return self._put("blob", content)

    def put_tree(self, entries: Mapping[bytes, Entry]) -> str:
        """Store a tree; what its entries name need not be here."""
        ordered = sorted(entries.items(), key=_tree_order)
        lines = (b"%b %b\0%b" % (one.mode.encode(), name, bytes.fromhex(one.name)) for name, one in ordered)
        return self._put("tree", b"".join(lines))

    def _put(self, kind: str, content: bytes) -> str:
        """Store an object as a file of its own (gitrepository-layout(5), ``objects/xx``)."""
        stored = f"{kind} {len(content)}\0".encode() + content
        name = hashlib.new(self._object_format, stored, usedforsecurity=False).hexdigest()
        assert self._git.folder is not None  # noqa: S101 - asked of a repository folder only
        file = self._git.folder / "objects" / name[:2] / name[2:]
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_name(f"tmp_obj_{secrets.token_hex(6)}")
            unfinished.write_bytes(zlib.compress(stored, 1))
            unfinished.replace(file)
        return name

    def _running(self) -> subprocess.Popen[bytes]:
        if self._reader is None:
            self._reader = self._git.start("cat-file", "--batch")
            weakref.finalize(self, _stop, self._reader)
        return self._reader


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def parse_batch(output: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Name, type and content of each object that ``git cat-file --batch`` found; the others are left out."""
    at = 0
    while at < len(output):
        end = output.index(b"\n", at)
        header = output[at:end].split()
        at = end + 1
        if len(header) == 3:  # else "NAME missing"
            size = int(header[2])
            yield header[0].decode(), header[1].decode(), output[at : at + size]
            at += size + 1


def _tree_order(entry: tuple[bytes, Entry]) -> bytes:
    """Git sorts a folder as if its name ended with a slash."""
    return entry[0] + b"/" if entry[1].kind == "tree" else entry[0]


@functools.lru_cache(maxsize=32)
def parse_tree(content: bytes, name_size: int = 20) -> Mapping[bytes, Entry]:
    """Entries of a tree object by file name; kept for a while, since an edit reads its folders repeatedly.

    Arguments:
        content: the object's content (gitformat: mode, space, file name, NUL, raw object name).
        name_size: bytes of an object name: 20 for SHA-1, 32 for SHA-256.
    """
    entries: dict[bytes, Entry] = {}
    position = 0
    while position < len(content):
        space = content.index(b" ", position)
        end = content.index(b"\0", space)
        name = content[end + 1 : end + 1 + name_size]
        entries[content[space + 1 : end]] = Entry(content[position:space].decode(), name.hex())
        position = end + 1 + name_size
    return MappingProxyType(entries)


def edit_tree(
    entries: Mapping[str, Mapping[bytes, Entry]], objects: Objects, changes: Mapping[str, str | None]
) -> str | None:
    """Store the trees that result from changing files.

    Arguments:
        entries: folder → what it holds now, for every folder on the way to a changed path that exists;
            the root is ``""``.
        objects: where blobs and trees are stored.
        changes: path → new text, None to delete the file.

    Returns:
        Name of the new root tree; None if nothing is left in it.

    Raises:
        UsageError: a path runs through a file.
    """
    return _edit_folder("", entries, objects, changes)


def _edit_folder(
    folder: str,
    entries: Mapping[str, Mapping[bytes, Entry]],
    objects: Objects,
    changes: Mapping[str, str | None],
) -> str | None:
    held = dict(entries.get(folder, {}))
    deeper: dict[str, dict[str, str | None]] = {}
    for path, text in changes.items():
        first, slash, rest = path.partition("/")
        if slash:
            deeper.setdefault(first, {})[rest] = text
            continue
        _set(held, first, None if text is None else Entry(_FILE, objects.put_blob(text.encode())), folder)
    for first, below in deeper.items():
        child = f"{folder}/{first}".removeprefix("/")
        tree = _edit_folder(child, entries, objects, below)
        _set(held, first, None if tree is None else Entry(_FOLDER, tree), folder)
    return objects.put_tree(held) if held or not folder else None


def _set(held: dict[bytes, Entry], name: str, entry: Entry | None, folder: str) -> None:
    before = held.get(name.encode())
    if entry is None:
        held.pop(name.encode(), None)
        return
    if before is not None and before.kind != entry.kind:
        path = f"{folder}/{name}".removeprefix("/")
        raise UsageError(f"expected {path} to be a {_word(entry)}, found a {_word(before)}")
    mode = before.mode if before is not None and before.mode != "120000" else entry.mode
    held[name.encode()] = Entry(mode, entry.name)


def _word(entry: Entry) -> str:
    return {"tree": "folder", "commit": "submodule", "blob": "file"}[entry.kind]
