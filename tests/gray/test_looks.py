"""What people read at each look: the sentence first, then what comes next and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipegraft.gray.judgement import Answer, Evidence, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.views import look_sentence, look_table, sparkline

POLICY = JudgePolicy((MetricPolicy("errors"),), warm_up=300.0, deadline=1800.0, deadline_follows=True)


def steady(
    looks: int, factor: float = 1.0, requests: float = 20_000, rate: float = 0.01
) -> list[Observation]:
    """Expected counts at a weight of 5%."""
    stable, gray = requests * 0.95, requests * 0.05
    arms = {"errors": ArmCounts(stable, stable * rate)}, {"errors": ArmCounts(gray, gray * rate * factor)}
    return [Observation(60.0 * look, 60.0 * look + 60, 5, *arms) for look in range(looks)]


def said(seen: Sequence[Observation], policy: JudgePolicy = POLICY) -> str:
    return look_sentence(policy, seen, sequential(policy, seen))


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (steady(2), "gray warms up, 3 more minutes"),
        (steady(5), "gray has warmed up: what it shows counts from now on"),
        (steady(10), "gray fails 1 times as often (0.42 to 2.6); 4 more minutes at this traffic decide"),
        (steady(16), "gray fails 1 times as often (0.48 to 2.3): pass"),
        (steady(29, 2.0), "gray fails 2 times as often (1.1 to 3.8): fail"),
        (
            steady(9, 1.6, requests=4_000),
            "gray fails 1.6 times as often (0.47 to 5.2); this traffic does not decide before the deadline "
            "in 26 minutes: then the release goes on, unproven",
        ),
        (
            steady(12, 2.2, requests=8_000),
            "gray fails 2.2 times as often (0.93 to 5.8); it points to harm; if nothing is decided in "
            "53 minutes, it waits for a person",
        ),
        (
            steady(24, requests=200),
            "gray fails 1 times as often (0.038 to 6.4); no answer by the deadline: the release goes "
            "on, unproven",
        ),
        (
            steady(8, rate=0.0),
            "errors: gray is good: 0% of gray's 3,000 requests failed, 0% of stable's 57,000: pass",
        ),
    ],
)
def test_a_look_says_what_was_seen_and_when_it_is_decided(seen: list[Observation], sentence: str) -> None:
    assert said(seen) == sentence


def test_what_is_foretold_comes_true() -> None:
    looks = [said(steady(look)) for look in range(6, 17)]
    at = looks.index(next(one for one in looks if one.endswith("pass")))
    for look, sentence in enumerate(looks[:at]):
        minutes = int(sentence.partition("; ")[2].split()[0])
        assert abs(minutes - (at - look)) <= 4, sentence


def test_no_data_is_no_harm_and_a_split_that_is_wrong_is_said() -> None:
    nothing = [Observation(60.0 * look, 60.0 * look + 60, 5) for look in range(9)]
    assert said(nothing) == "errors: no data; if nothing is decided in 56 minutes, it waits for a person"
    seen = steady(9)
    misled = replace(sequential(POLICY, seen), reason="found 9% of them", suspicion="found 9% of them")
    assert look_sentence(POLICY, seen, misled).startswith("found 9% of them; if nothing is decided in")


def test_an_outage_in_the_warm_up_is_told_with_its_numbers() -> None:
    assert said(steady(3, 90.0)) == (
        "errors: gray is worse: 90% of gray's 2,000 requests failed, 1% of stable's 38,000, "
        "while it warmed up: fail"
    )
    assert "while it warmed up" not in said(steady(16))


def test_a_failure_without_a_comparison_says_its_reason() -> None:
    judgement = Judgement(
        Answer.FAIL, "gray shows none of about 900 requests", (Evidence("errors", Answer.PASS, ""),)
    )
    assert look_sentence(POLICY, steady(9), judgement) == "gray shows none of about 900 requests: fail"


def test_judges_without_bets_say_their_own_reason() -> None:
    evidence = Evidence("errors", Answer.INCONCLUSIVE, "3 of 5 intervals", estimate=0.1)
    judgement = Judgement(Answer.INCONCLUSIVE, "errors: 3 of 5 intervals", (evidence,))
    policy = replace(POLICY, deadline=None)
    assert (
        look_sentence(policy, steady(9), judgement) == "errors: 3 of 5 intervals; this traffic cannot decide"
    )


def test_the_table_shows_both_versions_the_trend_and_the_time_left() -> None:
    seen = [*steady(4), *steady(2, 8.0)]
    seen = [replace(one, start=60.0 * at, end=60.0 * at + 60) for at, one in enumerate(seen)]
    assert look_table(POLICY, seen, sequential(POLICY, seen)) == {
        "columns": ["5%", "stable", "gray", "times stable's", "gray, by interval", "59 minutes left"],
        "rows": [["errors", "1%", "8%", "8 (2.6 to 27)", "▂▂▂▂██", "points to harm"]],
    }


def test_lines_of_blocks_have_gaps_where_nothing_was_seen() -> None:
    assert sparkline([0.0, None, 0.5, 1.0]) == "▁ ▅█"
    assert sparkline([0.0, None]) == "▁ "
    assert sparkline([]) == ""
