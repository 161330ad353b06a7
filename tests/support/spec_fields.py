"""A spec that sets every field there is, and a walk over the schema, for the tests of all targets."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import yaml

from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.appspec.spec import Resolved, resolve
from pipegraft.core.model import schema_of

Data = dict[str, Any]
Steps = tuple[str, ...]

APP: Data = {
    "app": "shop",
    "components": {
        "web": {
            "intimacy": "rpc",
            "image": "registry/web@sha256:1",
            "command": ["web-command"],
            "args": ["web-args"],
            "ports": {"http": 8080, "admin": 8081},
            "replicas": 7,
            "cpu": "511m",
            "memory": "257Mi",
            "limits": {"cpu": "1511m", "memory": "1257Mi"},
            "grace": "41s",
            "env": {
                "PLAIN": "plain-value",
                "SECRET": {"secret": "secret-name", "key": "secret-key"},
                "CONFIG": {"config": "config-name", "key": "config-key"},
            },
            "env-from": {"more-config": "config", "more-secrets": "secret"},
            "volumes": {
                "data": {
                    "path": "/data",
                    "read-only": True,
                    "persistent": {"size": "11Gi", "class": "fast", "access": "many"},
                },
                "old": {"path": "/old", "claim": "old-claim"},
                "settings": {"path": "/etc/shop", "config": "shop-settings"},
                "certificate": {"path": "/etc/tls", "secret": "shop-tls"},
                "scratch": {"path": "/scratch", "ephemeral": {"limit": "12Mi", "memory": True}},
            },
            "startup": {
                "path": "/started",
                "port": "admin",
                "initial-delay": "57s",
                "period": "58s",
                "timeout": "59s",
                "failures": 48,
            },
            "readiness": {
                "path": "/ready",
                "port": "admin",
                "initial-delay": "42s",
                "period": "43s",
                "timeout": "44s",
                "failures": 45,
            },
            "liveness": {
                "path": "/live",
                "port": "admin",
                "initial-delay": "54s",
                "period": "46s",
                "timeout": "55s",
                "failures": 56,
            },
            "update": {"strategy": "rolling", "surge": "26%", "unavailable": 2},
            "disruption": {"min-available": "51%"},
            "spread": {"node": "preferred", "zone": "required"},
            "security": {
                "non-root": True,
                "user": 1001,
                "group": 1002,
                "files-group": 1003,
                "read-only-root": True,
                "privilege-escalation": False,
                "capabilities": {"ALL": "drop", "NET_BIND_SERVICE": "add"},
                "seccomp": "runtime-default",
            },
            "service-account": "web-account",
            "pull-secrets": ["web-registry"],
            "annotations": {"example.com/scrape": "scraped"},
            "entrance": {
                "via": "governance",
                "port": "proxy",
                "hosts": ["shop.example.com"],
                "path": "/shop",
                "gateway": "infra/public",
                "router": "gateway-api",
                "gray-for": {"headers": {"x-tester": "chosen-1"}, "cookies": {"tester": "chosen-2"}},
                "affinity": {"cookie": "affinity-cookie", "lifetime": "3600s"},
                "mirror": 31,
                "listen": "127.0.0.1:8088",
            },
        },
        "pricing": {
            "intimacy": "in-process",
            "host": "web",
            "mount": "/opt/pricing",
            "image": "registry/pricing@sha256:2",
        },
        "rules": {
            "intimacy": "in-process",
            "host": "web",
            "mount": "/opt/rules",
            "attach": "init-container",
            "image": "registry/rules@sha256:3",
            "command": ["rules-command"],
            "args": ["rules-args"],
        },
        "governance": {
            "intimacy": "ipc",
            "host": "web",
            "image": "registry/governance@sha256:4",
            "command": ["governance-command"],
            "args": ["governance-args"],
            "ports": {"proxy": 9000, "metrics": 9001},
            "env": {"GOVERNANCE": "governance-value"},
            "env-from": {"governance-config": "config"},
            "volumes": {"scratch": {"path": "/governance-scratch"}},
            "cpu": "513m",
            "memory": "258Mi",
            "startup": {"port": "proxy", "period": "49s"},
            "readiness": {"path": "/governance-ready", "port": "proxy"},
            "liveness": {"port": "metrics", "period": "47s"},
            "security": {"user": 1004},
            "sidecar": "container",
        },
        "logs": {
            "intimacy": "ipc",
            "host": "web",
            "image": "registry/logs@sha256:8",
            "sidecar": "native",
            "volumes": {"scratch": {"path": "/logs-scratch"}},
            "memory": "61Mi",
        },
        "metrics": {
            "intimacy": "ipc",
            "host": "web",
            "image": "registry/metrics@sha256:9",
            "sidecar": "sidecar-set",
            "ports": {"otlp": 4317},
        },
        "shop-admin": {
            "image": "registry/admin@sha256:13",
            "ports": {"http": 8082},
            "entrance": {
                "router": "ingress-nginx",
                "ingress-class": "internal-1",
                "hosts": ["admin.example.com"],
            },
        },
        "orders": {
            "intimacy": "rpc",
            "image": "registry/orders@sha256:5",
            "ports": {"grpc": 7000},
            "service-ports": {"grpc": 7079},
            "cpu": "514m",
            "memory": "259Mi",
            "autoscaling": {"min": 3, "max": 17, "cpu": 71, "memory": 72},
            "disruption": {"max-unavailable": 4},
            "update": {"strategy": "recreate"},
        },
        "nightly": {
            "image": "registry/nightly@sha256:10",
            "job": {
                "schedule": "17 3 * * *",
                "time-zone": "Europe/Berlin",
                "overlap": "forbid",
                "retries": 5,
                "deadline": "53s",
            },
        },
        "migrate": {"image": "registry/migrate@sha256:11", "job": {"retries": 6}},
        "rates": {
            "image": "registry/rates@sha256:14",
            "ports": {"grpc": 7001},
            "startup": {"grpc": "rates-health"},
            "readiness": {"grpc": "rates-readiness"},
            "liveness": {"grpc": "rates-liveness"},
        },
        "mail": {
            "image": "registry/mail@sha256:15",
            "startup": {"exec": ["mail-started"]},
            "readiness": {"exec": ["mail-ready"]},
            "liveness": {"exec": ["mail-alive"]},
        },
    },
}
_ONE_MACHINE = {
    *("image", "intimacy", "host", "mount", "attach", "command", "args", "ports", "env", "cpu", "memory"),
    *("replicas", "grace", "readiness", "liveness", "entrance"),
}


def one_machine() -> Data:
    """What of the spec the embedded engine can run: its keys, and neither sidecar sets nor jobs."""
    left = ("web", "pricing", "rules", "governance", "orders")
    found: Data = {
        "app": "shop",
        "components": {
            name: {key: value for key, value in APP["components"][name].items() if key in _ONE_MACHINE}
            for name in left
        },
    }
    entrance = found["components"]["web"]["entrance"]
    kept = ("via", "port", "hosts", "path", "gateway", "listen")
    found["components"]["web"]["entrance"] = {key: entrance[key] for key in kept}
    return found


POLICIES: Data = {
    "security": {
        "non-root": False,
        "user": 2001,
        "group": 2002,
        "files-group": 2003,
        "read-only-root": False,
        "privilege-escalation": True,
        "capabilities": {"SYS_TIME": "drop"},
        "seccomp": "unconfined",
    },
    "spread": {"node": "required", "zone": "preferred"},
    "update": {"strategy": "rolling", "surge": 3, "unavailable": "27%"},
    "disruption": {"min-available": 5},
    "service-account": "policy-account",
    "pull-secrets": ["policy-registry"],
    "sidecar": "native",
}
PLAIN: Data = {
    "app": "shop",
    "components": {
        "web": {"image": "registry/web@sha256:1"},
        "governance": {"intimacy": "ipc", "host": "web", "image": "registry/governance@sha256:4"},
        "orders": {"image": "registry/orders@sha256:5"},
    },
}
"""Components that leave to the policies what these can say."""

ENVIRONMENT: Data = {
    "namespace": "shop-space",
    "release": {"number": 1201, "source": "source-commit"},
    "components": {"web": {"env": {"OVERLAY": "overlay-value"}}},
    "gray": {
        "release": {"number": 1302, "source": "gray-source-commit"},
        "weight": 13,
        "phase": "gray-phase",
        "components": {
            "web": {"image": "registry/web@sha256:6"},
            "orders": {"image": "registry/orders@sha256:7"},
            "nightly": {"image": "registry/nightly@sha256:12"},
        },
    },
}


def spec(app: Data | None = None, environment: Data | None = None) -> Resolved:
    """Resolve the spec above, or another one."""
    return resolve(
        yaml.safe_dump(app or APP, sort_keys=False),
        yaml.safe_dump(environment or ENVIRONMENT, sort_keys=False),
        "production",
    )


def gray_on_one_machine() -> Data:
    """The environment with a gray release that the embedded engine can run."""
    environment = copy.deepcopy(ENVIRONMENT)
    del environment["gray"]["components"]["nightly"]
    return environment


def placements() -> dict[str, tuple[Data, Data]]:
    """The same declarations in each place the schema has for them: app and environment."""
    nothing: Data = {"components": {}}
    bare = {name: {} for name in APP["components"]}
    needed = ("intimacy", "host", "mount", "image", "ports", "command", "attach", "entrance", "job")
    stable = {
        name: {key: part[key] for key in needed if key in part} for name, part in APP["components"].items()
    }
    gray = {**ENVIRONMENT["gray"], "components": APP["components"]}
    return {
        "app": (APP, ENVIRONMENT),
        "environment": (
            {"app": "shop", "components": bare},
            {**ENVIRONMENT, "components": APP["components"]},
        ),
        "gray": ({"app": "shop", "components": stable}, {**ENVIRONMENT, "components": {}, "gray": gray}),
        "policies, beside fresh pods": (
            PLAIN,
            {
                **nothing,
                "gray": {**gray, "baseline": True, "components": {"web": {"image": "registry/web@sha256:6"}}},
            },
        ),
        "policies, without a component": (
            {**PLAIN, "components": {**PLAIN["components"], "absent": {}}},
            {**nothing, "without": ["absent"]},
        ),
        "policies of the app": ({**PLAIN, "policies": POLICIES}, nothing),
        "policies of the app, other": ({**PLAIN, "policies": _other_policies()}, nothing),
        "policies of the environment": (PLAIN, {**nothing, "policies": POLICIES}),
        "policies of the environment, other": (PLAIN, {**nothing, "policies": _other_policies()}),
    }


def _other_policies() -> Data:
    return {"disruption": {"max-unavailable": 6}}


def schema_routes(model: type[App | AppEnvironment]) -> set[Steps]:
    """Every scalar that a file may declare; ``*`` stands for a name the user chooses, and for an item.

    Resources are no part: what becomes of them is their provider's to say (see ``resources/``).
    """
    schema = schema_of(model)
    routes = {route for route, _node in _walk(schema, schema, ())}
    return {route for route in routes if route[0] not in ("resources", "providers")}


def _walk(node: Data, root: Data, route: Steps) -> Iterator[tuple[Steps, Data]]:
    if "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    below = False
    for part in node.get("anyOf", node.get("oneOf", ())):
        below = True
        yield from _walk(part, root, route)
    for key, part in node.get("properties", {}).items():
        below = True
        yield from _walk(part, root, (*route, key))
    for key in ("additionalProperties", "items"):
        if isinstance(node.get(key), dict):
            below = True
            yield from _walk(node[key], root, (*route, "*"))
    if not below and node.get("type") != "null":
        yield route, node


def leaves(data: Any, route: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every scalar of a document with its route."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from leaves(value, (*route, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from leaves(value, (*route, index))
    else:
        yield route, data


def matches(route: tuple[Any, ...], pattern: Steps) -> bool:
    """Whether a route in a document is the one of a schema."""
    return len(route) == len(pattern) and all(
        two in ("*", one) for one, two in zip(route, pattern, strict=True)
    )


WORDS = [
    ["rpc", "ipc", "in-process"], ["image-volume", "init-container"], ["config", "secret"],
    ["once", "many", "read-many"], ["rolling", "recreate"], ["preferred", "required"], ["add", "drop"],
    ["runtime-default", "unconfined"], ["container", "native", "sidecar-set"], ["allow", "forbid", "replace"],
]  # fmt: skip


def others(value: Any) -> list[Any]:
    """Other values of the same kind."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    for words in WORDS:
        if value in words:
            return [word for word in words if word != value]
    digits = re.search(r"\d+", value)
    if digits:
        return [f"{value[: digits.start()]}{int(digits[0]) + 1}{value[digits.end() :]}"]
    return [f"{value}x"]


def changed(data: Data, route: tuple[Any, ...], value: Any) -> Data:
    """A copy with one scalar replaced."""
    found = copy.deepcopy(data)
    at: Any = found
    for step in route[:-1]:
        at = at[step]
    at[route[-1]] = value
    return found
