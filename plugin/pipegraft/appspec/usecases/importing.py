"""Other tools' files into the first files of an IaC repository."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from pipegraft.appspec.importing.compose import read_compose
from pipegraft.appspec.importing.compose_parts import merge
from pipegraft.appspec.importing.first_files import import_compose
from pipegraft.appspec.importing.kubernetes import import_kubernetes
from pipegraft.appspec.importing.score import import_score
from pipegraft.appspec.importing.taking import Imported, Taking, name_from, settle
from pipegraft.core.adapters.files import write_together
from pipegraft.core.delivery_file import read_text
from pipegraft.core.errors import ConfigError, EditRefused, Place, UsageError
from pipegraft.core.reading import Marked, Route, load_marked, load_marked_all

__all__ = ["ImportResult", "compose_files", "kubernetes_files", "score_files"]


Render = Callable[[Mapping[str, bytes], str, Sequence[str]], str]
"""Files of a tree, a folder of it and values files → the manifests that a program makes of it."""

_NONE: Mapping[str, Render] = MappingProxyType({})
_RENDERED = {
    "Chart.yaml": "helm",
    "kustomization.yaml": "kustomize",
    "kustomization.yml": "kustomize",
    "Kustomization": "kustomize",
}


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What was written.

    Arguments:
        files: all of them.
        left: everything that is not carried over, one line each.
        unprovided: resources that are carried over, but whose type nobody provides here, one line each.
        without_image: components that nothing named an image of: they are built.
    """

    files: tuple[Path, ...]
    components: tuple[str, ...]
    left: tuple[str, ...]
    unprovided: tuple[str, ...] = ()
    without_image: tuple[str, ...] = ()


def score_files(
    files: Sequence[Path], app: str | None, environment: str, folder: Path, *, types: Collection[str]
) -> ImportResult:
    """Import Score workloads, each of which becomes a workload of one application.

    Arguments:
        types: of resources that somebody provides here.

    Raises:
        ConfigError: a file is no Score workload.
        UsageError: a file is in the way; nothing was written.
    """
    contents = [(str(path), load_marked(read_text(path), str(path)).data) for path in files]
    name = Taking(contents[0][1], contents[0][0]).peek("metadata", "name")
    into = Imported(app or name_from(str(name or "")))
    unprovided: list[str] = []
    for file, data in contents:
        before = set(into.resources)
        import_score(data, file, into)
        unprovided += (
            f"{file}: resources.{name}.type: {resource['type']}"
            for name, resource in into.resources.items()
            if name not in before and resource["type"] not in types
        )
    return replace(_write(into, environment, folder), unprovided=tuple(unprovided))


def compose_files(
    files: Sequence[Path], app: str | None, environment: str, folder: Path, *, profiles: Collection[str] = ()
) -> ImportResult:
    """Import a Compose file with its overrides.

    Arguments:
        files: each is put over those before it, as ``docker compose -f`` does.
        profiles: of which services are wanted, too.

    Raises:
        ConfigError: a file is no Compose file.
        UsageError: nothing of it runs, or a file is in the way; nothing was written.
    """

    def beside(name: str) -> str | None:
        path = files[0].parent / name
        return read_text(path) if path.is_file() else None

    merged: Any = {}
    for path in files:
        data = load_marked(read_text(path), str(path)).data
        read_compose({"services": {}, **data} if isinstance(data, dict) else data, str(path), beside)
        merged = merge(merged, data)
    named = str(files[0])
    services, left = read_compose({"services": {}, **merged}, named, beside)
    into = Imported(app or name_from(str(merged.get("name") or files[0].resolve().parent.name)))
    into.left += left
    import_compose(services, named, profiles, into)
    if not into.components:
        raise UsageError(
            "expected a service that runs, found none", place=Place(named), fix="name a file, or a --profile"
        )
    return _write(into, environment, folder)


def kubernetes_files(
    source: Path,
    app: str | None,
    environment: str,
    folder: Path,
    *,
    renderers: Mapping[str, Render] = _NONE,
    values: Sequence[str] = (),
) -> ImportResult:
    """Import the Kubernetes objects of all YAML files of a folder, or of one file.

    Arguments:
        source: a chart or a kustomization in it is rendered.
        renderers: ``helm`` and ``kustomize``, those that are there.
        values: values files of a chart, by their paths in its folder.

    Raises:
        ConfigError: a file is not YAML, or has a key twice.
        UsageError: there is no workload in them, there are several kustomizations, or a file is in the way.
    """
    units = _rendered_folders(source) if source.is_dir() else {}
    if values and "helm" not in units.values():
        raise UsageError(
            "--values is for a Helm chart, found none", place=Place(str(source)), fix="leave it out"
        )
    documents = list(_documents(source, units))
    for unit, tool in units.items():
        if tool in renderers:
            documents += _rendered(unit, tool, renderers[tool], values)
    into = Imported(app or _part_of(documents) or name_from(source.resolve().name))
    into.left += (
        f"{unit}: the whole folder ({tool} renders it, and is not on PATH)"
        for unit, tool in units.items()
        if tool not in renderers
    )
    import_kubernetes(documents, into)
    if not into.components:
        raise UsageError(
            "expected a Deployment, Job or CronJob, found none",
            place=Place(str(source)),
            fix="name their folder; `targets` in delivery.yaml write images into manifests of other kinds",
        )
    return _write(into, environment, folder)


