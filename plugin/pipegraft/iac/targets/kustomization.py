"""What a kustomization builds, as far as images go, and the files that it needs.

Followed are local resources, bases and components; images apply as kustomize 5 applies them. What can change
images in other ways (patches that name them, replacements, generators of charts, plugins) and what is not in
the repository is not computed but said.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pipegraft.core.errors import EditRefused, UsageError
from pipegraft.iac.ports import Edited, Files
from pipegraft.iac.released_images import Reference, image_uses
from pipegraft.iac.targets.charts import merged
from pipegraft.iac.targets.helm import kind_of
from pipegraft.iac.targets.kubernetes import as_entry, folders_named, images_paths
from pipegraft.text.yaml import Path, read_documents, value_at

__all__ = [
    "FILE_NAMES",
    "Kustomization",
    "apply_images",
    "may_be_read",
    "parsed",
    "patched_by",
    "place_of_images",
    "read_kustomization",
    "whole_object",
    "with_images_of",
]

FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""What the file of a kustomization is called (kustomize looks for them in this order)."""

_REMOTE = re.compile(r"://|^git@|^github\.com[/:]|^bitbucket\.org[/:]|^gitlab\.com[/:]|\?ref=|\.git(//|$)")
_FIELDS = re.compile(
    r"apiVersion|kind|metadata|openapi|name(Prefix|Suffix|space)|commonLabels|labels|commonAnnotations|images|"
    r"imageTags|patches(StrategicMerge|Json6902)?|replacements|replicas|vars|sortOptions|resources|components|"
    r"crds|bases|(configMap|secret)Generator|generatorOptions|helm(Globals|Charts|ChartInflationGenerator)|"
    r"configurations|generators|transformers|validators|buildMetadata"
)
"""What a kustomization may say (kustomize, api/types: Kustomization); others are refused by kustomize."""
_TOUCHES = re.compile(r"\bimage\b|\$patch|containers")
_DEEPEST = 20


@dataclass(slots=True)
class Kustomization:
    """A folder that kustomize builds.

    Arguments:
        folder: its path, empty for the root.
        documents: what is built, as far as it is known: images are as they will be.
        below: images of the resources, before the folder's own list of images applies.
        files: path → text of every file that takes part.
        unknown: why images of it may be others than those told.
        absent: what it needs that is not in the repository.
        charts: path → content of every file of charts that it renders.
        is_component: whether it is built by those that name it alone.
    """

    folder: str
    documents: list[Any] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    charts: dict[str, bytes] = field(default_factory=dict)
    is_component: bool = False


def read_kustomization(read: Files, folder: str) -> Kustomization | None:
    """What a folder builds; None if it holds no kustomization.

    Arguments:
        read: the files of the repository.
        folder: its path, empty for the root.
    """
    found = Kustomization(folder)
    walk = _Walk(read, found)
    documents = walk.accumulate(folder, ())
    if documents is None:
        return None
    found.documents = documents
    return found


