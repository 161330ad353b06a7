"""Whether the delivery's registry answers, and lets images be read and pushed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.plugins import hookimpl
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.ports.registry import REGISTRY
from pipegraft.images.reference import LAYOUT, is_layout

__all__ = ["pipegraft_examinations"]


def _repositories(patient: Patient) -> Sequence[str]:
    """One image of each component: rights may differ by repository."""
    if is_layout(patient.delivery.registry):
        return ("",)
    return tuple(
        dict.fromkeys(patient.delivery.image_repository(name) for name in patient.delivery.components)
    )


def run(patient: Patient, repository: str) -> Iterator[Diagnosis]:
    """Read and push rights of one repository; an upload is opened and given up, nothing is stored."""
    address = patient.delivery.registry
    if is_layout(address):
        yield _folder(patient.root / address.removeprefix(LAYOUT), address)
        return
    registry = patient.open(REGISTRY)
    registry.find(repository, "pipegraft-doctor")
    yield Diagnosis(f"{address}/{repository}", Health.GOOD, "answers, and may be read")
    if isinstance(registry, HttpRegistry):
        registry.try_push(repository)
        yield Diagnosis(f"{address}/{repository}", Health.GOOD, "may be pushed to")


def _folder(path: Path, address: str) -> Diagnosis:
    """Whether a folder of layouts can be written, or made."""
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Diagnosis(
            address,
            Health.WRONG,
            f"{there} cannot be written",
            "give this user the right, or name another folder",
        )
    found = "the folder can be written" if there == path else "the folder will be made"
    return Diagnosis(address, Health.GOOD, found)


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("registry", "The registry answers; images may be read and pushed.", run, _repositories)
