"""How a component of the app spec runs: probes, amounts, volumes, scaling, updates, security, jobs.

Every block is made of named keys, so that an overlay merges it key by key; what is a list elsewhere
(volumes, capabilities, …) is a mapping by name here.

Texts are meant as Kubernetes means them: a variable, command or argument may name the variables before it as
``$(VARIABLE)``, ``$$`` stands for a plain ``$``, and what names no variable stays as it is. Sources:
Kubernetes core/v1, Container: `env`, `command`, `args`; ``resource.Quantity``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from pipegraft.core.model import Breach, Duration, Model, Name, SchemaWords, one_of, read_duration, rule

__all__ = [
    "Affinity",
    "Autoscaling",
    "ChosenUsers",
    "Cpu",
    "Disruption",
    "Ephemeral",
    "Job",
    "Limits",
    "Memory",
    "Persistent",
    "PortName",
    "Probe",
    "Seconds",
    "Security",
    "SidecarKind",
    "Spread",
    "Update",
    "Volume",
    "amount_of",
    "expand",
    "named_in",
]

PortName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$")]
"""An IANA service name as Kubernetes wants it for ports: at most 15 characters."""

Cpu = Annotated[str, Field(pattern=r"^\d+(\.\d+)?m?$")]
"""CPU as Kubernetes writes it: ``500m``, ``2``."""

Memory = Annotated[str, Field(pattern=r"^\d+(\.\d+)?([kMGTP]|[KMGTP]i)?$")]
"""Bytes as Kubernetes writes them: ``256Mi``, ``10Gi``."""

_SHARE = r"^\d{1,3}%$"


def _count(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not whole and not (isinstance(value, str) and re.fullmatch(_SHARE, value)):
        raise ValueError("expected a number of instances or a share of them such as 25%")
    return value


Count = Annotated[
    int | str,
    BeforeValidator(_count),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SHARE}]}),
]
"""Instances: a number, or a share of them such as ``25%``."""

SidecarKind = Literal["container", "native", "sidecar-set"]
"""`container`: beside the main one. `native`: started before it and stopped after it (Kubernetes 1.29).
`sidecar-set`: added to running pods and updated there by OpenKruise, apart from the workload."""


def _whole(value: object) -> float:
    seconds = read_duration(value)
    if seconds != int(seconds):
        raise ValueError("expected whole seconds")
    return seconds


Seconds = Annotated[
    Duration,
    BeforeValidator(_whole),
    SchemaWords({"pattern": r"^(\d+(s|000ms)|\d+(\.\d+)?[mhd])+$", "multipleOf": 1}),
]
"""A duration in whole seconds."""


class Probe(Model):
    """How to ask a component whether it is well: by `path`, `grpc` or `exec`, else by connecting."""

    path: str | None = Field(default=None, pattern=r"^/")
    """Asked by GET; any answer from 200 to 399 is good."""
    grpc: str | None = None
    """Service asked by the gRPC health protocol; ``""`` for the server as a whole."""
    exec: tuple[str, ...] | None = Field(default=None, min_length=1)
    """A command run in the container; the exit code 0 is good."""
    port: PortName | None = None
    """One of the component's ports; its first one if absent."""
    initial_delay: Seconds | None = None
    """Time before the first question."""
    period: Seconds | None = Field(default=None, ge=1)
    """Time between two questions."""
    timeout: Seconds | None = Field(default=None, ge=1)
    """How long an answer may take."""
    failures: int | None = Field(default=None, ge=1)
    """Bad answers in a row that count."""

    @property
    def asks_by_connecting(self) -> bool:
        """Whether a connection is all that is asked for."""
        return self.path is None and self.grpc is None and self.exec is None

    @rule
    def _one_question(self) -> Iterator[Breach]:
        asked = [name for name in ("path", "grpc", "exec") if getattr(self, name) is not None]
        if len(asked) > 1:
            yield Breach(
                f"expected one of 'path', 'grpc' and 'exec', found {' and '.join(asked)}", (asked[1],)
            )
        if self.exec is not None and self.port is not None:
            yield Breach("'exec' runs a command and asks no port; remove one of them", ("port",))


