"""The app spec: ``app.yaml`` and ``environments/NAME.yaml`` of an application's IaC repository.

``app.yaml`` says what the application is; an environment says what differs there, a gray block what
differs for the new version. All three declare `Component`s; what lies above wins, key by key, and
``null`` takes away what lies below (see `pipegraft.appspec.spec`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from pipegraft.appspec.traits import (
    Affinity,
    Autoscaling,
    ChosenUsers,
    Cpu,
    Disruption,
    Job,
    Limits,
    Memory,
    PortName,
    Probe,
    Seconds,
    Security,
    SidecarKind,
    Spread,
    Update,
    Volume,
)
from pipegraft.core.delivery import Intimacy
from pipegraft.core.model import Breach, Model, Name, one_of, rule
from pipegraft.core.release import ReleaseMark

__all__ = [
    "DEFAULT_CLASS",
    "SET_BY_US",
    "App",
    "AppComponent",
    "AppEnvironment",
    "Entrance",
    "EnvValue",
    "GrayBlock",
    "Policies",
    "ProviderChoice",
    "Reference",
    "Resource",
    "ResourceId",
    "ResourceOverlay",
]

DEFAULT_CLASS = "default"
"""Class of a resource that names none."""

ResourceId = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
"""Labels of letters, digits and ``-``, separated by dots."""


class ResourceOverlay(Model):
    """What differs for a resource in an environment."""

    class_: Name | None = Field(default=None, alias="class")
    """A kind of its type that the platform offers there: ``ha``, ``small``."""
    params: Mapping[str, Any] = {}
    """Parameters of its type; ``pipegraft resources`` lists them."""


class Resource(ResourceOverlay):
    """Something the application uses and does not run itself."""

    type: Name
    """What it is: ``postgres``, ``redis``, …; ``pipegraft resources`` lists them."""
    id: ResourceId | None = None
    """Resources of one type, class and id are one and the same; ``APP.NAME`` if absent."""


class ProviderChoice(Model):
    """Who provides resources in an environment. The first one that fits a resource provides it."""

    provider: Name
    """Name of the provider; ``pipegraft resources`` lists them."""
    type: Name | None = None
    """Only resources of this type; all types the provider knows if absent."""
    class_: Name | None = Field(default=None, alias="class")
    """Only resources of this class; all if absent."""
    id: ResourceId | None = None
    """Only the resource with this id; all if absent."""
    options: Mapping[str, Any] = {}
    """What this provider must be told; its own keys."""


Port = Annotated[int, Field(ge=1, le=65535)]


class Reference(Model):
    """A value kept outside of the repository. Exactly one of `secret` and `config` is given."""

    model_config = ConfigDict(json_schema_extra=one_of("secret", "config"))
    secret: Name | None = None
    """Name of the secret that holds it."""
    config: Name | None = None
    """Name of the config map that holds it."""
    key: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    """Its key in there."""

    @rule
    def _one_source(self) -> Iterator[Breach]:
        if (self.secret is None) == (self.config is None):
            yield Breach("expected either 'secret' or 'config'")


EnvValue = str | Reference | None
"""Text, a reference to a secret or config map, or null to take a variable away."""

SET_BY_US = ("PIPEGRAFT_PORT_", "PIPEGRAFT_MOUNT_")
"""Begin the names of variables that tell a pod about its components."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("expected a variable name: letters, digits and '_'")
    if name.startswith(SET_BY_US):
        raise ValueError("names that start with PIPEGRAFT_PORT_ and PIPEGRAFT_MOUNT_ are set by Pipegraft")
    return name


Variable = Annotated[
    str,
    AfterValidator(_variable),
    Field(json_schema_extra={"pattern": rf"^(?!PIPEGRAFT_(PORT|MOUNT)_){_VARIABLE.pattern}$"}),
]

_PREFIXED = r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"


def _annotation(name: str) -> str:
    if not re.fullmatch(_PREFIXED, name):
        raise ValueError("expected the name of an annotation, such as example.com/scrape")
    if name.partition("/")[0] in _OWN_PREFIXES:
        raise ValueError(f"annotations of {name.partition('/')[0]} are set by Pipegraft and its engines")
    return name


