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
from pipegraft.images.adapters.build.context import context_blocks
from pipegraft.images.adapters.build.saved import push_saved
from pipegraft.images.build_context import DOCKERFILE
from pipegraft.images.hooks import ImageBuilderPlugin
from pipegraft.images.ports.builders import BuildRequest
from pipegraft.images.ports.registry import Descriptor, Registry

__all__ = ["BuildxBuilder", "pipegraft_image_builders"]

_NO_ENGINE = "Cannot connect to the Docker daemon"
_NO_BUILDX = ("buildx component is missing", "unknown flag: --cache-to")
_NO_CACHE_EXPORT = "Cache export is not supported for the docker driver"
_SUPPORTS = frozenset({"secrets", "cache"})
_SHORTEST_HIDDEN = 4
"""Characters; to hide a shorter value would spoil the log and tell the value."""


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
            told = _hiding(log, _secret_values(request))
            archive_file = folder / "image.tar"
            arguments = [*_build_arguments(request, folder), "-"]
            if _builds_apart():
                own = ["buildx", "build", f"--output=type=docker,dest={archive_file}"]
                _docker([*own, *arguments], told, folder / "context.tar")
            else:
                _docker(["build", *arguments], told, folder / "context.tar")
                image = (folder / "image-id").read_text().strip()
                _docker(["image", "save", "--output", str(archive_file), image], told)
            return push_saved(archive_file, request, registry, base, log)


def _build_arguments(request: BuildRequest, folder: Path) -> list[str]:
    arguments = [
        "--progress=plain",
        f"--iidfile={folder}/image-id",
        f"--platform={request.platform}",
    ]
    for name, value in request.build_args.items():
        arguments += ["--build-arg", f"{name}={value}"]
    for name, source in request.extras.secrets.items():
        kind = "src" if isinstance(source, Path) else "env"
        arguments += ["--secret", f"id={name},{kind}={source}"]
    for place in request.extras.cache_from:
        arguments.append(f"--cache-from={place}")
    for place in request.extras.cache_to:
        arguments.append(f"--cache-to={place}")
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


def _secret_values(request: BuildRequest) -> list[str]:
    """What secrets hold, to keep it out of logs; docker itself reads them from where they are.

    Raises:
        UsageError: one is not there.
    """
    found: list[str] = []
    for name, source in request.extras.secrets.items():
        try:
            value = source.read_text(errors="replace") if isinstance(source, Path) else os.environ[source]
        except (OSError, KeyError) as error:
            lost = isinstance(error, OSError)
            place = f"file '{source}' cannot be read" if lost else f"variable {source} is not set"
            raise UsageError(
                f"component '{request.component}': build secret '{name}': {place}",
                fix="provide it to this job, or remove it from delivery.yaml",
            ) from None
        found += [line.strip() for line in value.splitlines()]
    return sorted((line for line in found if len(line) >= _SHORTEST_HIDDEN), key=len, reverse=True)


def _hiding(log: Callable[[str], None], hidden: list[str]) -> Callable[[str], str]:
    """Logs a line without what is hidden, and answers it as it was logged."""

    def note(line: str) -> str:
        for value in hidden:
            line = line.replace(value, "***")
        log(line)
        return line

    return note


def _docker(arguments: list[str], log: Callable[[str], str], context: Path | None = None) -> None:
    last = ""
    away = lacking = no_cache = False
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
                last = log(line.strip())
                away = away or _NO_ENGINE in last
                lacking = lacking or any(sign in last for sign in _NO_BUILDX)
                no_cache = no_cache or _NO_CACHE_EXPORT in last
    if away:
        raise Unreachable(last, fix="start the engine, or set DOCKER_HOST to where one is")
    if lacking:
        raise UsageError(
            "expected a docker command that builds with BuildKit, found one without its buildx plugin",
            fix="install the docker-buildx-plugin package, or name another builder in delivery.yaml",
        )
    if no_cache:
        raise UsageError(
            "the engine's own builder cannot write such a cache",
            fix="make another builder (`docker buildx create`) and name it by BUILDX_BUILDER, turn on the"
            " engine's containerd image store, or write the cache with type=inline",
        )
    if process.returncode != 0:
        raise BuildFailed(f"docker {arguments[0]} ended with exit code {process.returncode}: {last}")


@hookimpl
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    yield ImageBuilderPlugin(name="buildx", connect=BuildxBuilder, priority=5, supports=_SUPPORTS)
