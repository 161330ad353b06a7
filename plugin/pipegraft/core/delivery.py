"""`delivery.yaml`: what an application consists of and how it is delivered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from pipegraft.core.model import (
    Breach,
    DottedPath,
    Duration,
    Model,
    Name,
    Percent,
    RegistryAddress,
    RelativePath,
    Share,
    rule,
)
from pipegraft.core.signing import BuildCache, BuildSecret, Requirements, Signing

__all__ = [
    "HALF",
    "BuildCache",
    "CommitWords",
    "Component",
    "Delivery",
    "Environment",
    "Gate",
    "Gray",
    "Iac",
    "Intimacy",
    "MergeRequest",
    "Metric",
    "Target",
]

Intimacy = Literal["in-process", "ipc", "rpc"]
"""How close two services live: mounted into the same process, beside it in one pod, or remote."""


Platform = Annotated[str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/v[0-9]+)?$")]
"""``os/architecture``."""


class Component(Model):
    """One business component: its own image, its own place in the pod."""

    path: RelativePath
    """Folder of its sources, relative to the repository."""
    intimacy: Intimacy = "rpc"
    """`in-process`: mounted into another component; `ipc`: sidecar; `rpc`: its own workload."""
    mount: str | None = Field(default=None, pattern=r"^/[^:]*$")
    """Where an `in-process` component is mounted, an absolute path in the pod."""
    image: str | None = Field(default=None, pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$")
    """Repository of the image below `registry`; the component's name if absent."""
    builder: Name | None = None
    """Image builder to use; chosen by what the folder holds if absent."""
    base: str | None = None
    """Base image of a component without a Dockerfile: pinned by digest, or the name of another component."""
    needs: tuple[Name, ...] = ()
    """Components whose images this one is built from."""
    context: RelativePath | None = None
    """Folder that a Dockerfile's `COPY` takes files from, relative to the repository; `path` if absent."""
    dockerfile: RelativePath | None = None
    """The Dockerfile, relative to `context`; ``Dockerfile`` if absent."""
    target: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Stage of the Dockerfile that is built; the last one if absent."""
    platforms: tuple[Platform, ...] = ()
    """Platforms the image is for, brought together in an index; the one of the input `platform` if empty."""
    additional_contexts: Mapping[str, str] = {}
    """Further contexts by the name that `COPY --from` has: a folder relative to the repository, or
    ``docker-image://`` and an image."""
    build_args: Mapping[str, str] = {}
    """Arguments of the build."""
    command: tuple[str, ...] = ()
    """What the image runs, for a component without a Dockerfile."""
    secrets: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")], BuildSecret] = {}
    """Build secrets by the id that `RUN --mount=type=secret,id=…` names; not for the builder `docker`."""
    cache: BuildCache | None = None
    """Layers kept between builds; not for the builder `docker`."""

    @rule
    def _mount_belongs_to_in_process(self) -> Iterator[Breach]:
        if self.intimacy == "in-process" and self.mount is None:
            said = "an in-process component needs 'mount', the absolute path where it appears in the pod"
            yield Breach(said)
        if self.intimacy != "in-process" and self.mount is not None:
            yield Breach(f"'mount' is for in-process components; this one is {self.intimacy}")

    @property
    def build_folder(self) -> str:
        """Folder of the build context, relative to the repository."""
        return self.context or self.path


class MergeRequest(Model):
    """How a release looks as a merge request."""

    labels: tuple[str, ...] = ("pipegraft",)
    """Labels it gets."""
    auto_merge: bool = True
    """Merge as soon as pipeline and approvals allow."""
    description: str = "{message}"
    """Template: `{App}`, `{Environment}`, `{Release}`, `{Source-Commit}`, `{Pipeline}`, `{message}`."""
    wait: Duration = 0.0
    """How long iac-bump waits for the merge; 0 leaves that to the gate."""


class CommitWords(Model):
    """What commits to the IaC repository say and whose they are, for servers with push rules."""

    message: str | None = None
    """Template (Jinja) of the subject, and of what stands below Pipegraft's own lines and above its trailers:
    `subject` as Pipegraft would say it, `app`, `environment`, `release`, `source_commit`, `pipeline`, `step`,
    and `variables` of the process."""
    author: str | None = None
    """``Name <mail>``; whoever started the pipeline if absent."""
    committer: str | None = None
    """``Name <mail>``; Pipegraft if absent."""


