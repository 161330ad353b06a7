from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipegraft.app.plugins import delivery_schema, list_plugins, shipped_plugins
from pipegraft.core.plugins import Plugins

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop" / "delivery.yaml"


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return shipped_plugins()


def test_everything_that_ships_works(plugins: Plugins) -> None:
    assert [plugin.error for plugin in list_plugins(plugins) if plugin.error] == []
    provided = {name for plugin in list_plugins(plugins) for name in plugin.provides}
    assert {
        "stage image-build",
        "CI system gitlab",
        "image builder layer",
        "GitOps engine embedded",
    } <= provided


def test_the_schema_accepts_the_example_and_is_itself_valid(plugins: Plugins) -> None:
    schema = delivery_schema(plugins)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(EXAMPLE.read_text()))


def change(route: list[str | int], value: object) -> Callable[[Any], None]:
    def apply(document: Any) -> None:
        for step in route[:-1]:
            document = document[step]
        document[route[-1]] = value

    return apply


@pytest.mark.parametrize(
    "spoil",
    [
        change(["apps"], "shop"),
        change(["app"], "Shop"),
        change(["components", "web", "intimacy"], "close"),
        change(["environments", "production", "gate", "engine"], "nonsense"),
        change(["environments", "production", "gate", "applcation"], "x"),
        change(["environments", "production", "gate", "application"], 5),
        change(["environments", "production", "gray", "steps"], []),
        change(["environments", "production", "gray", "interval"], "soon"),
    ],
)
def test_the_schema_refuses_what_the_program_refuses(plugins: Plugins, spoil: Callable[[Any], None]) -> None:
    document = copy.deepcopy(yaml.safe_load(EXAMPLE.read_text()))
    spoil(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(delivery_schema(plugins)).validate(document)
