"""A spec that sets every field there is, each to a value of its own, for the tests of all targets."""

from __future__ import annotations

from typing import Any

import yaml

from pipegraft.domain.appspec import Resolved, resolve

APP: dict[str, Any] = {
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
            "grace": "41s",
            "env": {
                "PLAIN": "plain-value",
                "SECRET": {"secret": "secret-name", "key": "secret-key"},
                "CONFIG": {"config": "config-name", "key": "config-key"},
            },
            "readiness": {
                "path": "/ready",
                "port": "admin",
                "initial-delay": "42s",
                "period": "43s",
                "timeout": "44s",
                "failures": 45,
            },
            "liveness": {"path": "/live", "period": "46s"},
            "entrance": {
                "via": "governance",
                "port": "proxy",
                "hosts": ["shop.example.com"],
                "path": "/shop",
                "gateway": "infra/public",
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
            "cpu": "513m",
            "memory": "258Mi",
            "readiness": {"path": "/governance-ready", "port": "proxy"},
            "liveness": {"port": "metrics", "period": "47s"},
        },
        "orders": {"intimacy": "rpc", "image": "registry/orders@sha256:5", "ports": {"grpc": 7000}},
    },
}
ENVIRONMENT: dict[str, Any] = {
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
        },
    },
}


def spec(app: dict[str, Any] | None = None, environment: dict[str, Any] | None = None) -> Resolved:
    """Resolve the spec above, or another one."""
    return resolve(
        yaml.safe_dump(app or APP, sort_keys=False),
        yaml.safe_dump(environment or ENVIRONMENT, sort_keys=False),
        "production",
    )


LEAVES = {"intimacy", "host", "via", "port", "attach", "gateway"}
"""Fields that say where something goes and are not repeated as such; the tests say what they change."""


def values(data: Any) -> list[str]:
    """Every value that must be found again in what is rendered."""
    if isinstance(data, dict):
        return [found for key, value in data.items() if key not in LEAVES for found in values(value)]
    if isinstance(data, list):
        return [found for item in data for found in values(item)]
    text = str(data)
    return [text.removesuffix("s") if text.endswith("s") and text[:-1].isdigit() else text]


def fields(data: Any) -> set[str]:
    """Every key of a declaration, names that users choose included."""
    if isinstance(data, dict):
        return set(data) | {key for value in data.values() for key in fields(value)}
    return set()
