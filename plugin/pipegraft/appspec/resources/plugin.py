"""The resource providers that ship with the package, and those of them that work in a cluster.

`crossplane`: namespaced composite resources of Crossplane 2. There are no claims in version 2: the composite
resource lies in the application's namespace itself. Its Composition composes a Secret with the connection
details, under the name it is told in ``spec.writeConnectionSecretToRef.name``, a field of the platform's own
definition. Sources: Crossplane v2 docs, "Composite Resources" and "Connection Details Composition".

`kubevela-terraform`: components whose definition is Terraform, in the Application itself. Everything a
resource tells is in the secret that the component writes. A definition that wants a password as a property,
as ``alibaba-rds`` did, cannot be used: it would stand in the Application. Source: KubeVela docs, "Provision
cloud resources": ``writeConnectionSecretToRef``, ``providerRef``; output names of the modules of
kubevela-contrib/terraform-modules (``DB_HOST``, …).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipegraft.appspec.model.spec import Reference
from pipegraft.appspec.ports.resources import Provision, ResourceProvider, ResourceRequest, Target
from pipegraft.appspec.resources.local import LOCAL
from pipegraft.appspec.resources.types import BUCKET, MYSQL, POSTGRES, REDIS
from pipegraft.core.model import Model, Name
from pipegraft.core.plugins import hookimpl

__all__ = ["pipegraft_resource_providers"]

_Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]

_OAM: frozenset[Target] = frozenset({"oam"})
_DATABASE_TERRAFORM_KEYS = {
    "host": "DB_HOST",
    "port": "DB_PORT",
    "database": "DB_NAME",
    "username": "DB_USER",
    "password": "DB_PASSWORD",
}
_TERRAFORM_KEYS: Mapping[str, Mapping[str, str]] = {
    "postgres": _DATABASE_TERRAFORM_KEYS,
    "mysql": _DATABASE_TERRAFORM_KEYS,
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


def _provide_component(request: ResourceRequest, options: TerraformOptions) -> Provision:
    properties = {
        **options.properties,
        **{options.params.get(key, key.replace("-", "_")): value for key, value in request.params.items()},
        **({"providerRef": {"name": options.provider}} if options.provider else {}),
        "writeConnectionSecretToRef": {"name": request.secret},
    }
    keys = {**_TERRAFORM_KEYS[request.type.name], **options.outputs}
    outputs = {name: Reference(secret=request.secret, key=keys[name]) for name in request.type.outputs}
    component = {"name": request.name, "type": options.component, "properties": properties}
    return Provision(outputs, components=(component,))


KUBEVELA_TERRAFORM = ResourceProvider(
    "kubevela-terraform",
    "Terraform components of KubeVela, in the Application itself.",
    (POSTGRES, MYSQL, REDIS, BUCKET),
    dict.fromkeys(_TERRAFORM_KEYS, _OAM),
    TerraformOptions,
    _provide_component,
)


_IN_CLUSTERS: frozenset[Target] = frozenset({"oam", "kubernetes"})
_KINDS = {"postgres": "PostgreSQL", "mysql": "MySQL", "redis": "Redis", "bucket": "Bucket"}


class CrossplaneOptions(Model):
    """What the platform offers."""

    group: str = Field(pattern=r"^[a-z0-9.-]+$")
    """API group of the CompositeResourceDefinition."""
    version: str = Field(default="v1", pattern=r"^v[0-9a-z]+$")
    """Its version."""
    kind: str | None = Field(default=None, pattern=r"^[A-Z][A-Za-z0-9]*$")
    """Its kind; the type's own, ``PostgreSQL`` for example, if absent."""
    params: Mapping[str, str] = {}
    """Parameter → name of the field of `spec` that takes it; its own name if absent."""
    spec: Mapping[str, Any] = {}
    """Fields of `spec` that are the same for every resource."""
    composition: str | None = None
    """Name of the Composition; the definition's default if absent."""
    composition_labels: Mapping[str, str] = {}
    """Labels that select the Composition."""
    outputs: Mapping[str, _Key] = {}
    """Output → key of the connection secret; its own name if absent."""


def _provide_composite(request: ResourceRequest, options: CrossplaneOptions) -> Provision:
    crossplane = {
        "compositionRef": {"name": options.composition} if options.composition else None,
        "compositionSelector": {"matchLabels": dict(options.composition_labels)}
        if options.composition_labels
        else None,
    }
    chosen = {key: value for key, value in crossplane.items() if value}
    item = {
        "apiVersion": f"{options.group}/{options.version}",
        "kind": options.kind or _KINDS[request.type.name],
        "metadata": {
            "name": request.name,
            "namespace": request.namespace,
            "annotations": {"pipegraft.dev/resource": request.identity},
        },
        "spec": {
            **options.spec,
            **{options.params.get(key, key): value for key, value in request.params.items()},
            **({"crossplane": chosen} if chosen else {}),
            "writeConnectionSecretToRef": {"name": request.secret},
        },
    }
    outputs = {
        name: Reference(secret=request.secret, key=options.outputs.get(name, name))
        for name in request.type.outputs
    }
    return Provision(outputs, objects=(item,))


CROSSPLANE = ResourceProvider(
    "crossplane",
    "Namespaced composite resources of Crossplane 2.",
    (POSTGRES, MYSQL, REDIS, BUCKET),
    dict.fromkeys(_KINDS, _IN_CLUSTERS),
    CrossplaneOptions,
    _provide_composite,
)


@hookimpl
def pipegraft_resource_providers() -> Iterator[ResourceProvider]:
    """The default first."""
    yield LOCAL
    yield CROSSPLANE
    yield KUBEVELA_TERRAFORM
