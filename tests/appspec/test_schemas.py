"""Resources in what engines and editors check: the official schema, and ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from crd_schemas import closed  # of the folder above

from pipegraft.app.plugins import shipped_plugins, spec_schema
from pipegraft.appspec.rendering.compose import render_compose
from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.rendering.oam import render_application
from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.resource_ports import ResourceProvider, Target
from pipegraft.appspec.resource_providers import pipegraft_resource_providers
from pipegraft.appspec.spec import resolve
from pipegraft.core.model import keys_of
from pipegraft.testing.resource_suite import request_for

SCHEMAS = Path(os.environ.get("PIPEGRAFT_SCHEMAS", Path(__file__).parents[3] / "../shared/schemas"))
APP = """\
app: shop
components:
  web:
    image: v1
    ports: {http: 80}
    env: {HOST: "${resources.db.host}", URL: "http://${resources.files.bucket}"}
resources:
  db:
    type: postgres
    class: some-class
    id: some-id
    params: {version: "15.9", storage: 77Gi, database: some_db}
  files: {type: bucket, params: {name: some-bucket}}
"""
THERE = """\
namespace: space
resources: {db: {class: other-class, params: {storage: 78Gi}}}
providers:
  - {provider: kubevela-terraform, class: other-class, options: {component: acme-rds}}
  - {provider: crossplane, options: {group: acme.example.com}}
"""
IN_KUBERNETES = THERE.replace("kubevela-terraform", "crossplane").replace(
    "component: acme-rds", "group: acme-db.com"
)


def rendered(target: Target) -> Any:
    providers = {one.name: one for one in pipegraft_resource_providers()}
    there = IN_KUBERNETES if target == "kubernetes" else THERE
    resolved = resolve(APP, there, "production", platform=Platform(lambda: providers, target))
    renderers = {"oam": render_application, "kubernetes": render_kubernetes, "compose": render_compose}
    return renderers[target](resolved, "4be1")  # type: ignore[operator] # functions of one shape


def test_applications_with_resources_are_valid() -> None:
    path = SCHEMAS / "kubevela-application-crd.yaml"
    if not path.exists():
        pytest.skip("the official schema is not here")
    versions = yaml.safe_load(path.read_text())["spec"]["versions"]
    schema = next(one for one in versions if one["name"] == "v1beta1")["schema"]["openAPIV3Schema"]
    application = rendered("oam")
    assert application["spec"]["policies"]
    assert application["spec"]["components"][-1]["dependsOn"]
    jsonschema.Draft202012Validator(closed(schema)).validate(application)
    assert "workflow" not in application["spec"], (
        "its default applies Terraform components; a deploy step would not"
    )


@pytest.mark.parametrize("target", ["oam", "kubernetes", "compose"])
@pytest.mark.parametrize(
    "value", ["postgres", "other-class", "some-id", "15.9", "78Gi", "some_db", "bucket", "some-bucket"]
)
def test_every_value_of_a_resource_appears(target: Target, value: str) -> None:
    assert value in yaml.safe_dump(rendered(target))


@pytest.mark.parametrize("target", ["oam", "kubernetes"])
def test_every_value_of_a_provider_appears(target: Target) -> None:
    text = yaml.safe_dump(rendered(target))
    assert "acme.example.com" in text
    assert ("acme-rds" if target == "oam" else "acme-db.com") in text


OPTIONS: dict[str, dict[str, Any]] = {
    "crossplane": {
        "group": "b.example.com",
        "version": "v2",
        "kind": "Other",
        "params": {"storage": "size"},
        "spec": {"region": "x"},
        "composition": "named",
        "composition-labels": {"a": "b"},
        "outputs": {"host": "endpoint"},
    },
    "kubevela-terraform": {
        "component": "other",
        "params": {"storage": "size"},
        "properties": {"zone": "x"},
        "outputs": {"host": "endpoint"},
        "provider": "acme",
    },
}


@pytest.mark.parametrize(("name", "option"), [(name, key) for name, one in OPTIONS.items() for key in one])
def test_every_option_of_a_provider_counts(name: str, option: str) -> None:
    provider = {one.name: one for one in pipegraft_resource_providers()}[name]
    least = {"group": "a.example.com"} if name == "crossplane" else {"component": "acme"}
    assert made(provider, least) != made(provider, {**least, option: OPTIONS[name][option]})


def made(provider: ResourceProvider, options: dict[str, Any]) -> str:
    kind = provider.type("postgres")
    assert kind is not None
    return repr(provider.provide(request_for(kind, "oam"), provider.options.model_validate(options)))


def test_the_options_tried_are_all_there_are() -> None:
    for provider in pipegraft_resource_providers():
        names = set(keys_of(provider.options).values())
        assert names == set(OPTIONS.get(provider.name, {}))


@pytest.mark.parametrize(
    ("of", "change", "good"),
    [
        ("app", {}, True),
        ("app", {"type": "oracle"}, False),
        ("app", {"params": {"size": "1"}}, False),
        ("app", {"params": {"storage": "much"}}, False),
        ("environment", {}, True),
        ("environment", {"provider": "aws"}, False),
        ("environment", {"options": {}}, False),
        ("environment", {"options": {"group": "a", "more": 1}}, False),
    ],
)
def test_editors_know_types_parameters_and_options(of: Any, change: dict[str, Any], good: bool) -> None:
    schema = spec_schema(of, shipped_plugins())
    jsonschema.Draft202012Validator.check_schema(schema)
    if of == "app":
        resource = {"type": "postgres", "params": {"storage": "1Gi"}, **change}
        data: dict[str, Any] = {"app": "a", "components": {"b": {}}, "resources": {"c": resource}}
    else:
        data = {"providers": [{"provider": "crossplane", "options": {"group": "a.b"}, **change}]}
    assert jsonschema.Draft202012Validator(schema).is_valid(data) is good
