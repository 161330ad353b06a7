"""The gray-release stage beside a controller that drives the rollout by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from gray_world import GOOD, NEW, NEWER, PRODUCTION, STABLE, World, commit_of
from test_gray_commands import project

from pipegraft.app.gray import tell_gray
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import EditRefused, Held, OutsideError, RolledBack, UsageError
from pipegraft.gate.ports import State, Verdict
from pipegraft.gray.judgement import Answer
from pipegraft.gray.ports import (
    FakeJudge,
    FakeRollout,
    FakeSource,
    RolloutPhase,
    RolloutSeen,
    RolloutVerdict,
)
from pipegraft.iac.commits import commit_message, release_trailers

PROGRESSING, WAITING = RolloutPhase.PROGRESSING, RolloutPhase.WAITING
PROMOTED, FAILED = RolloutPhase.PROMOTED, RolloutPhase.FAILED


def world(*verdicts: RolloutVerdict, **gray: Any) -> World:
    """A world whose controller's status says this, one verdict a look, the last one for ever."""
    made = World(**{"rollout": {"name": "web"}, "router": "argo-rollouts", **gray})
    left = list(verdicts)
    made.reads = lambda _seen, _ours, _since: left.pop(0) if len(left) > 1 else left[0]
    made.prepare()
    return made


def at(weight: int, phase: RolloutPhase = PROGRESSING, reason: str = "step 1 of 2") -> RolloutVerdict:
    return RolloutVerdict(phase, reason, weight)


def test_a_rollout_that_its_controller_promotes_is_reported_and_no_commit_is_made() -> None:
    there = world(at(5), at(50), RolloutVerdict(PROMOTED, "all steps are completed", 100), metrics=[])
    record = there.release()
    assert record.outcome == "promoted"
    assert [(step.weight, step.phase) for step in record.gray] == [(100, "promoted")]
    assert there.steps == ["bump"]
    told = there.messages("progress")
    assert told[:2] == ["5%: progressing: step 1 of 2", "50%: progressing: step 1 of 2"]


def test_a_rollout_that_its_controller_ends_is_taken_back_by_a_commit_to_the_byte() -> None:
    there = world(at(5), RolloutVerdict(FAILED, "metric errors failed"), metrics=[])
    with pytest.raises(RolledBack, match="the controller ended it: metric errors failed"):
        there.release()
    assert there.steps == ["bump", "rollback"]
    assert there.text == STABLE
    assert there.engine.live[-1] == STABLE
    assert "metric errors failed" in there.branch.log(PRODUCTION)[0].message
    assert there.record.outcome == "rolled-back"


def test_what_our_judge_finds_bad_is_aborted_at_the_controller_and_taken_back() -> None:
    there = world(at(5))
    there.judge = FakeJudge(Answer.INCONCLUSIVE, Answer.FAIL)
    with pytest.raises(RolledBack, match="as scripted"):
        there.release()
    assert there.rollout.told == ["abort"]
    assert there.text == STABLE


def test_where_the_controller_waits_a_pass_lets_it_go_on() -> None:
    there = world(*[at(5, WAITING)] * 20, RolloutVerdict(PROMOTED, "done", 100))
    there.judge = FakeJudge(Answer.PASS)
    assert there.release().outcome == "promoted"
    assert there.rollout.told == ["go on"]


def test_where_the_controller_waits_and_nobody_judges_a_person_is_waited_for() -> None:
    there = world(at(5, WAITING, "waits to be promoted"), metrics=[])
    started = there.clock.now()
    with pytest.raises(Held, match="waits in production: waits to be promoted"):
        there.release(pause_timeout=600)
    assert there.clock.now() - started == pytest.approx(600, abs=10)
    assert there.record.outcome == "held"
    assert there.rollout.told == []


@pytest.mark.parametrize(("policy", "ends"), [("rollback", RolledBack), ("hold", Held), ("promote", None)])
def test_a_deadline_without_an_answer_follows_the_policy(policy: str, ends: type[Exception] | None) -> None:
    from test_gray_release import Expired

    there = world(
        *[at(5, WAITING)] * 20, RolloutVerdict(PROMOTED, "done", 100), **{"on-inconclusive": policy}
    )
    there.judge = Expired(Answer.INCONCLUSIVE)
    if ends:
        with pytest.raises(ends):
            there.release()
        assert there.rollout.told == (["abort"] if policy == "rollback" else [])
    else:
        assert there.release().outcome == "promoted"
        assert there.rollout.told == ["go on"]


