"""Resource providers: what a type of resource promises, and who keeps the promise for which target."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pipegraft.appspec.model import Reference
from pipegraft.core.model import Model

__all__ = [
    "FakeResourceHost",
    "HostedResource",
    "HostedState",
    "Output",
    "Provision",
    "ResourceHost",
    "ResourceProvider",
    "ResourceRequest",
    "ResourceType",
    "Target",
]

Target = Literal["oam", "kubernetes", "compose"]
"""What an app spec is rendered to."""

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Output:
    """One thing a resource tells those who use it.

    Arguments:
        description: one line.
        secret: whether it must never be seen: it stays a reference everywhere.
        type: its JSON Schema type, though a variable holds it as text.
    """

    description: str
    secret: bool = False
    type: Literal["string", "integer"] = "string"


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A type of resource: the same promise by every provider.

    Arguments:
        name: what applications write: ``postgres``.
        summary: one line.
        params: JSON Schema (2020-12) of each parameter, all optional unless in `required`.
        outputs: what it tells, by name.
        required: parameters that must be given.

    Raises:
        ValueError: a name is none, or a parameter that is required is not declared.
    """

    name: str
    summary: str
    params: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Output]
    required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.name, *self.params, *self.outputs):
            if not _NAME.fullmatch(name):
                raise ValueError(f"expected a name of letters, digits and '-', found '{name}'")
        missing = set(self.required) - set(self.params)
        if missing:
            raise ValueError(f"'{self.name}' requires parameters it does not declare: {sorted(missing)}")
        if not self.outputs:
            raise ValueError(f"'{self.name}' tells nothing: a resource nobody can use")

    def params_schema(self) -> dict[str, Any]:
        """JSON Schema of its parameters."""
        return {
            "type": "object",
            "properties": {name: dict(schema) for name, schema in self.params.items()},
            "required": list(self.required),
            "additionalProperties": False,
        }

    def outputs_schema(self) -> dict[str, Any]:
        """JSON Schema of its outputs; secret ones are ``writeOnly``, as OpenAPI marks passwords."""
        return {
            "type": "object",
            "properties": {
                name: {
                    "type": output.type,
                    "description": output.description,
                    **({"writeOnly": True} if output.secret else {}),
                }
                for name, output in self.outputs.items()
            },
            "required": list(self.outputs),
        }


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """One resource of an environment, checked against its type.

    Arguments:
        identity: ``type.class#id``.
        name: of everything that is made for it; a DNS label that follows from the identity.
        secret: name of the secret that holds its outputs, where there is one.
        id: as declared, None if the identity comes from the application.
        params: those declared and the defaults of the others.
    """

    identity: str
    name: str
    secret: str
    app: str
    environment: str
    namespace: str
    type: ResourceType
    class_: str
    id: str | None
    params: Mapping[str, Any]
    target: Target


@dataclass(frozen=True, slots=True)
class Provision:
    """What a provider makes of a request.

    Arguments:
        outputs: every output of the type: text, or a reference to where it will be.
        objects: Kubernetes objects.
        components: OAM components, for the target `oam` alone.
        services: Compose services, for the target `compose` alone.
        volumes: names of Compose volumes.
    """

    outputs: Mapping[str, str | Reference]
    objects: tuple[Mapping[str, Any], ...] = ()
    components: tuple[Mapping[str, Any], ...] = ()
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceProvider:
    """Who provides resources.

    Arguments:
        name: ``local``, ``crossplane``, …
        summary: one line.
        targets: type → what it can be rendered to.
        types: what it provides.
        options: its own keys in an environment's `providers:`.
        provide: pure; a request and validated options → what is made of it. Raises UsageError where the
            options do not suffice.
        default: whether it provides where an environment names no provider.

    Raises:
        ValueError: no type, or a type twice.
    """

    name: str
    summary: str
    types: tuple[ResourceType, ...]
    targets: Mapping[str, frozenset[Target]]
    options: type[Model]
    provide: Callable[[ResourceRequest, Any], Provision]
    default: bool = False

    def __post_init__(self) -> None:
        names = [one.name for one in self.types]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"expected '{self.name}' to provide types, each once; found {names}")
        if set(self.targets) != set(names):
            raise ValueError(f"expected '{self.name}' to say the targets of each of its types")

    def type(self, name: str) -> ResourceType | None:
        """A type by name, None if it does not provide it."""
        return next((one for one in self.types if one.name == name), None)


@dataclass(frozen=True, slots=True)
class HostedResource:
    """A resource that the embedded engine runs on its own machine.

    Arguments:
        name: unique in its namespace.
        secret: name that its outputs are looked up by.
    """

    name: str
    namespace: str
    identity: str
    type: str
    secret: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HostedState:
    """How a hosted resource is.

    Arguments:
        ready: whether it serves.
        usable: whether it served before, so that its outputs are known and stay as they are.
        failed: whether it will not get ready by itself.
        message: one sentence.
        evidence: the last lines it printed.
    """

    ready: bool
    usable: bool
    message: str
    failed: bool = False
    evidence: tuple[str, ...] = ()


class ResourceHost(Protocol):
    """Runs resources on this machine. What it runs outlives the engine; the next one finds it again."""

    def ensure(
        self, resources: Sequence[HostedResource], *, end_others: bool
    ) -> Mapping[tuple[str, str], HostedState]:
        """Bring all of them one step further.

        Arguments:
            end_others: whether every other is to end; its data stays.

        Returns:
            ``(namespace, name)`` → how it is. Never waits.
        """

    def end(self) -> None:
        """End every process; the data stays."""


class FakeResourceHost:
    """Resources in memory, ready at the second look unless a test says otherwise.

    Arguments:
        states: name → how it is.
    """

    def __init__(self, states: Mapping[str, HostedState] | None = None) -> None:
        self.states = dict(states or {})
        self.hosted: dict[tuple[str, str], HostedResource] = {}
        self.ended = False

    def ensure(
        self, resources: Sequence[HostedResource], *, end_others: bool
    ) -> Mapping[tuple[str, str], HostedState]:
        known = set(self.hosted)
        wanted = {(one.namespace, one.name): one for one in resources}
        self.hosted = wanted if end_others else {**self.hosted, **wanted}
        starting = HostedState(ready=False, usable=False, message="starting")
        ready = HostedState(ready=True, usable=True, message="ready")
        return {
            key: self.states.get(one.name) or (ready if key in known else starting)
            for key, one in wanted.items()
        }

    def end(self) -> None:
        self.hosted.clear()
        self.ended = True
