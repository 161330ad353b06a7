"""The engine's loop with a repository, a runtime and a router in memory, turn by turn."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipegraft.domain.resources.binding import Platform
from pipegraft.domain.resources.local import LOCAL
from pipegraft.domain.verdicts.embedded import verdict
from pipegraft.errors import Unreachable
from pipegraft.ports.clock import FakeClock
from pipegraft.ports.engine import State, Verdict
from pipegraft.ports.iac import FakeIacRepository
from pipegraft.ports.resources import FakeResourceHost, HostedState
from pipegraft.ports.runtime import FakeRuntime, Phase, Workload
from pipegraft.ports.traffic import FakeRouter, Route
from pipegraft.usecases.engine import Engine, EngineOptions
from pipegraft.usecases.engine.application import States
from pipegraft.usecases.engine.entrances import Entrances

APP = """\
app: shop
components:
  web: {ports: {http: 8080}, entrance: {listen: "127.0.0.1:9000"}}
"""
V1 = "components: {web: {image: v1}}\n"
V2 = "components: {web: {image: v2}}\n"
PATH = "environments/production.yaml"


def gray(weight: int, image: str = "v2") -> str:
    return f"""{V1}gray:
  release: {{number: 2, source: abc}}
  weight: {weight}
  phase: step
  components: {{web: {{image: {image}}}}}
