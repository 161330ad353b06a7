"""What an engine renders a target's file with: a chart, a kustomization, or nothing but itself."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.iac.ports import Files
from pipegraft.iac.targets.charts import (
    CHART,
    Chart,
    Handed,
    chart_of,
    handed_to_helm,
    merged,
    read_chart,
    roots_in,
)
from pipegraft.iac.targets.helm import kind_of
from pipegraft.iac.targets.kubernetes import is_manifest, rendered_by
from pipegraft.iac.targets.kustomization import (
    Kustomization,
    place_of_images,
    read_kustomization,
    with_images_of,
)
from pipegraft.iac.targets.writing import values_place
from pipegraft.text.yaml import Path, parse_path, read_documents, value_at

__all__ = ["Unit", "find_unit", "unit_again", "units_of_objects"]

_Inside = tuple[str, int, Path] | None
"""Where an object holds values: its file, the number of its document, and where they begin in it."""


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
    inside: _Inside = None
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
            content[path] = self._values_in(files, path, text).encode()
        return content

    def values_of(self, files: Files, path: str) -> Any:
        """What a values file says; None if nothing."""
        documents = read_documents(self._values_in(files, path, files(path) or ""), path)
        return documents[0] if documents else None

    def chart_with(self, path: str) -> tuple[Chart, Path]:
        """The chart, or the part of it, that a file lies in, and where the values of the whole hold its."""
        chart, at = self.chart, tuple[str, ...]()
        assert chart is not None  # noqa: S101 - the caller looked
        while True:
            inner = ((name, part) for name, part in chart.parts.items() if path.startswith(f"{part.folder}/"))
            name, part = next(inner, ("", None))
            if part is None:
                return chart, at
            chart, at = part, (*at, name)

    def handed(self, files: Files) -> Handed:
        """What the object hands to Helm that holds the values; nothing without one."""
        if self.inside is None or self.chart is None:
            return Handed({})
        path, number, root = self.inside
        whole = _whole(files, path, number)
        return handed_to_helm(whole, root, files_named=self.files_named)

    def inherited(self, files: Files) -> Any:
        """Values of the object that the one which holds the values patches; None without one."""
        base = _patched(files, *self.inside[:2]) if self.inside else None
        return None if self.inside is None or base is None else value_at(base, self.inside[2])

    def _values_in(self, files: Files, path: str, text: str) -> str:
        """A values file; of an object that holds values, these alone."""
        if self.inside is None or self.inside[0] != path:
            return text
        return json.dumps(self.handed(files).values)


def _whole(files: Files, path: str, number: int) -> Any:
    """An object of a file, over the one that it patches."""
    document, base = read_documents(files(path) or "", path)[number], _patched(files, path, number)
    return document if base is None else merged(base, document)


def _patched(files: Files, path: str, number: int) -> Any:
    """The object that one of a file patches, by the kustomization of its folder; None if it patches none."""
    document = read_documents(files(path) or "", path)[number]
    built = read_kustomization(files, posixpath.dirname(path)) if kind_of(document) else None
    if built is None or path not in built.files:
        return None
    who = (("kind",), ("metadata", "name"))
    alike = [one for one in built.documents if all(value_at(one, at) == value_at(document, at) for at in who)]
    return alike[0] if len(alike) == 1 and alike[0] != document else None


def find_unit(files: Files, target: Target, path: str, root: str) -> Unit:
    """What renders a target's file.

    Arguments:
        files: of the repository.
        target: says so, where it is not to be seen.
        path: of the target's file.
        root: folder of the application; nothing above it is looked at. Empty for the whole repository.

    Raises:
        UsageError: `source` names no chart, no kustomization and no object that says which.
    """
    values = tuple(posixpath.join(root, one) for one in target.values)
    inside = _inside(files, target, path)
    if target.source is not None:
        folder = posixpath.normpath(posixpath.join(root, target.source))
        if folder.endswith((".yaml", ".yml", ".json")):
            return _by_object(files, target, path, folder, inside)
        return _source(files, target, path, folder, inside=inside, values=values)
    charts = inside is not None and inside[2][:1] == ("helmCharts",)
    if inside is not None and not charts:
        document = read_documents(files(path) or "", path)[inside[1]]
        named = chart_of(document, inside[2]) or "its chart"
        return Unit("none", path, why=f"{named} is in no folder that 'source' of the target names")
    for folder in _upwards(posixpath.dirname(path), root):
        if target.kind == "kustomize" and folder != posixpath.dirname(path):
            break
        by_chart = target.kind != "kustomize" and not charts and not _is_part_of_another(files, folder)
        chart = read_chart(files, folder) if by_chart else None
        if chart is not None and _is_part(target, path, folder):
            return Unit("helm", folder, _values(target, path, folder, values), chart=chart)
        built = read_kustomization(files, folder)
        if built is not None and path in built.files:
            if built.is_component:
                return Unit("none", path, why=_COMPONENT)
            return Unit("kustomize", folder, kustomization=built)
    if target.kind in {"helm", "kustomize"} or not is_manifest(files(path), path):
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
    inside: _Inside,
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


def _by_object(files: Files, target: Target, path: str, holder: str, inside: _Inside) -> Unit:
    """What an object of Flux or Argo CD renders, with all that it says, where `source` names its file."""
    around = read_kustomization(files, posixpath.dirname(holder))
    parts = around.files if around is not None and holder in around.files else {}
    own = _document_of(files, target, path, inside) if path == holder else None
    units = [unit for number, unit in _units_in(files, holder) if own in {None, number}]
    naming = [unit for unit in units if path in (*unit.values, *parts, *_built(unit), holder)]
    below = [unit for unit in units if unit.chart is not None and _below(path, unit.folder)]
    found = naming or below
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"expected one object of Flux or Argo CD that renders {path} from a folder of this repository, "
        f"found {len(found) or 'none'}",
        place=Place(holder),
        fix="name the object's file, or the folder of its chart or kustomization, as 'source' of the target"
        + (
            "; each object in a file of its own, and a target with 'document' for values in one"
            if found
            else ""
        ),
    )


_WAITED_FOR = ("application", "applications", "application-set", "kustomization", "kustomizations")
_OF_ENGINES = re.compile(rb"(argoproj\.io|toolkit\.fluxcd\.io)/")


def units_of_objects(
    files: Files, at: tuple[str, str], repository: str, gate: Mapping[str, Any]
) -> list[Unit]:
    """What objects of Flux and Argo CD, wherever they lie in the repository, render with a file.

    Arguments:
        files: of the whole repository; all of them are read.
        at: the folder that it is rendered with, and its path.
        repository: its URL; what Argo CD takes from a repository of another name is not ours.
        gate: options of the engine; of the objects that they name, if any is there, no other one counts.
    """
    held = [gate.get(key) for key in _WAITED_FOR]
    names = {one for said in held for one in ([said] if isinstance(said, str) else said or ())}
    found: list[tuple[str, Unit]] = []
    for holder, data in sorted(files.below("").items()):
        if not holder.endswith((".yaml", ".yml", ".json")) or not _OF_ENGINES.search(data):
            continue
        try:
            inside = [(number, unit) for number, unit in _units_in(files, holder, at) if _reads(unit, at[1])]
        except UsageError:  # a template
            continue
        for number, unit in inside:
            document = _whole(files, holder, number)
            if _is_from(document, unit, repository):
                found.append((str(value_at(document, ("metadata", "name"))), unit))
    return [unit for name, unit in found if name in names] or [unit for _, unit in found]


def _reads(unit: Unit, path: str) -> bool:
    """Whether a file takes part in what is rendered."""
    by_chart = unit.chart is not None and _below(path, unit.folder) and _is_own(path, unit.folder)
    return by_chart or path in (*unit.values, *_built(unit))


def _is_from(document: Any, unit: Unit, repository: str) -> bool:
    """Whether an object takes what it renders from this repository, as far as names tell."""
    url = value_at(document, (*unit.inside[2][:-2], "repoURL")) if unit.inside else None
    named, ours = (re.sub(r"(\.git)?/*$", "", str(one)).rpartition("/")[2] for one in (url, repository))
    return not url or "{{" in str(url) or named == ours


def unit_again(files: Files, unit: Unit) -> Unit:
    """The unit of an object, as other files have it."""
    holder = unit.inside[0] if unit.inside else ""
    meant = (unit.folder, *unit.values)
    return next((one for _, one in _units_in(files, holder, meant) if one.inside == unit.inside), unit)


_LENIENT = ("ignoreMissingValueFiles",), ("chart", "spec", "ignoreMissingValuesFiles")


def _units_in(files: Files, holder: str, meant: Sequence[str] = ()) -> Iterator[tuple[int, Unit]]:
    """Numbers of the documents that are objects of Flux or Argo CD, and what each renders that is here."""
    for number in range(len(read_documents(files(holder) or "", holder))):
        document = _whole(files, holder, number)
        for at, folder, named in rendered_by(document, meant):
            lenient = any(value_at(document, (*at[:-1], *one)) is True for one in _LENIENT)
            read = tuple(one for one in named if not lenient or files(one) is not None)
            unit = _rendered_as(files, (holder, number, at), folder, read)
            if unit is not None:
                yield number, unit


def _rendered_as(
    files: Files, inside: tuple[str, int, Path], folder: str, named: tuple[str, ...]
) -> Unit | None:
    """What an object renders a folder as; None if there is no chart and no kustomization."""
    holder, number, at = inside
    chart = read_chart(files, folder) if at[-1] != "images" else None
    if chart is not None:
        values = tuple(dict.fromkeys((*named, holder)))
        return Unit("helm", folder, values, inside, chart=chart, files_named=True)
    place = at if at[-1] == "images" else (*at[:-2], "kustomize", "images")
    built = read_kustomization(with_images_of(files, holder, number, place, folder), folder)
    if built is None:
        return None
    return Unit("kustomize", folder, inside=(holder, number, place), kustomization=built)


def _built(unit: Unit) -> Iterable[str]:
    return unit.kustomization.files if unit.kustomization else ()


def _document_of(files: Files, target: Target, path: str, inside: _Inside) -> int | None:
    """Number of the object's document that a target writes; None if it does not say so."""
    if target.document is not None or target.kind == "kustomize":
        return place_of_images(files, path)[0] if target.document is None else target.document
    return inside[1] if inside else None


def _below(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _inside(files: Files, target: Target, path: str) -> _Inside:
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
    return () if _is_own(path, folder) else (path,)


def _is_own(path: str, folder: str) -> bool:
    """Whether a file of a chart counts by itself."""
    inside = path.removeprefix(f"{folder}/") if folder else path
    return inside in {"values.yaml", CHART} or inside.startswith(("templates/", "charts/"))


def _is_part(target: Target, path: str, folder: str) -> bool:
    """Whether a file below a chart is read as its values, or is one of its templates."""
    values = posixpath.basename(path).startswith("values") and path.endswith((".yaml", ".yml"))
    return values or target.kind == "helm" or _is_own(path, folder)


def _is_part_of_another(files: Files, folder: str) -> bool:
    """Whether a chart lies in the ``charts/`` of another one, which renders it with values of its own."""
    home = posixpath.dirname(folder)
    above = posixpath.join(posixpath.dirname(home), CHART)
    return posixpath.basename(home) == "charts" and files(above) is not None


def _upwards(folder: str, root: str) -> Iterator[str]:
    while True:
        yield folder
        if folder in {root.strip("/"), ""}:
            return
        folder = posixpath.dirname(folder)
