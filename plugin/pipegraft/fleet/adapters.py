"""A group on GitLab as a fleet, with as few calls as the work can be done in.

Sources: GitLab's REST API, "Groups", "Repository files", "Repositories", "Commits", "Merge requests" and
"Pipelines". A project costs a call for each file that is read, one for the commit and one for the merge
request; what concerns all projects is asked of the group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import gitlab
from gitlab import Gitlab
from gitlab.v4.objects import Group, Project

from pipegraft.core.adapters.gitlab_requests import Pace, limit_answers, translated
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.errors import Held, Locked, UsageError
from pipegraft.core.ports import Clock
from pipegraft.fleet.ports import Change, ForgeProject, PipelineRun, Proposal, ProposalState
from pipegraft.iac.adapters.gitlab import commit_action, or_none
from pipegraft.iac.commits import in_words_of

__all__ = ["TOKEN", "GitLabGroup", "open_group"]

TOKEN = "PIPEGRAFT_GITLAB_TOKEN"  # noqa: S105 - the variable's name
_TIMEOUT = 30.0
_RETRIES = 7
"""How often a request is repeated; the pauses double from 0.1 s, 12.7 s in all, unless GitLab names them."""
_PAGE = 100
"""Entries GitLab puts on one page at most."""
_MARK = re.compile(r"<!-- pipegraft:([0-9a-f]+) -->")
_TRAILER = "Pipegraft-Change"
_NOT_NOW = frozenset({401, 403, 405, 406, 409, 422})
"""What GitLab answers to a merge that it does not allow yet, or not to this token."""
_ENDED = {"success": True, "failed": False}


def open_group(
    name: str,
    server: str | None,
    environment: Mapping[str, str],
    *,
    clock: Clock | None = None,
    held_back: Callable[[float], None] = lambda _seconds: None,
) -> GitLabGroup:
    """The group of that name; nothing is asked of it yet.

    Arguments:
        name: its full path, or its number.
        server: URL of the server; ``CI_SERVER_URL`` if None.
        environment: ``PIPEGRAFT_GITLAB_TOKEN`` holds a token with the scope ``api``;
            ``PIPEGRAFT_COMMIT_MESSAGE`` words commits; ``GIT_AUTHOR_NAME`` and ``GIT_AUTHOR_EMAIL`` say
            whose they are.
        clock: this machine's if None.
        held_back: hears for how many seconds requests wait because the server's rate limit is nearly used up.

    Raises:
        UsageError: there is no token, or the server is not known.
    """
    base, token = server or environment.get("CI_SERVER_URL", ""), environment.get(TOKEN)
    if not base.startswith(("https://", "http://")):
        raise UsageError(
            f"expected the URL of a GitLab server, found {base!r}", fix="name it with --server https://…"
        )
    if not token:
        raise UsageError(
            f"a fleet needs a token, {TOKEN} is not set",
            fix="set it to a group access token with the scope 'api' and the role Developer",
        )

    pace = Pace(clock or SystemClock(), held_back)

    # GitLab says when to ask again (429), and what it could not do (5xx) may be asked again: a commit
    # replaces its branch, and a second merge request for it is refused.
    class Patient(gitlab.Gitlab):
        def http_request(self, *arguments: Any, **words: Any) -> Any:
            pace.wait()
            answer = super().http_request(*arguments, **{"max_retries": _RETRIES, **words})
            pace.learn(answer.headers)
            return answer

    client = Patient(
        base.rstrip("/"),
        private_token=token,
        timeout=_TIMEOUT,
        keep_base_url=True,
        retry_transient_errors=True,
    )
    limit_answers(client.session)
    author = {
        f"author_{part.lower()}": environment.get(f"GIT_AUTHOR_{part}", "") for part in ("NAME", "EMAIL")
    }
    return GitLabGroup(client, name, in_words_of(None, environment), author if all(author.values()) else {})


class GitLabGroup:
    """`Forge` over GitLab's API.

    Arguments:
        client: the server.
        name: full path or number of the group.
        word: turns what a commit would say into what it says.
        author: of commits, as GitLab's API has it; the token's user if empty.
    """

    def __init__(
        self,
        client: Gitlab,
        name: str,
        word: Callable[[str], str] = lambda message: message,
        author: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._word = word
        self._author = dict(author or {})

    def projects(self) -> Sequence[ForgeProject]:
        with self._asked():
            listed = self._group().projects.list(
                iterator=True,
                include_subgroups=True,
                archived=False,
                with_shared=False,
                order_by="path",
                sort="asc",
                per_page=_PAGE,
            )
            found = [_project(one.attributes) for one in listed]
        return sorted(found, key=lambda one: one.path)

    def read(self, project: ForgeProject, path: str) -> str | None:
        with translated(project.path, TOKEN):
            held = or_none(lambda: self._project(project).files.get(path, ref=project.branch))
        if held is None:
            return None
        try:
            return bytes(held.decode()).decode()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{project.path}: expected {path} in UTF-8, found byte {error.object[error.start]:#04x}"
            ) from None

    def paths(self, project: ForgeProject) -> Sequence[str]:
        with translated(project.path, TOKEN):
            listed = self._project(project).repository_tree(
                ref=project.branch, recursive=True, iterator=True, per_page=_PAGE
            )
            return sorted(one["path"] for one in listed if one["type"] == "blob")

    def proposals(self, branch: str) -> Mapping[int, Proposal]:
        with self._asked():
            listed = self._group().mergerequests.list(
                iterator=True,
                source_branch=branch,
                state="all",
                scope="all",
                order_by="created_at",
                sort="asc",
                per_page=_PAGE,
            )
            return {
                one.project_id: _proposal(one.attributes) for one in listed if _is_own(one.attributes)
            }  # the newest is the last

    def opened_with(self, label: str) -> Mapping[int, Sequence[Proposal]]:
        found: dict[int, list[Proposal]] = {}
        with self._asked():
            listed = self._group().mergerequests.list(
                iterator=True, labels=label, state="opened", scope="all", per_page=_PAGE
            )
            for one in listed:
                found.setdefault(one.project_id, []).append(_proposal(one.attributes))
        return found

    def propose(self, project: ForgeProject, change: Change, known: Proposal | None) -> Proposal:
        if known and known.state == "opened":
            self._check_untouched(project, change.branch, known)
        actions = [
            commit_action(path, text, change.before.get(path)) for path, text in sorted(change.files.items())
        ]
        with translated(project.path, TOKEN):
            self._project(project).commits.create(
                {
                    "branch": change.branch,
                    "start_branch": project.branch,
                    "force": True,
                    "commit_message": self._word(f"{change.title}\n\n{_TRAILER}: {change.key}\n"),
                    "actions": actions,
                    **self._author,
                }
            )
        return self._request(project, change, known)

    def revert(self, project: ForgeProject, merged: Proposal, change: Change) -> Proposal:
        held = self._project(project)
        with translated(project.path, TOKEN):
            tip = _new_branch(held, change.branch, project.branch)
            try:
                for commit in _merged_commits(held, merged):
                    tip = _revert(held, commit, change.branch, tip)
            except gitlab.GitlabRevertError:
                held.branches.delete(change.branch)
                raise
        return self._request(project, change, None)

    def runs(self, project: ForgeProject, limit: int) -> Sequence[PipelineRun]:
        with translated(project.path, TOKEN):
            listed = self._project(project).pipelines.list(
                ref=project.branch, order_by="id", sort="desc", per_page=min(limit, _PAGE), get_all=False
            )
            return [_run(one.attributes) for one in listed[:limit]]

    def _request(self, project: ForgeProject, change: Change, known: Proposal | None) -> Proposal:
        text = {
            "title": change.title,
            "description": f"{change.description.strip()}\n\n<!-- pipegraft:{change.key} -->",
            "labels": ",".join(change.labels),
        }
        requests = self._project(project).mergerequests
        with translated(project.path, TOKEN):
            if known and known.state == "opened":
                found: Any = requests.update(known.number, {**text, "target_branch": project.branch})
                made = _proposal(found)
            else:
                ends = {"source_branch": change.branch, "target_branch": project.branch}
                try:
                    made = _proposal(
                        requests.create({**ends, **text, "remove_source_branch": True}).attributes
                    )
                except gitlab.GitlabCreateError as error:
                    if error.response_code != 409:
                        raise
                    made = self._made_before(project, change)  # by a run that died before it heard of it
        return made

    def _made_before(self, project: ForgeProject, change: Change) -> Proposal:
        requests = self._project(project).mergerequests
        for found in requests.list(state="opened", source_branch=change.branch, get_all=False):
            if _is_own(found.attributes):
                return _proposal(found.attributes)
        raise Locked(f"{project.path}: the merge request from {change.branch} is gone", fix="run this again")

    def withdraw(self, project: ForgeProject, proposal: Proposal) -> None:
        with translated(project.path, TOKEN):
            self._project(project).mergerequests.update(proposal.number, {"state_event": "close"})

    def merge_when_ready(self, project: ForgeProject, proposal: Proposal) -> None:
        # before GitLab 17.11 the first was the parameter's name
        behind_pipeline = {"merge_when_pipeline_succeeds": True, "auto_merge": True}
        taken = self._merge(project, proposal, **behind_pipeline)
        if not taken and not self.runs(project, 1):  # there is nothing to wait for, and GitLab refuses to
            self._merge(project, proposal)

    def _merge(self, project: ForgeProject, proposal: Proposal, **how: bool) -> bool:
        """Whether GitLab took the wish; what people have pushed since it was looked at is not merged."""
        words: dict[str, Any] = {**how, **({"sha": proposal.commit} if proposal.commit else {})}
        with translated(project.path, TOKEN):
            try:
                self._project(project).mergerequests.get(proposal.number, lazy=True).merge(**words)
            except gitlab.GitlabError as error:
                if error.response_code not in _NOT_NOW:
                    raise
                return False
        return True

    def _check_untouched(self, project: ForgeProject, branch: str, known: Proposal) -> None:
        with translated(project.path, TOKEN):
            held = or_none(lambda: self._project(project).branches.get(branch))
        if held is not None and f"{_TRAILER}: {known.key}" not in held.commit["message"]:
            raise Held(
                f"somebody has committed to {branch} of {project.path}",
                fix=f"merge or close {known.url}, then run this again",
            )

    def _group(self) -> Group:
        return self._client.groups.get(self._name, lazy=True)

    def _project(self, project: ForgeProject) -> Project:
        return self._client.projects.get(project.id, lazy=True)

    def _asked(self) -> AbstractContextManager[None]:
        return translated(f"group {self._name}", TOKEN)


def _new_branch(held: Project, name: str, start: str) -> str:
    """Make a branch anew; answers its commit."""
    if or_none(lambda: held.branches.get(name)) is not None:
        held.branches.delete(name)
    try:
        made: Any = held.branches.create({"branch": name, "ref": start})
    except gitlab.GitlabCreateError as error:
        made = or_none(lambda: held.branches.get(name)) if error.response_code == 400 else None
        if made is None:
            raise  # else the request that it was made by was answered with a failure, and repeated
    return str(made.commit["id"])


def _merged_commits(held: Project, merged: Proposal) -> Sequence[str]:
    """What to revert, newest first: the merge or squash commit; if it was fast-forwarded, every commit."""
    request = held.mergerequests.get(merged.number, lazy=True)
    listed = [str(one.id) for one in request.commits()]
    return listed if merged.commit in listed else [merged.commit]


def _revert(held: Project, commit: str, branch: str, tip: str) -> str:
    """Revert one commit on a branch that is at `tip`; answers the commit that does."""
    try:
        made: Any = held.commits.get(commit, lazy=True).revert(branch)
    except gitlab.GitlabRevertError as error:
        now = str(held.branches.get(branch).commit["id"]) if error.response_code == 400 else tip
        if now == tip:
            raise
        return now  # a request that was answered with a failure had done it, and was repeated
    return str(made["id"])


def _project(data: Mapping[str, Any]) -> ForgeProject:
    return ForgeProject(
        id=int(data["id"]),
        path=str(data["path_with_namespace"]),
        branch=str(data.get("default_branch") or ""),
        url=str(data.get("web_url", "")),
        clone_url=str(data.get("http_url_to_repo", "")),
        ci_file=str(data.get("ci_config_path") or ".gitlab-ci.yml"),
        archived=bool(data.get("archived")),
        fork="forked_from_project" in data,
        requests=data.get("merge_requests_access_level") != "disabled",
    )


def _is_own(data: Mapping[str, Any]) -> bool:
    """Whether a merge request comes from the project itself: a fork may name its branch alike."""
    return bool(data.get("source_project_id", data["project_id"]) == data["project_id"])


def _proposal(data: Mapping[str, Any]) -> Proposal:
    mark = _MARK.search(str(data.get("description") or ""))
    states: Mapping[str, ProposalState] = {"merged": "merged", "closed": "closed"}
    commit = data.get("merge_commit_sha") or data.get("squash_commit_sha") or data.get("sha") or ""
    return Proposal(
        project=int(data["project_id"]),
        number=int(data["iid"]),
        url=str(data.get("web_url", "")),
        state=states.get(str(data["state"]), "opened"),
        key=mark[1] if mark else "",
        merged_at=_time(data.get("merged_at")),
        commit=str(commit),
    )


def _run(data: Mapping[str, Any]) -> PipelineRun:
    status = str(data["status"])
    return PipelineRun(
        _time(data["created_at"]) or 0.0, _ENDED.get(status), str(data.get("web_url", "")), status
    )


def _time(text: object) -> float | None:
    return datetime.fromisoformat(str(text)).timestamp() if text else None
