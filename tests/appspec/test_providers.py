"""The providers that ship with the package, each by the suite that all must pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from pipegraft.appspec import hooks
from pipegraft.appspec.hooks import load_providers
from pipegraft.appspec.model import Reference
from pipegraft.appspec.resource_ports import Output, Provision, ResourceProvider, ResourceType
from pipegraft.appspec.resource_providers import CROSSPLANE, KUBEVELA_TERRAFORM, LOCAL
from pipegraft.core.errors import PluginError, UsageError
from pipegraft.core.model import Model
from pipegraft.core.plugins import Plugins, hookimpl
from pipegraft.testing.resource_suite import ResourceProviderSuite, request_for


class TestLocal(ResourceProviderSuite):
    @pytest.fixture
    def provider(self) -> ResourceProvider:
        return LOCAL


class TestCrossplane(ResourceProviderSuite):
    @pytest.fixture
    def provider(self) -> ResourceProvider:
        return CROSSPLANE

    @pytest.fixture
    def options(self) -> Mapping[str, Any]:
        return {"group": "platform.example.com"}


class TestKubevelaTerraform(ResourceProviderSuite):
    @pytest.fixture
    def provider(self) -> ResourceProvider:
        return KUBEVELA_TERRAFORM

    @pytest.fixture
    def options(self) -> Mapping[str, Any]:
        return {"component": "acme-database"}


def provided(provider: ResourceProvider, kind: str, target: Any, /, **options: Any) -> Provision:
    wanted = provider.type(kind)
    assert wanted is not None
    return provider.provide(request_for(wanted, target), provider.options.model_validate(options))


def test_a_composite_resource_is_namespaced_and_told_where_its_secret_goes() -> None:
    made = provided(
        CROSSPLANE,
        "postgres",
        "kubernetes",
        group="platform.example.com",
        version="v1alpha1",
        params={"storage": "size"},
        spec={"region": "eu-west-1"},
        **{"composition-labels": {"tier": "ha"}, "outputs": {"host": "endpoint"}},
    )
    (item,) = made.objects
    assert item == {
        "apiVersion": "platform.example.com/v1alpha1",
        "kind": "PostgreSQL",
        "metadata": {
            "name": "shop-thing",
            "namespace": "shop-production",
            "annotations": {"pipegraft.dev/resource": "postgres.default#shop.thing"},
        },
        "spec": {
            "region": "eu-west-1",
            "version": "1",
            "size": "10Gi",
            "database": "app",
            "crossplane": {"compositionSelector": {"matchLabels": {"tier": "ha"}}},
            "writeConnectionSecretToRef": {"name": "shop-thing-connection"},
        },
    }
    assert made.outputs["host"] == Reference(secret="shop-thing-connection", key="endpoint")


def test_a_terraform_component_writes_its_connection_secret() -> None:
    made = provided(
        KUBEVELA_TERRAFORM,
        "mysql",
        "oam",
        component="acme-rds",
        provider="acme",
        properties={"zone": "b"},
    )
    (component,) = made.components
    assert component == {
        "name": "shop-thing",
        "type": "acme-rds",
        "properties": {
            "zone": "b",
            "version": "1",
            "storage": "10Gi",
            "database": "app",
            "providerRef": {"name": "acme"},
            "writeConnectionSecretToRef": {"name": "shop-thing-connection"},
        },
    }
    assert made.outputs["password"] == Reference(secret="shop-thing-connection", key="DB_PASSWORD")


@pytest.mark.parametrize("name", ["password", "account_password", "secret_key", "rootPasswd", "api_token"])
def test_a_terraform_component_that_wants_a_secret_in_the_clear_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="for all to read"):
        KUBEVELA_TERRAFORM.options.model_validate({"component": "alibaba-rds", "properties": {name: "x"}})


def test_no_password_stands_in_a_compose_file() -> None:
    service = provided(LOCAL, "redis", "compose").services["shop-thing"]
    kept = Reference(secret="shop-thing-connection", key="password")
    assert service["environment"] == {"REDIS_PASSWORD": kept}
    assert "$$REDIS_PASSWORD" in service["entrypoint"][2]


class _None(Model):
    pass


def _provide(_request: Any, _options: Any) -> Provision:
    raise UsageError("never asked")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResourceType("Big", "", {}, {"path": Output("")}), "found 'Big'"),
        (lambda: ResourceType("big", "", {}, {}), "tells nothing"),
        (lambda: ResourceType("big", "", {}, {"path": Output("")}, ("size",)), r"\['size'\]"),
        (lambda: ResourceProvider("mine", "", (), {}, _None, _provide), "each once"),
        (
            lambda: ResourceProvider(
                "mine", "", (ResourceType("big", "", {}, {"path": Output("")}),), {}, _None, _provide
            ),
            "targets of each",
        ),
    ],
)
def test_values_that_make_no_sense_refuse_themselves(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_two_promises_by_one_name_are_refused() -> None:
    def plugin(name: str, output: str) -> Any:
        kind = ResourceType("share", "", {}, {output: Output("")})
        provider = ResourceProvider(name, "", (kind,), {"share": frozenset({"oam"})}, _None, _provide)

        class Plugin:
            @hookimpl
            def pipegraft_resource_providers(self) -> Iterator[ResourceProvider]:
                yield provider

        return SimpleNamespace(name=name, group="pipegraft", dist=None, load=Plugin)

    plugins = Plugins([hooks], [plugin("mine", "path"), plugin("yours", "url")])
    with pytest.raises(PluginError, match="mine and yours promise different things by 'share'"):
        load_providers(plugins)
