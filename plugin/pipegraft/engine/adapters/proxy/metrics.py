"""What the proxy counts; kept over reloads, gone with the process as every counter is."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from pipegraft.appspec.traffic_ports import Route
from pipegraft.core.errors import UsageError

__all__ = ["DURATION", "REQUESTS", "WEIGHT", "ProxyMetrics", "samples_of"]

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

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began: nobody asks


class ProxyMetrics:
    """Counters of one proxy process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            REQUESTS, "Requests answered, by version and status.", (*_BACKEND, "code"), registry=registry
        )
        self._seconds = Histogram(
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

    def ended(self, route: str, backend: str, code: int, seconds: float) -> None:
        """A request was answered, or given up.

        Arguments:
            code: status sent; 502 too for an answer that broke off, 499 if the client went away.
            seconds: from the head of the request until the end of the answer.
        """
        self._in_flight.labels(route, backend).dec()
        self._requests.labels(route, backend, str(code)).inc()
        self._seconds.labels(route, backend).observe(seconds)

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