@dataclass(frozen=True, slots=True)
class _Walk:
    """Follows a kustomization through its folders."""

    read: Files
    found: Kustomization

    def accumulate(self, folder: str, above: tuple[str, ...], base: Sequence[Any] = ()) -> list[Any] | None:
        """The documents of a folder; those of `base` stand before them, for a component."""
        data = self._own(folder)
        if data is None:
            return None
        documents = list(base)
        if folder in above or len(above) > _DEEPEST:
            self.found.unknown.append(f"{folder or '.'} leads back to itself")
            return documents
        inside = (*above, folder)
        for entry in _listed(data, "resources", "bases"):
            documents += self._resource(folder, entry, inside)
        for entry in _listed(data, "components"):
            with_component = self._folder(folder, entry, inside, documents)
            documents = documents if with_component is None else with_component
        self._other_files(folder, data)
        self._say_unknown(folder, data)
        if not above:
            self.found.is_component = data.get("kind") == "Component"
            over = posixpath.join(folder, ".argocd-source.yaml")
            self.found.absent += [f"{over} may set others"] if self._text(over) is not None else []
            self.found.below = [use.image for document in documents for use in image_uses(document)]
        for entry in _listed(data, "images"):
            apply_images(documents, [entry])
        return documents

    def _own(self, folder: str) -> dict[str, Any] | None:
        for name in FILE_NAMES:
            path = posixpath.join(folder, name)
            text = self._text(path)
            if text is not None:
                documents = read_documents(text, path)
                return documents[0] if documents and isinstance(documents[0], dict) else {}
        return None

    def _resource(self, folder: str, entry: Any, above: tuple[str, ...]) -> list[Any]:
        built = self._folder(folder, entry, above, ())
        if built is not None:
            return built
        path = self._local(folder, entry)
        text = None if path is None else self._text(path)
        if path is None or text is None:
            return []
        try:
            return list(read_documents(text, path))
        except EditRefused as error:
            self.found.unknown.append(str(error.problem))
            return []

    def _folder(
        self, folder: str, entry: Any, above: tuple[str, ...], base: Sequence[Any]
    ) -> list[Any] | None:
        path = self._local(folder, entry)
        if path is None:
            return None
        if posixpath.splitext(path)[1] in {".yaml", ".yml", ".json"} and self._text(path) is not None:
            return None
        built = self.accumulate(path, above, base)
        if built is None and self._text(path) is None:
            self.found.absent.append(f"{path} is not there")
        return built

    def _local(self, folder: str, entry: Any) -> str | None:
        """Path of what an entry names; None if it is not in this repository."""
        if not isinstance(entry, str) or _REMOTE.search(entry) or "\n" in entry:
            if isinstance(entry, str) and "\n" not in entry:
                said = f"{entry} is not in this repository"
                self.found.absent += [said] if said not in self.found.absent else []
            return None
        path = posixpath.normpath(posixpath.join(folder, entry))
        if path.startswith(("../", "/")) or path == "..":
            self.found.absent.append(f"{entry} leads out of the repository")
            return None
        return "" if path == "." else path

    def _text(self, path: str) -> str | None:
        if not path:
            return None
        if path not in self.found.files:
            try:
                text = self.read(path)
            except UsageError:  # no text: it takes no part in what is read here
                self.found.absent.append(f"{path} is no text file")
                return None
            if text is None:
                return None
            self.found.files[path] = text
        return self.found.files[path]

    def _other_files(self, folder: str, data: Mapping[str, Any]) -> None:
        """Read what takes part beside the resources: patches, generators' files, configurations."""
        for entry in _named_files(data):
            path = self._local(folder, entry)
            if path is not None and self._text(path) is None and self._own(path) is None:
                self.found.absent.append(f"{path} is not there")

    def _say_unknown(self, folder: str, data: Mapping[str, Any]) -> None:
        where = folder or "."
        strange = [str(key) for key in data if not _FIELDS.fullmatch(str(key))]
        self.found.unknown += [f"'{key}' of {where} is no field of a kustomization" for key in strange]
        for key in ("generators", "transformers", "validators"):
            if data.get(key):
                self.found.unknown.append(f"'{key}' of {where} may bring images of its own")
        if data.get("helmChartInflationGenerator"):
            self.found.absent.append(f"'helmChartInflationGenerator' of {where} brings charts from elsewhere")
        for chart in _listed(data, "helmCharts"):
            self._chart(folder, data, chart if isinstance(chart, dict) else {})
        for patch in (*_patches(data), *_listed(data, "replacements")):
            text = patch if isinstance(patch, str) else str(patch)
            path = posixpath.normpath(posixpath.join(folder, text)) if "\n" not in text else ""
            held = self.found.files.get(path, text)
            inner = patch.get("path") if isinstance(patch, dict) else None
            if isinstance(inner, str):
                held = self.found.files.get(posixpath.normpath(posixpath.join(folder, inner)), "image")
            if _TOUCHES.search(held):
                self.found.unknown.append(f"a patch or replacement of {where} may change images")
        paths = [
            posixpath.normpath(posixpath.join(folder, str(one))) for one in _listed(data, "configurations")
        ]
        if any("images" in self.found.files.get(path, "images") for path in paths):
            self.found.unknown.append(f"'configurations' of {where} may say where images stand")

    def _chart(self, folder: str, data: Mapping[str, Any], chart: Mapping[str, Any]) -> None:
        """A chart of ``helmCharts``: kustomize has Helm render the folder below ``chartHome``."""
        settings = data.get("helmGlobals")
        home = str((settings if isinstance(settings, dict) else {}).get("chartHome") or "charts")
        name, version, origin = (str(chart.get(key) or "") for key in ("name", "version", "repo"))
        beside = f"{name}-{version}" if version and origin else ""
        at = posixpath.normpath(posixpath.join(folder, home, beside, name))
        content = {} if at.startswith(("..", "/")) else self.read.below(at)
        if f"{at}/Chart.yaml" in content:
            self.found.charts |= content
            self.found.unknown.append(f"the chart '{name}' of {folder or '.'} is rendered by helm")
        else:
            comes = f"comes from {origin}" if origin else f"is not in {posixpath.join(folder, home)}"
            self.found.absent.append(
                f"the chart '{name}' of {folder or '.'} {comes}, not from this repository"
            )


