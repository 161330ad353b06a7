"""What an engine renders a target's file with: a chart, a kustomization, or nothing but itself."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, UsageError
from pipegraft.iac.effect.chart import Chart, read_chart
from pipegraft.iac.effect.kustomization import NAMES, Kustomization, read_kustomization
from pipegraft.iac.files import Files
from pipegraft.text.yaml import read_documents

__all__ = ["Unit", "find_unit"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What is rendered together.

    Arguments:
        kind: by what; `plain` for a file that is applied as it is, `none` for one that nothing here renders.
        folder: of the chart or the kustomization; the file for the others.
        values: values files that a chart is rendered with, in their order.
        chart: the chart.
        kustomization: the kustomization.
    """

    kind: Literal["helm", "kustomize", "plain", "none"]
    folder: str
    values: tuple[str, ...] = ()
    chart: Chart | None = None
    kustomization: Kustomization | None = None

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        """The same for two units that render the same."""
        return self.kind, self.folder, self.values

    @property
    def name(self) -> str:
        """For people."""
        return self.folder or "."


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
    if target.source is not None:
        return _source(files, target, path, posixpath.normpath(posixpath.join(root, target.source)), values)
    for folder in _upwards(posixpath.dirname(path), root):
        if target.kind == "kustomize" and folder != posixpath.dirname(path):
            break
        chart = read_chart(files, folder) if target.kind != "kustomize" else None
        if chart is not None and _is_part(target, path, folder):
            return Unit("helm", folder, _values(target, path, folder, values), chart=chart)
        built = read_kustomization(files, folder) if _has_kustomization(files, folder) else None
        if built is not None and path in built.files:
            return Unit("kustomize", folder, kustomization=built)
    if target.kind in {"helm", "kustomize"} or not _is_manifest(files, path):
        return Unit("none", path)
    return Unit("plain", path)


def _source(files: Files, target: Target, path: str, folder: str, values: tuple[str, ...]) -> Unit:
    folder = "" if folder == "." else folder
    chart = read_chart(files, folder)
    if chart is not None:
        return Unit("helm", folder, _values(target, path, folder, values), chart=chart)
    built = read_kustomization(files, folder)
    if built is None:
        raise UsageError(
            f"expected a chart or a kustomization in {folder or '.'}, found neither",
            fix="correct 'source' of the target",
        )
    return Unit("kustomize", folder, kustomization=built)


def _values(target: Target, path: str, folder: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """The chart's own values always count; another file does where the engine is told of it."""
    if values or target.kind not in {"helm", "yaml", "marker"}:
        return values
    inside = path.removeprefix(f"{folder}/") if folder else path
    return () if inside == "values.yaml" or inside.startswith(("templates/", "charts/")) else (path,)


def _is_part(target: Target, path: str, folder: str) -> bool:
    """Whether a file below a chart is read as its values, or is one of its templates."""
    inside = path.removeprefix(f"{folder}/") if folder else path
    if target.kind == "helm" or inside.startswith(("templates/", "charts/")):
        return True
    return posixpath.basename(path).startswith("values") and inside.endswith((".yaml", ".yml"))


def _upwards(folder: str, root: str) -> Iterator[str]:
    while True:
        yield folder
        if folder in {root.strip("/"), ""}:
            return
        folder = posixpath.dirname(folder)


def _has_kustomization(files: Files, folder: str) -> bool:
    return any(files(posixpath.join(folder, name)) is not None for name in NAMES)


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
