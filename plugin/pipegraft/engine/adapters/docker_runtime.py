"""Workloads as containers: their labels are the only state, so whoever comes next finds them again.

An instance is a group of containers. The first has the network, the published ports and the mounted
components; the others share its network and memory segments, as in a pod. Declared ports are
published on the loopback interface, so the proxy and the probes reach them on any system.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

from pipegraft.core.errors import UsageError
from pipegraft.engine.adapters.docker_group import Group, Seen, Watch
from pipegraft.engine.adapters.docker_plan import (
    APPLICATION,
    ENGINE,
    INSTANCE,
    ContainerEngine,
    ContainerPlan,
    ContainerState,
    GroupRecord,
    Surroundings,
    claims,
    fillers,
    members,
    network_name,
    variables,
)
from pipegraft.engine.adapters.probing import ask, free_port
from pipegraft.engine.adapters.supplies import DockerImages, ImageFolders, SecretFolder
from pipegraft.engine.ports import Container, HealthProbe, Instance, Workload

__all__ = ["DockerRuntime"]

_POLL = 0.05


class DockerRuntime:
    """Runs instances as containers.

    Arguments:
        owner: name of this engine, on a label of everything it makes.
        images: what containers are created from.
        folders: where mounted components come from.
        secrets: values kept outside of the repository.
        drain: seconds a ready instance still runs after it was told to stop, so that requests that
            were on their way arrive.
        clock: seconds since the epoch.

    Raises:
        OutsideError: the container engine does not answer.
    """

    def __init__(
        self,
        owner: str,
        engine: ContainerEngine,
        images: DockerImages,
        folders: ImageFolders,
        *,
        secrets: SecretFolder,
        drain: float = 0.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._owner = owner
        self._engine = engine
        self._images = images
        self._folders = folders
        self._secrets = secrets
        self._drain = drain
        self._clock = clock
        self._networks = threading.Lock()
        self._probing = ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe")
        self._work = ThreadPoolExecutor(max_workers=8, thread_name_prefix="container")
        self._watch = Watch(engine, owner)
        self._groups = self._adopt(self._watch.open())

    def close(self) -> None:
        """Let go of the container engine; what runs goes on."""
        self._watch.close()
        self._work.shutdown(cancel_futures=True)
        self._probing.shutdown(cancel_futures=True)

    def prepare(self, workload: Workload) -> None:
        for reference in workload.images:
            if reference in _mounted(workload):
                self._folders.get(reference)
            else:
                self._images.get(reference)

    def start(self, workload: Workload) -> str:
        env = variables(workload, self._secrets)
        name = f"{workload.name}-{workload.template[:6]}-{token_hex(3)}"
        taken = {port for one in self._groups.values() for port in one.record.ports.values()}
        ports: dict[int, int] = {}
        for port in workload.ports:
            ports[port] = free_port(taken | set(ports.values()))
        record = GroupRecord.of(name, workload, ports, self._clock())
        self._groups[name] = self._group(record, start=lambda: self._start(record, workload, env))
        return name

    def stop(self, instance: str) -> None:
        if instance in self._groups:
            self._groups[instance].stop(self._drain)

    def observe(self) -> Sequence[Instance]:
        seen = self._watch.seen()
        for name, group in list(self._groups.items()):
            group.advance(seen, self._probing)
            if group.gone:
                del self._groups[name]
        found = sorted(self._groups.values(), key=lambda one: (one.record.started, one.record.id))
        return [group.describe() for group in found]

    def collect(self, images: Collection[str]) -> bool:
        used = {*images, *(image for one in self._groups.values() for image in one.record.images)}
        self._images.keep(used)
        applications = {one.record.application for one in self._groups.values()}
        for network, labels in self._engine.networks(self._owner).items():
            if labels[APPLICATION] not in applications:
                self._engine.remove_network(network)
        return self._folders.keep(used)

    def _group(
        self, record: GroupRecord, *, start: Callable[[], None] | None = None, well: bool = False
    ) -> Group:
        return Group(record, self._engine, self._clock, self._work, self._watch, start=start, well=well)

    def _start(self, record: GroupRecord, workload: Workload, env: Mapping[str, Mapping[str, str]]) -> None:
        names = {one.image: self._images.get(one.image) for one in _containers(workload)}
        around = Surroundings(
            self._owner,
            env,
            names.__getitem__,
            network_name(self._owner, workload.application),
            {image: str(self._folders.get(image)[0]) for image in _mounted(workload)},
            lambda kind, name: str(self._secrets.folder(kind, name)),
        )
        self._check(workload, names)
        with self._networks:
            self._engine.make_network(
                around.network, {ENGINE: self._owner, APPLICATION: workload.application}
            )
        for plan in fillers(record, workload, around):
            self._fill(record, plan)
        for plan, member in zip(members(record, workload, around), record.members, strict=True):
            self._engine.create(plan)
            self._engine.start(plan.name)
            if member.first and member.startup:
                self._await(record, member.startup)

    def _check(self, workload: Workload, names: Mapping[str, str]) -> None:
        """What the container engine would not refuse."""
        for volume in claims(workload):
            if not self._engine.has_volume(volume):
                raise UsageError(
                    f"the volume '{volume}' is claimed, and there is none",
                    fix=f"make it: docker volume create {volume}",
                )
        for one in _containers(workload):
            may = one.confinement
            user = self._engine.user(names[one.image]) if may.user is None else str(may.user)
            if may.non_root and user.partition(":")[0] in ("", "0", "root"):
                raise UsageError(
                    f"'{one.name}' must not run as root, and its image does",
                    fix="set 'security.user', or a USER in its Dockerfile",
                )

    def _await(self, record: GroupRecord, startup: HealthProbe) -> None:
        """Hold the next container back until a first one has started; whether it ever does is seen later."""
        end = time.monotonic() + startup.delay + startup.period * startup.failures
        while ask(startup, record.ports[startup.port]) and time.monotonic() < end:
            if self._is_stopping(record):
                return
            time.sleep(_POLL)

    def _is_stopping(self, record: GroupRecord) -> bool:
        group = self._groups.get(record.id)
        return group is not None and group.stopping

    def _fill(self, record: GroupRecord, plan: ContainerPlan) -> None:
        """Run a container to its end."""
        self._engine.create(plan)
        self._engine.start(plan.name)
        while (ending := self._engine.ending(plan.name)) is None:
            if self._is_stopping(record):
                return
            time.sleep(_POLL)
        if ending.exit_code:
            last = "; ".join(self._engine.log(plan.name, 3))
            raise UsageError(f"{plan.name} ended with exit status {ending.exit_code}: {last}")

    def _adopt(self, seen: Seen) -> dict[str, Group]:
        """Whoever ran these containers has gone; what it had begun and not ended is taken away."""
        found: dict[str, list[ContainerState]] = {}
        for state in seen.states.values():
            found.setdefault(state.labels[INSTANCE], []).append(state)
        records = [GroupRecord.read(states[0].labels) for states in found.values()]
        well = self._probing.map(_is_well, records)
        groups = {
            record.id: self._group(record, well=good) for record, good in zip(records, well, strict=True)
        }
        for name, states in found.items():
            if _is_half(groups[name].record, states):
                groups[name].stop(0.0)
        return groups


def _containers(workload: Workload) -> list[Container]:
    filling = [mount.filler for mount in workload.mounts if mount.filler]
    return [*workload.containers, *filling]


def _mounted(workload: Workload) -> set[str]:
    return {mount.image for mount in workload.mounts if not mount.filler}


def _is_well(record: GroupRecord) -> bool:
    return all(
        not ask(one.readiness, record.ports[one.readiness.port]) for one in record.members if one.readiness
    )


def _is_half(record: GroupRecord, states: Sequence[ContainerState]) -> bool:
    """Whether its start was not finished; it has no ready container then, or one that was never started."""
    names = {state.name for state in states if state.status != "created"}
    return not {record.container(one.name) for one in record.members} <= names
