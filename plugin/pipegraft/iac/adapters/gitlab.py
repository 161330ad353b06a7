"""The IaC repository over GitLab's API: no git on the runner, and the rules of the project apply.

Sources: GitLab's REST API, "Commits", "Repository files", "Repositories" and "Merge requests".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import gitlab
import requests
from gitlab.v4.objects import Project

from pipegraft.core.adapters.limited_requests import limit_answers
from pipegraft.core.errors import (
    AccessDenied,
    Locked,
    PipegraftError,
    TipMoved,
    Unreachable,
    UsageError,
    Vetoed,
)
from pipegraft.core.reading import readable
from pipegraft.iac.adapters.git.access import iac_token
from pipegraft.iac.ports import Commit, split_path

__all__ = ["GitLabBranch", "author_of", "commit_action", "open_gitlab_project", "or_none", "translated"]

_TIMEOUT = 30.0
_PAGE = 100
"""Entries GitLab puts on one page at most."""
_FULL_NAME = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
DECLINED = (
    "mend what the push rule or hook names: 'iac.commit' in delivery.yaml words messages and names authors"
)
_RACE = re.compile(
    r"reference does not point to expected object|has changed since you started editing"
    r"|file with this name (?:already exists|doesn't exist)|could not update|failed to (?:lock|update)",
    re.IGNORECASE,
)


class GitLabBranch:
    """`IacRepository` and `IacHistory` over the API.

    The API cannot say "only if the branch is at this commit". A commit is refused when the branch has
    moved already, and each file is guarded by the last commit that changed it; what moves between the
    two is at most files that the change does not touch.

    Arguments:
        project: the IaC project.
        branch: its short name.
        author: of commits, ``Name <mail>``; the token's user if None.
    """

    def __init__(self, project: Project, branch: str, author: str | None = None) -> None:
        self._project = project
        self._branch = branch
        self._author = author
        self._name = str(project.encoded_id).replace("%2F", "/")

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def tip(self) -> str:
        with translated(self._name):
            found = or_none(lambda: self._project.branches.get(self._branch))
        if found is None:
            raise UsageError(
                f"expected a branch '{self._branch}' in {self._name}, there is none",
                fix="check 'iac' in delivery.yaml, and that the token may read the project",
            )
        return str(found.commit["id"])

    def read(self, path: str, at: str) -> str | None:
        split_path(path)
        with translated(self._name):
            found = or_none(lambda: self._project.files.get(path, ref=at))
        if found is None:
            return None
        try:
            return bytes(found.decode()).decode()
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise UsageError(f"expected {path} to be text in UTF-8, found byte {byte:#04x}") from None

    def files_below(self, folder: str, at: str) -> Mapping[str, bytes]:
        def tree() -> list[Any]:
            return list(self._project.repository_tree(path=folder, ref=at, recursive=True, iterator=True))

        with translated(self._name):
            listed = or_none(tree) or []
            names = [str(one["path"]) for one in listed if one["type"] == "blob"]
            return {name: bytes(self._project.files.get(name, ref=at).decode()) for name in names}

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        actions = [self._action(path, text, parent) for path, text in changes.items()]
        found = self.tip()
        if found != parent:
            raise TipMoved(f"expected '{self._branch}' of {self._name} at {parent[:12]}, found {found[:12]}")
        data = {"branch": self._branch, "commit_message": message, "actions": actions}
        data |= author_of(self._author)
        with translated(self._name):
            return str(self._project.commits.create(data).id)

    def commit_all(self, commits: Sequence[tuple[Mapping[str, str | None], str]], parent: str) -> list[str]:
        """One after another: the API takes one commit a request."""
        made: list[str] = []
        for changes, message in commits:
            made.append(self.commit(changes, message, made[-1] if made else parent))
        return made

    def contains(self, revision: str, at: str) -> bool:
        if not (_FULL_NAME.fullmatch(revision) and _FULL_NAME.fullmatch(at)):
            return False
        with translated(self._name):
            base: Any = or_none(lambda: self._project.repository_merge_base([revision, at]))
        return bool(base) and base["id"] == revision

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        query = {"ref_name": self._branch, "first_parent": "true", **({"path": path} if path else {})}
        query["per_page"] = str(min(limit or _PAGE, _PAGE))
        with translated(self._name):
            pages = self._project.commits.list(iterator=True, query_parameters=query)
            return [_commit(one.attributes) for one in islice(pages, limit)]

    def _action(self, path: str, text: str | None, parent: str) -> dict[str, Any]:
        split_path(path)
        with translated(self._name):
            held = or_none(lambda: self._project.files.get(path, ref=parent))
        kind = "delete" if text is None else "create" if held is None else "update"
        action: dict[str, Any] = {"action": kind, "file_path": path}
        action |= {} if text is None else {"content": text}
        return action | ({} if held is None else {"last_commit_id": held.last_commit_id})


def open_gitlab_project(repository: str, environment: Mapping[str, str]) -> Project:
    """The project of a repository's URL; nothing is asked of it yet.

    Arguments:
        repository: its clone URL, HTTP or SSH.
        environment: ``PIPEGRAFT_IAC_TOKEN`` holds a token with the scope ``api``; ``CI_SERVER_URL`` tells
            where a GitLab below a path begins.

    Raises:
        UsageError: there is no token, or the URL is not a server's.
    """
    base, path = _server(repository, environment.get("CI_SERVER_URL", ""))
    token = iac_token(base, environment)
    if not token:
        raise UsageError(
            "writing through GitLab's API needs a token, found none",
            fix="set PIPEGRAFT_IAC_TOKEN to a project access token with the scope 'api'",
        )
    client = gitlab.Gitlab(base, private_token=token, timeout=_TIMEOUT, keep_base_url=True)
    limit_answers(client.session)
    client.session.max_redirects = 0  # the token's header would go along to whatever host is named
    return client.projects.get(path, lazy=True)


def _server(repository: str, known: str) -> tuple[str, str]:
    """Base URL of the server and path of the project."""
    if known and repository.startswith(f"{known.rstrip('/')}/"):
        return known.rstrip("/"), _bare(repository.removeprefix(known.rstrip("/")))
    parts = urlsplit(repository)
    if parts.scheme in {"http", "https"}:
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", _bare(parts.path)
    scp = re.fullmatch(r"(?:ssh://)?(?:[^@/]+@)(?P<host>[^/:]+)(?::\d+)?[:/](?P<path>.+)", repository)
    if scp is None:
        raise UsageError(
            f"expected the URL of a GitLab project, found '{repository}'",
            fix="set 'iac.repository' to the project's clone URL, or 'iac.write' to push",
        )
    return f"https://{scp['host']}", _bare(scp["path"])


def _bare(path: str) -> str:
    return path.strip("/").removesuffix(".git")


@contextmanager
def translated(name: str, token: str = "PIPEGRAFT_IAC_TOKEN") -> Iterator[None]:  # noqa: S107 - its name
    """Turn what the library raises into the error tree.

    Arguments:
        name: the project, for messages.
        token: the variable that holds the token.
    """
    try:
        with readable(f"GitLab with {name}"):
            yield
    except gitlab.GitlabError as error:
        raise _explained(error.response_code, _said_in(error), name, token) from None
    except requests.RequestException as error:
        raise Unreachable(
            f"{name}: GitLab gave no answer ({_cause(error)})",
            fix="check the server's address, proxy and certificates, or run this again",
        ) from None


def _cause(error: Exception) -> str:
    """What went wrong at the bottom: requests and urllib3 wrap it, and name objects of theirs."""
    inner = error.args[0] if error.args else ""
    said = str(getattr(inner, "reason", inner))
    return f"{type(error).__name__}: {said.rpartition('>: ')[2]}".rstrip(": ")


def _explained(code: int | None, said: str, name: str, token: str) -> PipegraftError:
    if code in {401, 403}:
        return AccessDenied(
            f"GitLab refused the token for {name}: {said}",
            fix=f"give {token} the scope 'api' and a role that may push to the branch",
        )
    if code == 404:
        return AccessDenied(
            f"there is no {name} for this token: {said}",
            fix=f"check the name, and what {token} may read",
        )
    if code == 409:
        return Locked(f"{name} is busy: {said}", fix="run this again")
    if code == 400 and _RACE.search(said):
        return TipMoved(f"{name} has moved: {said}")
    if code == 400 and "hook" in said.lower():
        return Vetoed(f"{name} declined the commit: {said}", fix=DECLINED)
    if code is None or code == 429 or code >= 500:
        return Unreachable(f"{name}: GitLab answered {code}: {said}", fix="run this again")
    return UsageError(f"{name}: GitLab answered {code}: {said}")


def _said_in(error: gitlab.GitlabError) -> str:
    """What GitLab said on one line; whoever answers in its place, a proxy for example, sends a page."""
    said = " ".join(str(error.error_message).split())
    return "the answer is a page, not GitLab's" if said.lower().startswith(("<html", "<!doctype")) else said


def or_none(ask: Callable[[], Any]) -> Any:
    """What GitLab answers, None for 404 on something below the project."""
    try:
        return ask()
    except gitlab.GitlabError as error:
        if error.response_code == 404 and "project" not in str(error.error_message).lower():
            return None
        raise


def author_of(author: str | None) -> dict[str, str]:
    """What makes somebody a commit's author: ``Name <mail>``; None leaves that to the token's user."""
    name, _, mail = (author or "").rstrip(">").rpartition(" <")
    return {"author_name": name, "author_email": mail} if name else {}


def commit_action(path: str, text: str | None, held: str | None) -> dict[str, Any]:
    """One file of a commit.

    Arguments:
        text: what it shall hold, None to delete it.
        held: what it holds, None if there is none.
    """
    if text is None:
        return {"action": "delete", "file_path": path}
    return {"action": "create" if held is None else "update", "file_path": path, "content": text}


def _commit(data: Mapping[str, Any]) -> Commit:
    parents = data.get("parent_ids") or [None]
    time = datetime.fromisoformat(str(data["committed_date"]))
    author = f"{data.get('author_name', '')} <{data.get('author_email', '')}>"
    return Commit(str(data["id"]), parents[0], str(data["message"]), time.timestamp(), author)
