"""Releases as merge requests: one for each application and environment, brought up to date in place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import gitlab
from gitlab.v4.objects import Project, ProjectMergeRequest

from pipegraft.core.delivery import MergeRequest
from pipegraft.core.errors import Held, TipMoved
from pipegraft.core.ports import Clock
from pipegraft.iac.adapters.gitlab import GitLabBranch, author_of, commit_action, translated
from pipegraft.iac.ports import Commit, NewerProposed

__all__ = ["MergeRequestBranch"]

_POLL = 5.0
_UNSAFE = re.compile(r"[^a-z0-9-]+")


class MergeRequestBranch:
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
        self._project = project
        self._branch = branch
        self._settings = settings
        self._clock = clock
        self._author = author
        self._target = GitLabBranch(project, branch)
        self._name = str(project.encoded_id).replace("%2F", "/")

    def turn(self) -> AbstractContextManager[None]:
        return self._target.turn()

    def tip(self) -> str:
        return self._target.tip()

    def read(self, path: str, at: str) -> str | None:
        return self._target.read(path, at)

    def files_below(self, folder: str, at: str) -> Mapping[str, bytes]:
        return self._target.files_below(folder, at)

    def commit_all(self, commits: Sequence[tuple[Mapping[str, str | None], str]], parent: str) -> list[str]:
        """A merge request each; what one waits for may move the target branch below the next."""
        return [self.commit(changes, message, parent) for changes, message in commits]

    def contains(self, revision: str, at: str) -> bool:
        return self._target.contains(revision, at)

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        return self._target.log(path, limit=limit)

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        """Bring the merge request up to date.

        Returns:
            The commit on its branch, or the merge if that was waited for.

        Raises:
            Held: the merge was waited for and did not come.
            NewerProposed: a newer release of the same application and environment is proposed already.
        """
        found = self.tip()
        if found != parent:
            raise TipMoved(f"expected '{self._branch}' of {self._name} at {parent[:12]}, found {found[:12]}")
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
        """The tip of the source branch; empty if there is no such branch."""
        with translated(self._name):
            held = [one for one in self._project.branches.list(search=f"^{source}$") if one.name == source]
        return dict(held[0].commit) if held else {}

    def _refuse_older(self, held: Mapping[str, Any], said: Commit, source: str) -> None:
        there = Commit(str(held["id"]), None, str(held.get("message", "")))
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
        tip = str(held["id"])
        same = all(self._target.read(path, tip) == text for path, text in changes.items())
        return tip if same else None

    def _propose(self, source: str, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        actions = [commit_action(path, text, self.read(path, parent)) for path, text in changes.items()]
        data = {
            "branch": source,
            "start_sha": parent,
            "force": True,
            "commit_message": message,
            "actions": actions,
            **author_of(self._author),
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
            if now.state == "closed":
                raise Held(
                    f"merge request {now.web_url} was closed without a merge",
                    fix="reopen it, or release anew",
                )
            if self._clock.now() >= deadline:
                raise Held(
                    f"merge request {now.web_url} is not merged yet", fix="merge it, then run this again"
                )
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
