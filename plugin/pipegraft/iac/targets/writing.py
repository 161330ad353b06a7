"""Writes the images of a release into one file of another tool, exactly or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, Place
from pipegraft.iac.released_images import PinnedImage, Reference, same_repository
from pipegraft.iac.targets.helm import (
    NAMES,
    form_at,
    refuse_outside_values,
    refuse_template,
    registries_in,
    values_root,
)
from pipegraft.iac.targets.kubernetes import images_paths, kubevela_edits, kustomize_edits, manifest_edits
from pipegraft.iac.targets.markers import write_marked
from pipegraft.text.yaml import (
    Edit,
    Path,
    Put,
    Set,
    apply,
    document_with,
    format_path,
    get_value,
    has_path,
    locate,
    parse_path,
    read_documents,
    value_at,
)

__all__ = ["Around", "Written", "refuse_old_digest", "values_place", "write_target"]

Pins = Mapping[str, frozenset[str]]
"""Component → which of ``tag`` and ``digest`` the file says of its image."""


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of what the file belongs to.

    Arguments:
        defaults: values of the chart that reads the file, without it; None if the chart is not known.
        reads: path of a mapping of values → keys that the chart's templates read in it.
        below: images of the resources that a kustomization brings together; None if not all are known.
        others: repositories of the release's other components.
    """

    defaults: Any = None
    reads: Callable[[Path], frozenset[str]] = field(default=lambda _path: frozenset())
    below: Sequence[str] | None = None
    others: Sequence[str] = ()

    def refuse_another(self, standing: str, path: Path, place: Place) -> None:
        """Make sure that no image of another component is replaced.

        Raises:
            EditRefused: one stands there.
        """
        if any(same_repository(standing, one) for one in self.others):
            raise EditRefused(
                f"{format_path(path)} holds the image of another component, {standing}",
                place=place,
                fix="name that component in the target, or the place of this one",
            )


@dataclass(frozen=True, slots=True)
class Written:
    """One file with the images written.

    Arguments:
        text: the whole file.
        pins: what stands there now, for the components that were written.
        values: paths written, from the root of a chart's values, for a target of kind `helm`.
    """

    text: str
    pins: Pins
    values: tuple[Path, ...] = ()


def write_target(
    text: str, target: Target, images: Mapping[str, PinnedImage], file: str, around: Around | None = None
) -> Written:
    """Write images into one file.

    Arguments:
        text: the file as it is.
        target: what to write where.
        images: component → image, of all components.
        file: name for messages.
        around: what the file belongs to.

    Returns:
        The new text; the same one if it names these images already.

    Raises:
        EditRefused: no place for an image was found, or the edit cannot be made exactly.
    """
    if target.component is not None and target.component not in images:
        raise EditRefused(
            f"a target writes the image of '{target.component}', which the release does not have",
            place=Place(file),
            fix=f"name one of: {', '.join(images)}",
        )
    if _MAC.search(text) and not _ENCRYPTED_ALONE.search(text):
        raise EditRefused(
            "SOPS sums up all values of this file: with another one it could no longer be decrypted",
            place=Place(file),
            fix="keep the image in a file of its own, or encrypt with SOPS's 'mac_only_encrypted'",
        )
    chosen = {target.component: images[target.component]} if target.component else images
    if target.kind == "marker":
        return Written(*write_marked(text, target, chosen, file))
    others = tuple({one.repository for one in images.values()} - {one.repository for one in chosen.values()})
    return _WRITERS[target.kind](text, target, chosen, file, replace(around or Around(), others=others))


_MAC = re.compile(r"""\bmac["']?\s*[:=]\s*["']?ENC\[|^sops_mac\s*=""", re.MULTILINE)
_ENCRYPTED_ALONE = re.compile(r"""mac_only_encrypted["']?\s*[:=]\s*["']?true""")
"""SOPS's sum, and that it is of encrypted values alone (SOPS, README: Message Authentication Code)."""


def _documents(text: str, file: str) -> list[Any]:
    try:
        return list(read_documents(text, file))
    except EditRefused as error:
        if "{{" not in text:
            raise
        fix = "for a template: kind 'marker', and '# pipegraft:set=COMPONENT.VALUE' behind the value"
        raise EditRefused(error.problem.message, place=error.problem.place, fix=fix) from None


def _apply(text: str, edits: Sequence[Edit], document: int | None, file: str) -> str:
    """Make edits; a value that an alias or a merge key brings counts once it is changed where it stands."""
    try:
        return apply(text, edits, document=document, file=file)
    except EditRefused as error:
        for edit in edits:
            if isinstance(edit, (Put, Set)) and _holds(text, edit, document, file):
                continue
            try:
                text = apply(text, [edit], document=document, file=file)
            except EditRefused:
                raise error from None
        return text


