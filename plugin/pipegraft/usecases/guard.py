"""`pipegraft guard`: refuses what must not enter an IaC repository, on the server or before a commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pipegraft.adapters.git.received import Received, Update
from pipegraft.domain.guard.checks import check_files
from pipegraft.domain.guard.rules import GUARD_FILE, GuardRules, read_rules
from pipegraft.domain.resources.binding import Platform
from pipegraft.errors import Place, Problem, UsageError

__all__ = ["check_push", "check_work_tree", "parse_updates", "pusher_name"]

_PUSHERS = ("PIPEGRAFT_PUSHER", "GL_USERNAME", "GITEA_PUSHER_NAME", "REMOTE_USER", "GL_ID", "USER")


def pusher_name(environment: Mapping[str, str]) -> str:
    """Who pushes, as GitLab, Gitea, a web server or sshd tells the hook."""
    return next((environment[name] for name in _PUSHERS if environment.get(name)), "")


def parse_updates(lines: Iterable[str]) -> list[Update]:
    """Lines of a pre-receive hook's standard input.

    Raises:
        UsageError: a line is not ``old new reference``.
    """
    updates = []
    for line in lines:
        words = line.split()
        if len(words) != 3:
            raise UsageError(f"expected 'OLD NEW REFERENCE', found {line.strip()!r}")
        updates.append(Update(*words))
    return updates


def check_push(
    received: Received, updates: Sequence[Update], pusher: str, platform: Platform
) -> list[Problem]:
    """Everything wrong with a push; nothing of it may be taken unless this is empty.

    Arguments:
        received: the repository of the hook.
        updates: what is to move.
        pusher: who pushes.
        platform: what resources are provided by.
    """
    return [
        problem
        for update in updates
        if update.reference.startswith("refs/heads/")
        for problem in _check_update(received, update, pusher, platform)
    ]


def check_work_tree(folder: Path, paths: Sequence[str], platform: Platform) -> list[Problem]:
    """Everything wrong with files on disk, before they are committed.

    Arguments:
        folder: root of the IaC repository.
        paths: the files, relative to it.
        platform: what resources are provided by.
    """

    def read(path: str) -> str | None:
        try:
            return (folder / path).read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            return None

    return check_files(paths, None, read, read_rules(read(GUARD_FILE)), platform)


def _check_update(received: Received, update: Update, pusher: str, platform: Platform) -> Iterator[Problem]:
    branch = update.reference.removeprefix("refs/heads/")
    if update.deletes:
        yield Problem(f"branch '{branch}' would be deleted", None, "keep it: its commits are the audit")
        return
    if not update.creates and received.is_rewrite(update):
        yield Problem(
            f"the history of branch '{branch}' would be rewritten",
            None,
            "pull, put your commits on top, and push without --force",
        )
        return
    rules = read_rules(received.read("HEAD" if update.creates else update.old, GUARD_FILE))
    for commit in received.new_commits(update):
        yield from _check_commit(received, commit, rules, pusher, platform)


def _check_commit(
    received: Received, commit: str, rules: GuardRules, pusher: str, platform: Platform
) -> Iterator[Problem]:
    paths = received.changed(commit)
    for path in paths:
        if not rules.allows(pusher, path):
            yield Problem(
                f"'{pusher or 'nobody'}' may not change this file",
                Place(path),
                f"ask an owner of {GUARD_FILE}, or leave it out of the push",
            )
    yield from check_files(
        paths,
        lambda path: received.read(f"{commit}^1", path),
        lambda path: received.read(commit, path),
        rules,
        platform,
    )
