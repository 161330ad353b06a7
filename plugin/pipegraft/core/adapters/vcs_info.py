"""What git says of the source repository when no CI system says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipegraft.core.adapters.git_command import GitCommand, parse_batch
from pipegraft.core.errors import UsageError
from pipegraft.core.release import Source

__all__ = ["SourceCommit", "SourceLog", "default_branch", "ignored_files", "read_source"]


def read_source(root: Path, number: str | None = None, recorded: Source | None = None) -> Source:
    """The commit checked out, numbered by how many commits lead to it.

    Arguments:
        root: a folder of the repository.
        number: the release's number, if the user gives one.
        recorded: what a record says of a commit; if it is this one, nothing is counted again.

    Raises:
        UsageError: not a git repository, without a commit, or a shallow clone, which cannot be counted.
    """
    git = GitCommand(root)
    commit, shallow = _ask(git, root, "rev-parse", "HEAD^{commit}", "--is-shallow-repository").split()
    if number is not None:
        if not number.isdecimal():
            raise UsageError(f"PIPEGRAFT_RELEASE_NUMBER: expected a whole number, found {number!r}")
        return Source(commit=commit, number=int(number), pipeline="local")
    if recorded is not None and recorded.commit == commit:
        return recorded
    if shallow == "true":
        raise UsageError(
            f"a shallow clone does not say which release is newer: {root}",
            fix="set PIPEGRAFT_RELEASE_NUMBER to a number that rises with every pipeline, or unshallow",
        )
    return Source(commit=commit, number=int(_ask(git, root, "rev-list", "--count", "HEAD")), pipeline="local")


def default_branch(root: Path) -> str:
    """The default branch of the remote ``origin`` as the last clone or fetch saw it; empty if nobody did."""
    done = GitCommand(root).run("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    return done.text.strip().removeprefix("origin/")


def ignored_files(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Those of some files that git is told to ignore; none outside of a repository.

    Arguments:
        root: a folder.
        names: paths relative to it.
    """
    if not names:
        return ()
    asked = "\0".join(names).encode("utf-8", "surrogateescape")
    done = GitCommand(root).run("check-ignore", "-z", "--stdin", stdin=asked)
    return tuple(name for name in done.text.split("\0") if name)


@dataclass(frozen=True, slots=True)
class SourceCommit:
    """A commit of the source repository.

    Arguments:
        subject: first line of its message.
        author: who wrote it.
        time: committer time, seconds since the epoch.
        signature: one letter, as ``%G?`` of git-log(1) has it, and who signed.
    """

    subject: str
    author: str
    time: float
    signature: tuple[str, str]


class SourceLog:
    """The source repository's own history, as far as this clone has it.

    Arguments:
        root: a folder of it; one that is in no repository knows nothing.
    """

    def __init__(self, root: Path) -> None:
        self._git = GitCommand(root)
        self.exists = self._git.run("rev-parse", "--git-dir").code == 0

    def commit(self, name: str) -> SourceCommit | None:
        """One commit, None if it is not here."""
        if not self._has(name):
            return None
        told = self._git.output("log", "-1", "--format=%s%x00%an <%ae>%x00%ct%x00%G?%x00%GS", name)
        subject, author, time, letter, signer = told.split("\0")
        return SourceCommit(subject, author, float(time), (letter, signer))

    def leads_to(self, older: str, newer: str) -> bool | None:
        """Whether `newer` is `older` or descends from it; None if this clone is too shallow to tell."""
        if older == newer:
            return True
        if not (self._has(older) and self._has(newer)):
            return None
        return self._is_ancestor(older, newer)

    def on_branch(self, name: str) -> bool | None:
        """Whether what is checked out contains a commit; None if this clone is too shallow to tell."""
        return self._is_ancestor(name, "HEAD")

    def _is_ancestor(self, older: str, newer: str) -> bool | None:
        if self._git.run("merge-base", "--is-ancestor", older, newer).code == 0:
            return True
        return None if self._git.run("rev-parse", "--is-shallow-repository").text == "true" else False

    def times(self, commits: Iterable[str]) -> Mapping[str, float]:
        """Committer times of those commits that are here, by one process."""
        asked = "".join(f"{name}\n" for name in dict.fromkeys(commits) if _NAME.fullmatch(name))
        if not (self.exists and asked):
            return {}
        output = self._git.run("cat-file", "--batch", "--buffer", stdin=asked.encode()).output
        found: dict[str, float] = {}
        for name, kind, content in parse_batch(output):
            header = content.partition(b"\n\n")[0]
            committer = re.search(rb"^committer .* (\d+) [+-]\d+$", header, re.MULTILINE)
            if kind == "commit" and committer:
                found[name] = float(committer[1])
        return found

    def _has(self, name: str) -> bool:
        if not (self.exists and _NAME.fullmatch(name)):
            return False
        return self._git.run("cat-file", "-e", f"{name}^{{commit}}").code == 0


_NAME = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def _ask(git: GitCommand, root: Path, name: str, *words: str) -> str:
    done = git.run(name, *words)
    if done.code:
        raise UsageError(
            f"expected a git repository with a commit at {root}, found: {_first_line(done.errors)}",
            fix="run inside the source repository and commit first",
        )
    return done.text.strip()


def _first_line(said: str) -> str:
    """What git complains about, without its advice on how to name revisions."""
    return next(iter(said.splitlines()), "").removeprefix("fatal: ")
