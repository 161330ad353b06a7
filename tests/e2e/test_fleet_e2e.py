"""A fleet of hundreds of projects over HTTP, each a real git repository, killed and gone on with."""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_files import PIPELINE, delivery
from gitlab_double import Refused
from group_double import TOKEN, Lab, serve_group
from harness import need, wait_until

pytestmark = pytest.mark.e2e

PROJECTS = 300
INJECT = ("fleet", "inject", "--group", "acme", "--from-project", "platform/pipegraft", "--json")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    need("git")
    with serve_group(tmp_path / "repositories") as running:
        for number in range(PROJECTS):
            name = f"app{number:03}"
            running.add(name, {".gitlab-ci.yml": PIPELINE, "delivery.yaml": delivery(name)})
        yield running


def start(lab: Lab, *words: str) -> subprocess.Popen[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("CI")}
    return subprocess.Popen(
        [sys.executable, "-m", "pipegraft", *words],
        env={**inherited, "CI_SERVER_URL": lab.url, "PIPEGRAFT_GITLAB_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def states(text: str) -> collections.Counter[str]:
    return collections.Counter(one["state"] for one in json.loads(text))


def calls(lab: Lab) -> int:
    """Of the project that was asked most."""
    asked = collections.Counter(path.split("/")[4] for _, path in lab.calls if "/projects/" in path[7:])
    return max(asked.values())


def test_hundreds_of_projects_are_killed_limited_and_proposed_to_once(lab: Lab) -> None:
    with start(lab, *INJECT, "--dry-run") as dry:
        shown, _ = dry.communicate()
    assert (dry.returncode, states(shown)) == (0, {"proposed": PROJECTS})
    assert not lab.requests
    assert calls(lab) <= 6

    with start(lab, *INJECT) as killed:
        wait_until(lambda: len(lab.requests) >= PROJECTS // 3, "a third of the merge requests")
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    assert len(lab.requests) < PROJECTS

    faults = [429, 502, 429, 503] * 5

    def stumble(_method: str, _path: str) -> None:
        if faults and len(lab.calls) % 50 == 0:
            raise Refused(faults.pop(), "not now")

    lab.before, lab.calls = stumble, []
    with start(lab, *INJECT) as resumed:
        text, said = resumed.communicate()
    assert resumed.returncode == 0, said
    assert states(text).keys() <= {"proposed", "waiting"}
    assert sorted(one["project_id"] for one in lab.requests) == sorted(lab.projects)
    assert len(faults) < 20

    lab.before = lambda _method, _path: None
    with start(lab, *INJECT) as again:
        text, _ = again.communicate()
    assert states(text) == {"waiting": PROJECTS}
    assert len(lab.requests) == PROJECTS
    assert TOKEN not in text + said
