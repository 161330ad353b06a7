"""Workloads as plain processes of this machine: nothing to install, nothing isolated.

An instance's processes share nothing but the loopback interface, so each declared port gets a free
one, told by the variables ``PIPEGRAFT_PORT_*``. They outlive the engine; the next one adopts them.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipegraft.appspec.traits import expand
from pipegraft.core.errors import OutsideError, UsageError
from pipegraft.engine.adapters.probing import free_port
from pipegraft.engine.adapters.process_instance import (
    ContainerRecord,
    InstanceRecord,
    Records,
    RunningInstance,
)
from pipegraft.engine.adapters.supervision import MARK, Child, spawn
from pipegraft.engine.adapters.supplies import ImageFolders, SecretFolder
from pipegraft.engine.ports import Container, Instance, SecretKey, Workload

__all__ = ["CommandLine", "ProcessRuntime", "command_line"]


_INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")
"""What a process of this machine needs from it; everything else comes from the image and the spec."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """How to start one container."""

    words: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path


def command_line(
    workload: Workload,
    container: Container,
    *,
    roots: Mapping[str, Path],
    config: Mapping[str, Any],
    ports: Mapping[int, int],
    secret: Callable[[SecretKey], str],
) -> CommandLine:
    """Build it.

    Arguments:
        roots: image reference → folder it is unpacked to.
        config: `config` of the container's image (OCI image-spec, config.md).
        ports: declared port → the one to listen on.
        secret: looks up a value kept outside of the repository.

    Raises:
        UsageError: there is nothing to run, or a secret is missing.
    """
    root = roots[container.image]
    local = _local_ports(container, ports) | _local_mounts(workload, roots)
    declared = _declared(container, local, secret)
    command = tuple(expand(word, declared) for word in container.command)
    args = tuple(expand(word, declared) for word in container.args)
    entrypoint = command or tuple(config.get("Entrypoint") or ())
    words = (*entrypoint, *(args or (() if command else tuple(config.get("Cmd") or ()))))
    if not words:
        raise UsageError(
            f"the image of '{container.name}' says no command to run",
            fix=f"add 'command' to component '{container.name}'",
        )
    folder = _inside(root, config.get("WorkingDir") or "/")
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    for entry in config.get("Env") or ():
        name, _, value = entry.partition("=")
        env[name] = f"{env[name]}:{value}" if name == "PATH" and "PATH" in env else value
    env |= declared
    return CommandLine(tuple(_mapped(root, word) for word in words), env, folder if folder.is_dir() else root)


def _declared(
    container: Container, local: Mapping[str, str], secret: Callable[[SecretKey], str]
) -> dict[str, str]:
    """The spec's variables with those before them put in, and what is different on this machine."""
    known: dict[str, str] = dict(local)
    for name, value in container.env:
        if name not in local:
            known[name] = secret(value) if isinstance(value, SecretKey) else expand(value, known)
    return known


def _local_ports(container: Container, ports: Mapping[int, int]) -> dict[str, str]:
    return {
        name: str(ports[int(value)])
        for name, value in container.env
        if name.startswith("PIPEGRAFT_PORT_") and isinstance(value, str)
    }


def _local_mounts(workload: Workload, roots: Mapping[str, Path]) -> dict[str, str]:
    """Where mounted components are: the mount path inside their image, or the image's root."""
    found = {}
    for mount in workload.mounts:
        inside = _inside(roots[mount.image], mount.path)
        name = mount.name.upper().replace("-", "_")
        found[f"PIPEGRAFT_MOUNT_{name}"] = str(inside if inside.exists() else roots[mount.image])
    return found


def _mapped(root: Path, word: str) -> str:
    inside = _inside(root, word)
    return str(inside) if word.startswith("/") and word != "/" and inside.exists() else word


def _inside(root: Path, path: str) -> Path:
    """An absolute path of the image; ``..`` cannot lead out of it."""
    return root / os.path.normpath(f"/{path}").lstrip("/")


