"""Rendered Kubernetes objects against the official schemas, strictly: no field that is dropped silently."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from crd_schemas import closed
from spec_fields import APP, Data, placements, spec

from pipegraft.appspec.rendering.compose import render_compose
from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.rendering.oam import render_application

SCHEMAS = Path(os.environ.get("PIPEGRAFT_SCHEMAS", Path(__file__).parents[2] / "../shared/schemas"))
VERSIONS = [f"1.{minor}" for minor in range(30, int(kubernetes_validate.latest_version().split(".")[1]) + 1)]
CUSTOM = {"HTTPRoute", "SidecarSet"}
"""Kinds that are not Kubernetes' own; test_routers.py is for routes."""
PLACEMENTS = placements()


def rendered(documents: tuple[Data, Data]) -> list[Data]:
    return render_kubernetes(spec(*documents), "4be1")


def without_image_volumes(documents: tuple[Data, Data]) -> tuple[Data, Data]:
    """The same with every in-process component copied by an init container, for what is older than 1.31."""
    found = copy.deepcopy(documents)
    for holder in (found[0], found[1], found[1].get("gray", {})):
        pricing = holder.get("components", {}).get("pricing")
        if pricing:
            pricing["attach"] = "init-container"
    return found


def test_the_versions_reach_from_1_30_to_the_newest() -> None:
    assert VERSIONS[0] == "1.30"
    assert len(VERSIONS) > 3  # the lowest jsonschema goes with an older list of versions


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_objects_are_strictly_valid(placement: str, version: str) -> None:
    documents = PLACEMENTS[placement]
    objects = rendered(documents if version > "1.30" else without_image_volumes(documents))
    checked = [item for item in objects if item["kind"] not in CUSTOM]
    for item in checked:
        kubernetes_validate.validate(item, version, strict=True)
    assert {"Deployment", "Service"} <= {item["kind"] for item in checked} or placement.startswith("polic")


def test_1_30_is_told_apart_from_versions_with_image_volumes() -> None:
    web = next(item for item in rendered(PLACEMENTS["app"]) if item["metadata"]["name"] == "web")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(web, "1.30", strict=True)


def test_sidecar_sets_are_valid_against_their_definition() -> None:
    path = SCHEMAS / "kruise-sidecarset-crd.yaml"
    if not path.exists():
        pytest.skip("the official schema is not here")
    sets = [
        item
        for documents in PLACEMENTS.values()
        for item in rendered(documents)
        if item["kind"] == "SidecarSet"
    ]
    assert sets
    versions = yaml.safe_load(path.read_text())["spec"]["versions"]
    schema = next(one for one in versions if one["name"] == "v1beta1")["schema"]["openAPIV3Schema"]
    for item in sets:
        assert item["apiVersion"] == "apps.kruise.io/v1beta1"
        jsonschema.Draft202012Validator(closed(schema)).validate(item)


@pytest.mark.parametrize("version", VERSIONS)
def test_containers_of_a_sidecar_set_are_containers(version: str) -> None:
    """The definition leaves them open; OpenKruise embeds core/v1's Container."""
    for item in rendered(PLACEMENTS["app"]):
        if item["kind"] == "SidecarSet":
            (container,) = item["spec"]["containers"]
            assert container["podInjectPolicy"] == "AfterAppContainer"
            plain = {key: value for key, value in container.items() if key != "podInjectPolicy"}
            pod = {"containers": [plain], "volumes": item["spec"].get("volumes", [])}
            holder = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
            kubernetes_validate.validate(holder, version, strict=True)


TARGETS = {
    "oam": lambda resolved: [render_application(resolved, "4be1")],
    "kubernetes": lambda resolved: render_kubernetes(resolved, "4be1"),
    "compose": lambda resolved: [render_compose(resolved, "4be1")],
}
STABLE: Data = {"release": {"number": 1, "source": "x"}, "components": {}}


@pytest.mark.parametrize("sidecar", ["governance", "logs", "metrics"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_sidecar_release_touches_nothing_but_its_image(target: str, sidecar: str) -> None:
    """Ordinary, native, and of a sidecar set: bumped alone, the one difference is the image."""
    release = {**STABLE, "components": {sidecar: {"image": "registry/sidecar@sha256:99"}}}
    before = paths(TARGETS[target](spec(APP, STABLE)))
    after = paths(TARGETS[target](spec(APP, release)))
    assert before.keys() == after.keys()
    differing = {path: after[path] for path in before if before[path] != after[path]}
    assert list(differing.values()) == ["registry/sidecar@sha256:99"]
    assert next(iter(differing))[-1] == "image"


def test_a_sidecar_of_a_set_is_released_without_its_workload() -> None:
    """OpenKruise replaces the container in pods that run: the Deployment is the same, so nothing restarts."""
    release = {**STABLE, "components": {"metrics": {"image": "registry/sidecar@sha256:99"}}}
    before, after = (render_kubernetes(spec(APP, environment), "4be1") for environment in (STABLE, release))
    changed = [new["kind"] for old, new in zip(before, after, strict=True) if old != new]
    assert changed == ["SidecarSet"]


def paths(data: Any, route: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Every scalar by where it stands."""
    if isinstance(data, dict):
        return {
            path: value for key, item in data.items() for path, value in paths(item, (*route, key)).items()
        }
    if isinstance(data, list):
        pairs = ((index, item) for index, item in enumerate(data))
        return {path: value for key, item in pairs for path, value in paths(item, (*route, key)).items()}
    return {route: data}
