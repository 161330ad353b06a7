"""What pyproject.toml declares is what the package imports."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
BESIDE = {"pydantic-core", "pytest", "typing-extensions"}
"""pydantic's other half, what suites for other people's plugins import, and what types are checked with."""


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


def test_declared_dependencies_are_those_that_are_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {_name(requirement) for requirement in project["dependencies"]}
    modules: set[str] = set()
    for path in (ROOT / "plugin/pipegraft").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    owners = importlib.metadata.packages_distributions()
    foreign = modules - set(sys.stdlib_module_names) - {"pipegraft"}
    imported = {module: {_name(owner) for owner in owners.get(module, [module])} for module in foreign}
    extras = {_name(one) for group in project["optional-dependencies"].values() for one in group}
    known = declared | extras | BESIDE
    assert {module for module, names in imported.items() if not names & known} == set()
    assert declared - set().union(*imported.values()) == set()