class Iac(Model):
    """The IaC repository and how it is written."""

    repository: str = Field(min_length=1)
    """URL, or a path relative to `delivery.yaml`."""
    branch: str = "main"
    """The branch the GitOps engine watches."""
    write: Literal["push", "merge-request", "api"] = "push"
    """How a release gets there."""
    path: RelativePath | None = None
    """Folder of this application in a repository shared by several; the root if absent."""
    merge_request: MergeRequest = Field(default_factory=MergeRequest)
    """For `write: merge-request`."""
    commit: CommitWords = Field(default_factory=CommitWords)
    """What commits say, and whose they are."""
    rendered: Literal["kubernetes", "oam"] | None = None
    """Commit what an environment becomes as `rendered/NAME/manifests.yaml`, together with each change of it:
    for engines that apply plain files."""


class Gate(Model, extra="allow"):
    """Which GitOps engine applies the IaC repository, and what to wait for.

    Keys beside these belong to the engine and are checked by its plugin.
    """

    engine: Name
    """Name of a GitOps engine plugin."""
    timeout: Duration = 600.0
    """How long the verdict may take."""
    settle: Duration | None = None
    """How long success must hold before it counts; what the engine needs if absent."""
    suspended: Literal["fail", "wait"] = "fail"
    """What to do while the engine waits for a person."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The keys that belong to the engine."""
        return self.model_extra or {}


class Metric(Model, extra="allow"):
    """One measure of the gray release.

    Keys beside these belong to the source and are checked by its plugin.
    """

    source: Name
    """Name of a metric source plugin."""
    name: Name = "errors"
    """Name in reports."""
    kind: Literal["errors", "latency", "value"] = "errors"
    """`errors`: share of failed requests; `latency`: share of slow ones; `value`: one number an interval."""
    threshold: Duration | None = None
    """For `latency`: a request slower than this is slow; the `quantile` of both versions if absent."""
    quantile: Share = Field(default=0.99, gt=0, lt=1)
    """For `latency` without a threshold."""
    tolerance: Share = Field(default=0.1, ge=0)
    """How much worse, relative to stable, still counts as equal."""
    margin: Share = Field(default=1.0, ge=0)
    """A step passes once gray is surely less than this much worse, relative to stable."""
    floor: Share | None = Field(default=None, ge=0, lt=1)
    """A share of gray's requests at most this is good whatever stable's is: 5% or 0.05. If absent it follows
    stable: about twice its rate, 1% at most, and for `latency` at most what lies beyond the `quantile`."""
    minimum: float | None = None
    """For a judge with bounds, of a plugin: gray may not be lower."""
    maximum: float | None = None
    """For a judge with bounds, of a plugin: gray may not be higher."""
    higher_is: Literal["worse", "better"] = "worse"
    """For `value`: which direction is bad."""
    critical: bool = True
    """A metric that is not critical never takes a release back."""

    @rule
    def _margin_covers_tolerance(self) -> Iterator[Breach]:
        if self.margin < self.tolerance:
            yield Breach(f"'margin' must be at least 'tolerance', {self.tolerance:g}")

    @property
    def options(self) -> Mapping[str, Any]:
        """The keys that belong to the source."""
        return self.model_extra or {}


_LOOKS = 30
"""Intervals a step of a gray release may take at most where `deadline` does not say."""


HALF = 50
"""Percent of the requests that each of two arms may get at most."""


