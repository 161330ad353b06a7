"""A source repository as it lies on disk, and new repositories beside it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipegraft.core.adapters.git_command import Finished, GitCommand, git_environment
from pipegraft.core.errors import OutsideError

__all__ = ["create_repository", "origin_url", "source_files"]

_NOT_OURS = {
    "node_modules", "vendor", "dist", "build", "target", "venv", ".venv", "__pycache__", ".git", ".pipegraft"
}  # fmt: skip
_NOBODY = {
    **{f"GIT_{who}_NAME": "Pipegraft" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "pipegraft@localhost" for who in ("AUTHOR", "COMMITTER")},
}


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
