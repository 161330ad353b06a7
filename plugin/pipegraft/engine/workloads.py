"""From the app spec to what the embedded engine runs: workloads, and routes to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.appspec.model import EnvValue, Reference
from pipegraft.appspec.pods import Member, Pod, volume_kind
from pipegraft.appspec.rendering.common import http_route_of, is_routed, versions
from pipegraft.appspec.resource_ports import HostedResource
from pipegraft.appspec.resource_providers import HOSTED_KIND, read_hosted
from pipegraft.appspec.runtime_support import Support, Treatment, declared_keys
from pipegraft.appspec.spec import Resolved
from pipegraft.appspec.traffic_ports import Backend, Choice, Route
from pipegraft.appspec.traits import Probe, Security, Update, Volume, amount_of
from pipegraft.core.errors import ConfigError, Problem
from pipegraft.engine.ports import (
    Confinement,
    Container,
    Folder,
    HealthProbe,
    Instance,
    Mount,
    Rollout,
    SecretKey,
    Workload,
)

__all__ = ["Plan", "RouteSpec", "plan_of", "routes"]

_GRACE = 10.0


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """An entrance as the engine understands it.

    Arguments:
        name: ``APPLICATION/COMPONENT``.
        listen: ``host:port`` for clients; None lets the engine choose and keep one.
        backends: workload, its declared port, weight.
        choices: who goes to one of them whatever the weights.
    """

    name: str
    listen: str | None
    backends: tuple[tuple[str, int, int], ...]
    choices: tuple[Choice, ...] = ()

    @property
    def served(self) -> frozenset[str]:
        """The workloads that get requests, by their weight or chosen."""
        chosen = {choice.backend for choice in self.choices}
        return frozenset(name for name, _, weight in self.backends if weight or name in chosen)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a spec means for an engine of this machine.

    Arguments:
        resources: what it uses and this machine runs.
        notes: what is declared and means nothing here, one sentence each.
    """

    workloads: tuple[Workload, ...] = ()
    routes: tuple[RouteSpec, ...] = ()
    resources: tuple[HostedResource, ...] = ()
    notes: tuple[str, ...] = ()


def plan_of(resolved: Resolved, support: Support) -> Plan:
    """What to run and how to route to it.

    Raises:
        ConfigError: everything declared that the runtime cannot honour.
    """
    notes, problems = _treat(resolved, support)
    problems += _unhosted(resolved, support)
    if problems:
        raise ConfigError(problems)
    workloads = [
        _workload(resolved.name, name, version)
        for pod in resolved.pods
        for name, version in versions(resolved, pod)
    ]
    specs = [_route(resolved, pod) for pod in resolved.pods if is_routed(resolved, pod)]
    hosted = tuple(resource for bound in resolved.resources for resource in read_hosted(bound.provision))
    return Plan(tuple(workloads), tuple(specs), hosted, tuple(notes))


def routes(
    specs: Iterable[RouteSpec], serving: Mapping[str, Sequence[Instance]], listeners: Mapping[str, str]
) -> list[Route]:
    """Routes with the addresses of the instances that serve.

    Arguments:
        serving: workload → its ready instances.
        listeners: route → where it listens, for those whose spec leaves it open.
    """
    return [
        Route(
            spec.name,
            spec.listen or listeners[spec.name],
            tuple(
                Backend(
                    workload,
                    tuple(instance.addresses[port] for instance in serving.get(workload, ())),
                    weight,
                )
                for workload, port, weight in spec.backends
            ),
            spec.choices,
        )
        for spec in specs
    ]


def _treat(resolved: Resolved, support: Support) -> tuple[list[str], list[Problem]]:
    """Notes and problems, each once."""
    notes: dict[str, None] = {}
    problems: dict[Problem, None] = {}
    pods = [*resolved.pods, *(resolved.gray.pods.values() if resolved.gray else ())]
    for member in (member for pod in pods for member in (pod.main, *pod.guests)):
        for key in sorted(declared_keys(member)):
            entry = support.entry(key)
            answer = support.keys[entry] if entry else None
            what = f"'{(entry or key).replace('=', ': ')}' of component '{member.name}'"
            if answer is None or answer.treatment is Treatment.REFUSED:
                why = f": {answer.why}" if answer else ""
                problems[
                    Problem(
                        f"the runtime '{support.runtime}' cannot honour {what}{why}",
                        fix="leave it out of app.yaml and "
                        f"environments/{resolved.environment}.yaml, or choose another runtime",
                    )
                ] = None
            elif answer.treatment is Treatment.NOTED:
                notes[f"{what} has no effect here: {answer.why}"] = None
    if resolved.namespace != resolved.name:
        notes[f"'namespace' has no effect here: {support.keys['namespace'].why}"] = None
    return list(notes), list(problems)


def _unhosted(resolved: Resolved, support: Support) -> Iterator[Problem]:
    """Resources that nothing runs here."""
    answer = support.answer("resources")
    for bound in resolved.resources:
        name, why = bound.names[0], answer.why if answer else ""
        if not bound.provision.components and all(
            item["kind"] == HOSTED_KIND for item in bound.provision.objects
        ):
            if answer and answer.treatment is Treatment.HONOURED:
                continue
        else:
            why = f"the provider '{bound.provider}' makes objects of a cluster"
        yield Problem(
            f"the runtime '{support.runtime}' cannot honour the resource '{name}': {why}",
            fix=f"choose another provider of {bound.request.type.name} in "
            f"environments/{resolved.environment}.yaml, or another runtime",
        )


