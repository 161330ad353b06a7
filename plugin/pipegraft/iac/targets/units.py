"""What an engine renders a target's file with: a chart, a kustomization, or nothing but itself.

A chart is understood as far as that goes without Helm: what it has by default, and what its templates read.
"""

from __future__ import annotations

import io
import json
import posixpath
import re
import tarfile
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.iac.ports import Files
from pipegraft.iac.targets.helm import NAMES
from pipegraft.iac.targets.kustomization import (
    Kustomization,
    place_of_images,
    read_kustomization,
    with_images_of,
)
from pipegraft.iac.targets.objects import Handed, chart_of, handed_to_helm, roots_in
from pipegraft.iac.targets.writing import values_place
from pipegraft.text.yaml import Path, parse_path, read_documents

__all__ = ["Chart", "Reads", "Unit", "find_unit", "read_chart"]

CHART = "Chart.yaml"
_DEEPEST = 8


class Reads(StrEnum):
    """Whether templates read a value."""

    YES = "yes"
    NO = "no"
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Arguments:
        folder: where it lies in the repository.
        files: path below the folder → content; what it depends on stands in ``charts/``.
        templates: texts of its own templates.
        values: what it has by default.
        parts: name in its values → a chart that it depends on.
        absent: what it needs that is not in the repository.
    """

    folder: str
    files: Mapping[str, bytes] = field(repr=False)
    templates: Sequence[str] = field(default=(), repr=False)
    values: Any = field(default_factory=dict, repr=False)
    parts: Mapping[str, Chart] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    def defaults(self) -> Any:
        """Its values over those of the charts it depends on, as Helm coalesces them."""
        below = {name: part.defaults() for name, part in self.parts.items()}
        return merged(below, self.values)

    def reads(self, path: Path) -> Reads:
        """Whether a value is read by any template: ``NO`` only where none can."""
        head = path[0] if path else ""
        answers = [_read_by(self.templates, path)]
        if isinstance(head, str) and head in self.parts:
            answers.append(self.parts[head].reads(path[1:]))
        if head == "global" or self.absent:
            answers.append(Reads.MAYBE)
        answers += [Reads.MAYBE for part in self.parts.values() if _library(part)]
        return min(answers, key=[Reads.YES, Reads.MAYBE, Reads.NO].index)

    def keys_read(self, path: Path) -> frozenset[str]:
        """Which of the keys that name parts of an image are read for sure in a mapping of the values."""
        keys = [key for names in NAMES.values() for key in names]
        return frozenset(key for key in keys if self.reads((*path, key)) is Reads.YES)


def _library(chart: Chart) -> bool:
    return b"type: library" in chart.files.get(CHART, b"")


def merged(base: Any, over: Any) -> Any:
    """Values over values; null takes a value away (Helm, Deleting a default key)."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    both = {key: merged(base[key], over[key]) if key in base else over[key] for key in over}
    return {key: value for key, value in {**base, **both}.items() if value is not None}


def _read_by(templates: Iterable[str], path: Path) -> Reads:
    names = [part for part in path if isinstance(part, str)]
    if len(names) != len(path):
        return Reads.MAYBE
    whole = r"\.Values\." + r"\.".join(map(re.escape, names)) + r"(?![\w-])"
    prefixes = [
        r"\.Values" + "".join(rf"\.{re.escape(name)}" for name in names[:end]) + r"(?![\w.-])"
        for end in range(len(names))
    ]
    found = Reads.NO
    for text in templates:
        if re.search(whole, text):
            return Reads.YES
        if "tpl" in text or any(re.search(prefix, text) for prefix in prefixes):  # values may be templates
            found = Reads.MAYBE
    return found


def read_chart(files: Files, folder: str) -> Chart | None:
    """The chart in a folder with what it depends on, as far as that is in the repository.

    Returns:
        None if there is no chart.
    """
    if files(posixpath.join(folder, CHART)) is None:
        return None
    start = f"{folder}/" if folder else ""
    content = {path.removeprefix(start): data for path, data in files.below(folder).items()}
    return _chart(files, folder, content, 0)


def _chart(files: Files, folder: str, content: Mapping[str, bytes], depth: int) -> Chart:
    whole = {**content, **_unpacked(content)}
    declared = _document(whole.get(CHART, b""), posixpath.join(folder, CHART))
    parts: dict[str, Chart] = {}
    absent: list[str] = []
    said = declared.get("dependencies") if isinstance(declared, dict) else None
    listed = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    for one in listed if depth <= _DEEPEST else ():
        name = str(one.get("name", ""))
        inside = _below(whole, f"charts/{name}/") or _beside(files, folder, str(one.get("repository", "")))
        if inside:
            parts[str(one.get("alias") or name)] = _chart(files, f"{folder}/charts/{name}", inside, depth + 1)
            whole |= {f"charts/{name}/{path}": data for path, data in inside.items()}
        else:
            absent.append(f"the chart '{name}', which {folder or '.'} depends on, is not in this repository")
    for name in _vendored(whole):
        if name not in {str(one.get("name")) for one in listed}:
            parts.setdefault(
                name, _chart(files, f"{folder}/charts/{name}", _below(whole, f"charts/{name}/"), depth + 1)
            )
    templates = [
        data.decode("utf-8", "replace") for path, data in whole.items() if path.startswith("templates/")
    ]
    absent += [reason for part in parts.values() for reason in part.absent]
    values = _document(whole.get("values.yaml", b""), posixpath.join(folder, "values.yaml"))
    return Chart(folder, whole, templates, values if isinstance(values, dict) else {}, parts, tuple(absent))


