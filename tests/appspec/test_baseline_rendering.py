"""Fresh pods of the stable version beside gray: as many, with the same weight, for every target."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from spec_fields import gray_on_one_machine, one_machine, spec

from pipegraft.appspec.environment_file import bump, promote, read_environment
from pipegraft.appspec.rendering.compose import render_compose
from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.rendering.oam import render_application
from pipegraft.core.errors import ConfigError, UsageError
from pipegraft.core.release import ReleaseMark


def environment(weight: int = 20, phase: str = "step") -> dict[str, Any]:
    found = copy.deepcopy(gray_on_one_machine())
    found["gray"] |= {"weight": weight, "phase": phase, "baseline": True}
    found["gray"]["components"].setdefault("web", {})["replicas"] = 3
    return found


def app(**entrance: Any) -> dict[str, Any]:
    found = copy.deepcopy(one_machine())
    found["components"]["web"]["entrance"] |= entrance
    return found


def objects(kind: str, weight: int = 20, phase: str = "step", **entrance: Any) -> dict[str, dict[str, Any]]:
    rendered = render_kubernetes(spec(app(**entrance), environment(weight, phase)), "4be1")
    return {item["metadata"]["name"]: item for item in rendered if item["kind"] == kind}


def test_as_many_pods_of_stables_image_stand_beside_gray() -> None:
    found = objects("Deployment")
    web, gray, fresh = (found[name]["spec"] for name in ("web", "web-gray", "web-baseline"))
    images = [one["template"]["spec"]["containers"][0]["image"] for one in (web, gray, fresh)]
    assert images[0] == images[2] != images[1]
    assert gray["replicas"] == fresh["replicas"] == 3
    labels = fresh["template"]["metadata"]["labels"]
    assert fresh["selector"]["matchLabels"].items() <= labels.items()
    assert labels["app.kubernetes.io/name"] == "web-baseline"
    assert objects("Service")["web-baseline"]["spec"]["selector"]["app.kubernetes.io/name"] == "web-baseline"


def test_the_other_targets_have_them_too() -> None:
    resolved = spec(app(), environment())
    assert "web-baseline" in render_compose(resolved, "4be1")["services"]
    components = render_application(resolved, "4be1")["spec"]["components"]
    assert "web-baseline" in {one["name"] for one in components}


def test_a_gateway_and_istio_split_in_three() -> None:
    *_, split = objects("HTTPRoute")["web"]["spec"]["rules"]
    weights = {one["name"]: one["weight"] for one in split["backendRefs"]}
    assert weights == {"web": 60, "web-gray": 20, "web-baseline": 20}
    *_, split = objects("VirtualService", router="istio", gateway=None)["web"]["spec"]["http"]
    weights = {one["destination"]["host"]: one["weight"] for one in split["route"]}
    assert weights == {"web": 60, "web-gray": 20, "web-baseline": 20}
    assert {one["weight"] for one in objects("HTTPRoute", 50)["web"]["spec"]["rules"][-1]["backendRefs"]} == {
        0,
        50,
    }


def test_who_got_the_fresh_pods_stays_with_them_as_who_got_gray() -> None:
    kept = {"affinity": {"cookie": "version", "lifetime": "1h"}}
    rules = objects("HTTPRoute", **kept)["web"]["spec"]["rules"]
    (known,) = [one for one in rules if "baseline" in str(one.get("matches"))]
    assert [one["name"] for one in known["backendRefs"]] == ["web-baseline"]
    assert "-baseline; Path" in str(rules[-1]["backendRefs"][2]["filters"])


def test_they_are_gone_once_stable_is_replaced() -> None:
    assert "web-baseline" not in objects("Deployment", 100, "promoting")
    *_, split = objects("HTTPRoute", 100, "promoting")["web"]["spec"]["rules"]
    assert {one["name"]: one["weight"] for one in split["backendRefs"]} == {"web": 0, "web-gray": 100}


def test_what_cannot_be_is_refused_with_its_place() -> None:
    with pytest.raises(UsageError, match="ingress-nginx splits requests between two versions"):
        objects("Ingress", router="ingress-nginx", gateway=None)
    with pytest.raises(ConfigError, match="expected at most 50, found 60") as refused:
        objects("Deployment", 60)
    assert refused.value.problems[0].place is not None


@pytest.mark.parametrize("kind", [{"persistent": {"size": "1Gi"}}, {"claim": "shop-data"}])
def test_fresh_pods_would_write_to_what_outlives_a_pod(kind: dict[str, Any]) -> None:
    kept = app()
    kept["components"]["web"]["volumes"] = {"data": {"path": "/data", **kind}}
    with pytest.raises(ConfigError, match="fresh pods of 'web' would write to its volume 'data'") as refused:
        spec(kept, environment())
    assert refused.value.problems[0].place is not None


def test_a_claim_that_is_read_and_the_volume_of_a_job_stand_in_no_ones_way() -> None:
    read, changed = app(), environment()
    read["components"]["web"]["volumes"] = {"data": {"path": "/data", "claim": "a", "read-only": True}}
    data = {"path": "/data", "persistent": {"size": "1Gi"}}
    read["components"]["rows"] = {"intimacy": "rpc", "job": {}, "volumes": {"data": data}}
    changed["components"]["rows"] = {"image": "r.example/rows:1"}
    changed["gray"]["components"]["rows"] = {"image": "r.example/rows:2"}
    spec(read, changed)


def test_a_bump_prepares_them_and_a_promotion_takes_them_away() -> None:
    text = "release: {number: 1, source: aaaa}\ncomponents:\n  web:\n    image: web@sha256:1\n"
    mark = ReleaseMark(number=2, source="bbbb")
    made = bump(text, {"web": "web@sha256:2"}, mark, gray=True, file="x.yaml", baseline=True)
    block = read_environment(made.text, "x.yaml").gray
    assert block is not None
    assert block.baseline
    again = bump(made.text, {"web": "web@sha256:2"}, mark, gray=True, file="x.yaml", baseline=True)
    assert again.outcome == "unchanged"
    assert "baseline" not in promote(made.text, file="x.yaml")
    without = bump(made.text, {"web": "web@sha256:2"}, mark, gray=True, file="x.yaml")
    assert (without.outcome, "baseline" in without.text) == ("written", False)
