"""The OAM output: a real KubeVela Application that loses nothing."""

from __future__ import annotations

import copy
import os
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import vela
import yaml
from crd_schemas import closed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spec_fields import APP, ENVIRONMENT, gray_on_one_machine, one_machine, placements, spec

from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.rendering.oam import render_application
from pipegraft.appspec.rendering.yaml_output import dump_documents
from pipegraft.appspec.runtime_support import DOCKER
from pipegraft.engine.workloads import plan_of

SCHEMAS = Path(os.environ.get("PIPEGRAFT_SCHEMAS", Path(__file__).parents[2] / "../shared/schemas"))
PLACEMENTS = placements()


def application(placement: str = "app") -> dict[str, Any]:
    return render_application(spec(*PLACEMENTS[placement]), "4be1")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_it_is_a_valid_application(placement: str) -> None:
    path = SCHEMAS / "kubevela-application-crd.yaml"
    if not path.exists():
        pytest.skip("the official schema is not here")
    versions = yaml.safe_load(path.read_text())["spec"]["versions"]
    schema = next(one for one in versions if one["name"] == "v1beta1")["schema"]["openAPIV3Schema"]
    jsonschema.Draft202012Validator(closed(schema)).validate(application(placement))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_components_and_traits_have_only_parameters_of_their_definitions(placement: str) -> None:
    for component in application(placement)["spec"]["components"]:
        for part in (component, *component.get("traits", ())):
            vela.check_properties(part["type"], part["properties"])


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_kubevela_makes_the_workloads_that_the_kubernetes_target_has(placement: str) -> None:
    """The definitions applied as their templates say, each JSON patch to a place that exists and is free."""
    app = application(placement)
    kubernetes = render_kubernetes(spec(*PLACEMENTS[placement]), "4be1")
    ours = {item["metadata"]["name"]: item for item in kubernetes if item["kind"] == "Deployment"}
    theirs = {
        component["name"]: vela.deployment(app, component)
        for component in app["spec"]["components"]
        if component["type"] == "webservice"
    }
    assert list(theirs) == list(ours)
    for name, made in theirs.items():
        assert plain(made) == plain(ours[name])


def plain(deployment: dict[str, Any]) -> dict[str, Any]:
    """A Deployment without the labels, which differ, and without what a definition adds for itself."""
    spec = copy.deepcopy(deployment["spec"])
    del spec["selector"]
    del spec["template"]["metadata"]["labels"]
    pod = spec["template"]["spec"]
    for constraint in pod.get("topologySpreadConstraints", ()):
        del constraint["labelSelector"]
    pod.get("volumes", []).sort(key=lambda volume: volume["name"])
    pod["containers"][0]["name"] = "main"  # KubeVela calls it as the workload, whose new version is web-gray
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        container.pop("imagePullPolicy", None)
        container.get("volumeMounts", []).sort(key=lambda mount: mount["name"])
        container["ports"] = [
            {"name": port["name"], "containerPort": port["containerPort"]}
            for port in container.get("ports", ())
            if port["name"] != "entrance"  # the Service of a webservice exposes its own ports alone
        ]
    return dict(spec)


def test_the_objects_beside_a_workload_are_those_of_the_kubernetes_target() -> None:
    made = {kind: list(names) for kind, names in beside(application()).items()}
    assert made == {
        "PersistentVolumeClaim": ["web-data"],
        "PodDisruptionBudget": ["web", "web-gray", "orders", "orders-gray"],
        "SidecarSet": ["shop-space.web.metrics", "shop-space.web-gray.metrics"],
        "HorizontalPodAutoscaler": ["orders", "orders-gray"],
        "CronJob": ["nightly"],
        "Job": made["Job"],
        "HTTPRoute": ["web", "orders"],
        "Ingress": ["shop-admin"],
    }


