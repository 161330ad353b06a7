"""Prometheus: counts of both versions by queries, over exactly the window that is asked for."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, model_validator

from pipegraft.errors import AccessDenied, Unreachable, UsageError
from pipegraft.hookspecs import hookimpl
from pipegraft.model.base import Declared, Duration
from pipegraft.model.observation import ArmCounts, Histogram
from pipegraft.ports.metrics import Arms, MetricRequest
from pipegraft.ports.plugins import MetricSourcePlugin

__all__ = ["Options", "PrometheusSource", "pipegraft_metric_sources"]

_PLACEHOLDER = re.compile(r"\{(app|environment|version|suffix|window)\}")
"""Only these words in braces are filled in; PromQL's own braces never hold a bare word."""


class Options(Declared):
    """Keys of a metric with ``source: prometheus``.

    Queries may hold ``{app}``, ``{environment}``, ``{version}`` (``stable`` or ``gray``), ``{suffix}``
    (empty or ``-gray``, as in the names of workloads) and ``{window}`` (``[…]`` holds it: ``[{window}]``).
    """

    url: str = Field(pattern=r"^https?://[^\s]+$")
    """The server, without ``/api/v1``."""
    requests: str | None = None
    """For errors and latency: how many requests there were, as one number."""
    errors: str | None = None
    """For errors: how many of them failed, as one number; no series means none."""
    buckets: str | None = None
    """For latency: requests by upper bound, a vector with the label ``le``."""
    query: str | None = None
    """For values: one number."""
    token_variable: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds a bearer token."""
    headers: Mapping[str, str] = {}
    """Further header fields, a tenant's name for example."""
    lag: Duration = 0.0
    """How far the server is behind: queries look at windows that end so long ago."""
    timeout: float = Field(default=10.0, gt=0)
    """Seconds an answer may take."""

    @model_validator(mode="after")
    def _some_query(self) -> Options:
        if not (self.requests or self.buckets or self.query):
            raise ValueError("expected 'requests' and 'errors', 'buckets', or 'query'")
        return self


class PrometheusSource:
    """Instant queries with the window written into them; it remembers, so a window may lie in the past.

    Arguments:
        options: the server and the queries.
        request: for which application, and what kind of metric.

    Raises:
        UsageError: the queries do not fit the kind of metric.
    """

    def __init__(self, options: Options, request: MetricRequest) -> None:
        self._options = options
        self._kind = request.metric.kind
        self._words = {"app": request.app, "environment": request.environment}
        self._from = 0.0
        needed = {"errors": ("requests", "errors"), "latency": ("buckets",), "value": ("query",)}[self._kind]
        missing = [name for name in needed if getattr(options, name) is None]
        if missing:
            raise UsageError(
                f"metric '{request.metric.name}': kind '{self._kind}' needs the query '{missing[0]}'",
                fix=f"add '{missing[0]}' to the metric in delivery.yaml",
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
        words = {**self._words, "window": window}
        return Arms(
            self._arm({**words, "version": "stable", "suffix": ""}, until),
            self._arm({**words, "version": "gray", "suffix": "-gray"}, until),
        )

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
        errors = self._number(options.errors or "", words, until) or 0.0
        return ArmCounts(requests, errors=min(errors, requests))

    def _latency(self, words: Mapping[str, str], until: float) -> ArmCounts | None:
        cumulative: dict[float, float] = {}
        for labels, value in self._vector(self._options.buckets or "", words, until):
            bound = labels.get("le")
            if bound is None:
                raise UsageError(
                    "metric source 'prometheus': expected the label 'le' in the answer to 'buckets'",
                    fix="write sum by (le) (increase(…_bucket{…}[{window}]))",
                )
            cumulative[math.inf if bound == "+Inf" else float(bound)] = value
        if not cumulative:
            return None
        bounds = sorted(cumulative)
        histogram = Histogram.from_cumulative(bounds, [cumulative[bound] for bound in bounds])
        return ArmCounts(histogram.total, latency=histogram)

    def _number(self, query: str, words: Mapping[str, str], until: float) -> float | None:
        """The one number a query answers; None if it answers nothing, or nothing that is a number."""
        found = self._vector(query, words, until)
        if len(found) > 1:
            raise UsageError(
                f"metric source 'prometheus': expected one series, found {len(found)} "
                f"for {_fill(query, words)}",
                fix="put sum(…) around it",
            )
        return found[0][1] if found else None

    def _vector(
        self, query: str, words: Mapping[str, str], until: float
    ) -> list[tuple[Mapping[str, str], float]]:
        data = self._ask(_fill(query, words), until - self._options.lag)
        result: Any = data.get("result", [])
        if data.get("resultType") == "scalar":
            result = [{"metric": {}, "value": result}]
        pairs = [(dict(series["metric"]), float(series["value"][1])) for series in result]
        return [(labels, value) for labels, value in pairs if not math.isnan(value)]

    def _ask(self, query: str, time: float) -> Mapping[str, Any]:
        import httpx  # noqa: PLC0415 - needed only here, and slow to import

        options = self._options
        url = f"{options.url.rstrip('/')}/api/v1/query"
        form = {"query": query, "time": f"{time:.3f}"}
        try:
            answer = httpx.post(url, data=form, headers=self._headers(), timeout=options.timeout)
        except httpx.HTTPError as error:
            raise Unreachable(f"metric source 'prometheus': no answer from {url}: {error}") from error
        if answer.status_code in (401, 403):
            raise AccessDenied(
                f"metric source 'prometheus': {url} refused access ({answer.status_code})",
                fix="set 'token-variable' to the variable that holds a token",
            )
        try:
            body = answer.json()
        except ValueError:
            raise Unreachable(
                f"metric source 'prometheus': {url} answered {answer.status_code}, no JSON"
            ) from None
        if body.get("status") == "success":
            return dict(body["data"])
        if body.get("errorType") == "bad_data":
            raise UsageError(f"metric source 'prometheus': {body.get('error')} in {query}")
        raise Unreachable(f"metric source 'prometheus': {body.get('errorType')}: {body.get('error')}")

    def _headers(self) -> dict[str, str]:
        headers = dict(self._options.headers)
        name = self._options.token_variable
        if name:
            token = os.environ.get(name)
            if not token:
                raise AccessDenied(
                    f"metric source 'prometheus': the variable {name} holds no token", fix=f"set {name}"
                )
            headers["Authorization"] = f"Bearer {token}"
        return headers


def _fill(query: str, words: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: words[match[1]], query)


@hookimpl
def pipegraft_metric_sources() -> Iterable[MetricSourcePlugin]:
    yield MetricSourcePlugin(name="prometheus", options=Options, connect=PrometheusSource)
