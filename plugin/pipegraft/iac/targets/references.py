"""Image references as they stand in files of other tools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipegraft.text.yaml import Path

__all__ = ["Reference", "Use", "image_uses", "same_repository"]

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
