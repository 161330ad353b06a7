"""What docs/gate.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pipegraft.app.plugins import shipped_plugins
from pipegraft.core.delivery import Gate
from pipegraft.core.model import Model, keys_of
from pipegraft.gate.hooks import GITOPS_ENGINES

PAGE = (Path(__file__).parents[2] / "docs" / "gate.md").read_text("utf-8")
HEADINGS = {"argocd": "Argo CD", "flux": "Flux", "kubevela": "KubeVela", "workloads": "Plain workloads"}
COMMON = {"kubeconfig", "context"}
ENGINES = shipped_plugins().all(GITOPS_ENGINES)


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def keys(model: type[Model]) -> set[str]:
    return set(keys_of(model).values())


def named(text: str) -> set[str]:
    """Keys in the first column of tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`([\w-]+)`", cell)}


@pytest.mark.parametrize("name", HEADINGS)
def test_every_key_is_named_and_every_named_key_exists(name: str) -> None:
    text = section(HEADINGS[name])
    assert named(text) == keys(ENGINES[name].options) - COMMON
    assert all(f"`{key}`" in section("Which cluster, and as whom") for key in COMMON)


@pytest.mark.parametrize("name", HEADINGS)
def test_the_examples_can_be_used(name: str) -> None:
    example = re.search(r"```yaml\n(gate: .*?)\n```", section(HEADINGS[name]), re.DOTALL)
    assert example
    gate = Gate.model_validate(yaml.safe_load(example[1])["gate"])
    assert gate.engine == name
    ENGINES[name].options.model_validate(dict(gate.options))


def test_the_keys_of_every_gate_are_named() -> None:
    assert named(PAGE.split("\n## ")[0]) == keys(Gate)


def test_the_manifests_are_named() -> None:
    docs = Path(__file__).parents[2] / "docs"
    named = re.findall(
        r"rbac/([\w.-]+)\)",
        PAGE + "".join((docs / f"{page}.md").read_text() for page in ("engine", "gray-release")),
    )
    assert {file.name for file in (docs / "rbac").iterdir()} == set(named)
