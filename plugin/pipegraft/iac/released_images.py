"""Images of a release: as they are pinned, as files of other tools name them, and which an environment runs.

What an environment runs its app spec says, or, with `targets`, ``.pipegraft/NAME.yaml`` beside the app. That
file holds what Pipegraft must remember and other files cannot say: with `targets` the release and its images,
for supersession and promotion; after a rollback the release that was taken back, so that a late or repeated
pipeline does not bring it again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipegraft.appspec.environment_file import environment_path, images_of, read_environment
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import UsageError
from pipegraft.core.model import Model, Name
from pipegraft.core.release import ReleaseMark
from pipegraft.images.reference import ImageReference
from pipegraft.text.yaml import Path, Put, Remove, apply
from pipegraft.text.yaml.values import Value

__all__ = [
    "EnvironmentState",
    "Part",
    "Pin",
    "PinnedImage",
    "Reference",
    "Use",
    "image_uses",
    "pins_of",
    "read_state",
    "released_in",
    "same_repository",
    "state_path",
    "without_taken_back",
    "write_state",
]


Pin = Literal["digest", "tag", "both"]
Part = Literal["reference", "repository", "tag", "digest"]
HEX = re.compile(r"[0-9a-f]{64}")
"""A digest without the name of its algorithm."""


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
        found = tag or Reference.parse(reference).tag
        return cls(f"{parsed.address}/{parsed.repository}", parsed.digest, found)

    def reference(self, pin: Pin = "digest") -> str:
        """``repository[:tag][@digest]``.

        Raises:
            UsageError: a tag is asked for, and none is known.
        """
        if pin != "digest" and not self.tag:
            raise UsageError(
                f"no tag of {self.repository}@{self.digest} is known", fix="pin it by digest: 'write: digest'"
            )
        tag, digest = "" if pin == "digest" else self.tag, "" if pin == "tag" else self.digest
        return str(Reference(self.repository, tag, digest))

    def kept_pin(self, standing: str) -> Pin:
        """How to pin this image where another reference stands: by digest, and with a tag if it has both."""
        held = Reference.parse(standing)
        return "both" if held.digest and held.tag and self.tag else "digest"

    def like(self, standing: str, part: Part, pin: Pin | None) -> tuple[str, frozenset[str]]:
        """A part of the image in the form of what stands there: a bare digest, a tag that carries one.

        Arguments:
            pin: how the whole is pinned; as what stands there if None.

        Returns:
            What to write, and which of ``tag`` and ``digest`` it says.

        Raises:
            UsageError: a tag is asked for, and none is known.
        """
        pin = pin or self.kept_pin(standing)
        if part == "digest":
            bare = HEX.fullmatch(standing)
            return self.digest.removeprefix("sha256:") if bare else self.digest, frozenset({"digest"})
        if part == "repository":
            return self.repository, frozenset()
        if part == "tag":
            tag = self.reference("tag").removeprefix(f"{self.repository}:")
            both = "@" in standing and pin != "tag"
            return f"{tag}@{self.digest}" if both else tag, pins_of("both" if both else "tag")
        return self.reference(pin), pins_of(pin)


def pins_of(pin: Pin) -> frozenset[str]:
    """Which of ``tag`` and ``digest`` a pin says."""
    return frozenset({"tag", "digest"} if pin == "both" else {pin})


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


_HEAD = "# Written by pipegraft. Deleting it forgets which release is newest here.\n"


class EnvironmentState(Model):
    """The whole file."""

    release: ReleaseMark | None = None
    """The newest release written to targets."""
    images: Mapping[Name, str] = {}
    """Component → reference, as that release has them."""
    taken_back: ReleaseMark | None = None
    """The newest release that was rolled back by hand."""


def state_path(folder: str | None, environment: str) -> str:
    """Its path in the IaC repository; `folder` is the app's, None for the root."""
    path = f".pipegraft/{environment}.yaml"
    return f"{folder.rstrip('/')}/{path}" if folder else path


def read_state(text: str | None, file: str) -> EnvironmentState:
    """Read the file; nothing is remembered if there is none.

    Raises:
        ConfigError: it is not what Pipegraft writes.
    """
    return parse_document(text, file, EnvironmentState) if text and text.strip() else EnvironmentState()


def without_taken_back(text: str, file: str) -> str | None:
    """The file without a memory of a release that was taken back; None if it remembers nothing else."""
    state = read_state(text, file)
    return apply(text, [Remove(("taken-back",))], file=file) if state.release or state.images else None


def write_state(text: str | None, state: EnvironmentState, file: str) -> str:
    """The file with what `state` remembers; what it leaves out stays.

    Raises:
        EditRefused: the file is not what Pipegraft writes.
    """
    content: dict[str, Value] = state.model_dump(mode="json", exclude_defaults=True)
    if not text or not text.strip():
        text = f"{_HEAD}{next(iter(content))}: {{}}\n"  # an entry for the editor to begin with
    return apply(text, [Put((key,), value) for key, value in content.items()], file=file)


def released_in(
    read: Callable[[str], str | None], delivery: Delivery, origin: str, destination: str
) -> tuple[ReleaseMark, dict[str, PinnedImage]]:
    """The release that an environment runs, and its images.

    Arguments:
        read: text of a file of the IaC repository, None if it does not exist.
        delivery: the delivery as declared.
        origin: the environment to carry from.
        destination: the environment to carry to.

    Raises:
        UsageError: there is no such environment, nothing is released there, or a gray release is under way.
    """
    if origin not in delivery.environments or origin == destination:
        others = [name for name in delivery.environments if name != destination]
        raise UsageError(
            f"expected another environment to promote from, found '{origin}'",
            fix=f"use one of: {', '.join(others)}" if others else "declare it in delivery.yaml",
        )
    folder = delivery.iac.path
    if delivery.environments[origin].targets:
        path = state_path(folder, origin)
        state = read_state(read(path), path)
        mark, references = state.release, dict(state.images)
    else:
        path = environment_path(folder, origin)
        held = read_environment(read(path) or "", path)
        if held.gray:
            raise UsageError(
                f"'{origin}' is in the middle of a gray release of {held.gray.release.number}",
                fix="wait until it is promoted or taken back, then promote from there",
            )
        mark, references = held.release, images_of(held)
    images = {name: PinnedImage.parse(one) for name, one in references.items() if name in delivery.components}
    if mark is None or not images:
        raise UsageError(
            f"nothing is released in '{origin}' yet: {path} names no release", fix="deliver there first"
        )
    return mark, images
