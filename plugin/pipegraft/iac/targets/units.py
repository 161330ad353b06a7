"""What an engine renders a target's file with: a chart, a kustomization, or nothing but itself."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.iac.ports import Files
from pipegraft.iac.targets.charts import (
    CHART,
    Chart,
    Handed,
    chart_of,
    doubt_of_source,
    handed_to_helm,
    read_chart,
    roots_in,
)
from pipegraft.iac.targets.kubernetes import is_manifest, rendered_by
from pipegraft.iac.targets.kustomization import (
    Kustomization,
    may_be_read,
    parsed,
    patched_by,
    place_of_images,
    read_kustomization,
    whole_object,
    with_images_of,
)
from pipegraft.iac.targets.writing import values_place
from pipegraft.text.yaml import Path, parse_path, read_documents, value_at

__all__ = ["EngineObjects", "Unit", "find_unit", "unit_again"]

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
        whole = whole_object(files, path, number)
        return handed_to_helm(whole, root, files_named=self.files_named)

    def inherited(self, files: Files) -> Any:
        """Values of the object that the one which holds the values patches; None without one."""
        base = patched_by(files, *self.inside[:2]) if self.inside else None
        return None if self.inside is None or base is None else value_at(base, self.inside[2])

    def _values_in(self, files: Files, path: str, text: str) -> str:
        """A values file; of an object that holds values, these alone."""
        if self.inside is None or self.inside[0] != path:
            return text
        return json.dumps(self.handed(files).values)


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
    files: Files, target: Target, path: str, folder: str, *, inside: _Inside, values: tuple[str, ...]
) -> Unit:
    folder = "" if folder == "." else folder
    chart = read_chart(files, folder)
    if chart is not None:
        named = values if inside is None or not values or path in values else (*values, path)
        read = _values(target, path, folder, named)
        return Unit("helm", folder, read, inside, chart=chart, files_named=bool(values))
    number, at = place_of_images(files, path) if target.kind == "kustomize" else (0, ())
    adding = with_images_of(files, parsed(files(path) or "", path)[number], at, folder) if at else files
    built = read_kustomization(adding, folder)
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
    numbers = range(len(parsed(files(holder) or "", holder)))
    objects = [(number, whole_object(files, holder, number)) for number in numbers if own in {None, number}]
    units = [unit for number, one in objects for unit in _units_of(files, (holder, number), one)]
    naming = [unit for unit in units if path in (*unit.values, *parts, *_built(unit), holder)]
    below = [unit for unit in units if unit.chart is not None and _below(path, unit.folder)]
    found = naming or below
    if len(found) == 1:
        return found[0]
    own_files = "; each object in a file of its own, and a target with 'document' for values in one"
    more = own_files if found else ""
    raise UsageError(
        f"expected one object of Flux or Argo CD that renders {path} from a folder of this repository, "
        f"found {len(found) or 'none'}",
        place=Place(holder),
        fix=f"name its file, or the folder of its chart or kustomization, as 'source' of the target{more}",
    )


_WAITED_FOR = ("application", "applications", "application-set", "kustomization", "kustomizations")
_OF_ENGINES = ("argoproj.io/", "toolkit.fluxcd.io/")


class EngineObjects:
    """Objects of Flux and Argo CD, wherever they lie in the repository; each file is read and parsed once.

    Arguments:
        files: of the whole repository.
        repository: its URL; what is taken from a repository of another name is not ours.
        gate: options of the engine; of the objects that they name, if any is there, no other one counts.
    """

    def __init__(self, files: Files, repository: str, gate: Mapping[str, Any]) -> None:
        self._files, self._repository = files, repository
        held = [gate.get(key) for key in _WAITED_FOR]
        self._names = {one for said in held for one in ([said] if isinstance(said, str) else said or ())}
        self._objects: list[tuple[str, int, Any]] = []
        self._unread: dict[str, str] = {}
        self._built, texts = cache(partial(read_kustomization, files)), files.holding(_OF_ENGINES)
        self.looked_for = texts is not None
        for holder, data in sorted((texts or {}).items()):
            text = data.decode("utf-8", "replace")
            template = ": {{" in text  # which YAML takes for a mapping
            try:
                for number in range(len(parsed(text, holder))):
                    self._objects.append((holder, number, whole_object(files, holder, number, self._built)))
            except UsageError:
                template = True
            self._unread |= {holder: text} if template else {}

    def rendering(self, at: tuple[str, str]) -> list[tuple[Unit, str]]:
        """What they render with a file, and why it is not known whether that is ours; empty if it is.

        Arguments:
            at: the folder that the file is rendered with, and its path.

        Raises:
            EditRefused: a file of such objects cannot be read, and it names the folder.
        """
        found: list[tuple[str, Unit, str]] = []
        files = self._files
        unread = [one for one, text in self._unread.items() if may_be_read(files, text, at)]
        others = [one for *_, one in self._objects]
        for holder, number, document in self._objects:
            try:
                concerns = at[1] == holder or self._concerns(document, at)
                units = list(_units_of(files, (holder, number), document, at)) if concerns else []
            except UsageError:
                unread += [holder] if may_be_read(files, json.dumps(document, indent=1), at) else []
                continue
            name = str(value_at(document, ("metadata", "name")))
            for unit in (unit for unit in units if _reads(unit, at[1])):
                doubt = doubt_of_source(document, unit.inside, others, self._repository)
                found += [] if doubt is None else [(name, unit, doubt)]
        waited_for = [(unit, doubt) for name, unit, doubt in found if name in self._names]
        if unread and not waited_for:
            raise EditRefused(
                f"{unread[0]} names {at[1]} or its folder and cannot be read: its effect is not proven",
                place=Place(unread[0]),
                fix="name the object that deploys here in 'gate', or as 'source' of the target",
            )
        return waited_for or [(unit, doubt) for _, unit, doubt in found]

    def _concerns(self, document: Any, at: tuple[str, str]) -> bool:
        """Whether an object may render a file; what it adds is followed for those alone."""
        for place, folder, named in rendered_by(document, at):
            built, by_flux = self._built(folder), place[-1] == "images"
            own = ("spec",) if by_flux else (*place[:-2], "kustomize")
            adds = any(value_at(document, (*own, key)) for key in ("components", "patches"))
            reached = by_flux if built is None else at[1] in built.files
            if adds or reached or at[1] in named or _below(at[1], folder):
                return True
        return False


def _reads(unit: Unit, path: str) -> bool:
    """Whether a file takes part in what is rendered."""
    by_chart = unit.chart is not None and _below(path, unit.folder) and _is_own(path, unit.folder)
    return by_chart or path in (*unit.values, *_built(unit))


def unit_again(files: Files, unit: Unit) -> Unit:
    """The unit of an object, as other files have it."""
    holder, number, _ = unit.inside or ("", 0, ())
    document = whole_object(files, holder, number)
    again = _units_of(files, (holder, number), document, (unit.folder, *unit.values))
    return next((one for one in again if one.inside == unit.inside), unit)


_LENIENT = ("ignoreMissingValueFiles",), ("chart", "spec", "ignoreMissingValuesFiles")


def _units_of(
    files: Files, where: tuple[str, int], document: Any, meant: Sequence[str] = ()
) -> Iterator[Unit]:
    """What one object renders that is here."""
    for at, folder, named in rendered_by(document, meant):
        lenient = any(value_at(document, (*at[:-1], *one)) is True for one in _LENIENT)
        read = tuple(one for one in named if not lenient or files(one) is not None)
        chart = read_chart(files, folder) if at[-1] != "images" else None
        if chart is not None:
            values = tuple(dict.fromkeys((*read, where[0])))
            yield Unit("helm", folder, values, (*where, at), chart=chart, files_named=True)
            continue
        place = at if at[-1] == "images" else (*at[:-2], "kustomize", "images")
        built = read_kustomization(with_images_of(files, document, place, folder), folder)
        if built is not None:
            yield Unit("kustomize", folder, inside=(*where, place), kustomization=built)


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
