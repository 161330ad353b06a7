"""Charts as far as they are understood without Helm: defaults, what templates read, what is handed to them.

Sources: Flux, "Helm Releases" (values, values references, post renderers); Argo CD, "Helm" (values files,
values, parameters, and their order).
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pipegraft.core.errors import EditRefused
from pipegraft.iac.ports import Files
from pipegraft.iac.targets.helm import NAMES, ROOTS, kind_of, listed, parameters_of
from pipegraft.iac.targets.kubernetes import flux_path
from pipegraft.text.yaml import Path, read_documents, value_at

__all__ = [
    "CHART",
    "Chart",
    "Handed",
    "Reads",
    "chart_of",
    "doubt_of_source",
    "handed_to_helm",
    "merged",
    "read_chart",
    "roots_in",
]

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
        conditions: name in its values → paths in them; the first that is there says whether the part is on.
        absent: what it needs that is not in the repository.
    """

    folder: str
    files: Mapping[str, bytes] = field(repr=False)
    templates: Sequence[str] = field(default=(), repr=False)
    values: Any = field(default_factory=dict, repr=False)
    parts: Mapping[str, Chart] = field(default_factory=dict)
    conditions: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    def defaults(self) -> Any:
        """Its values over those of the charts it depends on, as Helm coalesces them."""
        below = {name: part.defaults() for name, part in self.parts.items()}
        return merged(below, self.values)

    def switch_of(self, path: Path, values: Any) -> Path | None:
        """What switches the part off that a path leads into; None if it is on, or in no part."""
        head, *rest = path if isinstance(path[0], str) else ("",)
        for one in self.conditions.get(str(head), ()):
            if isinstance(said := value_at(values, one), bool):
                if not said:
                    return one
                break
        part = self.parts.get(str(head))
        below = part.switch_of(tuple(rest), value_at(values, (head,))) if part is not None and rest else None
        return None if below is None else (head, *below)

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
    conditions: dict[str, tuple[Path, ...]] = {}
    absent: list[str] = []
    said = declared.get("dependencies") if isinstance(declared, dict) else None
    listed = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    for one in listed if depth <= _DEEPEST else ():
        name = str(one.get("name", ""))
        said = str(one.get("condition") or "").split(",")
        conditions[str(one.get("alias") or name)] = tuple(tuple(part.strip().split(".")) for part in said)
        inside = _below(whole, f"charts/{name}/") or _beside(files, folder, str(one.get("repository", "")))
        if inside:
            at = posixpath.join(folder, "charts", name)
            parts[str(one.get("alias") or name)] = _chart(files, at, inside, depth + 1)
            whole |= {f"charts/{name}/{path}": data for path, data in inside.items()}
        else:
            absent.append(f"the chart '{name}', which {folder or '.'} depends on, is not in this repository")
    for name in _vendored(whole):
        if name not in {str(one.get("name")) for one in listed}:
            at = posixpath.join(folder, "charts", name)
            parts.setdefault(name, _chart(files, at, _below(whole, f"charts/{name}/"), depth + 1))
    templates = [
        _without_comments(data.decode("utf-8", "replace"))
        for path, data in whole.items()
        if path.startswith("templates/") and not path.endswith("/NOTES.txt")  # which nobody applies
    ]
    absent += [reason for part in parts.values() for reason in part.absent]
    values = _document(whole.get("values.yaml", b""), posixpath.join(folder, "values.yaml"))
    held = values if isinstance(values, dict) else {}
    return Chart(folder, whole, templates, held, parts, conditions, tuple(absent))