def _documents(source: Path, units: Mapping[Path, str]) -> Iterator[tuple[str, Any]]:
    """Objects of the files that nobody renders."""
    found = [path for pattern in ("*.yaml", "*.yml", "*.json") for path in source.rglob(pattern)]
    for path in sorted(found) if source.is_dir() else [source]:
        if not any(unit in path.parents for unit in units):
            for marked in _read(path):
                if marked.data is not None:
                    yield from _objects(marked, str(path))


def _rendered(unit: Path, tool: str, render: Render, values: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Objects of a chart or a kustomization, whose bases may lie anywhere in its repository."""
    here = unit.resolve()
    root = next((one for one in (here, *here.parents) if (one / ".git").exists()), here)
    folder = "" if here == root else here.relative_to(root).as_posix()
    named = [f"{folder}/{name}".lstrip("/") for name in values] if tool == "helm" else []
    label = f"{unit}, rendered by {tool}"
    try:
        text = render(_files_below(root), folder, named)
    except EditRefused as error:
        fix = "mend it, or render it as your engine does, and import that folder of manifests"
        raise EditRefused(error.problem.message, place=Place(str(unit)), fix=fix) from None
    for marked in load_marked_all(text, label):
        if marked.data is not None:
            yield from _objects(marked, label)


def _rendered_folders(source: Path) -> dict[Path, str]:
    """Charts and kustomizations, the outermost of each, and what renders them.

    Raises:
        UsageError: there are several kustomizations: of a base and its overlays each says the same again.
    """
    found: dict[Path, str] = {}
    for path in sorted(source.rglob("*"), key=lambda one: (len(one.parts), one)):
        tool = _RENDERED.get(path.name)
        if tool and not any(one in path.parents for one in found):
            found[path.parent] = tool
    several = [str(one) for one, tool in found.items() if tool == "kustomize"]
    if len(several) > 1:
        raise UsageError(
            f"expected one kustomization, found {len(several)}: {', '.join(several)}",
            place=Place(str(source)),
            fix="name the folder of the overlay that runs in the environment",
        )
    return found


def _files_below(root: Path) -> dict[str, bytes]:
    """Everything that a rendering may read, but for hidden folders."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts[:-1])
    }


def _read(path: Path) -> list[Marked]:
    try:
        return load_marked_all(read_text(path), str(path))
    except ConfigError as error:
        fix = "mend it there; render templates, such as those of a Helm chart, before"
        raise ConfigError([replace(one, fix=one.fix or fix) for one in error.problems]) from None


def _objects(marked: Marked, file: str) -> Iterator[tuple[str, Any]]:
    """The document, or the items of a list; what cannot be an object comes with its exact place."""
    for route, each in _items((), marked.data):
        yield file if each and isinstance(each, dict) else str(marked.place(route)), each


def _items(route: Route, data: Any) -> Iterator[tuple[Route, Any]]:
    """The objects of a List or, for example, a DeploymentList, whose items need not say their kind."""
    kind = str(data.get("kind")) if isinstance(data, dict) else ""
    if not kind.endswith("List") or not isinstance(data.get("items"), list):
        yield route, data
        return
    said = {"apiVersion": data.get("apiVersion"), "kind": kind.removesuffix("List")} if kind != "List" else {}
    for at, each in enumerate(data["items"]):
        item = {**said, **each} if each and isinstance(each, dict) else each
        yield from _items((*route, "items", at), item)


def _part_of(documents: Sequence[tuple[str, Any]]) -> str | None:
    for _, data in documents:
        if part := Taking(data, "").peek("metadata", "labels", "app.kubernetes.io/part-of"):
            return name_from(str(part))
    return None


def _write(into: Imported, environment: str, folder: Path) -> ImportResult:
    settle(into)
    texts = {
        folder / "app.yaml": yaml.safe_dump(into.app_file(), sort_keys=False, allow_unicode=True, width=4096),
        folder / "environments" / f"{environment}.yaml": yaml.safe_dump(
            into.environment_file(), sort_keys=False, allow_unicode=True, width=4096
        ),
    }
    for path in texts:
        if path.exists():
            raise UsageError(
                "it exists, and nothing is written over", place=Place(str(path)), fix="name another --output"
            )
    for path in texts:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_together({path: text.encode() for path, text in texts.items()})
    bare = tuple(name for name in into.components if name not in into.images)
    return ImportResult(tuple(texts), tuple(into.components), tuple(into.left), without_image=bare)
