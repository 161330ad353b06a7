"""The Docker Engine that ``DOCKER_HOST`` names, or this machine's, and docker's two builders.

They are the engine's own, by its API, and BuildKit by docker's command line.

The engine's own has no BuildKit, so no build secrets and no cache export, and two builds without its cache
differ in digest: the input hash is what keeps an image from being built twice. ``docker build`` with
BuildKit, the same as `docker buildx build`, knows cache and bind mounts, here-documents and other syntaxes.
It builds with the engine, or with the builder that ``BUILDX_BUILDER`` names, which needs none.

The image is fetched from the engine and pushed by us. So it goes to whatever registry the delivery
names, a layout folder included, with the same credentials, retries and checks as every other image, and
the engine needs no access to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import docker
import requests
from docker import APIClient

from pipegraft.core.adapters.files import stream_of
from pipegraft.core.adapters.waiting import Again, Attempts, Patience, SystemClock
from pipegraft.core.errors import BuildFailed, OutsideError, PipegraftError, Unreachable, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.images.adapters.building import (
    archive_kind,
    common_options,
    dockerfile_missing,
    hiding,
    opener,
    refuse,
    run_program,
    scanner_image,
)
from pipegraft.images.adapters.pushing import base_of, push_saved
from pipegraft.images.dockerfile import read_dockerfile
from pipegraft.images.hooks import DOCKERFILE, BuildRequest, ContextEntry, ImageBuilderPlugin
from pipegraft.images.layers import tar_blocks
from pipegraft.images.ports import Descriptor, Registry

__all__ = [
    "BuildxBuilder",
    "DockerBuilder",
    "connect",
    "engine_context",
    "engine_missing",
    "pipegraft_image_builders",
    "read_build",
    "translated",
]

_TIMEOUT = 600
"""Seconds of silence after which the engine is given up."""
_STARTS = Patience(attempts=30, deadline=30, first_wait=0.5, longest_wait=2)
"""How long an engine is waited for that starts together with the job."""
_CHUNK = 1 << 20
_APART = ".dockerfile.pipegraft"
"""What a Dockerfile is called that is no part of its context."""

_NO_ENGINE = "Cannot connect to the Docker daemon"
_NO_BUILDX = ("buildx component is missing", "unknown flag: --cache-to")
_NO_CACHE_EXPORT = "Cache export is not supported for the docker driver"
_SUPPORTS = frozenset({"secrets", "cache", "contexts"})


def engine_missing() -> str | None:
    """Why there is no engine to ask, as a clause; None where one may be."""
    socket = docker.constants.DEFAULT_UNIX_SOCKET.removeprefix("http+unix://")
    if os.environ.get("DOCKER_HOST") or Path(socket).exists():
        return None
    return f"there is no Docker Engine: DOCKER_HOST is not set and {socket} is not there"


def connect(timeout: float) -> APIClient:
    """A client; call it inside of `translated`, and close it.

    Arguments:
        timeout: seconds of silence after which a request is given up.
    """
    return docker.from_env(timeout=timeout).api


@contextlib.contextmanager
def translated(refused: Callable[[str], PipegraftError]) -> Iterator[None]:
    """Turn the SDK's exceptions into ours.

    Arguments:
        refused: makes the error for a request the engine understood and refused, from what it said.

    Raises:
        Unreachable: there is no engine, or it does not answer.
        OutsideError: it failed.
    """
    try:
        yield
    except docker.errors.APIError as error:
        said = str(error.explanation or error)
        if error.status_code is not None and error.status_code < 500:
            raise refused(said) from error
        raise OutsideError(f"the Docker engine failed: {said}") from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        address = os.environ.get("DOCKER_HOST") or docker.constants.DEFAULT_UNIX_SOCKET.removeprefix("http+")
        raise Unreachable(
            f"the Docker engine at {address} cannot be used: {_cause(error)}",
            fix="start it, or set DOCKER_HOST to where one is",
        ) from error


def _cause(error: BaseException) -> str:
    """What the system said, where the SDK wrapped it three times; else what the SDK said."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return str(error)


class DockerBuilder:
    """Builds with the Docker Engine that ``DOCKER_HOST`` names, or this machine's."""

    version = "2"

    def accepts(self, context: Path, dockerfile: str = DOCKERFILE) -> str | None:
        return _refusal(context, dockerfile) or engine_missing()

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        refusal = _refusal(request.context, request.dockerfile)
        if request.extras.wanted():
            refusal = f"the engine's API has no BuildKit, which takes {' and '.join(request.extras.wanted())}"
        if refusal:
            raise BuildFailed(
                f"component '{request.component}': {refusal}",
                fix="name the builder 'buildx', or leave out what only BuildKit knows",
            )
        base = base_of(request, log)
        with _engine() as client, tempfile.NamedTemporaryFile() as archive:
            image = _build(client, request, log)
            for chunk in client.get_image(image, chunk_size=_CHUNK):
                archive.write(chunk)
            archive.flush()
            return push_saved(Path(archive.name), request, registry, base, log)


def _refusal(context: Path, dockerfile: str) -> str | None:
    missing = dockerfile_missing(context, dockerfile)
    if missing:
        return missing
    text = (context / dockerfile).read_text(encoding="utf-8", errors="replace")
    why = read_dockerfile(text, {}).needs_buildkit
    return f"its Dockerfile needs BuildKit: {why}" if why else None


