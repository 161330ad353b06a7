"""What works on one machine alone is said, with its place, before it is committed."""

from __future__ import annotations

import pytest

from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.doctor import runner_problems
from pipegraft.core.reading import load_marked

LOCAL = """\
app: shop
registry: oci:.pipegraft/registry
components:
  web: {path: web}
  api: {path: api, builder: buildkit}
iac: {repository: ../shop-iac}
environments:
  production:
    gate: {engine: embedded, state: ../shop-engine, application: shop-production}
    gray: {steps: [5, 50], metrics: [{source: embedded, state: ../shop-engine}]}
"""
SHARED = """\
app: shop
registry: registry.example.com/shop
components: {web: {path: web, builder: buildah}}
iac: {repository: REPOSITORY}
environments:
  production: {gate: {engine: argocd, application: shop, timeout: 5m}}
"""


def said(text: str, longest: float = 600.0) -> list[str]:
    delivery = parse_document(text, "delivery.yaml", Delivery)
    return [
        f"{one.place}: {one.message}"
        for one in runner_problems(delivery, load_marked(text, "delivery.yaml"), longest, lambda _one: True)
    ]


def test_everything_of_this_machine_is_named_at_once() -> None:
    assert said(LOCAL, longest=5400.0) == [
        "delivery.yaml:2:11: the registry is a folder of this machine, 'oci:.pipegraft/registry', "
        "which a runner does not have",
        "delivery.yaml:6:19: the IaC repository is a path of this machine, '../shop-iac': "
        "a runner does not find it",
        "delivery.yaml:4:3: 'web': built from a Dockerfile, which takes a Docker engine that the job reaches",
        "delivery.yaml:9:37: the engine of 'production' is found by a folder of this machine, "
        "'../shop-engine'",
        "delivery.yaml:10:38: metric 'errors' of 'production' is read from a folder of this machine",
        "delivery.yaml:7:1: a delivery may take 1.5 h by its own limits; many runners end a job after 1 h",
    ]


@pytest.mark.parametrize(
    "repository",
    ["https://gitlab.example.com/iac/shop.git", "git@gitlab.example.com:iac/shop.git", "$IAC_URL"],
)
def test_what_a_runner_reaches_is_not_named(repository: str) -> None:
    assert said(SHARED.replace("REPOSITORY", repr(repository))) == []
