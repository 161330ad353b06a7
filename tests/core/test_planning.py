from __future__ import annotations

import pytest

from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import UsageError
from pipegraft.core.planning import make_plan, select
from pipegraft.core.stage import Stage

DELIVERY = parse_document(
    """\
app: shop
registry: oci:r
components: {web: {path: web}}
iac: {repository: iac.git}
environments:
  staging: {gate: {engine: fake}}
  production: {gate: {engine: fake}, gray: {metrics: [{source: fake}]}}
""",
    "delivery.yaml",
    Delivery,
)


def stage(name: str, **options: object) -> Stage:
    return Stage(name=name, summary=name, run=lambda _context, _inputs: None, **options)  # type: ignore[arg-type]


STAGES = [
    stage("gray", after=("gate",), applies=lambda d, e: e is not None and d.environments[e].gray is not None),
    stage("bump"),
    stage("gate", after=("bump",)),
    stage("build", scope="app"),
]


def test_environments_follow_one_another_behind_the_application() -> None:
    plan = make_plan(DELIVERY, STAGES)
    assert [(one.id, one.needs) for one in plan.stages] == [
        ("build", ()),
        ("bump:staging", ("build",)),
        ("gate:staging", ("bump:staging",)),
        ("bump:production", ("gate:staging",)),
        ("gate:production", ("bump:production",)),
        ("gray:production", ("gate:production",)),
    ]


def test_a_third_stage_goes_between() -> None:
    plan = make_plan(DELIVERY, [*STAGES, stage("smoke-test", after=("gate",), before=("gray",))])
    production = [one for one in plan.stages if one.environment == "production"]
    assert [one.stage for one in production] == ["bump", "gate", "smoke-test", "gray"]
    assert production[-1].needs == ("gate:production", "smoke-test:production")


def test_a_cycle_is_named() -> None:
    with pytest.raises(UsageError, match=r"(bump|gate|odd) → (bump|gate|odd) → (bump|gate|odd) → "):
        make_plan(DELIVERY, [*STAGES, stage("odd", after=("gate",), before=("bump",))])


def test_select_keeps_the_order_and_names_what_exists() -> None:
    plan = make_plan(DELIVERY, STAGES)
    assert [one.id for one in select(plan, ("gate", "build"), "staging")] == ["build", "gate:staging"]
    assert [one.id for one in select(plan, environment="staging")] == [
        "build",
        "bump:staging",
        "gate:staging",
    ]
    with pytest.raises(UsageError, match="there is no environment 'qa'; there are: production, staging"):
        select(plan, environment="qa")
    with pytest.raises(UsageError, match="the plan has no stage 'smoke'; it has: build, bump, gate, gray"):
        select(plan, ("smoke",))
