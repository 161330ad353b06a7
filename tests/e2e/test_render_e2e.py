"""Everything that is rendered is taken by a real Kubernetes API server, field by field."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
from kubernetes_api import KubernetesApi

from pipegraft.domain.appspec import Resolved
from pipegraft.domain.rendering.kubernetes import render_kubernetes
from pipegraft.domain.rendering.oam import render_application

sys.path.append(str(Path(__file__).parents[1] / "domain"))
import vela
from spec_fields import APP, ENVIRONMENT, PLAIN, POLICIES, spec

pytestmark = pytest.mark.e2e

Data = dict[str, Any]


def everything(namespace: str) -> Resolved:
    """Every key of the app spec, in a namespace that exists."""
    app, environment = copy.deepcopy(APP), copy.deepcopy(ENVIRONMENT)
    environment["namespace"] = namespace
    # The definition of HTTPRoutes at hand is older than mirrors of a part.
    app["components"]["web"]["entrance"]["mirror"] = 100
    return spec(app, environment)


def policies(namespace: str) -> Resolved:
    """Every policy, and components that leave all to them."""
    return spec({**PLAIN, "policies": POLICIES}, {"namespace": namespace, "components": {}})


def accepted(kubernetes: KubernetesApi, objects: list[Data]) -> list[str]:
    """Kinds of the objects, after the server took them all as they are."""
    known = [adapted(item) for item in objects]
    words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-"]
    answered = kubernetes.kubectl(*words, given=known).split()
    assert len(answered) == len(objects)
    return sorted({item["kind"] for item in objects})


def adapted(item: Data) -> Data:
    """HTTPRoutes in the newest version that the definition at hand serves; its parents have no port yet."""
    if item["kind"] != "HTTPRoute":
        return item
    route = copy.deepcopy({**item, "apiVersion": "gateway.networking.k8s.io/v1beta1"})
    for parent in route["spec"]["parentRefs"]:
        parent.pop("port", None)
    return route


@pytest.fixture
def namespace(kubernetes: KubernetesApi) -> str:
    if not kubernetes.crds:
        pytest.skip("no schemas here (PIPEGRAFT_SCHEMAS)")
    return kubernetes.namespace("render")


def test_plain_objects_are_taken(kubernetes: KubernetesApi, namespace: str) -> None:
    kinds = accepted(kubernetes, render_kubernetes(everything(namespace), "4be1"))
    assert kinds == [
        "CronJob",
        "Deployment",
        "HTTPRoute",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Service",
        "SidecarSet",
    ]
    accepted(kubernetes, render_kubernetes(policies(namespace), "4be1"))


def test_applications_are_taken_and_so_is_what_kubevela_makes_of_them(
    kubernetes: KubernetesApi, namespace: str
) -> None:
    for resolved in (everything(namespace), policies(namespace)):
        application = render_application(resolved, "4be1")
        assert accepted(kubernetes, [application]) == ["Application"]
        components = application["spec"]["components"]
        made = [vela.deployment(application, one) for one in components if one["type"] == "webservice"]
        beside = [
            item
            for one in components
            if one["type"] == "k8s-objects"
            for item in one["properties"]["objects"]
        ]
        assert "Deployment" in accepted(kubernetes, [*made, *beside])


def test_an_unknown_field_would_be_seen(kubernetes: KubernetesApi, namespace: str) -> None:
    service = next(
        item for item in render_kubernetes(everything(namespace), "4be1") if item["kind"] == "Service"
    )
    service["spec"]["prots"] = []
    words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"]
    assert "prots" in kubernetes.kubectl_process(*words, given=[service]).stderr