class Limits(Model):
    """What a container may never use more of; what is absent here has no limit."""

    cpu: Cpu | None = None
    """CPU, as for the request."""
    memory: Memory | None = None
    """Memory, as for the request."""


class Persistent(Model):
    """Storage that outlives the pod: a persistent volume claim of the workload."""

    size: Memory | None = None
    """How much is asked for: ``10Gi``."""
    storage_class: Name | None = Field(default=None, alias="class")
    """Storage class; the cluster's default one if absent."""
    access: Literal["once", "many", "read-many"] | None = None
    """From how many nodes it can be used at once: `once` (the default), `many`, or `read-many`."""


class Ephemeral(Model):
    """A folder that is empty at the start of a pod and gone with it."""

    limit: Memory | None = None
    """The most it may hold."""
    memory: bool | None = None
    """Whether it lies in memory instead of on disk."""


class Volume(Model):
    """A folder in a container. Components of one pod that name the same volume share it.

    One of them says what it is (`persistent`, `claim`, `config`, `secret`, `ephemeral`); an empty folder
    (`ephemeral`) if none does.
    """

    model_config = ConfigDict(
        json_schema_extra=one_of("persistent", "claim", "config", "secret", "ephemeral", or_none=True)
    )

    path: str | None = Field(default=None, pattern=r"^/[^:]*$")
    """Where it appears in this component's container."""
    read_only: bool | None = None
    """Whether this component may only read it."""
    persistent: Persistent | None = None
    """A claim made for the workload."""
    claim: Name | None = None
    """Name of a persistent volume claim that somebody else made."""
    config: Name | None = None
    """Name of a config map whose keys become files."""
    secret: Name | None = None
    """Name of a secret whose keys become files."""
    ephemeral: Ephemeral | None = None
    """An empty folder, and how large it may get."""

    @rule
    def _one_kind(self) -> Iterator[Breach]:
        kinds = [
            kind
            for kind in ("persistent", "claim", "config", "secret", "ephemeral")
            if getattr(self, kind) is not None
        ]
        if len(kinds) > 1:
            yield Breach(f"expected one kind of volume, found '{kinds[0]}' and '{kinds[1]}'")


class Autoscaling(Model):
    """How many instances there are, by what they use; in place of `replicas`."""

    min: int | None = Field(default=None, ge=1)
    """Fewest instances; 1 if absent."""
    max: int | None = Field(default=None, ge=1)
    """Most instances."""
    cpu: int | None = Field(default=None, ge=1, le=1000)
    """CPU to hold on average, in percent of the request."""
    memory: int | None = Field(default=None, ge=1, le=1000)
    """Memory to hold on average, in percent of the request."""


class Update(Model):
    """How instances of one version give way to those of the next."""

    strategy: Literal["rolling", "recreate"] | None = None
    """`rolling` (the default): step by step; `recreate`: all stop before the new ones start."""
    surge: Count | None = None
    """Instances there may be above what is asked for: a number or ``25%``."""
    unavailable: Count | None = None
    """Instances that may be missing: a number or ``25%``."""


class Disruption(Model):
    """What must stay up while nodes are drained. At most one of both is given."""

    model_config = ConfigDict(json_schema_extra=one_of("min-available", "max-unavailable", or_none=True))

    min_available: Count | None = None
    """Instances that stay: a number or ``50%``."""
    max_unavailable: Count | None = None
    """Instances that may go at once: a number or ``25%``."""

    @rule
    def _one_bound(self) -> Iterator[Breach]:
        if self.min_available is not None and self.max_unavailable is not None:
            yield Breach("expected either 'min-available' or 'max-unavailable'")


Strength = Literal["preferred", "required"]


class Spread(Model):
    """Over what the instances are spread evenly."""

    node: Strength | None = None
    """Over nodes: wished for, or else a pod waits."""
    zone: Strength | None = None
    """Over zones: wished for, or else a pod waits."""


Capability = Annotated[str, Field(pattern=r"^[A-Z][A-Z_]*$")]


