from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipegraft.core.delivery import Delivery, Gray
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import ConfigError

GOOD = """\
app: shop
registry: oci:.pipegraft/registry
components:
  web: {path: services/web, intimacy: rpc}
  pricing: {path: components/pricing, intimacy: in-process, mount: /opt/components/pricing}
iac: {repository: ../iac.git}
environments:
  staging:
    gate: {engine: argocd, application: shop-staging}
  production:
    gate: {engine: flux, kustomization: shop}
    gray: {steps: [1, 5], interval: 5m, metrics: [{source: prometheus, query: up}], on-inconclusive: hold}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "delivery.yaml", Delivery)
    return [str(problem) for problem in caught.value.problems]


def test_reads_a_whole_delivery() -> None:
    delivery = parse_document(GOOD, "delivery.yaml", Delivery)
    assert list(delivery.environments) == ["staging", "production"]
    assert delivery.environments["staging"].gate.options == {"application": "shop-staging"}
    gray = delivery.environments["production"].gray
    assert gray is not None
    assert (gray.interval, gray.on_inconclusive) == (300.0, "hold")
    assert gray.metrics[0].options == {"query": "up"}


def test_reports_every_problem_at_once_with_its_place() -> None:
    text = GOOD.replace("app: shop", "app: Shop!").replace("branch", "b")
    text = text.replace("intimacy: rpc", "intimcy: rpc").replace("interval: 5m", "interval: soon")
    assert problems(text) == [
        "delivery.yaml:1:6: 'app': expected text that matches "
        "'^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$', found 'Shop!'",
        "delivery.yaml:4:29: unknown key 'components.web.intimcy'\n    fix: write 'intimacy'",
        "delivery.yaml:12:37: 'environments.production.gray.interval': "
        "expected a duration such as 30s, 5m or 1h30m, found 'soon'",
    ]


def test_a_missing_key_points_at_the_mapping_that_lacks_it() -> None:
    text = GOOD.replace("path: services/web, ", "").replace("iac: {repository: ../iac.git}\n", "")
    assert problems(text) == [
        "delivery.yaml:1:1: 'iac' is missing\n    fix: add 'iac'",
        "delivery.yaml:4:3: 'components.web.path' is missing\n    fix: add 'path'",
    ]


def test_rules_between_keys_point_at_the_component() -> None:
    assert problems(GOOD.replace(", mount: /opt/components/pricing", "")) == [
        "delivery.yaml:5:12: 'components.pricing': an in-process component needs 'mount', "
        "the absolute path where it appears in the pod"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "delivery.yaml:1:1: expected a mapping, found an empty file"),
        (
            "a: [1",
            "delivery.yaml:2:1: expected YAML, found: did not find expected ',' or ']'",
        ),
        ("app: a\napp: b\n", "delivery.yaml:2:1: 'app' stands twice, first in line 1\n    fix: keep one"),
        ("a: &x [*x]\n", "delivery.yaml:1:4: expected a finite document, found aliases without end"),
        ("- 1\n", "delivery.yaml:1:1: expected a mapping"),
        ("a: !secret b\n", "delivery.yaml:1:4: expected a plain value, found 'b'"),
        ("? [a]\n: b\n", "delivery.yaml:1:3: expected a plain key, found a collection"),
        ("a: 1\n--- \nb: 2\n", "delivery.yaml:2:1: expected YAML, found: but found another document"),
    ],
)
def test_what_is_no_delivery_at_all(text: str, message: str) -> None:
    assert problems(text)[0].startswith(message)


def test_an_alias_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases without end" in problems("\n".join(lines))[0]


def test_merged_and_aliased_mappings_are_read() -> None:
    text = GOOD.replace(
        "web: {path: services/web, intimacy: rpc}", "web: &w {path: services/web}\n  api: {<<: *w}"
    )
    assert parse_document(text, "d", Delivery).components["api"].path == "services/web"


def test_shares_and_percents_may_be_written_the_same_everywhere() -> None:
    def gray(**keys: object) -> Gray:
        return Gray.model_validate({"metrics": [{"source": "fake", **keys}], "steps": [5, 50], "alpha": 0.01})

    written = gray(floor="5%", margin="100%", tolerance="12.5%", quantile="99.9%").metrics[0]
    plain = gray(floor=0.05, margin=1.0, tolerance=0.125, quantile=0.999).metrics[0]
    assert [written.floor, written.margin, written.tolerance] == [0.05, 1.0, 0.125]
    assert written == plain
    declared = {"metrics": [{"source": "fake"}], "steps": ["5%", "50%"], "alpha": "1%", "wander": "20%"}
    assert Gray.model_validate(declared) == Gray.model_validate(
        {"metrics": [{"source": "fake"}], "steps": [5, 50], "alpha": 0.01, "wander": 0.2}
    )
    for wrong in ({"floor": "5 percent"}, {"floor": "105%"}, {"quantile": "%"}):
        with pytest.raises(ValidationError):
            gray(**wrong)
    with pytest.raises(ValidationError):
        Gray.model_validate({"metrics": [{"source": "fake"}], "steps": ["2.5%"]})