def test_what_the_engine_refuses_before_the_controller_begins_is_taken_back() -> None:
    there = world(RolloutVerdict(PROGRESSING, "its workload does not run the new version yet"), metrics=[])
    there.engine.verdict = lambda text: (
        Verdict(State.FAILED, "the manifest is invalid") if NEW in text else Verdict(State.SUCCEEDED, "fine")
    )
    with pytest.raises(RolledBack, match="the engine did not take it over: the manifest is invalid"):
        there.release()
    assert there.text == STABLE


def test_a_rollout_that_takes_too_long_is_held() -> None:
    there = world(at(5), metrics=[], timeout="10m")
    with pytest.raises(Held, match="not at its end after 600 seconds: step 1 of 2"):
        there.release()


def test_without_waiting_it_says_where_it_stands() -> None:
    there = world(at(5), metrics=[])
    assert there.release(no_wait=True).outcome == "in-progress"


def test_a_newer_release_takes_over() -> None:
    there = world(at(5), metrics=[])

    class Overtaken(FakeRollout):
        def observe(self) -> RolloutSeen:
            if len(there.steps) == 1:
                there.prepare(14, NEWER)
            return super().observe()

    there.rollout = Overtaken(RolloutSeen(None))
    # The stage of release 13 began before release 14 came.
    assert there.release(13).outcome == "superseded"


def test_a_person_s_rollback_ends_it() -> None:
    from pipegraft.iac.rollback import RollbackRequest, roll_back

    there = world(at(5), metrics=[])

    class TakenBack(FakeRollout):
        def observe(self) -> RolloutSeen:
            if there.steps == ["bump"]:
                roll_back(there.branch, RollbackRequest(there.delivery, "production"))
            return super().observe()

    there.rollout = TakenBack(RolloutSeen(None))
    with pytest.raises(RolledBack, match="by commit"):
        there.release()
    assert there.text == STABLE


def test_the_workload_of_our_release_is_told_by_its_digest() -> None:
    there = world(at(5), metrics=[])
    asked: list[bool] = []

    def reads(_seen: Any, ours: Any, since: float) -> RolloutVerdict:
        pods = [{"containers": [{"image": image}]} for image in (NEW, NEWER)]
        asked.extend(ours({"spec": {"template": {"spec": pod}}}) for pod in pods)
        assert since == there.branch.log(PRODUCTION)[0].time
        return RolloutVerdict(PROMOTED, "done")

    there.reads = reads
    there.release()
    assert asked == [True, False]


def test_metrics_are_only_watched_while_gray_gets_requests() -> None:
    there = world(*[at(0)] * 40, *[at(10)] * 40, RolloutVerdict(PROMOTED, "done", 100))
    there.source = source = FakeSource([GOOD])
    there.judge = FakeJudge(Answer.INCONCLUSIVE)
    assert there.release().outcome == "promoted"
    assert 1 <= len(source.windows) <= 4


def test_a_release_without_metrics_needs_a_controller() -> None:
    with pytest.raises(ValueError, match="'metrics' needs at least one"):
        World(metrics=[])


def test_targets_may_be_released_by_a_controller_alone() -> None:
    def declared(**gray: Any) -> Delivery:
        target = {"kind": "manifest", "file": "deploy.yaml"}
        environment = {"gate": {"engine": "fake"}, "targets": [target], "gray": gray}
        return Delivery.model_validate(
            {
                "app": "shop",
                "registry": "registry.example.com/shop",
                "components": {"web": {"path": "web"}},
                "iac": {"repository": "iac.git"},
                "environments": {"production": environment},
            }
        )

    assert declared(router="flagger", rollout={"name": "web"})
    with pytest.raises(ValueError, match="'gray' needs the app spec"):
        declared(metrics=[{"source": "fake"}])


def test_a_person_approves_at_the_controller_and_aborts_there_and_in_git() -> None:
    there = world(at(5, WAITING, "waits to be promoted"), metrics=[])
    told = tell_gray(project(there), None, "approve", "ann", connections=there.connections)
    assert told.controller == "5%, waiting: waits to be promoted"
    assert there.rollout.told == ["go on"]
    tell_gray(project(there), None, "abort", "ann", connections=there.connections)
    assert there.rollout.told == ["go on", "abort"]
    assert there.text == STABLE
    taken_back = there.branch.log(PRODUCTION)[0]
    assert "aborted by ann" in taken_back.message
    tell_gray(project(there), None, "abort", "bob", connections=there.connections)  # he has not seen it yet
    assert there.rollout.told == ["go on", "abort"]
    assert there.branch.log(PRODUCTION)[0] == taken_back
    with pytest.raises(UsageError, match="knows no 'pause' from us"):
        tell_gray(project(there), None, "pause", "ann", connections=there.connections)


