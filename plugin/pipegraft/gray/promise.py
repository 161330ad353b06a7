"""What stable's last hours foretell of a gray release: what can be seen, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipegraft.core.delivery import Gray
from pipegraft.core.errors import OutsideError, UsageError
from pipegraft.core.page import show_duration
from pipegraft.gray.judging.detectability import bad_requests, looks_to_pass, patience_for, what_shows
from pipegraft.gray.model.judgement import JudgePolicy, judge_policy
from pipegraft.gray.ports import MetricSource, RememberingSource

__all__ = ["Promise", "StableTraffic", "foretell", "promise", "stable_traffic"]

_HOURS: Final = 3
"""How far back stable is looked at."""

_LAST_HOURS: Final = f"stable's last {_HOURS} h"


@dataclass(frozen=True, slots=True)
class StableTraffic:
    """What one metric counted of stable, in a minute on average.

    Arguments:
        metric: its name.
        requests: served.
        bad: failed, or slow ones among them.
    """

    metric: str
    requests: float
    bad: float


@dataclass(frozen=True, slots=True)
class Promise:
    """What a release can be expected to show.

    Arguments:
        lines: for people: the traffic, what each weight can show, and how long it all takes.
        usual: seconds until half of the good versions are promoted.
        longest: seconds after which the release is over, or held, by its own limits.
    """

    lines: tuple[str, ...]
    usual: float
    longest: float


def stable_traffic(gray: Gray, sources: Mapping[str, MetricSource], now: float) -> tuple[StableTraffic, ...]:
    """Ask the sources that remember what the critical metrics counted in the last hours.

    Arguments:
        gray: how the environment declares its gray releases.
        sources: by the metric's name.
        now: seconds since the epoch.

    Raises:
        OutsideError, UsageError: a source did not answer, or does not understand what it is asked.
    """
    found: list[StableTraffic] = []
    for metric in judge_policy(gray).metrics:
        source = sources.get(metric.name)
        if metric.kind == "value" or not metric.critical or not isinstance(source, RememberingSource):
            continue
        seen = source.past(now - _HOURS * 3600.0, now).stable
        if seen is not None and seen.requests:
            minutes = _HOURS * 60.0
            bad = bad_requests(metric, seen)
            found.append(StableTraffic(metric.name, seen.requests / minutes, bad / minutes))
    return tuple(found)


def promise(gray: Gray, traffic: Sequence[StableTraffic], seen: str = _LAST_HOURS) -> Promise:
    """What this traffic can show, by the metric that shows least.

    Arguments:
        gray: how the environment declares its gray releases.
        traffic: of each critical metric that counts requests, one or more.
        seen: what the traffic is of.
    """
    policy = judge_policy(gray)
    margins = {metric.name: metric.margin for metric in policy.metrics}
    least = min(traffic, key=lambda one: one.bad)
    rate = f"{100 * least.bad / least.requests:.3g}%"
    shown = f"{least.requests:,.0f} requests a minute, {rate} of them bad ({least.metric})"
    lines = [f"{seen}: {shown}"]
    usual = longest = gray.bake
    for weight in gray.steps:
        bad = {one.metric: one.bad * weight / 100 * gray.interval / 60 for one in traffic}
        lines.append(f"at {weight}% {what_shows(policy, bad[least.metric], gray.interval)}")
        waits = _deadline(policy, gray, list(bad.values()))
        passes = max(looks_to_pass(one, policy, margins[name]) for name, one in bad.items())
        usual += policy.warm_up + min(passes * gray.interval, waits)
        longest += policy.warm_up + waits
    lines.append(
        f"a good version takes about {show_duration(usual)}, {show_duration(longest)} if nothing is decided"
    )
    return Promise(tuple(lines), usual, longest)


def _deadline(policy: JudgePolicy, gray: Gray, bad: Sequence[float]) -> float:
    """Seconds a step may take at this traffic, after its warm-up, where nothing points to harm."""
    if not policy.deadline_follows:
        return gray.step_deadline
    return min(gray.step_deadline, patience_for(policy, bad) * gray.interval)


def foretell(gray: Gray, sources: Mapping[str, MetricSource], now: float) -> Iterator[str]:
    """The lines of the promise, or why there is none; nothing where no source remembers.

    Arguments:
        gray: how the environment declares its gray releases.
        sources: by the metric's name.
        now: seconds since the epoch.
    """
    if not any(isinstance(source, RememberingSource) for source in sources.values()):
        return
    try:
        traffic = stable_traffic(gray, sources, now)
    except (OutsideError, UsageError) as error:
        yield f"what this traffic can show is not known: {error}"
        return
    if traffic:
        yield from promise(gray, traffic).lines
    else:
        yield f"no critical metric counted a request of stable in {_HOURS} h: nothing to compare with"
