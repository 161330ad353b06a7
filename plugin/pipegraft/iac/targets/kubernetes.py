"""Images in Kubernetes' files: `images` of kustomizations, containers of manifests, KubeVela's components;
and which folder an object of Flux or Argo CD renders.

An entry of a kustomization applies to the images whose name it has, as they stand in the resources below;
each applies to what the one before it left (kustomize's ImageTagTransformer). So an entry is ours if it makes
an image ours, and there may be several.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, Place
from pipegraft.iac.released_images import PinnedImage, Reference, Use, image_uses, pins_of, same_repository
from pipegraft.iac.targets.helm import kind_of, listed, refuse_template
from pipegraft.text.yaml import Edit, Insert, Path, Put, Remove, Set, format_path, read_documents, value_at

__all__ = [
    "as_entry",
    "flux_path",
    "folders_named",
    "images_paths",
    "is_manifest",
    "kubevela_edits",
    "kustomize_edits",
    "manifest_edits",
    "rendered_by",
]

Pins = Mapping[str, frozenset[str]]


def is_manifest(text: str | None, path: str) -> bool:
    """Whether a file holds objects of Kubernetes, and nothing else."""
    try:
        documents: list[Any] = list(read_documents(text or "", path))
    except EditRefused:
        return False
    objects = [one for one in documents if one is not None]
    return bool(objects) and all(
        isinstance(one, dict) and {"apiVersion", "kind"} <= one.keys() for one in objects
    )


def images_paths(document: Any) -> list[Path]:
    """Where a document lists images for kustomize; empty if it is no such document."""
    if not isinstance(document, dict):
        return []
    kind, spec = str(document.get("kind", "Kustomization")), document.get("spec")
    flux = kind == "Kustomization" and "kustomize.toolkit.fluxcd.io" in str(document.get("apiVersion"))
    if flux:
        return [("spec", "images")]
    if kind in {"Application", "ApplicationSet"} and isinstance(spec, dict):
        return [(*path, "kustomize", "images") for path in _sources(spec, ("spec",))]
    return [("images",)] if kind in {"Kustomization", "Component"} else []


def _sources(spec: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Argo CD's sources that kustomize builds."""
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        yield from _sources(template["spec"], (*path, "template", "spec"))
    source, sources = spec.get("source"), spec.get("sources")
    if isinstance(source, dict) and isinstance(source.get("kustomize"), dict):
        yield (*path, "source")
    for index, one in enumerate(sources if isinstance(sources, list) else ()):
        if isinstance(one, dict) and isinstance(one.get("kustomize"), dict):
            yield (*path, "sources", index)


def kustomize_edits(
    entries: Sequence[Any],
    path: Path,
    target: Target,
    images: Mapping[str, PinnedImage],
    *,
    below: Sequence[str] | None,
    place: Place,
) -> tuple[list[Edit], Pins]:
    """What to change in a list of images.

    Arguments:
        entries: the list as it is.
        path: where it stands.
        target: what pins an image.
        images: component → image, of those this target writes.
        below: images of the resources, before this list applies; None if that is not known.
        place: of the list, for messages.

    Returns:
        The edits, and component → what the list says of its image then; without the components that no
        entry is about.

    Raises:
        EditRefused: there is no entry for the one component asked for, and none can be made.
    """
    edits: list[Edit] = []
    new: list[Any] = []
    pins: dict[str, frozenset[str]] = {}
    for component, image in images.items():
        if all(isinstance(entry, str) for entry in entries) and entries:
            found = list(_in_strings(entries, path, component, image, target))
        else:
            found = list(_in_entries(entries, path, component, image, target))
        if not found:
            made = _new_entry(component, image, target, below, place)
            if made is None:
                continue
            new.append(made)
            pins[component] = pins_of(target.write or "digest")
            continue
        edits += [edit for part, _ in found for edit in part]
        pins[component] = frozenset.union(*(said for _, said in found))
    if new and entries and not isinstance(entries[0], dict):
        raise EditRefused(
            f"{format_path(path)} lists strings, and none of them is the image of '{next(iter(images))}'",
            place=place,
            fix="add 'NAME=REPOSITORY:TAG' to it, where NAME is the image as the manifests have it",
        )
    edits += [Insert(path, None, entry) for entry in new] if entries else []
    edits += [Put(path, new)] if new and not entries else []
    return edits, pins


def _is_ours(name: str, becomes: str, component: str, image: PinnedImage) -> bool:
    """Whether an entry makes an image ours: by what it becomes, or by the component's name as a stand-in."""
    return same_repository(becomes, image.repository) or component in (name, becomes)


