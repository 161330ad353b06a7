"""The buildah builder: a Dockerfile, built by buildah, which needs no daemon and no rights."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from pipegraft.core.errors import BuildFailed, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.images.adapters.build.base import read_base
from pipegraft.images.adapters.build.commands import (
    dockerfile_missing,
    hiding,
    refuse,
    run_program,
    secret_options,
)
from pipegraft.images.adapters.build.context import write_context, write_entries
from pipegraft.images.adapters.build.saved import push_saved
from pipegraft.images.hooks import ImageBuilderPlugin
from pipegraft.images.ports.builders import DOCKERFILE, BuildRequest
from pipegraft.images.ports.registry import Descriptor, Registry

__all__ = ["BuildahBuilder", "pipegraft_image_builders"]

_INSIDE = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
"""What works within a container without rights; variables of the job that say otherwise stand over it."""


class BuildahBuilder:
    """Builds by ``buildah build``, and pushes what it built itself."""

    version = "1"

    def accepts(self, context: Path, dockerfile: str = DOCKERFILE) -> str | None:
        missing = dockerfile_missing(context, dockerfile)
        return missing or (None if shutil.which("buildah") else "buildah is not installed")

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        refuse(request, self.accepts(request.context, request.dockerfile))
        base = read_base(request.base, request.platform) if request.base else None
        told = hiding(request, log)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            archive, identity = folder / "image.tar", folder / "image-id"
            _buildah(["build", f"--iidfile={identity}", *_options(request, folder)], told)
            image = identity.read_text().strip()
            _buildah(["push", "--quiet", image, f"docker-archive:{archive}"], told)
            _buildah(["rmi", image], told)
            return push_saved(archive, request, registry, base, log)


def _options(request: BuildRequest, folder: Path) -> list[str]:
    context = folder / "context"
    context.mkdir()
    write_context(request, context)
    options = [
        f"--file={context / request.dockerfile}",
        f"--platform={request.platform}",
        "--format=oci",
        "--timestamp=0",  # the same inputs make the same image on any day
        *secret_options(request),
    ]
    if request.stage:
        options.append(f"--target={request.stage}")
    options += [f"--build-arg={name}={value}" for name, value in request.build_args.items()]
    caches = {"from": request.extras.cache_from, "to": request.extras.cache_to}
    for direction, places in caches.items():
        options += ["--layers"] * bool(places)
        options += [f"--cache-{direction}={_repository(request, place)}" for place in places]
    for number, (name, extra) in enumerate(request.extras.contexts.items()):
        if extra.folder is None:
            options.append(f"--build-context={name}=docker-image://{extra.image}")
            continue
        further = folder / f"further-{number}"
        further.mkdir()
        write_entries(extra.folder, extra.entries, further)
        options.append(f"--build-context={name}={further}")
    return [*options, str(context)]


def _repository(request: BuildRequest, place: str) -> str:
    """The repository that buildah keeps a cache in, of what is written as for docker.

    Raises:
        UsageError: it names no registry.
    """
    parts = dict(part.partition("=")[::2] for part in place.split(","))
    if parts.get("type") != "registry" or not parts.get("ref"):
        raise UsageError(
            f"component '{request.component}': expected a cache as type=registry,ref=… for buildah, "
            f"found '{place}'",
            fix="name a registry, or another builder",
        )
    head, colon, tag = parts["ref"].rpartition(":")
    return head if colon and "/" not in tag else parts["ref"]


def _buildah(arguments: list[str], log: Callable[[str], str]) -> None:
    variables = {name: value for name, value in _INSIDE.items() if name not in os.environ}
    done = run_program(["buildah", *arguments], log, variables=variables)
    if done.status:
        raise BuildFailed(f"buildah {arguments[0]} ended with exit code {done.status}: {done.last}")


@hookimpl
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    yield ImageBuilderPlugin(
        name="buildah",
        connect=BuildahBuilder,
        priority=3,
        supports=frozenset({"secrets", "cache", "contexts"}),
    )
