"""What is on record about an instance, so that the next engine finds it again."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import OutsideError
from pipegraft.engine.adapters.runtime.supervision import ProcessId
from pipegraft.engine.ports import HealthProbe, Phase

__all__ = ["ContainerRecord", "InstanceRecord", "Records"]

_FILE = "instance.json"


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """One process of an instance."""

    name: str
    process: ProcessId
    readiness: HealthProbe | None = None
    liveness: HealthProbe | None = None
    startup: HealthProbe | None = None


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """An instance on disk.

    Arguments:
        images: references that its files come from.
        ports: declared port → the one it listens on.
        stopping: when it was told to stop.
        terminated: when it got SIGTERM.
    """

    id: str
    application: str
    workload: str
    template: str
    images: tuple[str, ...]
    grace: float
    ports: dict[int, int]
    containers: tuple[ContainerRecord, ...]
    started: float
    phase: Phase = Phase.STARTING
    since: float = 0.0
    drain: float = 0.0
    stopping: float | None = None
    terminated: float | None = None


class Records:
    """A folder of instances, one folder each: its record and its logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def folder(self, instance: str) -> Path:
        """Where the instance's files are; made if absent."""
        folder = self._folder / instance
        folder.mkdir(exist_ok=True)
        return folder

    def load(self) -> Iterator[InstanceRecord]:
        """Every instance on record. A folder without a record is left over from a start that never was."""
        for folder in sorted(self._folder.iterdir()):
            try:
                yield _parse(json.loads((folder / _FILE).read_text("utf-8")))
            except FileNotFoundError:
                shutil.rmtree(folder, ignore_errors=True)
            except (ValueError, KeyError, TypeError) as error:
                raise OutsideError(
                    f"expected the record of an instance in {folder / _FILE}: {error!r}",
                    fix=f"end the processes that have PIPEGRAFT_INSTANCE={folder.name}, then remove it",
                ) from error

    def save(self, record: InstanceRecord) -> None:
        """Put it on record, whole or not at all."""
        content = json.dumps(dataclasses.asdict(record), indent=1)
        write_atomically(self.folder(record.id) / _FILE, content.encode())

    def remove(self, instance: str) -> None:
        """Forget an instance; the record goes first."""
        (self._folder / instance / _FILE).unlink(missing_ok=True)
        shutil.rmtree(self._folder / instance, ignore_errors=True)


def _parse(data: dict[str, Any]) -> InstanceRecord:
    containers = tuple(
        ContainerRecord(
            entry["name"],
            ProcessId(**entry["process"]),
            HealthProbe(**entry["readiness"]) if entry["readiness"] else None,
            HealthProbe(**entry["liveness"]) if entry["liveness"] else None,
            HealthProbe(**entry["startup"]) if entry.get("startup") else None,
        )
        for entry in data["containers"]
    )
    ports = {int(declared): actual for declared, actual in data["ports"].items()}
    values = {"containers": containers, "ports": ports, "images": tuple(data["images"])}
    return InstanceRecord(**{**data, **values, "phase": Phase(data["phase"])})
