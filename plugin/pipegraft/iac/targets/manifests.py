"""Plain manifests and KubeVela's Applications: places that name the image, of every document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, Place
from pipegraft.iac.pinned import PinnedImage
from pipegraft.iac.targets.references import Reference, Use, image_uses, same_repository
from pipegraft.text.yaml import Edit, Path, Set

__all__ = ["kubevela_edits", "manifest_edits"]

Planned = tuple[dict[int, list[Edit]], dict[str, frozenset[str]]]
"""Number of a document → what to change in it; component → which of tag and digest stand there then."""


def manifest_edits(
    documents: Sequence[Any], target: Target, images: Mapping[str, PinnedImage], file: str
) -> Planned:
    """Containers and image volumes, matched by the repository of their image.

    A name alone says nothing: a container called as the component may run another image.

    Raises:
        EditRefused: nothing there runs an image that is to be written.
    """
    uses = [(number, use) for number, data in enumerate(documents) for use in image_uses(data)]
    edits, pins = _edits(uses, target, images)
    missing = [component for component in images if component not in pins]
    if missing and (target.component or not pins):
        found = ", ".join(dict.fromkeys(use.image for _, use in uses)) or "none"
        raise EditRefused(
            f"nothing runs the image of '{missing[0]}' ({images[missing[0]].repository}); the images there "
            f"are: {found}",
            place=Place(file),
            fix=f"write the image's repository, {images[missing[0]].repository}, where the component runs",
        )
    return edits, pins


def _edits(
    uses: Sequence[tuple[int, Use]], target: Target, images: Mapping[str, PinnedImage]
) -> tuple[dict[int, list[Edit]], dict[str, frozenset[str]]]:
    edits: dict[int, list[Edit]] = {}
    pins: dict[str, frozenset[str]] = {}
    for number, use in uses:
        standing = Reference.parse(use.image).repository
        for component, image in images.items():
            if same_repository(standing, image.repository):
                pin = target.write or image.kept_pin(use.image)
                edits.setdefault(number, []).append(Set(use.path, image.reference(pin)))
                said = frozenset({"tag", "digest"} if pin == "both" else {pin})
                pins[component] = pins.get(component, frozenset()) | said
                break
    return edits, pins


def kubevela_edits(
    documents: Sequence[Any], target: Target, images: Mapping[str, PinnedImage], file: str
) -> Planned:
    """``properties.image`` of Applications' components and traits: by repository, else by component.

    Raises:
        EditRefused: no component of an Application is one that is to be written, or several could be.
    """
    uses: list[tuple[int, Use]] = []
    named: dict[str, list[tuple[int, Use]]] = {}
    for number, data in enumerate(documents):
        for name, use in _application_uses(data):
            uses.append((number, use))
            if name in images:
                named.setdefault(name, []).append((number, use))
    edits, pins = _edits(uses, target, images)
    for component in images.keys() - pins.keys() & named.keys():
        (number, use), *others = named[component]
        if others:
            raise EditRefused(
                f"{len(others) + 1} Applications have a component '{component}', and none of them runs "
                f"{images[component].repository}",
                place=Place(file),
                fix="write the image's repository into the one that is meant",
            )
        pin = target.write or images[component].kept_pin(use.image)
        edits.setdefault(number, []).append(Set(use.path, images[component].reference(pin)))
        pins[component] = frozenset({"tag", "digest"} if pin == "both" else {pin})
    missing = [component for component in images if component not in pins]
    if missing and (target.component or not pins):
        raise EditRefused(
            f"no component of an Application is called {' or '.join(missing)}, or runs its image",
            place=Place(file),
            fix="name the components of the Application as in delivery.yaml",
        )
    return edits, pins


def _application_uses(data: Any) -> Iterator[tuple[str, Use]]:
    """Images of an Application, each with the component's name if it is the component's own."""
    spec = data.get("spec") if isinstance(data, dict) and data.get("kind") == "Application" else None
    components = spec.get("components") if isinstance(spec, dict) else None
    for index, component in enumerate(components if isinstance(components, list) else ()):
        if not isinstance(component, dict):
            continue
        path: Path = ("spec", "components", index)
        name = str(component.get("name", ""))
        for use in _property(component, path, f"component '{name}'"):
            yield name, use
        traits = component.get("traits")
        for at, trait in enumerate(traits if isinstance(traits, list) else ()):
            for use in _property(trait, (*path, "traits", at), f"a trait of component '{name}'"):
                yield "", use


def _property(part: Any, path: Path, shown: str) -> Iterator[Use]:
    properties = part.get("properties") if isinstance(part, dict) else None
    image = properties.get("image") if isinstance(properties, dict) else None
    if isinstance(image, str):
        yield Use((*path, "properties", "image"), image, shown)
