"""Image builders: a component's folder in, an image in a registry out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipegraft.ports.registry import Descriptor, Registry

__all__ = ["BuildRequest", "FakeImageBuilder", "ImageBuilder"]


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One component to build.

    Arguments:
        component: its name.
        context: folder of its sources.
        repository: where the image goes, below the registry's root.
        tags: names to give it, the input hash first.
        command: what the image runs; empty leaves it to the Dockerfile or makes a data image.
        base: base image reference pinned by digest, or None for an empty base.
        build_args: arguments of the build.
    """

    component: str
    context: Path
    repository: str
    tags: tuple[str, ...]
    command: tuple[str, ...] = ()
    base: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)


class ImageBuilder(Protocol):
    """Makes images."""

    def accepts(self, context: Path) -> str | None:
        """None if this folder can be built, else the reason why not, as a clause."""

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        """Build, push and tag.

        Arguments:
            log: takes each line the build prints.

        Returns:
            The descriptor of the image's manifest, as the registry holds it.

        Raises:
            BuildFailed: the component's own fault.
            Unreachable, AccessDenied: the daemon's or the registry's.
        """


class FakeImageBuilder:
    """Pushes an empty manifest that names the component."""

    def __init__(self) -> None:
        self.requests: list[BuildRequest] = []

    def accepts(self, context: Path) -> str | None:
        return None if context.is_dir() else "it is not a folder"

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        self.requests.append(request)
        log(f"building {request.component}")
        manifest = f'{{"component":"{request.component}","tag":"{request.tags[0]}"}}'.encode()
        media_type = "application/vnd.oci.image.manifest.v1+json"
        pushed = [
            registry.push_manifest(request.repository, tag, manifest, media_type) for tag in request.tags
        ]
        return pushed[0]
