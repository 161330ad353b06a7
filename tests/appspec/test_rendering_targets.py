"""Plain Kubernetes objects and Compose files: the same spec, nothing lost."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from spec_fields import APP, gray_on_one_machine, one_machine, spec

from pipegraft.appspec.rendering.compose import render_compose
from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.rendering.yaml_output import dump_documents

SCHEMAS = Path(os.environ.get("PIPEGRAFT_SCHEMAS", Path(__file__).parents[2] / "../shared/schemas"))
SPEC = spec(one_machine(), gray_on_one_machine())
RENDERED = {
    "kubernetes": dump_documents(render_kubernetes(SPEC, "4be1")),
    "compose": dump_documents([render_compose(SPEC, "4be1")]),
}


def objects(kind: str) -> dict[str, dict[str, Any]]:
    found = yaml.safe_load_all(RENDERED["kubernetes"])
    return {item["metadata"]["name"]: item for item in found if item["kind"] == kind}


def compose() -> dict[str, Any]:
    return next(iter(yaml.safe_load_all(RENDERED["compose"])))


def test_both_versions_have_workloads_and_services_of_their_own() -> None:
    for kind in ("Deployment", "Service"):
        assert list(objects(kind)) == ["web", "web-gray", "orders", "orders-gray"]
    for name, item in objects("Deployment").items():
        selector = item["spec"]["selector"]["matchLabels"]
        assert selector.items() <= item["spec"]["template"]["metadata"]["labels"].items()
        assert objects("Service")[name]["spec"]["selector"] == selector


def test_the_service_exposes_the_entrance_alone() -> None:
    assert objects("Service")["web"]["spec"]["ports"] == [
        {"name": "entrance", "port": 9000, "targetPort": 9000}
    ]


def test_an_in_process_component_is_mounted_and_a_copying_one_runs_first() -> None:
    pod = objects("Deployment")["web"]["spec"]["template"]["spec"]
    assert pod["volumes"] == [
        {
            "name": "pricing",
            "image": {"reference": "registry/pricing@sha256:2", "pullPolicy": "IfNotPresent"},
        },
        {"name": "rules", "emptyDir": {}},
    ]
    assert pod["containers"][0]["volumeMounts"] == [
        {"name": "pricing", "mountPath": "/opt/pricing", "readOnly": True},
        {"name": "rules", "mountPath": "/opt/rules"},
    ]
    assert [container["name"] for container in pod["initContainers"]] == ["rules"]


def test_every_object_says_of_which_revision_it_is_but_no_pod_does() -> None:
    for kind in ("Deployment", "Service", "HTTPRoute"):
        for item in objects(kind).values():
            assert item["metadata"]["annotations"]["pipegraft.dev/revision"] == "4be1"
    template = objects("Deployment")["web"]["spec"]["template"]
    assert "4be1" not in str(template)  # else every commit would restart every pod


def test_routes_are_valid_and_split_by_weight() -> None:
    routes = objects("HTTPRoute")
    weights = {
        name: [backend["weight"] for backend in route["spec"]["rules"][0]["backendRefs"]]
        for name, route in routes.items()
    }
    assert weights == {"web": [87, 13], "orders": [87, 13]}
    path = SCHEMAS / "gateway-httproute-crd.yaml"
    if path.exists():
        versions = yaml.safe_load(path.read_text())["spec"]["versions"]
        schema = versions[-1]["schema"]["openAPIV3Schema"]
        for route in routes.values():
            jsonschema.Draft202012Validator(schema).validate(route)


def test_a_sidecar_shares_the_network_of_its_pod() -> None:
    services = compose()["services"]
    assert services["web-governance"]["network_mode"] == "service:web"
    assert services["web-gray-governance"]["network_mode"] == "service:web-gray"


def test_only_the_stable_version_is_published() -> None:
    services = compose()["services"]
    assert services["web"]["ports"] == ["127.0.0.1:8088:9000"]
    assert "ports" not in services["web-gray"]


def test_compose_waits_for_what_copies_itself() -> None:
    services = compose()["services"]
    assert services["web"]["depends_on"] == {"web-rules": {"condition": "service_completed_successfully"}}
    assert services["web-rules"]["volumes"] == [
        {"type": "volume", "source": "web-rules", "target": "/opt/rules"}
    ]
    assert compose()["volumes"] == {"web-rules": {}, "web-gray-rules": {}}


def test_a_dollar_sign_stays_one() -> None:
    app = copy.deepcopy(APP)
    app["components"]["web"]["env"]["PLAIN"] = "a$b"
    services = render_compose(spec(app))["services"]
    assert services["web"]["environment"]["PLAIN"] == "a$$b"


@pytest.mark.parametrize(
    ("memory", "cpu", "limits"),
    [
        ("256Mi", "500m", {"mem_limit": "256m", "cpus": 0.5}),
        ("1G", "1.5m", {"mem_limit": "1000000000", "cpus": 0.0015}),
        ("1.5Gi", "2", {"mem_limit": "1610612736", "cpus": 2.0}),
    ],
)
def test_amounts_are_those_of_kubernetes(memory: str, cpu: str, limits: dict[str, Any]) -> None:
    app = {"app": "shop", "components": {"web": {"image": "r/web@sha256:1", "memory": memory, "cpu": cpu}}}
    web = render_compose(spec(app, {"components": {}}))["services"]["web"]
    assert {key: web[key] for key in limits} == limits
