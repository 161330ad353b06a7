"""Requests go out as a server's rate limit lets them, and no slower."""

from __future__ import annotations

import datetime as dt
import itertools
from email.utils import format_datetime

import pytest

from pipegraft.core.adapters.gitlab_requests import Pace
from pipegraft.core.ports import FakeClock


def headers(clock: FakeClock, left: int, seconds: float, skew: float = 0.0) -> dict[str, str]:
    now = clock.now() + skew
    date = format_datetime(dt.datetime.fromtimestamp(now, dt.UTC), usegmt=True)
    return {"RateLimit-Remaining": str(left), "RateLimit-Reset": str(int(now + seconds)), "Date": date}


@pytest.mark.parametrize("skew", [0.0, 3600.0, -3600.0])
def test_plenty_is_used_at_once_and_the_last_are_spread_over_the_period(skew: float) -> None:
    clock = FakeClock()
    pace = Pace(clock)
    pace.learn(headers(clock, 49, 60, skew))
    times = []
    for _ in range(50):
        pace.wait()
        times.append(clock.now() - 1_700_000_000)
    assert times[:9] == [0.0] * 9
    steps = [later - earlier for earlier, later in itertools.pairwise(times[8:])]
    assert steps == pytest.approx([60 / 41] * 41)
    assert times[-1] == pytest.approx(60)


def test_a_new_period_is_free_until_its_first_answer() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    pace.learn(headers(clock, 0, 60))
    pace.wait()
    assert clock.slept == [60]
    pace.wait()
    pace.learn(headers(clock, 500, 60))
    pace.wait()
    assert clock.slept == [60, 0, 0]


def test_requests_under_way_count_though_an_earlier_answer_does_not_know_of_them() -> None:
    clock = FakeClock()
    pace = Pace(clock)
    pace.learn(headers(clock, 42, 60))
    pace.wait()
    pace.wait()
    pace.learn(headers(clock, 41, 60))  # the answer to a request before those two
    pace.wait()
    assert clock.slept[-1] == pytest.approx(60 / 41)


@pytest.mark.parametrize("said", [{}, {"RateLimit-Remaining": "x", "RateLimit-Reset": "1", "Date": "never"}])
def test_a_server_that_tells_nothing_is_asked_at_once(said: dict[str, str]) -> None:
    clock = FakeClock()
    pace = Pace(clock)
    pace.learn(said)
    pace.wait()
    assert clock.slept == [0]


@pytest.mark.parametrize("reset", ["9" * 400, "inf", "99999999999999"])
def test_nobody_waits_without_end_whatever_a_server_says(reset: str) -> None:
    clock = FakeClock()
    pace = Pace(clock)
    pace.learn({**headers(clock, 0, 60), "RateLimit-Reset": reset})
    pace.wait()
    assert 0 < clock.slept[-1] <= 3600


def test_people_hear_of_a_long_wait_now_and_then() -> None:
    clock = FakeClock()
    told: list[float] = []
    pace = Pace(clock, told.append)
    pace.learn(headers(clock, 9, 600))
    for _ in range(3):
        pace.wait()
    assert told == [60, 60, 60]
    pace.learn(headers(clock, 20, 120))
    for _ in range(10):
        pace.wait()
    assert len(told) <= 3 + 3
