"""The engine's loop with a repository, a runtime and a router in memory, turn by turn."""

from __future__ import annotations

import errno
import gc
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.resource_ports import FakeResourceHost, HostedState
from pipegraft.appspec.resource_providers import LOCAL
from pipegraft.appspec.runtime_support import PROCESS
from pipegraft.appspec.spec import resolve
from pipegraft.appspec.traffic_ports import FakeRouter, Route
from pipegraft.core.errors import PipegraftError, Unreachable
from pipegraft.core.ports import FakeClock
from pipegraft.engine.adapters.gitops import verdict
from pipegraft.engine.adapters.server import Push
from pipegraft.engine.ports import FakeRuntime, Phase, Workload
from pipegraft.engine.usecases.application import Place, Source, States
from pipegraft.engine.usecases.instances import Entrances, Fetcher, InstanceOperator
from pipegraft.engine.usecases.loop import Engine
from pipegraft.engine.workloads import plan_of
from pipegraft.gate.ports import State, Verdict
from pipegraft.iac.ports import FakeIacRepository

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


def at_once(work: Callable[[Workload], None], workload: Workload) -> Future[None]:
    """Does it before anybody can wait for it."""
    future: Future[None] = Future()
    try:
        future.set_result(work(workload))
    except PipegraftError as error:
        future.set_exception(error)
    return future


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
        self.operator = InstanceOperator(
            runtime=self.runtime,
            support=PROCESS,
            router=self.router,
            clock=self.clock,
            entrances=Entrances(self.folder / "entrances.json", lambda _taken: 9999),
            fetcher=Fetcher(self.runtime.prepare, at_once),
            resources=self.resources,
            platform=Platform(lambda: {LOCAL.name: LOCAL}, "oam"),
            report=self.said.append,
        )
        self.engine = Engine(
            self.sources(), self.operator, States(self.folder / "applications"), report=self.said.append
        )

    def sources(self) -> list[Source]:
        place = Place("shop-iac (main)", "", "production")
        return [Source("shop-iac", "main", self.iac, (place,))]

    def commit(self, environment: str, path: str = PATH) -> str:
        return self.iac.commit({path: environment}, "change", self.iac.tip())

    def look(self) -> None:
        for watcher in self.engine.watchers:
            self.engine.take(watcher.look())

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


def test_fresh_pods_of_stable_run_beside_gray_with_the_same_weight(world: World) -> None:
    world.commit(V1)
    world.settle()
    world.commit(gray(25).replace("  weight:", "  baseline: true\n  weight:"))
    world.settle()
    world.turn(4)
    assert world.weights == {"web": 50, "web-gray": 25, "web-baseline": 25}
    assert sorted(world.running()) == ["web ready", "web-baseline ready", "web-gray ready"]
    world.commit(V1)
    world.settle()
    world.turn(8)
    assert world.weights == {"web": 100}
    assert world.running() == ["web ready"]


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
    assert world.said[-2].startswith("shop-production: synced, healthy: ")
    assert world.said[-1] == f"shop-production: web answers at {world.status['entrances']['web']}"


def test_an_engine_that_just_started_is_not_asked_in_vain(world: World) -> None:
    with pytest.raises(Unreachable, match="just started"):
        world.engine.status("shop-production")


def test_a_defect_in_the_watcher_ends_the_engine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(world.iac, "tip", broken)
    with pytest.raises(ZeroDivisionError):
        world.engine.run()


# Several applications


class Two(World):
    """Two applications in two repositories, and one of them has two environments in a folder."""

    def __init__(self, folder: Path) -> None:
        mine = V1.replace("v1", "t1")
        other = {"app.yaml": APP.replace("shop", "till"), PATH: mine, "environments/staging.yaml": mine}
        self.till = FakeIacRepository({f"apps/till/{path}": text for path, text in other.items()})
        super().__init__(folder)

    def sources(self) -> list[Source]:
        name = "till-iac (main)"
        places = tuple(Place(name, "apps/till", one) for one in ("production", "staging"))
        return [*super().sources(), Source("https://x/till.git", "main", self.till, places)]


def test_several_applications_live_side_by_side(tmp_path: Path) -> None:
    world = Two(tmp_path)
    world.settle()
    assert world.engine.names() == ["shop-production", "till-production", "till-staging"]
    assert {one.application for one in world.runtime.instances.values()} == set(world.engine.names())
    assert world.status["revision"]["live"] == world.iac.tip()
    assert world.engine.status("till-staging")["revision"]["live"] == world.till.tip()


