"""What the runtime wants of a container engine: the containers of one instance, from its workload."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipegraft.appspec.pods import GRAY_SUFFIX
from pipegraft.appspec.traits import expand
from pipegraft.engine.adapters.supplies import SecretFolder
from pipegraft.engine.ports import Confinement, Container, Folder, HealthProbe, SecretKey, Workload

__all__ = [
    "APPLICATION",
    "ENGINE",
    "INSTANCE",
    "Changes",
    "ContainerEngine",
    "ContainerPlan",
    "ContainerState",
    "Ending",
    "GroupRecord",
    "Member",
    "MountPlan",
    "Surroundings",
    "claims",
    "fillers",
    "members",
    "network_name",
    "variables",
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


_PREFIX = "dev.pipegraft."
ENGINE = f"{_PREFIX}engine"
"""Label that names the engine a container belongs to."""
APPLICATION = f"{_PREFIX}application"
INSTANCE = f"{_PREFIX}instance"
_RECORD = f"{_PREFIX}record"
_PROBES = ("readiness", "liveness", "startup")


@dataclass(frozen=True, slots=True)
class Member:
    """One container that an instance lives by."""

    name: str
    readiness: HealthProbe | None = None
    liveness: HealthProbe | None = None
    startup: HealthProbe | None = None
    first: bool = False


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What each container of an instance has on its label, so that any of them tells of the whole.

    Arguments:
        ports: declared port → the one of the loopback interface it is published on.
        members: in the order they are started.
        fillers: containers that ran to their end before.
        volumes: names of the volumes that are removed with it.
        images: references that it was made of.
        started: seconds since the epoch.
    """

    id: str
    application: str
    workload: str
    template: str
    grace: float
    ports: Mapping[int, int]
    members: tuple[Member, ...]
    fillers: tuple[str, ...]
    volumes: tuple[str, ...]
    images: tuple[str, ...]
    annotations: Mapping[str, str]
    started: float

    @classmethod
    def of(cls, name: str, workload: Workload, ports: Mapping[int, int], started: float) -> GroupRecord:
        """The record of a new instance."""
        filled = [mount for mount in workload.mounts if mount.filler]
        return cls(
            name,
            workload.application,
            workload.name,
            workload.template,
            workload.grace,
            dict(ports),
            tuple(
                Member(one.name, one.readiness, one.liveness, one.startup, one.first)
                for one in _in_order(workload)
            ),
            tuple(mount.name for mount in filled),
            tuple(dict.fromkeys(_own_volumes(name, workload))),
            tuple(dict.fromkeys(workload.images)),
            dict(workload.annotations),
            started,
        )

    @classmethod
    def read(cls, labels: Mapping[str, str]) -> GroupRecord:
        """From the labels of any of its containers."""
        data: dict[str, Any] = json.loads(labels[_RECORD])
        members = tuple(
            Member(one["name"], first=one["first"], **{kind: _probe(one[kind]) for kind in _PROBES})
            for one in data["members"]
        )
        lists = {key: tuple(data[key]) for key in ("fillers", "volumes", "images")}
        ports = {int(declared): published for declared, published in data["ports"].items()}
        return cls(**{**data, **lists, "members": members, "ports": ports})

    def labels(self, engine: str) -> dict[str, str]:
        """What its containers have."""
        return {
            **self.annotations,
            ENGINE: engine,
            APPLICATION: self.application,
            INSTANCE: self.id,
            _RECORD: json.dumps(dataclasses.asdict(self), separators=(",", ":")),
        }

    def container(self, member: str) -> str:
        """Name of one of its containers; an application's name keeps two engines' apart for people."""
        return f"{self.application}.{self.id}.{member}"

    @property
    def owner(self) -> str:
        """The container whose network the others share."""
        return self.container(self.members[0].name)


