"""`baseline: fresh`: gray against pods as old and as cold as its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from gray_world import World

from pipegraft.app.plugins import shipped_plugins
from pipegraft.core.delivery import Gray
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import ConfigError, RolledBack, UsageError
from pipegraft.core.model import Model
from pipegraft.core.ports import RecordingProgress
from pipegraft.core.stage import Project
from pipegraft.gray.adapters.prometheus import Options, PrometheusSource
from pipegraft.gray.analysis import GrayWatch
from pipegraft.gray.branch import GrayBranch, GraySubject
from pipegraft.gray.forecast import StableTraffic, promise
from pipegraft.gray.history import from_trailer, to_trailer
from pipegraft.gray.hooks import MetricSourcePlugin
from pipegraft.gray.judgement import Answer, Judgement, JudgePolicy, MetricPolicy
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.machine import Do, Move, Standing, advance
from pipegraft.gray.observation import ArmCounts, Observation
from pipegraft.gray.ports import Arms, FakeJudge, FakeSource, MetricRequest, metrics_port
from pipegraft.gray.stage import pipegraft_openers
from pipegraft.gray.traffic_checks import harm_to_both, weight_mismatch

THREE = Arms(ArmCounts(800, 8), ArmCounts(100, 30), baseline=ArmCounts(100, 28))


def test_gray_is_judged_against_the_fresh_pods() -> None:
    world = World(baseline="fresh", **{"weight-tolerance": 0.5})
    world.source = FakeSource([THREE])
    world.judge = FakeJudge(Answer.INCONCLUSIVE, Answer.FAIL)
    world.prepare()
    with pytest.raises(RolledBack):
        world.release()
    newest = world.branch.log("environments/production.yaml")[0]
    seen = from_trailer(newest.trailers["Pipegraft-Observed"])
    assert [(one.stable["errors"].errors, one.fresh, one.share) for one in seen] == [(28, True, 0.5)] * 2
    assert not world.messages("warning"), "half of what both get is as it should be"


def test_beside_fresh_pods_gray_never_gets_more_than_half() -> None:
    standing = Standing("gray", 25, "step", fresh=True)
    assert advance(standing, (5, 75), "all is well").weight == 50
    last = advance(replace(standing, weight=50), (5, 25, 50, 75), "all is well")
    assert (last.do, "50% is the most" in last.reason) == (Do.TAKE_OVER, True)
    assert advance(replace(standing, weight=50, fresh=False), (5, 75), "").weight == 75


def test_steps_that_grew_under_way_end_in_a_promotion() -> None:
    world = World(baseline="fresh", steps=[50])
    world.source = FakeSource([THREE])
    world.prepare()
    world.release(no_wait=True)
    changed = World(steps=[5, 25, 50, 75]).delivery
    world.delivery = changed
    world.release(resume=True)
    assert [step for step in world.steps if "weight" in step] == ["1/1 weight=50"]
    assert world.steps[-1] == "promote"


@pytest.mark.parametrize("fresh", [True, False])
def test_what_is_deployed_decides_what_gray_is_compared_with(fresh: bool) -> None:
    declared = ["stable", "fresh"]
    world = World(baseline=declared[fresh])
    world.source = FakeSource([THREE])
    world.prepare()
    world.delivery = World(baseline=declared[not fresh]).delivery
    world.release()
    trailers = [commit.trailers for commit in world.branch.log("environments/production.yaml")]
    seen = [one for found in trailers for one in from_trailer(found.get("Pipegraft-Observed", ""))]
    assert {(one.fresh, one.stable["errors"].errors) for one in seen} == {(fresh, 28 if fresh else 8)}
    said = f"delivery.yaml says 'baseline: {declared[not fresh]}', but environments/production.yaml was"
    assert world.messages("warning")[0].startswith(said)


class Plugins:
    """One metric source, by whatever name."""

    def __init__(self, *, baseline: bool) -> None:
        self.asked: list[MetricRequest] = []
        self._plugin = MetricSourcePlugin(
            name="fake", options=Model, connect=self._connect, baseline=baseline
        )

    def _connect(self, _options: Model, request: MetricRequest) -> FakeSource:
        self.asked.append(request)
        return FakeSource([THREE])

    def get(self, *_: object) -> MetricSourcePlugin:
        return self._plugin


def test_sources_are_asked_for_the_fresh_pods_that_are_deployed() -> None:
    openers = {one.port.name: one for one in pipegraft_openers()}
    delivery, plugins = World(baseline="stable").delivery, Plugins(baseline=True)
    project = Project(Path(), delivery, cast("Any", plugins))
    for fresh in (True, False):
        openers[metrics_port(fresh=fresh).name].open(project, "production")
    assert [request.baseline for request in plugins.asked] == [True, False]
    unable = Project(Path(), delivery, cast("Any", Plugins(baseline=False)))
    with pytest.raises(
        UsageError, match=r"environments/production.yaml has 'baseline: true', but the source"
    ):
        openers[metrics_port(fresh=True).name].open(unable, "production")


def test_a_watch_keeps_what_the_pods_that_serve_showed_beside_the_fresh_ones() -> None:
    policy, sources = JudgePolicy((MetricPolicy("errors"),)), {"errors": FakeSource([THREE])}
    watch = GrayWatch(sources, FakeJudge(Answer.PASS), policy, (), RecordingProgress(), fresh=True)
    watch.begin(0, 0)
    watch.look(10, 60)
    (seen,) = watch.step
    assert (seen.stable["errors"].errors, seen.serving["errors"].errors) == (28, 8)


def test_what_nobody_could_read_is_never_committed() -> None:
    world = World(baseline="fresh")
    world.prepare()
    before = world.text
    branch = GrayBranch(world.branch, GraySubject("shop", "production", None, world.source_of(13), (75,)))
    with pytest.raises(ConfigError, match="expected at most 50, found 75"):
        branch.write(branch.look(), Move(Do.WEIGHT, 75))
    assert world.text == before


def bake_against(world: World) -> list[float]:
    """Bad requests of what two looks after the promotion are compared with."""
    says, asked = FakeJudge(Answer.INCONCLUSIVE, Answer.INCONCLUSIVE, Answer.PASS), []

    def judge(policy: JudgePolicy, seen: Sequence[Observation]) -> Judgement:
        asked.append(seen)
        return says(policy, seen)

    world.judge = judge
    world.prepare()
    world.release()
    assert len(asked) == 5, "three looks at the weight, two after the promotion"
    return [one.stable["errors"].errors or 0.0 for one in asked[-1]]


@pytest.mark.parametrize("warm_up", ["0s", "2m"])
def test_what_is_promoted_is_watched_against_the_pods_that_served(warm_up: str) -> None:
    world = World(baseline="fresh", steps=[50], bake="2m", **{"warm-up": warm_up})
    cold = Arms(ArmCounts(800, 8), ArmCounts(100, 30), baseline=ArmCounts(100, 30))
    warm = Arms(ArmCounts(800, 8), ArmCounts(100, 1), baseline=ArmCounts(100, 1))
    world.source = FakeSource([cold, cold, warm])
    assert bake_against(world) == [12, 12]


def test_where_only_fresh_pods_are_known_it_is_watched_against_those_that_were_warm() -> None:
    world = World(baseline="fresh", steps=[50], bake="2m", **{"warm-up": "2m"})
    arms = [Arms(None, ArmCounts(100, bad), baseline=ArmCounts(100, bad)) for bad in (30, 30, 1)]
    world.source = FakeSource([*arms, Arms(ArmCounts(100, 1))])
    assert bake_against(world) == [0.5, 0.5]


def test_cold_fresh_pods_are_no_harm_to_both() -> None:
    metrics, old = [MetricPolicy("errors")], ArmCounts(8000, 80)
    cold = [
        replace(interval(at, ArmCounts(1000, 80), ArmCounts(1000, 80)), serving={"errors": old})
        for at in range(5)
    ]
    assert harm_to_both(cold, metrics, {"errors": 0.01}) == ""
    harmed = [replace(one, serving={"errors": ArmCounts(8000, 800)}) for one in cold]
    assert "10% of its requests bad" in harm_to_both(harmed, metrics, {"errors": 0.01})


def interval(number: int, stable: ArmCounts, gray: ArmCounts) -> Observation:
    return Observation(60 * number, 60 * number + 60, 10, {"errors": stable}, {"errors": gray}, fresh=True)


def test_requests_that_both_do_not_get_alike_are_told() -> None:
    even = [interval(at, ArmCounts(1000, 10), ArmCounts(1000, 10)) for at in range(6)]
    assert not weight_mismatch(even, 0.5, more_is_meant=False)
    off = [interval(at, ArmCounts(9000, 10), ArmCounts(1000, 10)) for at in range(6)]
    assert "expected 50% of the requests to be gray's, found 10%" in weight_mismatch(
        off, 0.5, more_is_meant=False
    )


def test_a_silent_gray_is_seen_by_the_requests_that_the_fresh_pods_get() -> None:
    policy = JudgePolicy((MetricPolicy("errors"),))
    silent = [interval(at, ArmCounts(12, 0), ArmCounts(0, 0)) for at in range(3)]
    judgement = sequential(policy, silent)
    assert judgement.answer is Answer.FAIL
    assert "none of about 36 requests" in judgement.reason


def test_a_cold_start_of_both_is_no_regression() -> None:
    policy = JudgePolicy((MetricPolicy("errors"),))
    cold = [interval(at, ArmCounts(1000, 80 - 5 * at), ArmCounts(1000, 78 - 5 * at)) for at in range(15)]
    assert sequential(policy, cold).answer is Answer.PASS
    worse = [interval(at, ArmCounts(1000, 20), ArmCounts(1000, 60)) for at in range(15)]
    assert sequential(policy, worse).answer is Answer.FAIL


def test_commits_tell_what_gray_was_compared_with() -> None:
    seen = [interval(0, ArmCounts(10, 1), ArmCounts(10, 1))]
    assert from_trailer(to_trailer(seen)) == seen
    assert "fresh" not in to_trailer([Observation(0, 60, 10, {}, {})])


def test_two_small_arms_take_longer_to_tell() -> None:
    declared = {"metrics": [{"source": "fake"}], "steps": [5], "interval": "1m"}
    traffic = [StableTraffic("errors", 20_000, 200)]
    usual = promise(Gray.model_validate(declared), traffic)
    fresh = promise(Gray.model_validate({**declared, "baseline": "fresh"}), traffic)
    assert fresh.usual > usual.usual


DELIVERY = """\
app: shop
registry: registry.example.com/shop
components: {{web: {{path: ., intimacy: rpc}}}}
iac: {{repository: iac.git}}
environments:
  production:
    gate: {{engine: flux, kustomization: shop}}
    gray:
      baseline: fresh
      router: {router}
      steps: {steps}
      metrics: [{{source: json, path: counts.json}}]
