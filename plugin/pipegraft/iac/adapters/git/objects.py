"""Git objects: trees read strictly, and rewritten level by level.

No index and no work tree: a change touches the trees along its paths and nothing else, so its cost does not
depend on how many files the repository holds.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from git.db import GitCmdObjectDB

from pipegraft.core.adapters.git_command import GitCommand, parse_batch
from pipegraft.core.errors import UsageError

__all__ = ["Entry", "Objects", "edit_tree", "parse_tree", "root_of"]

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
    """The objects a repository holds or can reach.

    GitPython's object database reads those of SHA-1; names of SHA-256 it does not take, so these are asked
    of the git program. New objects are written by the program, which refuses what is malformed.

    Arguments:
        git: runs commands of the repository.
        database: its objects, if they are of SHA-1 and many are read one by one.
    """

    def __init__(self, git: GitCommand, database: GitCmdObjectDB | None = None) -> None:
        self._git = git
        self._database = database

    def get(self, name: str) -> tuple[str, bytes] | None:
        """Type and content of an object by its full name, or None if it is not here."""
        if self._database is None:
            return next(((kind, content) for _, kind, content in self.get_all([name])), None)
        binary = bytes.fromhex(name)
        try:
            held = self._database.stream(binary)
        except ValueError:  # how GitPython says that git has not got it
            return None
        return held.type.decode(), held.read()

    def get_all(self, names: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
        """Name, type and content of each object that is here, by one process."""
        asked = "".join(f"{name}\n" for name in names).encode()
        return parse_batch(self._git.run("cat-file", "--batch", "--buffer", stdin=asked).output)

    def put_blob(self, content: bytes) -> str:
        """Store a file's content; answers its object name."""
        return self._put("blob", content)

    def put_tree(self, entries: Mapping[bytes, Entry]) -> str:
        """Store a tree; what its entries name need not be here."""
        ordered = sorted(entries.items(), key=_tree_order)
        lines = (b"%b %b\0%b" % (one.mode.encode(), name, bytes.fromhex(one.name)) for name, one in ordered)
        return self._put("tree", b"".join(lines))

    def _put(self, kind: str, content: bytes) -> str:
        return self._git.output("hash-object", "-w", "-t", kind, "--stdin", stdin=content)


def root_of(commit: bytes) -> str:
    """Name of a commit's root tree, by the commit's content."""
    return commit.partition(b"\n")[0].removeprefix(b"tree ").decode()


def _tree_order(entry: tuple[bytes, Entry]) -> bytes:
    """Git sorts a folder as if its name ended with a slash."""
    return entry[0] + b"/" if entry[1].kind == "tree" else entry[0]


@functools.lru_cache(maxsize=32)
def parse_tree(content: bytes, name_size: int = 20) -> Mapping[bytes, Entry]:
    """Entries of a tree object by file name; kept for a while, since an edit reads its folders repeatedly.

    Arguments:
        content: the object's content (gitformat: mode, space, file name, NUL, raw object name).
        name_size: bytes of an object name: 20 for SHA-1, 32 for SHA-256.

    Raises:
        UsageError: it is no tree that git would make: others could read it otherwise than we do.
    """
    entries: dict[bytes, Entry] = {}
    position, last = 0, b""
    while position < len(content):
        space = content.find(b" ", position)
        end = content.find(b"\0", space)
        if not position < space < end <= len(content) - 1 - name_size:
            raise _strange("an entry that is cut off")
        mode, path = content[position:space], content[space + 1 : end]
        position = end + 1 + name_size
        name = content[end + 1 : position]
        entry = Entry(mode.decode("latin-1").lstrip("0"), name.hex())
        order = _tree_order((path, entry))
        if wrong := _wrong_entry(mode, path, name) or ("" if order > last else "entries out of order"):
            raise _strange(wrong)
        if path in entries:
            raise _strange(f"{_shown(path)} twice")
        entries[path], last = entry, order
    return MappingProxyType(entries)


_MODES = re.compile(rb"0?40000|100(?:644|755|664)|120000|160000")
"""With those that old versions of git wrote."""
_ORDINARY = re.compile(rb"(?!git~)[a-z0-9_][ !#-.0-:;-\[\]-}~]*", re.IGNORECASE)
"""Names that cannot be ``.git`` on any file system; nearly all."""
_IGNORED_BY_HFS = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
_DOT_GIT_ON_NTFS = re.compile(r"(?:\.git|git~1)[ .]*(?:[:\\].*)?", re.IGNORECASE | re.DOTALL)


def _wrong_entry(mode: bytes, path: bytes, name: bytes) -> str:
    """What git-fsck(1) would say of an entry, empty if nothing."""
    if not _MODES.fullmatch(mode):
        return f"mode {_shown(mode)}"
    if not name.strip(b"\0"):
        return f"{_shown(path)} without an object"
    if path in {b"", b".", b".."} or b"/" in path or (not _ORDINARY.fullmatch(path) and _is_dot_git(path)):
        return f"the name {_shown(path)}"
    return ""


def _is_dot_git(path: bytes) -> bool:
    """Whether a file system takes a name for ``.git`` (git's `is_hfs_dotgit` and `is_ntfs_dotgit`)."""
    text = path.decode("utf-8", "surrogateescape")
    parts = text.split("\\")
    return text.translate(_IGNORED_BY_HFS).lower() == ".git" or any(
        _DOT_GIT_ON_NTFS.fullmatch(part) for part in parts
    )


def _shown(path: bytes) -> str:
    return repr(path.decode("utf-8", "backslashreplace"))


def _strange(found: str) -> UsageError:
    return UsageError(
        f"expected folders as git writes them, found one with {found}",
        fix="run 'git fsck' in that repository, and set receive.fsckObjects on its server",
    )


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
