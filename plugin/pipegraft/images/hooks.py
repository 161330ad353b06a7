"""Image builders (a folder in, an image in a registry out), and the hooks of builders and signers."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pipegraft.core.delivery_file import find_plugin
from pipegraft.core.errors import Problem
from pipegraft.core.plugins import Kind, hookimpl, hookspec
from pipegraft.core.reading import Marked
from pipegraft.core.stage import DeliveryCheck, Port, Project
from pipegraft.images.ports import Descriptor, ImageToSign, Registry

__all__ = [
    "DOCKERFILE",
    "IMAGE_BUILDER",
    "IMAGE_BUILDERS",
    "WHY_BUILDER",
    "BaseImage",
    "BuildExtras",
    "BuildRequest",
    "ContextEntry",
    "ExtraContext",
    "FakeImageBuilder",
    "FoundPackages",
    "ImageBuilder",
    "ImageBuilderPlugin",
    "Package",
    "pipegraft_delivery_checks",
]

DOCKERFILE = "Dockerfile"
"""Name of the Dockerfile where nothing else is said."""


@dataclass(frozen=True, slots=True, order=True)
class ContextEntry:
    """One file, folder or symbolic link of a build context; time, owner and umask leave no trace in it.

    Arguments:
        path: POSIX path relative to the context.
        kind: what it is.
        content: SHA-256 of a file's bytes in hex, or a link's target as written; empty for a folder.
        executable: whether a file's owner may execute it.
        size: bytes of a file.
    """

    path: str
    kind: Literal["file", "folder", "link"]
    content: str = ""
    executable: bool = False
    size: int = 0

    @property
    def facts(self) -> tuple[str, str, str, bool, int]:
        """All of it in order. `dataclasses.astuple` copies deeply, which thousands of files feel."""
        return self.path, self.kind, self.content, self.executable, self.size


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The image that another one is built on.

    Arguments:
        registry: where it is.
        repository: its path there.
        digest: of its manifest, or of an index of several platforms.
        mount_from: where the target's registry can take its layers from, None if it is another server.
    """

    registry: Registry
    repository: str
    digest: str
    mount_from: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package.

    Arguments:
        purl: package URL (github.com/package-url/purl-spec); names it for scanners.
        name: as people know it.
        version: as its ecosystem writes it.
        source: file that tells of it.
    """

    purl: str
    name: str
    version: str
    source: str


@dataclass(frozen=True, slots=True)
class FoundPackages:
    """What a scanner found in an image; nothing where none looked.

    Arguments:
        packages: what it found, sorted.
        by: name and version of the scanner; empty if none is installed.
        looked_at: what it looked at, as a noun phrase.
        sees_bases: whether the layers of the base image were among it.
    """

    packages: tuple[Package, ...] = ()
    by: str = ""
    looked_at: str = ""
    sees_bases: bool = False


@dataclass(frozen=True, slots=True)
class ExtraContext:
    """A further build context: a folder, or an image.

    Arguments:
        folder: where it is, None for an image.
        entries: what of the folder counts.
        image: its name, pinned by digest where its registry tells one; empty for a folder.
    """

    folder: Path | None = None
    entries: tuple[ContextEntry, ...] = ()
    image: str = ""


@dataclass(frozen=True, slots=True)
class BuildExtras:
    """What only some builders can use; the others refuse a component that asks for it.

    Arguments:
        secrets: id → variable of the environment, or file, that holds the value.
        cache_from, cache_to: where layers are kept between builds, as ``docker build`` writes it.
        contexts: name → a further context.
    """

    secrets: Mapping[str, str | Path] = field(default_factory=dict)
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    contexts: Mapping[str, ExtraContext] = field(default_factory=dict)

    def wanted(self) -> tuple[str, ...]:
        """What is asked for: ``secrets``, ``cache``, ``contexts``."""
        asked = {
            "secrets": self.secrets,
            "cache": self.cache_from or self.cache_to,
            "contexts": self.contexts,
        }
        return tuple(name for name, value in asked.items() if value)


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One component to build.

    Arguments:
        component: its name.
        context: folder of its sources.
        entries: what of that folder counts, ignore rules applied, sorted by path; what is built must be
            exactly this.
        repository: where the image goes, below the registry's root.
        tags: names to give it.
        input_hash: tag that says what it follows from; the stage sets it when all about the image is there.
        extras: what only some builders can use.
        note_packages: is told which packages a scanner found in the image; None if nobody wants to know.
        dockerfile: path of the Dockerfile in the context.
        stage: stage of the Dockerfile that is built; the last one if empty.
        target: absolute path in the image where a builder that copies puts the context.
        command: what the image runs; empty leaves it to the Dockerfile or makes a data image.
        base: the image it is built on, None for an empty one or where it is not known.
        build_args: arguments of the build.
        platform: ``os/architecture``.
    """

    component: str
    context: Path
    entries: tuple[ContextEntry, ...]
    repository: str
    tags: tuple[str, ...]
    target: str = "/"
    command: tuple[str, ...] = ()
    base: BaseImage | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    platform: str = "linux/amd64"
    input_hash: str = ""
    extras: BuildExtras = field(default_factory=BuildExtras)
    dockerfile: str = DOCKERFILE
    stage: str = ""
    note_packages: Callable[[FoundPackages], None] | None = None


