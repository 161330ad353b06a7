"""The default judge: three answers, and when each is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, pi, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipegraft.core.errors import UsageError
from pipegraft.gray.judgement import Answer, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.judging.metric_state import Signs
from pipegraft.gray.judging.sequential import answer_of, at_deadline, sequential
from pipegraft.gray.observation import ArmCounts, Histogram, Observation

POLICY = JudgePolicy((MetricPolicy("errors"),))


def interval(
    number: int,
    stable: tuple[float, float],
    gray: tuple[float, float] | None,
    weight: float = 5,
    metric: str = "errors",
) -> Observation:
    arms = {} if gray is None else {metric: ArmCounts(*gray)}
    return Observation(60.0 * number, 60.0 * (number + 1), weight, {metric: ArmCounts(*stable)}, arms)


def steady(
    count: int, stable: tuple[float, float], gray: tuple[float, float], weight: float = 5
) -> list[Observation]:
    return [interval(number, stable, gray, weight) for number in range(count)]


def test_a_version_that_fails_twice_as_often_fails_and_the_answer_holds() -> None:
    bad = steady(40, (19_000, 190), (1_000, 20))
    judgement = sequential(POLICY, bad)
    assert judgement.answer is Answer.FAIL
    assert judgement.seconds < 25 * 60
    assert judgement.gray_requests == judgement.seconds / 60 * 1_000
    (evidence,) = judgement.evidence
    assert evidence.estimate == pytest.approx(2)
    assert evidence.low is not None
    assert evidence.high is not None
    assert 1 <= evidence.low < 2 < evidence.high < 5
    assert evidence.against is not None
    assert evidence.against >= evidence.needed == 100
    assert judgement.reason.startswith("errors: gray is worse: 2% of gray's")
    better = [interval(number, (19_000, 190), (1_000, 0)) for number in range(40, 80)]
    assert sequential(POLICY, bad + better) == judgement, "what comes later cannot take a failure back"


def test_a_version_as_good_as_stable_passes() -> None:
    judgement = sequential(POLICY, steady(30, (19_000, 190), (1_000, 10)))
    assert judgement.answer is Answer.PASS
    (evidence,) = judgement.evidence
    assert evidence.estimate == pytest.approx(1)
    assert evidence.high is not None
    assert evidence.high < 2
    assert (evidence.stable, evidence.gray) == (pytest.approx(0.01), pytest.approx(0.01))
    assert (evidence.stable_requests, evidence.gray_requests, evidence.looks) == (570_000, 30_000, 30)


def test_a_disturbance_of_both_arms_is_no_regression() -> None:
    storm = [
        interval(number, (19_000, 190 * (1 + number)), (1_000, 10 * (1 + number))) for number in range(30)
    ]
    assert sequential(POLICY, storm).answer is Answer.PASS


def test_one_bad_minute_of_gray_does_not_fail_a_release() -> None:
    calm = steady(20, (19_000, 190), (1_000, 10))
    burst = interval(20, (19_000, 190), (1_000, 40))
    assert sequential(POLICY, [*calm, burst]).answer is not Answer.FAIL


@pytest.mark.parametrize(
    ("observations", "reason"),
    [
        ([], "nothing was observed yet"),
        ([interval(0, (1000, 10), None)], "errors: no data"),
        (steady(60, (19, 0), (1, 0)), "errors: undecided"),
        (steady(3, (1000, 0), (20, 0)), "errors: undecided"),
        (steady(30, (380, 4), (20, 0.2)), "errors: undecided"),
    ],
)
def test_little_or_no_data_is_inconclusive(observations: Sequence[Observation], reason: str) -> None:
    judgement = sequential(POLICY, observations)
    assert judgement.answer is Answer.INCONCLUSIVE
    assert judgement.reason.startswith(reason)
    assert not judgement.expired


def test_a_version_that_never_fails_passes_once_its_share_is_surely_below_the_floor() -> None:
    policy = JudgePolicy((MetricPolicy("errors", floor=0.05),))
    assert sequential(policy, steady(4, (225, 0), (25, 0), 10)).answer is Answer.INCONCLUSIVE
    assert sequential(policy, steady(6, (225, 0), (25, 0), 10)).answer is Answer.PASS


def test_a_share_below_the_floor_never_fails() -> None:
    many_times_as_many = steady(40, (190_000, 0), (10_000, 8))
    for floor, fails in ((0.01, False), (0.0, True)):
        policy = JudgePolicy((MetricPolicy("errors", floor=floor),))
        assert (sequential(policy, many_times_as_many).answer is Answer.FAIL) is fails


@pytest.mark.parametrize(("stable", "gray"), [(190, 60), (0, 50)])
def test_a_floor_that_nobody_named_follows_stable(stable: int, gray: int) -> None:
    """0.1% to 0.6% and nothing to 0.5% are below 1%, and far more than what was."""
    assert sequential(POLICY, steady(20, (190_000, stable), (10_000, gray))).answer is Answer.FAIL


def test_the_floor_of_a_latency_is_at_most_what_lies_beyond_its_quantile() -> None:
    assert MetricPolicy("p", "latency", quantile=0.999).most_floor == pytest.approx(0.001)
    assert MetricPolicy("p", "latency", threshold=0.5).most_floor == 0.01
    assert MetricPolicy("p", floor=0.2).most_floor == 0.2


def test_each_step_needs_its_own_requests_and_its_own_data() -> None:
    first = steady(30, (19_000, 190), (1_000, 10))
    dark = interval(30, (15_000, 150), None, weight=25)
    judgement = sequential(POLICY, [*first, dark])
    assert judgement.answer is Answer.INCONCLUSIVE
    assert judgement.reason == "errors: not yet: no data at the present weight"
    few = interval(31, (120, 1), (40, 0), weight=25)
    judgement = sequential(POLICY, [*first, dark, few])
    assert judgement.reason == "errors: not yet: gray served 40 of 50 requests at the present weight"
    enough = interval(32, (120, 1), (10, 0), weight=25)
    judgement = sequential(POLICY, [*first, dark, few, enough])
    assert judgement.reason == "errors: not yet: 2 of 3 intervals were seen at the present weight"
    third = interval(33, (120, 1), (40, 0), weight=25)
    assert sequential(POLICY, [*first, dark, few, enough, third]).answer is Answer.PASS


def test_a_version_that_breaks_at_a_new_weight_does_not_pass_on_its_good_past() -> None:
    first = steady(60, (19_000, 190), (1_000, 10))
    step = [interval(number, (500, 5), (166, 4), weight=25) for number in (60, 61, 62)]
    judgement = sequential(POLICY, [*first, *step])
    assert judgement.answer is Answer.INCONCLUSIVE
    assert "at the present weight alone it is 2.41% of gray, 1% of stable" in judgement.reason
    later = [interval(number, (15_000, 150), (5_000, 110), weight=25) for number in range(60, 75)]
    assert sequential(POLICY, first + later).answer is Answer.FAIL


def test_the_deadline_is_of_the_step() -> None:
    policy = JudgePolicy((MetricPolicy("errors"),), deadline=300)
    few = steady(4, (190, 2), (10, 0))
    assert not sequential(policy, few).expired
    fifth = interval(4, (190, 2), (10, 0))
    judgement = sequential(policy, [*few, fifth])
    assert judgement.expired
    assert judgement.reason.startswith("no answer within 300 seconds at weight 5: errors: undecided")
    assert not sequential(policy, [*few, fifth, interval(5, (100, 1), (100, 1), weight=50)]).expired


def two_metrics(critical: bool) -> JudgePolicy:
    return JudgePolicy((MetricPolicy("errors"), MetricPolicy("other", critical=critical)))


def test_every_critical_metric_must_be_good_and_one_bad_one_fails() -> None:
    good, bad = ArmCounts(19_000, 190), ArmCounts(1_000, 30)
    observations = [
        Observation(
            60 * n,
            60 * n + 60,
            5,
            {"errors": good, "other": good},
            {"errors": ArmCounts(1_000, 10), "other": bad},
        )
        for n in range(40)
    ]
    judgement = sequential(two_metrics(critical=True), observations)
    assert judgement.answer is Answer.FAIL
    assert judgement.reason.startswith("other: gray is worse")
    judgement = sequential(two_metrics(critical=False), observations)
    assert judgement.answer is Answer.INCONCLUSIVE
    assert judgement.reason.endswith("it is not critical, a person decides")
    half = [
        Observation(one.start, one.end, 5, {"errors": good}, {"errors": ArmCounts(1_000, 10)})
        for one in observations
    ]
    assert sequential(two_metrics(critical=True), half).reason == "other: no data"
    assert sequential(two_metrics(critical=False), half).answer is Answer.PASS


def latency(slow: float, total: float) -> ArmCounts:
    return ArmCounts(
        total,
        latency=Histogram((0.1, 0.25, 0.5, 1.0), (total - 4 * slow, 2 * slow, slow, slow / 2, slow / 2)),
    )


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_slow_requests_are_judged_like_errors(threshold: float | None) -> None:
    policy = JudgePolicy((MetricPolicy("p99", "latency", threshold=threshold),))
    slow = [
        Observation(60 * n, 60 * n + 60, 5, {"p99": latency(190, 19_000)}, {"p99": latency(30, 1_000)})
        for n in range(30)
    ]
    judgement = sequential(policy, slow)
    assert judgement.answer is Answer.FAIL
    assert "3% of gray's" in judgement.reason
    assert "took longer than 0.5 s" in judgement.reason
    same = [
        Observation(60 * n, 60 * n + 60, 5, {"p99": latency(190, 19_000)}, {"p99": latency(10, 1_000)})
        for n in range(30)
    ]
    assert sequential(policy, same).answer is Answer.PASS


@pytest.mark.parametrize(("higher_is", "bad"), [("worse", 2.0), ("better", 0.5)])
def test_plain_values_are_judged_by_their_ratio(higher_is: str, bad: float) -> None:
    policy = JudgePolicy((MetricPolicy("cpu", "value", higher_is=higher_is),))  # type: ignore[arg-type]

    def release(ratio: float) -> list[Observation]:
        noise = [1 + 0.05 * ((n * 7919) % 13 - 6) / 6 for n in range(30)]
        return [
            Observation(
                60 * n,
                60 * n + 60,
                5,
                {"cpu": ArmCounts(value=40)},
                {"cpu": ArmCounts(value=40 * ratio * noise[n])},
            )
            for n in range(30)
        ]

    assert sequential(policy, release(bad)).answer is Answer.FAIL
    judgement = sequential(policy, release(1.0))
    assert judgement.answer is Answer.PASS
    assert judgement.evidence[0].estimate == pytest.approx(1, abs=0.02)


def test_a_metric_of_the_wrong_kind_is_a_usage_error() -> None:
    policy = JudgePolicy((MetricPolicy("errors", "latency"),))
    with pytest.raises(UsageError, match="'errors' is of kind latency: expected a latency histogram"):
        sequential(policy, steady(1, (10, 0), (10, 0)))


counts = st.tuples(st.integers(0, 10_000), st.integers(0, 100)).map(lambda pair: (pair[0], min(pair)))


@given(st.lists(counts, max_size=8), st.data())
def test_without_data_of_gray_nothing_ever_passes(stable: list[tuple[int, int]], data: st.DataObject) -> None:
    observations = [
        interval(number, one, None, data.draw(st.sampled_from((5, 25)))) for number, one in enumerate(stable)
    ]
    assert sequential(POLICY, observations).answer is not Answer.PASS


def test_a_silent_gray_fails_in_the_third_interval_in_which_stable_counts() -> None:
    silent = [interval(number, (1_000, 10), None) for number in range(3)]
    assert sequential(POLICY, silent[:2]).answer is Answer.INCONCLUSIVE
    judgement = sequential(POLICY, silent)
    assert judgement.answer is Answer.FAIL
    assert (
        judgement.reason
        == "errors: gray shows none of about 158 requests in 3 intervals in which stable does"
    )
    unlucky = [interval(number, (20, 0), (0, 0)) for number in range(3)]
    assert sequential(POLICY, unlucky).answer is Answer.INCONCLUSIVE, "one request in twenty may not come"
    blind = [Observation(60.0 * number, 60.0 * number + 60, 5) for number in range(30)]
    assert sequential(POLICY, blind).answer is Answer.INCONCLUSIVE, "a source that is down shows nothing"
    assert sequential(POLICY, blind).suspicion == "errors: no data at the present weight"


def test_while_gray_warms_up_only_an_outage_counts() -> None:
    policy = JudgePolicy((MetricPolicy("errors"),), warm_up=300)
    slow = [interval(number, (19_000, 190), (1_000, 50)) for number in range(5)]
    good = [interval(number, (19_000, 190), (1_000, 10)) for number in range(5, 35)]
    assert sequential(POLICY, [*slow, *good]).answer is Answer.FAIL
    assert sequential(policy, slow).reason == "errors: gray warms up"
    assert sequential(policy, [*slow, *good]).answer is Answer.PASS
    outage = [interval(number, (19_000, 190), (1_000, 900)) for number in range(2)]
    assert sequential(policy, outage).answer is Answer.FAIL
    bad = [interval(number, (19_000, 190), (1_000, 20)) for number in range(5, 35)]
    assert sequential(policy, [*slow, *bad]).answer is Answer.FAIL


def test_a_deadline_without_an_answer_says_whether_something_points_to_harm() -> None:
    policy = JudgePolicy((MetricPolicy("errors"),), deadline=600)
    little = sequential(policy, steady(10, (950, 10), (50, 1)))
    assert (little.answer, little.expired, little.suspicion) == (Answer.INCONCLUSIVE, True, "")
    odd = sequential(policy, steady(10, (19_000, 190), (1_000, 17)))
    assert (odd.answer, odd.expired) == (Answer.INCONCLUSIVE, True)
    assert odd.suspicion.startswith("errors: this points to harm: 1.7% of gray's")
    assert policy.outcome(little) == "promote"
    assert policy.outcome(odd) == "hold"


@pytest.mark.parametrize(("requests", "looks"), [(100, 10), (600, 22), (2_000, 25), (3_000, 19)])
def test_a_deadline_that_nobody_named_follows_the_traffic(requests: int, looks: int) -> None:
    """Long where a doubling needs long; short where it is soon found, or never."""
    policy = JudgePolicy((MetricPolicy("errors"),), deadline=30 * 60, deadline_follows=True)
    each = (requests * 0.95, requests * 0.0095), (requests * 0.05, requests * 0.0005)
    expired = [sequential(policy, steady(look, *each)).expired for look in range(1, 31)]
    assert expired.index(True) + 1 == looks


def test_an_erratic_version_is_no_good_one() -> None:
    """Ten times the errors in a quarter of the intervals; one awful interval, then 2.5 times for ever."""
    quarter = [interval(n, (19_000, 190), (1_000, 100 if n % 4 == 1 else 10)) for n in range(40)]
    assert sequential(POLICY, quarter).answer is Answer.FAIL
    awful = [interval(0, (19_000, 190), (1_000, 400))]
    later = [interval(n, (19_000, 190), (1_000, 25)) for n in range(1, 30)]
    assert sequential(POLICY, [*awful, *later]).answer is Answer.FAIL


@given(counts, counts, st.integers(1, 12))
def test_more_errors_of_gray_never_turn_a_failure_into_a_pass(
    stable: tuple[int, int], gray: tuple[int, int], looks: int
) -> None:
    requests, bad = gray
    before = sequential(POLICY, steady(looks, stable, gray))
    after = sequential(POLICY, steady(looks, stable, (requests, min(requests, bad + 5))))
    assert (before.answer, after.answer) != (Answer.FAIL, Answer.PASS)


@pytest.mark.parametrize("wander", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("onset", [0, 15])
@pytest.mark.parametrize(
    ("stable", "gray"),
    [
        ((900, 1), (100, 60)),
        ((900, 0), (100, 100)),
        ((9_000, 90), (1_000, 500)),
        ((99_000, 990), (1_000, 1_000)),
        ((90_000, 9), (10_000, 9_000)),
        ((450, 4), (50, 50)),
    ],
)
def test_a_version_that_fails_most_of_its_requests_is_found_at_once(
    stable: tuple[int, int], gray: tuple[int, int], onset: int, wander: float
) -> None:
    """No drift of the arms explains that, whenever it begins."""
    usual = round(gray[0] * stable[1] / stable[0])
    good = [interval(number, stable, (gray[0], usual)) for number in range(onset)]
    bad = [interval(number, stable, gray) for number in range(onset, onset + 4)]
    policy = JudgePolicy((MetricPolicy("errors"),), wander=wander)
    judgement = sequential(policy, good + bad)
    assert judgement.answer is Answer.FAIL, judgement.reason
    assert "drifts by itself" not in judgement.reason


def test_a_version_that_comes_to_fail_beside_one_that_never_does_is_found_soon() -> None:
    """The floor alone says what is bad there; the good time before does not have to be outweighed."""
    good = [interval(number, (19_000, 0), (1_000, 0)) for number in range(20)]
    bad = [interval(number, (19_000, 0), (1_000, 50)) for number in range(20, 24)]
    assert sequential(POLICY, good + bad).answer is Answer.FAIL


@pytest.mark.parametrize(("gray", "answer"), [(0.0, Answer.PASS), (500.0, Answer.FAIL)])
def test_nothing_is_a_value_too(gray: float, answer: Answer) -> None:
    policy = JudgePolicy((MetricPolicy("queue", "value"),))
    values = {"queue": ArmCounts(value=0.0)}, {"queue": ArmCounts(value=gray)}
    observations = [Observation(60.0 * n, 60.0 * n + 60, 5, *values) for n in range(30)]
    assert sequential(policy, observations).answer is answer


def test_a_doubling_that_lasts_is_found_at_the_deadline_where_a_slow_drift_is_not_ruled_out() -> None:
    """After a good time a drift may explain it for hours; nobody waits that long."""
    policy = JudgePolicy((MetricPolicy("errors"),), deadline=46 * 60.0)
    good = [interval(n, (19_000, 190), (1_000, 10)) for n in range(15)]
    later = [interval(n, (19_000, 190), (1_000, 20)) for n in range(15, 46)]
    assert sequential(policy, [*good, *later[:-1]]).answer is Answer.INCONCLUSIVE
    found = sequential(policy, [*good, *later])
    assert (found.answer, found.expired) == (Answer.FAIL, False)
    assert found.reason.startswith("errors: gray is worse for longer than it drifts: no answer within 2760")


def test_what_a_slow_drift_explains_better_than_a_fault_does_not_hold_a_release_for_good() -> None:
    """Gray's rate rises by itself for an hour and sinks again: it goes on, after twice the time."""
    policy = JudgePolicy((MetricPolicy("errors"),), deadline=1800.0, deadline_follows=True)

    def rising(far: float, looks: float) -> list[Observation]:
        bad = [round(10 * exp(far * sin(pi * n / looks))) for n in range(60)]
        return [interval(n, (19_000, 190), (1_000, one)) for n, one in enumerate(bad)]

    swing = rising(0.9, 60)
    halfway = sequential(policy, swing[:35])
    assert (halfway.answer, halfway.expired, bool(halfway.suspicion)) == (Answer.INCONCLUSIVE, False, True)
    found = sequential(policy, swing)
    assert (found.answer, found.expired, found.suspicion) == (Answer.INCONCLUSIVE, True, "")
    assert found.reason.endswith("a drift of hours explains it better than a fault")
    assert policy.outcome(found) == "promote"
    declared = replace(policy, deadline=3600.0, deadline_follows=False)
    assert declared.outcome(sequential(declared, swing)) == "hold", "it may be short"
    assert policy.outcome(sequential(policy, rising(1.0, 110))) == "hold", "it is still far worse"


