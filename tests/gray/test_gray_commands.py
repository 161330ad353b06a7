"""What people tell a gray release: each word a commit, and nothing where it makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from gray_world import NEW, NEWER, PRODUCTION, STABLE, World

from pipegraft.app.gray import GrayStatus, gray_status, tell_gray
from pipegraft.appspec.environment_file import images_of, read_environment
from pipegraft.core.errors import Held, RolledBack, UsageError
from pipegraft.core.plugins import Plugins
from pipegraft.core.stage import Project
from pipegraft.gray.judgement import Answer
from pipegraft.gray.machine import Command
from pipegraft.gray.ports import FakeJudge


def project(world: World) -> Project:
    return Project(Path(), world.delivery, Plugins((), ()))


def tell(world: World, word: Command, by: str = "ann: because") -> GrayStatus:
    connections = world.context().connections
    return tell_gray(project(world), None, word, by, connections=connections)


def status(world: World, environment: str | None = None) -> GrayStatus:
    return gray_status(project(world), environment, world.context().connections)


def at(weight: int, phase: str = "step") -> World:
    world = World()
    world.prepare()
    world.write(world.text.replace("weight: 0\n  phase: step", f"weight: {weight}\n  phase: {phase}"))
    return world


def test_an_abort_restores_the_file_and_the_stage_says_who_did_it() -> None:
    world = at(50)
    assert tell(world, "abort").standing.kind == "absent"
    assert world.text == STABLE
    with pytest.raises(RolledBack, match="aborted by ann: because"):
        world.release()


def test_an_abort_after_promotion_restores_the_file_too() -> None:
    world = World()
    world.prepare()
    world.release()
    tell(world, "abort")
    assert world.text == STABLE
    assert world.steps[-2:] == ["promote", "rollback"]


def test_an_abort_after_promotion_keeps_what_others_changed() -> None:
    world = World()
    world.prepare()
    world.release()
    world.write(world.text.replace("replicas: 2", "replicas: 7"))
    tell(world, "abort")
    assert world.text == STABLE.replace("replicas: 2", "replicas: 7")


def test_an_abort_said_twice_or_too_late_leaves_the_release_before_it_alone() -> None:
    world = World()
    world.prepare()
    world.release()
    world.prepare(14, NEWER)
    tell(world, "abort")
    served = world.text
    assert NEW in served
    with pytest.raises(UsageError, match="the newest release was taken back already") as refused:
        tell(world, "abort")
    assert "--to" in (refused.value.problem.fix or "")
    assert world.text == served


def test_a_pause_is_approved_at_the_same_weight() -> None:
    world = at(10)
    tell(world, "pause")
    assert "weight: 10\n  phase: paused" in world.text
    tell(world, "approve")
    assert "weight: 10\n  phase: step" in world.text
    assert world.steps == ["prepare", "pause", "resume"]


def test_a_held_step_is_approved_to_the_next_weight() -> None:
    world = at(10, "held")
    tell(world, "approve")
    assert "weight: 50\n  phase: step" in world.text


def test_skipping_the_last_step_begins_the_promotion_which_the_stage_ends() -> None:
    world = at(10)
    tell(world, "skip")
    tell(world, "skip")
    assert world.steps == ["prepare", "2/2 weight=50", "take-over"]
    words: tuple[Command, ...] = ("skip", "pause", "approve")
    for word in words:
        with pytest.raises(UsageError, match="being promoted"):
            tell(world, word)
    assert world.release().outcome == "promoted"
    assert world.steps[2:] == ["take-over", "promote"]
    assert NEW in world.text


def test_a_promotion_that_is_under_way_is_taken_back_to_the_byte() -> None:
    world = at(50)
    tell(world, "skip")
    assert images_of(read_environment(world.text, PRODUCTION)) == {"web": NEW}
    tell(world, "abort")
    assert world.text == STABLE


@pytest.mark.parametrize(
    ("world", "word", "message"),
    [
        (World(), "approve", "the release is promoted"),
        (World(), "pause", "the release is promoted"),
        (at(10), "approve", "nothing waits for approval"),
        (at(10, "paused"), "pause", "the release is paused already"),
        (World(), "abort", "cannot be taken back"),
        (World(""), "abort", "nothing was released in production yet"),
    ],
)
def test_words_that_make_no_sense_write_nothing(world: World, word: Command, message: str) -> None:
    before = world.branch.tip()
    with pytest.raises(UsageError, match=message):
        tell(world, word)
    assert world.branch.tip() == before


def test_a_running_stage_hears_a_pause_and_an_approval() -> None:
    world = World(interval="60s")
    world.prepare()
    world.judge = FakeJudge(Answer.INCONCLUSIVE)
    said: list[Command] = ["pause", "approve", "skip", "skip"]
    slept = world.clock.sleep

    def sleep(seconds: float) -> None:
        slept(seconds)
        if "gray:" in world.text and "weight: 0" not in world.text and said:
            tell_gray(project(world), None, said.pop(0), "ann", connections=world.connections)

    world.clock.sleep = sleep  # type: ignore[method-assign]
    assert world.release().outcome == "promoted"
    assert world.steps == [
        "prepare", "1/2 weight=10", "pause", "resume", "2/2 weight=50", "take-over", "promote"
    ]  # fmt: skip


def test_a_held_release_goes_on_in_the_next_run_once_approved() -> None:
    world = at(50, "held")
    with pytest.raises(Held):
        world.release()
    tell(world, "approve")
    assert world.release().outcome == "promoted"


def test_the_status_tells_the_story() -> None:
    world = World()
    world.prepare()
    world.release(no_wait=True)
    found = status(world)
    assert (found.number, found.standing.kind, found.standing.weight) == (13, "gray", 10)
    data = found.to_json()
    assert [one["trailers"]["Pipegraft-Step"] for one in data["commits"]] == ["1/2 weight=10", "prepare"]
    assert data["path"] == PRODUCTION


def test_an_environment_without_gray_releases_is_said() -> None:
    with pytest.raises(UsageError, match="declares no gray releases; those that do: production"):
        status(World(), "staging")
