"""The resource providers that ship with the package."""

from __future__ import annotations

from collections.abc import Iterator

from pipegraft.appspec.ports.resources import ResourceProvider
from pipegraft.appspec.resources.crossplane import CROSSPLANE
from pipegraft.appspec.resources.kubevela import KUBEVELA_TERRAFORM
from pipegraft.appspec.resources.local import LOCAL
from pipegraft.core.plugins import hookimpl

__all__ = ["pipegraft_resource_providers"]


@hookimpl
def pipegraft_resource_providers() -> Iterator[ResourceProvider]:
    """The default first."""
    yield LOCAL
    yield CROSSPLANE
    yield KUBEVELA_TERRAFORM
