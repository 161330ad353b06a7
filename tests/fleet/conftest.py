"""A group on a server with real repositories."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))  # gitlab_double

from fleet_files import PIPELINE, delivery
from group_double import TOKEN, Lab, serve_group

from pipegraft.adapters.forge.group import GitLabGroup, open_group
from pipegraft.builtins import PLUGINS
from pipegraft.manager import Plugins


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with serve_group(tmp_path / "repositories") as running:
        yield running


@pytest.fixture
def add(lab: Lab) -> Callable[..., int]:
    """Add a project with a pipeline and a delivery; answers its number."""

    def add(name: str, **more: object) -> int:
        return lab.add(name, {".gitlab-ci.yml": PIPELINE, "delivery.yaml": delivery(name)}, **more)

    return add


@pytest.fixture
def forge(lab: Lab) -> GitLabGroup:
    return open_group("acme", lab.url, {"PIPEGRAFT_GITLAB_TOKEN": TOKEN})


@pytest.fixture
def plugins() -> Plugins:
    return Plugins(PLUGINS, ())
