"""gray-release: moves requests to the new version step by step, and takes it back if it is worse.

With it what the room gives to the core and to the gate: openers, checks of its keys and metrics, taking back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import Field

from pipegraft.appspec.environment_file import environment_path
from pipegraft.appspec.hooks import TRAFFIC_ROUTERS
from pipegraft.core.delivery import Delivery, Environment, Gray, Metric
from pipegraft.core.delivery_file import find_plugin, option_problems
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.errors import OutsideError, PipegraftError, Problem, UsageError
from pipegraft.core.faults import as_far_as_known
from pipegraft.core.model import Duration
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import Marked, Route
from pipegraft.core.release import Source
from pipegraft.core.stage import DeliveryCheck, Opener, Project, Stage, StageContext, StageInputs
from pipegraft.gray.branch import GrayBranch, GraySubject, standing_source, take_back_unserved, taken_back
from pipegraft.gray.forecast import learn, learn_from_pods, longest_release, with_learnt
from pipegraft.gray.history import told_releases
from pipegraft.gray.hooks import JUDGES, METRIC_SOURCES, ObservedRouter
from pipegraft.gray.observed_rollout import RolloutDrive
from pipegraft.gray.ports import (
    BASELINE_METRICS,
    JUDGE,
    METRICS,
    ROLLOUT,
    ConnectedRollout,
    Judge,
    MetricRequest,
    MetricSource,
    metrics_port,
)
from pipegraft.gray.rollout_controller import GrayDrive, Pace
from pipegraft.iac.ports import IAC

__all__ = [
    "GrayReleaseInputs",
    "pipegraft_delivery_checks",
    "pipegraft_examinations",
    "pipegraft_gate_refused",
    "pipegraft_openers",
    "pipegraft_stages",
    "pipegraft_taken_back",
    "run",
]


_NEWEST = 5000
"""Commits of an environment's file that are searched for earlier releases."""


class GrayReleaseInputs(StageInputs):
    """What a pipeline may set."""

    no_wait: bool = False
    """Do what is due and end; a later run goes on. With a source that does not remember, that is one step."""
    resume: bool = False
    """Go on with the release that stands in the IaC repository, whatever this pipeline is of: by schedule."""
    poll: Duration = Field(default=5.0, gt=0)
    """How often to look whether a person or a newer release changed the gray release."""
    pause_timeout: Duration = 3600.0
    """How long to wait for a person while the release is paused; then the stage ends; the release stays."""


def run(context: StageContext, inputs: GrayReleaseInputs) -> None:
    """Drive the release from wherever it stands to its end; see `GrayDrive.run` for what it raises."""
    environment = context.require_environment()
    gray = context.delivery.environments[environment].gray
    if gray is None:
        return
    if gray.rollout is not None:
        if inputs.resume:
            raise UsageError(
                f"the controller of '{gray.router}' goes on by itself: there is nothing to resume",
                fix="leave out 'resume'",
            )
        RolloutDrive(
            context,
            _as_learnt(context, gray, context.releases.load().source_in(environment)),
            wait=not inputs.no_wait,
            poll=inputs.poll,
            pause_timeout=inputs.pause_timeout,
        ).run()
        return
    source = (
        standing_source(context, gray) if inputs.resume else context.releases.load().source_in(environment)
    )
    if source is None:
        context.update_environment(outcome="unchanged")
        context.report("progress", "no gray release is under way", environment)
        return
    pace = Pace(not inputs.no_wait, inputs.poll, inputs.pause_timeout, holds=not inputs.resume)
    GrayDrive(context, _as_learnt(context, gray, source), source, pace).run()


def _as_learnt(context: StageContext, gray: Gray, source: Source) -> Gray:
    """The declaration with what earlier releases speak for, or stable's own pods where they do not.

    Only what was before the release's first commit counts: it does not teach how it is judged itself, and
    every process of it learns the same.
    """
    if not gray.learn:
        return gray
    environment, folder = context.require_environment(), context.delivery.iac.path
    log = context.open(IAC).log(environment_path(folder, environment), limit=_NEWEST)
    learnt = learn(gray, [one for one in told_releases(log, environment) if one.number < source.number])
    subject = GraySubject(context.delivery.app, environment, folder, source, gray.steps)
    commits = GrayBranch(context.open(IAC), subject).chapter().commits
    until = commits[-1].time if commits else context.clock.now()

    def failed(metric: str, error: PipegraftError) -> None:
        said = f"learn: what stable's pods show of {metric} is not known: {error}"
        context.report("warning", said, environment)

    try:
        sources = context.open(METRICS, environment)
    except (OutsideError, UsageError) as error:
        failed("all metrics", error)
    else:
        learnt = learn_from_pods(gray, sources, learnt, until, failed)
    found = with_learnt(gray, learnt)
    names = {"releases": "earlier releases", "pods": "stable's own pods"}
    whence = " and ".join(names[of] for of in dict.fromkeys(one.of for one in learnt))
    said = f"learnt from {whence}: wander {found.wander:g}, memory {found.memory:g}"
    if not learnt:
        said = "learn: earlier releases tell too little yet; what is declared holds"
    context.report("outlook", said, environment)
    return found