class Gray(Model):
    """How traffic moves to a new version."""

    steps: tuple[Percent, ...] = Field(default=(5, 25, 50), min_length=1)
    """Weights of the gray version in percent, rising, below 100."""
    interval: Duration = Field(default=300.0, gt=0)
    """How long traffic is observed between two looks."""
    deadline: Duration | None = None
    """How long one step may take to reach an answer, after the warm-up; if absent, twice as long as this
    traffic takes to show a fault, ten to thirty intervals."""
    warm_up: Duration = Field(default=300.0, ge=0)
    """How long after each change of the weight fresh pods may be slow or fail: only an outage counts."""
    min_intervals: int = Field(default=3, ge=1)
    """Intervals with data at each weight, after the warm-up, before a step can pass."""
    judge: Name = "sequential"
    """Name of a judge plugin."""
    router: Name = "embedded"
    """Name of a traffic router plugin."""
    baseline: Literal["stable", "fresh"] = "stable"
    """What gray is compared with: the pods that serve, or as many `fresh` ones of stable's version, which get
    the same weight: as old and as cold as gray's."""
    rollout: Mapping[str, Any] | None = None
    """For a router that is observed (`argo-rollouts`, `flagger`, `kruise-rollout`): which object it is of."""
    timeout: Duration = Field(default=3600.0, gt=0)
    """For a router that is observed: how long the whole rollout may take."""
    metrics: tuple[Metric, ...] = ()
    """What is measured; every one must be good. At least one, unless the router is observed."""
    alpha: Share = Field(default=0.01, gt=0, lt=0.5)
    """Share of releases of a healthy version that may be rolled back falsely."""
    min_requests: int = Field(default=50, ge=1)
    """Requests the gray version must have served before a step can pass."""
    on_inconclusive: Literal["rollback", "hold", "promote"] = "promote"
    """What to do when the deadline passes without an answer and nothing points to harm: undecided is no
    verdict, so the release goes on, recorded as unproven."""
    on_suspicion: Literal["rollback", "hold", "promote"] | None = None
    """The same where something points to harm, or there is no data; `hold` if absent, or `rollback` where
    `on-inconclusive` says so."""
    wander: Share = Field(default=0.2, ge=0)
    """For the judge `sequential`: how far one version's rates drift by themselves; 0.2 is a fifth."""
    memory: Share = Field(default=0.95, ge=0, lt=1)
    """For the judge `sequential`: how long such a drift lasts at most, its correlation between intervals."""
    learn: bool = False
    """Take `wander`, `memory` and the least `margin` from this environment's earlier gray releases, once
    there are enough; ``pipegraft judge --suggest`` shows what that comes to."""
    weight_tolerance: Share = Field(default=0.5, gt=0)
    """How far gray's share of the requests that the metrics count may be from its weight, relative: with 0.5,
    a weight of 10 may show as 6.7% to 15%. A step whose requests are split otherwise does not pass."""
    bake: Duration = 0.0
    """How long the new version is watched after its promotion; a regression takes it back."""

    @property
    def step_deadline(self) -> float:
        """Seconds a step may take after its warm-up at the most, whatever its traffic."""
        return self.deadline or _LOOKS * self.interval

    @property
    def longest(self) -> float:
        """Seconds that the whole release may take by its own limits, the engine's time not counted."""
        if self.rollout is not None:
            return self.timeout
        return len(self.steps) * (self.warm_up + self.step_deadline) + self.bake

    @rule
    def _metrics_differ(self) -> Iterator[Breach]:
        names = [metric.name for metric in self.metrics]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield Breach(f"each metric needs its own 'name'; '{twice[0]}' is there twice")
        if not self.metrics and self.rollout is None:
            yield Breach("'metrics' needs at least one: a release nobody measures cannot be judged")
        if self.metrics and not any(metric.critical for metric in self.metrics):
            yield Breach("at least one metric must be critical")

    @rule
    def _steps_rise(self) -> Iterator[Breach]:
        if any(not 0 < step < 100 for step in self.steps) or list(self.steps) != sorted(set(self.steps)):
            yield Breach("'steps' must rise and lie between 1 and 99 percent; 100 is the promotion")
        if self.baseline == "fresh" and max(self.steps) > HALF:
            yield Breach(
                f"'baseline: fresh' gets as many requests as gray: 'steps' may go up to {HALF} then, "
                f"found {max(self.steps)}",
                ("steps",),
            )


