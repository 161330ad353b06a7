"""What the runtime wants of a container engine, in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipegraft.engine.ports import Confinement

__all__ = ["Changes", "ContainerEngine", "ContainerPlan", "ContainerState", "Ending", "MountPlan"]


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
