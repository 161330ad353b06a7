"""The docker builder: a Dockerfile, built by a Docker Engine through its API.

The engine's own builder is used. It has no BuildKit, so no build secrets and no cache export, and two
builds without its cache differ in digest: the input hash is what keeps an image from being built twice.

The image is fetched from the engine and pushed by us. So it goes to whatever registry the delivery
names, a layout folder included, with the same credentials, retries and checks as every other image, and
the engine needs no access to it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipegraft.core.adapters.streams import stream_of
from pipegraft.core.errors import BuildFailed, OutsideError
from pipegraft.core.plugins import hookimpl
from pipegraft.images.adapters.build.base import read_base
from pipegraft.images.adapters.build.commands import dockerfile_missing
from pipegraft.images.adapters.build.context import context_blocks
from pipegraft.images.adapters.build.saved import push_saved
from pipegraft.images.adapters.docker_engine import connect, engine_missing, translated
from pipegraft.images.dockerfile import read_dockerfile
from pipegraft.images.hooks import ImageBuilderPlugin
from pipegraft.images.ports.builders import DOCKERFILE, BuildRequest
from pipegraft.images.ports.registry import Descriptor, Registry

if TYPE_CHECKING:
    from docker import APIClient

__all__ = ["DockerBuilder", "pipegraft_image_builders", "read_build"]

_TIMEOUT = 600
"""Seconds of silence after which the engine is given up."""
_CHUNK = 1 << 20


class DockerBuilder:
    """Builds with the Docker Engine that ``DOCKER_HOST`` names, or this machine's."""

    version = "1"

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
        base = read_base(request.base, request.platform) if request.base else None
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


def _build(client: APIClient, request: BuildRequest, log: Callable[[str], None]) -> str:
    with stream_of(context_blocks(request)) as context:
        events = client.build(
            fileobj=context,
            custom_context=True,
            dockerfile=request.dockerfile,
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

    with translated(refused), contextlib.closing(connect(_TIMEOUT)) as client:
        yield client


@hookimpl
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    yield ImageBuilderPlugin(name="docker", connect=DockerBuilder, priority=10)