class Security(Model):
    """What the processes of a container may do."""

    non_root: bool | None = None
    """Whether a process of user 0 is refused."""
    user: int | None = Field(default=None, ge=0)
    """Number of the user it runs as."""
    group: int | None = Field(default=None, ge=0)
    """Number of its group."""
    files_group: int | None = Field(default=None, ge=0)
    """Number of the group that owns the files of volumes; for rpc components, and their whole pod."""
    read_only_root: bool | None = None
    """Whether the image's own files cannot be written."""
    privilege_escalation: bool | None = None
    """Whether a process may get more rights than its parent."""
    capabilities: Mapping[Capability, Literal["add", "drop"] | None] | None = None
    """Linux capability → whether it is added or dropped: ``{ALL: drop, NET_BIND_SERVICE: add}``."""
    seccomp: Literal["runtime-default", "unconfined"] | None = None
    """Which system calls are allowed: those of the container runtime's default profile, or all."""


class Job(Model):
    """Work that ends: run at set times if `schedule` is given, else once for each change of what runs."""

    schedule: str | None = Field(
        default=None, pattern=r"^(@(yearly|monthly|weekly|daily|hourly)|\S+( \S+){4})$"
    )
    """When, in the five fields of cron: ``0 3 * * *``."""
    time_zone: str | None = Field(default=None, pattern=r"^[A-Za-z_+\-0-9]+(/[A-Za-z_+\-0-9]+)*$")
    """Time zone of the schedule, by its IANA name: ``Europe/Berlin``; the cluster's own if absent."""
    overlap: Literal["allow", "forbid", "replace"] | None = None
    """What happens when the last run has not ended: both run (the default), the new one is left out, or the
    old one is stopped."""
    retries: int | None = Field(default=None, ge=0)
    """How often a run that failed is tried again; 6 if absent, as Kubernetes does."""
    deadline: Seconds | None = Field(default=None, ge=1)
    """Time after which a run is stopped."""


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
"""A token of RFC 9110."""

HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]

CookieName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]

CookieValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:~-]+$")]


class ChosenUsers(Model):
    """Requests that get the new version whatever the weight, even at 0; any one of these is enough."""

    headers: Mapping[HeaderName, HeaderValue | None] | None = None
    """Header → the value that chooses."""
    cookies: Mapping[CookieName, CookieValue | None] | None = None
    """Cookie → the value that chooses."""


class Affinity(Model):
    """Who got a version once stays with it while the weight stays: a cookie remembers."""

    cookie: CookieName = "pipegraft-version"
    """Name of the cookie."""
    lifetime: Seconds = Field(default=86400.0, gt=0)
    """How long it is kept."""


_NAMED = re.compile(r"\$\$|\$\((?P<name>[^()]+)\)")


def named_in(text: str) -> list[str]:
    """Names of the variables that a text asks for."""
    return [found["name"] for found in _NAMED.finditer(text) if found["name"]] if "$" in text else []


def expand(text: str, variables: Mapping[str, str], quote: Callable[[str], str] = str) -> str:
    """Put variables into a text.

    Arguments:
        quote: makes text safe where it is going; the values of variables are safe already.
    """
    if "$" not in text:
        return quote(text)
    parts: list[str] = []
    end = 0
    for found in _NAMED.finditer(text):
        name = found["name"]
        parts.append(quote(text[end : found.start()]))
        parts.append(
            quote("$") if name is None else variables[name] if name in variables else quote(found[0])
        )
        end = found.end()
    return "".join((*parts, quote(text[end:])))


_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z]*)")
_DECIMAL = "kMGTP"


def amount_of(quantity: str) -> Fraction:
    """Cores or bytes.

    Arguments:
        quantity: such as ``500m``, ``2`` or ``256Mi`` (Kubernetes API, ``resource.Quantity``).

    Raises:
        ValueError: it is no quantity.
    """
    found = _QUANTITY.fullmatch(quantity)
    if not found:
        raise ValueError(f"expected a quantity such as 500m or 256Mi, found {quantity!r}")
    number, unit = Fraction(found[1]), found[2]
    if unit in ("", "m"):
        return number / 1000 if unit else number
    base = 1024 if unit.endswith("i") else 1000
    return number * Fraction(base) ** (_DECIMAL.index(unit[0]) + 1)