parsed = lru_cache(maxsize=256)(read_documents)
"""Documents that nobody changes: those of a file of objects are asked for again with each of them."""
_Built = Callable[[str], Kustomization | None]


def whole_object(files: Files, path: str, number: int, built_of: _Built | None = None) -> Any:
    """An object of a file, over the one that it patches."""
    document, base = parsed(files(path) or "", path)[number], patched_by(files, path, number, built_of)
    return document if base is None else merged(base, document)


def patched_by(files: Files, path: str, number: int, built_of: _Built | None = None) -> Any:
    """The object that one of a file patches, by the kustomization of its folder; None if it patches none."""
    document = parsed(files(path) or "", path)[number]
    if not kind_of(document):
        return None
    folder = posixpath.dirname(path)
    built = built_of(folder) if built_of else read_kustomization(files, folder)
    if built is None or path not in built.files:
        return None
    who = (("kind",), ("metadata", "name"))
    alike = [one for one in built.documents if all(value_at(one, at) == value_at(document, at) for at in who)]
    return alike[0] if len(alike) == 1 and alike[0] != document else None


_OBJECT = re.compile(r"\bkind[\"']?:\s*[\"']?(Application(Set)?|HelmRelease|Kustomization)\b")


def may_be_read(files: Files, text: str, at: tuple[str, str]) -> bool:
    """Whether objects of Flux or Argo CD in a text, perhaps a template, name a file or what builds it."""
    if not _OBJECT.search(text):
        return False
    for folder in folders_named(text, at):
        try:
            built = read_kustomization(files, folder)
        except UsageError:
            return True
        if f"{at[1]}/".startswith(f"{folder}/".lstrip("/")) or (built is not None and at[1] in built.files):
            return True
    return at[1] in text


def place_of_images(files: Files, path: str) -> tuple[int, Path]:
    """Where an object of Flux or Argo CD lists images for kustomize: number of its document, and the place.

    Returns:
        No place for a file that holds no such object.
    """
    for number, one in enumerate(read_documents(files(path) or "", path)):
        for at in images_paths(one):
            if len(at) > 1 and value_at(one, at):
                return number, at
    return 0, ()


def with_images_of(files: Files, document: Any, at: Path, folder: str) -> Files:
    """Files with what an object of Flux or Argo CD adds to a folder's kustomization, as its engine adds it.

    Arguments:
        document, at: the object, and where its images stand.
        folder: of the kustomization.
    """
    handed = value_at(document, at[:-1]) or {}
    generated = at == ("spec", "images")  # Flux makes one of a folder's manifests where there is none
    paths = [posixpath.join(folder, name) for name in FILE_NAMES]
    own = next((one for one in paths if files(one) is not None), None)
    if own is None and not generated:
        return files
    documents = list(read_documents(files(own) or "", own)) if own else []
    held = documents[0] if documents and isinstance(documents[0], dict) else {}
    data: dict[str, Any] = {**held} if own else {"resources": _manifests(files, folder)}
    images = [as_entry(entry) for entry in _listed(handed, "images")]
    ours = [one.get("name") for one in images if isinstance(one, dict)]
    kept = [one for one in _listed(data, "images") if isinstance(one, dict) and one.get("name") not in ours]
    data["images"] = [*kept, *images]
    for key in ("patches", "patchesStrategicMerge", "patchesJson6902", "components"):
        if added := list(_listed(handed, key)):
            data[key] = [*_listed(data, key), *added]
    return Edited(files, {own or paths[0]: json.dumps(data)})


