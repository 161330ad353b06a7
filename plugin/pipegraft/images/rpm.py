"""Packages in the headers that RPM keeps of what it installed (rpm.org, "RPM Package format", Header)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from urllib.parse import quote

from pipegraft.images.ports.builders import Package

__all__ = ["read_header"]

_NAME, _VERSION, _RELEASE, _EPOCH, _ARCHITECTURE = 1000, 1001, 1002, 1003, 1022
_INT32, _STRING = 4, 6
_KEY = "gpg-pubkey"
"""Keys that RPM trusts stand among the packages."""


def read_header(header: bytes, path: str, system: str) -> Package | None:
    """The package that a header describes, None for a key.

    Arguments:
        header: index length, data length, the index, the data; big-endian.
        path: of the database in the image.
        system: ID of the distribution (os-release), empty if it does not say.

    Raises:
        ValueError: it is no header.
    """
    try:
        values = _values(header)
        name, version, release = (str(values[tag]) for tag in (_NAME, _VERSION, _RELEASE))
    except (struct.error, KeyError, IndexError) as error:
        raise ValueError(f"expected the header of a package: {error}") from None
    if name == _KEY:
        return None
    full = f"{version}-{release}"
    purl = f"pkg:rpm/{quote(f'{system}/{name}' if system else name)}@{quote(full, safe=':~')}"
    qualifiers = [
        f"{key}={quote(str(values[tag]))}"
        for key, tag in (("arch", _ARCHITECTURE), ("epoch", _EPOCH))
        if tag in values
    ]
    return Package(f"{purl}?{'&'.join(qualifiers)}" if qualifiers else purl, name, full, path)


def _values(header: bytes) -> Mapping[int, str | int]:
    count, _size = struct.unpack_from(">II", header)
    data = 8 + 16 * count
    values: dict[int, str | int] = {}
    for tag, kind, offset, _count in struct.iter_unpack(">IIII", header[8:data]):
        if tag not in (_NAME, _VERSION, _RELEASE, _EPOCH, _ARCHITECTURE):
            continue
        if kind == _STRING:
            end = header.index(b"\0", data + offset)
            values[tag] = header[data + offset : end].decode(errors="replace")
        elif kind == _INT32:
            values[tag] = struct.unpack_from(">I", header, data + offset)[0]
    return values
