"""A change goes through a fleet in waves, and back again where pipelines suffer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.core.errors import UsageError
from pipegraft.core.ports import FakeClock, RecordingProgress
from pipegraft.fleet.ports import FakeForge, ForgeProject, PipelineRun, Proposal
from pipegraft.fleet.usecases.edits import Edit, Reader
from pipegraft.fleet.usecases.projects import Campaign
from pipegraft.fleet.usecases.waves import RollOut, Watch, roll_out
from pipegraft.fleet.waves import Tally, compare, in_order, parse_steps, wave_sizes

STEPS = (0.1, 0.5, 1.0)


def raise_pin(reader: Reader) -> Edit:
    text = reader.read("pin")
    if text is None:
        return Edit(skipped="it has no pin")
    return Edit() if text == "v2" else Edit({"pin": "v2"}, {"pin": text})


class World:
    """Ten projects that pin v1, whose pipelines pass; what is proposed is merged at once, unless held up."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.forge = FakeForge({f"p{n}": {"pin": "v1"} for n in range(10)} | {"docs": {}})
        self.campaign = Campaign("up-v2", "Take v2", "Better.", raise_pin, auto_merge=True)
        self.passes: Callable[[str, bool], bool] = lambda _path, _has_it: True
        self.merges = True
        for project in self.forge.projects():
            self.forge.history[project.id] = [PipelineRun(float(n), True) for n in range(-20, 0)]

    def happen(self) -> None:
        """A minute of everybody's life."""
        for project in self.forge.projects():
            for branch in ("up-v2", "up-v2-revert"):
                held = self.forge.opened.get((project.id, branch))
                if held and held.state == "opened" and self.merges:
                    self.forge.merge(project, branch, self.clock.now())
            has_it = self.forge.files[project.path].get("pin") == "v2"
            run = PipelineRun(self.clock.now() + 1, self.passes(project.path, has_it))
            self.forge.history[project.id].append(run)

    def roll(self, wait: float = 0.0, **watch: float) -> RollOut:
        clock = self.clock

        class Clock(FakeClock):
            def now(self) -> float:
                return clock.now()

            def sleep(_self, seconds: float) -> None:  # noqa: N805
                clock.sleep(seconds)
                self.happen()

        return roll_out(
            self.forge,
            self.campaign,
            Watch(STEPS, wait, **watch),  # type: ignore[arg-type]
            projects=self.forge.projects(),
            clock=Clock(),
            progress=RecordingProgress(),
        )

    @property
    def having(self) -> int:
        return sum(texts.get("pin") == "v2" for texts in self.forge.files.values())


@pytest.fixture
def world() -> World:
    return World()


def test_a_harmless_change_reaches_everybody_wave_by_wave(world: World) -> None:
    seen = []
    for _ in range(12):
        found = world.roll()
        world.happen()
        seen.append(world.having)
        if found.state == "done":
            break
    assert found.state == "done"
    assert (found.wave, found.waves) == (3, 3)
    assert list(dict.fromkeys(seen)) == [1, 5, 10]
    assert not any(branch.endswith("revert") for _, branch in world.forge.opened)


def test_one_process_may_wait_for_all_of_it(world: World) -> None:
    assert world.roll(wait=3600).state == "done"
    assert world.having == 10


def test_a_merge_that_is_refused_at_first_is_asked_for_until_it_is_taken(world: World) -> None:
    real = world.forge.merge_when_ready

    def refuses_for_ten_minutes(project: ForgeProject, proposal: Proposal) -> None:
        if world.clock.now() - started > 600:
            real(project, proposal)
            world.merges = True

    world.merges, started = False, world.clock.now()
    world.forge.merge_when_ready = refuses_for_ten_minutes  # type: ignore[method-assign]
    assert world.roll(wait=3600).state == "done"


def test_a_harmful_change_is_taken_back_after_the_first_wave(world: World) -> None:
    world.passes = lambda _path, has_it: not has_it
    found = world.roll(wait=3600, min_runs=3)
    assert (found.state, found.wave) == ("reverted", 1)
    assert "pipelines fail more often" in found.note
    assert len(found.reverts) == 1
    world.happen()
    assert world.having == 0
    again = world.roll(wait=3600)
    assert again.state == "reverted"
    assert world.having == 0
    assert {branch for _, branch in world.forge.opened} == {"up-v2", "up-v2-revert"}


def test_what_breaks_everybody_is_not_the_changes_fault(world: World) -> None:
    assert world.roll().state == "waiting"
    world.happen()
    world.passes = lambda _path, _has_it: False
    for _ in range(5):
        world.happen()
    assert world.roll(min_runs=50).state == "waiting"
    assert world.having == 1


