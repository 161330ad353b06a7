"""Image references: ``registry/repository@sha256:…`` and ``oci:FOLDER/repository@sha256:…``."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipegraft.core.errors import UsageError

__all__ = ["LAYOUT", "ImageReference", "is_layout", "mirrored", "mount_source", "split_name"]

LAYOUT = "oci:"
"""Start of an address that is a folder of OCI image layouts."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HUB = "docker.io"


def is_layout(address: str) -> bool:
    """Whether a registry address is a layout folder."""
    return address.startswith(LAYOUT)


def split_name(text: str) -> tuple[str, str, str]:
    """Address, repository and tag or digest of an image name as people write it.

    A name without a registry is one of Docker Hub's, one without a tag means ``latest``.

    Raises:
        UsageError: it is no image name.
    """
    name, _, digest = text.partition("@")
    head, colon, tag = name.rpartition(":")
    if colon and "/" not in tag and head != LAYOUT.rstrip(":"):
        name = head
    else:
        colon = tag = ""
    if is_layout(name):
        address, _, repository = name.rpartition("/")
    else:
        address, slash, repository = name.partition("/")
        if not slash or not (set(".:") & set(address) or address == "localhost"):
            address, repository = _HUB, name if slash else f"library/{name}"
    reference = digest or tag or "latest"
    is_empty = bool(colon and not tag)
    is_reference = bool(_DIGEST.fullmatch(reference) or _TAG.fullmatch(reference))
    if is_empty or not is_reference or not _REPOSITORY.fullmatch(repository):
        lower = repository != repository.lower()
        raise UsageError(
            f"expected an image name such as registry/repository:tag, found '{text}'",
            fix="give a tag behind the colon" if is_empty else "write the repository in lower case" * lower,
        )
    return address, repository, reference


def mirrored(address: str, variables: Mapping[str, str]) -> str:
    """The address that is asked instead of another, where ``PIPEGRAFT_REGISTRY_MIRRORS`` names a mirror.

    Raises:
        UsageError: the variable is no list of ``HOST=ADDRESS`` with commas between.
    """
    host, _, path = address.partition("/")
    for entry in filter(None, variables.get("PIPEGRAFT_REGISTRY_MIRRORS", "").replace(" ", "").split(",")):
        mirror_of, equals, mirror = entry.partition("=")
        if not equals or not mirror or "/" in mirror_of:
            raise UsageError(
                f"PIPEGRAFT_REGISTRY_MIRRORS: expected HOST=ADDRESS, found '{entry}'",
                fix="write it like docker.io=mirror.example.com/hub, with commas between several",
            )
        if mirror_of == host:
            return f"{mirror.rstrip('/')}/{path}".rstrip("/")
    return address


def mount_source(target: str, address: str, repository: str) -> str | None:
    """How `push_blob` at `target` names another repository to mount from, None if it is on another server.

    Arguments:
        target: address of the registry that is pushed to.
        address: of the registry that has the repository.
    """
    if is_layout(target) or is_layout(address):
        inside = f"{address}/{repository}".removeprefix(f"{target}/")
        return f"/{inside}" if is_layout(address) and f"{address}/".startswith(f"{target}/") else None
    if target.partition("/")[0] != address.partition("/")[0]:
        return None
    path = address.partition("/")[2]
    return f"/{path}/{repository}" if path else f"/{repository}"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One image, pinned.

    Arguments:
        address: of the registry, as `open_registry` takes it: ``host[:port][/path]`` or ``oci:FOLDER``.
        repository: the path below it.
        digest: ``sha256:…`` of the manifest.
    """

    address: str
    repository: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read a pinned reference.

        Raises:
            UsageError: it is not pinned by digest, or not a reference at all.
        """
        address, repository, reference = split_name(text)
        if not _DIGEST.fullmatch(reference):
            raise UsageError(
                f"expected an image pinned by digest (name@sha256:…), found '{text}'",
                fix="pin it: a tag can name another image tomorrow",
            )
        return cls(address, repository, reference)

    def rooted(self, folder: str) -> ImageReference:
        """The same with a relative layout folder made absolute below `folder`."""
        if not is_layout(self.address):
            return self
        path = posixpath.normpath(posixpath.join(folder, self.address.removeprefix(LAYOUT)))
        return ImageReference(LAYOUT + path, self.repository, self.digest)

    def __str__(self) -> str:
        return f"{self.address}/{self.repository}@{self.digest}"
