"""The provider `kubevela-terraform`: components whose definition is Terraform, in the Application itself.

Everything a resource tells is in the secret that the component writes. A definition that wants a password
as a property, as ``alibaba-rds`` did, cannot be used: it would stand in the Application. Source: KubeVela
docs, "Provision cloud resources": ``writeConnectionSecretToRef``, ``providerRef``; output names of the
modules of kubevela-contrib/terraform-modules (``DB_HOST``, …).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipegraft.appspec.model.spec import Reference
from pipegraft.appspec.ports.resources import Provision, ResourceProvider, ResourceRequest, Target
from pipegraft.appspec.resources.types import BUCKET, MYSQL, POSTGRES, REDIS
from pipegraft.core.model import Model, Name

__all__ = ["KUBEVELA_TERRAFORM"]

_OAM: frozenset[Target] = frozenset({"oam"})
_DATABASE_KEYS = {
    "host": "DB_HOST",
    "port": "DB_PORT",
    "database": "DB_NAME",
    "username": "DB_USER",
    "password": "DB_PASSWORD",
}
_KEYS: Mapping[str, Mapping[str, str]] = {
    "postgres": _DATABASE_KEYS,
    "mysql": _DATABASE_KEYS,
    "redis": {"host": "REDIS_HOST", "port": "REDIS_PORT", "password": "REDIS_PASSWORD"},
    "bucket": {
        "endpoint": "BUCKET_ENDPOINT",
        "region": "BUCKET_REGION",
        "bucket": "BUCKET_NAME",
        "access-key": "BUCKET_ACCESS_KEY",
        "secret-key": "BUCKET_SECRET_KEY",
    },
}
"""Type → output → key of the connection secret, unless the options say otherwise."""
_SECRET = re.compile(r"pass(word|wd)?$|secret|token|private", re.IGNORECASE)


def _nothing_secret(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in properties:
        if _SECRET.search(name):
            raise ValueError(
                f"'{name}' would stand in the Application for all to read: "
                "use a definition that makes its own and writes it to the connection secret"
            )
    return properties


_Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]


class TerraformOptions(Model):
    """Which definition serves a type, and how it calls things."""

    component: str = Field(pattern=r"^[a-z]([a-z0-9.-]*[a-z0-9])?$")
    """Type of the component: the name of a Terraform ComponentDefinition."""
    params: Mapping[str, str] = {}
    """Parameter → property of the component; its own name with ``_`` for ``-`` if absent."""
    properties: Annotated[Mapping[str, Any], AfterValidator(_nothing_secret)] = {}
    """Properties that are the same for every resource."""
    outputs: Mapping[str, _Key] = {}
    """Output → key of the connection secret."""
    provider: Name | None = None
    """Name of the Terraform provider (``providerRef``); the definition's own if absent."""


def _provide(request: ResourceRequest, options: TerraformOptions) -> Provision:
    properties = {
        **options.properties,
        **{options.params.get(key, key.replace("-", "_")): value for key, value in request.params.items()},
        **({"providerRef": {"name": options.provider}} if options.provider else {}),
        "writeConnectionSecretToRef": {"name": request.secret},
    }
    keys = {**_KEYS[request.type.name], **options.outputs}
    outputs = {name: Reference(secret=request.secret, key=keys[name]) for name in request.type.outputs}
    component = {"name": request.name, "type": options.component, "properties": properties}
    return Provision(outputs, components=(component,))


KUBEVELA_TERRAFORM = ResourceProvider(
    "kubevela-terraform",
    "Terraform components of KubeVela, in the Application itself.",
    (POSTGRES, MYSQL, REDIS, BUCKET),
    dict.fromkeys(_KEYS, _OAM),
    TerraformOptions,
    _provide,
)
