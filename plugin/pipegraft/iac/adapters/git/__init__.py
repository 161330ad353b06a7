"""The IaC repository over git: one branch, read and written without a clone and without a work tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipegraft.core.adapters.git_command import BareCommand, BareRepository, GitCommand, git_environment
from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.failures import explain
from pipegraft.iac.adapters.git.access import Access, access, identity, signing
from pipegraft.iac.adapters.git.history import Archive, History
from pipegraft.iac.adapters.git.objects import Entry, Objects, edit_tree, parse_tree, root_of
from pipegraft.iac.adapters.git.remotes import (
    BranchLock,
    FetchedRemote,
    LocalRemote,
    Remote,
    Workspace,
    clone_newest,
    private_folder,
)
from pipegraft.iac.ports import Commit, split_path

__all__ = ["GitBranch", "clone_newest", "open_branch"]

_MOST_PACKS = 200
"""After so many fetches we begin with an empty folder: git looks for each object in all packs."""


_NOWHERE = Path("/")
"""A job runs in a clone, whose settings and remotes must have no say in ours."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A repository of our own, beside the one that the branch lives in.

    Arguments:
        workspace: its folder.
        objects: what it holds.
        remote: where the branch lives.
    """

    workspace: Workspace
    repository: BareRepository
    objects: Objects
    remote: Remote

    def close(self) -> None:
        """End its processes and remove its folder."""
        self.repository.close()
        self.workspace.close()


class GitBranch:
    """`IacRepository` and `IacHistory` over git; close it to end git's processes before this one ends.

    Arguments:
        connect: makes an empty repository of our own.
        branch: its short name.
        folders: what lies in them is brought together; none if unknown.
        lock: the queue of this machine's writers.
        signed: sign commits with the key of the settings.
    """

    def __init__(
        self,
        connect: Callable[[], _Opened],
        branch: str,
        *,
        folders: Sequence[str],
        lock: BranchLock,
        signed: bool,
    ) -> None:
        self._connect = connect
        self._branch = branch
        self._ours = tuple(folders)
        self._lock = lock
        self._signed = signed
        self._about_to_write = False
        self._begin()

    def _begin(self) -> None:
        self._opened = self._connect()
        self._git = self._opened.repository.git
        self._objects = self._opened.objects
        self._remote = self._opened.remote
        known = (self._opened.repository, self._objects, self._remote, self._branch)
        self._history = History(*known)
        self.archive = Archive(*known, self._history)
        """`IacArchive` of the branch, for as long as this is kept."""
        self._roots: dict[str, str] = {}

    def close(self) -> None:
        """End git's processes and remove what was brought; nothing can be read any more."""
        self._opened.close()

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._lock.wait():
            self._about_to_write = True
            try:
                yield
            finally:
                self._about_to_write = False

    def tip(self) -> str:
        if self._remote.packs > _MOST_PACKS:
            self.close()
            self._begin()
        return self._remote.tip(self._branch, to_push=self._about_to_write)

    def read(self, path: str, at: str) -> str | None:
        content = self._content(path, at)
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError as error:
            found = error.object[error.start]
            raise UsageError(f"expected {path} to be text in UTF-8, found byte {found:#04x}") from None

    def _content(self, path: str, at: str) -> bytes | None:
        *above, name = split_path(path)
        entry = self._folders([path], at).get("/".join(above), {}).get(os.fsencode(name))
        return None if entry is None or entry.kind != "blob" else self._get(entry.name)

    def files_below(self, folder: str, at: str) -> Mapping[str, bytes]:
        if not folder:
            return self._contents("", self._root(at))
        above, _, name = folder.rpartition("/")
        entry = self._folders([folder], at).get(above, {}).get(name.encode())
        return self._contents(folder, entry.name) if entry and entry.kind == "tree" else {}

    def files_holding(self, words: Sequence[str], at: str) -> Mapping[str, bytes]:
        root = self._root(at)
        if self._remote.partial:
            self._bring(list(self._missing(root)), below=True)
        options = ("-l", "-z", "-a", "-F", *(part for word in words for part in ("-e", word)))
        found = self._git.run("grep", *options, root, "--", "*.yaml", "*.yml", "*.json")
        if found.code > 1:
            raise explain(found.errors, self._remote.name)
        paths = (os.fsdecode(one.partition(b":")[2]) for one in found.output.split(b"\0"))
        return {path: self._content(path, at) or b"" for path in paths if path}

    def _missing(self, tree: str) -> Iterator[str]:
        """What lies below a tree and is not here; of a folder that is not, itself alone."""
        for entry in self._tree(tree).values():
            if entry.kind != "commit" and self._objects.get(entry.name) is None:
                yield entry.name
            elif entry.kind == "tree":
                yield from self._missing(entry.name)

    def _contents(self, folder: str, tree: str) -> dict[str, bytes]:
        """Every file below a tree; they are brought together with it."""
        found: dict[str, bytes] = {}
        for name, entry in self._tree(tree, below=True).items():
            path = f"{folder}/{name.decode('utf-8', 'surrogateescape')}".removeprefix("/")
            if entry.kind == "tree":
                found |= self._contents(path, entry.name)
            elif entry.kind == "blob":
                found[path] = self._get(entry.name)
        return found

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
        options = ("-p", parent, "-F", "-")
        if not self._signed:
            return self._git.output("commit-tree", *options, tree, stdin=message.encode())
        done = self._git.run("commit-tree", *options, "-S", tree, stdin=message.encode())
        if done.code:
            raise UsageError(
                f"the commit could not be signed: {done.errors.strip()}",
                fix="check PIPEGRAFT_SIGNING_KEY: a file with an SSH or OpenPGP key, or the id of a GPG key",
            )
        return done.output.decode().strip()

    def _folders(self, paths: Iterable[str], at: str) -> dict[str, Mapping[bytes, Entry]]:
        """What the folders on the way to the paths hold; those that do not exist are left out."""
        found = {"": self._tree(self._root(at))}
        for path in paths:
            folder = ""
            for part in split_path(path)[:-1]:
                entry = found[folder].get(os.fsencode(part))
                if entry is None or entry.kind != "tree":
                    break
                folder = f"{folder}/{part}".removeprefix("/")
                if folder not in found:
                    found[folder] = self._tree(entry.name, below=self._is_ours(folder))
        return found

    def _root(self, commit: str) -> str:
        if commit not in self._roots:
            self._remote.bring_commit(commit)
            self._roots[commit] = root_of(self._get(commit))
            if len(self._ours) > 1:
                self._bring_ours(self._roots[commit])
        return self._roots[commit]

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


