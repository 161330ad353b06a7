"""Images in files that are not Pipegraft's: Helm values, Kustomize, manifests, KubeVela, any path, markers.

Each kind finds its places by what the format means; the edits are spans, so all other bytes stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, Place
from pipegraft.core.limits import refuse_deep
from pipegraft.iac.bump.pinned import PinnedImage, repository_of
from pipegraft.text.yaml import Edit, Insert, Path, Put, Remove, Set, apply, parse_path

__all__ = ["write_target"]

Images = Mapping[str, PinnedImage]
"""Component → image, for the components a target writes."""


def write_target(text: str, target: Target, images: Images, file: str) -> str:
    """Write images into one file.

    Arguments:
        text: the file as it is.
        target: what to write where.
        images: component → image, of all components.
        file: name for messages.

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
    chosen = {target.component: images[target.component]} if target.component else images
    if target.kind == "marker":
        return _markers(text, target, chosen, file)
    for document, edits in _WRITERS[target.kind](_documents(text, file), target, chosen, file):
        text = apply(text, edits, document=document, file=file)
    return text


Planned = Iterator[tuple[int, Sequence[Edit]]]
"""Number of a document and what to change in it."""


def _documents(text: str, file: str) -> list[Any]:
    """What a file means, for finding places in it."""
    try:
        refuse_deep(text)
        return list(yaml.load_all(text.removeprefix("\ufeff"), Loader=_Lenient))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        raise EditRefused(
            f"expected YAML: {getattr(error, 'problem', None) or error}",
            place=place,
            fix="for a template: kind 'marker', and '# pipegraft:set=COMPONENT.VALUE' behind the value",
        ) from None


class _Lenient(yaml.CSafeLoader):
    """Reads any tag as plain data: only places are looked for."""


