"""The provider `crossplane`: namespaced composite resources of Crossplane 2.

There are no claims in version 2: the composite resource lies in the application's namespace itself. Its
Composition composes a Secret with the connection details, under the name it is told in
``spec.writeConnectionSecretToRef.name``, a field of the platform's own definition. Sources: Crossplane
v2 docs, "Composite Resources" and "Connection Details Composition".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pipegraft.appspec.model.spec import Reference
from pipegraft.appspec.ports.resources import Provision, ResourceProvider, ResourceRequest, Target
from pipegraft.appspec.resources.types import BUCKET, MYSQL, POSTGRES, REDIS
from pipegraft.core.model import Model

__all__ = ["CROSSPLANE"]

_TARGETS: frozenset[Target] = frozenset({"oam", "kubernetes"})
_KINDS = {"postgres": "PostgreSQL", "mysql": "MySQL", "redis": "Redis", "bucket": "Bucket"}

_Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]


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


def _provide(request: ResourceRequest, options: CrossplaneOptions) -> Provision:
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
    dict.fromkeys(_KINDS, _TARGETS),
    CrossplaneOptions,
    _provide,
)
