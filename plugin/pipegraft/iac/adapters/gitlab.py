"""The IaC repository over GitLab's API, by commits or by merge requests: no git on the runner.

Sources: GitLab's REST API, "Commits", "Repository files", "Repositories" and "Merge requests".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import gitlab
from gitlab.v4.objects import Project, ProjectMergeRequest

from pipegraft.core.adapters.gitlab_requests import limit_answers, translated
from pipegraft.core.delivery import MergeRequest
from pipegraft.core.errors import (
    Held,
    TipMoved,
    UsageError,
)
from pipegraft.core.ports import Clock
from pipegraft.iac.adapters.git.access import iac_token
from pipegraft.iac.ports import Commit, NewerProposed, split_path

__all__ = [
    "GitLabBranch",
    "MergeRequestBranch",
    "commit_action",
    "open_gitlab_project",
    "or_none",
]

_TIMEOUT = 30.0
_PAGE = 100
"""Entries GitLab puts on one page at most."""
_FULL_NAME = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


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
            if found:
                return str(found.commit["id"])
        raise UsageError(
            f"expected a branch '{self._branch}' in {self._name}, there is none",
            fix="check 'iac' in delivery.yaml, and that the token may read the project",
        )

    def read(self, path: str, at: str) -> str | None:
        split_path(path)
        with translated(self._name):
            found = or_none(lambda: self._project.files.get(path, ref=at))
            content = bytes(found.decode()) if found else None
        try:
            return content if content is None else content.decode()
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

    def files_holding(self, words: Sequence[str], at: str) -> None:
        """Not to be had: the API's search reads the default branch alone, its archive leaves files out."""

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        actions = [self._action(path, text, parent) for path, text in changes.items()]
        self._refuse_moved(parent)
        data = {"branch": self._branch, "commit_message": message, "actions": actions}
        data |= _author_of(self._author)
        with translated(self._name):
            return str(self._project.commits.create(data).id)

    def _refuse_moved(self, parent: str) -> None:
        found = self.tip()
        if found != parent:
            raise TipMoved(f"expected '{self._branch}' of {self._name} at {parent[:12]}, found {found[:12]}")

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
            guard = {} if held is None else {"last_commit_id": held.last_commit_id}
            return {**commit_action(path, text, held and held.file_path), **guard}


_POLL = 5.0
_UNSAFE = re.compile(r"[^a-z0-9-]+")


