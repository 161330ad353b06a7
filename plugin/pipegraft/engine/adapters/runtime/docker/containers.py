"""What the runtime wants of a container engine, in its own words, and the images that it fetched there."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import PipegraftError
from pipegraft.engine.ports import Confinement
from pipegraft.images.documents import StoredImage, read_image
from pipegraft.images.ports import Registry
from pipegraft.images.reference import ImageReference, is_layout

__all__ = [
    "Changes",
    "ContainerEngine",
    "ContainerPlan",
    "ContainerState",
    "DockerImages",
    "Ending",
    "ImageShelf",
    "MountPlan",
]


@dataclass(frozen=True, slots=True)
class MountPlan:
    """A folder of a container.

    Arguments:
        source: a folder of this machine, or the name of a volume.
        in_memory: whether the volume lies in memory, of at most `limit` bytes.
    """

    target: str
    source: str
    volume: bool = False
    read_only: bool = False
    in_memory: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """A container to be created.

    Arguments:
        entrypoint, command: replace the image's own unless empty.
        network: joined under `alias`; None for the network of `joins`.
        joins: container whose network and memory segments it shares.
        ports: of the container → of the loopback interface.
        cpu, memory: cores and bytes it may use.
        kept_cpu, kept_memory: what is kept for it where others want it, too.
    """

    name: str
    image: str
    labels: Mapping[str, str]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    network: str | None = None
    alias: str = ""
    joins: str | None = None
    ports: Mapping[int, int] = field(default_factory=dict)
    mounts: tuple[MountPlan, ...] = ()
    cpu: float | None = None
    memory: int | None = None
    kept_cpu: float | None = None
    kept_memory: int | None = None
    confinement: Confinement = field(default_factory=Confinement)


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container as it is now.

    Arguments:
        status: ``created``, ``running``, ``exited``, … as the Docker API calls it.
    """

    name: str
    status: str
    labels: Mapping[str, str]

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self.status in {"running", "paused", "restarting", "removing"}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended."""

    exit_code: int
    out_of_memory: bool = False
    error: str = ""


class Changes(Protocol):
    """What happens from now on."""

    def __iter__(self) -> Iterator[object]: ...

    def close(self) -> None:
        """End it, from any thread."""


class ContainerEngine(Protocol):
    """A container engine; every call may raise `OutsideError`, and `UsageError` where it refuses.

    Whatever is ended or removed may be gone already.
    """

    def create(self, plan: ContainerPlan) -> None: ...

    def start(self, name: str) -> None: ...

    def terminate(self, name: str) -> None:
        """Send the image's stop signal, SIGTERM if it names none."""

    def kill(self, name: str) -> None: ...

    def remove(self, name: str) -> None:
        """With its anonymous volumes; it is killed if it runs."""

    def containers(self, owner: str) -> Sequence[ContainerState]:
        """Every container of an owner."""

    def ending(self, name: str) -> Ending | None:
        """How it ended, None while it runs."""

    def log(self, name: str, lines: int) -> tuple[str, ...]:
        """The last lines it printed."""

    def changes(self, owner: str) -> Changes:
        """Something for each change of a container of an owner, until it is closed."""

    def make_network(self, name: str, labels: Mapping[str, str]) -> None:
        """Make it unless there is one."""

    def networks(self, owner: str) -> Mapping[str, Mapping[str, str]]:
        """Name and labels of each network of an owner."""

    def remove_network(self, name: str) -> None: ...

    def has_volume(self, name: str) -> bool: ...

    def remove_volume(self, name: str) -> None: ...

    def user(self, image: str) -> str:
        """Who an image runs as, as it says; empty for root."""


class ImageShelf(Protocol):
    """Images that the container engine holds; every call may raise `OutsideError` or `UsageError`."""

    def has(self, image: str) -> bool: ...

    def pull(self, image: str) -> None:
        """Fetch an image by its pinned name."""

    def load(self, archive: IO[bytes]) -> None:
        """Take the images of an archive as ``docker save`` writes it."""

    def discard(self, image: str) -> bool:
        """Remove an image nobody uses; False if somebody does."""


class DockerImages:
    """What this engine fetched, of which it keeps a list: images of others are left alone.

    Arguments:
        file: the list; its folder must exist.
        open_registry: opens the registry at an address, for layout folders, which no container engine reads.
    """

    def __init__(self, file: Path, shelf: ImageShelf, open_registry: Callable[[str], Registry]) -> None:
        self._file = file
        self._shelf = shelf
        self._open = open_registry
        self._changing = threading.Lock()

    def get(self, reference: str) -> str:
        """What the container engine calls an image, fetched if it is not there yet."""
        image = ImageReference.parse(reference)
        name = self._name(image)
        if not self._shelf.has(name):
            self._remember(name)
            if is_layout(image.address):
                self._load(image)
            else:
                self._shelf.pull(name)
        return name

    def keep(self, references: Collection[str]) -> None:
        """Remove every other image that was fetched; what a container still uses stays for now."""
        kept = {self._name(ImageReference.parse(reference)) for reference in references}
        for name in self._fetched():
            if name not in kept and self._gone(name):
                with self._changing:
                    self._write([one for one in self._fetched() if one != name])

    def _name(self, image: ImageReference) -> str:
        """What the container engine calls it; a loaded one has no name but its configuration's digest."""
        return self._stored(image).config.digest if is_layout(image.address) else str(image)

    def _stored(self, image: ImageReference) -> StoredImage:
        return read_image(self._open(image.address), image.repository, image.digest)

    def _load(self, image: ImageReference) -> None:
        with tempfile.TemporaryFile() as archive:
            _save(self._open(image.address), image.repository, self._stored(image), archive)
            archive.seek(0)
            self._shelf.load(archive)

    def _gone(self, name: str) -> bool:
        try:
            return self._shelf.discard(name)
        except PipegraftError:
            return False  # it is tried again when the next old version is collected

    def _remember(self, name: str) -> None:
        with self._changing:
            fetched = self._fetched()
            if name not in fetched:
                self._write([*fetched, name])

    def _fetched(self) -> list[str]:
        return list(json.loads(self._file.read_bytes())) if self._file.exists() else []

    def _write(self, names: list[str]) -> None:
        write_atomically(self._file, json.dumps(names, indent=1).encode())


def _save(registry: Registry, repository: str, stored: StoredImage, archive: IO[bytes]) -> None:
    """One image without a name, as ``docker save`` writes it (Docker image specification v1.2)."""
    blobs = {one.digest: one for one in (stored.config, *stored.layers)}
    layers = [_file(layer.digest) for layer in stored.layers]
    content = json.dumps([{"Config": _file(stored.config.digest), "RepoTags": None, "Layers": layers}])
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for blob in blobs.values():
            entry = tarfile.TarInfo(_file(blob.digest))
            entry.size = blob.size
            with registry.open(repository, blob.digest) as stream:
                tar.addfile(entry, stream)
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content.encode()))


def _file(digest: str) -> str:
    return digest.replace(":", "-")