SEVERITY = {"promote": 0, "hold": 1, "rollback": 2}
EVIDENCE = st.floats(-20, 20)


@given(st.tuples(EVIDENCE, EVIDENCE, EVIDENCE), st.floats(0, 10), st.booleans(), st.booleans())
def test_the_more_speaks_against_it_the_harder_is_a_deadline(
    evidence: tuple[float, float, float], more: float, excess: bool, doubtful: bool
) -> None:
    against, sooner, favour = evidence
    policy = JudgePolicy((MetricPolicy("errors"),), deadline=1800.0, deadline_follows=True)

    def outcome(against: float) -> int:
        signs = Signs(min(against, sooner), favour, 60, 6e4, 60, doubtful, excess, sooner)
        answer, suspicious = answer_of(signs, policy.metrics[0], policy)
        before = Judgement(answer, "so far", (), expired=True, suspicion="harm" if suspicious else "")
        judged = at_deadline(policy, before, [signs])
        if judged.answer is Answer.FAIL:
            return SEVERITY["rollback"]
        return SEVERITY["promote" if judged.answer is Answer.PASS else policy.outcome(judged)]

    assert outcome(against) <= outcome(against + more)


def test_a_version_that_hardly_fails_beside_one_that_does_passes_however_odd_that_is() -> None:
    for bad in (0, 1):
        seen = [interval(n, (19_000, 190), (1_000, bad * (n % 3 == 0))) for n in range(20)]
        judgement = sequential(POLICY, seen)
        assert judgement.answer is Answer.PASS, judgement.reason
        assert "drifts by itself" not in judgement.reason


