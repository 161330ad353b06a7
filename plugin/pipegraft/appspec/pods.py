"""A pod: an rpc component with the components that live in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pipegraft.appspec.model.spec import AppComponent
from pipegraft.appspec.model.traits import SidecarKind, Volume
from pipegraft.core.delivery import Intimacy

__all__ = ["VOLUME_KINDS", "Member", "Pod", "port_variable", "volume_kind"]

VOLUME_KINDS = ("persistent", "claim", "config", "secret", "ephemeral")
"""Keys of a volume that say what it is."""


def volume_kind(volume: Volume) -> str | None:
    """Which of `VOLUME_KINDS` is declared."""
    return next((kind for kind in VOLUME_KINDS if getattr(volume, kind) is not None), None)


@dataclass(frozen=True, slots=True)
class Member:
    """One component, layers merged."""

    name: str
    spec: AppComponent

    @property
    def intimacy(self) -> Intimacy:
        """How close it lives to the others."""
        return self.spec.intimacy or "rpc"

    @property
    def attach(self) -> Literal["image-volume", "init-container"]:
        """How an in-process component gets into its pod."""
        return self.spec.attach or ("init-container" if self.spec.command else "image-volume")

    @property
    def sidecar(self) -> SidecarKind:
        """How an ipc component is added to its pod."""
        return self.spec.sidecar or "container"

    @property
    def volumes(self) -> Mapping[str, Volume]:
        """Folders that are no part of its image, by name."""
        return {name: volume for name, volume in (self.spec.volumes or {}).items() if volume is not None}

    @property
    def ports(self) -> Mapping[str, int]:
        """What it listens on, by name."""
        return {name: port for name, port in (self.spec.ports or {}).items() if port is not None}

    def port(self, name: str | None) -> int | None:
        """A port by name, its first one if None; None if there is no such port."""
        return self.ports.get(name) if name else next(iter(self.ports.values()), None)


@dataclass(frozen=True, slots=True)
class Pod:
    """What is deployed together.

    Arguments:
        main: the rpc component.
        guests: those that live in its pod, in the order of ``app.yaml``.
    """

    main: Member
    guests: tuple[Member, ...] = ()

    @property
    def name(self) -> str:
        """Name of the workload."""
        return self.main.name

    @property
    def sidecars(self) -> tuple[Member, ...]:
        """Components with a container of their own beside the main one."""
        return tuple(member for member in self.guests if member.intimacy == "ipc")

    @property
    def mounted(self) -> tuple[Member, ...]:
        """Components mounted into the main container."""
        return tuple(member for member in self.guests if member.intimacy == "in-process")

    @property
    def members(self) -> tuple[Member, ...]:
        """All components: the main one first."""
        return (self.main, *self.guests)

    @property
    def processes(self) -> tuple[Member, ...]:
        """Components with a process of their own that runs as long as the pod: the main one first."""
        return (self.main, *self.sidecars)

    @property
    def volumes(self) -> Mapping[str, Volume]:
        """The volumes of the pod, by name, as the component says that says what they are."""
        found: dict[str, Volume] = {}
        for member in self.processes:
            for name, volume in member.volumes.items():
                if name not in found or volume_kind(found[name]) is None:
                    found[name] = volume
        return found

    @property
    def entrance(self) -> tuple[str, int] | None:
        """Component and port that take requests from outside."""
        entrance = self.main.spec.entrance
        if entrance is None:
            return None
        via = entrance.via or self.name
        for member in self.processes:
            port = member.port(entrance.port)
            if member.name == via and port:
                return via, port
        return None

    def variables(self) -> Mapping[str, str]:
        """What every container of the pod is told about the others; see `told`."""
        return dict(self.told())

    def told(self) -> Iterator[tuple[str, str]]:
        """Variables with their values; a name comes twice if two components would set it.

        Returns:
            ``PIPEGRAFT_PORT_<COMPONENT>``, with ``_<PORT>`` where it has several, and
            ``PIPEGRAFT_MOUNT_<COMPONENT>``.
        """
        for member in self.processes:
            for name, number in member.ports.items():
                yield port_variable(member.name, name, several=len(member.ports) > 1), str(number)
        for member in self.mounted:
            yield f"PIPEGRAFT_MOUNT_{_upper(member.name)}", member.spec.mount or ""


def port_variable(component: str, port: str, *, several: bool) -> str:
    """The variable that tells a pod a port.

    Arguments:
        several: whether the component has more than one.
    """
    return f"PIPEGRAFT_PORT_{_upper(component)}{f'_{_upper(port)}' if several else ''}"


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
