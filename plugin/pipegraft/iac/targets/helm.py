"""Values of Helm charts: where they stand, and the form of an image, kept whatever a chart calls its keys.

Charts agree on no form. Seen in use: ``{repository, tag}`` (`helm create`), with ``registry`` and ``digest``
beside them (Bitnami), ``repo``, ``name`` or ``version`` instead, a digest without ``sha256:`` (``sha``), a
tag that carries a digest (``v1@sha256:…``), one string. Objects of Flux, Argo CD and others hold values too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, Place
from pipegraft.iac.released_images import HEX, PinnedImage, Reference, pins_of, same_repository
from pipegraft.text.yaml import Edit, Path, Put, Remove, Set, format_path, value_at

__all__ = [
    "NAMES",
    "ROOTS",
    "ImageForm",
    "form_at",
    "kind_of",
    "listed",
    "parameters_of",
    "refuse_outside_values",
    "refuse_template",
    "registries_in",
    "values_root",
]

NAMES: Mapping[str, tuple[str, ...]] = {
    "repository": ("repository", "repo", "name"),
    "tag": ("tag", "version"),
    "digest": ("digest", "sha"),
    "registry": ("registry",),
}
"""Part of an image → the keys that charts have for it, the usual one first."""

ROOTS: tuple[tuple[str | None, ...], ...] = (
    ("spec", "values"),  # Flux: HelmRelease
    ("spec", "source", "helm", "valuesObject"),  # Argo CD: Application
    ("spec", "source", "helm", "values"),
    ("spec", "sources", None, "helm", "valuesObject"),
    ("spec", "sources", None, "helm", "values"),
    ("spec", "template", "spec", "source", "helm", "valuesObject"),  # Argo CD: ApplicationSet
    ("spec", "template", "spec", "source", "helm", "values"),
    ("helmCharts", None, "valuesInline"),  # kustomize
    ("spec", "valuesContent"),  # K3s: HelmChart
    ("data", None),  # what a HelmRelease takes its values from
    ("stringData", None),
)
_OBJECTS: Mapping[str, str] = {
    "HelmRelease": "spec.values",
    "Application": "spec.source.helm.valuesObject or spec.source.helm.values",
    "ApplicationSet": "spec.template.spec.source.helm.valuesObject",
    "Kustomization": "helmCharts[0].valuesInline",
    "HelmChart": "spec.valuesContent",
    "ConfigMap": 'data["values.yaml"]',
    "Secret": 'stringData["values.yaml"]',
}
"""Objects that hold values for a chart → where."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """How an image stands at a path of a values file.

    Arguments:
        path: where.
        own: what the file itself has there.
        held: the same over what the chart has by default: what its templates read.
        keys: part → the key that stands for it.
        place: of it, for messages.
        read: keys that the chart's templates read, though they stand nowhere.
        registries: those that the values name for all images.
        beside: a key next to the image that holds its tag or digest.
    """

    path: Path
    own: Any
    held: Any
    keys: Mapping[str, str] = field(default_factory=dict)
    place: Place | None = None
    read: frozenset[str] = frozenset()
    registries: frozenset[str] = frozenset()
    beside: str = ""

    def edits(self, image: PinnedImage, target: Target) -> tuple[list[Edit], frozenset[str]]:
        """What to change, and which of ``tag`` and ``digest`` the values say then.

        Raises:
            EditRefused: the form cannot carry what is asked for.
        """
        if not isinstance(self.held, dict):
            return self._one_string(image, target)
        edits = list(self._repository(image))
        tagged, pinned = self._pins(target, image)
        if tagged and not image.tag:
            image.reference("tag")  # says that none is known
        edits += self._tag(image, tagged=tagged, pinned=pinned)
        edits += self._digest(image, pinned=pinned)
        said = ({"tag"} if tagged else set()) | ({"digest"} if pinned else set())
        return edits, frozenset(said)

    def _one_string(self, image: PinnedImage, target: Target) -> tuple[list[Edit], frozenset[str]]:
        last = self.path[-1] if self.path else ""
        part = next((part for part, names in NAMES.items() if last in names), None)
        if part and "/" not in str(self.held):
            raise EditRefused(
                f"{format_path(self.path)} is the {part} of an image, {self.held!r}, and no image",
                place=self.place,
                fix=f"name the mapping it stands in, {format_path(self.path[:-1])}",
            )
        if not isinstance(self.held, str):
            raise EditRefused(
                f"{format_path(self.path)} is {self.held!r}, and no image", place=self.place, fix=_CORRECT
            )
        refuse_template(self.held, self.path, self.place)
        if self.beside and not {":", "@"} & set(self.held.rpartition("/")[2]):
            rest = format_path((*self.path[:-1], self.beside))
            raise EditRefused(
                f"{format_path(self.path)} is a repository alone, '{self.beside}' beside it says the rest",
                place=self.place,
                fix=f"write that: kind 'yaml', path '{rest}', 'value: tag'",
            )
        pin = target.write or image.kept_pin(self.held)
        return [Set(self.path, image.reference(pin))], pins_of(pin)

    @property
    def standing(self) -> str:
        """The repository that stands there, with its registry."""
        if not isinstance(self.held, dict):
            return Reference.parse(str(self.held)).repository
        registry, repository = self._value("registry"), self._value("repository")
        return f"{registry.rstrip('/')}/{repository}" if registry else repository

    def _repository(self, image: PinnedImage) -> Iterator[Edit]:
        """Only what differs is written: a default of the chart that is right already stays there."""
        registry, repository, standing = self._value("registry"), self._value("repository"), self.standing
        slash = "/" if registry.endswith("/") else ""  # some charts put none between the two
        if (
            "repository" not in self.keys
            or "{{" in standing
            or (  # what a chart fills in is left to it
                standing and same_repository(standing, image.repository)
            )
        ):
            return
        if self.keys["repository"] != "name" and isinstance(self.held.get("name"), str):
            raise EditRefused(
                f"{format_path(self.path)} holds both '{self.keys['repository']}' and 'name', and it is not "
                "plain which of them names the image",
                place=self.place,
                fix="say it in the target: 'keys: {repository: …}'",
            )
        split = bool(registry) or ("registry" in self.keys and "." not in repository.partition("/")[0])
        host, _, rest = image.repository.partition("/")
        if not registry and standing == rest and host in self.registries:
            return
        if split:
            yield Put((*self.path, self.keys["registry"]), host + slash)
        yield Put((*self.path, self.keys["repository"]), rest if split else image.repository)

    def _pins(self, target: Target, image: PinnedImage) -> tuple[bool, bool]:
        """Whether a tag is to be said, and whether a digest."""
        tag_there, digest_there = "tag" in self.keys, "digest" in self.keys
        composite = not digest_there and "@" in self._value("tag")
        if target.write is None:
            if not (tag_there or digest_there):
                raise self._refused("tag or digest", "tag")
            pinned = digest_there or composite
            return tag_there and bool(image.tag or not pinned), pinned
        tagged = target.write in {"tag", "both"}
        pinned = target.write in {"digest", "both"}
        if pinned and not (digest_there or composite):
            raise self._refused("digest", "digest")
        if tagged and not tag_there:
            raise self._refused("tag", "tag")
        return tagged, pinned

    def _refused(self, wanted: str, key: str) -> EditRefused:
        has = ", ".join(self.held) or "nothing"
        other = "tag" if key == "digest" else "digest"
        fixes = [f"name the key that the chart reads: 'keys: {{{key}: …}}'"]
        if key == "digest" and "tag" in self.keys:
            fixes = ["write what it can carry, 'write: tag'", *fixes]
        elif other in self.keys:
            fixes = [f"write what it can carry, 'write: {other}'", *fixes]
        return EditRefused(
            f"{format_path(self.path)} has no place for the {wanted}: it holds {has}",
            place=self.place,
            fix="; or ".join(fixes),
        )

    def _tag(self, image: PinnedImage, *, tagged: bool, pinned: bool) -> Iterator[Edit]:
        if "tag" not in self.keys:
            return
        path, standing = (*self.path, self.keys["tag"]), self._value("tag")
        refuse_template(standing, path, self.place)
        composite = "digest" not in self.keys and "@" in standing
        if composite and pinned:
            tag = image.tag if tagged else standing.partition("@")[0]
            yield Put(path, f"{tag}@{image.digest}")
        elif tagged:
            yield Put(path, image.tag)

    def _digest(self, image: PinnedImage, *, pinned: bool) -> Iterator[Edit]:
        if "digest" not in self.keys:
            return
        path, standing = (*self.path, self.keys["digest"]), self._value("digest")
        if pinned:
            bare = HEX.fullmatch(standing) or (not standing and self.keys["digest"] == "sha")
            yield Put(path, image.digest.removeprefix("sha256:") if bare else image.digest)
        elif standing:  # a digest beside another tag would win over it
            by_chart = not isinstance(self.own, dict) or self.keys["digest"] not in self.own
            yield Put(path, "") if by_chart else Remove(path)

    def _value(self, part: str) -> str:
        key = self.keys.get(part)
        held = self.held.get(key) if key else None
        return "" if held is None else str(held)


_CORRECT = "correct 'path' of the target"


def refuse_template(standing: str, path: Path, place: Place | None) -> None:
    """Make sure that no template expression is replaced by a fixed value.

    Raises:
        EditRefused: one stands there.
    """
    if standing.startswith("ENC["):
        raise EditRefused(
            f"{format_path(path)} is encrypted", place=place, fix="keep the image in a file in clear text"
        )
    if "{{" in standing or "${" in standing:
        raise EditRefused(
            f"{format_path(path)} holds a template expression, {standing!r}, which others fill in",
            place=place,
            fix="write the image where the expression takes it from, for a generator of an ApplicationSet by "
            "kind 'yaml', for a variable of an env file by kind 'marker'; or put a plain value there first",
        )


def registries_in(values: Any) -> Iterator[str]:
    """Registries that values name for all images, as ``global.imageRegistry`` does."""
    for key, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, dict):
            yield from registries_in(value)
        elif isinstance(value, str) and str(key).lower().endswith("registry"):
            yield value


def form_at(
    path: Path,
    own: Any,
    default: Any,
    target: Target,
    *,
    place: Place | None = None,
    read: frozenset[str] = frozenset(),
    registries: frozenset[str] = frozenset(),
    around: Any = None,
) -> ImageForm:
    """How an image stands at a path.

    Arguments:
        path: where.
        own: what the file has there; None if nothing.
        default: what the chart has there by itself; None if that is not known, or nothing.
        target: whose keys and wishes count.
        place: of it, for messages.
        read: keys that the chart's templates are known to read there.
        registries: those that the values name for all images.
        around: the mapping that it stands in.

    Raises:
        EditRefused: there is no image, or two keys could be meant.
    """
    both = isinstance(own, dict) and isinstance(default, dict)
    held = {**default, **own} if both else (default if own is None else own)
    if held is None and target.create:
        held = _created(target)
    if held is None:
        raise EditRefused(
            f"there is no '{format_path(path)}', so it is not known in what form the chart reads an image",
            place=place,
            fix="write 'create: true' into the target with 'write: tag' or 'write: digest', or write the "
            "mapping there first: {repository: …, tag: …}",
        )
    keys: dict[str, str] = {str(part): key for part, key in target.keys.items()}
    if isinstance(held, dict):
        for part, names in NAMES.items():
            known = next((name for name in names if name in held), None)
            known = known or next((name for name in names if name in read), None)
            if part not in keys and known:
                keys[part] = known
        for part, key in keys.items():
            if isinstance(held.get(key), (dict, list)):
                raise EditRefused(
                    f"{format_path((*path, key))} is no single value, and so no {part} of an image",
                    place=place,
                    fix="name the keys that the chart reads, 'keys: {repository: …}', or write by 'yaml'",
                )
    return ImageForm(path, own, held, keys, place, read, registries, _tag_beside(around, path))


_BESIDE = re.compile(r"(image)?[_-]?(tag|version|digest|sha)", re.IGNORECASE)


def _tag_beside(around: Any, path: Path) -> str:
    """The key beside an image that says its tag or digest: ``imageTag`` beside ``image``."""
    last = str(path[-1]) if path else ""
    for key, value in around.items() if isinstance(around, dict) else ():
        rest = str(key).removeprefix(last) if last else str(key)
        if value not in (None, "") and not isinstance(value, (dict, list)) and _BESIDE.fullmatch(rest):
            return str(key)
    return ""


def _created(target: Target) -> dict[str, Any]:
    """The form of `helm create`, for values that have none yet."""
    parts = (
        "repository",
        *{"digest": ("digest",), "both": ("tag", "digest")}.get(str(target.write), ("tag",)),
    )
    keys = {str(part): key for part, key in target.keys.items()}
    return {keys.get(part, part): "" for part in parts}


def values_root(document: Any, path: Path) -> Path:
    """Where in a document the values of a chart begin: at its root, but for objects that hold them."""
    for root in ROOTS if _holds_values(document) else ():
        head = path[: len(root)]
        if len(head) == len(root) and all(
            want is None or want == part for want, part in zip(root, head, strict=True)
        ):
            return head
    return ()


def _holds_values(document: Any) -> bool:
    return isinstance(document, dict) and (kind_of(document) in _OBJECTS or "helmCharts" in document)


def kind_of(document: Any) -> str:
    return str(document.get("kind", "")) if isinstance(document, dict) else ""


def refuse_outside_values(document: Any, path: Path, place: Place) -> None:
    """Make sure that a path into an object that holds values for a chart leads to them.

    Raises:
        EditRefused: it leads elsewhere.
    """
    root = values_root(document, path)
    if root[-2:] == ("helm", "values") and value_at(document, (*root[:-1], "valuesObject")):
        raise EditRefused(
            f"{format_path(root)} does not count where 'valuesObject' stands beside it",
            place=place,
            fix="write into 'valuesObject', or take it away",
        )
    said = {str(one.get("name")) for one in parameters_of(value_at(document, root[:-1]) if root else None)}
    keys = ("", *(f".{key}" for names in NAMES.values() for key in names))
    image = format_path(path[len(root) :])
    for name in (f"{image}{key}" for key in keys):
        if name in said:
            raise EditRefused(
                f"the parameter '{name}' counts over {format_path(path)}",
                place=place,
                fix="write the parameter (kind 'yaml', path of its 'value', 'value: tag'), or take it away",
            )
    if root or not _holds_values(document):
        return
    kind = str(document.get("kind") or "Kustomization")
    raise EditRefused(
        f"{format_path(path)} of this {kind} is none of the values that it hands to a chart",
        place=place,
        fix=f"begin 'path' with where they stand: {_OBJECTS[kind]}; parameters of Argo CD are written "
        "by kind 'yaml', with the path of a 'value' and 'value: tag'",
    )


def parameters_of(helm: Any) -> list[Mapping[str, Any]]:
    return [one for one in listed(helm, "parameters") if isinstance(one, dict)]


def listed(data: Any, key: str) -> list[Any]:
    held = data.get(key) if isinstance(data, dict) else None
    return held if isinstance(held, list) else []
