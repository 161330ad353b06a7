"""Servers that several modules of end-to-end tests share, started when the first test asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gate_world import World
from kubernetes_api import KubernetesApi, running_api


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """A Kubernetes API server; each test makes a namespace of its own there."""
    with running_api(tmp_path_factory.mktemp("kubernetes")) as api:
        yield api


@pytest.fixture
def world(kubernetes: KubernetesApi) -> World:
    """A gate in a namespace of its own, and its scripted controller."""
    if not kubernetes.crds:
        pytest.skip("no schemas here (PIPEGRAFT_SCHEMAS)")
    return World(kubernetes)


@pytest.fixture
def projects(kubernetes: KubernetesApi) -> None:
    """AppProjects, of which the tests need no more than that they are kept as written."""
    _define(kubernetes, "argoproj.io", "v1alpha1", "AppProject", "appprojects")


@pytest.fixture
def charts(kubernetes: KubernetesApi) -> None:
    """Where charts come from, of which the tests need no more than that they are listed."""
    for kind, plural in (("HelmChart", "helmcharts"), ("OCIRepository", "ocirepositories")):
        _define(kubernetes, "source.toolkit.fluxcd.io", "v1", kind, plural)


def _define(kubernetes: KubernetesApi, group: str, version: str, kind: str, plural: str) -> None:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [served],
        },
    }
    kubernetes.apply(definition)
    kubernetes.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{plural}.{group}")