def _applies(delivery: Delivery, environment: str | None) -> bool:
    return environment is not None and delivery.environments[environment].gray is not None


@hookimpl
def pipegraft_stages() -> Iterable[Stage]:
    yield Stage(
        name="gray-release",
        summary="Moves requests to the new version step by step, and takes it back if it is worse.",
        run=run,
        inputs=GrayReleaseInputs,
        after=("iac-bump", "sync-gate"),
        applies=_applies,
        longest=lambda delivery, environment: longest_release(delivery.environments[environment or ""]),
        deploys=True,
        description=(
            "Each step is a commit in the IaC repository: the weight is raised, the engine takes it over,"
            " both versions are observed, and a judge says pass, fail or inconclusive. A promotion is"
            " two commits, take-over and promote; a rollback is one, which restores the environment's file"
            " byte for byte. A run that was cut short is resumed by the same command, or by a scheduled"
            " pipeline with `resume` and `no-wait`."
        ),
    )


def _judge(project: Project, environment: str) -> Judge:
    return project.plugins.get(JUDGES, _gray(project, environment).judge).judge


def _metrics(project: Project, environment: str, *, fresh: bool) -> Mapping[str, MetricSource]:
    found: dict[str, MetricSource] = {}
    for metric in _gray(project, environment).metrics:
        plugin = project.plugins.get(METRIC_SOURCES, metric.source)
        if fresh and not plugin.baseline:
            file = environment_path(project.delivery.iac.path, environment)
            raise UsageError(
                f"the gray block in {file} has 'baseline: true', but the source '{metric.source}' of metric "
                f"'{metric.name}' in delivery.yaml cannot measure its fresh pods",
                fix="name another source, or take the release back: pipegraft gray abort",
            )
        options = plugin.options.model_validate(dict(metric.options))
        request = MetricRequest(project.delivery.app, environment, metric, project.root, fresh)
        found[metric.name] = plugin.connect(options, request)
    return found


def _rollout(project: Project, environment: str) -> ConnectedRollout:
    gray = _gray(project, environment)
    plugin = project.plugins.get(TRAFFIC_ROUTERS, gray.router)
    if not isinstance(plugin, ObservedRouter):
        raise UsageError(
            f"the router '{gray.router}' of '{environment}' is driven, not observed",
            fix="remove 'rollout', or name the controller as the router",
        )
    options = plugin.options.model_validate(dict(gray.rollout or {}))
    return ConnectedRollout(plugin.observe(options, project.root), plugin.verdict)


def _gray(project: Project, environment: str) -> Gray:
    gray = project.delivery.environments[environment].gray
    if gray is None:
        raise UsageError(
            f"environment '{environment}' declares no gray release",
            fix="add 'gray' to it in delivery.yaml",
        )
    return gray


def _problems(project: Project, marked: Marked) -> Iterator[Problem]:
    for name, environment in project.delivery.environments.items():
        yield from as_far_as_known(_GrayCheck(project, marked, name).problems(environment))


