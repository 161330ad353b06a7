"""What each router of a cluster is told: weights, chosen users, affinity, mirror; and what it cannot do."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from spec_fields import gray_on_one_machine, one_machine, spec

from pipegraft.appspec.model import Entrance
from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.rendering.oam import render_application
from pipegraft.appspec.traffic_ports import EntranceSplit
from pipegraft.core.errors import ConfigError, UsageError

SCHEMAS = Path(os.environ.get("PIPEGRAFT_SCHEMAS", Path(__file__).parents[2] / "../shared/schemas"))
APP, ENVIRONMENT = one_machine(), gray_on_one_machine()
WORKLOADS = {"Deployment", "Service"}
EVERYTHING = {
    "gray-for": {"headers": {"X-Team": "shop"}, "cookies": {"beta": "always"}},
    "affinity": {"cookie": "version", "lifetime": "1h"},
    "mirror": 100,
}


def routes(*, gray: bool = True, weight: int = 13, **entrance: Any) -> list[dict[str, Any]]:
    """The objects of the component `web`'s router."""
    app, environment = copy.deepcopy(APP), copy.deepcopy(ENVIRONMENT)
    app["components"]["web"]["entrance"] |= entrance
    app["components"]["web"]["entrance"] = {
        key: value for key, value in app["components"]["web"]["entrance"].items() if value is not None
    }
    environment["gray"]["weight"] = weight
    if not gray:
        del environment["gray"]
    rendered = render_kubernetes(spec(app, environment), "4be1")
    return [item for item in rendered if item["kind"] not in WORKLOADS and "web" in item["metadata"]["name"]]


def weights(rule: dict[str, Any]) -> dict[str, int]:
    return {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}


def test_an_http_route_asks_for_chosen_users_before_the_weights() -> None:
    (route,) = routes(**{"gray-for": {"headers": {"X-Team": "shop"}, "cookies": {"beta": "yes"}}})
    chosen, split = route["spec"]["rules"]
    assert weights(chosen) == {"web-gray": 100}
    headers = [match["headers"][0] for match in chosen["matches"]]
    assert headers[0] == {"type": "Exact", "name": "X-Team", "value": "shop"}
    assert re.fullmatch(headers[1]["value"], "a=1; beta=yes; c=2")
    assert all(match["path"]["value"] == "/shop" for match in (*chosen["matches"], *split["matches"]))
    assert weights(split) == {"web": 87, "web-gray": 13}


def test_chosen_users_get_the_new_version_at_weight_zero_and_not_without_one() -> None:
    for_team = {"gray-for": {"headers": {"X-Team": "shop"}}}
    (route,) = routes(weight=0, **for_team)
    assert [weights(rule) for rule in route["spec"]["rules"]] == [
        {"web-gray": 100},
        {"web": 100, "web-gray": 0},
    ]
    (route,) = routes(gray=False, **for_team)
    assert [weights(rule) for rule in route["spec"]["rules"]] == [{"web": 100}]


def test_affinity_of_an_http_route_is_a_cookie_that_each_version_sets_and_the_route_obeys() -> None:
    (route,) = routes(affinity={"cookie": "version", "lifetime": "1h"})
    to_gray, to_stable, split = route["spec"]["rules"]
    for rule, backend in ((to_gray, 1), (to_stable, 0)):
        filters = split["backendRefs"][backend]["filters"]
        value = filters[0]["responseHeaderModifier"]["add"][0]["value"]
        assert "Max-Age=3600" in value
        assert re.fullmatch(rule["matches"][0]["headers"][0]["value"], f"a=b; {value.partition(';')[0]}")
    assert (weights(to_gray), weights(to_stable)) == ({"web-gray": 100}, {"web": 100})


def test_who_got_stable_is_drawn_anew_at_the_next_weight_and_who_got_gray_stays() -> None:
    affinity = {"cookie": "version"}
    (one,), (other,) = routes(weight=13, affinity=affinity), routes(weight=50, affinity=affinity)
    before, after = (
        [rule["matches"][0]["headers"][0]["value"] for rule in route["spec"]["rules"][:2]]
        for route in (one, other)
    )
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_an_http_route_mirrors_all_or_a_part_of_what_stable_gets() -> None:
    for share, told in ((100, {}), (20, {"percent": 20})):
        (route,) = routes(mirror=share)
        (mirror,) = route["spec"]["rules"][-1]["filters"]
        assert mirror == {
            "type": "RequestMirror",
            "requestMirror": {"backendRef": {"name": "web-gray", "port": 9000}, **told},
        }
    assert "filters" not in str(routes(gray=False, mirror=100))


def test_the_http_route_is_valid() -> None:
    path = SCHEMAS / "gateway-httproute-crd.yaml"
    if path.exists():
        versions = yaml.safe_load(path.read_text())["spec"]["versions"]
        schema = closed(versions[-1]["schema"]["openAPIV3Schema"])
        for gray in (True, False):
            (route,) = routes(gray=gray, **EVERYTHING)
            jsonschema.Draft202012Validator(schema).validate(
                {key: value for key, value in route.items() if key != "metadata"}
            )


