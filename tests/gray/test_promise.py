"""What stable's last hours foretell, and what does not begin because nothing could be seen."""

from __future__ import annotations

import pytest
from gray_world import World

from pipegraft.core.errors import Held, Unreachable, UsageError
from pipegraft.gray.forecast import StableTraffic, promise
from pipegraft.gray.judgement import MetricPolicy
from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.ports import Arms, FakeSource
from pipegraft.gray.traffic_checks import harm_to_both


class Remembering(FakeSource):
    """Knows what stable showed.

    Arguments:
        arms: in any time gone by; or what is raised.
    """

    def __init__(self, arms: Arms | Exception) -> None:
        super().__init__([Arms(ArmCounts(900, 9), ArmCounts(100, 1))], remembers=True)
        self.arms = arms
        self.asked: list[float] = []

    def show(self, arms: Arms) -> None:
        """What both versions show from now on."""
        self._script = [arms]

    def past(self, start: float, end: float) -> Arms:
        self.asked.append(end - start)
        if isinstance(self.arms, Exception):
            raise self.arms
        return self.arms


def world(arms: Arms | Exception) -> World:
    made = World(interval="60s", steps=[5, 50], **{"warm-up": "5m", "on-suspicion": "hold"})
    made.source = Remembering(arms)
    made.prepare()
    return made


def test_a_release_begins_with_what_its_traffic_can_show() -> None:
    made = world(Arms(ArmCounts(180 * 20_000, 180 * 200)))
    made.release()
    assert made.messages("outlook") == [
        "stable's last 3 h: 20,000 requests a minute, 1% of them bad (errors)",
        "at 5% 2 times the bad requests are found in 21 min, 1.5 times cannot be seen",
        "at 50% 2 times the bad requests are found in 18 min, 1.5 times cannot be seen",
        "a good version takes about 29 min, 1 h 10 min if nothing is decided",
    ]
    assert made.steps[-1] == "promote"


def test_little_traffic_is_told_before_it_disappoints() -> None:
    metrics = [{"source": "fake"}, {"source": "fake", "name": "latency", "kind": "latency"}]
    made = World(interval="60s", steps=[5], metrics=metrics, **{"warm-up": "5m"})
    gray = made.delivery.environments["production"].gray
    assert gray is not None
    found = promise(gray, [StableTraffic("errors", 200, 2), StableTraffic("latency", 200, 0.1)])
    assert found.lines[1] == "at 5% not even 10 times the bad requests would be found in time"
    assert found.usual == found.longest == 24 * 60


def test_a_query_for_errors_that_never_had_a_series_is_refused_before_anything_moves() -> None:
    made = world(Arms(ArmCounts(4_000), ArmCounts(10)))
    before = made.steps
    with pytest.raises(UsageError, match="no series for a day, but that for requests counted 4,010"):
        made.release()
    assert made.steps == before
    assert isinstance(made.source, Remembering)
    assert made.source.asked == [3600, 86400]


def test_a_past_without_errors_or_requests_is_told_and_one_that_does_not_answer_stops_the_beginning() -> None:
    made = world(Arms(ArmCounts(4_000, 0)))
    made.release()
    assert made.messages("outlook")[0].startswith("stable's last 3 h: 22 requests a minute, 0%")
    silent = world(Arms())
    silent.release()
    assert silent.messages("outlook") == [
        "no critical metric counted a request of stable in 3 h: nothing to compare with"
    ]
    with pytest.raises(Unreachable):
        world(Unreachable("the server is down")).release()


@pytest.mark.parametrize(("before", "held"), [(9, True), (40, False)])
def test_where_stable_became_far_worse_with_gray_a_person_decides(before: int, held: bool) -> None:
    """Stable and gray fail 10% alike: no judge that compares them sees it."""
    made = world(Arms(ArmCounts(1_000, before)))
    assert isinstance(made.source, Remembering)
    made.source.show(Arms(ArmCounts(900, 90), ArmCounts(100, 10)))
    if held:
        with pytest.raises(Held):
            made.release()
        assert "gray may harm both versions" in made.messages("warning")[-1]
        assert made.steps[-1] == "hold"
    else:
        made.release()
        assert made.steps[-1] == "promote"


def test_an_incident_of_a_few_intervals_is_no_harm_to_both() -> None:
    metrics = (MetricPolicy("errors"),)
    calm, bad = {"errors": ArmCounts(900, 9)}, {"errors": ArmCounts(900, 90)}
    step = [Observation(60.0 * at, 60.0 * at + 60, 5, bad if at < 4 else calm, {}) for at in range(10)]
    assert harm_to_both(step, metrics, {"errors": 0.01}) == ""
    assert "10% of its requests bad instead of 1%" in harm_to_both(step[:5], metrics, {"errors": 0.01})
    assert harm_to_both(step[:5], metrics, {}) == ""
