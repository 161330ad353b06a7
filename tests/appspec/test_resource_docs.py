"""What docs/resources.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

from pipegraft.appspec.model import ProviderChoice, Resource
from pipegraft.appspec.rendering.oam import render_application
from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.resource_providers import pipegraft_resource_providers
from pipegraft.appspec.spec import resolve
from pipegraft.core.model import kebab, keys_of

PAGE = (Path(__file__).parents[2] / "docs" / "resources.md").read_text("utf-8")


def test_the_example_renders() -> None:
    app, environment = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    providers = {one.name: one for one in pipegraft_resource_providers()}
    resolved = resolve(app, environment, "production", platform=Platform(lambda: providers, "oam"))
    components = render_application(resolved)["spec"]["components"]
    assert {one["name"]: one["type"] for one in components} == {
        "shop-db": "k8s-objects",
        "redis-default-sessions": "acme-redis",
        "web": "webservice",
    }


def test_every_key_provider_type_and_option_is_named() -> None:
    keys = [key for one in (Resource, ProviderChoice) for key in keys_of(one).values()]
    for provider in pipegraft_resource_providers():
        keys += [provider.name, *(kind.name for kind in provider.types)]
        keys += [kebab(name) for name in provider.options.model_fields]
    assert [key for key in keys if f"`{key}`" not in PAGE and f"{key}:" not in PAGE] == []
