"""Objects of Flux, Argo CD and others that say how a chart is rendered: values, and what counts over them.

Sources: Flux, "Helm Releases" (values, values references, post renderers); Argo CD, "Helm" (values files,
values, parameters, and their order).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import EditRefused, Place
from pipegraft.iac.targets.helm import NAMES
from pipegraft.text.yaml import Path, format_path, read_documents

__all__ = [
    "Handed",
    "chart_of",
    "handed_to_helm",
    "refuse_outside_values",
    "roots_in",
    "value_at",
    "values_root",
]

_ROOTS: tuple[tuple[str | None, ...], ...] = (
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


def values_root(document: Any, path: Path) -> Path:
    """Where in a document the values of a chart begin: at its root, but for objects that hold them."""
    for root in _ROOTS if _holds_values(document) else ():
        head = path[: len(root)]
        if len(head) == len(root) and all(
            want is None or want == part for want, part in zip(root, head, strict=True)
        ):
            return head
    return ()


def _holds_values(document: Any) -> bool:
    return isinstance(document, dict) and (_kind(document) in _OBJECTS or "helmCharts" in document)


def _kind(document: Any) -> str:
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
    said = {str(one.get("name")) for one in _parameters(value_at(document, root[:-1]) if root else None)}
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


def value_at(data: Any, path: Path) -> Any:
    """What stands at a path of plain data; None if nothing."""
    for part in path:
        if isinstance(data, dict) and isinstance(part, str):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data


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


def roots_in(document: Any) -> Iterator[Path]:
    """Where an object of Flux or Argo CD holds values for a chart."""
    kind = _kind(document)
    if kind == "HelmRelease":
        yield ("spec", "values")
    by_argo = [root for root in _ROOTS if root[-2] == "helm"]
    for root in by_argo if kind in {"Application", "ApplicationSet"} else ():
        sources = value_at(document, ("spec", "sources"))
        several = range(len(sources)) if isinstance(sources, list) else ()
        for index in several if None in root else (0,):
            path = tuple(index if part is None else part for part in root)
            helm = value_at(document, path[:-1])
            counts = "valuesObject" if isinstance(helm, dict) and helm.get("valuesObject") else "values"
            if isinstance(helm, dict) and path[-1] == counts:
                yield path


def handed_to_helm(document: Any, root: Path, *, files_named: bool) -> Handed:
    """What counts of an object that holds values for a chart.

    Arguments:
        root: where the values stand.
        files_named: whether the target names the values files that the object does.

    Raises:
        EditRefused: the values are not YAML.
    """
    kind, spec = _kind(document), value_at(document, ("spec",))
    if kind == "HelmRelease":
        return _by_flux(spec if isinstance(spec, dict) else {})
    if root[-2:-1] == ("helm",):
        helm = value_at(document, root[:-1])
        held = helm if isinstance(helm, dict) else {}
        return _by_argo(held, is_template=kind == "ApplicationSet", files_named=files_named)
    return Handed(_plain(value_at(document, root)))


def _plain(held: Any) -> Any:
    """Values that may stand there as a text."""
    documents = read_documents(held) if isinstance(held, str) else [held]
    return documents[0] if documents and documents[0] is not None else {}


def _by_flux(spec: Mapping[str, Any]) -> Handed:
    """A HelmRelease: its values count over ``valuesFrom``, its ``postRenderers`` over the chart."""
    unknown: list[str] = []
    named = [str(one.get("name")) for one in _listed(spec, "valuesFrom") if isinstance(one, dict)]
    if named:
        unknown.append(f"'valuesFrom' takes values from {', '.join(named)} in the cluster")
    if value_at(spec, ("chart", "spec", "valuesFiles")):
        unknown.append("'valuesFiles' names what counts in place of the chart's own values")
    images: list[Any] = []
    for one in _listed(spec, "postRenderers"):
        by = one.get("kustomize") if isinstance(one, dict) else None
        images += _listed(by, "images")
        if isinstance(by, dict) and "image" in str({key: by[key] for key in by if key.startswith("patches")}):
            unknown.append("a patch of 'postRenderers' may change images")
    return Handed(spec.get("values") or {}, images, tuple(unknown))


_PARAMETER = re.compile(r"[^.\[\]\\,={}]+(\.[^.\[\]\\,={}]+)*")


def _by_argo(helm: Mapping[str, Any], *, is_template: bool, files_named: bool) -> Handed:
    """A source of Argo CD: parameters count over ``valuesObject``, and that in place of ``values``."""
    values = helm.get("valuesObject") or _plain(helm.get("values"))
    unknown: list[str] = []
    for one in _parameters(helm):
        name = str(one.get("name", ""))
        if _PARAMETER.fullmatch(name):
            values = _with(values, name.split("."), str(one.get("value", "")))
        else:
            unknown.append(f"the parameter '{name}' may change values")
    if helm.get("fileParameters"):
        unknown.append("'fileParameters' take values from files")
    if helm.get("valueFiles") and not files_named:
        unknown.append("it names 'valueFiles', and 'values' of the target does not")
    if is_template and "{{" in str(values):
        unknown.append("generators fill in its template")
    return Handed(values, (), tuple(unknown))


def _parameters(helm: Any) -> list[Mapping[str, Any]]:
    return [one for one in _listed(helm, "parameters") if isinstance(one, dict)]


def _listed(data: Any, key: str) -> list[Any]:
    held = data.get(key) if isinstance(data, dict) else None
    return held if isinstance(held, list) else []


def _with(values: Any, path: Sequence[str], value: str) -> Any:
    held = values if isinstance(values, dict) else {}
    head, *rest = path
    return {**held, head: _with(held.get(head), rest, value) if rest else value}


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
