"""The resource providers that ship with the package.

`local`: on the machine of the embedded engine, or containers of a Compose file. For the engine a resource is
an object of its own kind in the Application, which no cluster knows: an Application that was meant for this
machine is refused elsewhere, instead of running without its database.

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

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipegraft.appspec.model import Reference
from pipegraft.appspec.resource_ports import (
    HostedResource,
    Provision,
    ResourceProvider,
    ResourceRequest,
    Target,
)
from pipegraft.appspec.resource_types import BUCKET, MYSQL, POSTGRES, REDIS, SQLITE
from pipegraft.core.model import Model, Name
from pipegraft.core.plugins import hookimpl

__all__ = ["HOSTED_KIND", "LOCAL", "pipegraft_resource_providers", "read_hosted"]

HOSTED_KIND = "LocalResource"
"""Kind of the objects that the embedded engine takes for its resources."""
_API_VERSION = "pipegraft.dev/v1"
_EVERYWHERE: frozenset[Target] = frozenset({"oam", "compose"})
_CONTAINERS: frozenset[Target] = frozenset({"compose"})
_ENGINE: frozenset[Target] = frozenset({"oam"})
_IMAGES = {
    "postgres": ("docker.io/library/postgres", "16"),
    "mysql": ("docker.io/library/mysql", "8.4"),
    "redis": ("docker.io/library/redis", "7"),
    "bucket": ("docker.io/minio/minio", "latest"),
}
"""Type → image and the version it has where none is declared."""
_USER = "app"


class _Options(Model):
    """This provider needs to be told nothing."""


def read_hosted(provision: Provision) -> Iterator[HostedResource]:
    """The resources that the embedded engine is to run."""
    for item in provision.objects:
        if item["kind"] == HOSTED_KIND:
            metadata, spec = item["metadata"], item["spec"]
            yield HostedResource(
                metadata["name"],
                metadata["namespace"],
                spec["identity"],
                spec["type"],
                spec["writeConnectionSecretToRef"]["name"],
                spec["params"],
            )


def _provide(request: ResourceRequest, _options: _Options) -> Provision:
    return _composed(request) if request.target == "compose" else _declared(request)


def _declared(request: ResourceRequest) -> Provision:
    """For the engine: everything is known once the resource runs. Its secrets know no namespaces."""
    digest = hashlib.sha256(request.namespace.encode()).hexdigest()[:8]
    secret = f"{request.name[:54].rstrip('-')}-{digest}"
    item = {
        "apiVersion": _API_VERSION,
        "kind": HOSTED_KIND,
        "metadata": {"name": request.name, "namespace": request.namespace},
        "spec": {
            "identity": request.identity,
            "type": request.type.name,
            "params": dict(request.params),
            "writeConnectionSecretToRef": {"name": secret},
        },
    }
    outputs = {name: Reference(secret=secret, key=name) for name in request.type.outputs}
    return Provision(outputs, objects=(item,))


def _composed(request: ResourceRequest) -> Provision:
    """For Compose: a container of the official image; its password is a variable of the caller."""
    image, version = _IMAGES[request.type.name]
    service = {
        "image": f"{image}:{request.params.get('version', version)}",
        "restart": "unless-stopped",
        **_SERVICES[request.type.name](request),
        "x-pipegraft": {"resource": request.identity, "params": dict(request.params)},
    }
    return Provision(
        _OUTPUTS[request.type.name](request),
        services={request.name: service},
        volumes=(request.name,) if "volumes" in service else (),
    )


def _secret(request: ResourceRequest, key: str) -> Reference:
    return Reference(secret=request.secret, key=key)


def _volume(request: ResourceRequest, target: str) -> list[dict[str, str]]:
    return [{"type": "volume", "source": request.name, "target": target}]


def _healthy(*words: str) -> dict[str, Any]:
    return {"test": ["CMD-SHELL", " ".join(words)], "interval": "5s", "timeout": "5s", "retries": 20}


def _postgres(request: ResourceRequest) -> dict[str, Any]:
    return {
        "environment": {
            "POSTGRES_USER": _USER,
            "POSTGRES_DB": request.params["database"],
            "POSTGRES_PASSWORD": _secret(request, "password"),
        },
        "volumes": _volume(request, "/var/lib/postgresql/data"),
        "healthcheck": _healthy("pg_isready -U", _USER, "-d", request.params["database"]),
    }


def _mysql(request: ResourceRequest) -> dict[str, Any]:
    return {
        "environment": {
            "MYSQL_USER": _USER,
            "MYSQL_DATABASE": request.params["database"],
            "MYSQL_PASSWORD": _secret(request, "password"),
            "MYSQL_RANDOM_ROOT_PASSWORD": "yes",
        },
        "volumes": _volume(request, "/var/lib/mysql"),
        "healthcheck": _healthy("mysqladmin ping --silent -h 127.0.0.1"),
    }


def _redis(request: ResourceRequest) -> dict[str, Any]:
    memory = request.params["memory"].removesuffix("i").lower() + "b"
    keeping = "--appendonly yes" if request.params["persistent"] else "--save ''"
    command = f'exec redis-server --requirepass "$$REDIS_PASSWORD" --maxmemory {memory} {keeping}'
    service = {
        "entrypoint": ["sh", "-c", command],
        "environment": {"REDIS_PASSWORD": _secret(request, "password")},
        "healthcheck": _healthy('REDISCLI_AUTH="$$REDIS_PASSWORD" redis-cli ping'),
    }
    return {**service, "volumes": _volume(request, "/data")} if request.params["persistent"] else service


def _bucket(request: ResourceRequest) -> dict[str, Any]:
    """MinIO takes each folder of its disk for a bucket."""
    command = f"mkdir -p /data/{request.params['name']} && exec minio server /data"
    return {
        "entrypoint": ["sh", "-c", command],
        "environment": {
            "MINIO_ROOT_USER": _secret(request, "access-key"),
            "MINIO_ROOT_PASSWORD": _secret(request, "secret-key"),
        },
        "volumes": _volume(request, "/data"),
    }


def _database_outputs(request: ResourceRequest, port: str) -> dict[str, str | Reference]:
    return {
        "host": request.name,
        "port": port,
        "database": request.params["database"],
        "username": _USER,
        "password": _secret(request, "password"),
    }


_SERVICES = {"postgres": _postgres, "mysql": _mysql, "redis": _redis, "bucket": _bucket}
_OUTPUTS: Mapping[str, Any] = {
    "postgres": lambda request: _database_outputs(request, "5432"),
    "mysql": lambda request: _database_outputs(request, "3306"),
    "redis": lambda request: {"host": request.name, "port": "6379", "password": _secret(request, "password")},
    "bucket": lambda request: {
        "endpoint": f"http://{request.name}:9000",
        "region": "us-east-1",
        "bucket": request.params["name"],
        "access-key": _secret(request, "access-key"),
        "secret-key": _secret(request, "secret-key"),
    },
}

LOCAL = ResourceProvider(
    "local",
    "On this machine: processes and files of the embedded engine, or containers of a Compose file.",
    (SQLITE, REDIS, POSTGRES, MYSQL, BUCKET),
    {
        "sqlite": _ENGINE,
        "redis": _EVERYWHERE,
        "postgres": _EVERYWHERE,
        "mysql": _CONTAINERS,
        "bucket": _CONTAINERS,
    },
    _Options,
    _provide,
    default=True,
)


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