class MergeRequestBranch(GitLabBranch):
    """Reads the target branch; writes a branch of its own and a merge request for it.

    A newer release of the same application and environment replaces the older one's branch, so the
    request that people see is always the newest.

    Arguments:
        project: the IaC project.
        branch: the target branch.
        settings: how requests look, and whether to wait for the merge.
        clock: where waiting comes from.
        author: of commits, ``Name <mail>``; the token's user if None.
    """

    def __init__(
        self, project: Project, branch: str, settings: MergeRequest, clock: Clock, author: str | None = None
    ) -> None:
        super().__init__(project, branch, author)
        self._settings = settings
        self._clock = clock

    def commit_all(self, commits: Sequence[tuple[Mapping[str, str | None], str]], parent: str) -> list[str]:
        """A merge request each; what one waits for may move the target branch below the next."""
        return [self.commit(changes, message, parent) for changes, message in commits]

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        """Bring the merge request up to date.

        Returns:
            The commit on its branch, or the merge if that was waited for.

        Raises:
            Held: the merge was waited for and did not come.
            NewerProposed: a newer release of the same application and environment is proposed already.
        """
        self._refuse_moved(parent)
        said = Commit("", None, message)
        source = _source_branch(said.trailers)
        held = self._held(source)
        if held:
            self._refuse_older(held, said, source)
        made = self._proposed(held, changes, parent) or self._propose(source, changes, message, parent)
        request = self._request(source, said)
        if self._settings.auto_merge:
            self._merge_when_ready(request)
        return self._merged(request) if self._settings.wait else made

    def _held(self, source: str) -> Mapping[str, Any]:
        """The tip of the source branch, with its ``id``; empty if there is no such branch."""
        with translated(self._name):
            held = [one for one in self._project.branches.list(search=f"^{source}$") if one.name == source]
            return {**held[0].commit, "id": str(held[0].commit["id"])} if held else {}

    def _refuse_older(self, held: Mapping[str, Any], said: Commit, source: str) -> None:
        there = Commit(held["id"], None, str(held.get("message", "")))
        numbers = [one.trailers.get("Pipegraft-Release", "") for one in (there, said)]
        if not all(number.isdecimal() for number in numbers) or int(numbers[0]) <= int(numbers[1]):
            return
        if self._opened(source):
            raise NewerProposed(there.id, int(numbers[0]))

    def _opened(self, source: str) -> ProjectMergeRequest | None:
        with translated(self._name):
            found = self._project.mergerequests.list(
                state="opened", source_branch=source, target_branch=self._branch
            )
        request: ProjectMergeRequest | None = found[0] if found else None
        return request

    def _proposed(
        self, held: Mapping[str, Any], changes: Mapping[str, str | None], parent: str
    ) -> str | None:
        """The tip of the source branch if it is exactly this change already."""
        if held.get("parent_ids") != [parent]:
            return None
        tip: str = held["id"]
        same = all(self.read(path, tip) == text for path, text in changes.items())
        return tip if same else None

    def _propose(self, source: str, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        actions = [commit_action(path, text, self.read(path, parent)) for path, text in changes.items()]
        data = {
            "branch": source,
            "start_sha": parent,
            "force": True,
            "commit_message": message,
            "actions": actions,
            **_author_of(self._author),
        }
        with translated(self._name):
            return str(self._project.commits.create(data).id)

    def _request(self, source: str, said: Commit) -> ProjectMergeRequest:
        text = {
            "title": said.subject,
            "description": _filled(self._settings.description, said),
            "labels": ",".join(self._settings.labels),
        }
        request = self._opened(source)
        with translated(self._name):
            if request:
                for key, value in text.items():
                    setattr(request, key, value)
                request.save()
                return request
            branches = {"source_branch": source, "target_branch": self._branch, "remove_source_branch": True}
            # A squashed commit would not descend from the one the gate waits for.
            made: ProjectMergeRequest = self._project.mergerequests.create(
                {**branches, **text, "squash": False}
            )
        return made

    def _merge_when_ready(self, request: ProjectMergeRequest) -> None:
        """Ask for the merge as soon as pipeline and approvals allow; a refusal now leaves it to people."""
        with translated(self._name):
            try:
                request.merge(merge_when_pipeline_succeeds=True)
            except gitlab.GitlabError as error:
                if error.response_code not in {405, 406, 409, 422}:  # not mergeable yet, or not by us
                    raise

    def _merged(self, request: ProjectMergeRequest) -> str:
        deadline = self._clock.now() + (self._settings.wait or 0)
        while True:
            with translated(self._name):
                now = self._project.mergerequests.get(request.iid)
                if now.state == "merged":
                    return str(now.merge_commit_sha or now.sha)
                state, address = str(now.state), str(now.web_url)
            if state == "closed":
                raise Held(
                    f"merge request {address} was closed without a merge", fix="reopen it, or release anew"
                )
            if self._clock.now() >= deadline:
                raise Held(f"merge request {address} is not merged yet", fix="merge it, then run this again")
            self._clock.sleep(_POLL)


def _source_branch(trailers: Mapping[str, str]) -> str:
    """``pipegraft/APP/ENVIRONMENT``."""
    parts = (trailers.get(f"Pipegraft-{key}", "") for key in ("App", "Environment"))
    return "/".join(("pipegraft", *(_UNSAFE.sub("-", part.lower()) or "any" for part in parts)))


def _filled(template: str, said: Commit) -> str:
    """The description, its words in braces replaced by trailers or the message."""
    values = {key.removeprefix("Pipegraft-"): value for key, value in said.trailers.items()}
    values |= {"message": said.message.strip(), "subject": said.subject}
    return re.sub(r"\{([\w-]+)\}", lambda found: values.get(found[1], found[0]), template)


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


def or_none(ask: Callable[[], Any]) -> Any:
    """What GitLab answers, None for 404 on something below the project."""
    try:
        return ask()
    except gitlab.GitlabError as error:
        if error.response_code == 404 and "project" not in str(error.error_message).lower():
            return None
        raise


def _author_of(author: str | None) -> dict[str, str]:
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