class ImageBuilder(Protocol):
    """Makes images; callable from several threads."""

    @property
    def version(self) -> str:
        """Part of the input hash: raised when the same inputs make another image."""

    def accepts(self, context: Path, dockerfile: str = DOCKERFILE) -> str | None:
        """None if this folder can be built here, else the reason why not, as a clause.

        Arguments:
            dockerfile: path of the Dockerfile in the folder; it need not be there.
        """

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


IMAGE_BUILDER: Port[[str], tuple[str, ImageBuilder]] = Port("image-builder")
"""Name and builder for a component."""
WHY_BUILDER: Port[[str], str] = Port("why-builder")
"""Why a component gets that builder, as a clause."""


class FakeImageBuilder:
    """Pushes a manifest that says what was asked for."""

    version = "1"

    def __init__(self) -> None:
        self.requests: list[BuildRequest] = []

    def accepts(self, context: Path, dockerfile: str = DOCKERFILE) -> str | None:  # noqa: ARG002 - any
        return None if context.is_dir() else "it is not a folder"

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        self.requests.append(request)
        log(f"building {request.component}")
        manifest = f'{{"component":"{request.component}","input":"{request.input_hash}"}}'.encode()
        media_type = "application/vnd.oci.image.manifest.v1+json"
        pushed = [
            registry.push_manifest(request.repository, tag, manifest, media_type) for tag in request.tags
        ]
        return pushed[0]


@dataclass(frozen=True, slots=True)
class ImageBuilderPlugin:
    """An image builder.

    Arguments:
        name: ``layer``, ``docker``, …
        connect: opens it; imports its SDK only then.
        priority: builders that accept a folder are tried from the highest down.
        supports: which of `BuildExtras` it can use: ``secrets``, ``cache``.
    """

    name: str
    connect: Callable[[], ImageBuilder]
    priority: int = 0
    supports: frozenset[str] = frozenset()


IMAGE_BUILDERS = Kind("pipegraft_image_builders", ImageBuilderPlugin, "image builder")


def _unknown_builders(project: Project, marked: Marked) -> Iterator[Problem]:
    for name, component in project.delivery.components.items():
        if component.builder is not None:
            route = ("components", name, "builder")
            yield from find_plugin(project.plugins, IMAGE_BUILDERS, component.builder, marked, route)


@hookimpl
def pipegraft_delivery_checks() -> Iterable[DeliveryCheck]:
    yield DeliveryCheck("builders", _unknown_builders)


@hookspec
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    """Image builders. Called once, when image-build starts.

    Example::

        @hookimpl
        def pipegraft_image_builders():
            yield ImageBuilderPlugin(name="layer", connect=LayerBuilder)

    Returns:
        Builders, each with a name no other plugin uses.
    """


@hookspec
def pipegraft_sign_image(image: ImageToSign) -> None:
    """Signs an image. Called for each image that was built, in the thread that built it, before its tag
    ``ih-…`` is set: an image whose signing failed is not found, so the next run builds and signs it again.

    Example::

        @hookimpl
        def pipegraft_sign_image(image):
            done = subprocess.run(["cosign", "sign", "--yes", image.reference], capture_output=True)
            if done.returncode:
                raise OutsideError(f"cosign could not sign {image.component}: {done.stderr.decode()}")

    Arguments:
        image: what to sign.

    Raises:
        PipegraftError: it is not signed; its exit code becomes the run's.
    """
