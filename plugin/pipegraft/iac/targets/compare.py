"""Whether what is rendered changed as a release says: its images alone, everywhere they are used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import EditRefused, Place
from pipegraft.iac.released_images import PinnedImage, Reference, image_uses, same_repository
from pipegraft.iac.targets.charts import Chart
from pipegraft.text.yaml import Path, format_path, leaves

__all__ = ["Effect", "Expected", "MoreThanImages", "confirm", "refuse_written_by_hand", "runs", "still_named"]

_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
"""What the value of a label may be (Kubernetes, Labels and Selectors: Syntax and character set)."""
_SHOWN = 60
_WARN = "write only what the release is about; or, if this is meant, say 'effect: warn' in the environment"


class MoreThanImages(EditRefused):
    """Something else would change, too, than the images of the release."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What is known of one thing that is rendered.

    Arguments:
        unit: its folder or file.
        proven: whether exactly the images of the release change there.
        how: by what that was found out, or why it was not.
        used: where the images are used.
    """

    unit: str
    proven: bool
    how: str
    used: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.unit}: {self.how}" if self.proven else f"{self.unit}: not proven: {self.how}"


@dataclass(frozen=True, slots=True)
class Expected:
    """An image that must be rendered.

    Arguments:
        component: whose it is.
        image: the image.
        pins: which of ``tag`` and ``digest`` were written for it.
    """

    component: str
    image: PinnedImage
    pins: frozenset[str]

    def is_rendered_as(self, reference: str) -> bool:
        """Whether a reference is exactly this image, as it was written."""
        said = Reference.parse(reference)
        if not self._is_of(said.repository):
            return False
        if "digest" in self.pins:  # whatever tag stands beside it: the digest is what runs
            tagged = "tag" not in self.pins or said.tag in {"", self.image.tag}
            return said.digest == self.image.digest and tagged
        return said.tag == self.image.tag and said.digest in {"", self.image.digest}

    def reference(self) -> str:
        """The image as it was written."""
        pins = {"tag": self.image.tag, "digest": self.image.digest}
        said = {name: pins[name] for name in self.pins}
        return str(Reference(self.image.repository, said.get("tag", ""), said.get("digest", "")))

    def names(self, reference: str) -> bool:
        """Whether a reference is of the image's repository."""
        return self._is_of(Reference.parse(reference).repository)

    def _is_of(self, repository: str) -> bool:
        return same_repository(repository, self.image.repository)


def confirm(
    before: Sequence[Any] | None,
    after: Sequence[Any],
    expected: Sequence[Expected],
    what: str,
    again: Callable[[], Sequence[Any]] | None = None,
) -> list[str]:
    """Make sure that exactly the images of a release changed.

    Arguments:
        before, after: documents as they are rendered without and with the edit; `before` is None where they
            could not be rendered, so that nothing is there to compare with.
        expected: the images that must be there afterwards.
        what: what was rendered, for messages.
        again: renders once more without the edit: what differs then by itself is not looked at.

    Returns:
        Where each image is used: ``Deployment shop/web: container 'app'``.

    Raises:
        MoreThanImages: something else changed.
        EditRefused: an image is not there, or an old one still is.
    """
    used = [place for one in expected for place in _used(after, one, what)]
    if before is None:
        return used
    pins = [pin for one in expected for pin in (one.image.tag, one.image.digest.rpartition(":")[2]) if pin]
    strange = [one for one in _differences(before, after, pins) if not _is_meant(one, expected, pins)]
    if strange and again is not None:
        unsteady = {one.where for one in _differences(before, again(), ())}
        strange = [one for one in strange if one.where not in unsteady]
    if strange:
        more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
        raise MoreThanImages(
            f"{what} would change in more than images: {strange[0]}{more}", place=Place(what), fix=_WARN
        )
    return used


def runs(documents: Sequence[Any], expected: Expected) -> bool:
    """Whether any container, or a custom resource, names the image's repository to be run."""
    said = (use.image for document in documents for use in image_uses(document))
    named = (image for document in documents for _, image in _named_by_operators(document, expected))
    return any(map(expected.names, (*said, *named)))