def _holds(text: str, edit: Put | Set, document: int | None, file: str) -> bool:
    there = has_path(text, edit.path, document=document, file=file)
    return there and get_value(text, edit.path, document=document, file=file) == edit.value


def _yaml(text: str, target: Target, images: Mapping[str, PinnedImage], file: str, around: Around) -> Written:
    ((component, image),) = images.items()
    path = parse_path(target.path or "")
    _documents(text, file)
    outer, inner = _split(text, path, target.document, file)
    held = _text_at(text, outer, inner, target.document, file)
    place = _place(text, outer, target.document, file)
    refuse_template(held, path, place)
    if target.value in {"reference", "repository"}:
        around.refuse_another(Reference.parse(held).repository, path, place)
    value, said = image.like(held, target.value, target.write)
    if (
        target.value == "reference"
        and target.write is None
        and "/" not in held
        and held.startswith("sha256:")
    ):
        raise EditRefused(
            f"{format_path(path)} holds a digest alone, and the whole image was to be written there",
            place=place,
            fix="say which part of the image stands there: 'value: digest'",
        )
    return Written(
        _set(text, (outer, inner), [Set(inner or outer, value)], target.document, file), {component: said}
    )


def refuse_old_digest(text: str, target: Target, file: str, new: Collection[str]) -> None:
    """Make sure that no digest stands beside a tag that was written by its path, and counts over it.

    Arguments:
        text: the file as it was written.
        new: digests of the images that were written.

    Raises:
        EditRefused: one does.
    """
    if (target.kind, target.value) != ("yaml", "tag"):
        return
    path = parse_path(target.path or "")
    for document in _documents(text, file):
        beside = value_at(document, path[:-1])
        for key in NAMES["digest"] if isinstance(beside, dict) and path[-1] in beside else ():
            held = str(beside.get(key) or "")
            if held and not {held, f"sha256:{held}"} & {*new}:
                raise EditRefused(
                    f"{format_path(path)} is written, and '{key}' beside it still says {held}",
                    place=Place(file),
                    fix=f"write {format_path((*path[:-1], key))} too: kind 'yaml', 'value: digest'",
                )


def _text_at(text: str, outer: Path, inner: Path, document: int | None, file: str) -> str:
    if not has_path(text, outer, document=document, file=file):
        return ""
    held = get_value(text, outer, document=document, file=file)
    if inner and isinstance(held, str):
        held = get_value(held, inner, file=file) if has_path(held, inner, file=file) else ""
    return held if isinstance(held, str) else ""


def _split(text: str, path: Path, document: int | None, file: str) -> tuple[Path, Path]:
    """Where a path runs into a text that is YAML itself, as Argo CD's ``helm.values``, and the rest."""
    for end in range(len(path) - 1, 0, -1):
        if has_path(text, path[:end], document=document, file=file):
            held = get_value(text, path[:end], document=_known(text, path[:end], document, file), file=file)
            nested = isinstance(held, str) and "\n" in held
            return (path[:end], path[end:]) if nested else (path, ())
    return path, ()


def _known(text: str, path: Path, document: int | None, file: str) -> int:
    return document_with(text, path, file=file) if document is None else document


def _set(text: str, at: tuple[Path, Path], edits: Sequence[Edit], document: int | None, file: str) -> str:
    """Make edits; behind a path that runs into a text they are of that text."""
    outer, inner = at
    if not inner:
        return _apply(text, edits, document, file)
    number = _known(text, outer, document, file)
    nested = str(get_value(text, outer, document=number, file=file))
    place = _place(text, outer, number, file)
    try:
        changed = _apply(nested, edits, None, file)
    except EditRefused as error:
        said = f"in the text at {format_path(outer)}: {error.problem.message}"
        raise EditRefused(said, place=place, fix=error.problem.fix) from None
    return _apply(text, [Set(outer, changed)], number, file)


def _place(text: str, path: Path, document: int | None, file: str) -> Place:
    """Where a path stands, or as much of it as exists."""
    for end in range(len(path), -1, -1):
        if has_path(text, path[:end], document=document, file=file):
            try:
                span = locate(text, path[:end], document=document, file=file)
            except EditRefused:
                break
            return Place(file, span.line, span.column)
    return Place(file)


