"""Where a branch lives, whose turn at it is, and how what we need of it gets into our folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from pipegraft.core.adapters.git_command import BareCommand, BareRepository, GitCommand, git_environment
from pipegraft.core.errors import Unreachable, UsageError
from pipegraft.iac.adapters.failures import explain, explain_rejection
from pipegraft.iac.adapters.git.access import access

__all__ = [
    "BranchLock",
    "FetchedRemote",
    "LocalRemote",
    "Remote",
    "Workspace",
    "clone_newest",
    "private_folder",
    "shallow_commits",
]


class Remote(Protocol):
    """Brings objects of a repository into our folder, from where they are read."""

    @property
    def name(self) -> str:
        """The repository, for messages."""

    @property
    def partial(self) -> bool:
        """Whether objects must be brought before they can be read."""

    @property
    def packs(self) -> int:
        """How often something was brought: each time leaves a file in our folder."""

    def tip(self, branch: str, *, to_push: bool = False) -> str:
        """Object name of the branch's newest commit.

        Arguments:
            to_push: a push is likely to follow, so what it takes is brought along.
        """

    def bring_commit(self, commit: str) -> None:
        """Bring one commit and its uppermost folders."""

    def bring_objects(self, names: Sequence[str], *, below: bool) -> None:
        """Bring trees and blobs, with everything below them if asked."""

    def bring_history(self, branch: str, depth: int | None) -> bool:
        """Bring the commits of the branch, without trees, back from its tip.

        Arguments:
            depth: how many generations; all if None.

        Returns:
            Whether these are all there are.
        """

    def push(self, made: str, branch: str, parent: str) -> None:
        """Compare-and-swap: move the branch from `parent` to `made`, or change nothing.

        Raises:
            TipMoved: the branch is elsewhere by now.
            PipegraftError: the remote did not answer, or did not take it.
        """


class LocalRemote:
    """A repository on this machine: its objects are read where they lie.

    Arguments:
        repository: our own, whose remote ``origin`` is the other one.
        folder: the other one's git folder.
        there: runs git on it.
    """

    partial = False
    packs = 0

    def __init__(self, repository: BareRepository, folder: Path, there: BareCommand) -> None:
        self.name = str(folder)
        self._repository = repository
        self._there = there
        self._folder = folder
        alternates = Path(repository.git_dir) / "objects" / "info" / "alternates"
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(f"{folder / 'objects'}\n")

    def tip(self, branch: str, *, to_push: bool = False) -> str:  # noqa: ARG002 - a branch is what it is
        found = self._there.run("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
        if found.code == 1:
            raise _missing_branch(self.name, branch)
        if found.code:
            raise explain(found.errors, self.name)
        return found.output.decode().strip()

    def bring_commit(self, commit: str) -> None:
        """Nothing to do: see the class."""

    def bring_objects(self, names: Sequence[str], *, below: bool) -> None:
        """Nothing to do: see the class."""

    def bring_history(self, branch: str, depth: int | None) -> bool:  # noqa: ARG002 - see the class
        cut = shallow_commits(self._folder)
        if cut:  # else git would look for the parents that are not there
            lines = "".join(f"{name}\n" for name in sorted(cut))
            (Path(self._repository.git_dir) / "shallow").write_text(lines)
        return not cut

    def push(self, made: str, branch: str, parent: str) -> None:
        _push(self._repository, self.name, made, branch, parent)


class FetchedRemote:
    """Any repository that `git fetch` can reach.

    Filters are tried from the smallest answer to the largest: ``tree:N``, ``blob:none``, none at all.

    Arguments:
        repository: our own, whose remote ``origin`` is the other one.
        name: the repository, for messages.
        depth: levels of folders to bring together with a commit.
    """

    partial = True

    def __init__(self, repository: BareRepository, name: str, depth: int) -> None:
        self.name = name
        self.packs = 0
        self._repository = repository
        self._depth = depth
        self._filters = ["tree", "blob:none", ""]
        self._tip = ""
        self._whole = False

    def tip(self, branch: str, *, to_push: bool = False) -> str:
        wanted = f"refs/heads/{branch}"
        if self._tip and not to_push:
            wanted = self._look(wanted) or wanted
        if wanted == self._tip:
            return self._tip
        tracking = f"refs/remotes/origin/{branch}"  # whose commits the next fetch tells that it has
        self._fetch(f"tree:{self._depth}", self._newest(), [f"+{wanted}:{tracking}"])
        self._tip = self._repository.git.output("rev-parse", "--verify", tracking)
        return self._tip

    def _newest(self) -> list[str]:
        """Options that bring no older commits, once all of them are here none: they would be cut off."""
        return [] if self._whole else ["--depth=1"]

    def _look(self, reference: str) -> str:
        looked = self._repository.git.run("ls-remote", "origin", reference)
        if looked.code:
            raise explain(looked.errors, self.name)
        return looked.output.decode().partition("\t")[0]

    def bring_commit(self, commit: str) -> None:
        if commit != self._tip:
            self._fetch(f"tree:{self._depth}", self._newest(), [commit])

    def bring_objects(self, names: Sequence[str], *, below: bool) -> None:
        if self._filters[0]:
            self._fetch("" if below else "tree:0", [], names, _ASKING_ANEW)

    def bring_history(self, branch: str, depth: int | None) -> bool:
        if not self._whole:
            cut = shallow_commits(Path(self._repository.git_dir))
            options = [f"--depth={depth}"] if depth else ["--unshallow"] if cut else []
            self._fetch("tree:0", options, [f"refs/heads/{branch}"])
            self._whole = not shallow_commits(Path(self._repository.git_dir))
        return self._whole

    def push(self, made: str, branch: str, parent: str) -> None:
        _push(self._repository, self.name, made, branch, parent)

    def _fetch(
        self, trees: str, options: Iterable[str], wanted: Sequence[str], settings: Iterable[str] = ()
    ) -> None:
        """Fetch as a partial clone does, so that git accepts what the filter leaves out.

        Arguments:
            trees: the tree filter wished for; none if empty.
            settings: of git, for this fetch.
        """
        git = self._repository.git
        fixed = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", *options)
        while True:
            kept = trees if self._filters[0] == "tree" or not trees else self._filters[0]
            limit = f"--filter={kept}" if kept else "--no-filter"
            fetched = git(c=[*_PROMISING, *settings]).run("fetch", *fixed, limit, "origin", *wanted)
            if not fetched.code:
                self.packs += 1
                return
            if "couldn't find remote ref" in fetched.errors:
                raise _missing_branch(self.name, wanted[0].partition(":")[0].removeprefix("+refs/heads/"))
            if "filter" not in fetched.errors or len(self._filters) == 1:
                raise explain(fetched.errors, self.name)
            del self._filters[0]


_PROMISING = ("remote.origin.promisor=true", "remote.origin.partialCloneFilter=tree:0")
"""Settings of one fetch: written down, they would make git fetch by itself whatever is read and not here."""


_ASKING_ANEW = ("fetch.negotiationAlgorithm=noop",)
"""Else the server leaves out what belongs to a commit that we have without all of its files."""


def _push(repository: BareRepository, name: str, made: str, branch: str, parent: str) -> None:
    """`Remote.push`: the exact lease makes it a pure compare-and-swap.

    Without the lease git would fetch what the branch holds, to say how the two differ.
    """
    reference = f"refs/heads/{branch}"
    lease = f"--force-with-lease={reference}:{parent}"
    pushed = repository.git.run("push", "--porcelain", lease, "origin", f"{made}:{reference}")
    if pushed.code:
        lines = pushed.output.decode("utf-8", "replace").splitlines()
        refused = next((line.split("\t")[-1] for line in lines if line.startswith("!")), "")
        raise explain_rejection(refused, pushed.errors, name, branch)


def shallow_commits(folder: Path) -> set[str]:
    """Commits whose parents are not in a git folder (gitrepository-layout(5), ``shallow``)."""
    try:
        return set((folder / "shallow").read_text().split())
    except FileNotFoundError:
        return set()


def _missing_branch(repository: str, branch: str) -> UsageError:
    return UsageError(
        f"expected a branch '{branch}' in {repository}, there is none",
        fix="check 'iac.branch' in delivery.yaml, or push a first commit to that branch",
    )


class BranchLock:
    """Turns at one branch: who waits here does not race on the server.

    Nobody waits for ever: after `patience` a writer goes on without a turn, since the push is a
    compare-and-swap anyway.

    Arguments:
        parent: a folder that this user's processes share.
        key: what is written to.
        patience: seconds to wait at most.
    """

    def __init__(self, parent: Path, key: str, patience: float = 60.0) -> None:
        file = parent / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.turn"
        self._lock = FileLock(file, timeout=patience, poll_interval=0.02)

    @contextlib.contextmanager
    def wait(self) -> Iterator[None]:
        """Hold the turn while the block runs."""
        with contextlib.ExitStack() as held:
            with contextlib.suppress(Timeout):
                held.enter_context(self._lock)
            yield


class Workspace:
    """A folder nobody else uses, gone when this process is.

    Beside each folder lies a lock file that its process holds. A folder whose lock can be taken belongs to
    nobody any more; whoever comes next removes it.

    Arguments:
        parent: where the folders of all processes of this user lie, see `private_folder`.
    """

    def __init__(self, parent: Path) -> None:
        for left in parent.glob("*.lock"):
            lock = FileLock(left, timeout=0, thread_local=False)
            with contextlib.suppress(Timeout), lock:
                _remove(lock)
        lock = FileLock(parent / f"{secrets.token_hex(8)}.lock", thread_local=False)
        lock.acquire()
        self.path = Path(lock.lock_file).with_suffix("")
        self.path.mkdir(mode=0o700)
        self.close = weakref.finalize(self, _remove, lock)
        """Remove the folder now instead of at exit."""


def _remove(lock: FileLock) -> None:
    """Remove a workspace; who waits for its lock file meanwhile finds out and makes another."""
    file = Path(lock.lock_file)
    shutil.rmtree(file.with_suffix(""), ignore_errors=True)
    file.unlink(missing_ok=True)
    lock.release()


def private_folder() -> Path:
    """A folder for the processes of this user, which nobody else can enter."""
    folder = Path(tempfile.gettempdir()) / f"pipegraft-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        return Path(tempfile.mkdtemp(prefix="pipegraft-"))  # somebody else made it: not to be trusted
    return folder


def clone_newest(repository: str, branch: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Clone a branch without its history, to look at.

    Arguments:
        repository: URL.
        folder: where to; it must not exist.
        environment: variables with the credentials, see `access`.

    Raises:
        Unreachable: it could not be read; the folder may hold a part of it.
    """
    reached = access(repository, environment)
    git = GitCommand(Path("/"))
    git.use(git_environment(environment, reached.settings, reached.variables), reached.secrets)
    options = ("-q", "--depth", "1", "--single-branch", "--no-tags", "--branch", branch)
    done = git.run("clone", *options, "--", reached.url, str(folder.absolute()))
    if done.code:
        raise Unreachable(f"{reached.url} cannot be cloned: {done.errors.strip()}", fix="run this again")