@dataclass(frozen=True, slots=True)
class _GrayCheck:
    """What is wrong with the gray releases of an environment, as far as its own keys are right."""

    project: Project
    marked: Marked
    environment: str

    @property
    def _route(self) -> Route:
        return ("environments", self.environment, "gray")

    def problems(self, environment: Environment) -> Iterator[Problem]:
        gray = environment.gray
        if gray is None:
            return
        yield from as_far_as_known(self._judge(gray))
        yield from as_far_as_known(self._router(gray))
        for index, metric in enumerate(gray.metrics):
            yield from as_far_as_known(self._metric(gray, metric, (*self._route, "metrics", index)))

    def _judge(self, gray: Gray) -> Iterator[Problem]:
        judge = yield from find_plugin(
            self.project.plugins, JUDGES, gray.judge, self.marked, (*self._route, "judge")
        )
        if judge is None or judge.reads_bounds:
            return
        for index, metric in enumerate(gray.metrics):
            for key in ("minimum", "maximum"):
                if getattr(metric, key) is not None:
                    said = f"the judge '{gray.judge}' compares with stable and knows no '{key}'"
                    place = self.marked.place((*self._route, "metrics", index, key))
                    yield Problem(said, place, "remove it, or name a judge that has bounds")

    def _metric(self, gray: Gray, metric: Metric, route: Route) -> Iterator[Problem]:
        plugins = self.project.plugins
        plugin = yield from find_plugin(
            plugins, METRIC_SOURCES, metric.source, self.marked, (*route, "source")
        )
        if plugin:
            yield from option_problems(plugin.options, metric.options, self.marked, route, Metric)
        if plugin and gray.baseline == "fresh" and not plugin.baseline:
            said = f"the source '{metric.source}' cannot measure the pods of 'baseline: fresh'"
            yield Problem(
                said, self.marked.place((*route, "source")), "remove 'baseline', or name another one"
            )

    def _router(self, gray: Gray) -> Iterator[Problem]:
        place: Route = (*self._route, "router")
        rollout: Route = (*self._route, "rollout")
        router = yield from find_plugin(
            self.project.plugins, TRAFFIC_ROUTERS, gray.router, self.marked, place
        )
        if router is None:
            return
        if gray.baseline == "fresh" and not router.baseline:
            said = f"the router '{gray.router}' splits between two versions: 'baseline: fresh' needs three"
            yield Problem(
                said, self.marked.place((*self._route, "baseline")), "remove it, or name another router"
            )
        if not isinstance(router, ObservedRouter):
            if gray.rollout is not None:
                said = f"'rollout' is for routers that are observed; '{gray.router}' is driven"
                yield Problem(said, self.marked.place(rollout))
        elif gray.rollout is None:
            said = f"'{gray.router}' is observed: expected 'rollout' to say which object"
            yield Problem(said, self.marked.place(place), "add 'rollout: {name: …}'")
        else:
            yield from option_problems(router.options, gray.rollout, self.marked, rollout)


_LOOK_BACK = 60.0
"""Seconds that a metric source is asked about."""


def _gray_environments(patient: Patient) -> Sequence[str]:
    return tuple(name for name, one in patient.delivery.environments.items() if one.gray is not None)


def _examine(patient: Patient, environment: str) -> Iterator[Diagnosis]:
    """Ask each metric of an environment for its last minute."""
    gray = patient.delivery.environments[environment].gray
    fresh = gray is not None and gray.baseline == "fresh"
    for name, source in patient.open(metrics_port(fresh=fresh), environment).items():
        now = patient.clock.now()
        source.begin(now - _LOOK_BACK, now)
        arms = source.take(now)
        subject = f"metric {name} of {environment}"
        if arms.stable is None and arms.gray is None:
            mend = "nothing is judged without data: check the query"
            yield Diagnosis(subject, Health.NOTE, "answers, and has no data", mend)
        else:
            requests = sum(one.requests for one in (arms.stable, arms.gray) if one is not None)
            yield Diagnosis(subject, Health.GOOD, f"answers: {requests:g} requests")


@hookimpl
def pipegraft_openers() -> Iterable[Opener[..., Any]]:
    yield Opener(JUDGE, _judge)
    yield Opener(METRICS, partial(_metrics, fresh=False))
    yield Opener(BASELINE_METRICS, partial(_metrics, fresh=True))
    yield Opener(ROLLOUT, _rollout)


@hookimpl
def pipegraft_delivery_checks() -> Iterable[DeliveryCheck]:
    yield DeliveryCheck("gray", _problems)


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("metrics", "The metrics of every gray release answer.", _examine, _gray_environments)


@hookimpl
def pipegraft_taken_back(context: StageContext) -> Callable[[str], str | None]:
    environment = context.require_environment()
    number = context.releases.load().source_in(environment).number
    return taken_back(context.open(IAC), context.delivery.iac.path, environment, number)


@hookimpl
def pipegraft_gate_refused(context: StageContext, reason: str) -> str | None:
    return take_back_unserved(context, reason)
