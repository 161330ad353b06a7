"""Pipelines of the kinds that teams have: when delivery runs, grafted again, and out again byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipegraft.ci.hooks import InjectionRequest, InjectOptions, Mode
from pipegraft.ci.jenkins import injection as jenkins
from pipegraft.core.errors import EditRefused
from pipegraft.core.planning import Plan, PlannedStage

KINDS = Path(__file__).with_name("kinds")
PLAN = Plan(
    "shop",
    (
        PlannedStage("image-build"),
        PlannedStage("iac-bump", "production", ("image-build",)),
        PlannedStage("sync-gate", "production", ("iac-bump:production",)),
    ),
)
ELSEWHERE = {"merge-request", "merge-train", "push-elsewhere", "tag", "schedule", "child-of-schedule"}


def _kinds(name: str) -> list[Any]:
    kinds = yaml.safe_load((KINDS / f"{name}.yaml").read_text())
    return [pytest.param(kind, mode, id=f"{key}-{mode}") for key, kind in kinds.items() for mode in MODES]


MODES: tuple[Mode, ...] = ("include", "child")


@pytest.mark.parametrize(("kind", "mode"), _kinds("gitlab"))
def test_gitlab(repository, kind: dict[str, Any], mode: Mode) -> None:
    tree = repository(kind["files"][".gitlab-ci.yml"], kind["files"])
    if kind.get("refused"):
        with pytest.raises(EditRefused, match="delivery would never run"):
            tree.inject(mode=mode)
        return
    injection = tree.inject(mode=mode)
    rows = {row.event: row for row in injection.events}
    assert sorted(rows["push"].behind) == kind["behind"]
    assert rows["push"].delivery == kind.get("delivery", "yes") or (mode == "child" and rows["push"].unread)
    assert {row.delivery for event, row in rows.items() if event in ELSEWHERE} == {"no"}
    assert tree.inject().files == {}
    tree.eject()
    assert tree.files == kind["files"]


@pytest.mark.parametrize(("kind", "mode"), _kinds("jenkins"))
def test_jenkins(kind: dict[str, Any], mode: Mode) -> None:
    def inject(text: str) -> Any:
        options = InjectOptions(mode=mode)
        return jenkins.inject(
            InjectionRequest("Jenkinsfile", text, PLAN, options, version="v1.0.0", default_branch="main")
        )

    if kind.get("refused"):
        with pytest.raises(EditRefused):
            inject(kind["text"])
        return
    injection = inject(kind["text"])
    push = injection.events[0]
    assert sorted(push.behind) == kind["behind"]
    assert push.delivery == "yes"
    assert any(kind.get("note", "") in note for note in ("", *injection.notes))
    text = injection.files["Jenkinsfile"] or ""
    assert inject(text).files == {}
    assert jenkins.eject("Jenkinsfile", text).files["Jenkinsfile"] == kind["text"]
