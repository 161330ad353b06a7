"""The OAM output: a real KubeVela Application that loses nothing."""

from __future__ import annotations

import copy
import os
import re
import string
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spec_fields import APP, ENVIRONMENT, fields, spec, values

from pipegraft.domain import pod_checks
from pipegraft.domain.rendering.dump import dump_documents
from pipegraft.domain.rendering.oam import render_application
from pipegraft.domain.workloads import read_application
from pipegraft.errors import UsageError
from pipegraft.model.appspec import (
    App,
    AppComponent,
    AppEnvironment,
    Entrance,
    GrayBlock,
    Reference,
    ReleaseMark,
)
from pipegraft.model.base import kebab
from pipegraft.model.traits import Probe

SCHEMAS = Path(os.environ.get("PIPEGRAFT_SCHEMAS", Path(__file__).parents[2] / "../shared/schemas"))
PROBE = {"httpGet", "tcpSocket", "exec", "initialDelaySeconds", "periodSeconds", "timeoutSeconds"} | {
    "successThreshold",
    "failureThreshold",
}
PARAMETERS = {
    "webservice": "image imagePullPolicy imagePullSecrets cmd args env cpu memory limit ports exposeType "
    "volumeMounts volumes livenessProbe readinessProbe hostAliases labels annotations addRevisionLabel",
    "k8s-objects": "objects",
    "scaler": "replicas",
    "init-container": "name image imagePullPolicy cmd args env mountName appMountPath initMountPath "
    "extraVolumeMounts",
    "sidecar": "name image cmd args env volumes livenessProbe readinessProbe",
    "json-patch": "operations",
}
"""Parameters of the built-in definitions of vela-core 1.10."""


def application() -> dict[str, Any]:
    return render_application(spec(), "4be1")


def everything() -> str:
    return dump_documents([application()])


def test_the_example_sets_every_field_there_is() -> None:
    models = [App, AppComponent, AppEnvironment, Entrance, GrayBlock, Probe, Reference, ReleaseMark]
    declared = {kebab(name) for model in models for name in model.model_fields}
    unrendered = {kebab(name) for name in pod_checks._UNRENDERED}
    unrendered |= {"router", "ingress-class", "mirror", "gray-for", "affinity"}  # see test_routers.py
    unrendered |= {"resources", "providers"}  # see resources/
    assert declared - unrendered - {"policies"} <= fields(APP) | fields(ENVIRONMENT)


@pytest.mark.parametrize("value", sorted(set(values(APP) + values(ENVIRONMENT))))
def test_every_declared_value_appears(value: str) -> None:
    assert re.search(rf"(?<![\w.-]){re.escape(value)}(?![\w-])", everything())


@pytest.mark.parametrize(
    ("component", "field", "value"),
    [
        ("governance", "intimacy", "rpc"),
        ("pricing", "host", "orders"),
        ("rules", "attach", None),
        ("web", "entrance", {"via": "web", "port": "http"}),
        ("web", "readiness", {"path": "/ready", "port": "http"}),
    ],
)
def test_what_says_where_something_goes_changes_the_output(component: str, field: str, value: Any) -> None:
    changed = copy.deepcopy(APP)
    part = changed["components"][component]
    part.pop("host" if field == "intimacy" else "command" if field == "attach" else "", None)
    part.pop("args" if field == "attach" else "", None)
    part[field] = value
    if component == "governance":
        changed["components"]["web"]["entrance"] = {"via": "web", "port": "http"}
    before = copy.deepcopy(changed)
    before["components"][component] = APP["components"][component]
    assert render_application(spec(changed), "4be1") != render_application(spec(before), "4be1")


def test_it_is_a_valid_application() -> None:
    path = SCHEMAS / "kubevela-application-crd.yaml"
    if not path.exists():
        pytest.skip("the official schema is not here")
    versions = yaml.safe_load(path.read_text())["spec"]["versions"]
    schema = next(one for one in versions if one["name"] == "v1beta1")["schema"]["openAPIV3Schema"]
    jsonschema.Draft202012Validator(closed(schema)).validate(application())


def closed(schema: Any) -> Any:
    """The schema with objects that take no other keys, as the API server drops them silently."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    open_object = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_object:
        found["additionalProperties"] = False
    if set(schema.get("properties", {})) >= {"apiVersion", "kind", "metadata", "spec"}:
        found["properties"]["metadata"] = {"type": "object"}
    return found


def test_components_and_traits_have_only_parameters_of_their_definitions() -> None:
    for component in application()["spec"]["components"]:
        for part in (component, *component.get("traits", ())):
            assert set(part["properties"]) <= set(PARAMETERS[part["type"]].split()), part["type"]
            for kind in ("readinessProbe", "livenessProbe"):
                assert set(part["properties"].get(kind, ())) <= PROBE


def test_both_versions_stand_beside_each_other_and_the_route_splits_by_weight() -> None:
    components = {component["name"]: component for component in application()["spec"]["components"]}
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


def test_a_sidecar_release_touches_nothing_but_its_image() -> None:
    environment = copy.deepcopy(ENVIRONMENT)
    del environment["gray"]
    before = dump_documents([render_application(spec(environment=environment), "r")]).splitlines()
    environment["components"]["governance"] = {"image": "registry/governance@sha256:9"}
    after = dump_documents([render_application(spec(environment=environment), "r")]).splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.strip() for _, new in changed] == ["image: registry/governance@sha256:9"]


def test_the_engine_reads_back_what_runs() -> None:
    workloads, routes = read_application(application())
    web = workloads[0]
    assert [container.name for container in web.containers] == ["web", "governance"]
    assert sorted((mount.name, mount.image, mount.path) for mount in web.mounts) == [
        ("pricing", "registry/pricing@sha256:2", "/opt/pricing"),
        ("rules", "registry/rules@sha256:3", "/opt/rules"),
    ]
    assert (web.replicas, web.grace, web.ports) == (7, 41.0, (8080, 8081, 9000, 9001))
    readiness = web.containers[0].readiness
    assert readiness is not None
    assert (readiness.path, readiness.port, readiness.delay, readiness.period) == ("/ready", 8081, 42, 43)
    assert routes[0].listen == "127.0.0.1:8088"
    assert routes[0].backends == (("web", 9000, 87), ("web-gray", 9000, 13))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda web: web.update(type="worker"), "component 'web' of type 'worker'"),
        (
            lambda web: web["traits"].append({"type": "hpa", "properties": {}}),
            "trait 'hpa' of component 'web'",
        ),
        (
            lambda web: web["traits"][-1]["properties"]["operations"].append(
                {"op": "add", "path": "/spec/paused", "value": True}
            ),
            "the JSON patch of /spec/paused",
        ),
    ],
)
def test_what_the_engine_does_not_know_is_refused_by_name(change: Any, message: str) -> None:
    data = application()
    change(data["spec"]["components"][0])
    with pytest.raises(UsageError, match=message):
        read_application(data)


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
    workloads, _ = read_application(yaml.safe_load(once))
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
