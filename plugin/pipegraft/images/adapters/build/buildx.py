"""The buildx builder: a Dockerfile that needs BuildKit, built by docker's command line.

``docker build`` with BuildKit is what `docker buildx build` is in the same program; it knows cache and
bind mounts, here-documents and other syntaxes, which the engine's API does not. It builds with the engine,
or with the builder that ``BUILDX_BUILDER`` names, which needs none.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from pipegraft.core.errors import BuildFailed, Unreachable, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.images.adapters.build.base import read_base
from pipegraft.images.adapters.build.commands import (
    dockerfile_missing,
    hiding,
    refuse,
    run_program,
    secret_options,
)
from pipegraft.images.adapters.build.context import context_blocks, write_entries
from pipegraft.images.adapters.build.saved import push_saved
from pipegraft.images.adapters.docker_engine import engine_missing
from pipegraft.images.hooks import ImageBuilderPlugin
from pipegraft.images.ports.builders import DOCKERFILE, BuildRequest
from pipegraft.images.ports.registry import Descriptor, Registry

__all__ = ["BuildxBuilder", "pipegraft_image_builders"]

_NO_ENGINE = "Cannot connect to the Docker daemon"
_NO_BUILDX = ("buildx component is missing", "unknown flag: --cache-to")
_NO_CACHE_EXPORT = "Cache export is not supported for the docker driver"
_SUPPORTS = frozenset({"secrets", "cache", "contexts"})


class BuildxBuilder:
    """Builds by ``docker build`` with BuildKit, and pushes what it built itself."""

    version = "1"

    def accepts(self, context: Path, dockerfile: str = DOCKERFILE) -> str | None:
        missing = dockerfile_missing(context, dockerfile)
        if missing:
            return missing
        if shutil.which("docker") is None:
            return "docker's command line is not installed"
        return None if os.environ.get("BUILDX_BUILDER") else engine_missing()

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        refuse(request, dockerfile_missing(request.context, request.dockerfile))
        base = read_base(request.base, request.platform) if request.base else None
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with (folder / "context.tar").open("wb") as out:
                out.writelines(context_blocks(request))
            told = hiding(request, log)
            archive = folder / "image.tar"
            arguments = [*_build_arguments(request, folder), "-"]
            if _builds_apart():
                output = f"--output=type=docker,dest={archive},rewrite-timestamp=true"
                _docker(["buildx", "build", output, *arguments], told, folder / "context.tar")
            else:
                _docker(["build", *arguments], told, folder / "context.tar")
                image = (folder / "image-id").read_text().strip()
                _docker(["image", "save", "--output", str(archive), image], told)
            return push_saved(archive, request, registry, base, log)


def _build_arguments(request: BuildRequest, folder: Path) -> list[str]:
    arguments = [
        "--progress=plain",
        f"--iidfile={folder}/image-id",
        f"--platform={request.platform}",
        f"--file={request.dockerfile}",
        *secret_options(request),
    ]
    if request.stage:
        arguments.append(f"--target={request.stage}")
    for name, value in request.build_args.items():
        arguments += ["--build-arg", f"{name}={value}"]
    arguments += [f"--cache-from={place}" for place in request.extras.cache_from]
    arguments += [f"--cache-to={place}" for place in request.extras.cache_to]
    for number, (name, extra) in enumerate(request.extras.contexts.items()):
        further = folder / f"further-{number}"
        if extra.folder is not None:
            further.mkdir()
            write_entries(extra.folder, extra.entries, further)
        place = f"docker-image://{extra.image}" if extra.folder is None else str(further)
        arguments.append(f"--build-context={name}={place}")
    return arguments


def _builds_apart() -> bool:
    """Whether ``BUILDX_BUILDER`` names a builder that leaves its images with no engine.

    Raises:
        UsageError: there is no such builder.
    """
    name = os.environ.get("BUILDX_BUILDER")
    if not name:
        return False
    inspected = subprocess.run(
        ["docker", "buildx", "inspect", name], capture_output=True, text=True, check=False, errors="replace"
    )
    driver = re.search(r"^Driver:\s*(\S+)", inspected.stdout, re.MULTILINE)
    if driver is None:
        said, *_ = inspected.stderr.strip().splitlines() or ["no driver is shown"]
        raise UsageError(
            f"BUILDX_BUILDER: expected a builder of docker's buildx: {said}",
            fix="name one of those that `docker buildx ls` shows",
        )
    return driver[1] != "docker"


def _docker(arguments: list[str], log: Callable[[str], str], context: Path | None = None) -> None:
    # The same inputs make the same image on any day (moby/buildkit, docs/build-repro.md).
    variables = {"DOCKER_BUILDKIT": "1", "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "0")}
    done = run_program(["docker", *arguments], log, context, variables)
    if away := done.said(_NO_ENGINE):
        raise Unreachable(away, fix="start the engine, or set DOCKER_HOST to where one is")
    if done.said(*_NO_BUILDX):
        raise UsageError(
            "expected a docker command that builds with BuildKit, found one without its buildx plugin",
            fix="install the docker-buildx-plugin package, or name another builder in delivery.yaml",
        )
    if done.said(_NO_CACHE_EXPORT):
        raise UsageError(
            "the engine's own builder cannot write such a cache",
            fix="make another builder (`docker buildx create`) and name it by BUILDX_BUILDER, turn on the"
            " engine's containerd image store, or write the cache with type=inline",
        )
    if done.status:
        raise BuildFailed(f"docker {arguments[0]} ended with exit code {done.status}: {done.last}")


@hookimpl
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    yield ImageBuilderPlugin(name="buildx", connect=BuildxBuilder, priority=5, supports=_SUPPORTS)