def _workload(application: str, name: str, pod: Pod) -> Workload:
    spec = pod.main.spec
    replicas = 1 if spec.replicas is None else spec.replicas
    volumes = pod.volumes
    filled = [member for member in pod.mounted if member.attach == "init-container"]
    return Workload(
        application,
        name,
        tuple(_container(member, pod, volumes) for member in pod.processes),
        tuple(
            Mount(
                member.name,
                member.spec.image or "",
                member.spec.mount or "",
                _container(member, pod, volumes) if member in filled else None,
            )
            for member in pod.mounted
        ),
        tuple(sorted({port for member in pod.processes for port in member.ports.values()})),
        replicas,
        _GRACE if spec.grace is None else float(spec.grace),
        _rollout(spec.update, replicas),
        tuple((key, value) for key, value in (spec.annotations or {}).items() if value is not None),
    )


def _container(member: Member, pod: Pod, volumes: Mapping[str, Volume]) -> Container:
    spec = member.spec
    limits = spec.limits
    cpu, memory = (limits.cpu, limits.memory) if limits else (spec.cpu, spec.memory)
    readiness = spec.readiness or (Probe() if member.ports else None)
    return Container(
        member.name,
        spec.image or "",
        tuple(spec.command or ()),
        tuple(spec.args or ()),
        tuple(_variables(member, pod)),
        _probe(member, readiness),
        _probe(member, spec.liveness),
        _probe(member, spec.startup),
        tuple((kind, name) for name, kind in (spec.env_from or {}).items() if kind),
        float(amount_of(cpu)) if cpu else None,
        int(amount_of(memory)) if memory else None,
        float(amount_of(spec.cpu)) if spec.cpu else None,
        int(amount_of(spec.memory)) if spec.memory else None,
        tuple(_folder(name, volume, volumes[name]) for name, volume in member.volumes.items()),
        _confinement(spec.security or pod.main.spec.security if member in pod.mounted else spec.security),
        member.intimacy == "ipc" and member.sidecar == "native",
    )


def _variables(member: Member, pod: Pod) -> Iterator[tuple[str, str | SecretKey]]:
    values: Mapping[str, EnvValue] = {**pod.variables(), **(member.spec.env or {})}
    for name, value in values.items():
        if isinstance(value, Reference):
            kind = "config" if value.secret is None else "secret"
            yield name, SecretKey(kind, value.secret or value.config or "", value.key)
        elif value is not None:
            yield name, value


def _probe(member: Member, probe: Probe | None) -> HealthProbe | None:
    port = member.port(probe.port) if probe else None
    if probe is None or port is None:
        return None
    return HealthProbe(
        port,
        probe.path,
        probe.initial_delay or 0.0,
        probe.period or 10.0,
        probe.timeout or 1.0,
        probe.failures or 3,
    )


def _folder(name: str, here: Volume, whole: Volume) -> Folder:
    """A volume as one container has it; `whole` is the declaration that says what it is."""
    kind = volume_kind(whole) or "ephemeral"
    ephemeral = whole.ephemeral
    limit = ephemeral.limit if ephemeral else None
    return Folder(
        name,
        here.path or whole.path or "",
        kind,  # type: ignore[arg-type] # one of the kinds
        whole.claim or whole.config or whole.secret or "",
        bool(here.read_only) or kind in ("config", "secret"),
        bool(ephemeral and ephemeral.memory),
        int(amount_of(limit)) if limit else None,
    )


def _confinement(security: Security | None) -> Confinement:
    if security is None:
        return Confinement()
    capabilities = (security.capabilities or {}).items()
    return Confinement(
        security.non_root,
        security.user,
        security.group,
        security.read_only_root,
        security.privilege_escalation,
        tuple(name for name, what in capabilities if what == "add"),
        tuple(name for name, what in capabilities if what == "drop"),
        security.seccomp,
    )


def _rollout(update: Update | None, replicas: int) -> Rollout:
    """Shares are of the declared instances: a surge is rounded up, what may be missing down (apps/v1)."""
    if update is None:
        return Rollout()
    surge = None if update.surge is None else math.ceil(_count(update.surge, replicas))
    unavailable = math.floor(_count(update.unavailable or 0, replicas))
    if surge == 0 and unavailable == 0:
        unavailable = 1  # or nothing could ever be replaced
    return Rollout(update.strategy == "recreate", surge, unavailable)


def _count(count: int | str, replicas: int) -> float:
    return count if isinstance(count, int) else int(count.removesuffix("%")) * replicas / 100


def _route(resolved: Resolved, pod: Pod) -> RouteSpec:
    """A pod's HTTPRoute as the embedded proxy serves it; its filters have been refused."""
    entrance = pod.main.spec.entrance
    *choosing, split = http_route_of(resolved, pod)["spec"]["rules"]
    return RouteSpec(
        f"{resolved.name}/{pod.name}",
        entrance.listen if entrance else None,
        tuple((backend["name"], backend["port"], backend["weight"]) for backend in split["backendRefs"]),
        tuple(choice for rule in choosing for choice in _choices(rule)),
    )


def _choices(rule: Mapping[str, Any]) -> Iterator[Choice]:
    """Who goes to the one backend of a rule; the path is the same for the whole route."""
    (backend,) = rule["backendRefs"]
    for match in rule["matches"]:
        (header,) = match["headers"]
        yield Choice(header["name"], header["value"], backend["name"], header["type"] == "RegularExpression")
