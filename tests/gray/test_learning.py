"""What earlier releases teach: the drift that they had, settings that follow, and nothing from too little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, sqrt
from pathlib import Path
from random import Random

import pytest
from gray_world import World

from pipegraft.app.plugins import shipped_plugins
from pipegraft.app.suggest import suggest, suggestion_data, suggestion_lines
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import PipegraftError, RolledBack, UsageError
from pipegraft.core.stage import Project
from pipegraft.gray.forecast import learn, learn_from_pods, seen_traffic, with_learnt
from pipegraft.gray.history import ToldRelease, to_trailer
from pipegraft.gray.judgement import Answer
from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.ports import Arms, FakeJudge, FakeSource
from pipegraft.iac.commits import commit_message

GRAY = Gray.model_validate({"metrics": [{"source": "fake"}], "interval": "60s", "warm-up": "2m"})


def told(number: int, drift: float, memory: float, looks: int = 40, step: str = "promote") -> ToldRelease:
    """A release whose versions drift; the warm-up is three times as bad."""
    rng = Random(number)
    own = [rng.gauss(0, 1), rng.gauss(0, 1)]
    seen: list[Observation] = []
    for look in range(looks):
        bad = []
        for arm, requests in enumerate((9_000, 1_000)):
            own[arm] = memory * own[arm] + sqrt(1 - memory**2) * rng.gauss(0, 1)
            expected = requests * 0.05 * exp(drift * own[arm]) * (3 if arm and look < 2 else 1)
            bad.append(max(0.0, round(rng.gauss(expected, sqrt(expected)))))
        arms = {"errors": ArmCounts(9_000, bad[0])}, {"errors": ArmCounts(1_000, bad[1])}
        seen.append(Observation(60.0 * look, 60.0 * look + 60, 10, *arms))
    return ToldRelease(number, step, tuple(seen))


@pytest.mark.parametrize(("drift", "memory"), [(0.03, 0.0), (0.2, 0.5), (0.3, 0.9)])
def test_the_drift_of_earlier_releases_is_found(drift: float, memory: float) -> None:
    (found,) = learn(GRAY, [told(number, drift, memory) for number in range(12)])
    assert found.low <= drift <= found.high
    assert found.high <= max(0.13, 1.7 * drift)
    if drift > 0.1:
        assert found.memory == pytest.approx(memory, abs=0.2)
    assert found.intervals == 12 * 38, "the warm-up is left out"


def test_what_was_learnt_becomes_settings_and_the_margin_follows_a_wide_drift() -> None:
    calm = with_learnt(GRAY, learn(GRAY, [told(number, 0.0, 0.0) for number in range(4)]))
    assert (calm.wander, calm.metrics[0].margin) == (0.05, 1.0)
    wide = with_learnt(GRAY, learn(GRAY, [told(number, 0.36, 0.5) for number in range(8)]))
    assert wide.wander >= 0.3
    assert wide.metrics[0].margin > 1.4


def test_too_little_and_bad_releases_teach_nothing() -> None:
    assert learn(GRAY, [told(1, 0.2, 0.5, looks=20)]) == ()
    assert learn(GRAY, [told(number, 0.2, 0.5, step="rollback") for number in range(9)]) == ()
    assert with_learnt(GRAY, ()) is GRAY


def test_the_newest_release_says_how_much_traffic_there_is() -> None:
    (seen,) = seen_traffic(GRAY, [told(1, 0.0, 0.0)])
    assert seen.requests == pytest.approx(10_000)
    assert seen.bad == pytest.approx(500, rel=0.05)


def remember(world: World, *numbers: int) -> None:
    """The history tells of releases that were promoted."""
    for number in numbers:
        trailers = {
            "Pipegraft-Environment": "production", "Pipegraft-Release": str(number),
            "Pipegraft-Step": "bump", "Pipegraft-Observed": to_trailer(told(number, 0.1, 0.0).observations),
        }  # fmt: skip
        world.write(f"{world.text}# {number}\n", commit_message("shop: earlier", [], trailers))
        ended = {**trailers, "Pipegraft-Step": "promote", "Pipegraft-Observed": ""}
        world.write(f"{world.text}# {number} promoted\n", commit_message("shop: promoted", [], ended))


def test_a_release_learns_from_those_before_it() -> None:
    world = World(learn=True, **{"warm-up": "2m"})
    world.prepare(13)
    world.release(13)
    assert "earlier releases tell too little yet" in world.messages("outlook")[0]
    remember(world, 14, 15)
    world.prepare(16, "registry.example.com/shop/web@sha256:" + "4" * 64)
    world.release(16)
    assert world.messages("outlook")[-1].startswith("learnt from earlier releases: wander 0.07, memory 0")


def test_settings_are_suggested_with_what_they_promise() -> None:
    world = World(**{"warm-up": "2m"})
    project = Project(Path(), world.delivery, shipped_plugins())
    with pytest.raises(UsageError, match=r"0 promoted releases in the history of .* tell too little"):
        suggest(project, None, world.connections)
    remember(world, 14, 15, 17)
    found = suggest(project, None, world.connections)
    lines = list(suggestion_lines(found))
    assert lines[:3] == [
        "production, from 3 promoted releases",
        "  errors: each version drifts by itself by 7% (5% to 10%), memory 0",
        "    in 114 intervals",
    ]
    assert "  wander: 0.07" in lines
    assert lines[-4].startswith("  the newest release: 10,000 requests a minute, 5")
    assert suggestion_data(found)["settings"] == {"wander": 0.07, "memory": 0.0, "margins": {"errors": 1.0}}


def test_of_two_small_arms_all_traffic_is_told() -> None:
    arm = {"errors": ArmCounts(500, 25)}
    seen = Observation(0, 60, 5, arm, arm, fresh=True)
    (found,) = seen_traffic(GRAY, [ToldRelease(1, "promote", (seen,))])
    assert (found.requests, found.bad) == pytest.approx((10_000, 500))


def refused(metric: str, error: PipegraftError) -> None:
    raise AssertionError(f"{metric}: {error}")


class Pods(FakeSource):
    """Four pods of stable; every second one has rates that drift together."""

    def __init__(self, drift: float, looks: int = 200, many: int = 4) -> None:
        super().__init__([Arms()])
        self.asked: list[float] = []
        self._rows: list[dict[str, ArmCounts]] = []
        chance = Random(5)
        for _ in range(looks):
            rates = [0.05 * exp(chance.gauss(0, drift)) for _ in (0, 1)]
            row = {f"web-{pod}": ArmCounts(2000, round(2000 * rates[pod % 2])) for pod in range(many)}
            self._rows.append(row)

    def pods(self, start: float, end: float, step: float) -> Sequence[Mapping[str, ArmCounts]]:
        assert end - start == pytest.approx(min(86400.0, 300 * step))
        self.asked.append(end)
        return self._rows


def test_pods_of_stable_show_the_drift_before_any_release() -> None:
    (found,) = learn_from_pods(GRAY, {"errors": Pods(0.3)}, (), 1e6, refused)
    assert (found.of, found.intervals) == ("pods", 200)
    assert found.low <= 0.3 <= found.high
    (calm,) = learn_from_pods(GRAY, {"errors": Pods(0.0)}, (), 1e6, refused)
    assert calm.drift <= 0.05
    assert learn_from_pods(GRAY, {"errors": Pods(0.3)}, (found,), 1e6, refused) == (found,), (
        "releases tell more"
    )
    for too_little in (Pods(0.3, looks=20), Pods(0.3, many=1), FakeSource([Arms()])):
        assert learn_from_pods(GRAY, {"errors": too_little}, (), 1e6, refused) == ()


class Broken(Pods):
    def pods(self, start: float, end: float, step: float) -> Sequence[Mapping[str, ArmCounts]]:
        raise UsageError("parse error")


def test_one_metric_that_is_not_understood_does_not_cost_the_others() -> None:
    metrics = [{"source": "fake", "name": name} for name in ("broken", "errors")]
    declared, told = Gray.model_validate({"metrics": metrics, "interval": "60s"}), list[str]()
    sources = {"broken": Broken(0.3), "errors": Pods(0.3)}
    found = learn_from_pods(declared, sources, (), 1e6, lambda metric, _error: told.append(metric))
    assert ([one.metric for one in found], told) == (["errors"], ["broken"])


def test_what_is_learnt_ends_where_the_release_begins() -> None:
    world = World(learn=True, steps=[50])
    world.source = pods = Pods(0.1)
    world.prepare(13)
    begun = world.branch.log("environments/production.yaml")[0].time
    world.clock.sleep(600)
    world.release(13, no_wait=True)
    world.clock.sleep(600)
    world.release(12, resume=True, no_wait=True)
    assert pods.asked == [begun, begun]


def test_a_first_release_learns_from_pods() -> None:
    world = World(learn=True)
    world.source = Pods(0.1)
    world.judge = FakeJudge(Answer.FAIL)
    world.prepare(13)
    with pytest.raises(RolledBack):
        world.release(13)
    assert world.messages("outlook")[0].startswith("learnt from stable's own pods: wander 0.07, memory 0")
    project = Project(Path(), world.delivery, shipped_plugins())
    found = suggest(project, None, world.connections)
    assert list(suggestion_lines(found))[:3] == [
        "production, from 0 promoted releases and stable's own pods",
        "  errors: each version drifts by itself by 7% (7% to 7%), memory 0",
        "    in 200 intervals, half of the pods against the others",
    ]
