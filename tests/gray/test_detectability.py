"""What a traffic can show, foretold without a simulation, against the judge itself."""

from __future__ import annotations

import pytest

from pipegraft.gray.judgement import Answer, JudgePolicy, MetricPolicy
from pipegraft.gray.judging.detectability import looks_to_find, outlook
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.observation import ArmCounts, Observation

POLICY = JudgePolicy((MetricPolicy("errors"),))


def steady(requests: float, factor: float, looks: int) -> list[Observation]:
    """Expected counts at 1% and a weight of 5%."""
    stable, gray = requests * 0.95, requests * 0.05
    arms = {"errors": ArmCounts(stable, stable * 0.01)}, {"errors": ArmCounts(gray, gray * 0.01 * factor)}
    return [Observation(60.0 * look, 60.0 * look + 60, 5, *arms) for look in range(looks)]


@pytest.mark.parametrize("requests", [2_000, 6_000, 20_000])
@pytest.mark.parametrize("factor", [2.0, 3.0, 5.0])
def test_what_is_foretold_is_what_the_judge_needs(requests: float, factor: float) -> None:
    foretold = looks_to_find(factor, requests * 0.05 * 0.01, POLICY)
    judgement = sequential(POLICY, steady(requests, factor, 60))
    assert judgement.answer is Answer.FAIL
    assert judgement.seconds / 60 / 2 - 1 <= foretold <= judgement.seconds / 60 * 2 + 1


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        (20, "not even 10 times the bad requests would be found in time"),
        (2_000, "3 times the bad requests are found in 12 min, 2 times cannot be seen"),
        (20_000, "2 times the bad requests are found in 21 min"),
    ],
)
def test_people_are_told_what_their_traffic_can_show(requests: float, said: str) -> None:
    assert said in outlook(POLICY, steady(requests, 1.0, 3))
    assert outlook(JudgePolicy((MetricPolicy("cpu", "value"),)), steady(requests, 1.0, 3)) == ""