def network_name(engine: str, application: str) -> str:
    """Network in which an application's workloads find one another by name."""
    return f"pipegraft-{engine}-{application}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the containers of an instance need from outside.

    Arguments:
        env: container → variables, secrets looked up.
        image: reference → what the container engine calls it.
        network: of the application.
        unpacked: image that is mounted → folder it is unpacked to.
        bundle: kind and name of a config map or secret → folder of its keys.
    """

    engine: str
    env: Mapping[str, Mapping[str, str]]
    image: Callable[[str], str]
    network: str
    unpacked: Mapping[str, str]
    bundle: Callable[[str, str], str]


def fillers(record: GroupRecord, workload: Workload, around: Surroundings) -> Iterable[ContainerPlan]:
    """Containers that run to their end before the others start."""
    for mount in workload.mounts:
        if mount.filler:
            place = MountPlan(mount.path, _volume(record.id, mount.name), volume=True)
            plan = _plan(record, mount.filler, around)
            yield dataclasses.replace(plan, network=around.network, mounts=(place, *plan.mounts))


def members(record: GroupRecord, workload: Workload, around: Surroundings) -> Iterable[ContainerPlan]:
    """The containers the instance lives by, in the order of their start.

    The first has the network and the ports; the main one has the mounted components.
    """
    mounts = tuple(
        MountPlan(mount.path, _volume(record.id, mount.name), volume=True, read_only=True)
        if mount.filler
        else MountPlan(mount.path, around.unpacked[mount.image], read_only=True)
        for mount in workload.mounts
    )
    for at, container in enumerate(_in_order(workload)):
        plan = _plan(record, container, around)
        if container is workload.containers[0]:
            plan = dataclasses.replace(plan, mounts=(*mounts, *plan.mounts))
        if at == 0:
            yield dataclasses.replace(plan, network=around.network, alias=workload.name, ports=record.ports)
        else:
            yield dataclasses.replace(plan, joins=record.owner)


def variables(workload: Workload, secrets: SecretFolder) -> Mapping[str, Mapping[str, str]]:
    """Every container's variables.

    Raises:
        UsageError: a secret is missing.
    """
    filling = [mount.filler for mount in workload.mounts if mount.filler]
    return {one.name: _variables(one, secrets) for one in (*workload.containers, *filling)}


def _variables(container: Container, secrets: SecretFolder) -> Mapping[str, str]:
    """In their order, each with those before it put in."""
    known: dict[str, str] = {}
    for name, value in secrets.bundled(container).env:
        known[name] = secrets.value(value) if isinstance(value, SecretKey) else expand(value, known)
    return known


def claims(workload: Workload) -> set[str]:
    """Volumes that somebody else must have made."""
    return {folder.source for one in workload.containers for folder in one.folders if folder.kind == "claim"}


def _in_order(workload: Workload) -> list[Container]:
    return sorted(workload.containers, key=lambda one: not one.first)  # stable


def _plan(record: GroupRecord, container: Container, around: Surroundings) -> ContainerPlan:
    env = around.env[container.name]
    return ContainerPlan(
        record.container(container.name),
        around.image(container.image),
        record.labels(around.engine),
        tuple(expand(word, env) for word in container.command),
        tuple(expand(word, env) for word in container.args),
        env,
        mounts=tuple(_folder(record, folder, around) for folder in container.folders),
        cpu=container.cpu,
        memory=container.memory,
        kept_cpu=container.kept_cpu,
        kept_memory=container.kept_memory,
        confinement=container.confinement,
    )


def _folder(record: GroupRecord, folder: Folder, around: Surroundings) -> MountPlan:
    if folder.kind in ("config", "secret"):
        return MountPlan(folder.path, around.bundle(folder.kind, folder.source), read_only=True)
    if folder.kind == "ephemeral":
        source = _volume(record.id, folder.name)
        return MountPlan(folder.path, source, True, folder.read_only, folder.in_memory, folder.limit)
    kept = f"pipegraft-{record.application}-{record.workload.removesuffix(GRAY_SUFFIX)}-{folder.name}"
    return MountPlan(folder.path, folder.source or kept, True, folder.read_only)


def _own_volumes(instance: str, workload: Workload) -> Iterable[str]:
    """Volumes that end with the instance."""
    for mount in workload.mounts:
        if mount.filler:
            yield _volume(instance, mount.name)
    for container in workload.containers:
        for folder in container.folders:
            if folder.kind == "ephemeral":
                yield _volume(instance, folder.name)


def _volume(instance: str, name: str) -> str:
    return f"pipegraft-{instance}-{name}"


def _probe(data: dict[str, Any] | None) -> HealthProbe | None:
    return HealthProbe(**data) if data else None