def test_what_breaks_in_one_application_does_not_touch_the_others(tmp_path: Path) -> None:
    world = Two(tmp_path)
    world.settle()
    world.till.commit({"apps/till/app.yaml": "app: [\n"}, "broken", world.till.tip())
    target = world.commit(V2)
    world.settle()
    assert world.verdict(target).state is State.SUCCEEDED
    assert world.engine.status("till-production")["sync"] == "refused"
    assert len(world.runtime.instances) == 3


def test_a_name_that_is_taken_is_refused_and_told(tmp_path: Path) -> None:
    world = Two(tmp_path)
    world.settle()
    text = (world.till.read("apps/till/app.yaml", world.till.tip()) or "").replace("till", "shop")
    world.till.commit({"apps/till/app.yaml": text}, "rename", world.till.tip())
    world.settle()
    status = world.engine.status("till-production")
    assert (
        "'shop-production' is declared by environments/production.yaml of shop-iac" in status["problems"][0]
    )
    assert world.status["health"] == "healthy"
    assert "till-production" in {one.application for one in world.runtime.instances.values()}


def test_an_application_that_is_no_longer_named_is_ended(tmp_path: Path) -> None:
    world = Two(tmp_path)
    world.settle()
    world.sources = lambda: World.sources(world)  # type: ignore[method-assign]
    world.restart()
    world.turn()
    world.settle()
    assert {one.application for one in world.runtime.instances.values()} == {"shop-production"}


def test_a_push_has_its_repository_looked_at_and_no_other(tmp_path: Path) -> None:
    world = Two(tmp_path)
    assert world.engine.sync(Push(("git@x:till.git",), "main")) == ["https://x/till.git (main)"]
    assert world.engine.sync(Push(("git@x:till.git",), "other")) == []
    assert len(world.engine.sync()) == 2


def test_images_that_are_on_their_way_hold_nothing_else_up(tmp_path: Path) -> None:
    world = Two(tmp_path)
    waiting: list[Future[None]] = []

    def later(work: Callable[[Workload], None], workload: Workload) -> Future[None]:
        if not workload.application.startswith("shop"):
            return at_once(work, workload)
        waiting.append(Future())
        return waiting[-1]

    world.operator._fetcher = Fetcher(world.runtime.prepare, later)
    world.settle()
    assert world.engine.status("till-staging")["sync"] == "synced"
    assert world.status["resources"][0]["message"] == "0 of 1 ready; fetching images"
    assert len(waiting) == 1
    waiting[0].set_exception(Unreachable("the registry does not answer"))
    world.turn(2)
    assert "the registry does not answer" in world.status["message"]
    waiting[1].set_result(None)
    world.turn(4)
    assert world.status["sync"] == "synced"


def test_a_runtime_that_does_not_answer_is_told_and_nothing_is_decided(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settle()
    routes = world.router.routes

    def gone() -> None:
        raise Unreachable("the Docker engine cannot be used")

    monkeypatch.setattr(world.runtime, "observe", gone)
    world.turn()
    assert world.status["trouble"] == ["the Docker engine cannot be used"]
    assert world.status["health"] == "progressing"
    monkeypatch.undo()
    world.turn()
    assert world.router.routes == routes
    assert world.status["health"] == "healthy"
    assert world.running() == ["web ready"]


FULL = [
    "the state cannot be written: No space left on device\n"
    "    fix: free some space; what runs goes on, and writing is tried again"
]


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["states", "router", "images"])
def test_a_full_disk_stops_nothing_that_runs_and_is_over_once_there_is_space(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    world.settle()
    target = world.commit(V2)
    if where == "states":
        monkeypatch.setattr(States, "save", no_space)
    elif where == "router":
        monkeypatch.setattr(world.router, "apply", no_space)
    else:
        monkeypatch.setattr(world.runtime, "start", no_space)
    world.look()
    world.turn(4)
    if where == "images":
        assert "No space left on device" in world.status["message"]
    else:
        assert world.status["trouble"] == FULL
    assert world.running()[0] == "web ready"
    monkeypatch.undo()
    world.turn(12)
    assert world.status["trouble"] == []
    assert world.status["revision"]["live"] == target
    world.restart()
    world.turn()
    assert world.status["revision"]["live"] == target, "what could not be saved was saved later"


def test_an_error_that_is_not_of_the_disk_is_a_defect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_routes: object) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    world.settle()
    monkeypatch.setattr(world.router, "apply", missing)
    with pytest.raises(FileNotFoundError):
        world.turn()


