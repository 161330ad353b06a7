"""From the app spec's files to pods: layers merged, and everything that does not fit together named.

Layers, from the bottom: policies, ``app.yaml``, the environment, the gray block; see `pods`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipegraft.appspec.model import PROMOTING, App, AppEnvironment, GrayBlock, Policies
from pipegraft.appspec.pod_checks import Report, check_listeners, check_pod
from pipegraft.appspec.pods import (
    GRAY_SUFFIX,
    LONGEST_WORKLOAD,
    Layer,
    Member,
    Pod,
    member_of,
    merge,
    place_in,
    refused_by_baseline,
    refused_by_gray,
)
from pipegraft.appspec.resource_binding import UNBOUND, BoundResource, Platform, Scope, bind_resources
from pipegraft.appspec.resource_types import Outputs, fill_component
from pipegraft.core.delivery_file import check
from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.faults import as_far_as_known
from pipegraft.core.model import UnknownValue
from pipegraft.core.reading import Marked, Route, load_marked
from pipegraft.core.release import ReleaseMark

__all__ = ["AppFile", "GrayPods", "Resolved", "check_app", "read_app", "resolve", "resolve_in"]

_SUFFIXES = {
    GRAY_SUFFIX: "the new version of '{0}'",
    "-route": "the route of '{0}'",
    "-objects": "what belongs to '{0}'",
}
"""Ends of the names that are made from a workload's."""


@dataclass(frozen=True, slots=True)
class GrayPods:
    """The new version beside the stable one.

    Arguments:
        weight: percent of the requests.
        pods: stable pod's name → the pod of the new version; only those that differ.
        baseline: whether as many fresh pods of the stable version get the same weight.
    """

    release: ReleaseMark
    weight: int
    phase: str
    pods: Mapping[str, Pod]
    baseline: bool = False


@dataclass(frozen=True, slots=True)
class Resolved:
    """One environment of an application, layers merged and checked.

    Arguments:
        name: ``APP-ENVIRONMENT``, the application's name for engines.
        pods: one for each rpc component, in the order of ``app.yaml``.
        resources: each once, in the order of ``app.yaml``.
    """

    app: str
    environment: str
    name: str
    namespace: str
    release: ReleaseMark | None
    pods: tuple[Pod, ...]
    gray: GrayPods | None = None
    resources: tuple[BoundResource, ...] = ()


@dataclass(frozen=True, slots=True)
class AppFile:
    """``app.yaml``, read: the same for every environment.

    Arguments:
        app: what it says.
        marks: where it says it.
        problems: what is wrong with it; there is none in a file that is whole.
    """

    app: App
    marks: Marked
    problems: tuple[Problem, ...] = ()


def read_app(text: str, file: str = "app.yaml") -> AppFile:
    """Read ``app.yaml``.

    Arguments:
        file: name for messages.

    Raises:
        ConfigError: everything wrong with it, each with its place.
    """
    read = check_app(text, file)
    if read.problems:
        raise ConfigError(read.problems)
    return read


def check_app(text: str, file: str = "app.yaml") -> AppFile:
    """Read ``app.yaml`` as far as it can be read: what is wrong with it is told by whoever needs it.

    Raises:
        ConfigError: nothing can be said of it.
    """
    marks = load_marked(text, file)
    app, problems = check(marks, marks.data, App)
    if app is None:
        raise ConfigError(problems)
    return AppFile(app, marks, tuple(problems))


def resolve(
    app_text: str,
    environment_text: str,
    environment: str,
    *,
    app_file: str = "app.yaml",
    environment_file: str = "",
    platform: Platform | None = None,
) -> Resolved:
    """Read both files and put them together.

    Arguments:
        environment: name of the environment.
        app_file, environment_file: names for messages.
        platform: what resources are provided by; None has no provider.

    Raises:
        ConfigError: everything wrong with them, each with its place.
    """
    app = check_app(app_text, app_file)
    return resolve_in(
        app, environment_text, environment, environment_file=environment_file, platform=platform
    )


def resolve_in(
    app_file: AppFile,
    environment_text: str,
    environment: str,
    *,
    environment_file: str = "",
    platform: Platform | None = None,
) -> Resolved:
    """Put an environment over an app that is read already.

    Arguments:
        environment: name of the environment.
        environment_file: name for messages.
        platform: what resources are provided by; None has no provider.

    Raises:
        ConfigError: everything wrong with both files and between them, each with its place.
    """
    marks, problems = app_file.marks, list(app_file.problems)
    try:
        marks = load_marked(environment_text, environment_file or f"environments/{environment}.yaml")
        there, found = check(marks, marks.data, AppEnvironment)
    except ConfigError as error:
        there, found = None, list(error.problems)
    problems += found
    resolved = None
    if there is not None:
        try:
            resolved = _put_together(
                app_file, there, marks, environment=environment, platform=platform, problems=problems
            )
        except UnknownValue:
            if not problems:
                raise
    if resolved is None or problems:
        raise ConfigError(sorted(set(problems), key=_order))
    return resolved


