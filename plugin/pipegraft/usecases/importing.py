"""Other tools' files into the first files of an IaC repository."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipegraft.adapters.files import write_together
from pipegraft.domain.configuration import parse_document
from pipegraft.domain.importing.kubernetes import import_kubernetes
from pipegraft.domain.importing.score import import_score
from pipegraft.domain.importing.taking import Imported, Taking
from pipegraft.domain.scaffold.survey import name_from
from pipegraft.errors import Place, UsageError
from pipegraft.model.appspec import App, AppEnvironment
from pipegraft.text.marked import load_marked
from pipegraft.usecases.project import read_text

__all__ = ["ImportResult", "kubernetes_files", "score_files"]


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What was written.

    Arguments:
        files: all of them.
        left: everything that is not carried over, one line each.
    """

    files: tuple[Path, ...]
    components: tuple[str, ...]
    left: tuple[str, ...]


def score_files(files: Sequence[Path], app: str | None, environment: str, folder: Path) -> ImportResult:
    """Import Score workloads, each of which becomes a workload of one application.

    Raises:
        ConfigError: a file is no Score workload.
        UsageError: a file is in the way; nothing was written.
    """
    contents = [(str(path), load_marked(read_text(path), str(path)).data) for path in files]
    name = Taking(contents[0][1], contents[0][0]).peek("metadata", "name")
    into = Imported(app or name_from(str(name or "")))
    for file, data in contents:
        import_score(data, file, into)
    return _write(into, environment, folder)


def kubernetes_files(source: Path, app: str | None, environment: str, folder: Path) -> ImportResult:
    """Import the Kubernetes objects of all YAML files of a folder, or of one file.

    Raises:
        UsageError: there is no workload in them, they are not YAML, or a file is in the way.
    """
    documents = list(_documents(source))
    into = Imported(app or _part_of(documents) or name_from(source.resolve().name))
    import_kubernetes(documents, into)
    if not into.components:
        raise UsageError(
            "expected a Deployment, Job or CronJob, found none",
            place=Place(str(source)),
            fix="name their folder",
        )
    return _write(into, environment, folder)


def _documents(source: Path) -> Iterator[tuple[str, Any]]:
    found = [path for pattern in ("*.yaml", "*.yml", "*.json") for path in source.rglob(pattern)]
    for path in sorted(found) if source.is_dir() else [source]:
        try:
            documents = list(yaml.load_all(read_text(path), Loader=yaml.CSafeLoader))
        except yaml.YAMLError as error:
            raise UsageError(f"expected YAML: {error}", place=Place(str(path))) from None
        for data in documents:
            listed = data.get("items") if isinstance(data, dict) and data.get("kind") == "List" else None
            for each in listed if isinstance(listed, list) else [data]:
                yield str(path), each


def _part_of(documents: Sequence[tuple[str, Any]]) -> str | None:
    for _, data in documents:
        if part := Taking(data, "").peek("metadata", "labels", "app.kubernetes.io/part-of"):
            return name_from(str(part))
    return None


def _write(into: Imported, environment: str, folder: Path) -> ImportResult:
    texts = {
        folder / "app.yaml": yaml.safe_dump(into.app_file(), sort_keys=False, allow_unicode=True, width=4096),
        folder / "environments" / f"{environment}.yaml": yaml.safe_dump(
            into.environment_file(), sort_keys=False, allow_unicode=True, width=4096
        ),
    }
    models: tuple[type[App | AppEnvironment], ...] = (App, AppEnvironment)
    for path, model in zip(texts, models, strict=True):
        if path.exists():
            raise UsageError(
                "it exists, and nothing is written over", place=Place(str(path)), fix="name another --output"
            )
        parse_document(texts[path], str(path), model)
    for path in texts:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_together({path: text.encode() for path, text in texts.items()})
    return ImportResult(tuple(texts), tuple(into.components), tuple(into.left))