def test_what_has_no_effect_here_is_noted(world: World) -> None:
    world.commit("components: {web: {image: v1, cpu: 500m}}\n")
    world.settle()
    assert world.status["notes"] == ["'cpu' of component 'web' has no effect here: a process has no limits"]


def test_what_this_runtime_cannot_honour_is_refused(world: World) -> None:
    app = f"{APP}  rules: {{intimacy: in-process, mount: /rules, attach: image-volume, image: v1}}\n"
    world.iac.commit({"app.yaml": app}, "rules", world.iac.tip())
    world.settle()
    world.commit("components: {web: {image: v2}, rules: {image: v2, attach: init-container}}\n")
    world.settle()
    wanted = "the runtime 'process' cannot honour 'attach: init-container' of component 'rules'"
    assert wanted in world.status["problems"][0]
    assert world.running() == ["web ready"]


# kill -9 wherever it may come


class Killed(BaseException):
    """The engine is killed."""


class Counting:
    """Kills the engine right before or right after the call of a given number."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left, self._after = at, after

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self._after:
                raise Killed
            answer = call(*args, **kwargs)
            if self.left == 0 and self._after:
                raise Killed
            return answer

        return counted


CHANGES = {
    "v1": V1,
    "v2": V2,
    "gray 0": gray(0),
    "gray 50": gray(50),
    "gray v1": gray(50, "v1"),
    "two": V1.replace("v1}", "v1, replicas: 2}"),
    "surge": V1.replace("v1}", "v1, replicas: 3, update: {surge: 1, unavailable: 1}}"),
    "missing": V2.replace("v2}", "v2, replicas: 2, update: {surge: 0, unavailable: 50%}}"),
    "refused": "components: {wbe: {}}\n",
}


@settings(max_examples=20, deadline=None)
@given(
    changes=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4),
    kills=st.lists(st.tuples(st.integers(1, 25), st.booleans()), max_size=3),
)
def test_however_often_it_is_killed_it_ends_where_it_should(
    changes: list[str], kills: list[tuple[int, bool]]
) -> None:
    """Whatever is declared, wherever it dies: the last good spec runs, nothing else does, nothing twice."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.settle()
        good = V1
        for change in changes:
            world.commit(CHANGES[change])
            good = good if change == "refused" else CHANGES[change]
            for at, after in kills:
                _work_until_killed(world, Counting(at, after=after))
                world.restart()
            for _ in range(18):
                world.look()
                world.turn()
                assert _serves(world), "somebody serves at all times"
        _assert_exactly(world, good, refused=changes[-1] == "refused")


def _work_until_killed(world: World, counting: Counting) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (world.runtime, "start"),
            (world.runtime, "stop"),
            (world.router, "apply"),
            (world.engine._states, "save"),
        ):
            patch.setattr(owner, name, counting.around(getattr(owner, name)))
        with suppress(Killed):
            for _ in range(12):
                world.look()
                world.turn()


def _serves(world: World) -> bool:
    ready = {one.workload for one in world.runtime.instances.values() if one.phase is Phase.READY}
    return any(weight and name in ready for name, weight in world.weights.items())


def _assert_exactly(world: World, good: str, *, refused: bool) -> None:
    resolved = resolve(APP, good, "production")
    wanted = Counter(
        {one.template: one.replicas for one in plan_of(resolved, PROCESS).workloads if one.replicas}
    )
    assert Counter(one.template for one in world.runtime.instances.values()) == wanted
    assert all(one.phase is Phase.READY for one in world.runtime.instances.values())
    assert world.status["sync"] == ("refused" if refused else "synced")
    assert world.status["health"] == "healthy"


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


def test_thousands_of_turns_hold_no_more_memory_descriptors_or_threads_than_a_few(world: World) -> None:
    world.settle()
    world.turn(50)

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208 - itself open

    def blocks() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    for _ in range(2):
        world.commit(V1)
        world.look()
        world.turn(100)
    before, memory = held(), blocks()
    for _ in range(20):
        world.commit(V1)
        world.look()
        world.turn(100)
    assert held() == before
    assert blocks() - memory < 5_000  # 2,000 turns: what grew with each would be more
