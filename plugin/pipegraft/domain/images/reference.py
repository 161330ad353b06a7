"""Image references: ``registry/repository@sha256:…`` and ``oci:FOLDER/repository@sha256:…``."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from pipegraft.errors import UsageError

__all__ = ["LAYOUT", "ImageReference", "is_layout"]

LAYOUT = "oci:"
"""Start of an address that is a folder of OCI image layouts."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")


def is_layout(address: str) -> bool:
    """Whether a registry address is a layout folder."""
    return address.startswith(LAYOUT)


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
        """Read a pinned reference; a name without a registry is one of Docker Hub's.

        Raises:
            UsageError: it is not pinned by digest, or not a reference at all.
        """
        name, at, digest = text.partition("@")
        if not at or not _DIGEST.fullmatch(digest):
            raise UsageError(
                f"expected an image pinned by digest (name@sha256:…), found '{text}'",
                fix="pin it: a tag can name another image tomorrow",
            )
        if is_layout(name):
            folder, slash, repository = name.rpartition("/")
            if not slash or not _REPOSITORY.fullmatch(repository):
                raise UsageError(f"expected oci:FOLDER/repository@sha256:…, found '{text}'")
            return cls(folder, repository, digest)
        host, slash, repository = name.partition("/")
        if not slash or not (set(".:") & set(host) or host == "localhost"):
            host, repository = "docker.io", name if slash else f"library/{name}"
        head, colon, tag = repository.rpartition(":")
        repository = head if colon and "/" not in tag else repository
        if not _REPOSITORY.fullmatch(repository):
            raise UsageError(f"expected registry/repository@sha256:…, found '{text}'")
        return cls(host, repository, digest)

    def rooted(self, folder: str) -> ImageReference:
        """The same with a relative layout folder made absolute below `folder`."""
        if not is_layout(self.address):
            return self
        path = posixpath.normpath(posixpath.join(folder, self.address.removeprefix(LAYOUT)))
        return ImageReference(LAYOUT + path, self.repository, self.digest)

    def __str__(self) -> str:
        return f"{self.address}/{self.repository}@{self.digest}"
