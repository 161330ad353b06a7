"""What every `ResourceProvider` does.

Subclass `ResourceProviderSuite` in a test module and give it the fixture `provider`, and `options` where it
must be told something.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipegraft.appspec.model import Reference
from pipegraft.appspec.resource_ports import (
    Provision,
    ResourceProvider,
    ResourceRequest,
    ResourceType,
    Target,
)

__all__ = ["ResourceProviderSuite", "request_for"]

_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def request_for(kind: ResourceType, target: Target, **changes: Any) -> ResourceRequest:
    """A request with the defaults of a type; a parameter without one gets the text ``1``."""
    params = {name: schema.get("default", "1") for name, schema in kind.params.items()}
    values: dict[str, Any] = {
        "identity": f"{kind.name}.default#shop.thing",
        "name": "shop-thing",
        "secret": "shop-thing-connection",
        "app": "shop",
        "environment": "production",
        "namespace": "shop-production",
        "type": kind,
        "class_": "default",
        "id": None,
        "params": params,
        "target": target,
    }
    return ResourceRequest(**{**values, **changes})


class ResourceProviderSuite:
    """The contract of `ResourceProvider`."""

    @pytest.fixture
    def provider(self) -> ResourceProvider:
        raise NotImplementedError("a subclass provides the provider under test")

    @pytest.fixture
    def options(self) -> Mapping[str, Any]:
        """Its options, as an environment would declare them."""
        return {}

    @pytest.fixture
    def provisions(
        self, provider: ResourceProvider, options: Mapping[str, Any]
    ) -> list[tuple[ResourceRequest, Provision]]:
        """What it makes of every type for every target."""
        return [
            (request, provider.provide(request, provider.options.model_validate(dict(options))))
            for kind in provider.types
            for target in sorted(provider.targets[kind.name])
            for request in [request_for(kind, target)]
        ]

    def test_schemas_are_schemas_that_take_their_defaults(self, provider: ResourceProvider) -> None:
        for kind in provider.types:
            for schema in (kind.params_schema(), kind.outputs_schema()):
                Draft202012Validator.check_schema(schema)
            defaults = {name: one["default"] for name, one in kind.params.items() if "default" in one}
            validator = Draft202012Validator({**kind.params_schema(), "required": []})
            validator.validate(defaults)

    def test_every_output_is_told_and_no_other(
        self, provisions: list[tuple[ResourceRequest, Provision]]
    ) -> None:
        for request, provision in provisions:
            assert list(provision.outputs) == list(request.type.outputs)

    def test_secret_outputs_are_references(self, provisions: list[tuple[ResourceRequest, Provision]]) -> None:
        for request, provision in provisions:
            for name, output in request.type.outputs.items():
                if output.secret:
                    assert isinstance(provision.outputs[name], Reference), (request.type.name, name)

    def test_something_is_made_for_the_target_and_for_no_other(
        self, provisions: list[tuple[ResourceRequest, Provision]]
    ) -> None:
        for request, provision in provisions:
            composed = bool(provision.services)
            rendered = bool(provision.objects or provision.components)
            assert (composed, rendered) == (request.target == "compose", request.target != "compose")
            assert not provision.components or request.target == "oam"

    def test_what_is_made_is_plain_data_with_names_and_the_same_every_time(
        self, provider: ResourceProvider, provisions: list[tuple[ResourceRequest, Provision]]
    ) -> None:
        assert provider.name
        for request, provision in provisions:
            json.dumps([provision.objects, provision.components])
            for item in provision.objects:
                assert {"apiVersion", "kind", "metadata", "spec"} <= set(item)
                assert item["metadata"]["namespace"] == request.namespace
                assert _LABEL.fullmatch(item["metadata"]["name"])
            for component in provision.components:
                assert _LABEL.fullmatch(component["name"])
            assert set(provision.volumes) <= {
                volume["source"]
                for service in provision.services.values()
                for volume in service.get("volumes", ())
            }

    def test_every_parameter_counts(self, provider: ResourceProvider, options: Mapping[str, Any]) -> None:
        """A parameter that changes nothing is lost."""
        declared = provider.options.model_validate(dict(options))
        for kind in provider.types:
            for target in provider.targets[kind.name]:
                for name, schema in kind.params.items():
                    before = request_for(kind, target)
                    after = request_for(kind, target, params={**before.params, name: _another(schema)})
                    assert repr(provider.provide(before, declared)) != repr(
                        provider.provide(after, declared)
                    ), f"{kind.name}.{name} for {target}"

    def test_namesakes_in_other_namespaces_share_nothing_by_accident(
        self, provider: ResourceProvider, options: Mapping[str, Any]
    ) -> None:
        declared = provider.options.model_validate(dict(options))
        for kind in provider.types:
            for target in provider.targets[kind.name]:
                first = provider.provide(request_for(kind, target), declared)
                other = provider.provide(request_for(kind, target, namespace="elsewhere"), declared)
                assert [item["metadata"]["namespace"] for item in other.objects] == [
                    "elsewhere" for _ in first.objects
                ]


def _another(schema: Mapping[str, Any]) -> Any:
    """A valid value that differs from the default."""
    if "enum" in schema:
        return schema["enum"][-1] if schema["enum"][0] == schema.get("default") else schema["enum"][0]
    if schema.get("type") == "boolean":
        return not schema.get("default", False)
    if schema.get("type") == "integer":
        return schema.get("default", 0) + 1
    pattern = schema.get("pattern")
    candidates = ("other", "7", "7Gi", "a7")
    return next(one for one in candidates if pattern is None or re.fullmatch(pattern, one))
