"""A group on a server with real repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet_files import PIPELINE, delivery
from group_double import TOKEN, Lab, serve_group

from pipegraft.app.plugins import shipped_plugins
from pipegraft.core.plugins import Plugins
from pipegraft.fleet.adapters import GitLabGroup, open_group


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
    return shipped_plugins()