def _document(content: bytes, file: str) -> Any:
    try:
        documents = read_documents(content.decode("utf-8", "replace"), file)
    except EditRefused:
        return {}
    return documents[0] if documents else {}


def _below(content: Mapping[str, bytes], start: str) -> dict[str, bytes]:
    return {path.removeprefix(start): data for path, data in content.items() if path.startswith(start)}


def _vendored(content: Mapping[str, bytes]) -> Iterator[str]:
    found = (re.fullmatch(r"charts/([^/]+)/Chart\.yaml", path) for path in content)
    yield from (one[1] for one in found if one)


def _beside(files: Files, folder: str, repository: str) -> dict[str, bytes]:
    """A chart of the same repository that another one depends on: ``file://../common``."""
    if not repository.startswith("file://"):
        return {}
    path = posixpath.normpath(posixpath.join(folder, repository.removeprefix("file://")))
    if path.startswith(("..", "/")) or files(posixpath.join(path, CHART)) is None:
        return {}
    return {name.removeprefix(f"{path}/"): data for name, data in files.below(path).items()}


def _unpacked(content: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files of the packed charts in ``charts/``, as if they lay there unpacked."""
    found: dict[str, bytes] = {}
    for path, data in content.items():
        if not re.fullmatch(r"charts/[^/]+\.tgz", path):
            continue
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as packed:
                for member in packed.getmembers():
                    held = packed.extractfile(member) if member.isfile() else None
                    if held is not None and ".." not in member.name.split("/"):
                        found[f"charts/{member.name}"] = held.read()
        except (tarfile.TarError, OSError, EOFError):
            continue
    return found


@dataclass(frozen=True, slots=True)
class Unit:
    """What is rendered together.

    Arguments:
        kind: by what; `plain` for a file that is applied as it is, `none` for one that nothing here renders.
        folder: of the chart or the kustomization; the file for the others.
        values: values files that a chart is rendered with, in their order.
        inside: for values in an object: its file, the number of its document, and where they begin in it.
        chart: the chart.
        kustomization: the kustomization.
        files_named: whether the target names the values files.
        why: why nothing here renders it.
    """

    kind: Literal["helm", "kustomize", "plain", "none"]
    folder: str
    values: tuple[str, ...] = ()
    inside: tuple[str, int, Path] | None = None
    chart: Chart | None = None
    kustomization: Kustomization | None = None
    files_named: bool = False
    why: str = ""

    @property
    def key(self) -> Hashable:
        """The same for two units that render the same."""
        return self.kind, self.folder, self.values, self.inside

    @property
    def name(self) -> str:
        """For people."""
        return self.folder or "."

    def content(self, files: Files) -> dict[str, bytes]:
        """Path → content of everything that takes part in rendering it.

        Raises: EditRefused if a values file is not there.
        """
        if self.chart is None:
            built = self.kustomization or Kustomization(self.folder)
            return {**built.charts, **{path: text.encode() for path, text in built.files.items()}}
        start = f"{self.folder}/" if self.folder else ""
        content = {f"{start}{path}": data for path, data in self.chart.files.items()}
        for path in self.values:
            text = files(path)
            if text is None:
                raise EditRefused(
                    f"expected the values file {path}, it is not there",
                    place=Place(path),
                    fix="correct 'values' of the target",
                )
            content[path] = self._values_in(path, text).encode()
        return content

    def values_of(self, files: Files, path: str) -> Any:
        """What a values file says; None if nothing."""
        documents = read_documents(self._values_in(path, files(path) or ""), path)
        return documents[0] if documents else None

    def handed(self, files: Files) -> Handed:
        """What the object hands to Helm that holds the values; nothing without one."""
        if self.inside is None or self.chart is None:
            return Handed({})
        return self._handed_in(files(self.inside[0]) or "", *self.inside)

    def _handed_in(self, text: str, path: str, number: int, root: Path) -> Handed:
        document = read_documents(text, path)[number]
        return handed_to_helm(document, root, files_named=self.files_named)

    def _values_in(self, path: str, text: str) -> str:
        """A values file; of an object that holds values, these alone."""
        if self.inside is None or self.inside[0] != path:
            return text
        return json.dumps(self._handed_in(text, *self.inside).values)


def find_unit(files: Files, target: Target, path: str, root: str) -> Unit:
    """What renders a target's file.

    Arguments:
        files: of the repository.
        target: says so, where it is not to be seen.
        path: of the target's file.
        root: folder of the application; nothing above it is looked at. Empty for the whole repository.

    Raises:
        UsageError: `source` names neither a chart nor a kustomization.
    """
    values = tuple(posixpath.join(root, one) for one in target.values)
    inside = _inside(files, target, path)
    if target.source is not None:
        folder = posixpath.normpath(posixpath.join(root, target.source))
        return _source(files, target, path, folder, inside=inside, values=values)
    charts = inside is not None and inside[2][:1] == ("helmCharts",)
    if inside is not None and not charts:
        document = read_documents(files(path) or "", path)[inside[1]]
        named = chart_of(document, inside[2]) or "its chart"
        return Unit("none", path, why=f"{named} is in no folder that 'source' of the target names")
    for folder in _upwards(posixpath.dirname(path), root):
        if target.kind == "kustomize" and folder != posixpath.dirname(path):
            break
        chart = read_chart(files, folder) if target.kind != "kustomize" and not charts else None
        if chart is not None and _is_part(target, path, folder):
            return Unit("helm", folder, _values(target, path, folder, values), chart=chart)
        built = read_kustomization(files, folder)
        if built is not None and path in built.files:
            if built.is_component:
                return Unit("none", path, why=_COMPONENT)
            return Unit("kustomize", folder, kustomization=built)
    if target.kind in {"helm", "kustomize"} or not _is_manifest(files, path):
        return Unit("none", path, why=_NOWHERE)
    return Unit("plain", path)


_COMPONENT = "a component is built by the overlays that name it: name one as 'source' of the target"
_NOWHERE = "no chart or kustomization in its folder or above takes it in, and the target names no 'source'"


def _source(
    files: Files,
    target: Target,
    path: str,
    folder: str,
    *,
    inside: tuple[str, int, Path] | None,
    values: tuple[str, ...],
) -> Unit:
    folder = "" if folder == "." else folder
    chart = read_chart(files, folder)
    if chart is not None:
        named = values if inside is None or not values or path in values else (*values, path)
        read = _values(target, path, folder, named)
        return Unit("helm", folder, read, inside, chart=chart, files_named=bool(values))
    number, at = place_of_images(files, path) if target.kind == "kustomize" else (0, ())
    built = read_kustomization(with_images_of(files, path, number, at, folder) if at else files, folder)
    if built is None:
        raise UsageError(
            f"expected a chart or a kustomization in {folder or '.'}, found neither",
            fix="correct 'source' of the target",
        )
    return Unit("kustomize", folder, inside=(path, number, at) if at else None, kustomization=built)


def _inside(files: Files, target: Target, path: str) -> tuple[str, int, Path] | None:
    """Where an object of the file holds the values that a target writes; None for a values file."""
    text = files(path)
    if not text or target.kind not in {"helm", "yaml", "marker"}:
        return None
    if target.kind == "helm":
        number, root = values_place(text, target, path)
        return (path, number, root) if root else None
    try:
        documents = list(read_documents(text, path)) if target.source else []
    except EditRefused:  # a template, whose values are marked
        return None
    at = parse_path(target.path) if target.path else ()
    found = [(number, root) for number, one in enumerate(documents) for root in roots_in(one)]
    near = [(number, root) for number, root in found if at[: len(root) - 1] == root[:-1]] or found
    return (path, *near[0]) if len(near) == 1 and target.document in {None, near[0][0]} else None


def _values(target: Target, path: str, folder: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """The chart's own values always count; another file does where the engine is told of it."""
    if values or target.kind not in {"helm", "yaml", "marker"}:
        return values
    inside = path.removeprefix(f"{folder}/") if folder else path
    own = inside in {"values.yaml", CHART} or inside.startswith(("templates/", "charts/"))
    return () if own else (path,)


def _is_part(target: Target, path: str, folder: str) -> bool:
    """Whether a file below a chart is read as its values, or is one of its templates."""
    inside = path.removeprefix(f"{folder}/") if folder else path
    if target.kind == "helm" or inside == CHART or inside.startswith(("templates/", "charts/")):
        return True
    return posixpath.basename(path).startswith("values") and inside.endswith((".yaml", ".yml"))


def _upwards(folder: str, root: str) -> Iterator[str]:
    while True:
        yield folder
        if folder in {root.strip("/"), ""}:
            return
        folder = posixpath.dirname(folder)


def _is_manifest(files: Files, path: str) -> bool:
    text = files(path)
    try:
        documents: list[Any] = list(read_documents(text or "", path))
    except EditRefused:
        return False
    objects = [one for one in documents if one is not None]
    return bool(objects) and all(
        isinstance(one, dict) and {"apiVersion", "kind"} <= one.keys() for one in objects
    )
