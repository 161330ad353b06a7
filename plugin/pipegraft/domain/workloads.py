"""From an OAM Application back to what the embedded engine runs.

The engine applies the same Application that KubeVela gets, so that what works on one machine is
what runs in a cluster. A component or trait it does not know is refused by name, never skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.domain.rendering.parts import ANNOTATION
from pipegraft.domain.rendering.patches import POD_SPEC
from pipegraft.domain.resources.local import HOSTED_KIND
from pipegraft.errors import UsageError
from pipegraft.ports.runtime import Container, HealthProbe, Instance, Mount, SecretKey, Workload
from pipegraft.ports.traffic import Backend, Choice, Route

__all__ = ["RouteSpec", "read_application", "routes"]

_PORT_VARIABLE = "PIPEGRAFT_PORT_"


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """An HTTPRoute as the engine understands it.

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


def read_application(application: Mapping[str, Any]) -> tuple[tuple[Workload, ...], tuple[RouteSpec, ...]]:
    """What to run and how to route to it.

    Raises:
        UsageError: it holds something this engine cannot run.
    """
    name = application["metadata"]["name"]
    workloads: list[Workload] = []
    specs: list[RouteSpec] = []
    for component in application["spec"]["components"]:
        if component["type"] == "webservice":
            workloads.append(_workload(name, component))
        elif component["type"] == "k8s-objects":
            objects = component["properties"]["objects"]
            specs += [_route(name, item) for item in objects if item["kind"] != HOSTED_KIND]
        else:
            raise _unknown(f"component '{component['name']}' of type '{component['type']}'")
    return tuple(workloads), tuple(specs)


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


def _workload(application: str, component: Mapping[str, Any]) -> Workload:
    properties = component["properties"]
    containers = [_container(component["name"], properties)]
    mounts: list[Mount] = []
    replicas, grace = 1, 10.0
    for trait in component["traits"]:
        values = trait["properties"]
        match trait["type"]:
            case "scaler":
                replicas = values["replicas"]
            case "init-container":
                mounts.append(Mount(values["name"], values["image"], values["appMountPath"]))
            case "sidecar":
                containers.append(_container(values["name"], values))
            case "json-patch":
                patched = _Patched.read(values["operations"], component["name"])
                mounts += patched.mounts
                grace = patched.grace if patched.grace is not None else grace
            case other:
                raise _unknown(f"trait '{other}' of component '{component['name']}'")
    return Workload(
        application,
        component["name"],
        tuple(containers),
        tuple(mounts),
        _port_numbers(containers),
        replicas,
        float(grace),
    )


@dataclass(frozen=True, slots=True)
class _Patched:
    """What the JSON patches of a workload say."""

    grace: float | None
    mounts: tuple[Mount, ...]

    @classmethod
    def read(cls, operations: Sequence[Mapping[str, Any]], workload: str) -> _Patched:
        grace: float | None = None
        images: dict[str, str] = {}
        paths: dict[str, str] = {}
        for operation in operations:
            path, value = operation["path"].removeprefix(POD_SPEC), operation["value"]
            entries = value if isinstance(value, list) else [value]
            if path == "terminationGracePeriodSeconds":
                grace = value
            elif path in {"volumes", "volumes/-"}:
                for volume in entries:
                    if "image" not in volume:
                        raise _unknown(f"the volume '{volume['name']}' of component '{workload}'")
                images |= {volume["name"]: volume["image"]["reference"] for volume in entries}
            elif path in {"containers/0/volumeMounts", "containers/0/volumeMounts/-"}:
                paths |= {mount["name"]: mount["mountPath"] for mount in entries}
            # Processes have no limits here (docs/engine.md), and are told their ports by variables.
            elif not path.endswith(("/resources", "/ports")):
                raise _unknown(f"the JSON patch of {operation['path']} in component '{workload}'")
        return cls(grace, tuple(Mount(name, image, paths[name]) for name, image in images.items()))


def _unknown(what: str) -> UsageError:
    return UsageError(
        f"the embedded engine cannot run {what}", fix="run it on Kubernetes, or remove it there"
    )


def _container(name: str, properties: Mapping[str, Any]) -> Container:
    return Container(
        name,
        properties["image"],
        tuple(properties.get("cmd", ())),
        tuple(properties.get("args", ())),
        tuple((entry["name"], _value(entry)) for entry in properties.get("env", ())),
        _probe(properties.get("readinessProbe")),
        _probe(properties.get("livenessProbe")),
    )


def _value(entry: Mapping[str, Any]) -> str | SecretKey:
    if "value" in entry:
        return str(entry["value"])
    source = entry["valueFrom"]
    if "secretKeyRef" in source:
        return SecretKey("secret", source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
    return SecretKey("config", source["configMapKeyRef"]["name"], source["configMapKeyRef"]["key"])


def _probe(probe: Mapping[str, Any] | None) -> HealthProbe | None:
    if probe is None:
        return None
    http = probe.get("httpGet")
    target = http or probe["tcpSocket"]
    return HealthProbe(
        port=target["port"],
        path=http["path"] if http else None,
        delay=probe.get("initialDelaySeconds", 0),
        period=probe.get("periodSeconds", 10),
        timeout=probe.get("timeoutSeconds", 1),
        failures=probe.get("failureThreshold", 3),
    )


def _port_numbers(containers: Iterable[Container]) -> tuple[int, ...]:
    """Every port of the instance, as its containers are told about each other."""
    found = {
        int(value)
        for container in containers
        for name, value in container.env
        if name.startswith(_PORT_VARIABLE) and isinstance(value, str)
    }
    return tuple(sorted(found))


def _route(application: str, item: Mapping[str, Any]) -> RouteSpec:
    if item["kind"] != "HTTPRoute":
        raise _unknown(f"the Kubernetes object {item['kind']} '{item['metadata']['name']}'")
    metadata = item["metadata"]
    *choosing, split = item["spec"]["rules"]
    for holder in (*choosing, split, *split["backendRefs"]):
        for asked in holder.get("filters", ()):
            raise _unknown(f"the filter {asked['type']} of the route '{metadata['name']}'")
    return RouteSpec(
        f"{application}/{metadata['name']}",
        metadata.get("annotations", {}).get(f"{ANNOTATION}listen"),
        tuple((backend["name"], backend["port"], backend["weight"]) for backend in split["backendRefs"]),
        tuple(choice for rule in choosing for choice in _choices(rule)),
    )


def _choices(rule: Mapping[str, Any]) -> Iterator[Choice]:
    """Who goes to the one backend of a rule; the path is the same for the whole route."""
    (backend,) = rule["backendRefs"]
    for match in rule["matches"]:
        (header,) = match["headers"]
        yield Choice(header["name"], header["value"], backend["name"], header["type"] == "RegularExpression")