_OWN_PREFIXES = ("pipegraft.dev", "app.oam.dev")

_NOT_OURS = rf"(?!({'|'.join(map(re.escape, _OWN_PREFIXES))})(/|$))"

AnnotationName = Annotated[
    str, AfterValidator(_annotation), Field(json_schema_extra={"pattern": f"^{_NOT_OURS}{_PREFIXED}$"})
]


class Entrance(Model):
    """Where requests from outside enter; a gray release splits them by weight."""

    via: Name | None = None
    """Component of the pod that receives the requests, an ipc one for example; the main one if absent."""
    port: PortName | None = None
    """That component's port; its first one if absent."""
    hosts: tuple[str, ...] | None = None
    """Host names to answer to; all if absent."""
    path: str | None = Field(default=None, pattern=r"^/")
    """Prefix of the paths to answer; all if absent."""
    gateway: str | None = Field(default=None, pattern=r"^([a-z0-9-]+/)?[a-z0-9.-]+$")
    """``NAMESPACE/NAME`` of the Gateway; the workload's own Service (a mesh's route) if absent."""
    router: Name | None = None
    """What splits the requests in a cluster: `gateway-api` (the default), `istio`, `ingress-nginx`, or a
    plugin's; the same as `gray.router` of `delivery.yaml`."""
    ingress_class: Name | None = None
    """For `ingress-nginx`: the class of the Ingress; `nginx` if absent."""
    gray_for: ChosenUsers | None = None
    """Who gets the new version before anybody else."""
    affinity: Affinity | None = None
    """Whether users stay with the version they got; by weight alone if absent."""
    mirror: int | None = Field(default=None, ge=1, le=100)
    """Percent of stable's requests that the new version gets a copy of; its answers are thrown away."""
    listen: str | None = Field(default=None, pattern=r"^[^\s:]+:\d{1,5}$")
    """``HOST:PORT`` where the embedded engine listens; a free port, kept for ever, if absent."""


class AppComponent(Model):
    """One component; every field is optional so that the same keys serve as an overlay."""

    intimacy: Intimacy | None = None
    """`rpc` (the default): its own workload; `ipc`: a sidecar of `host`; `in-process`: mounted into it."""
    host: Name | None = None
    """The rpc component whose pod it belongs to; the only rpc component if absent."""
    mount: str | None = Field(default=None, pattern=r"^/[^:]*$")
    """Where an in-process component appears in the pod."""
    attach: Literal["image-volume", "init-container"] | None = None
    """How an in-process component gets into the pod. `image-volume` (the default) mounts its image read-only
    (Kubernetes 1.33 and later); `init-container` (the default with `command`) runs its image before the main
    container, to copy what it has to its mount path."""
    image: str | None = Field(default=None, min_length=1)
    """Reference pinned by digest: ``registry.example.com/shop/web@sha256:…``."""
    command: tuple[str, ...] | None = None
    """Replaces the image's entrypoint."""
    args: tuple[str, ...] | None = None
    """Replaces the image's command."""
    ports: Mapping[PortName, Port | None] | None = None
    """What it listens on, by name."""
    service_ports: Mapping[PortName, Port | None] | None = None
    """Numbers of its Service, for ports that others reach by another one: ``http: 80`` for 8080."""
    env: Mapping[Variable, EnvValue] | None = None
    """Environment variables."""
    env_from: Mapping[Name, Literal["config", "secret"] | None] | None = None
    """Config maps and secrets, by name, whose keys all become environment variables; a later one wins."""
    volumes: Mapping[Name, Volume | None] | None = None
    """Folders that are no part of its image, by name; a name is the same volume in the whole pod."""
    replicas: int | None = Field(default=None, ge=0)
    """Instances of an rpc component; 1 if absent."""
    autoscaling: Autoscaling | None = None
    """Instances of an rpc component by what they use, in place of `replicas`."""
    cpu: Cpu | None = None
    """CPU that is kept for it, as Kubernetes writes it: ``500m``, ``2``; also its limit without `limits`."""
    memory: Memory | None = None
    """Memory that is kept for it, as Kubernetes writes it: ``256Mi``; also its limit without `limits`."""
    limits: Limits | None = None
    """What it may never use more of, where that is not what is kept for it."""
    startup: Probe | None = None
    """Whether it has started; the other probes wait for that."""
    readiness: Probe | None = None
    """Whether it may get requests; a connection to its first port if it has ports and this is absent."""
    liveness: Probe | None = None
    """Whether it must be started again."""
    grace: Seconds | None = None
    """Time an instance of an rpc component has to finish what it does before it is killed."""
    update: Update | None = None
    """How an rpc component's instances are replaced by those of a new version."""
    disruption: Disruption | None = None
    """What must stay of an rpc component while nodes are drained."""
    spread: Spread | None = None
    """Over what an rpc component's instances are spread."""
    security: Security | None = None
    """What its processes may do; an init container has what its host has."""
    service_account: Name | None = None
    """Service account of an rpc component's pods."""
    pull_secrets: tuple[Name, ...] | None = None
    """Secrets with the registry's password, for an rpc component's pods."""
    annotations: Mapping[AnnotationName, str | None] | None = None
    """Annotations of an rpc component's pods, for meshes and collectors."""
    sidecar: SidecarKind | None = None
    """How an ipc component is added to its pod; `container` if absent."""
    job: Job | None = None
    """For an rpc component that ends: no Deployment and Service, but a Job or CronJob."""
    entrance: Entrance | None = None
    """For an rpc component that takes requests from outside."""


