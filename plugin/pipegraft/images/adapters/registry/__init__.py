"""Registries: where images are kept."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipegraft.domain.images.reference import LAYOUT, is_layout
from pipegraft.errors import UsageError
from pipegraft.model.registry_address import REGISTRY_HOST
from pipegraft.ports.registry import ReferringRegistry

__all__ = ["open_registry"]


def open_registry(address: str, base: Path) -> ReferringRegistry:
    """The registry at an address.

    Arguments:
        address: ``host[:port][/path]``, or ``oci:FOLDER`` for OCI image layouts on this machine.
        base: folder that a relative FOLDER counts from.
    """
    if is_layout(address):
        from pipegraft.adapters.registry.layout import LayoutRegistry  # noqa: PLC0415 - open what is used

        return LayoutRegistry(base / address.removeprefix(LAYOUT))
    from pipegraft.adapters.registry.http import HttpRegistry  # noqa: PLC0415
    from pipegraft.adapters.registry.settings import Endpoint  # noqa: PLC0415

    host, _, prefix = address.partition("/")
    if not re.fullmatch(REGISTRY_HOST, host):
        raise UsageError(
            f"expected a registry such as registry.example.com/shop or oci:FOLDER, found '{address}'"
        )
    return HttpRegistry(Endpoint.of(host, os.environ), prefix)