_OF_TEMPLATES = re.compile(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
_COMMENT = re.compile(
    r"\s*#(?!.*\{\{.*\b(if|else|end|with|range|define|block|include|template|toYaml|tpl|nindent)\b)"
)
"""A comment of YAML, unless actions stand in it that may end its line."""
_BLOCK = re.compile(r"( *)([^\s#].*)?(?<!\S)(?:\S*:|-)\s+[|>][-+0-9]*\s*(#.*)?")
"""A line that begins a block scalar."""


def _without_comments(template: str) -> str:
    """What Helm renders of a template that can count; in a block scalar a # begins no comment."""
    kept: list[str] = []
    scalar: int | None = None
    for line in _OF_TEMPLATES.sub("", template).splitlines():
        text = line.lstrip(" ")
        deep = len(line) - len(text)
        if scalar is not None and text and not text.startswith("{{") and deep <= scalar:
            scalar = None
        if scalar is None and (begins := _BLOCK.fullmatch(line)):
            scalar = len(begins[1])
        if scalar is not None or not _COMMENT.match(line):
            kept.append(line)
    return "\n".join(kept)


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
class Handed:
    """What an object hands to Helm beside the chart.

    Arguments:
        values: all that it says of them, as they count together.
        images: entries of kustomize that change what Helm has rendered.
        unknown: why something else may be rendered.
    """

    values: Any
    images: Sequence[Any] = ()
    unknown: tuple[str, ...] = ()


def handed_to_helm(document: Any, root: Path, *, files_named: bool) -> Handed:
    """What counts of an object that holds values for a chart.

    Arguments:
        root: where the values stand.
        files_named: whether the target names the values files that the object does.

    Raises:
        EditRefused: the values are not YAML.
    """
    kind, spec = kind_of(document), value_at(document, ("spec",))
    if kind == "HelmRelease":
        return _by_flux(spec if isinstance(spec, dict) else {}, files_named=files_named)
    if root[-2:-1] == ("helm",):
        helm = value_at(document, root[:-1])
        handed = _by_argo(helm if isinstance(helm, dict) else {}, kind, files_named=files_named)
        if value_at(spec, ("templatePatch",)):
            return replace(handed, unknown=(*handed.unknown, "'templatePatch' may change it"))
        return handed
    return Handed(_plain(value_at(document, root)))


def _plain(held: Any) -> Any:
    """Values that may stand there as a text."""
    documents = read_documents(held) if isinstance(held, str) else [held]
    return documents[0] if documents and documents[0] is not None else {}


def _by_flux(spec: Mapping[str, Any], *, files_named: bool) -> Handed:
    """A HelmRelease: its values count over ``valuesFrom``, its ``postRenderers`` over the chart."""
    unknown: list[str] = []
    named = [str(one.get("name")) for one in listed(spec, "valuesFrom") if isinstance(one, dict)]
    if named:
        unknown.append(f"'valuesFrom' takes values from {', '.join(named)} in the cluster")
    chart = value_at(spec, ("chart", "spec"))
    packed = value_at(chart, ("sourceRef", "kind")) == "HelmRepository"  # its files lie in the chart
    own = posixpath.join("" if packed else flux_path(str(value_at(chart, ("chart",)))), "values.yaml")
    read = [flux_path(str(one)) for one in listed(chart, "valuesFiles")]
    if read and not (files_named and own in read):
        unknown.append("'valuesFiles' names what counts in place of the chart's own values")
    images: list[Any] = []
    for one in listed(spec, "postRenderers"):
        by = one.get("kustomize") if isinstance(one, dict) else None
        images += listed(by, "images")
        if isinstance(by, dict) and "image" in str({key: by[key] for key in by if key.startswith("patches")}):
            unknown.append("a patch of 'postRenderers' may change images")
    return Handed(spec.get("values") or {}, images, tuple(unknown))


_PARAMETER = re.compile(r"[^.\[\]\\,={}]+(\.[^.\[\]\\,={}]+)*")


def _by_argo(helm: Mapping[str, Any], kind: str, *, files_named: bool) -> Handed:
    """A source of Argo CD: parameters count over ``valuesObject``, and that in place of ``values``."""
    values = helm.get("valuesObject") or _plain(helm.get("values"))
    unknown: list[str] = []
    for one in parameters_of(helm):
        name = str(one.get("name", ""))
        if _PARAMETER.fullmatch(name):
            values = _with(values, name.split("."), str(one.get("value", "")))
        else:
            unknown.append(f"the parameter '{name}' may change values")
    if helm.get("fileParameters"):
        unknown.append("'fileParameters' take values from files")
    if helm.get("valueFiles") and not files_named:
        unknown.append("it names 'valueFiles', and 'values' of the target does not")
    if kind == "ApplicationSet" and "{{" in str(helm):
        unknown.append("generators fill in its template")
    return Handed(values, (), tuple(unknown))


def _with(values: Any, path: Sequence[str], value: str) -> Any:
    held = values if isinstance(values, dict) else {}
    head, *rest = path
    return {**held, head: _with(held.get(head), rest, value) if rest else value}


def roots_in(document: Any) -> Iterator[Path]:
    """Where an object of Flux or Argo CD holds values for a chart."""
    kind = kind_of(document)
    if kind == "HelmRelease":
        yield ("spec", "values")
    by_argo = [root for root in ROOTS if root[-2] == "helm"]
    for root in by_argo if kind in {"Application", "ApplicationSet"} else ():
        sources = value_at(document, ("spec", "sources"))
        several = range(len(sources)) if isinstance(sources, list) else ()
        for index in several if None in root else (0,):
            path = tuple(index if part is None else part for part in root)
            helm = value_at(document, path[:-1])
            counts = "valuesObject" if isinstance(helm, dict) and helm.get("valuesObject") else "values"
            if isinstance(helm, dict) and path[-1] == counts:
                yield path


def chart_of(document: Any, root: Path) -> str:
    """Where an object says that its chart is, for people; empty if it does not."""
    if root[:1] == ("helmCharts",) or not isinstance(document, dict):
        return ""
    chart = value_at(document, ("spec", "chart", "spec")) or value_at(document, ("spec", "chartRef"))
    if isinstance(chart, dict):
        source, name = chart.get("sourceRef"), chart.get("chart") or chart.get("name")
        of = source if isinstance(source, dict) else chart
        return f"the chart '{name}' of {of.get('kind')} {of.get('name')}"
    source = value_at(document, root[:-2]) if root[-2:-1] == ("helm",) else None
    if isinstance(source, dict):
        return f"the chart '{source.get('chart') or source.get('path')}' of {source.get('repoURL')}"
    return ""


def doubt_of_source(
    document: Any, inside: tuple[str, int, Path] | None, others: Sequence[Any], repository: str
) -> str | None:
    """Why it is not known whether an object takes from a repository what it renders.

    Returns:
        Empty if it does, as far as names tell; None if it does not.
    """
    kind, spec = kind_of(document), value_at(document, ("spec",))
    if kind not in {"HelmRelease", "Kustomization"}:
        url = str(value_at(document, (*inside[2][:-2], "repoURL")) or "") if inside else ""
        return "" if not url or "{{" in url or _named(url) == _named(repository) else None
    source = value_at(spec, ("sourceRef",)) or value_at(spec, ("chart", "spec", "sourceRef"))
    who = value_at(source, ("kind",)), value_at(source, ("name",))
    alike = [one for one in others if (kind_of(one), value_at(one, ("metadata", "name"))) == who]
    if source and not alike:
        return f"its source, the {who[0]} '{who[1]}', is not in this repository"
    ours = (_named(value_at(one, ("spec", "url"))) == _named(repository) for one in alike)
    return "" if not source or any(ours) else None


def _named(url: object) -> str:
    return re.sub(r"(\.git)?/*$", "", str(url)).rpartition("/")[2]
