"""Registries: where images are kept."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipegraft.core.errors import UsageError
from pipegraft.core.model import REGISTRY_HOST
from pipegraft.images.adapters.registry.endpoint import Endpoint
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.adapters.registry.oci_layout import LayoutRegistry
from pipegraft.images.ports import ReferringRegistry
from pipegraft.images.reference import LAYOUT, is_layout

__all__ = ["open_registry"]


def open_registry(address: str, base: Path) -> ReferringRegistry:
    """The registry at an address.

    Arguments:
        address: ``host[:port][/path]``, or ``oci:FOLDER`` for OCI image layouts on this machine.
        base: folder that a relative FOLDER counts from.
    """
    if is_layout(address):
        return LayoutRegistry(base / address.removeprefix(LAYOUT))
    host, _, prefix = address.partition("/")
    if not re.fullmatch(REGISTRY_HOST, host):
        raise UsageError(
            f"expected a registry such as registry.example.com/shop or oci:FOLDER, found '{address}'"
        )
    return HttpRegistry(Endpoint.of(host, os.environ), prefix)
