"""The embedded proxy's counters: kept in its process over reloads, and asked of it or of the engine."""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client import Histogram as Buckets
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from pydantic import Field

from pipegraft.appspec.pods import BASELINE_SUFFIX, GRAY_SUFFIX
from pipegraft.appspec.traffic_ports import Route
from pipegraft.core.adapters.http import Http
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import Unreachable, UsageError
from pipegraft.core.model import Breach, Model, rule
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import load_json, readable
from pipegraft.gray.hooks import MetricSourcePlugin
from pipegraft.gray.observation import ArmCounts, Histogram, increase
from pipegraft.gray.ports import Arms, MetricRequest

__all__ = [
    "DURATION",
    "INSTANCES",
    "REQUESTS",
    "WEIGHT",
    "EmbeddedSource",
    "Options",
    "ProxyMetrics",
    "pipegraft_metric_sources",
    "samples_of",
]


REQUESTS = "pipegraft_proxy_requests_total"
DURATION = "pipegraft_proxy_request_duration_seconds"
WEIGHT = "pipegraft_proxy_weight"
IN_FLIGHT = "pipegraft_proxy_requests_in_flight"
START = "process_start_time_seconds"

BOUNDS: tuple[float, ...] = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
    *(0.75, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the buckets, in seconds."""

_BACKEND = ("route", "backend")

INSTANCES = "/instances"
"""Page with what each instance answered, minute by minute."""

_MINUTE = 60
_DAY = 1440
_MOST_ROWS = 10_000
"""Minutes of instances that are kept, of the last day: with many instances they reach less far back."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began: nobody asks


class ProxyMetrics:
    """Counters of one proxy process.

    Arguments:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._minutes: dict[tuple[int, str, str, str], list[int]] = {}
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            REQUESTS, "Requests answered, by version and status.", (*_BACKEND, "code"), registry=registry
        )
        self._seconds = Buckets(
            DURATION, "Seconds to answer a request.", _BACKEND, buckets=BOUNDS, registry=registry
        )
        self._in_flight = Gauge(IN_FLIGHT, "Requests under way.", _BACKEND, registry=registry)
        self._weights = Gauge(
            WEIGHT, "Share of the route's requests that is meant for it.", _BACKEND, registry=registry
        )
        started = Gauge(START, "When the counters began, seconds since the epoch.", registry=registry)
        started.set_to_current_time()

    def know(self, routes: Iterable[Route]) -> None:
        """Show every backend from the start, so that its first request counts as a rise from 0."""
        for route in routes:
            for backend in route.backends:
                self._requests.labels(route.name, backend.name, "200")
                self._seconds.labels(route.name, backend.name)
                self._in_flight.labels(route.name, backend.name)

    def began(self, route: str, backend: str) -> None:
        """A request was given to a backend."""
        self._in_flight.labels(route, backend).inc()

    def ended(self, route: str, backend: str, code: int, seconds: float, instance: str = "") -> None:
        """A request was answered, or given up.

        Arguments:
            code: status sent; 502 too for an answer that broke off, 499 if the client went away.
            seconds: from the head of the request until the end of the answer.
            instance: address of who answered it, or was tried last; empty if there is none.
        """
        if instance:
            self._note((int(self._clock() // _MINUTE), route, backend, instance), code, seconds)
        self._in_flight.labels(route, backend).dec()
        self._requests.labels(route, backend, str(code)).inc()
        self._seconds.labels(route, backend).observe(seconds)

    def _note(self, minute: tuple[int, str, str, str], code: int, seconds: float) -> None:
        row = self._minutes.get(minute)
        if row is None:
            row = self._minutes[minute] = [0] * (2 + len(BOUNDS))
            while len(self._minutes) > _MOST_ROWS or next(iter(self._minutes))[0] <= minute[0] - _DAY:
                del self._minutes[next(iter(self._minutes))]
        row[0] += code >= 500
        row[1 + bisect_left(BOUNDS, seconds)] += 1

    def instances(self) -> str:
        """What each instance answered in each minute of the last day, oldest first, as JSON.

        A row is the minute since the epoch, route, backend, address, and counts: failed requests, then all
        by the upper bound of their seconds, the last one without a bound.
        """
        rows = [[*minute, counts] for minute, counts in self._minutes.items()]
        return json.dumps({"bounds": BOUNDS, "rows": rows}, separators=(",", ":")) + "\n"

    def exposition(self, routes: Iterable[Route]) -> str:
        """Everything, in the Prometheus text format.

        Arguments:
            routes: those served now, for their weights.
        """
        self._weights.clear()
        for route in routes:
            for backend in route.backends:
                self._weights.labels(route.name, backend.name).set(backend.weight)
        return generate_latest(self._registry).decode()


def samples_of(text: str) -> list[Sample]:
    """Every sample of a page in the Prometheus text format.

    Raises:
        UsageError: it is not in the format.
    """
    try:
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except (ValueError, IndexError) as error:  # the parser takes some lines for longer than they are
        raise UsageError(f"expected the Prometheus text format, found something else ({error})") from None


_BUCKETS = f"{DURATION}_bucket"

Series = tuple[str, str, str, str]
"""Name of the metric, route, backend, and code or upper bound."""


class Options(Model):
    """Keys of a metric with ``source: embedded``."""

    url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """The engine's address, or the proxy's admin address."""
    state: str | None = None
    """The engine's state folder, relative to `delivery.yaml`, which says where it listens."""
    route: str | None = None
    """Name of the route to measure; every route that is split for this application if absent."""
    timeout: float = Field(default=5.0, gt=0)
    """Seconds an answer may take."""

    @rule
    def _one_address(self) -> Iterator[Breach]:
        if (self.url is None) == (self.state is None):
            yield Breach("expected either 'url' or 'state' to say where the counters are")


_COUNTERS = "the proxy's page of counters"


class EmbeddedSource:
    """Differences between two readings of the proxy's counters.

    Arguments:
        options: where they are.
        request: for which application, and whether errors or latencies are wanted.
    """

    def __init__(self, options: Options, request: MetricRequest) -> None:
        self._options = options
        self._root = request.root
        self._kind = request.metric.kind
        self._prefix = f"{request.app}-{request.environment}/"
        self._before: Mapping[Series, float] = {}

    def begin(self, at: float, now: float) -> float:  # noqa: ARG002 - it does not remember
        """Read the counters; what happened before is not known here."""
        with readable(_COUNTERS):
            self._before = dict(_counters(self._read()))
        return now

    def take(self, until: float) -> Arms:  # noqa: ARG002 - the present is all there is
        """What rose since the last reading."""
        with readable(_COUNTERS):
            samples = self._read()
            after = dict(_counters(samples))
            weights = self._weights(samples)
        risen = increase(self._before, after)
        self._before = after
        split = {route for route, (_, gray) in weights.items() if gray > 0}
        routes = split or weights.keys()
        mine = {series: value for series, value in risen.items() if series[1] in routes}
        return Arms(
            stable=self._arm(mine, "stable"),
            gray=self._arm(mine, "gray") if split else None,
            weight=_share(weights[route] for route in split),
            baseline=self._arm(mine, "baseline"),
        )

    def pods(self, start: float, end: float, step: float) -> Sequence[Mapping[str, ArmCounts]]:
        """What each instance of stable showed, interval by interval; nothing of intervals under a minute."""
        if step < _MINUTE:
            return []
        content = self._page(INSTANCES)
        found: dict[int, dict[str, list[float]]] = {}
        with readable("the proxy's page of instances"):
            page = load_json(content)
            bounds = (*page["bounds"], math.inf)
            for minute, route, backend, address, counts in page["rows"]:
                at = _MINUTE * minute
                if (
                    start <= at <= end - _MINUTE
                    and self._wanted(route)
                    and _version(route, backend) == "stable"
                ):
                    pods = found.setdefault(int((at - start) // step), {})
                    known = pods.get(address, [0.0] * len(counts))
                    pods[address] = [sum(pair) for pair in zip(known, counts, strict=True)]
            return [
                {pod: self._shown(bounds, counts) for pod, counts in found[at].items()}
                for at in sorted(found)
            ]

    def _shown(self, bounds: Sequence[float], counts: Sequence[float]) -> ArmCounts:
        errors, *slow = counts
        if self._kind == "latency":
            return ArmCounts(sum(slow), latency=Histogram(tuple(bounds[:-1]), tuple(slow)))
        return ArmCounts(sum(slow), errors=errors)

    def _read(self) -> list[Sample]:
        return samples_of(self._page("/metrics"))

    def _page(self, path: str) -> str:
        url = self._url() + path
        patience = Patience(attempts=1, silence=self._options.timeout)
        with Http("metric source 'embedded'", patience=patience, proxies=False) as http:
            return http.ask("GET", url, what=f"asking {url}").text

    def _url(self) -> str:
        url = self._options.url
        if url is None:
            record = self._root / (self._options.state or "") / "engine.json"
            try:
                url = str(json.loads(record.read_bytes())["url"])
            except (OSError, ValueError, KeyError):
                raise Unreachable(
                    f"expected {record} to say where the engine listens",
                    fix="start it with 'pipegraft engine'",
                ) from None
        return url.rstrip("/").removesuffix("/metrics")

    def _weights(self, samples: Iterable[Sample]) -> dict[str, tuple[float, float]]:
        """Route → weight of stable and of gray."""
        found: dict[str, tuple[float, float]] = {}
        for sample in samples:
            route = sample.labels.get("route", "")
            if sample.name == WEIGHT and self._wanted(route):
                stable, gray = found.get(route, (0.0, 0.0))
                is_gray = _version(route, sample.labels["backend"]) == "gray"
                found[route] = (stable, gray + sample.value) if is_gray else (stable + sample.value, gray)
        return found

    def _wanted(self, route: str) -> bool:
        return route == self._options.route if self._options.route else route.startswith(self._prefix)

    def _arm(self, risen: Mapping[Series, float], version: str) -> ArmCounts | None:
        mine = {series: value for series, value in risen.items() if _version(*series[1:3]) == version}
        codes = [(series[3], value) for series, value in mine.items() if series[0] == REQUESTS]
        if not codes:
            return None
        requests = sum(value for _, value in codes)
        if self._kind == "latency":
            return ArmCounts(requests, latency=_histogram(mine))
        return ArmCounts(requests, errors=sum(value for code, value in codes if code.startswith("5")))


def _version(route: str, backend: str) -> str:
    """Of which version a backend is: `stable`, `gray` or `baseline`; a component may be called so, too."""
    suffix = backend.removeprefix(route.rpartition("/")[2])
    return "baseline" if suffix == BASELINE_SUFFIX else "gray" if suffix == GRAY_SUFFIX else "stable"


def _counters(samples: Iterable[Sample]) -> Iterator[tuple[Series, float]]:
    for sample in samples:
        last: Literal["code", "le"] | None = {REQUESTS: "code", _BUCKETS: "le"}.get(sample.name)  # type: ignore[assignment]
        if last:
            yield (
                (sample.name, sample.labels["route"], sample.labels["backend"], sample.labels[last]),
                sample.value,
            )


def _histogram(risen: Mapping[Series, float]) -> Histogram:
    cumulative: dict[float, float] = {}
    for (name, _, _, bound), value in risen.items():
        if name == _BUCKETS:
            edge = math.inf if bound == "+Inf" else float(bound)
            cumulative[edge] = cumulative.get(edge, 0.0) + value
    bounds = sorted(cumulative)
    return Histogram.from_cumulative(bounds, [cumulative[bound] for bound in bounds])


def _share(weights: Iterable[tuple[float, float]]) -> float | None:
    pairs = list(weights)
    shares = {100 * gray / (stable + gray) for stable, gray in pairs}
    return shares.pop() if len(shares) == 1 else None


@hookimpl
def pipegraft_metric_sources() -> Iterable[MetricSourcePlugin]:
    yield MetricSourcePlugin(name="embedded", options=Options, connect=EmbeddedSource, baseline=True)
