"""`pipegraft judge`: recorded releases, judged again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipegraft.domain.gray.policy import judge_policy
from pipegraft.domain.judging.samples import RecordedRelease, read_release
from pipegraft.errors import UsageError
from pipegraft.hookspecs import JUDGES
from pipegraft.manager import Plugins
from pipegraft.model.delivery import Gray
from pipegraft.model.judgement import Answer, Judgement
from pipegraft.model.observation import Observation
from pipegraft.usecases.project import open_project, read_text

__all__ = ["Replay", "ReplayedStep", "environment_policy", "judge_releases"]


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
        file: where it was recorded.
        judge: name of the judge.
        steps: in order; the last one is the first that failed, or the last one recorded.
        refusal: why the judge cannot judge by this policy; then there are no steps.
        goes_on: whether the release would have advanced.
        decides: whether this is the judge that was asked for; the others are for comparison.
    """

    file: str
    judge: str
    steps: tuple[ReplayedStep, ...]
    refusal: str = ""
    goes_on: bool = False
    decides: bool = False


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
        decides = judge or release.gray.judge
        plugins.get(JUDGES, decides)
        names = plugins.all(JUDGES) if compare else (decides,)
        replays += [_replay(str(file), release, name, plugins, decides=name == decides) for name in names]
    return tuple(replays)


def _replay(file: str, release: RecordedRelease, name: str, plugins: Plugins, *, decides: bool) -> Replay:
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
        return Replay(file, name, (), refusal=error.problem.message)
    last = steps[-1].judgement.answer
    goes_on = last is Answer.PASS or (last is Answer.INCONCLUSIVE and policy.on_inconclusive == "promote")
    return Replay(file, name, tuple(steps), goes_on=goes_on, decides=decides)


def _steps(observations: Sequence[Observation]) -> Iterator[tuple[int, int]]:
    """First index and end of each run of observations with the same weight."""
    start = 0
    for index in range(1, len(observations) + 1):
        if index == len(observations) or observations[index].weight != observations[start].weight:
            yield start, index
            start = index