def test_a_run_that_died_while_taking_back_is_completed(world: World) -> None:
    for _ in range(2):
        world.roll()
        world.happen()
    assert world.having == 5
    world.passes = lambda _path, has_it: not has_it
    for _ in range(4):
        world.happen()
    real, calls = world.forge.revert, []

    def dying(*arguments: object) -> object:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    world.forge.revert = dying  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        world.roll()
    world.forge.revert = real  # type: ignore[method-assign]
    assert world.roll().state == "reverted"
    world.happen()
    assert world.having == 0


def test_what_is_still_open_when_it_is_taken_back_is_closed(world: World) -> None:
    """It was asked to merge itself: left open, a harmful change would still arrive."""
    world.roll()
    world.happen()
    world.merges = False
    world.roll()  # the second wave is open
    assert sum(one.state == "opened" for one in world.forge.opened.values()) == 4
    world.passes = lambda _path, has_it: not has_it
    for _ in range(4):
        world.happen()
    assert world.roll().state == "reverted"
    opened = {branch for (_, branch), one in world.forge.opened.items() if one.state == "opened"}
    assert opened == {"up-v2-revert"}
    world.merges = True
    world.happen()
    assert world.having == 0


def test_one_that_cannot_be_undone_stops_no_other(world: World) -> None:
    for _ in range(2):
        world.roll()
        world.happen()
    world.passes = lambda _path, has_it: not has_it
    for _ in range(4):
        world.happen()
    real, refused = world.forge.revert, []

    def conflicting(project: ForgeProject, *arguments: object) -> object:
        if not refused:
            refused.append(project.path)
            raise UsageError("it cannot be undone by itself")
        return real(project, *arguments)  # type: ignore[arg-type]

    world.forge.revert = conflicting  # type: ignore[method-assign,assignment]
    found = world.roll()
    assert (found.state, len(found.reverts)) == ("reverted", 4)
    world.happen()
    assert [path for path, texts in world.forge.files.items() if texts.get("pin") == "v2"] == refused


def test_nothing_goes_on_while_a_request_is_open(world: World) -> None:
    world.merges = False
    for _ in range(5):
        found = world.roll()
        world.happen()
    assert (found.state, found.wave) == ("waiting", 1)
    assert "1 of 1 projects do not have it yet" in found.note
    assert len(world.forge.opened) == 1


def test_a_project_that_declined_holds_up_nobody(world: World) -> None:
    world.merges = False
    world.roll()
    ((number, branch),) = world.forge.opened
    project = next(one for one in world.forge.projects() if one.id == number)
    world.forge.close(project, branch)
    world.merges = True
    assert world.roll(wait=3600).state == "done"
    assert world.having == 9


def test_projects_that_never_had_a_pipeline_hold_up_nobody(world: World) -> None:
    world.forge.history = {}
    for _ in range(4):
        found = world.roll()
        for project in world.forge.projects():
            for branch in ("up-v2",):
                held = world.forge.opened.get((project.id, branch))
                if held and held.state == "opened":
                    world.forge.merge(project, branch, world.clock.now())
    assert found.state == "done"
    assert world.having == 10


def test_a_fleet_without_anybody_concerned_is_done(world: World) -> None:
    world.forge.files = {path: {} for path in world.forge.files}
    assert world.roll().note == "no project is concerned"


@pytest.mark.parametrize("text", ["", "10%", "50%,10%,100%", "0%,100%", "10,100", "10%,100%,100%", "x%"])
def test_steps_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="rising shares of the fleet that end at 100%"):
        parse_steps(text)


@given(st.integers(1, 2000), st.lists(st.floats(0.001, 0.999), max_size=6, unique=True))
def test_waves_grow_and_reach_everybody(projects: int, shares: list[float]) -> None:
    sizes = wave_sizes(projects, (*sorted(shares), 1.0))
    assert list(sizes) == sorted(set(sizes))
    assert (sizes[0] >= 1, sizes[-1]) == (True, projects)


def test_the_order_is_the_same_each_time_and_another_for_each_change() -> None:
    projects = [ForgeProject(n, f"p{n}", "main") for n in range(50)]
    assert in_order(projects, "a") == in_order(list(reversed(projects)), "a")
    assert in_order(projects, "a") != in_order(projects, "b")


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 10))
def test_without_more_failures_nothing_is_worse(passed: int, failed: int, since: int) -> None:
    assert not compare(Tally(passed, failed), Tally(since, 0), Tally(), 0.05).worse


def test_a_harmless_change_is_rarely_found_harmful() -> None:
    """At a true failure rate of 20%, looked at after each of 40 pipelines: at most alpha of fleets."""
    import random

    draws = random.Random(7)
    wrong = 0
    for _ in range(2000):
        before = Tally()
        for _ in range(40):
            before += Tally(0, 1) if draws.random() < 0.2 else Tally(1, 0)
        since = Tally()
        for _ in range(40):
            since += Tally(0, 1) if draws.random() < 0.2 else Tally(1, 0)
            if compare(before, since, Tally(), 0.05).worse:
                wrong += 1
                break
    assert wrong / 2000 <= 0.05
