"""Prometheus: counts of both versions by queries, over exactly the window that is asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from pydantic import Field

from pipegraft.core.errors import UsageError
from pipegraft.core.model import Breach, Duration, Model, rule
from pipegraft.core.plugins import hookimpl
from pipegraft.gray.adapters.prometheus_api import Labels, PrometheusApi, ServerOptions
from pipegraft.gray.hooks import MetricSourcePlugin
from pipegraft.gray.observation import ArmCounts, Histogram, increase
from pipegraft.gray.ports import Arms, MetricRequest

__all__ = ["Options", "PrometheusSource", "pipegraft_metric_sources"]

_PLACEHOLDER = re.compile(r"\{(app|environment|version|suffix|workload|window)\}")
"""Only these words in braces are filled in; PromQL's own braces never hold a bare word."""

_LABEL = r"^[A-Za-z_][A-Za-z0-9_]*$"

_SUM = re.compile(r"\s*sum\s*(?:by\s*\(([^)]*)\)\s*)?\(")
"""How a query begins whose series can be told apart by one more label, …"""

_END = re.compile(r"\)\s*(?:by\s*\(([^)]*)\))?\s*(?:or\s+vector\s*\(\s*0\s*\))?\s*")
"""… and how it ends: what `sum` is part of cannot be told apart."""

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`|[()]')
"""Texts, whose brackets do not count, and brackets."""

_NEEDED = {"errors": (("requests",), ("errors", "ratio")), "latency": (("buckets",),), "value": (("query",),)}
"""Kind of metric → of each group, one query is needed."""


_MOST_POINTS = 10_000
"""Steps of one answer; the server refuses more than 11,000."""

_Span = tuple[float, float]
"""Start and end of what is asked for, seconds since the epoch."""


class Workloads(Model):
    """What the queries' ``{workload}`` stands for."""

    stable: str
    """For the version that serves now."""
    gray: str
    """For the new version."""
    baseline: str | None = None
    """For fresh pods of the version that serves, with ``baseline: fresh``."""


class Options(ServerOptions):
    """Keys of a metric with ``source: prometheus``.

    Queries may hold ``{app}``, ``{environment}``, ``{version}`` (``stable``, ``gray`` or ``baseline``),
    ``{suffix}`` (empty, ``-gray`` or ``-baseline``, as in the names of workloads), ``{workload}`` and
    ``{window}`` (``[…]`` holds it: ``[{window}]``).
    """

    requests: str | None = None
    """For errors: how many requests there were, as one number."""
    errors: str | None = None
    """For errors: how many of them failed, as one number; no series means none."""
    errors_may_be_absent: bool = False
    """Whether `errors` may answer no series for a whole day: the service hardly ever fails. Otherwise
    a release does not begin then, because a mistyped query looks the same."""
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
    pods: str = Field(default="pod", pattern=_LABEL)
    """Label of the series that names a pod: `learn` compares stable's pods with one another by it."""
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
        self._baseline = request.baseline
        if request.baseline and options.workload and options.workload.baseline is None:
            raise UsageError(
                f"metric '{request.metric.name}': with 'baseline: fresh' 'workload' needs its name, too",
                fix="write 'workload: {stable: …, gray: …, baseline: …}'",
            )
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
        self._both(self._from, now)
        return self._from

    def take(self, until: float) -> Arms:
        """What both versions showed since the last call."""
        arms = self._both(self._from, until)
        if self._baseline:
            arms = replace(arms, baseline=self._arm("baseline", self._from, until))
        self._from = until
        return _counted(arms)

    def past(self, start: float, end: float) -> Arms:
        """What both versions showed in a time gone by."""
        arms = self._both(start, end)
        return _counted(arms) if self._options.errors_may_be_absent else arms

    def pods(self, start: float, end: float, step: float) -> Sequence[Mapping[str, ArmCounts]]:
        """What each of stable's pods showed, interval by interval."""
        end -= self._options.lag
        bad = self._by_pod(self._options.errors, start, end, step)
        if self._kind == "errors" and not self._options.ratio:
            served = self._by_pod(self._options.requests, start, end, step)
            return [
                {
                    pod: ArmCounts(all_, errors=min(bad.get(at, {}).get(pod, {}).get("", 0.0), all_))
                    for pod, counts in served[at].items()
                    for all_ in counts.values()
                }
                for at in sorted(served)
            ]
        slow = self._by_pod(self._options.buckets, start, end, step)
        return [{pod: _histogram(counts) for pod, counts in slow[at].items()} for at in sorted(slow)]

    def _by_pod(
        self, query: str | None, start: float, end: float, step: float
    ) -> dict[float, dict[str, dict[str, float]]]:
        """Time → pod → upper bound, or empty → number; nothing if the query cannot be told by pod."""
        found: dict[float, dict[str, dict[str, float]]] = {}
        label = self._options.pods
        asked = _told_by(label, _fill(query or "", self._filled("stable", step)))
        series = self._api.range(asked, start, end, step) if asked else {}
        for labels, pairs in series.items():
            names = dict(labels)
            if label not in names:
                continue
            for before, (at, value) in pairwise(pairs):
                grown = increase({"": before[1]}, {"": value})[""] if self._options.range else value
                shown, bound = found.setdefault(at, {}).setdefault(names[label], {}), names.get("le", "")
                shown[bound] = shown.get(bound, 0.0) + grown
        return found

    def _both(self, start: float, until: float) -> Arms:
        return Arms(self._arm("stable", start, until), self._arm("gray", start, until))

    def _arm(self, version: str, start: float, until: float) -> ArmCounts | None:
        return self._shown(self._filled(version, until - start), (start, until))

    def _filled(self, version: str, seconds: float) -> dict[str, str]:
        """What stands for the words of a query."""
        names = self._options.workload
        return {
            **self._words,
            "window": f"{max(1, math.ceil(seconds))}s",
            "version": version,
            "suffix": "" if version == "stable" else f"-{version}",
            "workload": getattr(names, version) or "" if names else "",
        }

    def _shown(self, words: Mapping[str, str], span: _Span) -> ArmCounts | None:
        """What one version showed; without `errors` where no series tells of any."""
        options = self._options
        if self._kind == "value":
            value = self._number(options.query or "", words, span)
            return None if value is None else ArmCounts(value=value)
        if self._kind == "latency":
            return self._latency(words, span)
        requests = self._number(options.requests or "", words, span)
        if requests is None:
            return None
        if options.ratio:
            share = self._number(options.ratio, words, span)
            return None if share is None else ArmCounts(requests, errors=requests * min(max(share, 0.0), 1.0))
        errors = self._number(options.errors or "", words, span)
        return ArmCounts(requests, errors=None if errors is None else min(errors, requests))

    def _latency(self, words: Mapping[str, str], span: _Span) -> ArmCounts | None:
        counts: dict[str, float] = {}
        for labels, value in self._vector(self._options.buckets or "", words, span):
            bound = dict(labels).get("le")
            if bound is None:
                raise UsageError(
                    "metric source 'prometheus': expected the label 'le' in the answer to 'buckets'",
                    fix="write sum by (le) (increase(…_bucket{…}[{window}]))",
                )
            counts[bound] = counts.get(bound, 0.0) + value
        return _histogram(counts) if counts else None

    def _number(self, query: str, words: Mapping[str, str], span: _Span) -> float | None:
        """The one number a query answers; None if it answers nothing, or nothing that is a number."""
        found = self._vector(query, words, span)
        if self._options.range and self._kind != "value":
            return sum(value for _, value in found) if found else None
        if len(found) > 1:
            raise UsageError(
                f"metric source 'prometheus': expected one series, found {len(found)} "
                f"for {_fill(query, words)}",
                fix="put sum(…) around it",
            )
        return found[0][1] if found else None

    def _vector(self, query: str, words: Mapping[str, str], span: _Span) -> list[tuple[Labels, float]]:
        options, asked = self._options, _fill(query, words)
        end = span[1] - options.lag
        if options.range is None:
            return self._api.instant(asked, end)
        start = min(span[0] - options.lag, end)
        step = max(options.range, (end - start) / _MOST_POINTS)
        series = self._api.range(asked, start, end, step)
        if end - start > step * math.floor((end - start) / step):  # a step that is cut short
            for labels, value in self._api.instant(asked, end):
                series = {**series, labels: [*series.get(labels, ()), (end, value)]}
        if self._kind == "value":
            return [(one, sum(v for _, v in pairs) / len(pairs)) for one, pairs in series.items() if pairs]
        return [(one, _rise(pairs, start)) for one, pairs in series.items() if pairs]


def _told_by(label: str, query: str) -> str:
    """A sum that is also told apart by a label; empty if the query is none, or more than one."""
    head = _SUM.match(query)
    depth, end = 1, 0
    for token in _TOKEN.finditer(query, head.end() if head else len(query)):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if not depth:
            end = token.start()
            break
    tail = _END.fullmatch(query, end)
    if head is None or tail is None or (head[1] and tail[1]):
        return ""
    others = [one.strip() for one in (head[1] or tail[1] or "").split(",")]
    labels = ", ".join(dict.fromkeys(filter(None, (label, *others))))
    return f"sum by ({labels}) ({query[head.end() : end]})"


def _histogram(counts: Mapping[str, float]) -> ArmCounts:
    """Cumulative counts by the text of their upper bound."""
    cumulative = {float(bound): value for bound, value in counts.items()}
    bounds = sorted(cumulative)
    histogram = Histogram.from_cumulative(bounds, [cumulative[bound] for bound in bounds])
    return ArmCounts(histogram.total, latency=histogram)


def _counted(arms: Arms) -> Arms:
    """Where requests are counted and no series tells of errors, there were none."""
    return replace(
        arms,
        stable=_failing(arms.stable),
        gray=_failing(arms.gray),
        baseline=_failing(arms.baseline),
    )


def _failing(arm: ArmCounts | None) -> ArmCounts | None:
    if arm is None or arm.errors is not None or arm.latency is not None or arm.value is not None:
        return arm
    return replace(arm, errors=0.0)


def _rise(pairs: Sequence[tuple[float, float]], start: float) -> float:
    """How much a counter rose over a window; one that was not there when it began, began at 0."""
    known = abs(pairs[0][0] - start) < 0.001
    values = [pairs[0][1] if known else 0.0, *(value for _, value in pairs)]
    return sum(increase({"": before}, {"": after})[""] for before, after in pairwise(values))


def _fill(query: str, words: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: words[match[1]], query)


@hookimpl
def pipegraft_metric_sources() -> Iterable[MetricSourcePlugin]:
    yield MetricSourcePlugin(name="prometheus", options=Options, connect=PrometheusSource, baseline=True)
