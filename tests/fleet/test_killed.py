"""A whole upgrade that is halted and taken back, for each way to merge, killed anywhere on its way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleet_files import PIPELINE, delivery
from group_double import TOKEN, Lab, serve_group

from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.hooks import InjectOptions, TemplateSource
from pipegraft.core.ports import FakeClock, RecordingProgress
from pipegraft.fleet.adapters import GitLabGroup, open_group
from pipegraft.fleet.usecases.edits import injecting, upgrading
from pipegraft.fleet.usecases.projects import Campaign, propose_to_all
from pipegraft.fleet.usecases.waves import RollOut, Watch, roll_out

SHAPES = [(method, squash) for method in ("merge", "rebase_merge", "ff") for squash in (False, True)]
BRANCH = "pipegraft/upgrade-v0.2.0"
PLUGIN_SET = shipped_plugins()


class Killed(BaseException):
    """What no code catches: the process is gone."""


class Mortal:
    """Kills whoever asks, once, before or after a certain request was answered."""

    def __init__(self, at: int, when: str) -> None:
        self.at, self.when = at, when
        self.asked = 0

    def guard(self, forge: GitLabGroup) -> GitLabGroup:
        ask = forge._client.http_request

        def asking(*words: Any, **more: Any) -> Any:
            self.asked += 1
            fatal = self.asked == self.at
            if fatal and self.when == "before":
                raise Killed
            answer = ask(*words, **more)
            if fatal:
                raise Killed
            return answer

        forge._client.http_request = asking  # type: ignore[method-assign]
        return forge


class Story:
    """Three projects take a version; two pipelines fail since; everything is as before in the end."""

    def __init__(self, lab: Lab, mortal: Mortal, method: str, *, squash: bool) -> None:
        self.lab, self.mortal, self.squash = lab, mortal, squash
        for number in range(3):
            files = {".gitlab-ci.yml": PIPELINE, "delivery.yaml": delivery(f"app{number}")}
            lab.add(f"app{number}", files, merge_method=method)
        source = TemplateSource("project", "platform/pipegraft", "v0.1.0")
        graft = Campaign("graft", "Graft", "It does.", injecting(PLUGIN_SET, InjectOptions(source=source)))
        forge = open_group("acme", lab.url, {"PIPEGRAFT_GITLAB_TOKEN": TOKEN})
        propose_to_all(forge, graft, forge.projects(), RecordingProgress(), jobs=1)
        self.merge("graft", at=1.0)
        for number in lab.repositories:
            for at in range(2, 22):
                lab.run(number, float(at), "success")
        self.before = self.files()

    def files(self) -> dict[int, dict[str, str | None]]:
        return {number: self.lab.files(number) for number in self.lab.repositories}

    def merge(self, branch: str, at: float) -> None:
        for request in self.lab.opened(branch):
            request["squash"] = self.squash
            self.lab.merge(request, at)

    def upgrade(self) -> RollOut:
        """Run the command until it lives to its end."""
        campaign = Campaign(
            BRANCH, "Take v0.2.0", "Better.", upgrading(PLUGIN_SET, "v0.2.0"), auto_merge=True
        )
        while True:
            opened = open_group("acme", self.lab.url, {"PIPEGRAFT_GITLAB_TOKEN": TOKEN})
            forge = self.mortal.guard(opened)
            try:
                return roll_out(
                    forge,
                    campaign,
                    Watch((0.34, 1.0), min_runs=2, jobs=1),
                    projects=forge.projects(),
                    clock=FakeClock(),
                    progress=RecordingProgress(),
                )
            except Killed:
                continue

    def tell(self) -> None:
        assert self.upgrade().state == "waiting"
        first, other = self.lab.opened(BRANCH)  # a third of three, rounded up
        first["squash"] = self.squash
        self.lab.merge(first, at=30.0)
        for at in (31.0, 32.0, 33.0):
            self.lab.run(first["project_id"], at, "failed")
        assert self.upgrade().state == "reverted"
        assert self.upgrade().state == "reverted"  # what a killed run left open is done by the next
        assert other["state"] == "closed"
        (undo,) = self.lab.opened()
        assert (undo["project_id"], undo["auto"]) == (first["project_id"], True)
        self.merge(undo["source_branch"], at=40.0)
        assert self.files() == self.before
        assert self.upgrade().state == "reverted"
        made = [(one["project_id"], one["source_branch"]) for one in self.lab.requests]
        assert len(made) == len(set(made)) == 3 + 2 + 1


@pytest.fixture
def tell(tmp_path: Path) -> Callable[..., int]:
    def tell(at: int, when: str, shape: tuple[str, bool]) -> int:
        with serve_group(tmp_path / f"{at}-{when}") as lab:
            mortal = Mortal(at, when)
            Story(lab, mortal, shape[0], squash=shape[1]).tell()
            return mortal.asked

    return tell


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_way_to_merge_comes_to_the_same_end(tell: Callable[..., int], shape: tuple[str, bool]) -> None:
    assert tell(0, "before", shape) > 30


@pytest.mark.parametrize("at", range(1, 80, 7))
def test_killed_at_any_request_it_goes_on_where_it_was(tell: Callable[..., int], at: int) -> None:
    asked = tell(at, ("before", "after")[at % 2], SHAPES[at % len(SHAPES)])
    assert asked > at, "it was killed, and went on"