def values_place(text: str, target: Target, file: str) -> tuple[int, Path]:
    """Number of the document that holds the values of a target of kind `helm`, and where they begin in it.

    Raises:
        EditRefused: the file is not YAML, or the path is ambiguous.
    """
    path = parse_path(target.path or "")
    documents = _documents(text, file)
    number = _helm_document(text, path, target, file)
    return number, values_root(documents[number] if number < len(documents) else None, path)


def _helm_document(text: str, path: Path, target: Target, file: str) -> int:
    """The number of the document that has the longest part of the path, as the editor finds it."""
    if target.document is not None:
        return target.document
    outer, _ = _split(text, path, None, file)
    shortest = max(1, len(outer) - 1) if target.create else len(outer)
    for end in range(len(outer), shortest - 1, -1):
        if has_path(text, outer[:end], file=file):
            return document_with(text, outer[:end], file=file)
    documents = _documents(text, file)
    holding = [number for number, data in enumerate(documents) if values_root(data, path)]
    if len(holding) == 1:
        return holding[0]
    return document_with(text, outer, file=file) if len(documents) > 1 else 0


def _helm(text: str, target: Target, images: Mapping[str, PinnedImage], file: str, around: Around) -> Written:
    ((component, image),) = images.items()
    path = parse_path(target.path or "")
    document, root = values_place(text, target, file)
    inside = path[len(root) :]
    whole = next(iter(_documents(text, file)[document:]), None)  # a file of comments has none
    refuse_outside_values(whole, path, _place(text, (), document, file))
    held = value_at(whole, root)
    outer, inner = _split(text, path, document, file)
    own = _value_at(text, outer, inner, document, file)
    form = form_at(
        inner or outer,
        own,
        value_at(around.defaults, inside),
        target,
        place=_place(text, outer, document, file),
        read=around.reads(inside),
        registries=frozenset((*registries_in(around.defaults), *registries_in(held))),
        around=_value_at(text, outer[:-1], (), document, file) if not inner else None,
    )
    around.refuse_another(form.standing, path, _place(text, outer, document, file))
    edits, said = form.edits(image, target)
    new = _set(text, (outer, inner), edits, document, file) if edits else text
    cut = len(inner or outer)
    values = tuple(
        (*inside, *edit.path[cut:]) for edit in edits if not (isinstance(edit, Set) and edit.path == path)
    )
    return Written(new, {component: said}, values or (inside,))


def _value_at(text: str, outer: Path, inner: Path, document: int, file: str) -> Any:
    if not has_path(text, outer, document=document, file=file):
        return None
    held = get_value(text, outer, document=document, file=file)
    if not inner:
        return held
    nested = str(held)
    return get_value(nested, inner, file=file) if has_path(nested, inner, file=file) else None


def _kustomize(
    text: str, target: Target, images: Mapping[str, PinnedImage], file: str, around: Around
) -> Written:
    documents = _documents(text, file) or [{}]
    places = [(number, path) for number, data in enumerate(documents) for path in images_paths(data or {})]
    if len(places) > 1:
        places = [(number, path) for number, path in places if value_at(documents[number], path)] or places
    if len(places) != 1:
        what = "no kustomization" if not places else f"{len(places)} lists of images"
        raise EditRefused(
            f"expected one kustomization, found {what}", place=Place(file), fix="name its file in the target"
        )
    ((number, path),) = places
    entries = value_at(documents[number], path)
    place = _place(text, path, number, file)
    edits, pins = kustomize_edits(
        entries if isinstance(entries, list) else [], path, target, images, below=around.below, place=place
    )
    if not pins:
        named = ", ".join(f"'{name}'" for name in images)
        raise EditRefused(
            f"no entry of {format_path(path)} is about {named}, and none can be added for an image of the "
            f"resources{'' if around.below is not None else ': not all of them are in this repository'}",
            place=place,
            fix="add an entry whose 'name' is the image as it stands in the resources",
        )
    return Written(_apply(text, edits, number, file), pins)


def _by_uses(
    plan: Callable[..., tuple[dict[int, list[Edit]], dict[str, frozenset[str]]]],
) -> Callable[[str, Target, Mapping[str, PinnedImage], str, Around], Written]:
    def written(
        text: str, target: Target, images: Mapping[str, PinnedImage], file: str, _around: Around
    ) -> Written:
        edits, pins = plan(_documents(text, file), target, images, file)
        for number, some in edits.items():
            text = _apply(text, some, number, file)
        return Written(text, pins)

    return written


_WRITERS: Mapping[str, Callable[[str, Target, Mapping[str, PinnedImage], str, Around], Written]] = {
    "yaml": _yaml,
    "helm": _helm,
    "kustomize": _kustomize,
    "manifest": _by_uses(manifest_edits),
    "kubevela": _by_uses(kubevela_edits),
}