"""


@pytest.mark.parametrize(
    ("router", "steps", "problem"),
    [
        ("ingress-nginx", "[5, 50]", ":9:17: the router 'ingress-nginx' splits between two versions"),
        ("flagger", "[5, 50]", ":9:17: the router 'flagger' splits between two versions"),
        ("istio", "[5, 80]", ":11:14: 'environments.production.gray.steps': 'baseline: fresh' gets as many"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    router: str, steps: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    file = tmp_path / "delivery.yaml"
    file.write_text(DELIVERY.format(router=router, steps=steps))
    with pytest.raises(ConfigError) as refused:
        open_project(tmp_path, shipped_plugins())
    assert problem in str(refused.value)


def test_queries_with_names_of_workloads_need_that_of_the_fresh_pods() -> None:
    names = {"stable": "web", "gray": "web-gray"}
    query = 'sum(increase(requests_total{deployment="{workload}"}[{window}]))'
    declared = Gray.model_validate({"metrics": [{"source": "prometheus"}]}).metrics[0]
    keys = {"url": "http://127.0.0.1:9", "requests": query, "errors": query, "workload": names}
    request = MetricRequest("shop", "production", declared, Path(), baseline=True)
    with pytest.raises(UsageError, match="'workload' needs its name, too"):
        PrometheusSource(Options.model_validate(keys), request)


def test_commits_keep_what_the_pods_that_serve_showed() -> None:
    one = replace(interval(0, ArmCounts(100, 3), ArmCounts(100, 2)), serving={"errors": ArmCounts(800, 8)})
    assert from_trailer(to_trailer([one])) == [one]
    many = [replace(one, start=60.0 * at, end=60.0 * at + 60) for at in range(160)]
    assert from_trailer(to_trailer(many))[0].serving["errors"] == ArmCounts(1600, 16)
