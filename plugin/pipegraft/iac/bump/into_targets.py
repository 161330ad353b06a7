"""A release written into all targets of an environment, and what that comes to."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from pipegraft.core.delivery import Delivery, Target
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.iac.effect.chart import merged
from pipegraft.iac.effect.check import Effect, WrittenTarget, check_effect
from pipegraft.iac.effect.compare import Expected
from pipegraft.iac.effect.units import Unit, find_unit
from pipegraft.iac.files import Files
from pipegraft.iac.pinned import PinnedImage
from pipegraft.iac.ports.renderer import Renderer
from pipegraft.iac.targets.writing import Around, Written, write_target
from pipegraft.text.yaml import read_documents

__all__ = ["write_release"]


def write_release(
    read: Files,
    delivery: Delivery,
    environment: str,
    images: Mapping[str, PinnedImage],
    renderers: Mapping[str, Renderer],
) -> tuple[dict[str, str], dict[str, str], list[Effect]]:
    """Write a release into the targets of an environment, and make sure of its effect.

    Arguments:
        read: the files of the IaC repository.
        images: component → image, of the whole release.
        renderers: ``helm`` and ``kustomize``, those that are there.

    Returns:
        Path → text before, path → text afterwards, and what is known of the effect.

    Raises:
        UsageError: a file is not there.
        EditRefused: an image cannot be written exactly, is written nowhere, or without the right effect.
    """
    declared = delivery.environments[environment]
    root = (delivery.iac.path or "").strip("/")
    before: dict[str, str] = {}
    files: dict[str, str] = {}
    written: list[WrittenTarget] = []
    chosen = {name: image for name, image in images.items() if name not in declared.idle}
    for target in declared.targets:
        path = posixpath.join(root, target.file)
        text = files.get(path, read(path))
        if text is None:
            raise UsageError(
                f"expected {path} in the IaC repository, it is not there",
                fix=f"correct 'environments.{environment}.targets' in delivery.yaml",
            )
        before.setdefault(path, text)
        unit = find_unit(read, target, path, root)
        made = write_target(text, target, chosen, path, _around(read, target, path, unit))
        files[path] = made.text
        written.append(WrittenTarget(target, path, unit, tuple(_expected(made, chosen)), made.values))
    _refuse_unwritten(written, chosen, environment)
    return before, files, check_effect(read, files, written, renderers, policy=declared.effect, root=root)


def _expected(made: Written, images: Mapping[str, PinnedImage]) -> Iterator[Expected]:
    for component, pins in made.pins.items():
        yield Expected(component, images[component], pins)


def _around(read: Files, target: Target, path: str, unit: Unit) -> Around:
    """What the target's file belongs to, for finding the form and the names that count there."""
    if unit.chart is not None:
        return Around(_defaults(read, unit, path), unit.chart.keys_read)
    if unit.kustomization is not None and target.kind == "kustomize":
        built = unit.kustomization
        decided = not built.absent and not built.unknown
        return Around(below=built.below if decided or built.below else None)
    return Around()


def _defaults(read: Files, unit: Unit, path: str) -> Any:
    """The values that the chart has without this file: its own, and those of the files read before it."""
    assert unit.chart is not None  # noqa: S101 - the caller looked
    values = unit.chart.defaults()
    for other in unit.values:
        text = None if other == path else read(other)
        documents = read_documents(text, other) if text else []
        values = merged(values, documents[0]) if documents and documents[0] is not None else values
    return values


def _refuse_unwritten(
    written: list[WrittenTarget], images: Mapping[str, PinnedImage], environment: str
) -> None:
    """Make sure that every image of the release was written, and pinned."""
    pins: dict[str, set[str]] = {}
    for target in written:
        for one in target.expected:
            pins.setdefault(one.component, set()).update(one.pins)
    missing = [name for name in images if not pins.get(name)]
    if missing:
        named = ", ".join(f"'{name}'" for name in missing)
        what = "only the repository of" if missing[0] in pins else "no target holds the image of"
        raise EditRefused(
            f"{what} {named}{' is written' if missing[0] in pins else ''}, and the release has it",
            place=Place("delivery.yaml"),
            fix=f"add a target for it to 'environments.{environment}.targets', or name it in "
            f"'environments.{environment}.idle' if it does not run there",
        )
