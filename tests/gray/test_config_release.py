"""Configuration alone, released like an image: prepared, judged, promoted or taken back to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gray_world import APP, NEW, NEWER, OLD, PRODUCTION, STABLE, World, commit_of

from pipegraft.appspec.environment_file import promote, read_environment
from pipegraft.core.errors import EditRefused, RolledBack, UsageError
from pipegraft.core.release import IacCommit
from pipegraft.gate.ports import State, Verdict
from pipegraft.gray.judgement import Answer
from pipegraft.gray.ports import FakeJudge
from pipegraft.iac.ports import FakeIacRepository
from pipegraft.iac.rollback import RollbackRequest, roll_back
from pipegraft.iac.stage import STAGE

LIMIT = "components.web.env.LIMIT=5"


def prepare(world: World, *config: str, number: int = 13, **inputs: Any) -> IacCommit | None:
    """What `pipegraft gray prepare` runs, in a fresh process."""
    context = world.context(number)
    STAGE.run(context, STAGE.parse_inputs({"config": "\n".join(config), "images": False, **inputs}))
    return world.record.bump


def test_it_is_prepared_at_weight_zero_with_the_images_that_run() -> None:
    world = World()
    done = prepare(world, LIMIT, "components.web.replicas=3")
    assert done == IacCommit(commit=world.branch.tip(), path=PRODUCTION, outcome="written")
    held = read_environment(world.text, PRODUCTION)
    assert held.gray
    assert (held.gray.release.number, held.gray.weight) == (13, 0)
    web = held.gray.components["web"]
    assert (web.image, web.env, web.replicas) == (None, {"LIMIT": "5"}, 3)
    assert world.text.startswith(STABLE)
    commit = world.branch.log()[0]
    assert commit.trailers["Pipegraft-Step"] == "prepare"
    assert commit.trailers["Pipegraft-Release"] == "13"
    assert f"{PRODUCTION}: components.web.env.LIMIT: new → 5\n" in commit.message
    assert f"{PRODUCTION}: components.web.replicas: 2 → 3\n" in commit.message


def test_good_configuration_is_promoted_and_serves_as_part_of_the_file() -> None:
    world = World()
    prepare(world, LIMIT, "components.web.env.TOKEN={secret: shop, key: token}")
    assert world.release().outcome == "promoted"
    held = read_environment(world.text, PRODUCTION)
    assert held.gray is None
    assert held.release
    assert (held.release.number, held.release.source) == (13, commit_of(13))
    web = held.components["web"]
    assert (web.image, web.replicas) == (OLD, 2)
    assert web.env
    assert web.env["LIMIT"] == "5"
    assert web.env["TOKEN"].secret == "shop"
    assert "replicas: 2   # two are enough" in world.text
    assert world.steps == ["prepare", "1/2 weight=10", "2/2 weight=50", "take-over", "promote"]
    assert world.engine.live[-1] == world.text


def test_bad_configuration_is_taken_back_to_the_byte() -> None:
    world = World()
    prepare(world, LIMIT)
    world.judge = FakeJudge(Answer.PASS, Answer.FAIL)
    with pytest.raises(RolledBack, match="release 13 was rolled back"):
        world.release()
    assert world.text == STABLE
    assert world.steps[-1] == "rollback"


def test_configuration_that_does_not_start_is_taken_back_to_the_byte() -> None:
    world = World()
    prepare(world, LIMIT)
    world.engine.verdict = lambda text: Verdict(
        State.FAILED if "LIMIT" in text else State.SUCCEEDED, "exits at once"
    )
    with pytest.raises(RolledBack, match="did not take it over"):
        world.release()
    assert world.text == STABLE


def test_promoted_configuration_is_taken_back_by_hand_to_the_byte() -> None:
    world = World()
    prepare(world, LIMIT)
    world.release()
    done = roll_back(world.branch, RollbackRequest(world.delivery, "production"))
    assert done.written
    assert world.text == STABLE
    with pytest.raises(UsageError, match="expected a number above 13, the newest release in 'production'"):
        prepare(world, LIMIT)
    assert prepare(world, LIMIT, number=14)


def test_a_newer_pipeline_supersedes_it_and_an_older_one_never_overwrites_it() -> None:
    world = World()
    prepare(world, LIMIT, number=14)
    held = world.text
    world.prepare(13, NEW)
    assert world.text == held
    world.prepare(15, NEWER)
    assert world.release(14).outcome == "superseded"
    assert world.release(15).outcome == "promoted"
    assert NEWER in world.text
    assert "LIMIT" not in world.text


def test_an_older_pipeline_leaves_what_was_promoted_alone() -> None:
    world = World()
    prepare(world, LIMIT, number=14)
    world.release(14)
    held = world.text
    world.prepare(13, NEW)
    assert world.text == held


def test_images_and_the_configuration_they_need_are_one_release() -> None:
    world = World()
    context = world.context()
    image = {"digest": NEW.partition("@")[2], "input-hash": f"ih-{'0' * 64}", "builder": "b", "built": True}
    record = world.releases.release.model_dump() | {"images": {"web": {"reference": NEW, **image}}}
    world.releases.save(type(world.releases.release).model_validate(record))
    STAGE.run(context, STAGE.parse_inputs({"config": LIMIT, "verify": False}))
    held = read_environment(world.text, PRODUCTION)
    assert held.gray
    assert held.gray.components["web"].image == NEW
    assert held.gray.components["web"].env == {"LIMIT": "5"}
    world.release()
    assert NEW in world.text
    assert 'LIMIT: "5"' in world.text


def test_running_it_again_finds_the_commit_that_holds_it() -> None:
    world = World()
    first = prepare(world, LIMIT)
    assert first
    for _ in range(2):
        again = prepare(world, LIMIT)
        assert again
        assert (again.commit, again.outcome) == (world.branch.log(PRODUCTION)[0].id, "unchanged")
        if world.steps == ["prepare"]:
            world.release()


def test_what_the_environment_has_already_is_unchanged() -> None:
    world = World()
    tip = world.branch.tip()
    same_as_in_app = "components.web.ports.http=8080"
    for config in ("components.web.replicas=2", same_as_in_app):
        done = prepare(world, config)
        assert done
        assert done.outcome == "unchanged"
    assert world.branch.tip() == tip


@pytest.mark.parametrize(
    ("before", "number", "config", "message"),
    [
        (
            lambda world: world.prepare(13),
            14,
            LIMIT,
            r"release 13 gets 0% of the requests of 'production' \(step\)",
        ),
        (lambda world: prepare(world, "components.web.replicas=5"), 13, LIMIT, "two versions at once"),
        (lambda world: world.prepare(13), 14, "components.web.replicas=2", "release 13 gets 0%"),
        (lambda _world: None, 12, LIMIT, "expected a number above 12"),
        (lambda _world: None, 11, LIMIT, "expected a number above 12"),
        (lambda world: world.write(""), 13, LIMIT, "nothing was released in 'production' yet"),
        (lambda _world: None, 13, "components.web.evn.A=1", "unknown key 'components.web.evn'"),
        (lambda _world: None, 13, "components.wbe.env.A=1", "component 'wbe' is not declared"),
        (
            lambda _world: None,
            13,
            "components.web.entrance.hosts=[a.example.com]",
            rf"{PRODUCTION} \(as asked\):\d+:\d+: both versions of 'web' share one 'entrance'",
        ),
        (lambda _world: None, 13, f"{LIMIT}\ncomponents.web.env.LIMIT=6", "LIMIT: it is set twice"),
        (lambda _world: None, 13, "", "there is nothing to release"),
    ],
)
def test_what_cannot_be_released_writes_nothing(
    before: Callable[[World], object], number: int, config: str, message: str
) -> None:
    world = World()
    before(world)
    tip = world.branch.tip()
    with pytest.raises(UsageError, match=message):
        prepare(world, config, number=number)
    assert world.branch.tip() == tip


def test_where_a_controller_moves_the_requests_it_is_refused() -> None:
    world = World(router="argo-rollouts", rollout={"name": "web"})
    with pytest.raises(UsageError, match="'argo-rollouts' moves the requests of 'production'"):
        prepare(world, LIMIT)
    assert world.text == STABLE


@pytest.mark.parametrize(
    ("there", "config", "wanted"),
    [
        ("env: {A: old}", "components.web.env.A={secret: s, key: k}", None),
        ("env: {A: {config: c, key: k}}", "components.web.env.A={secret: s, key: k}", None),
        ("env: {A: {config: c, key: k}}", "components.web.env.A=text", "text"),
        ("env: {A: old, B: b}", "components.web.env.A=null", None),
        ("args: [a, b]", "components.web.args=[c]", None),
        ("readiness: {path: /a}", "components.web.readiness.path=/b", None),
    ],
)
def test_what_is_promoted_is_what_was_judged(there: str, config: str, wanted: object) -> None:
    """A value in place of a reference, a reference in place of another: merged and promoted alike."""
    world = World(STABLE + f"    {there}\n")
    before = world.text
    prepare(world, config)
    world.release()
    held = read_environment(world.text, PRODUCTION)
    assert held.gray is None
    if wanted is not None:
        assert held.components["web"].env == {"A": wanted}
    roll_back(world.branch, RollbackRequest(world.delivery, "production"))
    assert world.text == before


def test_what_would_be_promoted_as_something_else_is_refused() -> None:
    world = World(STABLE + "    env: {A: a}\n")
    tip = world.branch.tip()
    with pytest.raises(EditRefused, match="would not be the same once it is promoted"):
        prepare(world, "components.web.env={}", "components.web.replicas=4")
    assert world.branch.tip() == tip


def test_a_dry_run_shows_the_difference_and_writes_nothing() -> None:
    world = World()
    tip = world.branch.tip()
    prepare(world, LIMIT, **{"dry-run": True})
    assert world.branch.tip() == tip
    diff = world.progress.events[-1].data["diff"]
    assert f"--- a/{PRODUCTION}\n+++ b/{PRODUCTION}\n" in diff
    assert '+        LIMIT: "5"\n' in diff


def test_of_two_at_once_one_is_prepared_and_the_other_is_refused() -> None:
    world = World()
    theirs = World()
    prepare(theirs, "components.web.replicas=5", number=14)

    class Racing(FakeIacRepository):
        raced = False

        def commit(self, changes, message, parent):  # type: ignore[no-untyped-def]
            if not self.raced:
                self.raced = True
                super().commit({PRODUCTION: theirs.text}, "theirs", parent)
            return super().commit(changes, message, parent)

    world.branch = Racing({PRODUCTION: STABLE, "app.yaml": APP}, world.clock.now)
    with pytest.raises(UsageError, match="release 14 gets 0%"):
        prepare(world, LIMIT, number=15)
    assert world.text == theirs.text


def test_an_edit_by_hand_meanwhile_serves_both_versions_and_outlives_a_rollback() -> None:
    world = World()
    prepare(world, LIMIT)
    world.write(world.text.replace("replicas: 2 ", "replicas: 7 "))
    world.judge = FakeJudge(Answer.FAIL)
    with pytest.raises(RolledBack):
        world.release()
    assert world.text == STABLE.replace("replicas: 2 ", "replicas: 7 ")


def test_promoting_by_hand_gives_the_same_text() -> None:
    world = World()
    prepare(world, LIMIT)
    promoted = promote(world.text, file=PRODUCTION)
    world.release()
    assert world.text == promoted
