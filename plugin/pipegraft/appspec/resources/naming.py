"""What a resource is called: its identity, and the names that follow from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pipegraft.appspec.model.resources import DEFAULT_CLASS, Resource

__all__ = ["ResourceName", "name_resource"]

_SECRET_SUFFIX = "-connection"  # noqa: S105 - the end of a name
_LONGEST = 63 - len(_SECRET_SUFFIX)


@dataclass(frozen=True, slots=True)
class ResourceName:
    """Names of one resource.

    Arguments:
        identity: ``type.class#id``; resources of one identity in one namespace are the same.
        name: a DNS label for everything that is made for it.
        secret: name of the secret with its outputs.
    """

    identity: str
    name: str
    secret: str


def name_resource(app: str, name: str, resource: Resource) -> ResourceName:
    """Name a resource.

    Arguments:
        name: what the application calls it.
        resource: as it is in the environment, layers merged.
    """
    of_class = resource.class_ or DEFAULT_CLASS
    identity = f"{resource.type}.{of_class}#{resource.id or f'{app}.{name}'}"
    label = f"{resource.type}-{of_class}-{resource.id}" if resource.id else f"{app}-{name}"
    label = label.replace(".", "-")
    if len(label) > _LONGEST:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        label = f"{label[: _LONGEST - 9].rstrip('-')}-{digest}"
    return ResourceName(identity, label, f"{label}{_SECRET_SUFFIX}")
