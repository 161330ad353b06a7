"""How a registry is reached: scheme, certificates and credentials, from its address and the machine."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pipegraft.core.errors import UsageError
from pipegraft.images.adapters.registry.credentials import Keyring, find_keyring

__all__ = ["Endpoint", "is_loopback"]

_HUB_HOST = "registry-1.docker.io"
_CERTIFICATES = "/etc/docker/certs.d"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One registry server.

    Arguments:
        name: ``host[:port]`` as it stands in image references.
        schemes: to try in this order: ``https``, ``http``.
        ca: PEM file of further certificate authorities.
        certificates: folder as docker keeps it: ``*.crt`` authorities, ``NAME.cert`` with ``NAME.key``.
        keyring: who we are there.
    """

    name: str
    schemes: tuple[str, ...] = ("https",)
    ca: Path | None = None
    certificates: Path | None = None
    keyring: Keyring = field(default_factory=Keyring)

    @classmethod
    def of(cls, name: str, variables: Mapping[str, str]) -> Endpoint:
        """The registry as this machine's variables and docker's files say.

        Plain HTTP is spoken with a registry that ``PIPEGRAFT_INSECURE_REGISTRIES`` names (a list with
        commas), and, as docker does, with one on this machine's loopback that speaks no TLS.
        """
        insecure = {one.strip() for one in variables.get("PIPEGRAFT_INSECURE_REGISTRIES", "").split(",")}
        schemes = ("http",) if name in insecure else ("https", "http") if is_loopback(name) else ("https",)
        ca = variables.get("PIPEGRAFT_REGISTRY_CA")
        certificates = Path(_CERTIFICATES, name)
        return cls(
            name,
            schemes,
            Path(ca) if ca else None,
            certificates if certificates.is_dir() else None,
            find_keyring(name, variables),
        )

    @property
    def host(self) -> str:
        """``host[:port]`` to connect to."""
        return _HUB_HOST if self.name == "docker.io" else self.name

    def trust(self) -> ssl.SSLContext:
        """What is trusted, and what we show.

        Raises:
            UsageError: a certificate file is missing or none.
        """
        return _trust(self.ca, self.certificates)


@cache
def _trust(ca: Path | None, certificates: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    path = ca
    try:
        if path is not None:
            context.load_verify_locations(path)
        for path in sorted(certificates.iterdir()) if certificates else ():
            if path.suffix == ".crt":
                context.load_verify_locations(path)
            elif path.suffix == ".cert":
                context.load_cert_chain(path, path.with_suffix(".key"))
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"expected certificates in {path}: {error}") from error
    return context


def is_loopback(name: str) -> bool:
    """Whether ``host[:port]`` is this machine."""
    host = name.rsplit(":", 1)[0].strip("[]") if not name.endswith("]") else name.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
