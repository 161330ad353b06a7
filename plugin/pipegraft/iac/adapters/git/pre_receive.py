"""What a push brings, as a server's hook sees it before the branches move; and what a commit is to hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from git.db import GitCmdObjectDB

from pipegraft.core.adapters.git_command import BareCommand, GitCommand
from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git.access import trusting
from pipegraft.iac.adapters.git.objects import Entry, Objects, parse_tree, root_of

__all__ = ["Received", "Update", "open_received", "open_staged"]

_EARLIER = 200
"""Commits of a file that are looked back at."""
_COMMIT = re.compile(
    rb"tree [0-9a-f]+\n(?:parent [0-9a-f]+\n)*"
    rb"author [^<>\n\0]*<[^<>\n\0]*> \d+ [+-]\d{4}\ncommitter [^<>\n\0]*<[^<>\n\0]*> \d+ [+-]\d{4}\n"
    rb"(?:(?:encoding UTF-8|(?:gpgsig|gpgsig-sha256|mergetag|HG:\w+) [^\n\0]*| [^\n\0]*)\n)*"
    rb"(?:\n[^\0]*)?",
    re.IGNORECASE,
)
"""A commit's lines (git-fsck(1)); a message in another encoding is read differently by different tools."""


@dataclass(frozen=True, slots=True)
class Update:
    """One reference that is to move: ``old new reference`` of githooks(5), zeros for none."""

    old: str
    new: str
    reference: str

    @property
    def creates(self) -> bool:
        """Whether the reference is new."""
        return not self.old.strip("0")

    @property
    def deletes(self) -> bool:
        """Whether the reference is to go."""
        return not self.new.strip("0")


