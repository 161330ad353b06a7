"""What real controllers said of an application, and what the gate must make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipegraft.gate.adapters import argocd, flux
from pipegraft.gate.ports import State

RECORDED = Path(__file__).parent / "recorded"
RULES = {
    plugin.name: plugin.verdict for module in (argocd, flux) for plugin in module.pipegraft_gitops_engines()
}
CASES = [
    (controller.stem, case)
    for controller in sorted(RECORDED.glob("*-answers.json"))
    for case in json.loads(controller.read_text())
]


@pytest.mark.parametrize(
    ("controller", "case"), CASES, ids=[f"{name} {case['scenario']}" for name, case in CASES]
)
def test_a_recorded_answer_is_read_as_it_was_meant(controller: str, case: dict[str, Any]) -> None:
    """By ``PIPEGRAFT_GATE_RECORD=FOLDER make e2e-engines``."""
    target, rule = case["target"], RULES[controller.partition("-")[0]]
    found = rule(case["status"], lambda revision: revision == target)
    held = [one.held for one in found.images or () if one.held]  # of the release: that blocks its gate
    assert (State.BLOCKED if held else found.state) is State(case["state"])
    assert case["says"] in "\n".join((found.reason, *found.evidence, *held))
    older = rule(case["status"], lambda _revision: False)
    assert older.state is not State.SUCCEEDED