def _in_entries(
    entries: Sequence[Any], path: Path, component: str, image: PinnedImage, target: Target
) -> Iterator[tuple[list[Edit], frozenset[str]]]:
    keys = {"newTag": image.tag, "digest": image.digest}
    for index, entry in enumerate(entries):
        name = str(entry.get("name", "")) if isinstance(entry, dict) else ""
        if not name or not _is_ours(name, str(entry.get("newName") or name), component, image):
            continue
        pin = target.write or ("both" if entry.get("newTag") and entry.get("digest") else "digest")
        if pin != "digest":
            image.reference(pin)  # says where no tag is known
        wanted = {"digest": ("digest",), "tag": ("newTag",), "both": ("newTag", "digest")}[pin]
        at: Path = (*path, index)
        edits: list[Edit] = []
        if str(entry.get("newName") or name) != image.repository:
            edits.append(Put((*at, "newName"), image.repository))
        edits += [Put((*at, key), keys[key]) for key in wanted]
        edits += [Remove((*at, key)) for key in keys if key not in wanted and key in entry]
        yield edits, pins_of(pin)


def _in_strings(
    entries: Sequence[str], path: Path, component: str, image: PinnedImage, target: Target
) -> Iterator[tuple[list[Edit], frozenset[str]]]:
    """Argo CD: ``[NAME=]REPOSITORY[:TAG][@DIGEST]``."""
    for index, entry in enumerate(entries):
        name, equals, becomes = entry.partition("=")
        standing = Reference.parse(becomes if equals else entry)
        if not _is_ours(name if equals else standing.repository, standing.repository, component, image):
            continue
        pin = target.write or image.kept_pin(entry)
        name = name if equals else standing.repository
        head = "" if same_repository(name, image.repository) and not equals else f"{name}="
        yield [Set((*path, index), f"{head}{image.reference(pin)}")], pins_of(pin)


def as_entry(entry: Any) -> Any:
    """An entry as kustomize has it: Argo CD writes ``[NAME=]REPOSITORY[:TAG][@DIGEST]``."""
    if not isinstance(entry, str):
        return entry
    name, equals, becomes = entry.partition("=")
    image = Reference.parse(becomes if equals else entry)
    parts = {"newTag": image.tag, "digest": image.digest}
    return {
        "name": name if equals else image.repository,
        "newName": image.repository,
        **{key: value for key, value in parts.items() if value},
    }


def _new_entry(
    component: str, image: PinnedImage, target: Target, below: Sequence[str] | None, place: Place
) -> dict[str, str] | None:
    """An entry for the one image below that is the component's; None if there is none and others are written.

    Raises:
        EditRefused: none can be told, and this component is the one asked for; or several can.
    """
    names = list(dict.fromkeys(Reference.parse(one).repository for one in below or ()))
    fitting = [name for name in names if same_repository(name, image.repository)]
    fitting = fitting or [name for name in names if name == component]
    if len(fitting) != 1:
        if not fitting and target.component is None:
            return None
        raise EditRefused(_why_none(component, image, names, fitting, below), place=place, fix=_ADD)
    pin = target.write or "digest"
    keys = {"newTag": image.tag if pin != "digest" else "", "digest": image.digest if pin != "tag" else ""}
    if pin != "digest":
        image.reference(pin)
    moved = {} if fitting[0] == image.repository else {"newName": image.repository}
    return {"name": fitting[0], **moved, **{key: value for key, value in keys.items() if value}}


_ADD = "add an entry to 'images' whose 'name' is the image as it stands in the resources"


def _why_none(
    component: str,
    image: PinnedImage,
    names: Sequence[str],
    fitting: Sequence[str],
    below: Sequence[str] | None,
) -> str:
    if fitting:
        return f"several images of the resources may be that of '{component}': {', '.join(fitting)}"
    if below is None:
        return (
            f"no entry of 'images' is about '{component}' ({image.repository}), and not all resources are in "
            "this repository, so the name it has there is not known"
        )
    there = ", ".join(names) or "none"
    return f"no image of the resources is that of '{component}' ({image.repository}); there are: {there}"


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
    edits, pins = _edits(uses, target, images, file)
    missing = [component for component in images if component not in pins]
    if missing and (target.component or not pins):
        found = ", ".join(dict.fromkeys(use.image for _, use in uses)) or "none"
        raise EditRefused(
            f"nothing runs the image of '{missing[0]}' ({images[missing[0]].repository}); the images there "
            f"are: {found}",
            place=Place(file),
            fix=f"write the image's repository, {images[missing[0]].repository}, where the component runs; "
            "an image that stands elsewhere, in a custom resource, is written by kind 'yaml' with its path",
        )
    return edits, pins


