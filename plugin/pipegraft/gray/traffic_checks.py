"""Whether what is observed can be compared: before gray gets its first request, and at each look.

A router that did not take the weight over, or a query that counts something else, makes every verdict
worthless: the evidence is of another experiment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import lgamma, log
from statistics import median
from typing import Final

from pipegraft.appspec.rendering.common import other_routers
from pipegraft.appspec.spec import Resolved
from pipegraft.core.errors import UsageError
from pipegraft.gray.judgement import MetricPolicy
from pipegraft.gray.judging.detectability import bad_requests
from pipegraft.gray.judging.metric_state import percent
from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.ports import MetricSource, RememberingSource

__all__ = ["check_before_traffic", "harm_to_both", "hour_before", "weight_mismatch"]

_SURE: Final = log(1000)
"""Logarithm of the odds at which a share is taken to be another one."""

_TOGETHER: Final = 10.0
"""Requests that count as one: those of one connection stay with one version."""


def weight_mismatch(step: Sequence[Observation], tolerance: float, *, more_is_meant: bool) -> str:
    """Compare the newer half of a step's intervals with its weight.

    The likelihood of what was seen under a mixture of all shares (Beta(1/2, 1/2)) is compared with that under
    the nearest share that is tolerated.

    Arguments:
        step: intervals of one weight, oldest first. The older half does not count, so that a router that was
            late is forgiven.
        tolerance: how far gray's share may be from the weight, relative.
        more_is_meant: whether gray gets requests beside its weight, of chosen users or mirrored ones.

    Returns:
        One sentence that names both shares; empty if they do not differ, or nothing was seen.
    """
    if not step:
        return ""
    newer = step[len(step) // 2 :]
    weight = newer[-1].share
    for metric, stable, gray in _requests(newer):
        seen = gray / (stable + gray)
        most = min(weight * (1 + tolerance), 1 - (1 - weight) / (1 + tolerance))
        least = max(weight / (1 + tolerance), 0.0)
        too_much = not more_is_meant and seen > most and _evidence(gray, stable, most) > _SURE
        too_little = seen < least and _evidence(gray, stable, least) > _SURE
        if too_much or too_little:
            return (
                f"expected {100 * weight:g}% of the requests to be gray's, found {100 * seen:.3g}% of "
                f"the {stable + gray:,.0f} that '{metric}' counts: the router has not taken the weight over, "
                "or the metric counts other requests"
            )
    return ""


def _requests(observations: Iterable[Observation]) -> Iterable[tuple[str, float, float]]:
    """Metric → requests of stable and of gray, of the metrics that count any."""
    found: dict[str, tuple[float, float]] = {}
    for observation in observations:
        for metric in observation.stable:
            pair = observation.pair(metric)
            if pair:
                stable, gray = found.get(metric, (0.0, 0.0))
                found[metric] = (stable + pair[0].requests, gray + pair[1].requests)
    return [(metric, stable, gray) for metric, (stable, gray) in found.items() if stable + gray > 0]


def _evidence(gray: float, stable: float, share: float) -> float:
    """Logarithm of the odds against gray's share being this one."""
    gray, stable = gray / _TOGETHER, stable / _TOGETHER
    mixture = lgamma(gray + 0.5) + lgamma(stable + 0.5) - lgamma(gray + stable + 1) - _HALF
    return mixture - gray * log(share) - stable * log(1 - share)


_HALF: Final = 2 * lgamma(0.5)  # logarithm of Beta(1/2, 1/2), whose other part, lgamma(1), is 0


def check_before_traffic(
    spec: Resolved | None, router: str, sources: Mapping[str, MetricSource], now: float
) -> None:
    """Make sure that the delivery's router splits the requests, and that every metric source answers.

    Arguments:
        spec: the app spec of the environment, None if it is none.
        router: what `gray.router` of the delivery names.
        sources: by the metric's name.
        now: seconds since the epoch.

    Raises:
        OutsideError, UsageError: one of it does not hold; nothing was written.
    """
    for component, other in other_routers(spec, router) if spec else ():
        raise UsageError(
            f"delivery.yaml names the router '{router}', but the entrance of '{component}' in "
            f"app.yaml is split by '{other}'",
            fix="name the same router in 'gray.router' and in 'entrance.router'",
        )
    for name, source in sources.items():
        source.begin(now, now)
        if isinstance(source, RememberingSource):
            _errors_are_counted(name, source, now)


_LOOKED_BACK: Final = (3600.0, 86400.0)
"""Seconds in which errors must have been counted: an hour costs the server less than a day."""


def _errors_are_counted(name: str, source: RememberingSource, now: float) -> None:
    """Refuse a query for errors that never had a series where there were requests: it is mistyped."""
    shown: list[ArmCounts] = []
    for seconds in _LOOKED_BACK:
        arms = source.past(now - seconds, now)
        shown = [arm for arm in (arms.stable, arms.gray) if arm and arm.requests]
        if any((arm.errors, arm.latency) != (None, None) for arm in shown):
            return
    if shown:
        raise UsageError(
            f"metric '{name}': its query for errors has had no series for a day, but that for requests "
            f"counted {sum(arm.requests for arm in shown):,.0f}: every release would look good",
            fix="correct the metric or label in 'errors', or say 'errors-may-be-absent: true' if the service "
            "hardly ever fails",
        )


_HOUR: Final = 3600.0

_FAR_MORE: Final = 3.0
"""How many times its own rate of the hour before stable's must be to point to harm of both versions, …"""

_ENOUGH: Final = 30.0
"""… and how many of its requests must have been bad since the weight changed."""


def hour_before(
    metrics: Iterable[MetricPolicy], sources: Mapping[str, MetricSource], begun: float
) -> dict[str, float]:
    """Metric → share of bad requests of stable in the hour before the release; of sources that remember.

    Arguments:
        metrics: those of the policy; only critical ones that count requests are asked for.
        sources: by the metric's name.
        begun: when the release was prepared, seconds since the epoch.

    Raises:
        OutsideError, UsageError: a source did not answer.
    """
    found: dict[str, float] = {}
    for metric in metrics:
        source = sources.get(metric.name)
        fixed = metric.kind == "errors" or (metric.kind == "latency" and metric.threshold is not None)
        if metric.critical and fixed and isinstance(source, RememberingSource):
            seen = source.past(begun - _HOUR, begun).stable
            if seen is not None and seen.requests:
                found[metric.name] = bad_requests(metric, seen) / seen.requests
    return found


def harm_to_both(
    step: Sequence[Observation], metrics: Iterable[MetricPolicy], before: Mapping[str, float]
) -> str:
    """Whether stable itself became far worse since gray gets requests: then comparing both says nothing.

    The median of the intervals counts, so that an incident of a few minutes does not.

    Arguments:
        step: intervals of one weight.
        metrics: those of the policy.
        before: what `hour_before` found.

    Returns:
        One sentence that names both shares; empty if stable is as it was, or nobody knows.
    """
    for metric in metrics:
        serving = [one.serving if one.fresh else one.stable for one in step]
        arms = [arm for one in serving if (arm := one.get(metric.name)) and arm.requests]
        bad = [bad_requests(metric, arm) for arm in arms]
        if metric.name not in before or sum(bad) < _ENOUGH:
            continue
        now = median(one / arm.requests for one, arm in zip(bad, arms, strict=True))
        if now > _FAR_MORE * before[metric.name]:
            was = percent(before[metric.name])
            return (
                f"expected stable to be as in the hour before the release, found {percent(now)} of its "
                f"requests bad instead of {was} ('{metric.name}'): gray may harm both versions"
            )
    return ""
