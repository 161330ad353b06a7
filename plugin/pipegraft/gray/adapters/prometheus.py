"""Prometheus: counts of both versions by queries, over exactly the window that is asked for.

Source of its HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import Field

from pipegraft.core.adapters.http import Http, trusted
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import AccessDenied, Unreachable, UsageError
from pipegraft.core.model import Breach, Duration, Model, RelativePath, rule
from pipegraft.core.plugins import hookimpl
from pipegraft.gray.hooks import MetricSourcePlugin
from pipegraft.gray.observation import ArmCounts, Histogram, increase
from pipegraft.gray.ports import Arms, MetricRequest

__all__ = [
    "Labels",
    "Options",
    "PrometheusApi",
    "PrometheusSource",
    "ServerOptions",
    "pipegraft_metric_sources",
]

Labels = tuple[tuple[str, str], ...]
"""Labels of a series, sorted."""

_SOURCE = "metric source 'prometheus'"
_TOLD = frozenset({200, 400, 422, 503})
"""Statuses with which Prometheus' own JSON tells what is the matter (its API's "Format overview")."""
_ATTEMPTS = 2
"""A query only reads: one that got lost is asked once more."""
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class ServerOptions(Model):
    """Keys that say where the server is, and as whom it is asked."""

    url: str = Field(pattern=r"^https?://[^\s@]+$")
    """The server, without ``/api/v1``."""
    token_variable: str | None = Field(default=None, pattern=_VARIABLE)
    """Environment variable that holds a bearer token."""
    user: str | None = Field(default=None, pattern=r"^[^:]+$")
    """User name, for basic authentication."""
    password_variable: str | None = Field(default=None, pattern=_VARIABLE)
    """Environment variable that holds the user's password."""
    ca: RelativePath | None = None
    """File of certificate authorities to trust instead of the system's, relative to `delivery.yaml`."""
    headers: Mapping[str, str] = {}
    """Further header fields, a tenant's name for example."""
    timeout: float = Field(default=10.0, gt=0)
    """Seconds an answer may take."""

    @rule
    def _one_way_in(self) -> Iterator[Breach]:
        if (self.user is None) != (self.password_variable is None):
            yield Breach("expected 'user' and 'password-variable' together")
        if self.user and self.token_variable:
            yield Breach("expected either 'token-variable' or 'user', found both")


class PrometheusApi:
    """One server.

    Arguments:
        options: where it is, and as whom it is asked.
        root: folder that `ca` counts from.
    """

    def __init__(self, options: ServerOptions, root: Path) -> None:
        self._options = options
        self._root = root

    def instant(self, query: str, time: float) -> list[tuple[Labels, float]]:
        """What a query answers at one time: a vector, or a scalar as a series without labels; no NaN.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused.
            UsageError: it does not understand the query.
        """
        data = self._ask("query", {"query": query, "time": f"{time:.3f}"})
        result: Any = data.get("result", [])
        if data.get("resultType") == "scalar":
            result = [{"metric": {}, "value": result}]
        pairs = [(_labels(series), float(series["value"][1])) for series in result]
        return [(labels, value) for labels, value in pairs if not math.isnan(value)]

    def range(self, query: str, start: float, end: float, step: float) -> Mapping[Labels, Sequence[Any]]:
        """What a query answers from `start` to `end`, every `step` seconds.

        Returns:
            Series → pairs of seconds since the epoch and a number; no NaN.
        """
        form = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        data = self._ask("query_range", form)
        found = {
            _labels(series): [(float(time), float(text)) for time, text in series["values"]]
            for series in data.get("result", [])
        }
        return {
            labels: [pair for pair in pairs if not math.isnan(pair[1])] for labels, pairs in found.items()
        }

    def _ask(self, kind: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        url = f"{self._options.url.rstrip('/')}/api/v1/{kind}"
        answer = self._http.ask("POST", url, what=f"asking {url}", good=_TOLD, data=dict(form))
        body = answer.json()
        if body.get("status") == "success":
            return dict(body["data"])
        if body.get("errorType") == "bad_data":
            raise UsageError(f"{_SOURCE}: {body.get('error')} in {form['query']}")
        raise Unreachable(f"{_SOURCE}: {body.get('errorType')}: {body.get('error')}")

    @cached_property
    def _http(self) -> Http:
        options = self._options
        headers, auth = dict(options.headers), None
        if options.token_variable:
            headers["Authorization"] = f"Bearer {_secret(options.token_variable, 'token')}"
        if options.user and options.password_variable:
            auth = options.user, _secret(options.password_variable, "password")
        return Http(
            _SOURCE,
            trust=self._trust(),
            headers=headers,
            auth=auth,
            patience=Patience(
                attempts=_ATTEMPTS, deadline=_ATTEMPTS * options.timeout, silence=options.timeout
            ),
            untrusted="name its authority in 'ca' of the metric",
            denied="set 'token-variable', or 'user' and 'password-variable', to who may query it",
        )

    def _trust(self) -> ssl.SSLContext | None:
        if self._options.ca is None:
            return None
        path = self._root / self._options.ca
        try:
            return trusted(path)
        except OSError as error:
            raise UsageError(
                f"{_SOURCE}: expected certificate authorities in {path}: {error}",
                fix="correct 'ca' of the metric",
            ) from None


def _labels(series: Mapping[str, Any]) -> Labels:
    return tuple(sorted(series["metric"].items()))


def _secret(name: str, what: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise AccessDenied(f"{_SOURCE}: the variable {name} holds no {what}", fix=f"set {name}")
    return found


_PLACEHOLDER = re.compile(r"\{(app|environment|version|suffix|workload|window)\}")
"""Only these words in braces are filled in; PromQL's own braces never hold a bare word."""

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

    def _both(self, start: float, until: float) -> Arms:
        return Arms(self._arm("stable", start, until), self._arm("gray", start, until))

    def _arm(self, version: str, start: float, until: float) -> ArmCounts | None:
        names = self._options.workload
        words = {
            **self._words,
            "window": f"{max(1, math.ceil(until - start))}s",
            "version": version,
            "suffix": "" if version == "stable" else f"-{version}",
            "workload": getattr(names, version) or "" if names else "",
        }
        return self._shown(words, (start, until))

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
        cumulative: dict[float, float] = {}
        for labels, value in self._vector(self._options.buckets or "", words, span):
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
