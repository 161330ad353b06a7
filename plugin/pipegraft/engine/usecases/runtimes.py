"""The runtimes that an engine can be told to use."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipegraft.appspec.runtime_support import DOCKER, PROCESS, Support
from pipegraft.engine.adapters.runtime.docker import DockerRuntime
from pipegraft.engine.adapters.runtime.docker.api import DockerApi
from pipegraft.engine.adapters.runtime.docker.images import DockerImages
from pipegraft.engine.adapters.runtime.image_store import UnpackedImages
from pipegraft.engine.adapters.runtime.process import ProcessRuntime
from pipegraft.engine.adapters.runtime.secret_folder import SecretFolder
from pipegraft.engine.ports import WorkloadRuntime
from pipegraft.images.adapters.registry import open_registry
from pipegraft.images.ports.registry import Registry

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
    owner = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    with contextlib.closing(DockerApi()) as api:
        shelf = DockerImages(state / "docker-images.json", api, _open_registry)
        runtime = DockerRuntime(owner, api, shelf, images, secrets=SecretFolder(secrets))
        with contextlib.closing(runtime):
            yield runtime, DOCKER


def _open_registry(address: str) -> Registry:
    return open_registry(address, Path.cwd())
