"""Where a branch lives, and how what we need of it gets into our folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git.failures import explain, explain_rejection
from pipegraft.iac.adapters.git.process import Git

__all__ = ["FetchedRemote", "LocalRemote", "Remote", "missing_branch", "push_by_git"]


class Remote(Protocol):
    """Brings objects of a repository into our folder, from where they are read."""

    @property
    def name(self) -> str:
        """The repository, for messages."""

    @property
    def partial(self) -> bool:
        """Whether objects must be brought before they can be read."""

    def tip(self, branch: str, *, to_push: bool = False) -> str:
        """Object name of the branch's newest commit.

        Arguments:
            to_push: ask where a push would go to, since one is likely to follow.
        """

    def bring_commit(self, commit: str, depth: int) -> None:
        """Bring one commit and what lies less than `depth` folders below its root, at least."""

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
        git: our own folder.
        folder: the other repository's git folder.
    """

    partial = False

    def __init__(self, git: Git, folder: Path) -> None:
        self.name = str(folder)
        self._git = git
        self._there = Git(folder, git.environment, git.secrets, git.timeout)
        assert git.folder is not None  # noqa: S101 - our own folder exists
        alternates = git.folder / "objects" / "info" / "alternates"
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(f"{folder / 'objects'}\n")

    def tip(self, branch: str, *, to_push: bool = False) -> str:  # noqa: ARG002 - `git push` asks by itself
        found = self._there.run("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
        if found.code == 1:
            raise missing_branch(self.name, branch)
        if found.code:
            raise explain(found.errors, self.name)
        return found.output.decode().strip()

    def bring_commit(self, commit: str, depth: int) -> None:
        """Nothing to do: see the class."""

    def bring_objects(self, names: Sequence[str], *, below: bool) -> None:
        """Nothing to do: see the class."""

    def bring_history(self, branch: str, depth: int | None) -> bool:  # noqa: ARG002 - see the class
        cut = self._there.shallow()
        if cut:  # else git would look for the parents that are not there
            self._git.cut(cut)
        return not cut

    def push(self, made: str, branch: str, parent: str) -> None:
        push_by_git(self._git, self.name, made, branch, parent)


class FetchedRemote:
    """Any repository that `git fetch` can reach.

    Filters are tried from the smallest answer to the largest: ``tree:N``, ``blob:none``, none at all.

    Arguments:
        git: our own folder, whose remote ``origin`` is the repository.
        name: the repository, for messages.
    """

    partial = True

    def __init__(self, git: Git, name: str) -> None:
        self.name = name
        self._git = git
        self._filters = ["tree", "blob:none", ""]

    def tip(self, branch: str, *, to_push: bool = False) -> str:  # noqa: ARG002 - `git push` asks by itself
        looked = self._git.run("ls-remote", "origin", f"refs/heads/{branch}")
        if looked.code:
            raise explain(looked.errors, self.name)
        found = looked.output.decode().split()
        if not found:
            raise missing_branch(self.name, branch)
        return found[0]

    def bring_commit(self, commit: str, depth: int) -> None:
        self._fetch(f"tree:{depth}", ["--depth=1"], [commit])

    def bring_objects(self, names: Sequence[str], *, below: bool) -> None:
        if self._filters[0]:
            self._fetch("" if below else "tree:0", [], names)

    def bring_history(self, branch: str, depth: int | None) -> bool:
        unshallow = ["--unshallow"] if self._git.shallow() else []
        self._fetch("tree:0", [f"--depth={depth}"] if depth else unshallow, [f"refs/heads/{branch}"])
        return not self._git.shallow()

    def push(self, made: str, branch: str, parent: str) -> None:
        push_by_git(self._git, self.name, made, branch, parent)

    def _fetch(self, trees: str, options: Sequence[str], wanted: Sequence[str]) -> None:
        """Fetch as a partial clone does, so that git accepts what the filter leaves out.

        Arguments:
            trees: the tree filter wished for; none if empty.
        """
        fixed = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no")
        while True:
            kept = trees if self._filters[0] == "tree" or not trees else self._filters[0]
            command = ["fetch", *fixed, *options, *([f"--filter={kept}"] if kept else []), "origin", *wanted]
            fetched = self._git.run("-c", "remote.origin.promisor=true", *command)
            if not fetched.code:
                return
            if "filter" not in fetched.errors or len(self._filters) == 1:
                raise explain(fetched.errors, self.name)
            del self._filters[0]


def push_by_git(git: Git, repository: str, made: str, branch: str, parent: str) -> None:
    """`Remote.push` by `git push`: the exact lease makes it a pure compare-and-swap.

    Without the lease git would fetch what the branch holds, to say how the two differ.

    Arguments:
        git: our own folder, whose remote ``origin`` is the repository.
        repository: its name, for messages.
    """
    reference = f"refs/heads/{branch}"
    lease = f"--force-with-lease={reference}:{parent}"
    pushed = git.run("push", "--porcelain", lease, "origin", f"{made}:{reference}")
    if pushed.code:
        lines = pushed.output.decode("utf-8", "replace").splitlines()
        refused = next((line.split("\t")[-1] for line in lines if line.startswith("!")), "")
        raise explain_rejection(refused, pushed.errors, repository, branch)


def missing_branch(repository: str, branch: str) -> UsageError:
    """The error for a branch that is not there."""
    return UsageError(
        f"expected a branch '{branch}' in {repository}, there is none",
        fix="check 'iac.branch' in delivery.yaml, or push a first commit to that branch",
    )
