"""What has happened on a branch: with no more of its history than a question needs, or all of it at once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from git import Head, Repo
from git.exc import GitError

from pipegraft.core.adapters.git_command import BareCommand, BareRepository, GitCommand, git_environment
from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git.objects import Entry, Objects, parse_tree, root_of
from pipegraft.iac.adapters.git.remotes import Remote, Workspace, private_folder, shallow_commits
from pipegraft.iac.archive import Signature, Signed, Version
from pipegraft.iac.ports import Commit, split_path

__all__ = ["Archive", "History", "LocalArchives", "local_tip"]

_FORMAT = "%H%x00%P%x00%ct%x00%an <%ae>%x00%B"
_FIELDS = 5
_FULL_NAME = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DEPTHS = (64, 1024, 16384, None)
"""How many generations to ask for, one after the other, until the answer is certain."""


class History:
    """`IacHistory` over git.

    Arguments:
        repository: our own.
        objects: what it holds.
        remote: where the branch lives.
        branch: its short name.
    """

    def __init__(self, repository: BareRepository, objects: Objects, remote: Remote, branch: str) -> None:
        self._repository = repository
        self._git = repository.git
        self._objects = objects
        self._remote = remote
        self._branch = branch

    def contains(self, revision: str, at: str) -> bool:
        if not (_FULL_NAME.fullmatch(revision) and _FULL_NAME.fullmatch(at)):
            return False
        answer = True if revision == at else self._compare(revision, at)
        for depth in _DEPTHS:
            if answer is not None:
                break
            complete = self._remote.bring_history(self._branch, depth)
            answer = self._compare(revision, at)
            if complete:
                break
        return bool(answer)

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        tip = self._remote.tip(self._branch)
        found: list[Commit] = []
        for depth in _DEPTHS:
            complete = self._remote.bring_history(self._branch, depth)
            if path is not None and self._remote.partial:
                self.bring_trees(path, tip)
            found = self._read(tip, path, None if self._remote.partial else limit)
            if complete or (limit is not None and len(found) >= limit):
                break
        return found[:limit]

    def _compare(self, revision: str, at: str) -> bool | None:
        """Whether `at` descends from `revision`; None if the commits that are here do not tell."""
        if not (self._objects.get(revision) and self._objects.get(at)):
            return None
        if self._is_ancestor(revision, at):
            return True
        return False if self._is_ancestor(at, revision) else None

    def _is_ancestor(self, older: str, newer: str) -> bool:
        return self._git.run("merge-base", "--is-ancestor", older, newer).code == 0

    def _read(self, tip: str, path: str | None, limit: int | None) -> list[Commit]:
        """Commits whose parents are here too; without them git cannot tell what a commit changed."""
        command = ["-z", "--first-parent", f"--format={_FORMAT}"]
        command += [] if limit is None else [f"--max-count={limit}"]
        command += [tip] if path is None else [tip, "--", f":(literal){path}"]
        fields = self._git.output("log", *command).split("\0")
        found = [_commit(*fields[at : at + _FIELDS]) for at in range(0, len(fields) - 1, _FIELDS)]
        cut = shallow_commits(Path(self._repository.git_dir))
        return [commit for commit in found if commit.id not in cut]

    def bring_trees(self, path: str, tip: str) -> None:
        """Bring the trees on the way to a path, of all commits that are here, one request a level."""
        trees = set(self._git.output("log", "--first-parent", "--format=%T", tip).split())
        for part in split_path(path):
            missing = [name for name in trees if self._objects.get(name) is None]
            if missing:
                self._remote.bring_objects(missing, below=False)
            held = (self._objects.get(name) for name in trees)
            entries = (parse_tree(tree[1], len(tip) // 2).get(part.encode()) for tree in held if tree)
            trees = {entry.name for entry in entries if entry and entry.kind == "tree"}


def _commit(name: str, parents: str, time: str, author: str, message: str) -> Commit:
    return Commit(name, parents.partition(" ")[0] or None, message, float(time), author)


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
        repository: our own.
        objects: what it holds.
        remote: where the branch lives.
        branch: its short name.
        history: brings what a question about paths needs.
    """

    def __init__(
        self, repository: BareRepository, objects: Objects, remote: Remote, branch: str, history: History
    ) -> None:
        self._git = repository.git
        self._objects = objects
        self._remote = remote
        self._branch = branch
        self._history = history

    def versions(self, paths: Sequence[str]) -> Sequence[Version]:
        tip = self._remote.tip(self._branch)
        if not self._remote.bring_history(self._branch, None):
            raise _cut_off(self._remote.name)
        if self._remote.partial:
            for path in paths:
                self._history.bring_trees(path, tip)
        return _versions(self._git, self._objects, tip, paths)

    def contents(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        waiting = iter(dict.fromkeys(names))
        while some := list(itertools.islice(waiting, _AT_ONCE)):
            if self._remote.partial:
                self._remote.bring_objects(some, below=False)
            yield from _texts(self._objects, some)

    def folder(self, path: str) -> Sequence[str]:
        tip = self._remote.tip(self._branch)
        self._remote.bring_commit(tip)
        found = self._objects.get(tip)
        name: str | None = root_of(found[1]) if found else None
        for part in path.split("/") if path else ():
            entry = self._tree(name).get(part.encode()) if name else None
            name = entry.name if entry and entry.kind == "tree" else None
        entries = self._tree(name) if name else {}
        return sorted(file.decode("utf-8", "replace") for file, one in entries.items() if one.kind == "blob")

    def files(self) -> Mapping[str, str]:
        return _files(self._git, self._remote.tip(self._branch))

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

    def _batch(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        return ((name, content) for name, _, content in self._objects.get_all(names))


def local_tip(place: Path, branch: str) -> str | None:
    """The newest commit of a branch of a repository on this machine; None for what is not readable here."""
    try:
        with Repo(place) as repository:
            return Head.dereference_recursive(repository, f"refs/heads/{branch}")
    except (GitError, ValueError, OSError):
        return None


class LocalArchives:
    """Whole histories of many repositories on this machine, with few processes for each.

    Their objects are read where they lie; git runs in one empty repository of our own for all, so that
    no repository's settings have a say. Close it to remove that.

    Arguments:
        environment: variables of this process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._workspace = Workspace(private_folder())
        self._environment = git_environment(environment)
        GitCommand(Path("/")).output("init", "--quiet", "--bare", "--template=", str(self._workspace.path))
        self.close = self._workspace.close

    def open(self, place: Path, tip: str) -> LocalArchive:
        """The history of a commit.

        Arguments:
            place: the repository, with objects of SHA-1.
            tip: the commit.

        Raises:
            UsageError: it is a shallow clone.
        """
        with Repo(place) as repository:
            git_dir = Path(repository.common_dir)
        if shallow_commits(git_dir):
            raise _cut_off(str(git_dir))
        git = BareCommand(self._workspace.path)
        git.use({**self._environment, "GIT_OBJECT_DIRECTORY": str(git_dir / "objects")})
        return LocalArchive(git, tip)


class LocalArchive:
    """`History` of one commit of a repository on this machine, see `LocalArchives`.

    Arguments:
        git: runs commands that see its objects.
        tip: the commit.
    """

    def __init__(self, git: GitCommand, tip: str) -> None:
        self._git = git
        self._objects = Objects(git)
        self._tip = tip

    def versions(self, paths: Sequence[str]) -> Sequence[Version]:
        return _versions(self._git, self._objects, self._tip, paths)

    def contents(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        waiting = iter(dict.fromkeys(names))
        while some := list(itertools.islice(waiting, _AT_ONCE)):
            yield from _texts(self._objects, some)

    def files(self) -> Mapping[str, str]:
        return _files(self._git, self._tip)


def _cut_off(name: str) -> UsageError:
    return UsageError(
        f"expected the whole history of {name}, found a shallow clone",
        fix="run `git fetch --unshallow` there, or name the repository that it was cloned from",
    )


def _files(git: GitCommand, tip: str) -> dict[str, str]:
    lines = git.output("ls-tree", "-r", "-z", tip).split("\0")
    entries = (line.partition("\t") for line in lines if line)
    return {path: entry.split()[2] for entry, _, path in entries}


def _texts(objects: Objects, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, _, content in objects.get_all(names):
        try:
            yield name, content.decode()
        except UnicodeDecodeError:
            continue


def _versions(git: GitCommand, objects: Objects, tip: str, paths: Sequence[str]) -> list[Version]:
    command = ("-z", "--first-parent", "--raw", "--no-abbrev", "--no-renames")
    wanted = (f":(literal){path}" for path in paths)
    read = git.output("log", *command, f"--format={_FORMAT}", tip, "--", *wanted)
    found = list(_records(read.split("\0")))
    brought = [
        parents[1] for _, parents, _ in found if len(parents) > 1
    ]  # what a merge of a request brought in
    messages = {
        name: content.partition(b"\n\n")[2].decode("utf-8", "replace")
        for name, _, content in (objects.get_all(brought) if brought else ())
    }
    return [_version(commit, parents, contents, messages) for commit, parents, contents in found]


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
