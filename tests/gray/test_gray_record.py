"""What was observed, in a commit and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipegraft.gray.history import OBSERVED, from_trailer, to_trailer
from pipegraft.gray.observation import ArmCounts, Histogram, Observation, total
from pipegraft.iac.commits import commit_message
from pipegraft.iac.ports import Commit

NUMBERS = st.floats(0, 1e6).map(lambda number: round(number, 3))
BOUNDS = st.lists(st.floats(0.0001, 100), min_size=1, max_size=5, unique=True).map(
    lambda found: tuple(sorted(found))
)


@st.composite
def counts(draw: st.DrawFn, bounds: tuple[float, ...]) -> ArmCounts:
    kind = draw(st.sampled_from(["errors", "latency", "value"]))
    if kind == "value":
        return ArmCounts(value=draw(NUMBERS))
    if kind == "latency":
        histogram = Histogram(bounds, tuple(draw(NUMBERS) for _ in range(len(bounds) + 1)))
        return ArmCounts(draw(NUMBERS), latency=histogram)
    requests = draw(NUMBERS)
    return ArmCounts(requests, errors=round(requests * draw(st.sampled_from([0, 0.5, 1])), 3))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    arms = [draw(st.dictionaries(st.sampled_from(["a", "b c"]), counts(draw(BOUNDS)))) for _ in range(2)]
    start = draw(st.integers(0, 10**9))
    return Observation(start, start + draw(st.integers(1, 1000)), draw(st.integers(0, 100)), *arms)


@given(st.lists(observations(), min_size=1, max_size=4))
def test_what_goes_into_a_commit_comes_out_of_it(seen: list[Observation]) -> None:
    message = commit_message("subject", ["why"], {"Pipegraft-App": "shop", OBSERVED: to_trailer(seen)})
    assert from_trailer(Commit("a", None, message).trailers[OBSERVED]) == seen


def test_of_very_many_intervals_neighbours_are_put_together() -> None:
    seen = [
        Observation(60 * n, 60 * n + 60, 5, {"e": ArmCounts(10, 1)}, {"e": ArmCounts(1, 0)})
        for n in range(180)
    ]
    told = from_trailer(to_trailer(seen))
    assert [one.end - one.start for one in told] == [180] * 60
    assert total(told) == total(seen)


def test_histograms_with_other_bounds_stay_apart() -> None:
    seen = [
        Observation(n, n + 1, 5, {"l": ArmCounts(2, latency=Histogram((0.1 + n,), (1, 1)))}, {})
        for n in range(100)
    ]
    assert from_trailer(to_trailer(seen)) == seen


def test_intervals_of_one_weight_add_up() -> None:
    latency = Histogram((0.1,), (3, 1))
    first = Observation(0, 10, 5, {"e": ArmCounts(10, errors=1)}, {"l": ArmCounts(4, latency=latency)})
    second = Observation(10, 20, 5, {"e": ArmCounts(20, errors=2)}, {"l": ArmCounts(4, latency=latency)})
    assert total([first, second]) == Observation(
        0, 20, 5, {"e": ArmCounts(30, errors=3)}, {"l": ArmCounts(8, latency=Histogram((0.1,), (6, 2)))}
    )


def test_what_a_person_changed_beyond_recognition_is_left_out() -> None:
    without = ('{"start":1,"end":2,"weight":5,"stable":{}}', '{"start":1,"end":2,"weight":5,"gray":{}}')
    told = [f'{{"bounds":{{}},"intervals":[{one}]}}' for one in without]
    for line in (*told, "", "{}", "[1]", without[0], "not json"):
        assert from_trailer(line) == []
