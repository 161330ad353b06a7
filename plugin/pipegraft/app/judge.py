"""`pipegraft judge`: recorded releases, judged again.

A recording is YAML or JSON (which is YAML): ``observations``, in order of time, and ``policy``, which holds
what stands below ``gray:`` in ``delivery.yaml``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from pydantic import Field

from pipegraft.app.gray import choose_environment
from pipegraft.appspec.environment_file import environment_path
from pipegraft.core.delivery import Gray, Metric
from pipegraft.core.delivery_file import open_project, read_text, validate
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.core.hooks import connected
from pipegraft.core.model import Breach, Model, Name, rule
from pipegraft.core.plugins import Plugins
from pipegraft.core.reading import Marked, load_marked
from pipegraft.core.stage import Connections, Project
from pipegraft.gray.history import told_releases
from pipegraft.gray.hooks import JUDGES
from pipegraft.gray.judgement import Answer, Judgement, judge_policy
from pipegraft.gray.judging.readings import point
from pipegraft.gray.observation import ArmCounts, Histogram, Observation
from pipegraft.iac.ports import IAC

__all__ = [
    "RecordedRelease",
    "Replay",
    "ReplayedStep",
    "environment_policy",
    "judge_history",
    "judge_releases",
    "read_release",
]


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


_NEWEST = 5000
"""Commits of an environment's file that are searched for releases."""
_ENDS = {"promote": "promoted", "rollback": "taken back"}


@dataclass(frozen=True, slots=True)
class ReplayedStep:
    """What a judge said at the end of a step, with everything seen up to there.

    Arguments:
        weight: percent of the traffic meant for gray.
        intervals: how many observations it has.
        judgement: the answer.
    """

    weight: float
    intervals: int
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Replay:
    """One release through one judge.

    Arguments:
        name: the file where it was recorded, or the release of a history.
        judge: name of the judge.
        steps: in order; the last one is the first that failed, or the last one recorded.
        goes_on: whether the release would have advanced.
        release: its number, if it is told of in a history.
    """

    name: str
    judge: str
    steps: tuple[ReplayedStep, ...]
    goes_on: bool = False
    release: int | None = None


def environment_policy(directory: Path, environment: str, plugins: Plugins) -> Gray:
    """What ``delivery.yaml`` declares below ``gray:`` of an environment.

    Raises:
        ConfigError: ``delivery.yaml`` has problems.
        UsageError: there is no such environment, or it has no gray release.
    """
    environments = open_project(directory, plugins).delivery.environments
    if environment not in environments:
        raise UsageError(
            f"there is no environment called '{environment}'; there are: {', '.join(environments)}"
        )
    gray = environments[environment].gray
    if gray is None:
        raise UsageError(
            f"environment '{environment}' has no 'gray:'", fix="add it, or name another environment"
        )
    return gray


def judge_releases(
    files: Sequence[Path],
    plugins: Plugins,
    *,
    judge: str | None = None,
    gray: Gray | None = None,
) -> tuple[Replay, ...]:
    """Replay recorded releases.

    Arguments:
        files: where they were recorded.
        plugins: provide the judges.
        judge: name of the judge that decides; the one that the policy names if None.
        gray: judge by this instead of the files' own policies.

    Returns:
        One replay for each file.

    Raises:
        ConfigError: a file has problems, each with its place.
        UsageError: a file cannot be read, there is no such judge, or it cannot judge by the policy.
    """
    replays: list[Replay] = []
    for file in files:
        release = read_release(read_text(file), str(file), gray)
        replays.append(_replay(str(file), release, judge, plugins))
    return tuple(replays)


def judge_history(
    project: Project,
    environment: str | None,
    last: int,
    *,
    judge: str | None = None,
    connections: Connections | None = None,
) -> tuple[Replay, ...]:
    """Replay the newest gray releases that the history of an environment tells of, by its present policy.

    Arguments:
        environment: its name; may be None if only one declares gray releases.
        last: how many.
        judge: as `judge_releases` has it.

    Raises:
        UsageError: the history tells of none, or the judge cannot judge by the policy.
        OutsideError: the IaC repository did not answer.
    """
    name, gray = choose_environment(project, environment)
    path = environment_path(project.delivery.iac.path, name)
    with connected(project, connections) as opened:
        log = opened.open(IAC).log(path, limit=_NEWEST)
        told = list(told_releases(log, name))[-last:]
    if not told:
        raise UsageError(
            f"no gray release in the history of {path} tells what was observed",
            fix="name files of recorded releases, or come back after the first gray release",
        )
    replays: list[Replay] = []
    for one in told:
        shown = f"release {one.number}, {_ENDS.get(one.last_step, one.last_step)}"
        release = RecordedRelease(gray, one.observations)
        found = _replay(shown, release, judge, project.plugins)
        replays.append(replace(found, release=one.number))
    return tuple(replays)


def _replay(shown: str, release: RecordedRelease, judge: str | None, plugins: Plugins) -> Replay:
    name = judge or release.gray.judge
    decide = plugins.get(JUDGES, name).judge
    policy = judge_policy(release.gray)
    steps: list[ReplayedStep] = []
    for start, end in _steps(release.observations):
        judgement = decide(policy, release.observations[:end])
        steps.append(ReplayedStep(release.observations[start].weight, end - start, judgement))
        if judgement.answer is Answer.FAIL:
            break
    last = steps[-1].judgement
    goes_on = last.answer is Answer.PASS or (last.expired and policy.outcome(last) == "promote")
    return Replay(shown, name, tuple(steps), goes_on=goes_on)


def _steps(observations: Sequence[Observation]) -> Iterator[tuple[int, int]]:
    """First index and end of each run of observations with the same weight."""
    start = 0
    for index in range(1, len(observations) + 1):
        if index == len(observations) or observations[index].weight != observations[start].weight:
            yield start, index
            start = index