class ProcessRuntime:
    """Runs instances as processes.

    Arguments:
        folder: records and logs of the instances; made if absent.
        images: where their files come from.
        secret_folder: ``NAME/KEY`` files that references to secrets and config maps are looked up in.
        output_folder: the same for what resources of this machine tell.
        drain: seconds a ready instance still runs after it was told to stop, so that requests that
            were on their way arrive.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        folder: Path,
        images: ImageFolders,
        *,
        secret_folder: Path | None = None,
        output_folder: Path | None = None,
        drain: float = 0.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = Records(folder)
        self._images = images
        self._secrets = SecretFolder(secret_folder, output_folder)
        self._drain = drain
        self._clock = clock
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe")
        self._instances = {
            record.id: RunningInstance(record, self._records, clock) for record in self._records.load()
        }

    def prepare(self, workload: Workload) -> None:
        for image in workload.images:
            self._images.get(image)

    def start(self, workload: Workload) -> str:
        held = {image: self._images.get(image) for image in dict.fromkeys(workload.images)}
        name = f"{workload.name}-{workload.template[:6]}-{secrets.token_hex(3)}"
        taken = {port for one in self._instances.values() for port in one.record.ports.values()}
        ports: dict[int, int] = {}
        for port in workload.ports:
            ports[port] = free_port(taken | set(ports.values()))
        spawned: list[tuple[Container, Child]] = []
        try:
            for container in workload.containers:
                spawned.append((container, self._spawn(name, workload, container, held, ports)))  # noqa: PERF401 - what was spawned must be known when the next one fails
            record = self._record(name, workload, ports, spawned)
            self._records.save(record)
        except BaseException as error:
            for _, child in spawned:
                child.give_up()
            self._records.remove(name)
            if isinstance(error, OSError):
                raise OutsideError(f"cannot start {name}: {error}") from error
            raise
        children = [child for _, child in spawned]
        self._instances[name] = RunningInstance(record, self._records, self._clock, children)
        for child in children:
            child.let_go()
        return name

    def stop(self, instance: str) -> None:
        if instance in self._instances:
            self._instances[instance].stop(self._drain)

    def observe(self) -> Sequence[Instance]:
        seen = []
        for name, instance in list(self._instances.items()):
            instance.advance(self._pool)
            if instance.gone:
                self._records.remove(name)
                del self._instances[name]
            else:
                seen.append(instance.describe())
        return sorted(seen, key=lambda one: (self._instances[one.id].record.started, one.id))

    def collect(self, images: Collection[str]) -> bool:
        used = {image for one in self._instances.values() for image in one.record.images}
        return self._images.keep({*images, *used})

    def log(self, instance: str, container: str) -> Path:
        """File that takes what a container prints."""
        return self._instances[instance].log(container)

    def _spawn(
        self,
        name: str,
        workload: Workload,
        container: Container,
        held: Mapping[str, tuple[Path, Mapping[str, Any]]],
        ports: Mapping[int, int],
    ) -> Child:
        container = self._secrets.bundled(container)
        roots = {image: root for image, (root, _) in held.items()}
        config = held[container.image][1]
        line = command_line(
            workload, container, roots=roots, config=config, ports=ports, secret=self._secrets.value
        )
        log = self._records.folder(name) / f"{container.name}.log"
        return spawn(line.words, {**line.env, MARK: name}, line.folder, log)

    def _record(
        self,
        name: str,
        workload: Workload,
        ports: dict[int, int],
        spawned: Sequence[tuple[Container, Child]],
    ) -> InstanceRecord:
        now = self._clock()
        return InstanceRecord(
            name,
            workload.application,
            workload.name,
            workload.template,
            tuple(dict.fromkeys(workload.images)),
            workload.grace,
            ports,
            tuple(
                ContainerRecord(
                    container.name, child.id, container.readiness, container.liveness, container.startup
                )
                for container, child in spawned
            ),
            started=now,
            since=now,
        )
