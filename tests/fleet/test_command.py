"""`pipegraft fleet`, as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gitlab_double import Refused
from group_double import TOKEN, Lab
from program import pipegraft


@pytest.fixture
def fleet(lab: Lab) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CI")}
        ours = {"CI_SERVER_URL": lab.url, "PIPEGRAFT_GITLAB_TOKEN": TOKEN, "COLUMNS": "140"}
        return pipegraft("fleet", *words, "--group", "acme", environment={**inherited, **ours})

    return run


Fleet = Callable[..., subprocess.CompletedProcess[str]]


def test_inject_shows_every_difference_then_proposes_it(
    lab: Lab, add: Callable[..., int], fleet: Fleet
) -> None:
    add("shop")
    shown = fleet("inject", "--from-project", "platform/pipegraft", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "+include: .pipegraft/gitlab.yml" in shown.stdout
    assert not lab.requests
    done = fleet("inject", "--from-project", "platform/pipegraft")
    assert done.returncode == 0, done.stderr
    assert f"{lab.url}/acme/shop/-/merge_requests/1" in done.stdout
    assert "1 projects: 1 proposed" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


def test_status_tells_versions_drift_requests_and_pipelines(
    lab: Lab, add: Callable[..., int], fleet: Fleet
) -> None:
    add("shop")
    lab.add("docs", {"README.md": "x"})
    fleet("inject", "--from-project", "platform/pipegraft", "--ref", "v0.0.9")
    lab.run(1, 5.0, "failed")
    before = json.loads(fleet("status", "--json").stdout)
    assert [(one["project"], one["state"], one["version"]) for one in before] == [
        ("acme/docs", "absent", None),
        ("acme/shop", "absent", None),
    ]
    assert before[1]["merge-requests"] == [f"{lab.url}/acme/shop/-/merge_requests/1"]
    assert before[1]["pipeline"]["status"] == "failed"
    lab.merge(lab.requests[0], at=6.0)
    after = json.loads(fleet("status", "--json").stdout)[1]
    assert (after["state"], after["version"]) == ("drifted", "v0.0.9")
    assert "acme/shop" in fleet("status").stdout


def test_status_of_a_project_that_cannot_be_read_says_why_and_ends_with_1(
    lab: Lab, add: Callable[..., int], fleet: Fleet
) -> None:
    add("shop")
    fleet("inject", "--from-project", "platform/pipegraft", "--ref", "v0.0.9")
    lab.add("broken", {".gitlab-ci.yml": "a: 1\n", "delivery.yaml": "app: shop\ncomponent: {}\n"})
    done = fleet("status")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    shop = next(line for line in lines if line.startswith("acme/shop"))
    assert f"{lab.url}/acme/shop/-/merge_requests/1" in shop, "a line of the table is not broken"
    assert "acme/broken: acme/broken/delivery.yaml:1:1: 'registry' is missing" in done.stdout
    assert "delivery.yaml:2:1: unknown key 'component'\n    fix: write 'components'" in done.stdout
    assert lines[-1] == "2 projects: 1 absent, 1 refused"
    states = {one["project"]: one["state"] for one in json.loads(fleet("status", "--json").stdout)}
    assert states == {"acme/broken": "refused", "acme/shop": "absent"}


def test_status_that_the_server_does_not_tell_ends_with_3(
    lab: Lab, add: Callable[..., int], fleet: Fleet
) -> None:
    add("shop")

    def forbid(_method: str, path: str) -> None:
        if path.endswith("/pipelines"):
            raise Refused(403, "403 Forbidden")

    lab.before = forbid
    done = fleet("status")
    assert done.returncode == 3
    assert "acme/shop  failed" in done.stdout


def test_upgrade_goes_in_waves_and_is_taken_back(lab: Lab, add: Callable[..., int], fleet: Fleet) -> None:
    for number in range(4):
        add(f"shop{number}")
    fleet("inject", "--from-project", "platform/pipegraft", "--ref", "v0.0.9")
    for request in lab.opened():
        lab.merge(request, at=1.0)
    original = {number: lab.files(number) for number in lab.repositories}
    for number in lab.repositories:
        for at in range(2, 22):
            lab.run(number, float(at), "success")
    words = ("upgrade", "--to", "v0.1.0", "--steps", "25%,100%", "--min-runs", "3")
    first = fleet(*words)
    assert first.returncode == 0, first.stderr
    assert "waiting, wave 1 of 2: 1 of 1 projects do not have it yet" in first.stdout
    (request,) = lab.opened()
    assert request["auto"]
    number = request["project_id"]
    lab.merge(request, at=30.0)
    for at in (31, 32, 33):
        lab.run(number, float(at), "failed")
    taken = fleet(*words)
    assert taken.returncode == 1, taken.stdout + taken.stderr
    assert "reverted, wave 1 of 2: pipelines fail more often: since: 3 of 3 failed" in taken.stdout
    (undo,) = lab.opened()
    assert (undo["source_branch"], undo["auto"]) == ("pipegraft/upgrade-v0.1.0-revert", True)
    lab.merge(undo, at=40.0)
    assert {number: lab.files(number) for number in lab.repositories} == original
    assert fleet(*words).returncode == 1
    assert not lab.opened()


def test_waves_are_shown_with_every_difference_before_anything_is_proposed(
    lab: Lab, add: Callable[..., int], fleet: Fleet
) -> None:
    for number in range(4):
        add(f"shop{number}")
    fleet("inject", "--from-project", "platform/pipegraft", "--ref", "v0.0.9")
    for request in lab.opened():
        lab.merge(request, at=1.0)
    made = len(lab.requests)
    words = ("upgrade", "--to", "v0.1.0", "--steps", "25%,100%")
    shown = fleet(*words, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("-  ref: v0.0.9") == shown.stdout.count("+  ref: v0.1.0") == 3
    assert " and 3 more, where the same lines change ──" in shown.stdout
    planned = json.loads(fleet(*words, "--dry-run", "--json").stdout)
    assert [one["wave"] for one in planned] == [1, 2, 2, 2]
    assert {one["state"] for one in planned} == {"proposed"}
    assert len(lab.requests) == made
    fleet(*words)
    (request,) = lab.opened()
    assert lab.projects[request["project_id"]]["path_with_namespace"] == planned[0]["project"]


def test_a_project_that_refuses_is_exit_code_1(lab: Lab, fleet: Fleet) -> None:
    lab.add("broken", {".gitlab-ci.yml": "a: [", "delivery.yaml": "app: 1"})
    done = fleet("inject")
    assert done.returncode == 1
    assert "acme/broken" in done.stdout


def test_a_pattern_that_fits_no_project_is_exit_code_2(add: Callable[..., int], fleet: Fleet) -> None:
    add("shop")
    done = fleet("status", "--filter", "shop")
    assert done.returncode == 2
    assert "none of 1 does" in done.stderr
    assert "acme/shop" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("upgrade", "--to", "v1", "--steps", "50%"), "rising shares of the fleet that end at 100%"),
        (("status", "--server", "gitlab"), "expected the URL of a GitLab server, found 'gitlab'"),
        (("bump", "mesh", "--image", "mesh:latest"), "expected an image pinned by digest"),
        (("inject", "--from-project", "a", "--from-url", "https://b"), "the templates come from one place"),
    ],
)
def test_what_makes_no_sense_is_exit_code_2_before_anything_is_asked(
    lab: Lab, fleet: Fleet, words: tuple[str, ...], said: str
) -> None:
    done = fleet(*words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not lab.calls


def test_a_server_that_does_not_answer_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    environment = {**os.environ, "PIPEGRAFT_GITLAB_TOKEN": TOKEN}
    server = ("--server", "http://127.0.0.1:9")
    done = pipegraft("fleet", "status", "--group", "acme", *server, environment=environment)
    assert done.returncode == 3
    assert "GitLab gave no answer" in done.stderr


def assess(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("CI")}
    ours = {"CI_SERVER_URL": lab.url, "PIPEGRAFT_GITLAB_TOKEN": TOKEN, "COLUMNS": "140"}
    return pipegraft("assess", "--group", "acme", *words, environment={**inherited, **ours})


def test_a_group_is_assessed_with_a_heat_map(lab: Lab, add: Callable[..., int], tmp_path: Path) -> None:
    add("shop")
    pipeline = "test:\n  script: [pytest]\n"
    lab.add("tested", {".gitlab-ci.yml": pipeline, "uv.lock": "version = 1\n", "pyproject.toml": ""})
    lab.add("docs", {"README.md": "x"})
    lab.add("empty", None)
    page = tmp_path / "fleet.html"
    done = assess(lab, "--json", "--html", str(page))
    assert done.returncode == 0, done.stderr
    found = {one["name"]: one["dimensions"] for one in json.loads(done.stdout)}
    assert found.keys() == {"acme/shop", "acme/tested", "acme/docs"}
    met = {name: sum(one["met"]["2"][0] for one in dimensions) for name, dimensions in found.items()}
    assert met["acme/tested"] > met["acme/docs"]
    assert "acme/shop" in page.read_text()
    assert TOKEN not in done.stdout + done.stderr + page.read_text()


def test_the_next_step_of_each_project_is_a_merge_request(lab: Lab, add: Callable[..., int]) -> None:
    add("shop")
    shown = assess(lab, "--fix", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert not lab.requests
    done = assess(lab, "--fix")
    assert done.returncode == 0, done.stderr
    (request,) = lab.requests
    assert request["source_branch"] == "pipegraft/step"
    assert ": " in request["title"]
    assert lab.repositories[1].name("pipegraft/step") != lab.repositories[1].name("main")
