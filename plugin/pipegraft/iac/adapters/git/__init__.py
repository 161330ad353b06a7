"""The IaC repository over git."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git.access import Access, access, identity, signing
from pipegraft.iac.adapters.git.branch import GitBranch
from pipegraft.iac.adapters.git.branch_lock import Turns
from pipegraft.iac.adapters.git.failures import explain
from pipegraft.iac.adapters.git.objects import Objects
from pipegraft.iac.adapters.git.process import Git, git_environment
from pipegraft.iac.adapters.git.remotes import FetchedRemote, LocalRemote, Remote
from pipegraft.iac.adapters.git.session import SessionRemote, connection
from pipegraft.iac.adapters.git.workspace import Workspace, private_folder

__all__ = ["open_branch"]


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
    local = _local_folder(repository, base)
    outside = Git(None, git_environment(variables), access(repository, variables).secrets)
    there = _inspect(outside, local) if local else None
    reached = Access(str(local)) if local else access(_rewritten(outside, repository), variables)
    key = signing(variables)
    settings = [*reached.settings, *key, *_origin(reached.url)]
    workspace = Workspace(private_folder())
    git = Git(
        workspace.path,
        git_environment(variables, settings, {**identity(variables), **reached.variables}),
        (*outside.secrets, *reached.secrets),
    )
    object_format = there.object_format if there else "sha1"
    _make_folder(git, object_format)
    objects = Objects(git, object_format)
    return GitBranch(
        git,
        objects,
        LocalRemote(git, there.folder) if there else _remote(git, objects, reached.url),
        branch,
        folders=[one for one in ([folder] if isinstance(folder, str) else folder or ()) if one],
        turns=Turns(private_folder(), f"{reached.url} {branch}"),
        signed=bool(key),
        workspace=workspace,
    )


def _make_folder(git: Git, object_format: str) -> None:
    options = ("--quiet", "--bare", "--template=", f"--object-format={object_format}")
    replace(git, folder=None).output("init", *options, str(git.folder))


def _rewritten(outside: Git, repository: str) -> str:
    """The URL after the user's ``url.….insteadOf`` rules; they may put credentials into it."""
    settings = git_environment(outside.environment, [("remote.origin.url", repository)])
    return replace(outside, environment=settings).output("ls-remote", "--get-url", "origin")


def _origin(url: str) -> list[tuple[str, str]]:
    """Settings for the remote; the longest match wins, so no rule rewrites the URL again."""
    return [
        ("remote.origin.url", url),
        (f"url.{url}.insteadOf", url),
        (f"url.{url}.pushInsteadOf", url),
    ]


def _remote(git: Git, objects: Objects, url: str) -> Remote:
    known = connection(url, git)
    return FetchedRemote(git, url) if known is None else SessionRemote(git, objects, url, known)


@dataclass(frozen=True, slots=True)
class _There:
    """A repository on this machine."""

    folder: Path
    object_format: str


def _local_folder(repository: str, base: Path) -> Path | None:
    """The folder that `repository` names, if it is not a URL (gitmodules(5) on what is a path)."""
    if repository.startswith("file://"):
        return Path(unquote(urlsplit(repository).path))
    path = base / Path(repository).expanduser()
    is_url = "://" in repository or (":" in repository.partition("/")[0] and not path.exists())
    return None if is_url else Path(os.path.normpath(path.absolute()))  # people read it in messages


def _inspect(outside: Git, local: Path) -> _There:
    inner = local / ".git"
    candidate = inner if inner.exists() else local
    found = replace(outside, folder=candidate).run("rev-parse", "--show-object-format", "--git-common-dir")
    if found.code:
        if "dubious ownership" in found.errors:
            raise explain(found.errors, str(local))
        held = "something else" if local.exists() else "nothing"
        raise UsageError(
            f"expected a git repository at {local}, found {held}",
            fix="check the path: that of 'iac.repository' is relative to delivery.yaml",
        )
    object_format, folder = found.output.decode().splitlines()
    return _There(Path(folder).absolute(), object_format)
