"""What the app spec becomes for the embedded engine, and that no key of it is skipped."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from spec_fields import APP, gray_on_one_machine, one_machine, spec

from pipegraft.appspec.model import AppComponent, Reference
from pipegraft.appspec.runtime_support import DOCKER, PROCESS, Support, Treatment
from pipegraft.appspec.spec import resolve
from pipegraft.appspec.traffic_ports import Choice, cookie_pattern
from pipegraft.core.errors import ConfigError
from pipegraft.core.model import Model, keys_of
from pipegraft.engine.workloads import plan_of


def all_keys_of(model: type[Model], prefix: str = "") -> Iterator[str]:
    """Every key that a block can have, as `Support.keys` names them."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{keys_of(model)[name]}"
        blocks = list(blocks_of(field.annotation))
        for block in blocks:
            yield from all_keys_of(block, f"{key}.")
        values = [value for value in values_of(field.annotation) if isinstance(value, str)]
        yield from (f"{key}={value}" for value in values)
        if not blocks and not values:
            yield key


def blocks_of(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model) and annotation is not Reference:
        yield annotation
    for part in typing.get_args(annotation):
        yield from blocks_of(part)


def values_of(annotation: Any) -> Iterator[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from values_of(part)


KEYS = sorted(set(all_keys_of(AppComponent)))


@pytest.mark.parametrize("support", [PROCESS, DOCKER], ids=lambda support: support.runtime)
def test_something_is_said_of_every_key_of_the_app_spec(support: Support) -> None:
    assert len(KEYS) > 60
    assert [key for key in KEYS if support.answer(key) is None] == []
    for key, answer in support.keys.items():
        assert bool(answer.why) is (answer.treatment is not Treatment.HONOURED), key


@pytest.mark.parametrize("support", [PROCESS, DOCKER], ids=lambda support: support.runtime)
def test_every_answer_is_about_a_key_that_exists(support: Support) -> None:
    known = set(KEYS) | {"namespace", "resources", *(key.partition("=")[0] for key in KEYS)}
    known |= {key[:cut] for key in KEYS for cut in range(len(key)) if key[cut] == "."}
    assert set(support.keys) - known == set()


def test_the_example_as_it_runs_in_containers() -> None:
    plan = plan_of(spec(one_machine(), gray_on_one_machine()), DOCKER)
    web = plan.workloads[0]
    assert [container.name for container in web.containers] == ["web", "governance"]
    assert sorted((mount.name, mount.image, mount.path, bool(mount.filler)) for mount in web.mounts) == [
        ("pricing", "registry/pricing@sha256:2", "/opt/pricing", False),
        ("rules", "registry/rules@sha256:3", "/opt/rules", True),
    ]
    assert (web.replicas, web.grace, web.ports) == (7, 41.0, (8080, 8081, 9000, 9001))
    readiness = web.containers[0].readiness
    assert readiness is not None
    assert (readiness.path, readiness.port, readiness.delay, readiness.period) == ("/ready", 8081, 42, 43)
    assert plan.routes[0].listen == "127.0.0.1:8088"
    assert plan.routes[0].backends == (("web", 9000, 87), ("web-gray", 9000, 13))


def test_everything_that_cannot_be_honoured_is_named_at_once() -> None:
    app = copy.deepcopy(APP)
    app["components"]["web"]["entrance"] |= {"mirror": 100, "affinity": {}}
    with pytest.raises(ConfigError) as refused:
        plan_of(spec(app), PROCESS)
    messages = [problem.message for problem in refused.value.problems]
    for key in ("attach: init-container", "entrance.mirror", "autoscaling", "job", "volumes"):
        assert any(f"cannot honour '{key}' of component" in message for message in messages), messages


@pytest.mark.parametrize("support", [PROCESS, DOCKER], ids=lambda support: support.runtime)
def test_a_namespace_is_noted_where_one_is_declared(support: Support) -> None:
    app = "app: shop\ncomponents: {web: {image: 'x@sha256:1'}}\n"
    assert plan_of(resolve(app, "{}", "production"), support).notes == ()
    notes = plan_of(resolve(app, "namespace: till", "production"), support).notes
    assert notes == ("'namespace' has no effect here: only clusters have them",)


def test_chosen_users() -> None:
    app = one_machine()
    chosen = {"headers": {"X-Team": "shop"}, "cookies": {"beta": "yes"}}
    app["components"]["web"]["entrance"] |= {"gray-for": chosen}
    route = plan_of(spec(app, gray_on_one_machine()), DOCKER).routes[0]
    assert route.choices == (
        Choice("X-Team", "shop", "web-gray"),
        Choice("Cookie", cookie_pattern("beta", "yes"), "web-gray", regex=True),
    )
    assert route.backends == (("web", 9000, 87), ("web-gray", 9000, 13))