"""


class World:
    """An engine whose surroundings a test sets."""

    def __init__(self, folder: Path, environment: str = V1) -> None:
        self.folder = folder
        self.iac = FakeIacRepository({"app.yaml": APP, PATH: environment})
        self.runtime = FakeRuntime()
        self.router = FakeRouter()
        self.resources = FakeResourceHost()
        self.clock = FakeClock()
        self.said: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Another engine process takes over."""
        self.engine = Engine(
            EngineOptions(("production",)),
            repository=self.iac,
            runtime=self.runtime,
            router=self.router,
            clock=self.clock,
            states=States(self.folder / "applications"),
            resources=self.resources,
            platform=Platform(lambda: {LOCAL.name: LOCAL}, "oam"),
            entrances=Entrances(self.folder / "entrances.json", lambda _taken: 9999),
            report=self.said.append,
        )

    def commit(self, environment: str, path: str = PATH) -> str:
        return self.iac.commit({path: environment}, "change", self.iac.tip())

    def look(self) -> None:
        self.engine.take(self.engine.watcher.look())

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.engine.turn()
            self.clock.sleep(0.5)

    def settle(self) -> None:
        self.look()
        self.turn(8)

    @property
    def status(self) -> dict[str, Any]:
        return self.engine.status("shop-production")

    def verdict(self, target: str) -> Verdict:
        return verdict(self.status, lambda at: self.iac.contains(target, at))

    @property
    def weights(self) -> dict[str, int]:
        return {backend.name: backend.weight for route in self.router.routes for backend in route.backends}

    def running(self) -> list[str]:
        return [f"{one.workload} {one.phase}" for one in self.runtime.instances.values()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_revision_is_live_once_it_runs_is_healthy_and_is_routed(world: World) -> None:
    world.look()
    world.turn()
    assert world.verdict(world.iac.tip()).state is State.PROGRESSING
    assert world.status["revision"]["live"] == ""
    world.turn(3)
    assert world.verdict(world.iac.tip()).state is State.SUCCEEDED
    assert world.router.routes[0].listen == "127.0.0.1:9000"
    assert world.router.routes[0].name == "shop-production/web"
    assert world.status["entrances"] == {"web": "http://127.0.0.1:9000"}


def test_the_revision_before_stays_live_until_the_new_one_is(world: World) -> None:
    world.settle()
    before = world.iac.tip()
    target = world.commit(V2)
    for _ in range(8):
        status = world.verdict(target).state
        serving = {one.workload for one in world.runtime.instances.values() if one.phase is Phase.READY}
        assert serving == {"web"}, "somebody serves at all times"
        if status is State.SUCCEEDED:
            break
        world.look()
        world.turn()
    assert world.verdict(target).state is State.SUCCEEDED
    assert world.status["revision"]["live"] == target != before
    world.turn(2)
    assert world.running() == ["web ready"]


def test_a_commit_that_changes_nothing_is_live_without_a_restart(world: World) -> None:
    world.settle()
    instances = list(world.runtime.instances)
    target = world.commit("read me\n", "README.md")
    world.look()
    world.turn()
    assert world.verdict(target).state is State.SUCCEEDED
    assert list(world.runtime.instances) == instances


def test_a_newer_commit_counts_for_the_one_before_it(world: World) -> None:
    target = world.commit(V2)
    world.commit(f"{V2}# and a comment\n")
    world.settle()
    assert world.verdict(target).state is State.SUCCEEDED


def test_an_invalid_spec_is_refused_and_the_last_good_state_stays(world: World) -> None:
    world.settle()
    good = world.iac.tip()
    target = world.commit("components: {wbe: {image: v2}}\n")
    world.settle()
    found = world.verdict(target)
    assert found.state is State.FAILED
    assert "environments/production.yaml:1:14: component 'wbe' is not declared" in str(found.evidence)
    assert world.status["sync"] == "refused"
    assert world.verdict(good).state is State.SUCCEEDED
    assert world.running() == ["web ready"]
    world.commit(V2)
    world.settle()
    assert world.verdict(target).state is State.SUCCEEDED


def test_what_this_engine_cannot_find_in_the_repository_is_told(world: World) -> None:
    world.iac.commit({PATH: None}, "oops", world.iac.tip())
    world.settle()
    assert world.verdict(world.iac.tip()).state is State.FAILED
    assert "expected environments/production.yaml in the repository" in world.status["problems"][0]


def test_an_application_whose_spec_was_never_good_is_known_by_its_environment(tmp_path: Path) -> None:
    world = World(tmp_path, "components: {}\n")
    world.settle()
    assert world.verdict(world.iac.tip()).state is State.FAILED
    assert "no image" in world.status["message"]


def test_a_crash_loop_fails_the_verdict_while_the_old_version_serves(world: World) -> None:
    world.settle()
    world.runtime.becomes["web"] = Phase.FAILED
    target = world.commit(V2)
    world.look()
    world.turn(12)
    found = world.verdict(target)
    assert found.state is State.FAILED
    assert "workload web failed" in found.reason
    assert len(world.router.routes[0].backends[0].addresses) == 1


def test_a_workload_that_cannot_be_started_is_told(world: World) -> None:
    class Empty(FakeRuntime):
        def start(self, workload: Workload) -> str:
            raise Unreachable(f"no image {workload.images[0]}")

    world.runtime = Empty()
    world.restart()
    world.look()
    world.turn(6)
    found = world.verdict(world.iac.tip())
    assert found.state is State.FAILED
    assert "no image v1" in found.reason


def test_what_breaks_is_healed(world: World) -> None:
    world.settle()
    (name,) = world.runtime.instances
    world.runtime.instances[name] = replace(world.runtime.instances[name], phase=Phase.FAILED)
    world.turn()
    assert world.status["health"] == "progressing"
    assert world.router.routes[0].backends[0].addresses == ()
    world.turn(3)
    assert world.status["health"] == "healthy"
    assert world.router.routes[0].backends[0].addresses == tuple(
        one.addresses[8080] for one in world.runtime.instances.values()
    )


def test_a_gray_version_is_prepared_without_traffic_and_then_gets_its_weight(world: World) -> None:
    world.settle()
    world.commit(gray(0))
    world.settle()
    assert world.weights == {"web": 100, "web-gray": 0}
    assert sorted(world.running()) == ["web ready", "web-gray ready"]
    world.commit(gray(25))
    world.look()
    world.turn()
    assert world.weights == {"web": 75, "web-gray": 25}
    assert world.status["routes"] == {"web": {"web": 75, "web-gray": 25}}


def test_a_gray_version_that_does_not_start_gets_no_traffic(world: World) -> None:
    world.settle()
    world.runtime.becomes["web-gray"] = Phase.FAILED
    target = world.commit(gray(25))
    world.look()
    world.turn(12)
    assert world.weights == {"web": 100}
    assert world.verdict(target).state is State.FAILED


def test_a_promotion_never_sends_requests_back_to_the_old_version(world: World) -> None:
    world.settle()
    world.commit(gray(50))
    world.settle()
    world.runtime.becomes["web"] = Phase.STARTING
    target = world.commit(V2)
    world.look()
    world.turn(4)
    assert world.weights == {"web": 50, "web-gray": 50}
    world.runtime.becomes["web"] = Phase.READY
    world.turn(6)
    assert world.weights == {"web": 100}
    assert world.verdict(target).state is State.SUCCEEDED
    assert world.running() == ["web ready"]


def test_a_rollback_takes_the_traffic_away_at_once(world: World) -> None:
    world.settle()
    world.commit(gray(50))
    world.settle()
    target = world.commit(V1)
    world.look()
    world.turn()
    assert world.weights == {"web": 100}
    world.turn(3)
    assert world.running() == ["web ready"]
    assert world.verdict(target).state is State.SUCCEEDED


def test_a_router_that_fails_holds_everything_back_and_is_tried_again(world: World) -> None:
    class Broken(FakeRouter):
        broken = True

        def apply(self, routes: Collection[Route]) -> None:
            if self.broken:
                raise Unreachable("the proxy is gone")
            super().apply(tuple(routes))

    world.router = router = Broken()
    world.restart()
    world.settle()
    found = world.verdict(world.iac.tip())
    assert found.state is State.PROGRESSING
    assert "the proxy is gone" in found.evidence
    router.broken = False
    world.turn(2)
    assert world.verdict(world.iac.tip()).state is State.SUCCEEDED


def test_a_repository_that_does_not_answer_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settle()

    def gone() -> str:
        raise Unreachable("no route to host")

    monkeypatch.setattr(world.iac, "tip", gone)
    world.look()
    world.turn()
    assert world.status["trouble"] == ["no route to host"]
    assert world.said[-1].endswith("is live; no route to host")
    assert world.running() == ["web ready"]
    monkeypatch.undo()
    world.look()
    world.turn()
    assert world.status["trouble"] == []


@pytest.mark.parametrize("turns", range(8))
def test_an_engine_killed_at_any_turn_is_followed_by_one_that_gets_there(tmp_path: Path, turns: int) -> None:
    world = World(tmp_path)
    world.settle()
    world.commit(gray(50))
    world.look()
    world.turn(turns)
    world.restart()
    world.settle()
    assert world.weights == {"web": 50, "web-gray": 50}
    target = world.commit(V2)
    world.look()
    world.turn(turns)
    world.restart()
    for _ in range(8):
        world.turn()
        assert world.weights in ({"web": 50, "web-gray": 50}, {"web": 100})
        world.look()
    assert world.weights == {"web": 100}
    assert world.verdict(target).state is State.SUCCEEDED
    assert world.running() == ["web ready"]


def test_the_next_engine_keeps_routes_and_instances_without_a_break(world: World) -> None:
    world.settle()
    routes, instances = world.router.routes, dict(world.runtime.instances)
    world.restart()
    world.turn()
    assert (world.router.routes, world.runtime.instances) == (routes, instances)
    assert world.status["revision"]["live"] == world.iac.tip()


def test_images_are_collected_once_nothing_old_is_needed(world: World) -> None:
    world.settle()
    assert world.runtime.collected == [frozenset({"v1"})]
    world.commit(gray(10))
    world.settle()
    world.commit(V2)
    world.settle()
    assert world.runtime.collected == [frozenset({"v1"}), frozenset({"v1", "v2"}), frozenset({"v2"})]


def test_an_entrance_without_an_address_gets_one_and_keeps_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.iac.commit({"app.yaml": APP.replace('listen: "127.0.0.1:9000"', "path: /")}, "x", world.iac.tip())
    world.settle()
    assert world.router.routes[0].listen == "127.0.0.1:9999"


def test_every_change_is_told_once(world: World) -> None:
    world.settle()
    world.turn(5)
    assert len(world.said) == len(set(world.said))
    assert world.said[-1].startswith("shop-production: synced, healthy: ")


def test_an_engine_that_just_started_is_not_asked_in_vain(world: World) -> None:
    with pytest.raises(Unreachable, match="just started"):
        world.engine.status("shop-production")


def test_a_defect_in_the_watcher_ends_the_engine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(world.iac, "tip", broken)
    with pytest.raises(ZeroDivisionError):
        world.engine.run()


DATABASE = """\
app: shop
components:
  web: {ports: {http: 8080}, env: {PATH_TO_DATA: "${resources.data.path}"}}
resources:
  data: {type: sqlite}
"""


def test_what_needs_a_resource_waits_until_it_serves(world: World) -> None:
    world.resources.states["shop-data"] = HostedState(ready=False, usable=False, message="starting")
    target = world.commit(DATABASE, "app.yaml")
    world.settle()
    assert world.running() == []
    assert world.verdict(target).state is State.PROGRESSING
    assert world.status["message"] == "shop-data: starting"
    world.resources.states.clear()
    world.turn(8)
    assert world.running() == ["web ready"]
    assert world.verdict(target).state is State.SUCCEEDED


def test_a_resource_that_cannot_run_fails_the_delivery_with_its_reason(world: World) -> None:
    message = "redis-server is not installed on this machine"
    world.resources.states["shop-data"] = HostedState(
        ready=False, usable=False, message=message, failed=True, evidence=("a line of its log",)
    )
    target = world.commit(DATABASE, "app.yaml")
    world.settle()
    said = world.verdict(target)
    assert said.state is State.FAILED
    assert f"resource shop-data {message}" in said.reason
    assert "    a line of its log" in said.evidence


def test_a_workload_is_healed_while_its_resource_starts_again(world: World) -> None:
    world.commit(DATABASE, "app.yaml")
    world.settle()
    world.resources.states["shop-data"] = HostedState(ready=False, usable=True, message="starting")
    name = next(iter(world.runtime.instances))
    world.runtime.instances[name] = replace(world.runtime.instances[name], phase=Phase.FAILED)
    world.turn(4)
    assert world.running() == ["web ready"]
    assert world.status["health"] == "progressing"


def test_a_resource_ends_after_what_used_it(world: World) -> None:
    world.commit(DATABASE, "app.yaml")
    world.settle()
    world.commit(APP, "app.yaml")
    world.look()
    world.turn()
    assert list(world.resources.hosted) == [("shop-production", "shop-data")]
    world.turn(8)
    assert list(world.resources.hosted) == []