def read_build(events: Iterable[Mapping[str, Any]], log: Callable[[str], None]) -> str:
    """Follow the stream of a build to its end.

    Returns:
        Id of the image.

    Raises:
        BuildFailed: the stream tells of an error; the answer's status does not.
        OutsideError: it ends without an image.
    """
    image = printed = ""
    try:
        for event in events:
            if "errorDetail" in event or "error" in event:
                detail = event.get("errorDetail") or {}
                raise BuildFailed(str(detail.get("message") or event.get("error")).strip())
            image = (event.get("aux") or {}).get("ID", image)
            # What a command prints comes in pieces, which do not end where its lines do.
            printed += event.get("stream") or (f"{event['status']}\n" if "status" in event else "")
            *lines, printed = printed.split("\n")
            for line in filter(str.strip, lines):
                log(line.rstrip())
    finally:
        if printed.strip():
            log(printed.rstrip())
    if not image:
        raise OutsideError("the engine's answer ended before the image was built")
    return image


def engine_context(request: BuildRequest) -> tuple[str, Iterator[bytes]]:
    """Where the engine finds the Dockerfile, and the context as a tar archive: exactly what was hashed.

    An ignored Dockerfile goes along under a name that an ignore file says: the engine removes both, as
    it does for docker's command line (docker/cli, cli/command/image/build).
    """
    if any(entry.path == request.dockerfile for entry in request.entries):
        return request.dockerfile, tar_blocks(request.entries, opener(request))
    beside = {
        _APART: (request.context / request.dockerfile).read_bytes(),
        ".dockerignore": f".dockerignore\n{_APART}\n".encode(),
    }
    entries = [
        ContextEntry(name, "file", hashlib.sha256(text).hexdigest(), size=len(text))
        for name, text in beside.items()
    ]
    own = opener(request)

    def open_file(entry: ContextEntry) -> AbstractContextManager[BinaryIO]:
        return io.BytesIO(beside[entry.path]) if entry.path in beside else own(entry)

    return _APART, tar_blocks((*request.entries, *entries), open_file)


def _build(client: APIClient, request: BuildRequest, log: Callable[[str], None]) -> str:
    dockerfile, blocks = engine_context(request)
    with stream_of(blocks) as context:
        events = client.build(
            fileobj=context,
            custom_context=True,
            dockerfile=dockerfile,
            target=request.stage or None,
            buildargs=dict(request.build_args),
            platform=request.platform,
            rm=True,
            forcerm=True,
            decode=True,
        )
        return read_build(events, log)


@contextlib.contextmanager
def _engine() -> Iterator[APIClient]:
    """A connection to the engine, whose errors become ours."""

    def refused(said: str) -> BuildFailed:
        return BuildFailed(said, fix="correct the Dockerfile")

    with translated(refused), contextlib.closing(_connect()) as client:
        yield client


def _connect() -> APIClient:
    """A client; an engine elsewhere is waited for, for a runner may start it together with the job."""
    if os.environ.get("DOCKER_HOST", "").startswith("tcp:"):
        with contextlib.suppress(Unreachable):  # said below with its address
            for attempt in Attempts(_STARTS, SystemClock(), "the Docker engine"):
                with attempt:
                    try:
                        return connect(_TIMEOUT)
                    except docker.errors.DockerException as error:
                        raise Again(str(error)) from error
    return connect(_TIMEOUT)


class BuildxBuilder:
    """Builds by ``docker build`` with BuildKit, and pushes what it built itself."""

    version = "2"

    def accepts(self, context: Path, dockerfile: str = DOCKERFILE) -> str | None:
        missing = dockerfile_missing(context, dockerfile)
        if missing:
            return missing
        if shutil.which("docker") is None:
            return "docker's command line is not installed"
        return None if os.environ.get("BUILDX_BUILDER") else engine_missing()

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        refuse(request, dockerfile_missing(request.context, request.dockerfile))
        base = base_of(request, log)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            told = hiding(request, log)
            archive = folder / "image.tar"
            arguments = _build_arguments(request, folder)
            if _builds_apart():
                output = f"--output=type={archive_kind(request)},dest={archive},rewrite-timestamp=true"
                image = scanner_image(request)
                scanned = ["--provenance=false", f"--sbom=generator={image}"] if image else []
                _docker(["buildx", "build", output, *scanned, *arguments], told)
            else:
                _docker(["build", *arguments], told)
                image = (folder / "image-id").read_text().strip()
                _docker(["image", "save", "--output", str(archive), image], told)
            return push_saved(archive, request, registry, base, log)


def _build_arguments(request: BuildRequest, folder: Path) -> list[str]:
    options, context = common_options(request, folder)
    options += [f"--cache-from={place}" for place in request.extras.cache_from]
    options += [f"--cache-to={place}" for place in request.extras.cache_to]
    return ["--progress=plain", f"--iidfile={folder}/image-id", *options, str(context)]


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


def _docker(arguments: list[str], log: Callable[[str], str]) -> None:
    # The same inputs make the same image on any day (moby/buildkit, docs/build-repro.md).
    variables = {"DOCKER_BUILDKIT": "1", "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "0")}
    done = run_program(["docker", *arguments], log, variables)
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
    yield ImageBuilderPlugin("docker", DockerBuilder, priority=10)
    yield ImageBuilderPlugin("buildx", BuildxBuilder, priority=5, supports=_SUPPORTS)
