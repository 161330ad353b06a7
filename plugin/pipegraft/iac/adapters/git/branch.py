"""One branch of a git repository, read and written without a clone and without a work tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git.archive import Archive
from pipegraft.iac.adapters.git.branch_lock import Turns
from pipegraft.iac.adapters.git.failures import explain
from pipegraft.iac.adapters.git.history import History
from pipegraft.iac.adapters.git.objects import Entry, Objects, edit_tree, parse_tree
from pipegraft.iac.adapters.git.process import Git
from pipegraft.iac.adapters.git.remotes import Remote
from pipegraft.iac.adapters.git.workspace import Workspace
from pipegraft.iac.ports.repository import Commit, split_path

__all__ = ["GitBranch"]


class GitBranch:
    """`IacRepository` and `IacHistory` over git.

    Arguments:
        git: a bare repository folder of our own.
        objects: what it holds.
        remote: where the branch lives and how its objects get into the folder.
        branch: its short name.
        folders: what lies in them is brought together; none if unknown.
        turns: the queue of this machine's writers.
        signed: sign commits with the key of the settings.
        workspace: owner of the folder; it lives as long as the branch is used.
    """

    def __init__(
        self,
        git: Git,
        objects: Objects,
        remote: Remote,
        branch: str,
        *,
        folders: Sequence[str],
        turns: Turns,
        signed: bool,
        workspace: Workspace,
    ) -> None:
        self._git = git
        self._workspace = workspace
        self._remote = remote
        self._branch = branch
        self._ours = tuple(dict.fromkeys(folder.strip("/") for folder in folders))
        self._turns = turns
        self._signed = signed
        self._objects = objects
        self._history = History(git, objects, remote, branch)
        self.archive = Archive(git, objects, remote, branch, self._history)
        """`IacArchive` of the branch, for as long as this is kept."""
        self._roots: dict[str, str] = {}
        self._about_to_write = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._turns.wait():
            self._about_to_write = True
            try:
                yield
            finally:
                self._about_to_write = False

    def tip(self) -> str:
        return self._remote.tip(self._branch, to_push=self._about_to_write)

    def read(self, path: str, at: str) -> str | None:
        *above, name = split_path(path)
        folder = self._folders([path], at).get("/".join(above), {})
        entry = folder.get(name.encode())
        if entry is None or entry.kind != "blob":
            return None
        try:
            return self._get(entry.name).decode()
        except UnicodeDecodeError as error:
            found = error.object[error.start]
            raise UsageError(f"expected {path} to be text in UTF-8, found byte {found:#04x}") from None

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        return self.commit_all([(changes, message)], parent)[0]

    def commit_all(self, commits: Sequence[tuple[Mapping[str, str | None], str]], parent: str) -> list[str]:
        made: list[str] = []
        for changes, message in commits:
            below = made[-1] if made else parent
            tree = str(edit_tree(self._folders(changes, below), self._objects, changes))
            made.append(self._make_commit(tree, below, message if message.endswith("\n") else f"{message}\n"))
            self._roots[made[-1]] = tree
        self._remote.push(made[-1], self._branch, parent)
        return made

    def try_push(self) -> None:
        """Ask whether the branch may be pushed to, by a push that changes nothing and is not done.

        Raises:
            Unreachable, AccessDenied: the remote did not answer or refused.
        """
        tip = self.tip()
        self._root(tip)
        reference = f"refs/heads/{self._branch}"
        tried = self._git.run("push", "--dry-run", "--porcelain", "origin", f"{tip}:{reference}")
        if tried.code:
            raise explain(tried.errors, self._remote.name)

    def contains(self, revision: str, at: str) -> bool:
        return self._history.contains(revision, at)

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        return self._history.log(path, limit=limit)

    def _make_commit(self, tree: str, parent: str, message: str) -> str:
        command = ("commit-tree", "-p", parent, "-F", "-")
        if not self._signed:
            return self._git.output(*command, tree, stdin=message.encode())
        done = self._git.run(*command, "-S", tree, stdin=message.encode())
        if done.code:
            raise UsageError(
                f"the commit could not be signed: {done.errors.strip()}",
                fix="check PIPEGRAFT_SIGNING_KEY: a file with a private SSH key, or the id of a GPG key",
            )
        return done.output.decode().strip()

    def _folders(self, paths: Iterable[str], at: str) -> dict[str, Mapping[bytes, Entry]]:
        """What the folders on the way to the paths hold; those that do not exist are left out."""
        found = {"": self._tree(self._root(at))}
        for path in paths:
            folder = ""
            for part in split_path(path)[:-1]:
                entry = found[folder].get(part.encode())
                if entry is None or entry.kind != "tree":
                    break
                folder = f"{folder}/{part}".removeprefix("/")
                if folder not in found:
                    found[folder] = self._tree(entry.name, below=self._is_ours(folder))
        return found

    def _root(self, commit: str) -> str:
        if commit not in self._roots:
            self._remote.bring_commit(commit, self._depth())
            header = self._get(commit).partition(b"\n")[0]
            self._roots[commit] = header.removeprefix(b"tree ").decode()
            if len(self._ours) > 1:
                self._bring_ours(self._roots[commit])
        return self._roots[commit]

    def _depth(self) -> int:
        """Levels of trees to bring together with a commit: all above our folder but the last one.

        A server that filters reads one level more than it sends, and the last folder above ours may list
        thousands of others. At the root: the files there, and the folders' lists.
        """
        return max(min(len(split_path(folder)) for folder in self._ours) - 1, 1) if self._ours else 2

    def _bring_ours(self, root: str) -> None:
        """Bring the folders of several applications with one request for each level of folders."""
        at: list[tuple[str, Sequence[str]]] = [(root, split_path(folder)) for folder in self._ours]
        whole: list[str] = []
        while at:
            self._bring(list(dict.fromkeys(tree for tree, _ in at)), below=False)
            deeper: list[tuple[str, Sequence[str]]] = []
            for tree, (first, *rest) in at:
                entry = self._tree(tree).get(first.encode())
                if entry and entry.kind == "tree" and rest:
                    deeper.append((entry.name, rest))
                elif entry and entry.kind == "tree":
                    whole.append(entry.name)
            at = deeper
        self._bring(whole, below=True)

    def _bring(self, names: Sequence[str], *, below: bool) -> None:
        missing = [name for name in names if self._objects.get(name) is None]
        if missing:
            self._remote.bring_objects(missing, below=below)

    def _is_ours(self, folder: str) -> bool:
        return any(f"{folder}/".startswith(f"{ours}/") for ours in self._ours)

    def _tree(self, name: str, *, below: bool = False) -> Mapping[bytes, Entry]:
        return parse_tree(self._get(name, below=below), len(name) // 2)

    def _get(self, name: str, *, below: bool = False) -> bytes:
        held = self._objects.get(name)
        if held is None:
            self._remote.bring_objects([name], below=below)
            held = self._objects.get(name)
        if held is None:
            raise UsageError(f"expected {self._remote.name} to hold {name}, it does not")
        return held[1]
