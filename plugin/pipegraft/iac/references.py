"""Images as they are written into files, and as they stand in files of other tools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipegraft.core.errors import UsageError
from pipegraft.images.reference import ImageReference
from pipegraft.text.yaml import Path

__all__ = ["Part", "Pin", "PinnedImage", "Reference", "Use", "image_uses", "repository_of", "same_repository"]

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


_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_HUB = ("docker.io", "index.docker.io")


@dataclass(frozen=True, slots=True)
class Reference:
    """``repository[:tag][@digest]``, each part as it is written; a part that is not there is empty."""

    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Take a reference apart; a colon before the last slash is a port's."""
        name, _, digest = text.partition("@")
        head, slash, last = name.rpartition("/")
        short, _, tag = last.partition(":")
        return cls(f"{head}{slash}{short}", tag, digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"


def same_repository(one: str, other: str) -> bool:
    """Whether two repositories are one: Docker Hub's have short names (``web``, ``library/web``)."""
    return _whole(one) == _whole(other)


def _whole(repository: str) -> str:
    host, slash, rest = repository.partition("/")
    if not slash or not ({".", ":"} & set(host) or host == "localhost"):
        host, rest = _HUB[0], repository
    if host in _HUB:
        host, rest = _HUB[0], rest if "/" in rest else f"library/{rest}"
    return f"{host}/{rest}"


@dataclass(frozen=True, slots=True)
class Use:
    """A place in a document where an image is named to be run.

    Arguments:
        path: where.
        image: what stands there.
        shown: the place without what is above its container, for messages: the container's name.
    """

    path: Path
    image: str
    shown: str


def image_uses(data: Any) -> Iterator[Use]:
    """Containers and image volumes of any kind of workload, also inside lists and custom resources."""
    return _uses(data, ())


def _uses(data: Any, path: Path) -> Iterator[Use]:
    if isinstance(data, list):
        for index, item in enumerate(data):
            yield from _uses(item, (*path, index))
        return
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        below = (*path, key)
        if isinstance(value, list) and (key in _CONTAINERS or key == "volumes"):
            for index, item in enumerate(value):
                yield from _use_of_item(item, (*below, index), key)
        yield from _uses(value, below)


def _use_of_item(item: Any, path: Path, key: str) -> Iterator[Use]:
    if not isinstance(item, dict):
        return
    image, name = item.get("image"), str(item.get("name", ""))
    if key in _CONTAINERS and isinstance(image, str):
        yield Use((*path, "image"), image, f"container '{name}'")
    elif key == "volumes" and isinstance(image, dict) and isinstance(image.get("reference"), str):
        yield Use((*path, "image", "reference"), image["reference"], f"volume '{name}'")