class Strict:
    """Renders a chart of now, which wants a value that the values of then do not have."""

    name = "helm"

    def render(self, files: Mapping[str, bytes], folder: str, values: Sequence[str] = ()) -> str:
        del folder, values
        if b"port" not in files["values.yaml"]:
            raise EditRefused("port is required", fix="set it")
        return "kind: Service\n"


@pytest.mark.parametrize("by_a_person", [True, False])
def test_neither_a_person_nor_the_stage_restores_what_cannot_be_rendered_any_more(by_a_person: bool) -> None:
    there = World(rollout={"name": "web"}, router="argo-rollouts", metrics=[])
    there.reads = lambda _seen, _ours, _since: RolloutVerdict(FAILED, "metric errors failed", 5)
    there.renderers = {"helm": Strict()}
    target = {"kind": "yaml", "file": "values.yaml", "path": "tag", "component": "web"}
    declared = there.delivery.model_dump(exclude_unset=True)
    declared["environments"]["production"]["targets"] = [target]
    there.delivery = Delivery.model_validate(declared)
    there.branch.commit({"Chart.yaml": "name: web\n", "values.yaml": "tag: v1\n"}, "a", there.branch.tip())
    bump = release_trailers("shop", "production", there.source_of(13), "bump")
    files = {
        "values.yaml": "tag: v2\nport: 80\n",
        ".pipegraft/production.yaml": f"release: {{number: 13, source: {commit_of(13)}}}\n",
    }
    tip = there.branch.commit(files, commit_message("release 13", [], bump), there.branch.tip())

    def say() -> None:
        if by_a_person:
            tell_gray(project(there), None, "abort", "ann", connections=there.connections)
        else:
            there.release(path=".pipegraft/production.yaml")

    with pytest.raises(EditRefused, match="cannot be rendered any more: port is required"):
        say()
    assert there.branch.tip() == tip
    assert there.rollout.told == []  # it goes on, or has ended by itself


def test_an_abort_that_git_does_not_take_says_that_the_controller_has_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = world(at(5), metrics=[])

    def refuse(*_args: object, **_named: object) -> str:
        raise OutsideError("the server declined the push")

    monkeypatch.setattr(there.branch, "commit", refuse)
    with pytest.raises(OutsideError) as caught:
        tell_gray(project(there), None, "abort", "ann", connections=there.connections)
    assert there.rollout.told == ["abort"]
    assert "the controller has stopped the rollout, and git still has the release: the server" in str(
        caught.value
    )
    assert "say `pipegraft gray abort` again" in str(caught.value)


def test_a_judgement_belongs_to_the_weight_that_it_was_given_at() -> None:
    """A pass at 20% says nothing of the pause at 60%."""
    there = world(*[at(20)] * 16, *[at(60, WAITING, "step 3 of 4")] * 40)
    there.judge = FakeJudge(Answer.PASS, Answer.FAIL)
    with pytest.raises(RolledBack, match="as scripted"):
        there.release()
    assert there.rollout.told == ["abort"]


def test_every_pause_is_judged_anew_even_at_the_same_weight() -> None:
    paused = [RolloutVerdict(WAITING, f"step {step}", 20, step) for step in (1, 3) for _ in range(4)]
    there = world(*paused, *[RolloutVerdict(WAITING, "step 3", 20, 3)] * 40)
    there.judge = FakeJudge(Answer.PASS, Answer.FAIL)
    with pytest.raises(RolledBack):
        there.release()


def test_what_a_person_has_paused_no_judge_lets_go_on() -> None:
    paused = RolloutVerdict(WAITING, "step 1 of 2: paused by hand", 20, 1, by_hand=True)
    there = world(paused)
    there.judge = FakeJudge(Answer.PASS)
    with pytest.raises(Held, match="paused by hand"):
        there.release(pause_timeout=600)
    assert there.rollout.told == []


def test_what_was_told_to_go_on_and_does_not_is_told_so_again() -> None:
    """Argo Rollouts misses a word that comes within moments of a pause."""
    missed = RolloutVerdict(WAITING, "step 1 of 2: told to go on, and has not begun to", 20, 1)
    there = world(at(20, WAITING), *[missed] * 30, RolloutVerdict(PROMOTED, "done", 100))
    there.judge = FakeJudge(Answer.PASS)
    there.release()
    assert there.rollout.told[:2] == ["go on", "go on"]
