"""What a plan says of a gray release before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipegraft.app.plan import gray_notes
from pipegraft.app.plugins import shipped_plugins
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import Unreachable
from pipegraft.core.project import Project
from pipegraft.gray.model.observation import ArmCounts
from pipegraft.gray.ports import Arms, FakeSource

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
        "at 5% 2 times the bad requests are found in 13 min, 1.5 times cannot be seen",
        "at 50% 2 times the bad requests are found in 4.9 min",
        "a good version takes about 39 min, 47 min if nothing is decided",
        "by its own limits it takes 1 h 40 min at most, the waits for the engine included",
    )


def test_what_cannot_be_known_is_said(project: Project) -> None:
    limits = "by its own limits it takes 1 h 40 min at most, the waits for the engine included"
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
    assert notes[0] == "by its own limits it takes 4 h 40 min at most, the waits for the engine included"
    assert [note.partition(":")[0] for note in notes[1:]] == ([said] if said else [])
