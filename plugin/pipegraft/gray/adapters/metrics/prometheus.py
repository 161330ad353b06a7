"""Prometheus: counts of both versions by queries, over exactly the window that is asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from pydantic import Field

from pipegraft.core.errors import UsageError
from pipegraft.core.model import Breach, Duration, Model, rule
from pipegraft.core.plugins import hookimpl
from pipegraft.gray.adapters.metrics.prometheus_api import Labels, PrometheusApi, ServerOptions
from pipegraft.gray.counters import increase
from pipegraft.gray.hooks import MetricSourcePlugin
from pipegraft.gray.model.observation import ArmCounts, Histogram
from pipegraft.gray.ports.metrics import Arms, MetricRequest

__all__ = ["Options", "PrometheusSource", "pipegraft_metric_sources"]

_PLACEHOLDER = re.compile(r"\{(app|environment|version|suffix|workload|window)\}")
"""Only these words in braces are filled in; PromQL's own braces never hold a bare word."""

_NEEDED = {"errors": (("requests",), ("errors", "ratio")), "latency": (("buckets",),), "value": (("query",),)}
"""Kind of metric → of each group, one query is needed."""


class Workloads(Model):
    """What the queries' ``{workload}`` stands for."""

    stable: str
    """For the version that serves now."""
    gray: str
    """For the new version."""


class Options(ServerOptions):
    """Keys of a metric with ``source: prometheus``.

    Queries may hold ``{app}``, ``{environment}``, ``{version}`` (``stable`` or ``gray``), ``{suffix}``
    (empty or ``-gray``, as in the names of workloads), ``{workload}`` and ``{window}`` (``[…]`` holds it:
    ``[{window}]``).
    """

    requests: str | None = None
    """For errors: how many requests there were, as one number."""
    errors: str | None = None
    """For errors: how many of them failed, as one number; no series means none."""
    ratio: str | None = None
    """For errors, instead of `errors`: which share of the requests failed, from 0 to 1."""
    buckets: str | None = None
    """For latency: requests by upper bound, a vector with the label ``le``."""
    query: str | None = None
    """For values: one number."""
    workload: Workloads | None = None
    """Names of both versions where they are not ours: ``{stable: web-primary, gray: web}`` with Flagger."""
    range: Duration | None = Field(default=None, ge=1)
    """Ask for the whole window in steps of this, instead of for one number: `requests`, `errors` and
    `buckets` are then the raw counters, whose rise is added up here, resets included, nothing extrapolated;
    of `query` the mean counts. Best the interval at which the server scrapes."""
    lag: Duration = 0.0
    """How far the server is behind: queries look at windows that end so long ago."""

    @rule
    def _some_query(self) -> Iterator[Breach]:
        if not (self.requests or self.buckets or self.query):
            yield Breach("expected 'requests' with 'errors' or 'ratio', 'buckets', or 'query'")
        if self.errors and self.ratio:
            yield Breach("expected either 'errors' or 'ratio', found both")
        if self.ratio and self.range:
            yield Breach("a 'ratio' is no counter: leave out 'range', or give 'errors'")
        if not self.workload and any("{workload}" in query for query in self._queries()):
            yield Breach("a query holds {workload}: expected 'workload: {stable: …, gray: …}'")

    def _queries(self) -> Iterable[str]:
        return filter(None, (self.requests, self.errors, self.ratio, self.buckets, self.query))


