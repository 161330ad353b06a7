"""Where a branch lives, and how what we need of it gets into our folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipegraft.adapters.git.failures import explain
from pipegraft.adapters.git.process import Git
from pipegraft.errors import UsageError

__all__ = ["FetchedRemote", "LocalRemote", "Remote", "missing_branch"]


class Remote(Protocol):
    """Brings objects into a repository folder; what is there already is not asked for again."""

    @property
    def name(self) -> str:
        """The repository, for messages."""

    def tip(self, branch: str) -> str:
        """Object name of the branch's newest commit."""

    def bring_commit(self, branch: str, commit: str, depth: int) -> None:
        """Bring a commit of the branch, and its trees down to `depth` folders below the root at least."""

    def bring_object(self, name: str) -> None:
        """Bring a tree or blob, and what is below it if that is cheap."""

    def bring_history(self, branch: str, names: Sequence[str], *, trees: bool = False) -> None:
        """Bring commits from the tip back to the older of `names`; back to the first if there are none.

        Arguments:
            trees: bring the trees of each commit too.
        """


class LocalRemote:
    """A repository on this machine: its objects are read where they lie.

    Arguments:
        git: our own folder.
        folder: the other repository's git folder.
    """

    def __init__(self, git: Git, folder: Path) -> None:
        self.name = str(folder)
        self._there = Git(folder, git.environment, git.secrets, git.timeout)
        assert git.folder is not None  # noqa: S101 - our own folder exists
        alternates = git.folder / "objects" / "info" / "alternates"
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(f"{folder / 'objects'}\n")

    def tip(self, branch: str) -> str:
        found = self._there.run("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
        if found.code == 1:
            raise missing_branch(self.name, branch)
        if found.code:
            raise explain(found.errors, self.name)
        return found.output.decode().strip()

    def bring_commit(self, branch: str, commit: str, depth: int) -> None:
        """Nothing to do: see the class."""

    def bring_object(self, name: str) -> None:
        """Nothing to do: see the class."""

    def bring_history(self, branch: str, names: Sequence[str], *, trees: bool = False) -> None:
        """Nothing to do: see the class."""


class FetchedRemote:
    """Any repository git can fetch from. Objects that are missing are fetched by git itself when read.

    Arguments:
        git: our own folder, whose remote ``origin`` is the repository.
        name: the repository, for messages.
    """

    def __init__(self, git: Git, name: str) -> None:
        self.name = name
        self._git = git
        self._whole = False

    def tip(self, branch: str) -> str:
        looked = self._git.run("ls-remote", "origin", f"refs/heads/{branch}")
        if looked.code:
            raise explain(looked.errors, self.name)
        found = looked.output.decode().split()
        if not found:
            raise missing_branch(self.name, branch)
        return found[0]

    def bring_commit(self, branch: str, commit: str, depth: int) -> None:  # noqa: ARG002 - by name
        if not self._whole:
            self._fetch("--depth=1", f"--filter=tree:{depth + 1}", commit)

    def bring_object(self, name: str) -> None:
        """Nothing to do: git fetched it, or it does not exist."""

    def bring_history(self, branch: str, names: Sequence[str], *, trees: bool = False) -> None:  # noqa: ARG002
        shallow = self._git.output("rev-parse", "--is-shallow-repository") == "true"
        kept = "--filter=blob:none" if trees else "--filter=tree:0"
        self._fetch(*(["--unshallow"] if shallow else []), kept, f"refs/heads/{branch}")
        self._whole = True

    def _fetch(self, *arguments: str) -> None:
        fetched = self._git.run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *arguments[:-1], "origin", arguments[-1]
        )
        if fetched.code:
            raise explain(fetched.errors, self.name)


def missing_branch(repository: str, branch: str) -> UsageError:
    """The error for a branch that is not there."""
    return UsageError(
        f"expected a branch '{branch}' in {repository}, there is none",
        fix="check 'iac.branch' in delivery.yaml, or push a first commit to that branch",
    )
