"""Files at one moment, their documents, also those in texts, and what they bring in from elsewhere."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.reading import Marked, Route, load_marked_all
from pipegraft.iac.guard import GUARD_FILE, matches

__all__ = [
    "ChangedFile",
    "Files",
    "Generators",
    "brought_in",
    "documents_in",
    "is_inline",
    "is_kustomization",
    "list_of",
    "mapping_of",
    "mappings",
    "parsed",
    "scalar_of",
    "text_of",
]

_MOST_NESTED = 3
"""Documents in texts of documents."""
_REMOTE = re.compile(
    r"(?:[a-z][a-z0-9+]*::?//|\w+::|[\w.-]+@[\w.-]+:|github\.com[/:]|[\w.-]+\.\w+(?:/[\w.-]+/|:[\w~.-])).*"
    r"|.*(?:\?ref=|\.git//).*",
    re.IGNORECASE,
)
"""What kustomize fetches (its "Remote targets")."""
_ADDRESS = re.compile(
    r"(?:[^\s=]+=)?(?:\w+::.*|(?!file:)[a-z][a-z0-9+]*://.*|[\w.-]+@[\w.-]+:.*)", re.IGNORECASE
)
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?|sha256:[0-9a-f]{64}")
_HELD = ("resources", "bases", "components", "crds", "configurations")
"""Lists of a kustomization that name what belongs to it."""
_RUN = ("generators", "transformers", "validators")
"""Those whose entries may be programs."""
_OF_THE_TEAM = {
    "commonAnnotations",
    "commonLabels",
    "labels",
    "literals",
    "patch",
    "metadata",
    "valuesInline",
}
"""Keys of a kustomization below which a text is no address."""
_INLINE = {
    *("patch", "values", "patches", "patchesStrategicMerge", "patchesJson6902", "valuesInline"),
    *("values.yaml", "values.yml", "replacements", "template", *_RUN),
}
"""Keys of kustomizations, Argo CD Applications and ConfigMaps whose text is a document of its own."""
_FUNCTIONS = ("config.kubernetes.io/function", "config.k8s.io/function")
_SOURCES = {"GitRepository", "HelmRepository", "OCIRepository", "Bucket"}
"""Flux's kinds that fetch."""
_FETCHED = {"WasmPlugin": "url", "Configuration": "remote", "HelmChart": "chart", "HelmRelease": "chart"}
"""Kinds of others whose `spec` fetches by an address: of Istio, KubeVela's Terraform, K3s."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A path that a change touches.

    Arguments:
        path: in the repository; bytes that are no UTF-8 are escaped as by `os.fsdecode`.
        mode: as git writes it (gitformat-index(5)), six digits; zeros if the file is gone.
    """

    path: str
    mode: str


@dataclass(frozen=True, slots=True)
class Files:
    """Files at one moment.

    Arguments:
        content: path → what the file holds, None if there is none.
        names: folder, with its final slash or empty → names of what is in it; those of folders end with one.
        earlier: path → what the file held then and before, newest first; nothing if nobody knows.
    """

    content: Callable[[str], bytes | None]
    names: Callable[[str], Sequence[str]]
    earlier: Callable[[str], Iterable[bytes]] = lambda _path: ()

    def texts(self, path: str) -> Iterator[str]:
        """As `earlier`, those that are UTF-8."""
        for content in self.earlier(path):
            with suppress(UnicodeDecodeError):
                yield content.decode()

    def text(self, path: str) -> str | None:
        """A file's text, None if there is none or it is not UTF-8."""
        content = self.content(path)
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError:
            return None