def still_named(documents: Sequence[Any], expected: Sequence[Expected]) -> Iterator[str]:
    """Where variables, arguments or data name an image of the release as it was, for a program to run."""
    for one in expected:
        repository = re.escape(one.image.repository)
        named = re.compile(rf"(?<![\w./-]){repository}(:[\w][\w.-]*)?(@sha256:[0-9a-f]+)?(?![\w./-])")
        for document in documents:
            for path, value in leaves(document):
                text = value if isinstance(value, str) and "annotations" not in path else ""
                for found in named.finditer(text):
                    if (found[1] or found[2]) and not one.is_rendered_as(found[0]):
                        yield f"{identity(document)}: {format_path(path)} still names {found[0]}"


def refuse_written_by_hand(chart: Chart, expected: Sequence[Expected]) -> None:
    """Make sure that no template runs another version of an image by itself, whatever the values are.

    Raises:
        EditRefused: one does.
    """
    for text in chart.templates:
        for found in _BY_HAND.finditer(text):
            opened = [one[1] != "end" for one in _CONTROL.finditer(text, 0, found.start())]
            for one in expected if opened.count(True) == opened.count(False) else ():
                if one.names(found[1]) and not one.is_rendered_as(found[1]):
                    raise EditRefused(
                        f"a template would still run {found[1]}, and not {one.reference()}",
                        place=Place(chart.folder or "."),
                        fix="let the template read the image from the values",
                    )


_BY_HAND = re.compile(r"^[ \t-]*image:[ \t]*[\"']?([\w./:@-]+[:@][\w.:-]+)[\"']?[ \t]*$", re.MULTILINE)
_CONTROL = re.compile(r"\{\{-?\s*(if|with|range|define|block|end)\b")

_BY_ENGINES = re.compile(r"(argoproj\.io|toolkit\.fluxcd\.io|(helm|fleet)\.cattle\.io|core\.oam\.dev)/")
"""Groups of resources whose images another program renders from them."""


def _named_by_operators(document: Any, expected: Expected) -> Iterator[tuple[str, str]]:
    """Where the ``spec`` of a custom resource without containers names an image, for its operator to run."""
    version = str(document.get("apiVersion", "")) if isinstance(document, dict) else ""
    group = version.partition("/")[0]
    if "." not in group or group.endswith(".k8s.io") or _BY_ENGINES.search(version):
        return
    if next(image_uses(document), None) is not None:
        return
    for path, value in leaves(document.get("spec"), ("spec",)):
        if isinstance(value, str) and expected.names(value) and value != expected.image.repository:
            yield f"{identity(document)}: {format_path(path)}", value


def _used(documents: Sequence[Any], expected: Expected, what: str) -> list[str]:
    used: list[str] = []
    for document in documents:
        for place, image in dict.fromkeys((*_images(document), *_named_by_operators(document, expected))):
            if expected.is_rendered_as(image):
                used.append(place)
            elif expected.names(image):
                raise EditRefused(
                    f"{place} would still run {image}, and not {expected.reference()}",
                    place=Place(what),
                    fix="write the image there too, by a target for the place it comes from",
                )
    if not used:
        raise EditRefused(
            f"nothing that is rendered runs {expected.reference()} of '{expected.component}': "
            f"what was written is read by nobody there{_instead(documents)}",
            place=Place(what),
            fix="name the file, path and keys that are read; 'source' says what the engine renders",
        )
    return used


def _instead(documents: Sequence[Any]) -> str:
    images = list(dict.fromkeys(image for document in documents for _, image in _images(document)))
    return f"; the images there are: {', '.join(images[:8])}" if images else "; there are no images at all"


def _images(document: Any) -> Iterator[tuple[str, str]]:
    """Where images are named in a rendered object, and which."""
    name = identity(document)
    paths = set()
    for use in image_uses(document):
        paths.add(use.path)
        yield f"{name}: {use.shown}", use.image
    for path, value in leaves(document):
        if path[-1:] == ("image",) and path not in paths and isinstance(value, str):
            yield f"{name}: {format_path(path)}", value


def identity(document: Any) -> str:
    """``Kind namespace/name`` of an object."""
    if not isinstance(document, dict):
        return "a document"
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = metadata.get("name") or metadata.get("generateName") or "?"
    namespace = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{document.get('kind', 'object')} {namespace}{name}"


