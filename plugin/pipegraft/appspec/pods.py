"""A pod: an rpc component with the components that live in it, each with its layers merged.

Layers merge by name and key, never by position. What lies above wins: mappings by name (``ports``, ``env``,
``volumes``, …) and blocks (``readiness``, ``entrance``, …) merge key by key, lists, references and scalars
are replaced whole, ``null`` takes away what lies below. Policies lie below everything. A gray release
runs two versions of a pod at once, so that some of it cannot change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pipegraft.appspec.model import App, AppComponent, Policies, Reference
from pipegraft.appspec.traits import SidecarKind, Volume
from pipegraft.core.delivery import Intimacy
from pipegraft.core.errors import Place, Problem
from pipegraft.core.model import Model
from pipegraft.core.reading import Marked, Route

__all__ = [
    "BASELINE_SUFFIX",
    "GRAY_SUFFIX",
    "LONGEST_WORKLOAD",
    "VOLUME_KINDS",
    "Layer",
    "Member",
    "Pod",
    "member_of",
    "merge",
    "place_in",
    "port_variable",
    "refused_by_baseline",
    "refused_by_gray",
    "volume_kind",
]

GRAY_SUFFIX = "-gray"
"""Ends the name of the workload that runs the new version."""

BASELINE_SUFFIX = "-baseline"
"""Ends the name of the workload that runs fresh pods of the stable version."""

LONGEST_WORKLOAD = 63 - len(GRAY_SUFFIX)
"""Characters that a workload's name may have: a label value of Kubernetes has at most 63."""

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

    def service_port(self, name: str) -> int:
        """The number by which other workloads reach a port."""
        return (self.spec.service_ports or {}).get(name) or self.ports[name]


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


D = TypeVar("D", bound=Model)

_WORKLOAD_POLICIES = ("security", "spread", "update", "disruption", "service_account", "pull_secrets")
_JOB_POLICIES = ("security", "service_account", "pull_secrets")
_SIDECAR_POLICIES = ("security", "sidecar")


def merge(below: D, above: D) -> D:
    """Put one declaration over another of the same kind; see the module for the rules."""
    if not below.model_fields_set and _is_settled(above):
        return above
    values: dict[str, Any] = {name: getattr(below, name) for name in below.model_fields_set}
    for name in above.model_fields_set:
        value, old = getattr(above, name), values.get(name)
        if isinstance(value, Mapping):
            value = _merged_by_name(old or {}, value)
        elif isinstance(value, Model):
            value = _over(old, value)
        values[name] = value
    left = {name: value for name, value in values.items() if value is not None}
    return type(above).model_construct(**left)


