"""From the app spec's files to pods: layers merged, and everything that does not fit together named.

Layers, from the bottom: ``app.yaml``, the environment, the gray block. What lies above wins:
mappings (``ports``, ``env``) and blocks (``readiness``, ``entrance``, …) merge key by key, lists and
scalars are replaced whole, ``null`` takes away what lies below. Nothing merges by position.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pipegraft.domain.configuration import validate
from pipegraft.domain.pods import Member, Pod, Report, check_pod
from pipegraft.errors import ConfigError, Place, Problem
from pipegraft.model.appspec import App, AppComponent, AppEnvironment, ReleaseMark
from pipegraft.model.base import Declared
from pipegraft.text.marked import Marked, Route, load_marked

__all__ = ["GRAY_SUFFIX", "GrayPods", "Resolved", "merge", "resolve"]

D = TypeVar("D", bound=Declared)

GRAY_SUFFIX = "-gray"
"""Ends the name of the workload that runs the new version."""

_LONGEST_WORKLOAD = 63 - len(GRAY_SUFFIX)  # Kubernetes: a label value has at most 63 characters


@dataclass(frozen=True, slots=True)
class GrayPods:
    """The new version beside the stable one.

    Arguments:
        weight: percent of the requests.
        pods: stable pod's name → the pod of the new version; only those that differ.
    """

    release: ReleaseMark
    weight: int
    phase: str
    pods: Mapping[str, Pod]


@dataclass(frozen=True, slots=True)
class Resolved:
    """One environment of an application, layers merged and checked.

    Arguments:
        name: ``APP-ENVIRONMENT``, the application's name for engines.
        pods: one for each rpc component, in the order of ``app.yaml``.
    """

    app: str
    environment: str
    name: str
    namespace: str
    release: ReleaseMark | None
    pods: tuple[Pod, ...]
    gray: GrayPods | None = None


def resolve(
    app_text: str,
    environment_text: str,
    environment: str,
    *,
    app_file: str = "app.yaml",
    environment_file: str = "",
) -> Resolved:
    """Read both files and put them together.

    Arguments:
        environment: name of the environment.
        app_file, environment_file: names for messages.

    Raises:
        ConfigError: everything wrong with them, each with its place.
    """
    environment_file = environment_file or f"environments/{environment}.yaml"
    app, app_marks = _read(app_text, app_file, App)
    there, marks = _read(environment_text, environment_file, AppEnvironment)
    layers = [_Layer(app.components, app_marks, ()), _Layer(there.components, marks, ())]
    problems = [*_unknown_components(layers[1], app)]
    stable = _pods(app, layers, problems)
    gray = None
    if there.gray:
        layer = _Layer(there.gray.components, marks, ("gray",))
        problems += _unknown_components(layer, app)
        new = _pods(app, [*layers, layer], problems)
        for component in sorted(stable.keys() ^ new.keys()):
            place = _place([layer], (component, "intimacy"))
            problems.append(
                Problem(
                    f"a gray release cannot move '{component}' into or out of a pod",
                    place,
                    "release it first",
                )
            )
        changed = {pod: new[pod] for pod in stable if pod in new and stable[pod] != new[pod]}
        gray = GrayPods(there.gray.release, there.gray.weight, there.gray.phase, changed)
    name = f"{app.app}-{environment}"
    if len(name) > 63:
        problems.append(
            Problem(f"'{name}' is longer than the 63 characters a name may have", marks.place(()))
        )
    if problems:
        raise ConfigError(sorted(set(problems), key=_order))
    return Resolved(
        app.app, environment, name, there.namespace or name, there.release, tuple(stable.values()), gray
    )


def merge(below: D, above: D) -> D:
    """Put one declaration over another of the same kind; see the module for the rules."""
    values: dict[str, Any] = {name: getattr(below, name) for name in below.model_fields_set}
    for name in above.model_fields_set:
        value, old = getattr(above, name), values.get(name)
        if isinstance(value, Mapping):
            merged = {**(old or {}), **value}
            value = {key: entry for key, entry in merged.items() if entry is not None}
        elif isinstance(value, Declared):
            empty: Declared = type(value).model_construct()
            value = merge(old if isinstance(old, Declared) else empty, value)
        values[name] = value
    left = {name: value for name, value in values.items() if value is not None}
    return cast("D", type(above).model_construct(**left))


@dataclass(frozen=True, slots=True)
class _Layer:
    """One file's components and where they stand in it."""

    components: Mapping[str, AppComponent]
    marks: Marked
    base: Route

    def place(self, route: Route) -> Place | None:
        """Where a key stands in this layer, None if it is not there."""
        whole = (*self.base, "components", *route)
        return self.marks.keys.get(whole)


