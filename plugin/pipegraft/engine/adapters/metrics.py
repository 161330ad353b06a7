"""The embedded proxy's own counters, asked of the engine or of the proxy itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from prometheus_client.samples import Sample
from pydantic import Field

from pipegraft.core.adapters.http import Http
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import Unreachable
from pipegraft.core.model import Breach, Model, rule
from pipegraft.core.plugins import hookimpl
from pipegraft.engine.adapters.proxy.metrics import samples_of
from pipegraft.gray.hooks import MetricSourcePlugin
from pipegraft.gray.model.observation import ArmCounts, Histogram, increase
from pipegraft.gray.ports import Arms, MetricRequest

__all__ = ["EmbeddedSource", "Options", "pipegraft_metric_sources"]

_REQUESTS = "pipegraft_proxy_requests_total"
_BUCKETS = "pipegraft_proxy_request_duration_seconds_bucket"
_WEIGHT = "pipegraft_proxy_weight"
_GRAY = "-gray"

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
        self._before = dict(_counters(self._read()))
        return now

    def take(self, until: float) -> Arms:  # noqa: ARG002 - the present is all there is
        """What rose since the last reading."""
        samples = self._read()
        after = dict(_counters(samples))
        risen = increase(self._before, after)
        self._before = after
        weights = self._weights(samples)
        split = {route for route, (_, gray) in weights.items() if gray > 0}
        routes = split or weights.keys()
        mine = {series: value for series, value in risen.items() if series[1] in routes}
        return Arms(
            stable=self._arm(mine, gray=False),
            gray=self._arm(mine, gray=True) if split else None,
            weight=_share(weights[route] for route in split),
        )

    def _read(self) -> list[Sample]:
        url = self._url()
        patience = Patience(attempts=1, silence=self._options.timeout)
        with Http("metric source 'embedded'", patience=patience, proxies=False) as http:
            return samples_of(http.ask("GET", url, what=f"asking {url}").text)

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
        url = url.rstrip("/")
        return url if url.endswith("/metrics") else f"{url}/metrics"

    def _weights(self, samples: Iterable[Sample]) -> dict[str, tuple[float, float]]:
        """Route → weight of stable and of gray."""
        found: dict[str, tuple[float, float]] = {}
        for sample in samples:
            route = sample.labels.get("route", "")
            if sample.name == _WEIGHT and self._wanted(route):
                stable, gray = found.get(route, (0.0, 0.0))
                is_gray = sample.labels["backend"].endswith(_GRAY)
                found[route] = (stable, gray + sample.value) if is_gray else (stable + sample.value, gray)
        return found

    def _wanted(self, route: str) -> bool:
        return route == self._options.route if self._options.route else route.startswith(self._prefix)

    def _arm(self, risen: Mapping[Series, float], *, gray: bool) -> ArmCounts | None:
        mine = {series: value for series, value in risen.items() if series[2].endswith(_GRAY) is gray}
        codes = [(series[3], value) for series, value in mine.items() if series[0] == _REQUESTS]
        if not codes:
            return None
        requests = sum(value for _, value in codes)
        if self._kind == "latency":
            return ArmCounts(requests, latency=_histogram(mine))
        return ArmCounts(requests, errors=sum(value for code, value in codes if code.startswith("5")))


def _counters(samples: Iterable[Sample]) -> Iterator[tuple[Series, float]]:
    for sample in samples:
        last: Literal["code", "le"] | None = {_REQUESTS: "code", _BUCKETS: "le"}.get(sample.name)  # type: ignore[assignment]
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
    yield MetricSourcePlugin(name="embedded", options=Options, connect=EmbeddedSource)