@settings(max_examples=25)
@given(st.floats(0.51, 1), st.floats(0.1, 1), st.integers(3, 30))
def test_nothing_passes_that_fails_most_of_its_requests(gray: float, stable: float, looks: int) -> None:
    seen = steady(looks, (1_000, 1_000 * stable), (200, 200 * gray))
    judgement = sequential(POLICY, seen)
    assert judgement.answer is not Answer.PASS
    assert judgement.suspicion or judgement.answer is Answer.FAIL
    allowed = JudgePolicy((MetricPolicy("errors", floor=0.999),))
    assert sequential(allowed, seen).answer is not Answer.FAIL


@pytest.mark.parametrize("whole", [1.0, 100.0])
def test_a_share_of_good_requests_given_as_a_value_is_not_taken_for_nearly_the_same(whole: float) -> None:
    policy = JudgePolicy((MetricPolicy("ok", "value", higher_is="better"),))

    def answer(gray: float) -> Judgement:
        arms = ({"ok": ArmCounts(value=part * whole)} for part in (0.995, gray))
        stable, new = arms
        return sequential(policy, [Observation(60 * n, 60 * n + 60, 5, stable, new) for n in range(20)])

    worse = answer(0.97)
    assert worse.answer is Answer.INCONCLUSIVE
    assert (
        "if that is a share of good requests, ask for the failed ones with 'kind: errors'" in worse.suspicion
    )
    assert answer(0.993).answer is Answer.PASS
    assert answer(1.0).answer is Answer.PASS
