"""The container engine over the Docker SDK."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import docker
from docker import APIClient

from pipegraft.core.errors import OutsideError, PipegraftError, UsageError
from pipegraft.engine.adapters.docker_plan import (
    ENGINE,
    Changes,
    ContainerPlan,
    ContainerState,
    Ending,
    MountPlan,
)
from pipegraft.engine.ports import Confinement
from pipegraft.images.adapters.docker import connect, translated
from pipegraft.images.adapters.registry.endpoint import find_keyring

__all__ = ["DockerApi"]

_TIMEOUT = 60.0
_PULL_TIMEOUT = 600.0
_LOG = {"Type": "json-file", "Config": {"max-size": "8m", "max-file": "2"}}
"""Without a limit a container's log fills the disk."""
_NANO = 1_000_000_000
_SHARES = 1024
"""Weight of one core, as Kubernetes gives it to a container engine."""


class _Absent(UsageError):
    """What is asked for is not there."""


def _no_network(said: str) -> PipegraftError:
    """Docker's own addresses are enough for about thirty networks, and those of others count."""
    if "address pool" not in said:
        return UsageError(said)
    return OutsideError(
        f"the Docker engine has no addresses left for one more network: {said}",
        fix="remove the networks that nothing uses ('docker network prune'), or give the engine more: "
        '"default-address-pools": [{"base": "10.210.0.0/16", "size": 24}] in /etc/docker/daemon.json',
    )


class DockerApi:
    """`ContainerEngine` and `ImageShelf`; to be used by many threads, and closed.

    Arguments:
        variables: where a registry's credentials are looked for, beside docker's own files.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables
        with translated(UsageError):
            self._client: APIClient = connect(_TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # Containers

    def create(self, plan: ContainerPlan) -> None:
        with translated(UsageError):
            client = self._client
            client.create_container_from_config(_config(client, plan), plan.name)

    def start(self, name: str) -> None:
        with translated(UsageError):
            self._client.start(name)

    def terminate(self, name: str) -> None:
        with self._unless_gone():
            found = self._client.inspect_container(name)["Config"].get("StopSignal")
            self._client.kill(name, found or "SIGTERM")

    def kill(self, name: str) -> None:
        with self._unless_gone():
            self._client.kill(name, "SIGKILL")

    def remove(self, name: str) -> None:
        with self._unless_gone():
            self._client.remove_container(name, v=True, force=True)

    def containers(self, owner: str) -> Sequence[ContainerState]:
        with translated(UsageError):
            found = self._client.containers(all=True, filters={"label": f"{ENGINE}={owner}"})
        return [
            ContainerState(one["Names"][0].removeprefix("/"), one["State"], one["Labels"])
            for one in found
            if one["Names"]  # one that is being removed may have lost them
        ]

    def ending(self, name: str) -> Ending | None:
        with translated(UsageError):
            state = self._client.inspect_container(name)["State"]
        if state["Running"] or (state["Status"] == "created" and not state["Error"]):
            return None
        return Ending(state["ExitCode"], state["OOMKilled"], state["Error"])

    def log(self, name: str, lines: int) -> tuple[str, ...]:
        with translated(UsageError):
            printed: bytes = self._client.logs(name, stdout=True, stderr=True, tail=lines)
        return tuple(printed.decode("utf-8", "replace").splitlines())

    def changes(self, owner: str) -> Changes:
        label = f"{ENGINE}={owner}"
        told = ["create", "start", "die", "destroy"]
        with translated(UsageError):
            return _Events(self._client.events(filters={"type": "container", "label": label, "event": told}))

    def make_network(self, name: str, labels: Mapping[str, str]) -> None:
        with translated(_no_network):
            there = self._client.networks(names=[name])  # answers names that hold it, too
            if not any(one["Name"] == name for one in there):
                self._client.create_network(name, driver="bridge", labels=dict(labels))

    def networks(self, owner: str) -> Mapping[str, Mapping[str, str]]:
        with translated(UsageError):
            found = self._client.networks(filters={"label": f"{ENGINE}={owner}"})
        return {one["Name"]: one["Labels"] for one in found}

    def remove_network(self, name: str) -> None:
        with self._unless_gone():
            self._client.remove_network(name)

    def has_volume(self, name: str) -> bool:
        return self._exists(self._client.inspect_volume, name)

    def user(self, image: str) -> str:
        with translated(UsageError):
            return str(self._client.inspect_image(image)["Config"].get("User") or "")

    def remove_volume(self, name: str) -> None:
        with self._unless_gone():
            self._client.remove_volume(name)

    # Images

    def has(self, image: str) -> bool:
        return self._exists(self._client.inspect_image, image)

    def pull(self, image: str) -> None:
        host, _, path = image.partition("@")[0].partition("/")
        credentials = find_keyring(host, self._variables).of(path)
        given = credentials and {
            "username": credentials.user,
            "password": credentials.password,
            "identitytoken": credentials.identity_token,
        }
        with translated(_refused_pull(image)):
            name, _, digest = image.partition("@")
            for event in self._client.pull(name, tag=digest, stream=True, decode=True, auth_config=given):
                if "error" in event:
                    raise UsageError(f"{image} cannot be pulled: {event['error']}")

    def load(self, archive: IO[bytes]) -> None:
        with translated(UsageError):
            for event in self._client.load_image(archive) or ():
                if "error" in event:
                    raise UsageError(f"an image cannot be loaded: {event['error']}")

    def discard(self, image: str) -> bool:
        with self._unless_gone():
            self._client.remove_image(image)
        return not self.has(image)

    def _exists(self, inspect: Callable[[str], object], name: str) -> bool:
        found = []
        with self._unless_gone():
            found.append(inspect(name))
        return bool(found)

    @contextlib.contextmanager
    def _unless_gone(self) -> Iterator[None]:
        """Whoever is to be ended or removed may have gone by itself."""
        with translated(UsageError), contextlib.suppress(docker.errors.NotFound):
            try:
                yield
            except docker.errors.APIError as error:
                if error.status_code != 409:  # it does not run, is being removed, or somebody uses it
                    raise


class _Events:
    """The engine's events; closing them from another thread ends whoever waits for the next."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[object]:
        with translated(UsageError):
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


