"""What the proxy counts; kept over reloads, gone with the process as every counter is."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from pipegraft.appspec.ports.traffic import Route
from pipegraft.text.exposition import Family, Sample, render

__all__ = ["DURATION", "REQUESTS", "WEIGHT", "ProxyMetrics"]

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


class ProxyMetrics:
    """Counters of one proxy process."""

    def __init__(self) -> None:
        self._started = time.time()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._buckets: dict[tuple[str, str], list[int]] = {}
        self._seconds: dict[tuple[str, str], float] = {}
        self._in_flight: dict[tuple[str, str], int] = {}

    def know(self, routes: Iterable[Route]) -> None:
        """Show every backend from the start, so that its first request counts as a rise from 0."""
        for route in routes:
            for backend in route.backends:
                key = (route.name, backend.name)
                self._requests.setdefault((*key, 200), 0)
                self._buckets.setdefault(key, [0] * (len(BOUNDS) + 1))
                self._seconds.setdefault(key, 0.0)
                self._in_flight.setdefault(key, 0)

    def began(self, route: str, backend: str) -> None:
        """A request was given to a backend."""
        self._in_flight[route, backend] += 1

    def ended(self, route: str, backend: str, code: int, seconds: float) -> None:
        """A request was answered, or given up.

        Arguments:
            code: status sent; 502 too for an answer that broke off, 499 if the client went away.
            seconds: from the head of the request until the end of the answer.
        """
        key = (route, backend)
        self._in_flight[key] -= 1
        self._requests[route, backend, code] = self._requests.get((route, backend, code), 0) + 1
        self._buckets[key][bisect_left(BOUNDS, seconds)] += 1
        self._seconds[key] += seconds

    def exposition(self, routes: Iterable[Route]) -> str:
        """Everything, in the Prometheus text format.

        Arguments:
            routes: those served now, for their weights.
        """
        requests = (
            Sample(REQUESTS, {"route": route, "backend": backend, "code": str(code)}, count)
            for (route, backend, code), count in sorted(self._requests.items())
        )
        weights = (
            Sample(WEIGHT, {"route": route.name, "backend": backend.name}, backend.weight)
            for route in routes
            for backend in route.backends
        )
        in_flight = (
            Sample(IN_FLIGHT, {"route": route, "backend": backend}, count)
            for (route, backend), count in sorted(self._in_flight.items())
        )
        return render(
            (
                Family(REQUESTS, "counter", "Requests answered, by version and status.", tuple(requests)),
                Family(DURATION, "histogram", "Seconds to answer a request.", tuple(self._durations())),
                Family(IN_FLIGHT, "gauge", "Requests under way.", tuple(in_flight)),
                Family(
                    WEIGHT, "gauge", "Share of the route's requests that is meant for it.", tuple(weights)
                ),
                Family(
                    START,
                    "gauge",
                    "When the counters began, seconds since the epoch.",
                    (Sample(START, {}, self._started),),
                ),
            )
        )

    def _durations(self) -> Iterator[Sample]:
        for (route, backend), counts in sorted(self._buckets.items()):
            labels = {"route": route, "backend": backend}
            total = 0
            for bound, count in zip((*BOUNDS, math.inf), counts, strict=True):
                total += count
                edge = "+Inf" if math.isinf(bound) else f"{bound:g}"
                yield Sample(f"{DURATION}_bucket", {**labels, "le": edge}, total)
            yield Sample(f"{DURATION}_sum", labels, self._seconds[route, backend])
            yield Sample(f"{DURATION}_count", labels, total)
