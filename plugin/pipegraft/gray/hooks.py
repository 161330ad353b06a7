"""The hooks that judges and metric sources come by, and the routers that are observed."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipegraft.appspec.hooks import TrafficRouterPlugin
from pipegraft.core.model import Model
from pipegraft.core.plugins import Kind, hookspec
from pipegraft.gray.ports import Judge, MetricRequest, MetricSource, Rollout, RolloutRule

__all__ = ["JUDGES", "METRIC_SOURCES", "JudgePlugin", "MetricSourcePlugin", "ObservedRouter"]


@dataclass(frozen=True, slots=True)
class JudgePlugin:
    """A way to judge a gray release.

    Arguments:
        name: ``sequential``, …
        summary: one line: how it decides.
        judge: the judge itself.
        reads_bounds: whether it reads `minimum` and `maximum` of a metric; else they are refused.
    """

    name: str
    summary: str
    judge: Judge
    reads_bounds: bool = True


@dataclass(frozen=True, slots=True)
class MetricSourcePlugin:
    """Where the counts of both versions come from.

    Arguments:
        name: ``embedded``, ``prometheus``, ``json``, …
        options: the keys of a metric in `gray.metrics` that belong to it.
        connect: validated options and what is asked for → the source.
        baseline: whether it can measure fresh pods of the stable version beside the other two.
    """

    name: str
    options: type[Model]
    connect: Callable[[Any, MetricRequest], MetricSource]
    baseline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRouter(TrafficRouterPlugin):
    """A router that a controller drives, such as Argo Rollouts: what it does is observed.

    Arguments:
        options: the keys of ``gray.rollout``.
        observe: validated options and the source repository's folder → the rollout.
        verdict: reads its status.
    """

    options: type[Model]
    observe: Callable[[Any, Path], Rollout]
    verdict: RolloutRule


JUDGES = Kind("pipegraft_judges", JudgePlugin, "judge")
METRIC_SOURCES = Kind("pipegraft_metric_sources", MetricSourcePlugin, "metric source")


@hookspec
def pipegraft_judges() -> Iterable[JudgePlugin]:
    """Judges of gray releases. Called once, by gray-release and by ``pipegraft judge``.

    Example::

        def patient(policy, observations):
            return Judgement(Answer.INCONCLUSIVE, "not yet", ())

        @hookimpl
        def pipegraft_judges():
            yield JudgePlugin(name="patient", summary="Never decides.", judge=patient)

    Returns:
        Judges, each with a name no other plugin uses.
    """


@hookspec
def pipegraft_metric_sources() -> Iterable[MetricSourcePlugin]:
    """Sources of the counts that gray releases are judged by. Called once, when ``delivery.yaml`` is read.

    Example::

        class Options(Model):
            url: str

        class Mine:
            def __init__(self, options, request):
                self._url = options.url

            def begin(self, at, now):
                self._before = read_counters(self._url)
                return now

            def take(self, until):
                before, self._before = self._before, read_counters(self._url)
                return difference(before, self._before)

        @hookimpl
        def pipegraft_metric_sources():
            yield MetricSourcePlugin(name="mine", options=Options, connect=Mine)

    Returns:
        Sources, each with a name no other plugin uses.
    """
