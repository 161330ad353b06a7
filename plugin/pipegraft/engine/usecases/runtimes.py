"""The runtimes that an engine can be told to use."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipegraft.adapters.registry import open_registry
from pipegraft.adapters.runtime.image_store import UnpackedImages
from pipegraft.adapters.runtime.process import ProcessRuntime
from pipegraft.adapters.runtime.secret_folder import SecretFolder
from pipegraft.domain.runtime_support import DOCKER, PROCESS, Support
from pipegraft.ports.registry import Registry
from pipegraft.ports.runtime import WorkloadRuntime

__all__ = ["OUTPUTS", "open_runtime"]

OUTPUTS = "outputs"
"""Folder of what resources of this machine tell, below the state folder."""


@contextlib.contextmanager
def open_runtime(name: str, state: Path, secrets: Path | None) -> Iterator[tuple[WorkloadRuntime, Support]]:
    """Open ``process`` or ``docker``.

    Arguments:
        state: the engine's folder.
        secrets: folder of ``NAME/KEY`` files.
    """
    images = UnpackedImages(state / "images", _open_registry)
    if name == "process":
        yield (
            ProcessRuntime(state / "instances", images, secret_folder=secrets, output_folder=state / OUTPUTS),
            PROCESS,
        )
        return
    from pipegraft.adapters.runtime.docker import DockerRuntime  # noqa: PLC0415 - open what is used
    from pipegraft.adapters.runtime.docker.api import DockerApi  # noqa: PLC0415
    from pipegraft.adapters.runtime.docker.images import DockerImages  # noqa: PLC0415

    owner = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    with contextlib.closing(DockerApi()) as api:
        shelf = DockerImages(state / "docker-images.json", api, _open_registry)
        runtime = DockerRuntime(owner, api, shelf, images, secrets=SecretFolder(secrets))
        with contextlib.closing(runtime):
            yield runtime, DOCKER


def _open_registry(address: str) -> Registry:
    return open_registry(address, Path.cwd())