@dataclass(frozen=True, slots=True)
class _Difference:
    """A value that changed: in which object, where, from what to what; None where it is not there."""

    object: str
    path: Path
    before: Any
    after: Any

    @property
    def where(self) -> tuple[str, Path]:
        return self.object, self.path

    def __str__(self) -> str:
        at = f" {format_path(self.path)}" if self.path else ""
        return f"{self.object}{at}: {_short(self.before)} → {_short(self.after)}"


def _short(value: Any) -> str:
    said = "nothing" if value is None else str(value)
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"


def _differences(before: Sequence[Any], after: Sequence[Any], pins: Sequence[str]) -> list[_Difference]:
    old, new = _by_identity(before), _by_identity(after)
    for gone, come in _renamed(old, new, pins):
        old[come] = old.pop(gone)
    found: list[_Difference] = []
    for key in dict.fromkeys((*old, *new)):
        if key not in old or key not in new:
            there, here = ("an object", None) if key in old else (None, "an object")
            found.append(_Difference(key[0], (), there, here))
        else:
            found += _between(key[0], (), old[key], new[key])
    return found


def _renamed(
    old: Mapping[_Identity, Any], new: Mapping[_Identity, Any], pins: Sequence[str]
) -> list[tuple[_Identity, _Identity]]:
    """Objects that have the release in their name: ``migrate-v2`` after ``migrate-v1``; or their sum."""
    gone, come = [key for key in old if key not in new], [key for key in new if key not in old]
    named = [key for key in come if any(pin in key[0] for pin in pins)]
    kinds = [_kind(key) for key in (*gone, *named)]
    return [
        (one, other)
        for one in gone
        for other in come
        if _HASH.sub("", one[0]) == _HASH.sub("", other[0])
        or (other in named and _kind(one) == _kind(other) and kinds.count(_kind(one)) == 2)
    ]


_HASH = re.compile(r"-[2456789bcdfghkmt]{10}$")
"""What kustomize adds to the name of what it generates: a sum of its content (api/hasher)."""


_Identity = tuple[str, str, int]


def _kind(key: _Identity) -> tuple[str, str]:
    return key[0].partition(" ")[0], key[1]


def _by_identity(documents: Sequence[Any]) -> dict[_Identity, Any]:
    found: dict[_Identity, Any] = {}
    for document in documents:
        if document is None:
            continue
        group = str(document.get("apiVersion", "")) if isinstance(document, dict) else ""
        name, number = identity(document), 0
        while (name, group, number) in found:
            number += 1
        found[name, group, number] = document
    return found


def _between(name: str, path: Path, before: Any, after: Any) -> Iterator[_Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _between(name, (*path, key), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _between(name, (*path, index), old, new)
    elif before != after or type(before) is not type(after):
        yield _Difference(name, path, before, after)


_SELECTING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
"""Kinds whose selector stays what it was (Kubernetes, Deployments: Label selector updates)."""
_CHECKSUM = re.compile(r"[0-9a-f]{32,128}")


def _is_meant(difference: _Difference, expected: Sequence[Expected], pins: Sequence[str]) -> bool:
    """Whether a value changed because it is, or names, an image of the release, or sums up what does.

    Raises:
        EditRefused: it names it where Kubernetes would not take it.
    """
    after = difference.after
    if not isinstance(after, str):
        return False
    if any(one.names(after) and one.is_rendered_as(after) for one in expected):
        return True
    if _HASH.search(after) and _HASH.sub("", after) == _HASH.sub("", str(difference.before)):
        return True  # what is generated anew is compared by itself
    if "annotations" in difference.path and _CHECKSUM.fullmatch(after):
        return bool(_CHECKSUM.fullmatch(str(difference.before)))  # what it sums up is compared by itself
    if not any(pin in after for pin in pins):
        return False
    if difference.path[:2] == ("spec", "selector") and difference.object.partition(" ")[0] in _SELECTING:
        raise EditRefused(
            f"the selector of {difference.object} would change, which Kubernetes does not let",
            place=Place(difference.object),
            fix="take the tag out of what is selected by; labels of pods may hold it",
        )
    if "labels" in difference.path and not _LABEL.fullmatch(after):
        raise EditRefused(
            f"the label {difference.path[-1]} of {difference.object} would be '{_short(after)}', "
            f"{len(after)} characters, and Kubernetes takes 63 at most",
            place=Place(difference.object),
            fix="pin the image by digest, 'write: digest', or take the tag out of the chart's labels",
        )
    return True
