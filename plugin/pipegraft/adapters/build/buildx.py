"""The buildx builder: a Dockerfile that needs BuildKit, built by docker's command line.

``docker build`` with BuildKit is what `docker buildx build` is in the same program; it knows cache and
bind mounts, here-documents and other syntaxes, which the engine's API does not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from pipegraft.actions.build_context import DOCKERFILE
from pipegraft.adapters.build.base import read_base
from pipegraft.adapters.build.context import context_blocks
from pipegraft.adapters.build.saved import push_saved
from pipegraft.errors import BuildFailed, Unreachable, UsageError
from pipegraft.hookspecs import hookimpl
from pipegraft.ports.images import BuildRequest
from pipegraft.ports.plugins import ImageBuilderPlugin
from pipegraft.ports.registry import Descriptor, Registry

__all__ = ["BuildxBuilder", "pipegraft_image_builders"]

_NO_ENGINE = "Cannot connect to the Docker daemon"
_NO_BUILDX = "buildx component is missing"


class BuildxBuilder:
    """Builds by ``docker build`` with BuildKit, and pushes what it built itself."""

    version = "1"

    def accepts(self, context: Path) -> str | None:
        if not context.is_dir():
            return "it is not a folder"
        if not (context / DOCKERFILE).is_file():
            return "it has no Dockerfile"
        return None if shutil.which("docker") else "docker's command line is not installed"

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        refusal = self.accepts(request.context)
        if refusal:
            raise BuildFailed(f"component '{request.component}': {refusal}")
        base = read_base(request.base, request.platform) if request.base else None
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with (folder / "context.tar").open("wb") as out:
                out.writelines(context_blocks(request))
            _docker(_build_arguments(request, folder), log, folder / "context.tar")
            image = (folder / "image-id").read_text().strip()
            _docker(["image", "save", "--output", str(folder / "image.tar"), image], log)
            with (folder / "image.tar").open("rb") as archive:
                return push_saved(archive, request, registry, base, log)


def _build_arguments(request: BuildRequest, folder: Path) -> list[str]:
    arguments = [
        "build",
        "--progress=plain",
        f"--iidfile={folder}/image-id",
        f"--platform={request.platform}",
    ]
    for name, value in request.build_args.items():
        arguments += ["--build-arg", f"{name}={value}"]
    return [*arguments, "-"]


def _docker(arguments: list[str], log: Callable[[str], None], context: Path | None = None) -> None:
    last = ""
    away = lacking = False
    with (
        (context or Path(os.devnull)).open("rb") as given,
        subprocess.Popen(
            ["docker", *arguments],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            text=True,
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            if line.strip():
                last = line.strip()
                away = away or _NO_ENGINE in last
                lacking = lacking or _NO_BUILDX in last
                log(last)
    if away:
        raise Unreachable(last, fix="start the engine, or set DOCKER_HOST to where one is")
    if lacking:
        raise UsageError(
            "expected a docker command that builds with BuildKit, found one without its buildx plugin",
            fix="install the docker-buildx-plugin package, or name another builder in delivery.yaml",
        )
    if process.returncode != 0:
        raise BuildFailed(f"docker {arguments[0]} ended with exit code {process.returncode}: {last}")


@hookimpl
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    yield ImageBuilderPlugin(name="buildx", connect=BuildxBuilder, priority=5)
