"""Servers that several modules of end-to-end tests share, started when the first test asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes_api import KubernetesApi, running_api


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """A Kubernetes API server; each test makes a namespace of its own there."""
    with running_api(tmp_path_factory.mktemp("kubernetes")) as api:
        yield api
