"""The provider `local`: resources on the machine of the embedded engine, or containers of a Compose file.

For the engine a resource is an object of its own kind in the Application, which no cluster knows: an
Application that was meant for this machine is refused elsewhere, instead of running without its database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from pipegraft.appspec.model.spec import Reference
from pipegraft.appspec.ports.resources import (
    HostedResource,
    Provision,
    ResourceProvider,
    ResourceRequest,
    Target,
)
from pipegraft.appspec.resources.types import BUCKET, MYSQL, POSTGRES, REDIS, SQLITE
from pipegraft.core.model import Model

__all__ = ["HOSTED_KIND", "LOCAL", "read_hosted"]

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
    "redis": lambda request: {
        "host": request.name,
        "port": "6379",
        "password": _secret(request, "password"),
    },
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
