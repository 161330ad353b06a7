"""What a plan says of a gray release before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipegraft.app.plan import gray_notes, target_notes
from pipegraft.app.plugins import shipped_plugins
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import Unreachable
from pipegraft.core.stage import Project
from pipegraft.gray.observation import ArmCounts
from pipegraft.gray.ports import Arms, FakeSource
from pipegraft.iac.ports import RENDERERS, FakeIacRepository

DELIVERY = """\
app: shop
registry: oci:.pipegraft/registry
components:
  web: {path: web}
iac: {repository: iac.git}
environments:
  production:
    gate: {engine: embedded, state: engine, application: shop, timeout: 10m}
    gray: {interval: 1m, steps: [5, 50], metrics: [{source: json, path: counts.json}]}
"""


class Remembering(FakeSource):
    """Knows what stable showed."""

    def __init__(self) -> None:
        super().__init__([Arms()], remembers=True)

    def past(self, start: float, end: float) -> Arms:
        return Arms(ArmCounts((end - start) * 100, end - start))


class Connections:
    """Opens one source, or does not."""

    def __init__(self, found: FakeSource | Exception) -> None:
        self._found = found

    def open(self, *_: Any) -> Any:
        if isinstance(self._found, Exception):
            raise self._found
        return {"errors": self._found}

    def calls(self, *_: Any, **__: object) -> Any:
        return iter(())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "web").mkdir()
    (tmp_path / "delivery.yaml").write_text(DELIVERY)
    return open_project(tmp_path, shipped_plugins())


def test_it_says_what_the_traffic_can_show_and_how_long_it_takes(project: Project) -> None:
    assert gray_notes(project, "production", Connections(Remembering())) == (
        "stable's last 3 h: 6,000 requests a minute, 1% of them bad (errors)",
        "at 5% 2 times the bad requests are found in 28 min, 1.5 times cannot be seen",
        "at 50% 2 times the bad requests are found in 19 min, 1.5 times cannot be seen",
        "a good version takes about 39 min, 1 h 10 min if nothing is decided",
        "by its own limits it takes 1 h 40 min at most, the waits for the engine included; "
        "a step that points to harm may take 30 min more",
    )


def test_what_cannot_be_known_is_said(project: Project) -> None:
    limits = (
        "by its own limits it takes 1 h 40 min at most, the waits for the engine included; "
        "a step that points to harm may take 30 min more"
    )
    assert gray_notes(project, "production", Connections(FakeSource([Arms()]))) == (limits,)
    assert gray_notes(project, "production", Connections(Unreachable("nobody answers"))) == (
        "what this traffic can show is not known: nobody answers",
        limits,
    )


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("include: []\n", "its GitLab job ends after 3 h"),
        ("include:\n  - inputs: {job-timeout: 3h 30m}\n", "its GitLab job ends after 3 h 30 min"),
        ("include:\n  - inputs: {job-timeout: 6h}\n", "its GitLab job ends after 6 h"),
        ("include:\n  - inputs: {job-timeout: '8h'}\n", ""),
    ],
)
def test_limits_are_compared_with_the_job_that_must_hold_them(
    project: Project, pipeline: str, said: str
) -> None:
    file = project.root / "delivery.yaml"
    file.write_text(file.read_text().replace("interval: 1m", "interval: 4m"))
    (project.root / ".gitlab-ci.yml").write_text(pipeline)
    notes = gray_notes(open_project(project.root, shipped_plugins()), "production")
    assert notes[0].startswith("by its own limits it takes 4 h 40 min at most, the waits for the engine")
    assert notes[0].endswith("; a step that points to harm may take 2 h more")
    assert [note.partition(":")[0] for note in notes[1:]] == ([said] if said else [])
    assert all("set 'job-timeout: 7h'" in note for note in notes[1:]), "a step in doubt is waited for"


@dataclass(frozen=True)
class Repository:
    """Opens an IaC repository that is held in memory, or does not."""

    files: Mapping[str, str] | None

    def open(self, port: object, *_: Any) -> Any:
        if port is RENDERERS:
            return {}
        if self.files is None:
            raise Unreachable("nobody answers")
        return FakeIacRepository(self.files)


POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: 'IMAGE:v1'}]}\n"
)


@pytest.mark.parametrize(
    ("files", "notes"),
    [
        ({"pod.yaml": POD.replace("IMAGE", "r.example.com/web")}, ["pod.yaml: read as manifests"]),
        (
            {"pod.yaml": POD},
            ["would be refused: pod.yaml: nothing runs the image of 'web'"],
        ),
        ({}, ["would be refused: pod.yaml: the branch has no pod.yaml; correct 'file' of the target"]),
        (None, ["what 'targets' come to is not known: nobody answers"]),
    ],
)
def test_a_plan_tries_targets_ahead_of_the_first_bump(
    project: Project, files: Mapping[str, str] | None, notes: list[str]
) -> None:
    file = project.root / "delivery.yaml"
    text = file.read_text().partition("    gray:")[0].replace("oci:.pipegraft/registry", "r.example.com")
    file.write_text(f"{text}    targets: [{{kind: manifest, file: pod.yaml}}]\n")
    found = target_notes(open_project(project.root, shipped_plugins()), "production", Repository(files))  # type: ignore[arg-type]
    assert len(found) == len(notes)
    assert all(one.startswith(said) for one, said in zip(found, notes, strict=True)), found


def test_an_app_spec_needs_no_targets(project: Project) -> None:
    assert target_notes(project, "production") == ()