def text_of(value: Any) -> str | None:
    """A text, also one that stands there in base64 (``!!binary``)."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def scalar_of(value: Any) -> str | None:
    """As `text_of`; numbers and dates as well, which tools write as text where one is wanted."""
    if value is None or isinstance(value, (bool, Mapping, list)):
        return None
    return text_of(value) or str(value)


def mapping_of(value: Any) -> Mapping[str, Any]:
    """The mapping that a value is; an empty one if it is none."""
    return value if isinstance(value, Mapping) else {}


def list_of(value: Any) -> list[Any]:
    """The list that a value is; an empty one if it is none."""
    return value if isinstance(value, list) else []


def mappings(
    data: Any, is_document: Callable[[Route, str], bool], route: Route = (), nested: int = 0
) -> Iterator[tuple[Mapping[str, Any], Route]]:
    """Every mapping in a value, and where it stands, or the text that it stands in.

    Arguments:
        is_document: route and text → whether it is looked into.
    """
    if isinstance(data, list):
        for index, one in enumerate(data):
            yield from mappings(one, is_document, (*route, index), nested)
    elif isinstance(data, Mapping):
        yield data, route
        for key, value in data.items():
            yield from mappings(value, is_document, (*route, key), nested)
    elif (said := text_of(data)) is not None and nested < _MOST_NESTED and is_document(route, said):
        for document in documents_in(said):
            yield from mappings(document, is_document, route, nested + 1)


@functools.lru_cache(maxsize=8)
def parsed(path: str, text: str) -> Sequence[Marked]:
    """The documents of a file; kept for a while, since each check reads them. Nobody changes them.

    Raises:
        ConfigError: as `load_marked_all`.
    """
    return tuple(load_marked_all(text, path))


def documents_in(text: str) -> list[Any]:
    """The documents of a text; nothing if it holds none."""
    try:
        return [one.data for one in parsed("inline", text)]
    except ConfigError:
        return []


def is_inline(route: Route, text: str) -> bool:
    """Whether a text is a document that tools read where it stands."""
    key = next((part for part in reversed(route) if isinstance(part, str)), "")
    return key in _INLINE and ":" in text


def is_kustomization(path: str) -> bool:
    """Whether kustomize takes a file for what it begins with."""
    name = path.rpartition("/")[2].lower()
    return name.removesuffix(".yaml").removesuffix(".yml") == "kustomization"


_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


class Generators:
    """Kustomizations that make Secrets of files, each read once.

    Arguments:
        read: what a file holds, None if there is none.
    """

    def __init__(self, read: Callable[[str], str | None]) -> None:
        self._read = read
        self._folders: dict[str, Sequence[tuple[str, str]]] = {}

    def files(self, path: str) -> Iterator[tuple[str, str, str]]:
        """Kustomizations, the files that each makes Secrets of, and what these hold.

        Arguments:
            path: a file that changed: the kustomization, or one that it may name.
        """
        folder = posixpath.dirname(path)
        while True:
            for place, named in self._of(folder):
                held = self._read(named) if path in (named, place) and not named.startswith("..") else None
                if held is not None:
                    yield place, named, held
            if not folder or is_kustomization(path):
                return
            folder = posixpath.dirname(folder)

    def _of(self, folder: str) -> Sequence[tuple[str, str]]:
        """Kustomizations of a folder, and the files that each makes Secrets of."""
        if folder not in self._folders:
            self._folders[folder] = [
                (place, posixpath.normpath(posixpath.join(folder, named)))
                for place in (posixpath.join(folder, name) for name in _KUSTOMIZATIONS)
                for document in documents_in(self._read(place) or "")
                for named in _files_of_secrets(document)
            ]
        return self._folders[folder]


def _files_of_secrets(document: Any) -> Iterator[str]:
    for one in list_of(mapping_of(document).get("secretGenerator")):
        said = mapping_of(one)
        for name in (*list_of(said.get("files")), *list_of(said.get("envs")), said.get("env")):
            if isinstance(name, str):
                yield name.partition("=")[2] or name


def brought_in(path: str, text: str, sources: Sequence[str]) -> Iterator[Problem]:
    """What kustomizations, and objects of Flux, Argo CD and others, fetch or run that is not in the file.

    What a commit or a digest pins, and what the rules allow, passes.

    Arguments:
        path: the file.
        text: what it holds.
        sources: patterns of addresses and plugins that may be used.
    """
    try:
        documents = parsed(path, text)
    except ConfigError:
        return  # told by the check of images, where it matters
    for marked in documents:
        for mapping, route in mappings(marked.data, is_inline):
            found = [*_of_objects(mapping, route), *_of_files(path, mapping, route)]
            for address, at in found:
                if not matches(address.partition("?")[0], sources):
                    yield Problem(
                        f"'{address}' comes from elsewhere: what it holds is not checked",
                        marked.place(at) or Place(path),
                        f"have what it comes to here, or name it below 'sources' in {GUARD_FILE}",
                    )


def _of_files(path: str, data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """What the name of a file gives its keys the meaning of."""
    name = path.rpartition("/")[2].lower()
    if is_kustomization(path) or (
        not route and str(data.get("apiVersion", "")).startswith("kustomize.config")
    ):
        if not route:
            yield from _of_kustomization(data)
    elif not route and name in ("chart.yaml", "requirements.yaml"):
        for index, one in enumerate(list_of(data.get("dependencies"))):
            address = text_of(mapping_of(one).get("repository")) or ""
            if _ADDRESS.fullmatch(address):
                yield address, ("dependencies", index, "repository")
    elif name.startswith("helmfile"):
        for key in ("repositories", "helmfiles", "bases"):
            for address, at in _texts(data.get(key), (key,)):
                if _ADDRESS.fullmatch(address) or at[-1] == "url":
                    yield address, at


def _of_kustomization(data: Mapping[str, Any]) -> Iterator[tuple[str, Route]]:
    for key, value in data.items():
        if key in _OF_THE_TEAM:
            continue
        for said, at in _texts(value, (key,)):
            if set(at) & _OF_THE_TEAM:
                continue
            runs = key in _RUN and "\n" not in said
            if runs or _ADDRESS.fullmatch(said) or (key in _HELD and _REMOTE.fullmatch(said)):
                yield said, at


def _texts(value: Any, route: Route) -> Iterator[tuple[str, Route]]:
    """Every text in a value, and where it stands."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(one, (*route, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _texts(one, (*route, index))
    elif (said := text_of(value)) is not None:
        yield said, route


