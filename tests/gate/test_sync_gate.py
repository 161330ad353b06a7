"""The stage: what it records and writes, whichever way it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pipegraft.gray.stage
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import PipegraftError, SyncFailed, Unreachable, UsageError
from pipegraft.core.ports import FakeClock, RecordingProgress
from pipegraft.core.release import (
    EnvironmentRelease,
    FakeReleaseStore,
    GateResult,
    IacCommit,
    Release,
    Source,
)
from pipegraft.core.stage import StageContext
from pipegraft.gate.ports import FakeEngine, Resource, State, Status, Verdict
from pipegraft.gate.stage import SyncGateInputs, run
from pipegraft.iac.ports import FakeIacRepository
from pipegraft.testing.stage_suite import FakeConnections

PATH = "environments/production.yaml"
ROWS = (
    Resource("Deployment shop/web", State.FAILED, "1 of 2"),
    Resource("Service shop/web", State.SUCCEEDED),
)


def mark(number: int) -> str:
    return f"release: {{number: {number}, source: {'a' * 40}}}\n"


def rule(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    state = State(status["state"]) if at_target(status["live"]) else State.PROGRESSING
    return Verdict(state, f"it is {state}", ("why",), ROWS)


class World:
    def __init__(self, root: Path, **gate: Any) -> None:
        self.iac = FakeIacRepository({PATH: mark(6)})
        self.target = self.iac.commit({PATH: mark(7)}, "ours", self.iac.tip())
        self.clock = FakeClock()
        self.root = root
        declared = {"engine": "embedded", "timeout": "30s", **gate}
        self.delivery = Delivery.model_validate(
            {
                "app": "shop",
                "registry": "oci:x",
                "components": {"web": {"path": "web"}},
                "iac": {"repository": "iac"},
                "environments": {"production": {"gate": declared}},
            }
        )
        bumped = IacCommit(commit=self.target, path=PATH, outcome="written")
        self.store = FakeReleaseStore(
            Release(
                app="shop",
                source=Source(commit="a" * 40, number=7),
                environments={"production": EnvironmentRelease(bump=bumped)},
            )
        )

    def run(self, *statuses: Any) -> GateResult:
        """Run the stage; its error goes into `error`."""
        engine = FakeEngine(statuses, self.clock, ["log of pod web-1: boom"])
        settle = self.delivery.environments["production"].gate.settle or 0.0
        connections = FakeConnections(
            branch=self.iac, deployed=engine, rule=rule, settle=settle, listeners=[pipegraft.gray.stage]
        )
        progress = RecordingProgress()
        context = StageContext(
            self.delivery, self.root, "production", connections, self.store, self.clock, progress
        )
        self.error: PipegraftError | None = None
        try:
            run(context, SyncGateInputs())
        except PipegraftError as error:
            self.error = error
        self.said = [event.message for event in progress.events]
        gate = self.store.release.environments["production"].gate
        assert gate is not None
        assert json.loads((self.root / ".pipegraft/sync-gate-production.json").read_text()) == json.loads(
            gate.model_dump_json()
        )
        assert (self.root / ".pipegraft/sync-gate-production.junit.xml").exists()
        return gate


def test_a_success_is_recorded_with_its_phases(tmp_path: Path) -> None:
    world = World(tmp_path, settle="2s")
    gate = world.run({"live": "", "state": "failed"}, {"live": world.target, "state": "succeeded"})
    assert world.error is None
    assert (gate.verdict, gate.evidence) == ("succeeded", "it is succeeded")
    assert gate.phases["ended"] - gate.phases["live"] >= 1.999


def test_a_failure_is_recorded_with_all_that_is_known(tmp_path: Path) -> None:
    world = World(tmp_path)
    gate = world.run({"live": world.target, "state": "failed"})
    assert isinstance(world.error, SyncFailed)
    assert gate.details == ("why", "log of pod web-1: boom")
    assert [(row.name, row.state) for row in gate.resources] == [
        ("Deployment shop/web", "failed"),
        ("Service shop/web", "succeeded"),
    ]


def test_running_out_of_time_is_a_failure(tmp_path: Path) -> None:
    world = World(tmp_path)
    gate = world.run({"live": "", "state": "succeeded"})
    assert isinstance(world.error, SyncFailed)
    assert gate.verdict == "failed"
    assert "was not live within 30 s" in gate.evidence


@pytest.mark.parametrize("error", [UsageError("no application 'shp'"), Unreachable("no route")])
def test_an_engine_that_never_answered_is_recorded_too(tmp_path: Path, error: PipegraftError) -> None:
    world = World(tmp_path)
    gate = world.run(error)
    assert world.error is error
    assert gate.verdict == "failed"
    assert error.problem.message in gate.evidence


def test_a_later_commit_that_takes_the_release_back_fails(tmp_path: Path) -> None:
    world = World(tmp_path)
    later = world.iac.commit({PATH: mark(6)}, "revert", world.target)
    gate = world.run({"live": later, "state": "succeeded"})
    assert isinstance(world.error, SyncFailed)
    assert "takes release 7 back: it has release 6" in gate.evidence


def test_a_person_is_waited_for_where_that_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path, suspended="wait")
    suspended, done = (
        {"live": world.target, "state": "suspended"},
        {"live": world.target, "state": "succeeded"},
    )
    assert world.run(suspended, suspended, done).verdict == "succeeded"
    world = World(tmp_path)
    assert world.run(suspended, done).verdict == "suspended"


def test_without_a_commit_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store.release = world.store.release.model_copy(update={"environments": {}})
    context: Any = SimpleNamespace(require_environment=lambda: "production", releases=world.store)
    with pytest.raises(UsageError, match="no commit for 'production'"):
        run(context, SyncGateInputs())


class GrayWorld(World):
    """A release that iac-bump prepared, with no requests yet."""

    STABLE = f"# ours\n{mark(6)}components: {{}}   # none\n"

    def __init__(self, root: Path, weight: int = 0) -> None:
        super().__init__(root, suspended="fail")
        gray = (
            f"gray:\n  release: {{number: 7, source: {'a' * 40}}}\n  weight: {weight}\n"
            "  phase: step\n  components: {web: {replicas: 2}}\n"
        )
        self.iac = FakeIacRepository({PATH: self.STABLE})
        trailers = {
            "Pipegraft-Environment": "production",
            "Pipegraft-Release": "7",
            "Pipegraft-Step": "prepare",
        }
        said = "prepare\n\n" + "".join(f"{key}: {value}\n" for key, value in trailers.items())
        self.target = self.iac.commit({PATH: self.STABLE + gray}, said, self.iac.tip())
        declared = self.delivery.model_dump()
        declared["environments"]["production"]["gray"] = {"metrics": [{"source": "fake"}]}
        self.delivery = Delivery.model_validate(declared)
        bumped = IacCommit(commit=self.target, path=PATH, outcome="written")
        self.store.release = self.store.release.model_copy(
            update={"environments": {"production": EnvironmentRelease(bump=bumped)}}
        )


@pytest.mark.parametrize("state", ["failed", "progressing"])
def test_a_gray_release_that_fails_before_its_first_request_is_taken_back_to_the_byte(
    tmp_path: Path, state: str
) -> None:
    world = GrayWorld(tmp_path)
    gate = world.run({"live": world.target, "state": state})
    assert isinstance(world.error, SyncFailed)
    assert gate.revision == world.target
    assert world.iac.read(PATH, world.iac.tip()) == world.STABLE
    commit = world.iac.log()[0]
    assert commit.trailers["Pipegraft-Step"] == "rollback"
    assert "the engine did not take it over: " in commit.message
    assert any(f"{commit.id[:12]} takes the release back" in said for said in world.said)


@pytest.mark.parametrize(
    ("weight", "seen"),
    [(10, {"state": "failed"}), (0, {"state": "suspended"}), (0, Unreachable("no route"))],
)
def test_nothing_is_taken_back_that_serves_or_waits_or_that_nobody_refused(
    tmp_path: Path, weight: int, seen: Any
) -> None:
    world = GrayWorld(tmp_path, weight)
    world.run(seen if isinstance(seen, Unreachable) else {"live": world.target, **seen})
    assert world.error
    assert world.iac.tip() == world.target
