"""An image as it is written into files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipegraft.core.errors import UsageError
from pipegraft.images.reference import ImageReference

__all__ = ["Part", "Pin", "PinnedImage", "repository_of"]

Pin = Literal["digest", "tag", "both"]
Part = Literal["reference", "repository", "tag", "digest"]


@dataclass(frozen=True, slots=True)
class PinnedImage:
    """A component's image.

    Arguments:
        repository: registry and repository, without tag and digest.
        digest: ``sha256:…``.
        tag: a tag that names this image for ever, its input hash; empty if it is not known.
    """

    repository: str
    digest: str
    tag: str

    @classmethod
    def parse(cls, reference: str, tag: str = "") -> PinnedImage:
        """From a reference pinned by digest.

        Raises:
            UsageError: it is not.
        """
        parsed = ImageReference.parse(reference)
        found = reference.partition("@")[0].removeprefix(repository_of(reference)).lstrip(":")
        return cls(f"{parsed.address}/{parsed.repository}", parsed.digest, tag or found)

    def reference(self, pin: Pin = "digest") -> str:
        """``repository[:tag][@digest]``.

        Raises:
            UsageError: a tag is asked for, and none is known.
        """
        if pin != "digest" and not self.tag:
            raise UsageError(
                f"no tag of {self.repository}@{self.digest} is known", fix="pin it by digest: 'write: digest'"
            )
        tag = "" if pin == "digest" else f":{self.tag}"
        digest = "" if pin == "tag" else f"@{self.digest}"
        return f"{self.repository}{tag}{digest}"

    def kept_pin(self, standing: str) -> Pin:
        """How to pin this image where another reference stands: by digest, and with a tag if it has both."""
        name, _, digest = standing.partition("@")
        tagged = ":" in name.rpartition("/")[2]
        return "both" if digest and tagged and self.tag else "digest"

    def part(self, part: Part, pin: Pin) -> str:
        """One part of the image, or the whole reference."""
        parts = {"repository": self.repository, "tag": self.tag, "digest": self.digest}
        return parts.get(part) or self.reference(pin)


def repository_of(reference: str) -> str:
    """A reference without tag and digest; a colon before the last slash is a port's."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