def _put_together(
    app_file: AppFile,
    there: AppEnvironment,
    marks: Marked,
    *,
    environment: str,
    platform: Platform | None,
    problems: list[Problem],
) -> Resolved:
    """Layer the files; what does not fit together is appended to `problems`.

    Raises:
        UnknownValue: a file has faults, and this is how far the rest could be looked at.
    """
    app = app_file.app
    problems += as_far_as_known(_unknown_components(Layer(there.components, marks, ()), app))
    problems += as_far_as_known(_unknown_absent(there, app, marks))
    if there.gray:
        problems += as_far_as_known(_unknown_components(Layer(there.gray.components, marks, ("gray",)), app))
    name = f"{app.app}-{environment}"
    if len(name) > 63:
        problems.append(
            Problem(f"'{name}' is longer than the 63 characters a name may have", marks.place(()))
        )
    layers = [Layer(app.components, app_file.marks, ()), Layer(there.components, marks, ())]
    policies = merge(app.policies, there.policies)
    here = [name for name in app.components if name not in there.without]
    scope = Scope(app, there, app_file.marks, marks, environment, there.namespace or name)
    resources = bind_resources(scope, platform or Platform(), problems)
    outputs: Outputs | None = None
    if platform != UNBOUND:
        outputs = {called: bound.provision.outputs if bound else None for called, bound in resources.items()}

    def pods(layers: Sequence[Layer]) -> dict[str, Pod]:
        return _pods(here, policies, layers, outputs, problems)

    stable = pods(layers)
    gray = None
    if there.gray:
        layer = Layer(there.gray.components, marks, ("gray",))
        new = pods([*layers, layer])
        problems += refused_by_gray(stable, new, layer)
        changed = {
            pod: new[pod]
            for pod in stable
            if pod in new and (stable[pod] != new[pod] or _is_promoted(new[pod], there.gray))
        }
        gray = GrayPods(there.gray.release, there.gray.weight, there.gray.phase, changed, there.gray.compares)
        if gray.baseline:
            problems += refused_by_baseline({pod: stable[pod] for pod in changed}, app, marks)
    return Resolved(
        app.app,
        environment,
        name,
        scope.namespace,
        there.release,
        tuple(stable.values()),
        gray,
        tuple(bound for called, bound in resources.items() if bound and called == bound.names[0]),
    )


def _is_promoted(pod: Pod, gray: GrayBlock) -> bool:
    """Whether a pod has two versions though they are the same: stable is about to be what gray was."""
    return gray.phase == PROMOTING and any(member.name in gray.components for member in pod.members)


def _unknown_components(layer: Layer, app: App) -> Iterator[Problem]:
    for name in layer.components:
        if name not in app.components:
            close = difflib.get_close_matches(name, app.components, n=1)
            fix = f"write '{close[0]}'" if close else "declare it in app.yaml"
            yield Problem(f"component '{name}' is not declared in app.yaml", layer.place((name,)), fix)


def _unknown_absent(there: AppEnvironment, app: App, marks: Marked) -> Iterator[Problem]:
    known = ", ".join(app.components)
    for at, name in enumerate(there.without):
        if name not in app.components:
            message = f"component '{name}' is not declared in app.yaml; there are: {known}"
            yield Problem(message, marks.place(("without", at)), "take it out of 'without'")
    if set(app.components) <= set(there.without):
        yield Problem("nothing is left of the application here", marks.place(("without",)))


def _pods(
    names: Sequence[str],
    policies: Policies,
    layers: Sequence[Layer],
    outputs: Outputs | None,
    problems: list[Problem],
) -> dict[str, Pod]:
    """Every pod of the merged layers; what is wrong is appended to `problems`.

    Arguments:
        names: of the components there are, in the order of ``app.yaml``.
    """

    def report(message: str, route: Route, fix: str = "") -> None:
        problems.append(Problem(message, place_in(layers, route), fix))

    declared = [layer.components for layer in layers]
    members = [member_of(name, policies, declared) for name in names]
    if outputs is not None:
        members = [
            Member(one.name, fill_component(one.spec, outputs, (one.name,), report)) for one in members
        ]
    rpc = [member.name for member in members if member.intimacy == "rpc"]
    hosts = {member.name: _host(member, rpc, report) for member in members}
    pods = {
        main.name: Pod(main, tuple(member for member in members if hosts[member.name] == main.name))
        for main in members
        if main.intimacy == "rpc"
    }
    for name, pod in pods.items():
        for suffix, meaning in _SUFFIXES.items():
            if name + suffix in pods or (suffix == GRAY_SUFFIX and name + suffix in names):
                taken = f"'{name}{suffix}' is the name of {meaning.format(name)}"
                report(taken, (name + suffix,), "give the component another name")
        if len(name) > LONGEST_WORKLOAD:
            report(f"expected at most {LONGEST_WORKLOAD} characters for an rpc component", (name,))
        check_pod(pod, report)
    check_listeners(pods.values(), report)
    return pods


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


def _order(problem: Problem) -> tuple[str, int, int]:
    place = problem.place or Place("")
    return (place.file, place.line, place.column)