class Received:
    """The repository a hook runs in; pushed objects are in quarantine and can be read already.

    Arguments:
        git: runs git with the hook's own environment.
        folder: the git folder.
    """

    def __init__(self, git: GitCommand, folder: Path) -> None:
        self._git = git
        object_format = git.output("rev-parse", "--show-object-format")
        self._objects = Objects(
            git, GitCmdObjectDB(folder / "objects", git) if object_format == "sha1" else None
        )
        self._roots: dict[str, str] = {}
        self._trees: dict[str, Mapping[bytes, Entry]] = {}

    def commit_of(self, name: str) -> str | None:
        """The commit that an object is, or that a tag leads to; None if there is none."""
        found = self._git.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return None if found.code else found.output.decode().strip()

    def is_rewrite(self, update: Update) -> bool:
        """Whether commits of the branch would be lost."""
        return self._git.run("merge-base", "--is-ancestor", update.old, update.new).code != 0

    def new_commits(self, new: str, old: str | None, beside: str | None = None) -> Sequence[str]:
        """Commits that are not checked yet, oldest first.

        Arguments:
            new: where a reference is to move to.
            old: where it is; what other branches have may have got there under other rules. None for a new
                one, whose commits are those that no branch has.
            beside: a branch that does not count among those.
        """
        others = [*([f"--exclude={beside}"] if beside else []), "--branches"]
        known = [f"^{old}"] if old else ["--not", *others]
        return self._git.output("rev-list", "--reverse", "--topo-order", new, *known).split()

    def parents(self, commit: str) -> Sequence[str]:
        """The commits that it is made on."""
        return self._git.output("rev-list", "--no-walk", "--parents", commit).split()[1:]

    def has_merges(self, old: str, new: str) -> bool:
        """Whether there is a merge among the commits that a branch gets."""
        return self._git.output("rev-list", "--min-parents=2", "--max-count=1", new, f"^{old}") != ""

    def written(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Kind and content of a commit, and of the tags that lead to it, as they are stored."""
        held = self._objects.get(name)
        while held is not None and held[0] == "tag":
            yield held
            held = self._objects.get(held[1].partition(b"\n")[0].removeprefix(b"object ").decode("latin-1"))
        if held is not None and held[0] == "commit":
            yield held

    def checks_objects(self) -> bool:
        """Whether git itself looks at what is pushed, before any hook does (git-config(1))."""
        settings = ("receive.fsckObjects", "transfer.fsckObjects")
        said = (self._git.run("config", "--type=bool", "--get", one).text for one in settings)
        return next(filter(None, said), "") == "true"  # the second counts where the first is not set

    def strange(self, new: str) -> Iterator[str]:
        """What is wrong with new commits and folders, so that others could read them otherwise."""
        options = ("--objects", "--no-object-names", "--filter=blob:none")
        found = self._git.run("rev-list", *options, new, "--not", "--all")
        if found.code:
            yield f"git cannot read what '{new}' leads to: {found.errors.strip()}"
            return
        for name, kind, content in self._objects.get_all(found.text.split()):
            if kind == "commit" and not _COMMIT.fullmatch(content):
                yield f"expected commit {name[:12]} as git writes it, found other lines in its head, or a NUL"
            elif kind == "tree":
                try:
                    self._trees[name] = parse_tree(content, len(name) // 2)
                except UsageError as error:
                    yield f"{error.problem.message} ({name[:12]})"

    def is_signed(self, commit: str) -> bool:
        """Whether a commit has a good signature of somebody who is trusted (git-log(1), ``%G?``)."""
        return self._git.run("log", "--max-count=1", "--format=%G?", commit).text == "G"

    def earlier(self, commit: str, path: str) -> Iterator[bytes]:
        """What a file held at a commit and before, newest first."""
        options = ("--format=%H", f"--max-count={_EARLIER}", "--full-history")
        for name in self._git.output("log", *options, commit, "--", f":(literal){path}").split():
            content = self.read(name, path)
            if content is not None:
                yield content

    def changed(self, before: str | None, after: str) -> Mapping[str, str]:
        """Path → new mode of what differs between two commits; all of the second if there is no first.

        Renamed files are one that is gone and one that is new. A mode of zeros means gone.
        """
        options = ("-r", "-z", "--raw", "--no-abbrev", "--root", "--no-commit-id", "--no-renames")
        commits = [before, after] if before else [after]
        return _paths(self._git.run("diff-tree", *options, *commits).output)

    def staged(self) -> Mapping[str, str]:
        """As `changed`, of what the next commit is to hold."""
        options = ("--cached", "-z", "--raw", "--no-abbrev", "--no-renames")
        head = self.commit_of("HEAD") or self._git.output("hash-object", "-t", "tree", os.devnull)
        return _paths(self._git.run("diff-index", *options, head).output)

    def read(self, commit: str, path: str) -> bytes | None:
        """What a file holds at a commit, or in the index if `commit` is empty; None if there is no file."""
        if not commit:
            found = self._git.run("cat-file", "blob", f":{path}")
            return None if found.code else found.output
        folder, _, name = path.rpartition("/")
        entry = self._folder(commit, folder).get(os.fsencode(name))
        held = self._objects.get(entry.name) if entry and entry.kind == "blob" else None
        return held[1] if held else None

    def names(self, commit: str, folder: str) -> Sequence[str]:
        """Names of what is in a folder, which ends with a slash, as folders there do.

        If `commit` is empty: all paths of the index below it.
        """
        if commit:
            entries = self._folder(commit, folder.rstrip("/"))
            return [os.fsdecode(name) + "/" * (entry.kind == "tree") for name, entry in entries.items()]
        listed = self._git.run("ls-files", "-z", "--", f":(literal){folder}").output.split(b"\0")
        return [os.fsdecode(path).removeprefix(folder) for path in listed if path]

    def _folder(self, commit: str, path: str) -> Mapping[bytes, Entry]:
        """What a folder holds at a commit; nothing if it is none."""
        if commit not in self._roots:
            found = self.commit_of(commit)
            held = self._objects.get(found) if found else None
            self._roots[commit] = root_of(held[1]) if held else ""
        entries = self._tree(self._roots[commit]) if self._roots[commit] else {}
        for part in path.split("/") if path else ():
            entry = entries.get(os.fsencode(part))
            entries = self._tree(entry.name) if entry and entry.kind == "tree" else {}
        return entries

    def _tree(self, name: str) -> Mapping[bytes, Entry]:
        if name not in self._trees:
            held = self._objects.get(name)
            self._trees[name] = parse_tree(held[1], len(name) // 2) if held else {}
        return self._trees[name]


def _paths(output: bytes) -> dict[str, str]:
    """Path → new mode (git-diff-tree(1), "Raw output format")."""
    fields = iter(output.split(b"\0"))
    return {os.fsdecode(next(fields)): head.split()[1].decode() for head in fields if head}


def open_received(
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    signers: Path | None = None,
) -> Received:
    """The repository of the running hook.

    Arguments:
        folder: a git folder; the one git tells its hooks if None.
        environment: variables, quarantine included; those of this process if None.
        signers: file of SSH keys that may sign; git's own settings if None.
    """
    variables = os.environ if environment is None else environment
    return _received(folder or Path(variables.get("GIT_DIR", ".")).absolute(), variables, signers)


def open_staged() -> Received:
    """The repository of this folder, whose index is to be committed.

    Raises:
        UsageError: there is none.
    """
    here = GitCommand()
    here.use(os.environ)
    found = here.run("rev-parse", "--absolute-git-dir")
    if found.code:
        raise UsageError(f"expected a git repository in {Path.cwd()}, found none", fix="run this in a clone")
    return _received(Path(os.fsdecode(found.output).strip()), os.environ)


def _received(folder: Path, environment: Mapping[str, str], signers: Path | None = None) -> Received:
    """What is pushed cannot make us read something else in its place (git-replace(1))."""
    git = BareCommand(folder)
    git.use({**trusting(signers, environment), "LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1"})
    return Received(git, folder)
