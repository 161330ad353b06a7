"""GitHub Actions keeps what every CI system promises, and never grafts where delivery would not run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from pipegraft.ci.hooks import CiSystem, Injection, InjectionRequest, InjectOptions
from pipegraft.core.errors import UsageError
from pipegraft.testing.stage_suite import CiSystemSuite

FILE = ".github/workflows/ci.yml"
WORKFLOW = """\
# the team's workflow
name: CI
on:
  push: {branches: [main, "release/**"]}
  pull_request:

jobs:
  test:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
      - run: make test   # quick

  lint:
    runs-on: ubuntu-24.04
    if: github.event_name == 'pull_request'
    steps: [{run: make lint}]

# vim: ts=2
"""


class TestGitHubActions(CiSystemSuite):
    @pytest.fixture
    def system(self, importable: None) -> CiSystem:
        import pipegraft_github_actions as plugin

        return next(iter(plugin.pipegraft_ci_systems()))

    @pytest.fixture
    def file(self) -> str:
        return FILE

    @pytest.fixture
    def pipeline(self) -> str:
        return WORKFLOW

    def test_delivery_waits_for_every_job_and_for_the_branch(
        self, system: CiSystem, asked: InjectionRequest
    ) -> None:
        jobs = _jobs(system.inject(asked))
        first, second = jobs["pipegraft-first-stage"], jobs["pipegraft-second-stage-production"]
        assert first["needs"] == ["test", "lint"]
        assert second["needs"] == ["test", "lint", "pipegraft-first-stage"]
        for job in (first, second):
            assert "!failure()" in job["if"]
            assert "github.event_name == 'push'" in job["if"]
            assert "github.ref == 'refs/heads/main'" in job["if"]
        assert second["with"] == {
            "app": "shop",
            "environment": "production",
            "runs-on": "ubuntu-24.04",
            "image": "python:3.13",
            "packages": "",
        }

    def test_the_copies_are_workflows_that_can_be_called(
        self, system: CiSystem, asked: InjectionRequest
    ) -> None:
        made = system.inject(asked)
        for job in _jobs(made).values():
            if "uses" in job:
                text = made.files[job["uses"].removeprefix("./")]
                assert text is not None
                called = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - strings alone: `on` stays a word
                assert set(job["with"]) <= set(called["on"]["workflow_call"]["inputs"])
                assert "pipegraft run" in called["jobs"]["run"]["steps"][2]["run"]

    def test_what_was_asked_is_remembered(
        self, system: CiSystem, asked: InjectionRequest, again: Callable[[Injection], InjectionRequest]
    ) -> None:
        options = InjectOptions(branch="release/2", image="registry.example.com/p:1")
        made = system.inject(replace(asked, options=options))
        assert "release/2" in _jobs(made)["pipegraft-first-stage"]["if"]
        assert not system.inject(again(made)).files

    def test_the_copies_go_with_the_jobs(self, system: CiSystem, asked: InjectionRequest) -> None:
        made = system.inject(asked)
        text = made.files[FILE]
        assert text is not None
        left = system.eject(FILE, text, made.files.get)
        assert {name for name, content in left.files.items() if content is None} == set(made.files) - {FILE}

    def test_the_table_of_events(self, system: CiSystem, asked: InjectionRequest) -> None:
        rows = {row.event: (row.pipeline, row.delivery) for row in system.inject(asked).events}
        assert rows == {
            "push": ("yes", "yes"),
            "pull_request": ("yes", "no"),
            "schedule": ("no", "no"),
            "workflow_dispatch": ("no", "no"),
        }

    @pytest.mark.parametrize(
        ("started", "message"),
        [
            ("on: pull_request", "no push starts this workflow"),
            ("on: {push: {tags: [v*]}}", "only pushes of tags"),
            ("on: {push: {branches: [develop]}}", "no push to 'main' starts this workflow"),
            ("on: {push: {branches: ['*/main']}}", "no push to 'main' starts this workflow"),
        ],
    )
    def test_a_delivery_that_would_never_run_is_refused(
        self, system: CiSystem, asked: InjectionRequest, started: str, message: str
    ) -> None:
        text = f"{started}\njobs:\n  test: {{runs-on: x, steps: []}}\n"
        with pytest.raises(UsageError, match=message):
            system.inject(replace(asked, text=text))

    def test_the_source_of_a_run(self, system: CiSystem) -> None:
        source = system.source(
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_SHA": "ab" * 20,
                "GITHUB_RUN_NUMBER": "7",
                "GITHUB_RUN_ID": "1007",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "shop/web",
            }
        )
        assert source is not None
        assert (source.number, source.repository) == (7, "https://github.com/shop/web")


def _jobs(made: Injection) -> dict[str, Any]:
    text = made.files[FILE]
    assert text is not None
    jobs: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return jobs