def _of_objects(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """What one mapping names by itself, wherever it stands."""
    kind = f"{data.get('apiVersion')}/{data.get('kind')}"
    annotations = mapping_of(mapping_of(data.get("metadata")).get("annotations"))
    if any(one in annotations for one in _FUNCTIONS):
        yield kind, (*route, "metadata", "annotations")
    spec = mapping_of(data.get("spec"))
    if text_of(data.get("kind")) in _SOURCES and "toolkit.fluxcd.io/" in kind:
        reference = mapping_of(spec.get("ref"))
        pinned = _is_pinned(reference.get("commit")) or _is_pinned(reference.get("digest"))
        address = text_of(spec.get("url")) or text_of(spec.get("endpoint"))
        if address and not pinned:
            yield address, (*route, "spec", "url" if "url" in spec else "endpoint")
    address, revision = text_of(data.get("repoURL")), text_of(data.get("targetRevision"))
    pinned = _is_pinned(revision) and ("chart" not in data or str(revision).startswith("sha256:"))
    if address and not pinned:
        yield address, (*route, "repoURL")
    if address and isinstance(data.get("plugin"), Mapping):
        yield f"plugin:{data['plugin'].get('name', '')}", (*route, "plugin")
    repository = text_of(data.get("repo"))
    if repository and "chart" in data:
        yield repository, (*route, "repo")
    yield from _of_volumes(data, route)


def _of_volumes(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """Volumes from git, values from the web, and what kapp fetches."""
    key = _FETCHED.get(str(data.get("kind")), "")
    fetched = text_of(mapping_of(data.get("spec")).get(key)) or ""
    if _ADDRESS.fullmatch(fetched) and "@sha256:" not in fetched:
        yield fetched, (*route, "spec", key)
    served = text_of(mapping_of(data.get("properties")).get("url"))  # of KubeVela's components
    if served and data.get("type") in ("helm", "kustomize"):
        yield served, (*route, "properties", "url")
    volume = mapping_of(data.get("gitRepo"))
    if (address := text_of(volume.get("repository"))) and not _is_pinned(volume.get("revision")):
        yield address, (*route, "gitRepo", "repository")
    for key in ("valueFiles", "valuesFiles", "fileParameters"):
        for said, at in _texts(data.get(key), (*route, key)):
            if _ADDRESS.fullmatch(said):
                yield said, at
    for index, one in enumerate(list_of(data.get("fetch"))):
        for way, said in mapping_of(one).items():
            url = text_of(mapping_of(said).get("url"))
            pins = (mapping_of(said).get("ref"), mapping_of(said).get("sha256"))
            if url and "@sha256:" not in url and not any(map(_is_pinned, pins)):
                yield url, (*route, "fetch", index, way, "url")


def _is_pinned(revision: Any) -> bool:
    return isinstance(revision, str) and bool(_COMMIT.fullmatch(revision))