def _refused_pull(image: str) -> Callable[[str], PipegraftError]:
    return lambda said: UsageError(
        f"{image} cannot be pulled: {said}",
        fix="check that the image exists and that the Docker engine may read the registry",
    )


def _config(client: APIClient, plan: ContainerPlan) -> dict[str, Any]:
    may = plan.confinement
    host = client.create_host_config(
        network_mode=plan.network or f"container:{plan.joins}",
        ipc_mode=f"container:{plan.joins}" if plan.joins else "shareable",
        port_bindings={port: ("127.0.0.1", published) for port, published in plan.ports.items()},
        mounts=[_mount(one) for one in plan.mounts],
        nano_cpus=None if plan.cpu is None else int(plan.cpu * _NANO),
        cpu_shares=None if plan.kept_cpu is None else max(2, int(plan.kept_cpu * _SHARES)),
        mem_limit=plan.memory,
        mem_reservation=plan.kept_memory,
        log_config=docker.types.LogConfig(type=_LOG["Type"], config=_LOG["Config"]),
        read_only=bool(may.read_only_root),
        cap_add=list(may.add) or None,
        cap_drop=list(may.drop) or None,
        security_opt=[
            *(["no-new-privileges:true"] if may.privilege_escalation is False else []),
            *(["seccomp=unconfined"] if may.seccomp == "unconfined" else []),
        ],
    )
    networking = None
    if plan.network:
        endpoint = client.create_endpoint_config(aliases=[plan.alias] if plan.alias else None)
        networking = client.create_networking_config({plan.network: endpoint})
    config: dict[str, Any] = client.create_container_config(
        plan.image,
        list(plan.command) or None,
        entrypoint=list(plan.entrypoint) or None,
        environment=dict(plan.env),
        labels=dict(plan.labels),
        user=_user(may),
        ports=list(plan.ports),
        host_config=host,
        networking_config=networking,
    )
    return config


def _user(may: Confinement) -> str | None:
    if may.user is None:
        return None if may.group is None else f"0:{may.group}"
    return f"{may.user}" if may.group is None else f"{may.user}:{may.group}"


def _mount(plan: MountPlan) -> Any:
    driver = None
    if plan.in_memory:
        size = f"size={plan.limit}" if plan.limit else ""
        options = {"type": "tmpfs", "device": "tmpfs", **({"o": size} if size else {})}
        driver = docker.types.DriverConfig("local", options)
    kind = "volume" if plan.volume else "bind"
    return docker.types.Mount(
        plan.target, plan.source, type=kind, read_only=plan.read_only, driver_config=driver
    )
