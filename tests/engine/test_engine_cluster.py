"""The engine over a cluster in memory: when a revision is live, what is deleted and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.resource_providers import LOCAL
from pipegraft.core.errors import Unreachable
from pipegraft.engine.adapters.gitops import verdict
from pipegraft.engine.usecases.application import Place, Source, States
from pipegraft.engine.usecases.cluster import ClusterOperator
from pipegraft.engine.usecases.loop import Engine
from pipegraft.engine.usecases.status import Outcome
from pipegraft.gate.ports import Resource, State, Verdict
from pipegraft.iac.ports import FakeIacRepository

APP = "app: shop\ncomponents:\n  web: {ports: {http: 8080}}\n  till: {}\n"
PATH = "environments/production.yaml"


def there(web: str, till: str | None = "v1") -> str:
    return f"components: {{web: {{image: {web}}}" + (f", till: {{image: {till}}}}}\n" if till else "}\n")


class Objects:
    """What a cluster has of one application."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.state = State.PROGRESSING
        self.refused: list[str] = []
        self.applied = 0
        self.gone = False

    def apply(self, objects: Sequence[Mapping[str, Any]]) -> list[str]:
        if self.gone:
            raise Unreachable("the Kubernetes API does not answer")
        self.applied += 1
        self.names |= {f"{item['kind']} {item['metadata']['name']}" for item in objects}
        return self.refused

    def health(self, objects: Sequence[Mapping[str, Any]]) -> Verdict:
        rows = (Resource("Deployment shop/web", self.state, "2 of 3 ready"),)
        return Verdict(self.state, "Deployment web: 2 of 3 ready", ("a pod's reason",), rows)

    def prune(self, objects: Sequence[Mapping[str, Any]]) -> list[str]:
        kept = {f"{item['kind']} {item['metadata']['name']}" for item in objects}
        gone = sorted(self.names - kept)
        self.names &= kept
        return gone


def at_once(work: Callable[[], Outcome]) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(work())
    return future


class World:
    def __init__(self, folder: Path) -> None:
        self.iac = FakeIacRepository({"app.yaml": APP, PATH: there("v1")})
        self.objects = Objects()
        self.said: list[str] = []
        self.time = 0.0
        self.operator = ClusterOperator(
            lambda _application, _namespace: self.objects,
            at_once,
            Platform(lambda: {LOCAL.name: LOCAL}, "kubernetes"),
            report=self.said.append,
            clock=lambda: self.time,
        )
        place = Place("shop-iac (main)", "", "production")
        source = Source("shop-iac", "main", self.iac, (place,))
        self.engine = Engine([source], self.operator, States(folder), report=self.said.append)

    def commit(self, text: str, path: str = PATH) -> str:
        return self.iac.commit({path: text}, "change", self.iac.tip())

    def turn(self, times: int = 3) -> None:
        for watcher in self.engine.watchers:
            self.engine.take(watcher.look())
        for _ in range(times):
            self.engine.turn()

    @property
    def status(self) -> dict[str, Any]:
        return self.engine.status("shop-production")

    def verdict(self, target: str) -> Verdict:
        return verdict(self.status, lambda at: self.iac.contains(target, at))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_revision_is_live_once_the_workloads_run(world: World) -> None:
    world.turn()
    assert world.verdict(world.iac.tip()).state is State.PROGRESSING
    assert world.status["resources"][0]["message"] == "2 of 3 ready"
    world.objects.state = State.SUCCEEDED
    world.operator.changed()
    world.turn()
    assert world.verdict(world.iac.tip()).state is State.SUCCEEDED


def test_nothing_is_deleted_before_everything_runs(world: World) -> None:
    world.objects.state = State.SUCCEEDED
    world.turn()
    world.objects.state = State.PROGRESSING
    world.iac.commit(
        {"app.yaml": APP.replace("  till: {}\n", ""), PATH: there("v2", None)}, "x", world.iac.tip()
    )
    world.turn()
    assert "Deployment till" in world.objects.names
    world.objects.state = State.SUCCEEDED
    world.operator.changed()
    world.turn()
    assert world.objects.names == {"Deployment web", "Service web"}
    assert "shop-production: deleted Deployment till" in world.said
    assert world.status["revision"]["live"] == world.iac.tip()


def test_a_failed_workload_and_a_refused_object_fail_the_delivery(world: World) -> None:
    world.objects.state = State.FAILED
    world.turn()
    found = world.verdict(world.iac.tip())
    assert found.state is State.FAILED
    assert "a pod's reason" in str(found.evidence)
    world.objects.state = State.SUCCEEDED
    world.objects.refused = ["Deployment web: somebody else manages it"]
    world.operator.changed()
    world.turn()
    assert world.verdict(world.iac.tip()).state is State.FAILED
    assert world.status["message"] == "Deployment web: somebody else manages it"
    assert world.status["resources"][-1]["name"] == "Deployment web"


def test_a_cluster_that_does_not_answer_is_told_and_asked_again(world: World) -> None:
    world.objects.state = State.SUCCEEDED
    world.objects.gone = True
    world.turn()
    assert world.status["trouble"] == ["the Kubernetes API does not answer"]
    assert world.status["revision"]["live"] == ""
    world.objects.gone = False
    world.turn()
    assert world.objects.applied == 0, "not at once"
    world.time = 3.0
    world.turn()
    assert world.status["revision"]["live"] == world.iac.tip()


def test_everything_is_applied_again_in_time_and_after_a_change(world: World) -> None:
    world.objects.state = State.SUCCEEDED
    world.turn()
    assert world.objects.applied == 1
    world.operator.changed()
    world.turn()
    assert world.objects.applied == 2
    world.time = 60.0
    world.turn()
    assert world.objects.applied == 3


def test_a_resource_of_this_machine_is_refused(world: World) -> None:
    world.objects.state = State.SUCCEEDED
    world.turn()
    world.commit(APP + "resources:\n  data: {type: sqlite}\n", "app.yaml")
    world.turn()
    assert world.status["sync"] == "refused"
    assert "sqlite" in world.status["problems"][0]
