"""The map of rooms is the folders of the package, in the order that the imports keep to."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_map_names_every_room_from_the_top() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    ordered = [set(layer.split(" | ")) for layer in layers if layer != "__main__"]
    table = (ROOT / "README.md").read_text().split("| room, from the top |")[1].split("\n\n")[0]
    shown = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    folders = {path.parent.name for path in (ROOT / "plugin" / "pipegraft").glob("*/__init__.py")}
    assert set(shown) == folders
    assert [{name for name in shown if name in layer} for layer in ordered] == ordered
    rank = {name: number for number, layer in enumerate(ordered) for name in layer}
    assert [rank[name] for name in shown] == sorted(rank[name] for name in shown)


def _sources() -> dict[str, str]:
    """Every module of the package and its text."""
    package = ROOT / "plugin"
    return {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__"): path.read_text()
        for path in (package / "pipegraft").rglob("*.py")
    }


def _importers(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Module → those that import it."""
    found: dict[str, set[str]] = {name: set() for name in sources}
    for name, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                for one in node.names:
                    inner = f"{node.module}.{one.name}"
                    found.get(inner, found.get(node.module, set())).add(name)
            elif isinstance(node, ast.Import):
                for one in node.names:
                    found.get(one.name, set()).add(name)
    return found


def test_modules_stay_few_and_can_be_read() -> None:
    """What is one thing is one module: the grain does not become finer, and none too long for one reading."""
    sources = _sources()
    assert {name: long for name, text in sources.items() if (long := text.count("\n")) > 400} == {}
    assert len(sources) < 330
    alone = [name for name, importers in _importers(sources).items() if len(importers) == 1]
    assert len(alone) < 60
