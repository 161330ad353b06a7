"""Recorded releases: the file that `pipegraft judge` reads.

The file is YAML or JSON (which is YAML): ``observations``, in order of time, and ``policy``, which holds what
stands below ``gray:`` in ``delivery.yaml``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import Field

from pipegraft.core.configuration import validate
from pipegraft.core.delivery import Gray, Metric
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.core.model import Breach, Model, Name, rule
from pipegraft.core.yaml_positions import Marked, load_marked
from pipegraft.gray.judging.readings import point
from pipegraft.gray.model.observation import ArmCounts, Histogram, Observation
from pipegraft.gray.policy import judge_policy

__all__ = ["RecordedRelease", "read_release"]


def _explained(make: Callable[[], object]) -> Iterator[Breach]:
    """What a value's own check says, as a rule says it."""
    try:
        make()
    except UsageError as error:
        yield Breach(error.problem.message)


class LatencySample(Model):
    """A histogram of latencies."""

    bounds: tuple[float, ...]
    """Upper bounds of the buckets in seconds, rising."""
    counts: tuple[float, ...]
    """Requests in each bucket, and one more number for those slower than the last bound."""


class ArmSample(Model):
    """What one arm showed for one metric in one interval."""

    requests: float | None = None
    """Requests served; those of the histogram if absent."""
    errors: float | None = None
    """How many of them failed."""
    latency: LatencySample | None = None
    """How long they took."""
    value: float | None = None
    """A plain number."""

    @rule
    def _can_be(self) -> Iterator[Breach]:
        yield from _explained(self.counts)

    def counts(self) -> ArmCounts:
        """The same as a value that judges read."""
        latency = None if self.latency is None else Histogram(self.latency.bounds, self.latency.counts)
        requests = self.requests if self.requests is not None else latency.total if latency else 0.0
        return ArmCounts(requests, self.errors, latency, self.value)


class ObservationSample(Model):
    """One interval, both arms."""

    start: float
    """Seconds, on any clock."""
    end: float
    """Seconds."""
    weight: float
    """Percent of the traffic meant for gray."""
    stable: Mapping[str, ArmSample] = {}
    """Metric → what stable showed; a metric without data is absent."""
    gray: Mapping[str, ArmSample] = {}
    """Metric → what gray showed; a metric without data is absent."""

    @rule
    def _can_be(self) -> Iterator[Breach]:
        if not any(any(arm.breaches()) for arm in (*self.stable.values(), *self.gray.values())):
            yield from _explained(self.observation)

    def observation(self) -> Observation:
        """The same as a value that judges read."""
        stable, gray = (
            {name: sample.counts() for name, sample in arm.items()} for arm in (self.stable, self.gray)
        )
        return Observation(self.start, self.end, self.weight, stable, gray)


class RecordedMetric(Metric):
    """A metric that needs no source any more."""

    source: Name = "recorded"
    """Where it came from."""


class RecordedPolicy(Gray):
    """What stands below `gray:` in `delivery.yaml`."""

    metrics: tuple[RecordedMetric, ...] = Field(min_length=1)
    """What was measured."""


class ReleaseSample(Model):
    """The whole file."""

    policy: RecordedPolicy | None = None
    """How to judge; the environment's of `delivery.yaml` if one is named."""
    observations: tuple[ObservationSample, ...]
    """In order of time."""


@dataclass(frozen=True, slots=True)
class RecordedRelease:
    """A release that was recorded.

    Arguments:
        gray: how to judge it, as declared.
        observations: one or more, in order of time.
    """

    gray: Gray
    observations: tuple[Observation, ...]


def read_release(text: str, file: str, gray: Gray | None = None) -> RecordedRelease:
    """Read a recorded release.

    Arguments:
        text: what the file holds.
        file: name to use in messages.
        gray: judge by this instead of the file's own policy.

    Raises:
        ConfigError: every problem with its place.
    """
    marked = load_marked(text.replace("\t", " ") if text.lstrip().startswith("{") else text, file)
    sample = validate(marked, marked.data, ReleaseSample)
    observations = tuple(one.observation() for one in sample.observations)
    chosen = gray or sample.policy
    problems = list(_disorder(marked, observations))
    if chosen is None:
        fix = "add what stands below 'gray:' in delivery.yaml, or name an environment with --env"
        problems.append(Problem("'policy' is missing", marked.place(()), fix))
    else:
        problems += _misfits(marked, chosen, observations)
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.place or Place(file)))
    assert chosen is not None  # noqa: S101 - a missing policy is a problem, raised above
    return RecordedRelease(chosen, observations)


def _disorder(marked: Marked, observations: Sequence[Observation]) -> Iterator[Problem]:
    if not observations:
        yield Problem("expected one observation or more, found none", marked.place(("observations",)))
    for number, (one, other) in enumerate(pairwise(observations), start=1):
        if other.start < one.end:
            yield Problem(
                f"expected observations in order of time: one that starts at {one.end:g} or later, "
                f"found {other.start:g}",
                marked.place(("observations", number, "start")),
            )


def _misfits(marked: Marked, gray: Gray, observations: Sequence[Observation]) -> Iterator[Problem]:
    """Where a metric was not measured as its kind needs it."""
    for metric in judge_policy(gray).metrics:
        for number, observation in enumerate(observations):
            for arm, counts in (("stable", observation.stable), ("gray", observation.gray)):
                if metric.name not in counts:
                    continue
                try:
                    point(metric, counts[metric.name])
                except UsageError as error:
                    place = marked.place(("observations", number, arm, metric.name))
                    yield Problem(error.problem.message, place, error.problem.fix)