def _merged_by_name(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, entry in above.items():
        whole = not isinstance(entry, Model) or isinstance(entry, Reference)
        merged[key] = entry if whole else _over(merged.get(key), entry)
    return {key: entry for key, entry in merged.items() if entry is not None}


def _over(below: object, above: Model) -> Model:
    """A block over what lies below it, if that is a block too."""
    if isinstance(below, type(above)):
        return merge(below, above)
    return above if _is_settled(above) else merge(type(above).model_construct(), above)


def _is_settled(value: Any) -> bool:
    """Whether nothing in it takes away what lies below."""
    if isinstance(value, Model):
        return all(_is_settled(getattr(value, name)) for name in value.model_fields_set)
    if isinstance(value, Mapping):
        return all(map(_is_settled, value.values()))
    return value is not None


_NOTHING = AppComponent.model_construct()


def member_of(name: str, policies: Policies, layers: Sequence[Mapping[str, AppComponent]]) -> Member:
    """One component, its layers merged, over what the policies say for its kind.

    Arguments:
        layers: components by name, from the bottom.
    """
    member = Member(name, _merged(name, _NOTHING, layers))
    if not policies.model_fields_set:
        return member
    below = _policy_for(member, policies)
    return Member(name, _merged(name, below, layers)) if below.model_fields_set else member


def _merged(name: str, below: AppComponent, layers: Iterable[Mapping[str, AppComponent]]) -> AppComponent:
    for layer in layers:
        if name in layer:
            below = merge(below, layer[name])
    return below


def _policy_for(member: Member, policies: Policies) -> AppComponent:
    """The policies that are for a component, as a layer of it."""
    names: tuple[str, ...] = ()
    if member.intimacy == "rpc":
        names = _JOB_POLICIES if member.spec.job else _WORKLOAD_POLICIES
    elif member.intimacy == "ipc":
        names = _SIDECAR_POLICIES
    found = {name: getattr(policies, name) for name in names if name in policies.model_fields_set}
    if member.intimacy == "ipc" and found.get("security"):
        found["security"] = found["security"].model_copy(update={"files_group": None})
    return AppComponent.model_construct(**found)


@dataclass(frozen=True, slots=True)
class Layer:
    """One file's components and where they stand in it."""

    components: Mapping[str, AppComponent]
    marks: Marked
    base: Route

    def place(self, route: Route) -> Place | None:
        """Where a key stands in this layer, None if it is not there."""
        whole = (*self.base, "components", *route)
        return self.marks.keys.get(whole)


def place_in(layers: Sequence[Layer], route: Route) -> Place | None:
    """Where the nearest declared part of a route stands, in the highest layer that has it."""
    for end in range(len(route), -1, -1):
        for layer in reversed(layers):
            place = layer.place(route[:end])
            if place:
                return place
    return None


def refused_by_gray(stable: Mapping[str, Pod], new: Mapping[str, Pod], layer: Layer) -> Iterator[Problem]:
    """What a gray block may not change: where components live, what kind of workload they are, and claims."""
    for component in sorted(stable.keys() ^ new.keys()):
        yield Problem(
            f"a gray release cannot move '{component}' into or out of a pod by 'intimacy' or 'host'",
            place_in([layer], (component, "intimacy")),
            "release it first",
        )
    for name in stable.keys() & new.keys():
        one, other = stable[name], new[name]
        if one.main.spec.job or other.main.spec.job:
            yield from _changed_jobs(one, other, layer)
        if _outside(one) != _outside(other):
            yield Problem(
                f"both versions of '{name}' share one 'entrance': a gray release changes its 'via' or 'port'",
                place_in([layer], (name, "entrance")),
                "change the rest of it in the environment",
            )
        shared = one.volumes.keys() & other.volumes.keys()
        for volume in sorted(shared):
            if one.volumes[volume].persistent != other.volumes[volume].persistent:
                yield Problem(
                    f"both versions of '{name}' share the volume '{volume}': a gray release cannot change it",
                    place_in([layer], (name, "volumes", volume)),
                    "release it first",
                )


def refused_by_baseline(stable: Mapping[str, Pod], app: App, marks: Marked) -> Iterator[Problem]:
    """Fresh pods of the stable version that cannot be: by their name, or because they would share data."""
    longest = LONGEST_WORKLOAD + len(GRAY_SUFFIX) - len(BASELINE_SUFFIX)
    for name, pod in stable.items():
        if pod.main.spec.job:
            continue  # it has no fresh pods
        mounts = (one for member in pod.processes for one in member.volumes.items())
        written = {called for called, one in mounts if not one.read_only}
        kept = next(
            (
                called
                for called, one in pod.volumes.items()
                if one.persistent or (one.claim and called in written)
            ),
            "",
        )
        place, other = marks.place(("gray", "baseline")), name + BASELINE_SUFFIX
        if other in app.components:
            yield Problem(
                f"'{other}' is the name of fresh pods of '{name}'",
                place,
                "give the component another name, or remove 'baseline'",
            )
        if kept:
            yield Problem(
                f"fresh pods of '{name}' would write to its volume '{kept}', beside both versions",
                place,
                "remove 'baseline'",
            )
        if len(name) > longest:
            yield Problem(
                f"with 'baseline' the name of '{name}' may have {longest} characters at most", place
            )


def _outside(pod: Pod) -> object:
    """What an entrance says of the world outside of its pod."""
    entrance = pod.main.spec.entrance
    return entrance and entrance.model_copy(update={"via": None, "port": None})


def _changed_jobs(one: Pod, other: Pod, layer: Layer) -> Iterator[Problem]:
    """A job waits for the promotion, so that nothing but its images may differ until then."""
    for old, new in zip(one.members, other.members, strict=False):
        if old.spec.model_copy(update={"image": None}) != new.spec.model_copy(update={"image": None}):
            yield Problem(
                f"a gray release of a job changes images alone, not how '{new.name}' runs",
                place_in([layer], (new.name,)),
                "change it in the environment",
            )