def _edits(
    uses: Sequence[tuple[int, Use]], target: Target, images: Mapping[str, PinnedImage], file: str
) -> tuple[dict[int, list[Edit]], dict[str, frozenset[str]]]:
    edits: dict[int, list[Edit]] = {}
    pins: dict[str, frozenset[str]] = {}
    for number, use in uses:
        standing = Reference.parse(use.image).repository
        for component, image in images.items():
            if same_repository(standing, image.repository):
                refuse_template(use.image, use.path, Place(file))
                pin = target.write or image.kept_pin(use.image)
                edits.setdefault(number, []).append(Set(use.path, image.reference(pin)))
                pins[component] = pins.get(component, frozenset()) | pins_of(pin)
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
    edits, pins = _edits(uses, target, images, file)
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
        pins[component] = pins_of(pin)
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
        for use in image_uses(component.get("properties")):  # objects of a component of the type k8s-objects
            yield "", Use((*path, "properties", *use.path), use.image, use.shown)
        traits = component.get("traits")
        for at, trait in enumerate(traits if isinstance(traits, list) else ()):
            for use in _property(trait, (*path, "traits", at), f"a trait of component '{name}'"):
                yield "", use


def _property(part: Any, path: Path, shown: str) -> Iterator[Use]:
    properties = part.get("properties") if isinstance(part, dict) else None
    image = properties.get("image") if isinstance(properties, dict) else None
    if isinstance(image, str):
        yield Use((*path, "properties", "image"), image, shown)


def flux_path(path: str) -> str:
    """A path of the repository as Flux reads it: from its root, and never above that (securejoin)."""
    return posixpath.normpath(f"/{path}").lstrip("/")


def rendered_by(document: Any, meant: Sequence[str] = ()) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Where an object says more, the folder that it renders, and the values files that it names.

    Arguments:
        meant: paths; one of them stands for what generators of an ApplicationSet may fill in to be it.
    """
    kind, spec = kind_of(document), value_at(document, ("spec",))
    chart = value_at(spec, ("chart", "spec"))
    if kind == "HelmRelease" and value_at(chart, ("sourceRef", "kind")) == "GitRepository":
        named = tuple(flux_path(str(one)) for one in listed(chart, "valuesFiles"))
        yield ("spec", "values"), flux_path(str(chart.get("chart"))), named
    elif kind == "Kustomization" and isinstance(spec, dict):
        yield ("spec", "images"), flux_path(str(spec.get("path") or ".")), ()
    start: Path = ("spec", "template", "spec") if kind == "ApplicationSet" else ("spec",)
    several = range(len(listed(value_at(document, start), "sources")))
    places = ((*start, "source"), *((*start, "sources", index) for index in several))
    for at in places if kind in {"Application", "ApplicationSet"} else ():
        helm, folder = value_at(document, (*at, "helm")), value_at(document, (*at, "path"))
        if isinstance(folder, str):
            key = "valuesObject" if isinstance(helm, dict) and helm.get("valuesObject") else "values"
            named = tuple(_filled(one, meant) for one in _values_files(helm, folder))
            yield (*at, "helm", key), _filled(_normal(folder), meant), named


_FOLDERS = re.compile(r"^[\s-]*[\"']?(?:path|chart)[\"']?:\s*[\"']?([^\"'\n]+)", re.MULTILINE)


def folders_named(text: str, meant: Sequence[str]) -> set[str]:
    """Folders that objects render, by a text that may be a template; `meant` as for `rendered_by`."""
    return {_filled(flux_path(one.strip(" ,}")), meant) for one in _FOLDERS.findall(text)}


def _filled(path: str, meant: Sequence[str]) -> str:
    pattern = ".+".join(map(re.escape, re.split(r"\{\{.*?\}\}", path)))
    return next((one for one in meant if "{{" in path and re.fullmatch(pattern, one)), path)


def _values_files(helm: Any, folder: str) -> Iterator[str]:
    """Paths of the ``valueFiles`` of Argo CD: from the chart's folder, or from the root of a named source."""
    for one in map(str, listed(helm, "valueFiles")):
        yield _normal(one.partition("/")[2] if one.startswith("$") else posixpath.join(folder, one))


def _normal(path: str) -> str:
    """A path of the repository, also one that begins at its root with a slash."""
    return "" if posixpath.normpath(path) == "." else posixpath.normpath(path).lstrip("/")