def beside(app: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for item in objects_in(app):
        found.setdefault(item["kind"], {})[item["metadata"]["name"]] = item
    return found


def objects_in(app: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for component in app["spec"]["components"]:
        if component["type"] == "k8s-objects":
            yield from component["properties"]["objects"]


def test_claims_outlive_what_declares_them() -> None:
    app = application()
    claims = [
        item["metadata"]["name"]
        for one in app["spec"]["components"]
        for item in one["properties"].get("objects", ())
        if item["kind"] == "PersistentVolumeClaim"
    ]
    assert claims
    kept = next(one for one in app["spec"]["policies"] if one["type"] == "garbage-collect")
    (rule,) = kept["properties"]["rules"]
    assert rule == {"selector": {"resourceTypes": ["PersistentVolumeClaim"]}, "strategy": "never"}
    without = render_application(
        spec({"app": "shop", "components": {"web": {}}}, {"components": {"web": {"image": "i"}}})
    )
    assert "policies" not in without["spec"]


def test_what_selects_pods_selects_those_of_kubevela() -> None:
    found = beside(application())
    labels = {"app.oam.dev/name": "shop-production", "app.oam.dev/component": "web-gray"}
    assert found["PodDisruptionBudget"]["web-gray"]["spec"]["selector"]["matchLabels"] == labels
    sidecars = found["SidecarSet"]["shop-space.web-gray.metrics"]["spec"]
    assert sidecars["selector"]["matchLabels"] == labels
    assert sidecars["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "shop-space"}}


def test_both_versions_stand_beside_each_other_and_the_route_splits_by_weight() -> None:
    app = render_application(spec(one_machine(), gray_on_one_machine()), "4be1")
    components = {component["name"]: component for component in app["spec"]["components"]}
    assert list(components) == ["web", "web-gray", "orders", "orders-gray", "web-route", "orders-route"]
    route = components["web-route"]["properties"]["objects"][0]
    assert route["spec"]["parentRefs"] == [{"namespace": "infra", "name": "public"}]
    assert route["spec"]["rules"][0]["backendRefs"] == [
        {"name": "web", "port": 9000, "weight": 87},
        {"name": "web-gray", "port": 9000, "weight": 13},
    ]
    mesh = components["orders-route"]["properties"]["objects"][0]
    assert mesh["spec"]["parentRefs"] == [{"group": "", "kind": "Service", "name": "orders", "port": 7000}]


def test_init_containers_that_share_nothing_are_all_there() -> None:
    app = copy.deepcopy(APP)
    app["components"]["pricing"] |= {"command": ["copy"], "attach": "init-container"}
    web = render_application(spec(app), "4be1")["spec"]["components"][0]
    traits = [trait["properties"] for trait in web["traits"] if trait["type"] == "init-container"]
    assert [(trait["name"], trait["appMountPath"]) for trait in traits] == [
        ("pricing", "/opt/pricing"),
        ("rules", "/opt/rules"),
    ]


def test_the_version_is_the_revision_or_a_digest_of_what_is_rendered() -> None:
    key = "app.oam.dev/publishVersion"
    assert application()["metadata"]["annotations"][key] == "4be1"
    unnamed = render_application(spec())["metadata"]["annotations"][key]
    assert unnamed == render_application(spec())["metadata"]["annotations"][key]
    other = copy.deepcopy(ENVIRONMENT)
    other["gray"]["weight"] = 14
    assert unnamed != render_application(spec(environment=other))["metadata"]["annotations"][key]


NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=6)
ENV = st.dictionaries(
    st.text(string.ascii_uppercase, min_size=1, max_size=5), st.text(max_size=8), max_size=3
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    ports = iter(range(1000, 2000))
    components: dict[str, Any] = {}
    for index, name in enumerate(names):
        intimacy = "rpc" if index == 0 else draw(st.sampled_from(["rpc", "ipc", "in-process"]))
        part: dict[str, Any] = {"intimacy": intimacy, "image": f"registry/{name}"}
        if intimacy != "rpc":
            part["host"] = names[0]
        if intimacy == "in-process":
            part["mount"] = f"/opt/{name}"
        else:
            part["ports"] = {port: next(ports) for port in draw(st.lists(NAMES, max_size=2, unique=True))}
            part["env"] = draw(ENV)
        components[name] = part
    return {"app": "shop", "components": components}


@given(specs(), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_valid_spec_renders_the_same_every_time_and_is_read_back(app: dict[str, Any], gray: bool) -> None:
    first = next(iter(app["components"]))
    mark = {"number": 2, "source": "x"}
    block = {"release": mark, "weight": 5, "phase": "step", "components": {first: {"image": "other"}}}
    environment: dict[str, Any] = {"namespace": "space", **({"gray": block} if gray else {})}
    once, again = (dump_documents([render_application(spec(app, environment))]) for _ in range(2))
    assert once == again
    workloads = plan_of(spec(app, environment), DOCKER).workloads
    images = {image for workload in workloads for image in workload.images}
    declared = {part["image"] for part in app["components"].values()}
    assert images == declared | ({"other"} if gray else set())
    for name, part in app["components"].items():
        for key, value in (part.get("env") or {}).items():
            found = [
                dict(container.env)[key]
                for workload in workloads
                for container in workload.containers
                if container.name in (name, f"{name}-gray") and key in dict(container.env)
            ]
            assert set(found) == {value}
