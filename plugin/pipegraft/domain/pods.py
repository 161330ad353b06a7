"""A pod: an rpc component with the components that live in it, and what must hold between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pipegraft.model.appspec import AppComponent, Probe
from pipegraft.model.delivery import Intimacy

__all__ = ["Member", "Pod", "Report", "check_pod"]

_HOST_ONLY = ("replicas", "entrance", "grace")
_PROCESS_ONLY = ("ports", "env", "cpu", "memory", "readiness", "liveness")


class Report(Protocol):
    """Takes one mistake: message, route below ``components``, fix."""

    def __call__(self, message: str, route: tuple[str, ...], fix: str = "") -> None: ...


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
    def entrance(self) -> tuple[str, int] | None:
        """Component and port that take requests from outside."""
        entrance = self.main.spec.entrance
        if entrance is None:
            return None
        via = entrance.via or self.name
        for member in (self.main, *self.sidecars):
            port = member.port(entrance.port)
            if member.name == via and port:
                return via, port
        return None

    def variables(self) -> Mapping[str, str]:
        """What every container of the pod is told about the others.

        Returns:
            ``PIPEGRAFT_PORT_<COMPONENT>``, with ``_<PORT>`` where it has several, and
            ``PIPEGRAFT_MOUNT_<COMPONENT>``.
        """
        return dict(self._variables())

    def _variables(self) -> Iterator[tuple[str, str]]:
        for member in (self.main, *self.sidecars):
            for name, number in member.ports.items():
                suffix = f"_{_upper(name)}" if len(member.ports) > 1 else ""
                yield f"PIPEGRAFT_PORT_{_upper(member.name)}{suffix}", str(number)
        for member in self.mounted:
            yield f"PIPEGRAFT_MOUNT_{_upper(member.name)}", member.spec.mount or ""


def check_pod(pod: Pod, report: Report) -> None:
    """Report everything in a pod that does not fit together."""
    _check_main(pod, report)
    for member in pod.guests:
        _check_guest(member, report)
    for member in (pod.main, *pod.guests):
        if member.spec.image is None:
            report(f"component '{member.name}' has no image", (member.name,), "release it, or add 'image'")
        for kind in ("readiness", "liveness"):
            _check_probe(member, kind, getattr(member.spec, kind), report)
    _check_ports(pod, report)
    _check_mounts(pod, report)


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _check_main(pod: Pod, report: Report) -> None:
    spec = pod.main.spec
    for key in ("host", "mount", "attach"):
        if getattr(spec, key) is not None:
            report(f"'{key}' is for components in another one's pod; '{pod.name}' is rpc", (pod.name, key))
    if spec.entrance and pod.entrance is None:
        names = [member.name for member in (pod.main, *pod.sidecars) if member.ports]
        report(
            f"the entrance of '{pod.name}' leads to no port",
            (pod.name, "entrance"),
            f"name a component of the pod with 'via' and one of its ports; with ports: {', '.join(names)}"
            if names
            else "declare 'ports'",
        )


def _check_guest(member: Member, report: Report) -> None:
    refused = _HOST_ONLY if member.intimacy == "ipc" else (*_HOST_ONLY, *_PROCESS_ONLY)
    for key in refused:
        if getattr(member.spec, key) is not None:
            report(
                f"'{key}' belongs to the pod's main component; '{member.name}' is {member.intimacy}",
                (member.name, key),
            )
    if member.intimacy == "in-process" and member.spec.mount is None:
        report(
            f"'{member.name}' is in-process and has no 'mount'",
            (member.name,),
            "add 'mount', the absolute path where it appears in the pod",
        )
    for key in ("mount", "attach"):
        if member.intimacy == "ipc" and getattr(member.spec, key) is not None:
            report(f"'{key}' is for in-process components; '{member.name}' is ipc", (member.name, key))
    if member.intimacy == "in-process" and member.attach == "image-volume":
        for key in ("command", "args"):
            if getattr(member.spec, key) is not None:
                report(
                    f"'{key}' is for init containers; '{member.name}' is attached as an image volume",
                    (member.name, key),
                    "write 'attach: init-container', or remove it",
                )


def _check_probe(member: Member, kind: str, probe: Probe | None, report: Report) -> None:
    if probe and member.port(probe.port) is None:
        known = ", ".join(member.ports) or "none"
        wanted = f"no port '{probe.port}'" if probe.port else "no ports"
        report(f"'{member.name}' has {wanted} to probe; there are: {known}", (member.name, kind))


def _check_ports(pod: Pod, report: Report) -> None:
    owners: dict[int, str] = {}
    for member in (pod.main, *pod.sidecars):
        for name, number in member.ports.items():
            owner = f"{member.name}.{name}"
            if owners.setdefault(number, owner) != owner:
                report(
                    f"'{owner}' and '{owners[number]}' share one pod and both listen on {number}",
                    (member.name, "ports", name),
                    "give one of them another port",
                )
    variables = [name for name, _ in pod._variables()]  # noqa: SLF001 - same module
    for name in sorted({name for name in variables if variables.count(name) > 1}):
        report(f"two ports of the pod '{pod.name}' would both be {name}", (pod.name,), "rename one")


def _check_mounts(pod: Pod, report: Report) -> None:
    owners: dict[str, str] = {}
    for member in pod.mounted:
        path = (member.spec.mount or "").rstrip("/")
        if path and owners.setdefault(path, member.name) != member.name:
            report(f"'{member.name}' and '{owners[path]}' are both mounted at {path}", (member.name, "mount"))