class Policies(Model):
    """What components have that do not say otherwise; keys as in `AppComponent`."""

    security: Security | None = None
    """For rpc and ipc components, and the init containers beside them."""
    spread: Spread | None = None
    """For rpc components that are no jobs."""
    update: Update | None = None
    """For rpc components that are no jobs."""
    disruption: Disruption | None = None
    """For rpc components that are no jobs."""
    service_account: Name | None = None
    """For rpc components."""
    pull_secrets: tuple[Name, ...] | None = None
    """For rpc components."""
    sidecar: SidecarKind | None = None
    """For ipc components."""


class App(Model):
    """``app.yaml``."""

    app: Name
    policies: Policies = Field(default_factory=Policies)
    """What all components have in all environments."""
    components: Mapping[Name, AppComponent] = Field(min_length=1)
    resources: Mapping[Name, Resource] = {}
    """What it uses and does not run itself."""


PROMOTING = "promoting"
"""Phase of a gray release whose version stable has, too, while gray still gets all requests."""


class GrayBlock(Model):
    """The new version while a gray release runs."""

    release: ReleaseMark
    weight: int = Field(ge=0, le=100)
    """Percent of the requests it gets; 0 deploys it without requests."""
    phase: Name
    """What the gray release is doing, for people and for its next step."""
    baseline: bool = False
    """Whether as many fresh pods of the stable version run beside it, with the same weight."""
    components: Mapping[Name, AppComponent] = Field(min_length=1)
    """What differs from the environment."""

    @property
    def compares(self) -> bool:
        """Whether the fresh pods run: until the release is promoted."""
        return self.baseline and self.phase != PROMOTING

    @rule
    def _both_fit(self) -> Iterator[Breach]:
        if self.compares and self.weight > 50:
            yield Breach(
                f"'baseline' gets the weight, too: expected at most 50, found {self.weight}", ("weight",)
            )


class AppEnvironment(Model):
    """``environments/NAME.yaml``."""

    namespace: Name | None = None
    """Kubernetes namespace; ``APP-ENVIRONMENT`` if absent."""
    release: ReleaseMark | None = None
    """The release that runs there; absent before the first one."""
    policies: Policies = Field(default_factory=Policies)
    """What all components have here."""
    without: tuple[Name, ...] = ()
    """Components of ``app.yaml`` that are not here; what is said of them here waits until they are."""
    components: Mapping[Name, AppComponent] = {}
    """What differs from ``app.yaml``."""
    resources: Mapping[Name, ResourceOverlay] = {}
    """What differs for its resources."""
    providers: tuple[ProviderChoice, ...] = ()
    """Who provides resources there; the first that fits does."""
    gray: GrayBlock | None = None
    """Absent unless a gray release runs."""
