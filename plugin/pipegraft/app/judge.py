"""`pipegraft judge`: recorded releases, judged again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipegraft.app.gray import choose_environment
from pipegraft.appspec.environment_file import environment_path
from pipegraft.core.connections import LiveConnections
from pipegraft.core.delivery import Gray
from pipegraft.core.delivery_file import open_project, read_text
from pipegraft.core.errors import UsageError
from pipegraft.core.plugins import Plugins
from pipegraft.core.project import Project
from pipegraft.core.stage import Connections
from pipegraft.gray.history import told_releases
from pipegraft.gray.hooks import JUDGES
from pipegraft.gray.judging.recordings import RecordedRelease, read_release
from pipegraft.gray.model.judgement import Answer, Judgement
from pipegraft.gray.model.observation import Observation
from pipegraft.gray.policy import judge_policy
from pipegraft.iac.ports.repository import IAC

__all__ = ["Replay", "ReplayedStep", "environment_policy", "judge_history", "judge_releases"]

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
        refusal: why the judge cannot judge by this policy; then there are no steps.
        goes_on: whether the release would have advanced.
        decides: whether this is the judge that was asked for; the others are for comparison.
        release: its number, if it is told of in a history.
    """

    name: str
    judge: str
    steps: tuple[ReplayedStep, ...]
    refusal: str = ""
    goes_on: bool = False
    decides: bool = False
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
    compare: bool = False,
    gray: Gray | None = None,
) -> tuple[Replay, ...]:
    """Replay recorded releases.

    Arguments:
        files: where they were recorded.
        plugins: provide the judges.
        judge: name of the judge that decides; the one that the policy names if None.
        compare: ask the others too.
        gray: judge by this instead of the files' own policies.

    Returns:
        For each file, one replay for each judge asked. In a comparison, a judge that cannot judge by the
        policy says so in `refusal`.

    Raises:
        ConfigError: a file has problems, each with its place.
        UsageError: a file cannot be read, there is no such judge, or it cannot judge by the policy.
    """
    replays: list[Replay] = []
    for file in files:
        release = read_release(read_text(file), str(file), gray)
        replays += _replays(str(file), release, plugins, judge, compare=compare)
    return tuple(replays)


def judge_history(
    project: Project,
    environment: str | None,
    last: int,
    *,
    judge: str | None = None,
    compare: bool = False,
    connections: Connections | None = None,
) -> tuple[Replay, ...]:
    """Replay the newest gray releases that the history of an environment tells of, by its present policy.

    Arguments:
        environment: its name; may be None if only one declares gray releases.
        last: how many.
        judge, compare: as `judge_releases` has them.

    Raises:
        UsageError: the history tells of none, or the judge cannot judge by the policy.
        OutsideError: the IaC repository did not answer.
    """
    name, gray = choose_environment(project, environment)
    path = environment_path(project.delivery.iac.path, name)
    log = (connections or LiveConnections(project)).open(IAC).log(path, limit=_NEWEST)
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
        found = _replays(shown, release, project.plugins, judge, compare=compare)
        replays += [replace(replay, release=one.number) for replay in found]
    return tuple(replays)


def _replays(
    name: str, release: RecordedRelease, plugins: Plugins, judge: str | None, *, compare: bool
) -> list[Replay]:
    decides = judge or release.gray.judge
    plugins.get(JUDGES, decides)
    asked = plugins.all(JUDGES) if compare else (decides,)
    return [_replay(name, release, one, plugins, decides=one == decides) for one in asked]


def _replay(shown: str, release: RecordedRelease, name: str, plugins: Plugins, *, decides: bool) -> Replay:
    judge = plugins.get(JUDGES, name).judge
    policy = judge_policy(release.gray)
    steps: list[ReplayedStep] = []
    try:
        for start, end in _steps(release.observations):
            judgement = judge(policy, release.observations[:end])
            steps.append(ReplayedStep(release.observations[start].weight, end - start, judgement))
            if judgement.answer is Answer.FAIL:
                break
    except UsageError as error:
        if decides:
            raise
        return Replay(shown, name, (), refusal=error.problem.message)
    last = steps[-1].judgement
    goes_on = last.answer is Answer.PASS or (last.expired and policy.outcome(last) == "promote")
    return Replay(shown, name, tuple(steps), goes_on=goes_on, decides=decides)


def _steps(observations: Sequence[Observation]) -> Iterator[tuple[int, int]]:
    """First index and end of each run of observations with the same weight."""
    start = 0
    for index in range(1, len(observations) + 1):
        if index == len(observations) or observations[index].weight != observations[start].weight:
            yield start, index
            start = index
