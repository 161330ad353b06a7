"""Registries: where images are kept."""

from __future__ import annotations

from pathlib import Path

from pipegraft.domain.images.reference import LAYOUT, is_layout
from pipegraft.errors import UsageError
from pipegraft.ports.registry import Registry

__all__ = ["open_registry"]


def open_registry(address: str, base: Path) -> Registry:
    """The registry at an address.

    Arguments:
        address: ``host[:port][/path]``, or ``oci:FOLDER`` for OCI image layouts on this machine.
        base: folder that a relative FOLDER counts from.
    """
    if is_layout(address):
        from pipegraft.adapters.registry.layout import LayoutRegistry  # noqa: PLC0415 - open what is used

        return LayoutRegistry(base / address.removeprefix(LAYOUT))
    raise UsageError(f"expected oci:FOLDER, found '{address}'")