class Target(Model):
    """A file of the IaC repository that names images, for teams without an app spec."""

    kind: Literal["helm", "kustomize", "manifest", "kubevela", "yaml", "marker"]
    """`helm`: the image at `path` of a values file; `kustomize`: `images:`; `manifest`: containers of plain
    manifests; `kubevela`: components of an Application; `yaml`: the value at `path`; `marker`: lines that
    end in `# pipegraft:set=COMPONENT.VALUE`, for files that are not YAML."""
    file: RelativePath
    """The file, relative to `iac.path`."""
    path: DottedPath | None = None
    """For `helm` and `yaml`: where the image stands."""
    document: int | None = Field(default=None, ge=0)
    """For `helm` and `yaml`: number of the document from 0, where several of the file have the path."""
    component: Name | None = None
    """The component whose image it is; every component's if absent."""
    write: Literal["digest", "tag", "both"] | None = None
    """What pins the image; if absent what the form that stands there can carry, the digest where it can."""
    keys: Mapping[Literal["registry", "repository", "tag", "digest"], str] = {}
    """For `helm`: how the chart calls the parts of the image, where it has names of its own."""
    create: bool = False
    """For `helm`: write the image where nothing stands at `path` yet; says the form with `write`."""
    source: RelativePath | None = None
    """Folder of the chart or kustomization that the engine renders the file with, relative to `iac.path`,
    where it is neither the file's own folder nor one above it; or the file of an object of Flux or Argo CD
    that says which, and what else counts."""
    values: tuple[RelativePath, ...] = ()
    """For `helm`: the values files that the engine reads, in order, where they are more than this one."""
    value: Literal["reference", "repository", "tag", "digest"] = "reference"
    """For `yaml`: which part of the image stands at `path`."""

    @rule
    def _place_is_known(self) -> Iterator[Breach]:
        if self.kind in {"helm", "yaml"} and not (self.path and self.component):
            yield Breach(f"a target of kind '{self.kind}' needs 'path' and 'component'")
        if self.kind not in {"helm", "yaml"} and self.path:
            yield Breach(f"a target of kind '{self.kind}' finds its places itself; remove 'path'")
        if self.values and (self.source or "").endswith((".yaml", ".yml", ".json")):
            yield Breach("the object that 'source' names says which values files are read; remove 'values'")
        for name, kinds in {"document": {"helm", "yaml"}, "keys": {"helm"}, "create": {"helm"}}.items():
            if getattr(self, name) not in (None, {}, False) and self.kind not in kinds:
                yield Breach(f"'{name}' is for targets of kind {' or '.join(sorted(kinds))}; remove it")


class Environment(Model):
    """Where and how the application is delivered."""

    gate: Gate
    gray: Gray | None = None
    """Absent: the new version takes all traffic at once."""
    targets: tuple[Target, ...] = ()
    """Files that name the images; the app spec's `environments/NAME.yaml` if empty."""
    idle: tuple[Name, ...] = ()
    """With `targets`: components that do not run here, so that no file names their images."""
    effect: Literal["require", "warn"] | None = None
    """With `targets`: what to do where it cannot be proven that the engine renders what was written: refuse,
    or write it and say so. If absent: refuse what a tool that is there does not confirm."""
    require: Requirements = Field(default_factory=Requirements)
    """What images must prove before they are released there."""

    @rule
    def _gray_needs_the_app_spec(self) -> Iterator[Breach]:
        if self.gray and self.targets and self.gray.rollout is None:
            yield Breach("'gray' needs the app spec; with 'targets' the engine's own tool moves traffic")


class Delivery(Model):
    """The whole file."""

    app: Name
    registry: RegistryAddress
    """``registry.example.com/shop``, or an OCI layout folder: ``oci:.pipegraft/registry``."""
    sign: Signing | None = None
    """Absent: what is built is not signed by Pipegraft itself."""
    components: Mapping[Name, Component] = Field(min_length=1)
    iac: Iac
    environments: Mapping[Name, Environment] = Field(min_length=1)
    """In the order they are delivered to."""

    @rule
    def _needs_exist(self) -> Iterator[Breach]:
        known = ", ".join(self.components)
        for name, component in self.components.items():
            for index, need in enumerate(component.needs):
                if need not in self.components:
                    said = f"there is no component '{need}'; there are: {known}"
                    yield Breach(said, ("components", name, "needs", index))

    def image_repository(self, component: str) -> str:
        """Repository of a component's image below `registry`."""
        return self.components[component].image or component
