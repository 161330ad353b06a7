"""The map of rooms is the folders of the package, in the order that the imports keep to."""

from __future__ import annotations

import re
import tomllib
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
