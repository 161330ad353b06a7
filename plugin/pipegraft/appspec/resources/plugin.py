"""The resource providers that ship with the package."""

from __future__ import annotations

from collections.abc import Iterator

from pipegraft.domain.resources.crossplane import CROSSPLANE
from pipegraft.domain.resources.kubevela import KUBEVELA_TERRAFORM
from pipegraft.domain.resources.local import LOCAL
from pipegraft.hookspecs import hookimpl
from pipegraft.ports.resources import ResourceProvider

__all__ = ["pipegraft_resource_providers"]


@hookimpl
def pipegraft_resource_providers() -> Iterator[ResourceProvider]:
    """The default first."""
    yield LOCAL
    yield CROSSPLANE
    yield KUBEVELA_TERRAFORM
