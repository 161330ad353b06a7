"""A branch's whole history in a few processes, however many commits it has."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git.history import History
from pipegraft.iac.adapters.git.objects import Entry, Objects, parse_batch, parse_tree
from pipegraft.iac.adapters.git.process import Git
from pipegraft.iac.adapters.git.remotes import Remote
from pipegraft.iac.ports.archive import Signature, Signed, Version
from pipegraft.iac.ports.repository import Commit

__all__ = ["Archive"]

_FORMAT = "%H%x00%P%x00%ct%x00%an <%ae>%x00%B"
_FIELDS = 5
_AT_ONCE = 2000
"""Contents that are held in memory together."""
_STATES = {
    "G": Signed.GOOD,
    "U": Signed.UNTRUSTED,
    "X": Signed.EXPIRED,
    "Y": Signed.EXPIRED,
    "R": Signed.REVOKED,
    "B": Signed.BAD,
    "E": Signed.UNKNOWN,
}


class Archive:
    """`IacArchive` over git.

    Arguments:
        git: our own folder.
        objects: what it holds.
        remote: where the branch lives.
        branch: its short name.
        history: brings what a question about paths needs.
    """

    def __init__(self, git: Git, objects: Objects, remote: Remote, branch: str, history: History) -> None:
        self._git = git
        self._objects = objects
        self._remote = remote
        self._branch = branch
        self._history = history

    def versions(self, paths: Sequence[str]) -> Sequence[Version]:
        tip = self._remote.tip(self._branch)
        if not self._remote.bring_history(self._branch, None):
            raise UsageError(
                f"expected the whole history of {self._remote.name}, found a shallow clone",
                fix="run `git fetch --unshallow` there, or name the repository that it was cloned from",
            )
        if self._remote.partial:
            for path in paths:
                self._history.bring_trees(path, tip)
        command = ("log", "-z", "--first-parent", "--raw", "--no-abbrev", "--no-renames")
        wanted = (f":(literal){path}" for path in paths)
        read = self._git.output(*command, f"--format={_FORMAT}", tip, "--", *wanted)
        found = list(_records(read.split("\0")))
        brought = [
            parents[1] for _, parents, _ in found if len(parents) > 1
        ]  # what a merge of a request brought in
        messages = dict(self._messages(brought))
        return [_version(commit, parents, contents, messages) for commit, parents, contents in found]

    def contents(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        waiting = iter(dict.fromkeys(names))
        while some := list(itertools.islice(waiting, _AT_ONCE)):
            if self._remote.partial:
                self._remote.bring_objects(some, below=False)
            for name, content in self._batch(some):
                try:
                    yield name, content.decode()
                except UnicodeDecodeError:
                    continue

    def folder(self, path: str) -> Sequence[str]:
        tip = self._remote.tip(self._branch)
        self._remote.bring_commit(tip, 3)
        found = self._objects.get(tip)
        name: str | None = found[1].partition(b"\n")[0].removeprefix(b"tree ").decode() if found else None
        for part in path.split("/") if path else ():
            entry = self._tree(name).get(part.encode()) if name else None
            name = entry.name if entry and entry.kind == "tree" else None
        entries = self._tree(name) if name else {}
        return sorted(file.decode("utf-8", "replace") for file, one in entries.items() if one.kind == "blob")

    def paths(self) -> Sequence[str]:
        """Every file at the branch's tip, for a repository on this machine."""
        tip = self._remote.tip(self._branch)
        return self._git.output("ls-tree", "-r", "-z", "--name-only", tip).rstrip("\0").split("\0")

    def signatures(self, commits: Sequence[str]) -> Mapping[str, Signature]:
        if not commits:
            return {}
        signed = {name for name, content in self._batch(commits) if b"\ngpgsig" in content.split(b"\n\n")[0]}
        if not signed:
            return dict.fromkeys(commits, Signature(Signed.NONE))
        read = self._git.output(
            "log", "--no-walk=unsorted", "--format=%H%x00%G?%x00%GS", *dict.fromkeys(commits)
        )
        found: dict[str, Signature] = {}
        for line in read.splitlines():
            name, letter, by = line.split("\0")
            # Without a list of allowed signers git calls an SSH signature none ("N").
            state = _STATES.get(letter, Signed.UNKNOWN) if name in signed else Signed.NONE
            found[name] = Signature(state, by)
        return found

    def _tree(self, name: str) -> Mapping[bytes, Entry]:
        held = self._objects.get(name)
        if held is None:
            self._remote.bring_objects([name], below=False)
            held = self._objects.get(name)
        return parse_tree(held[1], len(name) // 2) if held else {}

    def _messages(self, commits: Sequence[str]) -> Iterator[tuple[str, str]]:
        for name, content in self._batch(commits) if commits else ():
            yield name, content.partition(b"\n\n")[2].decode("utf-8", "replace")

    def _batch(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Name and content of each object that is here, by one process."""
        asked = "".join(f"{name}\n" for name in names).encode()
        output = self._git.run("cat-file", "--batch", "--buffer", stdin=asked).output
        return ((name, content) for name, _, content in parse_batch(output))


_Record = tuple[Commit, tuple[str, ...], dict[str, str | None]]


def _records(fields: Sequence[str]) -> Iterator[_Record]:
    """Each commit of ``git log -z --raw``: five fields, then a pair of fields for each file."""
    at = 0
    while at + _FIELDS <= len(fields):
        name, parents, time, author, message = fields[at : at + _FIELDS]
        at += _FIELDS
        contents: dict[str, str | None] = {}
        while at + 1 < len(fields) and fields[at].lstrip("\n").startswith(":"):
            after = fields[at].split()[3]
            contents[fields[at + 1]] = after if after.strip("0") else None
            at += 2
        above = tuple(parents.split())
        yield Commit(name, above[0] if above else None, message, float(time), author), above, contents


def _version(
    commit: Commit, parents: Sequence[str], contents: Mapping[str, str | None], messages: Mapping[str, str]
) -> Version:
    trailers = commit.trailers
    if "Pipegraft-App" not in trailers and len(parents) > 1:
        trailers = Commit(parents[1], None, messages.get(parents[1], "")).trailers
    return Version(commit, contents, trailers)
