"""What every `Judge`, `MetricSource` and `TrafficRouter` does.

Subclass a suite in a test module and give it its fixtures: `judge_for`, a function that answers the judge
(one that answers by script is told what it has to say); `play`, see `Play`; `router`,
`addresses` (``host:port`` of an instance that answers) and `ask`, a function that sends one request through
the route named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pipegraft.appspec.traffic_ports import Backend, Route, TrafficRouter
from pipegraft.core.errors import Unreachable
from pipegraft.gray.judgement import Answer, JudgePolicy, MetricPolicy
from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.ports import Arms, Judge, MetricSource

__all__ = ["JudgeSuite", "MetricSourceSuite", "Play", "RouterSuite"]


_POLICY = JudgePolicy(
    (MetricPolicy("errors", maximum=0.05), MetricPolicy("late", maximum=0.05, critical=False))
)


def _release(stable: Sequence[int], gray: Sequence[int]) -> list[Observation]:
    """Intervals with so many errors of 1000 requests in each arm."""
    return [
        Observation(
            60 * number,
            60 * number + 60,
            50,
            {name: ArmCounts(1000, errors) for name in ("errors", "late")},
            {name: ArmCounts(1000, others) for name in ("errors", "late")},
        )
        for number, (errors, others) in enumerate(zip(stable, gray, strict=True))
    ]


_GOOD = _release([9, 11, 10, 12, 8, 10] * 5, [10, 8, 12, 9, 11, 10] * 5)
_BAD = _release([9, 11, 10, 12, 8, 10] * 5, [201, 199, 203, 197, 204, 200] * 5)


class JudgeSuite:
    """The contract of `Judge`."""

    @pytest.fixture
    def judge_for(self) -> Callable[[Answer], Judge]:
        raise NotImplementedError("a subclass provides the judge under test")

    def test_nothing_observed_is_no_answer(self, judge_for: Callable[[Answer], Judge]) -> None:
        found = judge_for(Answer.PASS)(_POLICY, [])
        assert found.answer is Answer.INCONCLUSIVE
        assert found.reason

    def test_a_critical_metric_without_data_never_passes(self, judge_for: Callable[[Answer], Judge]) -> None:
        judge = judge_for(Answer.INCONCLUSIVE)
        blind = [
            Observation(one.start, one.end, one.weight, one.stable, {"late": one.gray["late"]})
            for one in _GOOD
        ]
        for looks in (1, 2, len(blind)):
            assert judge(_POLICY, blind[:looks]).answer is not Answer.PASS

    @pytest.mark.parametrize(
        ("observations", "answer"), [(_GOOD, Answer.PASS), (_BAD, Answer.FAIL)], ids=["good", "bad"]
    )
    def test_it_tells_good_from_bad_and_shows_why(
        self, judge_for: Callable[[Answer], Judge], observations: list[Observation], answer: Answer
    ) -> None:
        found = judge_for(answer)(_POLICY, observations)
        assert found.answer is answer
        assert [(each.metric, each.critical) for each in found.evidence] == [
            ("errors", True),
            ("late", False),
        ]
        assert found.evidence[0].answer is answer
        assert all(each.reason for each in found.evidence)
        assert found.reason
        assert found.seconds > 0

    def test_it_keeps_nothing_between_calls(self, judge_for: Callable[[Answer], Judge]) -> None:
        judge = judge_for(Answer.FAIL)
        first = judge(_POLICY, tuple(_BAD))
        judge(_POLICY, tuple(_GOOD))
        judge(_POLICY, ())
        assert judge(_POLICY, tuple(_BAD)) == judge_for(Answer.FAIL)(_POLICY, tuple(_BAD)) == first


Play = Callable[[Sequence[Arms | None]], tuple[MetricSource, Callable[[], None]]]
"""What will happen, interval by interval (None: the source cannot be reached) → the source, and a function
that makes the next interval happen."""

_BUSY = Arms(ArmCounts(90, 2), ArmCounts(10, 1))
_QUIET = Arms(ArmCounts(30, 0), ArmCounts(30, 7))
_NOTHING = Arms(ArmCounts(0, 0), ArmCounts(0, 0))


def _seen(arms: Arms) -> tuple[ArmCounts | None, ArmCounts | None]:
    return arms.stable, arms.gray


class MetricSourceSuite:
    """The contract of `MetricSource`."""

    def test_it_counts_from_then_or_from_now(self, play: Play) -> None:
        source, _ = play([_BUSY])
        assert source.begin(at=1000.0, now=1060.0) in (1000.0, 1060.0)

    def test_each_interval_holds_what_happened_in_it(self, play: Play) -> None:
        source, happen = play([_BUSY, _QUIET, _NOTHING])
        source.begin(at=1000.0, now=1000.0)
        for number, expected in enumerate((_BUSY, _QUIET, _NOTHING), 1):
            happen()
            assert _seen(source.take(1000.0 + 60 * number)) == _seen(expected)

    def test_out_of_reach_is_said_and_nothing_is_lost(self, play: Play) -> None:
        source, happen = play([None, _BUSY])
        source.begin(at=1000.0, now=1000.0)
        happen()
        with pytest.raises(Unreachable):
            source.take(1060.0)
        happen()
        assert _seen(source.take(1120.0)) == _seen(_BUSY)


def _route(addresses: tuple[str, ...], stable: int, gray: int, name: str = "shop/web") -> Route:
    backends = (Backend("web", addresses, stable), Backend("web-gray", addresses, gray))
    return Route(name, "127.0.0.1:0", backends)


class RouterSuite:
    """The contract of `TrafficRouter`."""

    def test_without_routes_nothing_is_served(self, router: TrafficRouter) -> None:
        router.apply([])
        assert router.observe() == {}

    def test_requests_are_split_by_weight_and_counted(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 75, 25)])
        for _ in range(100):
            ask("shop/web")
        served = router.observe()["shop/web"]
        assert sum(served.values()) == 100
        assert 10 <= served["web-gray"] <= 40

    def test_a_weight_of_nothing_gets_nothing(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 100, 0)])
        for _ in range(20):
            ask("shop/web")
        assert router.observe()["shop/web"].get("web-gray", 0) == 0

    def test_new_weights_hold_at_once_and_counts_go_on(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 100, 0)])
        for _ in range(10):
            ask("shop/web")
        router.apply([_route(addresses, 0, 100)])
        for _ in range(5):
            ask("shop/web")
        assert router.observe() == {"shop/web": {"web": 10, "web-gray": 5}}

    def test_what_was_observed_stays_as_it_was(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 100, 0)])
        ask("shop/web")
        before = router.observe()
        ask("shop/web")
        assert (before["shop/web"]["web"], router.observe()["shop/web"]["web"]) == (1, 2)

    def test_routes_are_apart(
        self, router: TrafficRouter, addresses: tuple[str, ...], ask: Callable[[str], None]
    ) -> None:
        router.apply([_route(addresses, 100, 0), _route(addresses, 0, 100, "cart/web")])
        for name in ("shop/web", "cart/web", "cart/web"):
            ask(name)
        found = router.observe()
        assert (found["shop/web"]["web"], found["cart/web"]["web-gray"]) == (1, 2)
