"""Workload runtimes: where the embedded engine runs what the app spec declares."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, Protocol

__all__ = [
    "Confinement",
    "Container",
    "FakeRuntime",
    "Folder",
    "FolderKind",
    "HealthProbe",
    "Instance",
    "Mount",
    "Phase",
    "Rollout",
    "SecretKey",
    "Workload",
    "WorkloadRuntime",
]


@dataclass(frozen=True, slots=True)
class HealthProbe:
    """A question to a container, times in seconds.

    Arguments:
        port: declared port number.
        path: asked by HTTP GET; None only connects.
        delay: before the first question.
        failures: bad answers in a row that count.
    """

    port: int
    path: str | None = None
    delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    failures: int = 3


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A value that is looked up when the container starts; `kind` is ``secret`` or ``config``."""

    kind: str
    name: str
    key: str


FolderKind = Literal["persistent", "claim", "config", "secret", "ephemeral"]
"""What a folder is; see `pipegraft.appspec.traits.Volume`."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a container that is no part of its image.

    Arguments:
        name: containers of an instance that name the same folder share it.
        source: name of the claim, config map or secret.
        in_memory: whether it lies in memory, of at most `limit` bytes.
    """

    name: str
    path: str
    kind: FolderKind
    source: str = ""
    read_only: bool = False
    in_memory: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the processes of a container may do; None leaves it to the runtime.

    Arguments:
        add, drop: Linux capabilities.
        seccomp: ``runtime-default`` or ``unconfined``.
    """

    non_root: bool | None = None
    user: int | None = None
    group: int | None = None
    read_only_root: bool | None = None
    privilege_escalation: bool | None = None
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    seccomp: str | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """One process of an instance.

    Arguments:
        command: replaces the image's entrypoint, and with it the image's command, unless empty.
        args: replaces the image's command, unless empty.
        env: name and value, later ones winning.
        env_from: kind (``secret`` or ``config``) and name of those whose keys all become variables; `env`
            wins.
        startup: the other probes wait for it.
        cpu, memory: cores and bytes it may use; None for no limit.
        kept_cpu, kept_memory: what is kept for it.
        first: whether it starts before the main container, and ends after it.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str | SecretKey], ...] = ()
    readiness: HealthProbe | None = None
    liveness: HealthProbe | None = None
    startup: HealthProbe | None = None
    env_from: tuple[tuple[str, str], ...] = ()
    cpu: float | None = None
    memory: int | None = None
    kept_cpu: float | None = None
    kept_memory: int | None = None
    folders: tuple[Folder, ...] = ()
    confinement: Confinement = Confinement()
    first: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """An image whose content appears in the main container at `path`.

    Arguments:
        filler: runs to its end first and puts the content there; None if the image is the content.
    """

    name: str
    image: str
    path: str
    filler: Container | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """How instances of one template give way to those of the next.

    Arguments:
        recreate: whether all old ones end before a new one starts.
        surge: instances there may be above what is declared; None for as many as are declared.
        unavailable: ready instances that may be missing.
    """

    recreate: bool = False
    surge: int | None = None
    unavailable: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """What one instance consists of, and how many there are.

    Arguments:
        application: name of the application it belongs to.
        containers: the main one first.
        ports: declared port numbers of the instance, shared by its containers.
        grace: seconds between SIGTERM and SIGKILL.
        annotations: for whoever looks at instances.
    """

    application: str
    name: str
    containers: tuple[Container, ...]
    mounts: tuple[Mount, ...] = ()
    ports: tuple[int, ...] = ()
    replicas: int = 1
    grace: float = 10.0
    rollout: Rollout = Rollout()
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def template(self) -> str:
        """Names what an instance is made of: instances of equal templates are interchangeable."""
        return hashlib.sha256(repr(replace(self, replicas=0, rollout=Rollout())).encode()).hexdigest()[:16]

    @property
    def images(self) -> tuple[str, ...]:
        """Every image an instance needs."""
        return (*(one.image for one in self.containers), *(one.image for one in self.mounts))


class Phase(StrEnum):
    """What an instance is doing."""

    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    FAILED = "failed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Instance:
    """One running copy of a workload.

    Arguments:
        id: unique among all instances there ever were.
        template: of the workload it was started for.
        since: when it entered this phase, seconds since the epoch.
        addresses: declared port → ``host:port`` where it listens.
        reason: why it is in this phase, one sentence.
        evidence: what proves it: the last lines of a log, a probe's answer.
    """

    id: str
    application: str
    workload: str
    template: str
    phase: Phase
    since: float
    addresses: Mapping[int, str] = field(default_factory=dict)
    reason: str = ""
    evidence: tuple[str, ...] = ()


class WorkloadRuntime(Protocol):
    """Runs instances. What it runs outlives the engine, and the next engine finds it again."""

    def prepare(self, workload: Workload) -> None:
        """Have the images of a workload at hand before it is started; may be called from any thread.

        Raises:
            OutsideError: one cannot be fetched now.
            UsageError: there is no such image.
        """

    def start(self, workload: Workload) -> str:
        """Start one instance and answer its id; it is STARTING until its probes say READY.

        Raises:
            OutsideError: an image cannot be fetched, or this machine has no room for another process.
            UsageError: it can never run here: no such command, a secret is missing.
        """

    def stop(self, instance: str) -> None:
        """Begin to end an instance: SIGTERM, then SIGKILL after its grace. A FAILED one is cleared away.

        One that is stopping or gone already is left alone.
        """

    def observe(self) -> Sequence[Instance]:
        """Every instance that exists now, in the order they were started.

        Raises:
            OutsideError: what runs them does not answer.
        """

    def collect(self, images: Collection[str]) -> bool:
        """Remove what was unpacked of all images but these and those of existing instances.

        Returns:
            Whether it was done; False if it should be asked again later.
        """


class FakeRuntime:
    """Instances in memory, whose phases a test sets.

    Arguments:
        becomes: phase of a workload's instances after the first look at them, READY if absent.
    """

    def __init__(self, becomes: Mapping[str, Phase] | None = None) -> None:
        self.becomes = dict(becomes or {})
        self.instances: dict[str, Instance] = {}
        self.collected: list[frozenset[str]] = []
        self._count = 0

    def prepare(self, workload: Workload) -> None:
        """Nothing: there are no images."""

    def start(self, workload: Workload) -> str:
        self._count += 1
        name = f"{workload.name}-{self._count}"
        ports = {
            port: f"127.0.0.1:{20000 + 100 * self._count + at}" for at, port in enumerate(workload.ports)
        }
        self.instances[name] = Instance(
            name, workload.application, workload.name, workload.template, Phase.STARTING, 0.0, ports
        )
        return name

    def stop(self, instance: str) -> None:
        held = self.instances.get(instance)
        if held is None:
            return
        if held.phase is Phase.FAILED:
            del self.instances[instance]
        else:
            self.instances[instance] = replace(held, phase=Phase.STOPPING)

    def observe(self) -> Sequence[Instance]:
        seen = list(self.instances.values())
        for instance in seen:
            if instance.phase is Phase.STARTING:
                phase = self.becomes.get(instance.workload, Phase.READY)
                self.instances[instance.id] = replace(instance, phase=phase)
            elif instance.phase is Phase.STOPPING:
                del self.instances[instance.id]
        return seen

    def collect(self, images: Collection[str]) -> bool:
        self.collected.append(frozenset(images))
        return True