def _manifests(files: Files, folder: str) -> list[str]:
    """What Flux builds of a folder without a kustomization: its manifests, and the kustomizations below."""
    start = f"{folder}/" if folder else ""
    names = sorted(
        path.removeprefix(start) for path in files.below(folder) if path.endswith((".yaml", ".yml"))
    )
    bases = {posixpath.dirname(name) for name in names if posixpath.basename(name) in FILE_NAMES}
    return [*sorted(bases), *(one for one in names if not any(one.startswith(f"{base}/") for base in bases))]


def _listed(data: Mapping[str, Any], *keys: str) -> Iterator[Any]:
    for key in keys:
        value = data.get(key)
        yield from value if isinstance(value, list) else ()


def _patches(data: Mapping[str, Any]) -> Iterator[Any]:
    """Patches of every kind: files, texts, and what names or holds one."""
    yield from _listed(data, "patchesStrategicMerge")
    for one in _listed(data, "patches", "patchesJson6902"):
        if isinstance(one, dict):
            path, text = one.get("path"), one.get("patch")
            yield path if isinstance(path, str) else str(text)


def _named_files(data: Mapping[str, Any]) -> Iterator[str]:
    """Files and folders that a kustomization names beside its resources."""
    for entry in (*_patches(data), *_listed(data, "crds", "configurations", "generators", "transformers")):
        if isinstance(entry, str) and "\n" not in entry and ":" not in entry:
            yield entry
    yield from (
        one["path"] for one in _listed(data, "replacements") if isinstance(one, dict) and one.get("path")
    )
    for chart in _listed(data, "helmCharts"):
        if isinstance(chart, dict):
            yield from [str(chart["valuesFile"])] if chart.get("valuesFile") else []
            yield from (str(one) for one in _listed(chart, "additionalValuesFiles"))
    for generator in _listed(data, "configMapGenerator", "secretGenerator"):
        if isinstance(generator, dict):
            yield from (str(one).rpartition("=")[2] for one in _listed(generator, "files"))
            yield from (str(one) for one in _listed(generator, "envs"))
            yield from [str(generator["env"])] if generator.get("env") else []


_IMAGE = re.compile(r"(?::(?P<tag>[a-zA-Z0-9_.{}-]*))?(?:@(?P<digest>sha256:[a-zA-Z0-9_.{}-]*))?")
"""What may follow an image's name (kustomize, api/image: IsImageMatched)."""


def apply_images(documents: Sequence[Any], entries: Sequence[Any]) -> None:
    """Apply entries of ``images:`` to documents (kustomize, api/filters/imagetag)."""
    for entry in entries:
        for document in documents:
            _apply(document, entry)


def _apply(document: Any, entry: Any) -> None:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        return
    for use in list(image_uses(document)):
        legacy = "ephemeralContainers" not in use.path
        if not legacy or not use.image.startswith(name):
            continue
        found = _IMAGE.fullmatch(use.image[len(name) :])
        if found is None:
            continue
        tag, digest = str(entry.get("newTag") or ""), str(entry.get("digest") or "")
        if not (tag or digest):
            suffix = str(entry.get("tagSuffix") or "")
            tag, digest = f"{found['tag'] or ''}{suffix}", "" if suffix else found["digest"] or ""
        _put(document, use.path, str(Reference(str(entry.get("newName") or name), tag, digest)))


def _put(document: Any, path: Sequence[Any], value: str) -> None:
    for part in path[:-1]:
        document = document[part]
    document[path[-1]] = value