def _plain(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Lenient.add_multi_constructor("!", _plain)


def _yaml(_documents: list[Any], target: Target, images: Images, _file: str) -> Planned:
    (image,) = images.values()
    path = parse_path(target.path or "")
    holding = [number for number, data in enumerate(_documents) if _at(data, path) is not None]
    yield (holding[0] if len(holding) == 1 else 0), [Set(path, image.part(target.value, target.write))]


def _helm(documents: list[Any], target: Target, images: Images, file: str) -> Planned:
    """A values file (Helm's convention: ``image: {registry, repository, tag, digest}``, or one string)."""
    (image,) = images.values()
    path = parse_path(target.path or "")
    held = _at(documents[0] if documents else None, path)
    if held is None:
        raise EditRefused(
            f"there is no '{target.path}'", place=Place(file), fix="correct 'path' of the target"
        )
    if not isinstance(held, dict):
        yield 0, [Set(path, image.reference(target.write))]
        return
    edits: list[Edit] = []
    if "registry" in held:
        registry, _, repository = image.repository.partition("/")
        edits += [Put((*path, "registry"), registry), Put((*path, "repository"), repository)]
    else:
        edits.append(Put((*path, "repository"), image.repository))
    if target.write in {"tag", "both"}:
        edits.append(Put((*path, "tag"), image.tag))
    if target.write in {"digest", "both"}:
        edits.append(Put((*path, "digest"), image.digest))
    elif held.get("digest"):
        edits.append(Remove((*path, "digest")))  # a digest beside another tag would win over it
    yield 0, edits


def _kustomize(documents: list[Any], target: Target, images: Images, _file: str) -> Planned:
    """``images:`` of a kustomization; an entry is ours by its name or by the repository it becomes."""
    entries = _at(documents[0] if documents else None, ("images",)) or []
    edits: list[Edit] = []
    new: list[Any] = []
    for component, image in images.items():
        index = next(
            (at for at, entry in enumerate(entries) if _is_kustomize_entry(entry, component, image)), None
        )
        pins = {"newTag": image.tag, "digest": image.digest}
        wanted = {"digest": ("digest",), "tag": ("newTag",), "both": ("newTag", "digest")}[target.write]
        if index is None:
            new.append({"name": component, "newName": image.repository, **{key: pins[key] for key in wanted}})
            continue
        entry: Path = ("images", index)
        if entries[index].get("name") != image.repository:
            edits.append(Put((*entry, "newName"), image.repository))
        edits += [Put((*entry, key), pins[key]) for key in wanted]
        edits += [Remove((*entry, key)) for key in pins if key not in wanted and key in entries[index]]
    edits += [Insert(("images",), None, entry) for entry in new] if entries else []
    yield 0, [*edits, *([Put(("images",), new)] if new and not entries else [])]


def _is_kustomize_entry(entry: Any, component: str, image: PinnedImage) -> bool:
    names = {entry.get("name"), entry.get("newName")} if isinstance(entry, dict) else set()
    return component in names or image.repository in names


def _manifest(documents: list[Any], target: Target, images: Images, file: str) -> Planned:
    """Containers of any kind of workload, by the repository of their image, else by their name."""
    found: list[str] = []
    written: set[str] = set()
    for number, data in enumerate(documents):
        edits: list[Edit] = []
        for path, container in _containers(data, ()):
            found.append(str(container.get("image")))
            component = _component_of(container, images)
            if component:
                written.add(component)
                edits.append(Put((*path, "image"), images[component].reference(target.write)))
        if edits:
            yield number, edits
    missing = [component for component in images if component not in written]
    if missing and (target.component or not written):
        raise EditRefused(
            f"no container runs the image of '{missing[0]}'; there are: {', '.join(found) or 'none'}",
            place=Place(file),
            fix="give the container the component's name, or the image its repository",
        )


def _containers(data: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        if key in {"containers", "initContainers", "ephemeralContainers"} and isinstance(value, list):
            for index, container in enumerate(value):
                if isinstance(container, dict):
                    yield (*path, key, index), container
        else:
            yield from _containers(value, (*path, key))


def _component_of(container: Mapping[str, Any], images: Images) -> str | None:
    held = repository_of(str(container.get("image", "")))
    by_repository = (component for component, image in images.items() if image.repository == held)
    name = container.get("name")
    return next(by_repository, name if name in images else None)


def _kubevela(documents: list[Any], target: Target, images: Images, file: str) -> Planned:
    """``spec.components[].properties.image`` of an Application, by the component's name."""
    edits: list[Edit] = []
    for number, data in enumerate(documents):
        components = _at(data, ("spec", "components"))
        if not isinstance(data, dict) or data.get("kind") != "Application" or not components:
            continue
        edits = [
            Put(
                ("spec", "components", index, "properties", "image"),
                images[entry["name"]].reference(target.write),
            )
            for index, entry in enumerate(components)
            if isinstance(entry, dict) and entry.get("name") in images
        ]
        if edits:
            yield number, edits
            return
    raise EditRefused(
        f"no component of an Application is called {' or '.join(images)}",
        place=Place(file),
        fix="name the components of the Application as in delivery.yaml",
    )


def _at(data: Any, path: Path) -> Any:
    for part in path:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


_WRITERS: Mapping[str, Callable[[list[Any], Target, Images, str], Planned]] = {
    "yaml": _yaml,
    "helm": _helm,
    "kustomize": _kustomize,
    "manifest": _manifest,
    "kubevela": _kubevela,
}

_MARKER = re.compile(
    r"""(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s"'#]+)(?P<pad>[ \t]*,?[ \t]+(?:\#|//|/\*|\{\{-?[ ]*/\*|<!--)[ \t]*)
    pipegraft:set=(?P<component>[a-z][a-z0-9-]*)\.(?P<part>reference|repository|tag|digest)\b""",
    re.VERBOSE,
)


def _markers(text: str, target: Target, images: Images, file: str) -> str:
    """Values before a comment ``pipegraft:set=COMPONENT.VALUE``; the quotes they stand in stay."""
    written: set[str] = set()

    def replaced(found: re.Match[str]) -> str:
        image = images.get(found["component"])
        if image is None:
            return found[0]
        written.add(found["component"])
        part: Any = found["part"]
        quote = found["value"][0] if found["value"][0] in "\"'" else ""
        whole = found[0]
        return f"{quote}{image.part(part, target.write)}{quote}{whole[len(found['value']) :]}"

    new = _MARKER.sub(replaced, text)
    if not written or (target.component and target.component not in written):
        raise EditRefused(
            f"expected a line that ends in '# pipegraft:set={target.component or next(iter(images))}.digest'",
            place=Place(file),
            fix="add the comment behind the value; VALUE is reference, repository, tag or digest",
        )
    return new
