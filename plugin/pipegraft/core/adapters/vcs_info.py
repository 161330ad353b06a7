"""The source repository: what git says of its commits, what lies on disk, and new ones beside it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipegraft.core.adapters.git_command import Finished, GitCommand, git_environment, parse_batch
from pipegraft.core.errors import OutsideError, UsageError
from pipegraft.core.release import Source

__all__ = [
    "Revision",
    "SourceCommit",
    "SourceLog",
    "create_repository",
    "default_branch",
    "ignored_files",
    "origin_url",
    "read_source",
    "source_files",
]

_NAME = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_NOT_OURS = {
    "node_modules", "vendor", "dist", "build", "target", "venv", ".venv", "__pycache__", ".git", ".pipegraft"
}  # fmt: skip
_NOBODY = {
    **{f"GIT_{who}_NAME": "Pipegraft" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "pipegraft@localhost" for who in ("AUTHOR", "COMMITTER")},
}


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
        environment: variables that say whose signatures count; those of this process if None.
    """

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self._git = GitCommand(root)
        if environment is not None:
            self._git.use(git_environment(environment))
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


def _ask(git: GitCommand, root: Path, name: str, *words: str) -> str:
    done = git.run(name, *words)
    if done.code and "dubious ownership" in done.errors:
        raise UsageError(
            f"git refuses {root}: it belongs to another user than the one of this job",
            fix=f"run: git config --global --add safe.directory {root.absolute()}",
        )
    if done.code:
        raise UsageError(
            f"expected a git repository with a commit at {root}, found: {_first_line(done.errors)}",
            fix="run inside the source repository and commit first",
        )
    return done.text.strip()


def _first_line(said: str) -> str:
    """What git complains about, without its advice on how to name revisions."""
    return next(iter(said.splitlines()), "").removeprefix("fatal: ")


class Revision:
    """A commit seen from a folder of the repository's work tree.

    Arguments:
        folder: the folder.
        name: a commit, branch or tag, or another name git understands, such as ``HEAD~2``.

    Raises:
        UsageError: the folder is in no repository, or there is no such commit.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._git = GitCommand(folder)
        self.name = name
        found = self._git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found.code:
            inside = self._git.run("rev-parse", "--git-dir")
            raise UsageError(
                f"expected a commit '{name}' of the repository at {folder}, found none"
                if inside.code == 0
                else f"expected a git repository at {folder}, found: {_said(inside)}",
                fix="name a commit, branch or tag; 'git log' lists commits",
            )
        self.commit = found.text

    def read(self, path: str) -> str | None:
        """Text of a file, None if the commit has none.

        Arguments:
            path: relative to the folder.

        Raises:
            UsageError: it is not UTF-8.
        """
        found = self._git.run("cat-file", "blob", f"{self.commit}:./{path}")
        if found.code:
            return None
        try:
            return found.output.decode()
        except UnicodeDecodeError:
            raise UsageError(f"expected {self.name}:{path} to be text in UTF-8") from None

    def names(self, path: str) -> list[str]:
        """Names in a folder of the commit; none if there is no such folder."""
        found = self._git.run("ls-tree", "--full-tree", "--name-only", "-z", f"{self.commit}:./{path}")
        return [name for name in found.output.decode().split("\0") if name] if found.code == 0 else []


def _said(done: Finished) -> str:
    return done.errors.strip()


def source_files(root: Path) -> list[str]:
    """Files of a folder that belong to its sources, relative to it: what git does not ignore, sorted."""
    done = _run(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if done.code == 0:
        return sorted(name for name in set(done.text.split("\0")) if name and (root / name).is_file())
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in files]
    return sorted(found)


def origin_url(root: Path) -> str:
    """URL of a repository's remote ``origin``, empty if it has none."""
    return _run(root, "config", "remote.origin.url").text.strip()


def create_repository(folder: Path, files: Mapping[str, str], branch: str, message: str) -> None:
    """Make a git repository with one commit, whole or not at all.

    It has a work tree, which follows what is pushed (git-config(1), `receive.denyCurrentBranch`).

    Arguments:
        folder: does not exist, or is empty.
        files: path → text.

    Raises:
        OutsideError: git failed, or the disk did.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as draft:
            new = Path(draft) / "new"
            for name, text in files.items():
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
            _git(new, "init", "-q", "-b", branch)
            _git(new, "config", "receive.denyCurrentBranch", "updateInstead")
            _git(new, "add", "-A")
            _git(new, "commit", "-q", "-m", message)
            if folder.is_dir():
                folder.rmdir()
            shutil.move(new, folder)
    except OSError as error:
        raise OutsideError(f"cannot make the repository {folder}: {error}") from error


def _git(folder: Path, *words: str) -> None:
    done = _run(folder, *words)
    if done.code:
        raise OutsideError(f"git {words[0]} failed: {done.errors.strip()}")


def _run(folder: Path, *words: str) -> Finished:
    """Git in a folder; who commits is asked of git itself, and is Pipegraft where it does not know."""
    git = GitCommand(folder)
    if words[0] == "commit" and git.run("config", "user.email").code:
        git.use({**_NOBODY, **git_environment(os.environ)})
    return git.run(*words)