def _read(text: str, file: str, model: type[D]) -> tuple[D, Marked]:
    marks = load_marked(text, file)
    if marks.data is None:
        raise ConfigError([Problem("expected a mapping, found an empty file", marks.place(()))])
    return validate(marks, marks.data, model), marks


def _unknown_components(layer: _Layer, app: App) -> Iterator[Problem]:
    for name in layer.components:
        if name not in app.components:
            close = difflib.get_close_matches(name, app.components, n=1)
            fix = f"write '{close[0]}'" if close else "declare it in app.yaml"
            yield Problem(f"component '{name}' is not declared in app.yaml", layer.place((name,)), fix)


def _pods(app: App, layers: Sequence[_Layer], problems: list[Problem]) -> dict[str, Pod]:
    """Every pod of the merged layers; what is wrong is appended to `problems`."""
    members = [Member(name, _merged(name, layers)) for name in app.components]
    rpc = [member.name for member in members if member.intimacy == "rpc"]

    def report(message: str, route: Route, fix: str = "") -> None:
        problems.append(Problem(message, _place(layers, route), fix))

    hosts = {member.name: _host(member, rpc, report) for member in members}
    pods = {
        main.name: Pod(main, tuple(member for member in members if hosts[member.name] == main.name))
        for main in members
        if main.intimacy == "rpc"
    }
    for name, pod in pods.items():
        if name + GRAY_SUFFIX in app.components:
            report(f"'{name}{GRAY_SUFFIX}' is the name of the new version of '{name}'", (name + GRAY_SUFFIX,))
        if len(name) > _LONGEST_WORKLOAD:
            report(f"expected at most {_LONGEST_WORKLOAD} characters for an rpc component", (name,))
        check_pod(pod, report)
    _check_listeners(pods.values(), report)
    return pods


def _merged(name: str, layers: Iterable[_Layer]) -> AppComponent:
    merged = AppComponent.model_construct()
    for layer in layers:
        if name in layer.components:
            merged = merge(merged, layer.components[name])
    return merged


def _host(member: Member, rpc: Sequence[str], report: Report) -> str | None:
    """Name of the rpc component whose pod this one joins; None for rpc components and on a mistake."""
    if member.intimacy == "rpc":
        return None
    host = member.spec.host
    known = ", ".join(rpc) or "none"
    if host is None:
        if len(rpc) == 1:
            return rpc[0]
        report(
            f"'{member.name}' is {member.intimacy}: which pod it joins is not clear",
            (member.name,),
            f"add 'host', one of the rpc components: {known}",
        )
    elif host in rpc:
        return host
    else:
        report(f"'{host}' is not an rpc component; there are: {known}", (member.name, "host"))
    return None


def _check_listeners(pods: Iterable[Pod], report: Report) -> None:
    seen: dict[str, str] = {}
    for pod in pods:
        listen = pod.main.spec.entrance.listen if pod.main.spec.entrance else None
        if listen and seen.setdefault(listen, pod.name) != pod.name:
            report(
                f"'{seen[listen]}' and '{pod.name}' both listen on {listen}", (pod.name, "entrance", "listen")
            )


def _place(layers: Sequence[_Layer], route: Route) -> Place | None:
    """Where the nearest declared part of a route stands, in the highest layer that has it."""
    for end in range(len(route), -1, -1):
        for layer in reversed(layers):
            place = layer.place(route[:end])
            if place:
                return place
    return None


def _order(problem: Problem) -> tuple[str, int, int]:
    place = problem.place or Place("")
    return (place.file, place.line, place.column)