def closed(schema: Any) -> Any:
    """The schema, refusing what the API server would throw away."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


def test_a_virtual_service_says_the_same() -> None:
    (service,) = routes(router="istio", **EVERYTHING | {"mirror": 20})
    assert (service["apiVersion"], service["kind"]) == ("networking.istio.io/v1", "VirtualService")
    assert service["spec"]["hosts"] == ["shop.example.com"]
    assert service["spec"]["gateways"] == ["infra/public"]
    chosen, stays, split = service["spec"]["http"]
    assert chosen["match"][0]["headers"] == {"x-team": {"exact": "shop"}}
    assert re.fullmatch(chosen["match"][1]["headers"]["cookie"]["regex"], "beta=always")
    assert re.fullmatch(chosen["match"][2]["headers"]["cookie"]["regex"], "version=1302-gray")
    assert re.fullmatch(stays["match"][0]["headers"]["cookie"]["regex"], "version=1302-13")
    assert [route["destination"]["host"] for route in chosen["route"]] == ["web-gray"]
    assert [(to["destination"]["host"], to["weight"]) for to in split["route"]] == [
        ("web", 87),
        ("web-gray", 13),
    ]
    cookie = split["route"][1]["headers"]["response"]["add"]["Set-Cookie"]
    assert cookie == "version=1302-gray; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"
    mirror = {"host": "web-gray", "port": {"number": 9000}}
    assert split["mirrors"] == [{"destination": mirror, "percentage": {"value": 20}}]


def test_a_virtual_service_of_the_mesh_is_for_the_service_itself() -> None:
    (service,) = routes(router="istio", gray=False, hosts=None, gateway=None, path=None)
    assert service["spec"] == {
        "hosts": ["web"],
        "http": [{"route": [{"destination": {"host": "web", "port": {"number": 9000}}}]}],
    }


def test_ingress_nginx_has_a_canary_beside_the_ingress() -> None:
    stable, canary = routes(router="ingress-nginx", gateway=None, **EVERYTHING)
    assert [item["kind"] for item in (stable, canary)] == ["Ingress", "Ingress"]
    assert stable["spec"]["rules"][0]["host"] == canary["spec"]["rules"][0]["host"] == "shop.example.com"
    assert canary["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] == "web-gray"
    assert told(canary) == {
        "canary": "true",
        "canary-weight": "13",
        "canary-by-header": "X-Team",
        "canary-by-header-value": "shop",
        "canary-by-cookie": "beta",
    }
    assert told(stable) == {
        "affinity": "cookie",
        "affinity-canary-behavior": "sticky",
        "session-cookie-name": "version",
        "session-cookie-path": "/",
        "session-cookie-max-age": "3600",
        "mirror-target": "http://web-gray.shop-space.svc:9000$request_uri",
    }


def test_ingress_nginx_without_a_gray_release_is_one_plain_ingress() -> None:
    (ingress,) = routes(router="ingress-nginx", gateway=None, hosts=None, gray=False)
    assert told(ingress) == {}
    assert ingress["spec"]["ingressClassName"] == "nginx"
    (ingress,) = routes(router="ingress-nginx", gateway=None, gray=False, **{"ingress-class": "edge"})
    assert ingress["spec"]["ingressClassName"] == "edge"


def told(ingress: dict[str, Any]) -> dict[str, str]:
    prefix = "nginx.ingress.kubernetes.io/"
    annotations = ingress["metadata"]["annotations"]
    return {key.removeprefix(prefix): value for key, value in annotations.items() if prefix in key}


@pytest.mark.parametrize(
    ("entrance", "message"),
    [
        ({"router": "ingress-nginx"}, "ingress-nginx knows no Gateway"),
        ({"router": "ingress-nginx", "gateway": None, "mirror": 20}, "mirrors all requests or none"),
        (
            {"router": "ingress-nginx", "gateway": None, "gray-for": {"headers": {"a": "1", "b": "1"}}},
            "chooses by one header only",
        ),
        (
            {"router": "ingress-nginx", "gateway": None, "gray-for": {"cookies": {"a": "yes"}}},
            "chooses by a cookie of the value 'always' only",
        ),
        (
            {
                "router": "ingress-nginx",
                "gateway": None,
                "gray-for": {"cookies": {"a": "always", "b": "always"}},
            },
            "chooses by one cookie only",
        ),
        ({"router": "istio", "hosts": None}, "istio needs to know which hosts"),
        ({"router": "istio", "ingress-class": "edge"}, "istio knows no class"),
        ({"ingress-class": "edge"}, "gateway-api knows no class"),
    ],
)
def test_what_a_router_cannot_do_is_refused_with_its_place(entrance: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        routes(**entrance)
    place = caught.value.problems[0].place
    assert place is not None
    assert place.file == "app.yaml"
    assert place.line


def test_a_router_nobody_knows_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'mine', which works in no cluster; there are: gateway-api, istio"):
        routes(router="mine")


def test_a_router_of_a_plugin_is_told_and_asked_in_the_same_way() -> None:
    class Mine:
        def refusals(self, entrance: Entrance) -> list[Any]:
            return []

        def render(self, split: EntranceSplit) -> list[dict[str, Any]]:
            assert split.gray
            metadata = {"name": split.service, "namespace": split.namespace}
            return [{"kind": "Split", "metadata": metadata, "spec": {split.gray.service: split.gray.weight}}]

    app = copy.deepcopy(APP)
    app["components"]["web"]["entrance"]["router"] = "mine"
    application = render_application(spec(app, ENVIRONMENT), "4be1", {"mine": Mine(), "gateway-api": Mine()})
    route = next(part for part in application["spec"]["components"] if part["name"] == "web-route")
    assert route["properties"]["objects"][0]["spec"] == {"web-gray": 13}