def open_branch(
    repository: str,
    branch: str,
    base: Path,
    *,
    folder: str | Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> GitBranch:
    """Open one branch of a repository; nothing is asked of it yet.

    Arguments:
        repository: a URL git understands, or a path.
        branch: its short name.
        base: folder that a relative path starts from.
        folder: the application's folder in a repository of many, or several; what lies there is fetched at
            once.
        environment: variables with credentials and identity; those of this process if None.

    Raises:
        UsageError: `repository` is a path, and there is no git repository.
    """
    variables = os.environ if environment is None else environment
    outside = GitCommand(
        Path("/")
    )  # a job runs in a clone, whose settings and remotes must have no say in ours
    outside.use(git_environment(variables))
    local = _local_folder(repository, base)
    there = _inspect(local, variables) if local else None
    reached = Access(str(local)) if local else access(_rewritten(repository, variables), variables)
    key, ring = signing(variables)
    settings = git_environment(
        variables,
        [*reached.settings, *key, *_origin(reached.url)],
        {**identity(variables), **reached.variables, **ring},
    )
    named = [folder] if isinstance(folder, str) else folder or ()
    ours = tuple(dict.fromkeys(one.strip("/") for one in named if one))
    object_format = there.object_format if there else "sha1"

    def connect() -> _Opened:
        workspace = Workspace(private_folder())
        options = ("--quiet", "--bare", "--template=", f"--object-format={object_format}")
        outside.output("init", *options, str(workspace.path))
        ourselves = BareRepository(workspace.path)
        ourselves.git.use(settings, (*access(repository, variables).secrets, *reached.secrets))
        objects = Objects(ourselves.git, ourselves.odb if object_format == "sha1" else None)
        remote: Remote = FetchedRemote(ourselves, reached.url, _depth(ours))
        if there:
            remote = LocalRemote(ourselves, there.folder, there.git)
        return _Opened(workspace, ourselves, objects, remote)

    return GitBranch(
        connect,
        branch,
        folders=ours,
        lock=BranchLock(private_folder(), f"{reached.url} {branch}"),
        signed=bool(key),
    )


def _depth(folders: Sequence[str]) -> int:
    """Levels of folders to bring together with a commit: all above ours; else the root and what it lists."""
    return min(len(split_path(folder)) for folder in folders) if folders else 2


def _rewritten(repository: str, variables: Mapping[str, str]) -> str:
    """The URL after the user's ``url.….insteadOf`` rules; they may put credentials into it."""
    asking = GitCommand(_NOWHERE)
    asking.use(git_environment(variables, [("remote.origin.url", repository)]))
    return asking.output("ls-remote", "--get-url", "origin")


def _origin(url: str) -> list[tuple[str, str]]:
    """Settings for the remote; the longest match wins, so no rule rewrites the URL again."""
    return [
        ("remote.origin.url", url),
        (f"url.{url}.insteadOf", url),
        (f"url.{url}.pushInsteadOf", url),
    ]


@dataclass(frozen=True, slots=True)
class _There:
    """A repository on this machine.

    Arguments:
        folder: its git folder.
        git: runs commands of it.
    """

    folder: Path
    object_format: str
    git: BareCommand


def _local_folder(repository: str, base: Path) -> Path | None:
    """The folder that `repository` names, if it is not a URL (gitmodules(5) on what is a path)."""
    if repository.startswith("file://"):
        return Path(unquote(urlsplit(repository).path))
    path = base / Path(repository).expanduser()
    is_url = "://" in repository or (":" in repository.partition("/")[0] and not path.exists())
    return None if is_url else Path(os.path.normpath(path.absolute()))  # people read it in messages


def _inspect(local: Path, variables: Mapping[str, str]) -> _There:
    inner = local / ".git"
    git = BareCommand(inner if inner.exists() else local)
    git.use(git_environment(variables))
    found = git.run("rev-parse", "--show-object-format", "--git-common-dir")
    if found.code:
        if "dubious ownership" in found.errors:
            raise explain(found.errors, str(local))
        held = "something else" if local.exists() else "nothing"
        raise UsageError(
            f"expected a git repository at {local}, found {held}",
            fix="check the path: that of 'iac.repository' is relative to delivery.yaml",
        )
    object_format, folder = found.output.decode().splitlines()
    return _There(Path(folder).absolute(), object_format, git)