class PrometheusSource:
    """Queries over a window; the server remembers, so the window may lie in the past.

    Arguments:
        options: the server and the queries.
        request: for which application, and what kind of metric.

    Raises:
        UsageError: the queries do not fit the kind of metric.
    """

    def __init__(self, options: Options, request: MetricRequest) -> None:
        self._options = options
        self._api = PrometheusApi(options, request.root)
        self._kind = request.metric.kind
        self._words = {"app": request.app, "environment": request.environment}
        self._from = 0.0
        for group in _NEEDED[self._kind]:
            if all(getattr(options, name) is None for name in group):
                wanted = "' or '".join(group)
                raise UsageError(
                    f"metric '{request.metric.name}': kind '{self._kind}' needs the query '{wanted}'",
                    fix=f"add '{group[0]}' to the metric in delivery.yaml",
                )

    def begin(self, at: float, now: float) -> float:
        """Count from `at`; asks once, so that a query nobody understands is found out now."""
        self._from = min(at, now)
        self._both(now)
        return self._from

    def take(self, until: float) -> Arms:
        """What both versions showed since the last call."""
        arms = self._both(until)
        self._from = until
        return arms

    def _both(self, until: float) -> Arms:
        window = f"{max(1, math.ceil(until - self._from))}s"
        names = self._options.workload or Workloads(stable="", gray="")
        stable = {"version": "stable", "suffix": "", "workload": names.stable}
        gray = {"version": "gray", "suffix": "-gray", "workload": names.gray}
        common = {**self._words, "window": window}
        return Arms(self._arm({**common, **stable}, until), self._arm({**common, **gray}, until))

    def _arm(self, words: Mapping[str, str], until: float) -> ArmCounts | None:
        options = self._options
        if self._kind == "value":
            value = self._number(options.query or "", words, until)
            return None if value is None else ArmCounts(value=value)
        if self._kind == "latency":
            return self._latency(words, until)
        requests = self._number(options.requests or "", words, until)
        if requests is None:
            return None
        if options.ratio:
            share = self._number(options.ratio, words, until)
            return None if share is None else ArmCounts(requests, errors=requests * min(max(share, 0.0), 1.0))
        errors = self._number(options.errors or "", words, until) or 0.0
        return ArmCounts(requests, errors=min(errors, requests))

    def _latency(self, words: Mapping[str, str], until: float) -> ArmCounts | None:
        cumulative: dict[float, float] = {}
        for labels, value in self._vector(self._options.buckets or "", words, until):
            bound = dict(labels).get("le")
            if bound is None:
                raise UsageError(
                    "metric source 'prometheus': expected the label 'le' in the answer to 'buckets'",
                    fix="write sum by (le) (increase(…_bucket{…}[{window}]))",
                )
            edge = math.inf if bound == "+Inf" else float(bound)
            cumulative[edge] = cumulative.get(edge, 0.0) + value
        if not cumulative:
            return None
        bounds = sorted(cumulative)
        histogram = Histogram.from_cumulative(bounds, [cumulative[bound] for bound in bounds])
        return ArmCounts(histogram.total, latency=histogram)

    def _number(self, query: str, words: Mapping[str, str], until: float) -> float | None:
        """The one number a query answers; None if it answers nothing, or nothing that is a number."""
        found = self._vector(query, words, until)
        if self._options.range and self._kind != "value":
            return sum(value for _, value in found) if found else None
        if len(found) > 1:
            raise UsageError(
                f"metric source 'prometheus': expected one series, found {len(found)} "
                f"for {_fill(query, words)}",
                fix="put sum(…) around it",
            )
        return found[0][1] if found else None

    def _vector(self, query: str, words: Mapping[str, str], until: float) -> list[tuple[Labels, float]]:
        options, asked = self._options, _fill(query, words)
        end = until - options.lag
        if options.range is None:
            return self._api.instant(asked, end)
        start = min(self._from - options.lag, end)
        series = self._api.range(asked, start, end, options.range)
        if end - start > options.range * math.floor(
            (end - start) / options.range
        ):  # a step that is cut short
            for labels, value in self._api.instant(asked, end):
                series = {**series, labels: [*series.get(labels, ()), (end, value)]}
        if self._kind == "value":
            return [(one, sum(v for _, v in pairs) / len(pairs)) for one, pairs in series.items() if pairs]
        return [(one, _rise(pairs, start)) for one, pairs in series.items() if pairs]


def _rise(pairs: Sequence[tuple[float, float]], start: float) -> float:
    """How much a counter rose over a window; one that was not there when it began, began at 0."""
    known = abs(pairs[0][0] - start) < 0.001
    values = [pairs[0][1] if known else 0.0, *(value for _, value in pairs)]
    return sum(increase({"": before}, {"": after})[""] for before, after in pairwise(values))


def _fill(query: str, words: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: words[match[1]], query)


@hookimpl
def pipegraft_metric_sources() -> Iterable[MetricSourcePlugin]:
    yield MetricSourcePlugin(name="prometheus", options=Options, connect=PrometheusSource)
