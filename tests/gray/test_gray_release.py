"""The gray-release stage: what is committed, what is restored, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from gray_world import APP, GOOD, NEW, NEWER, OLD, PRODUCTION, STABLE, World, commit_of
from test_gray_commands import project

from pipegraft.app.gray import tell_gray
from pipegraft.appspec.environment_file import images_of, read_environment
from pipegraft.core.errors import Held, RolledBack, SyncFailed, Unreachable, UsageError
from pipegraft.core.stage import StageContext
from pipegraft.gate.ports import State, Verdict
from pipegraft.gray.history import OBSERVED, from_trailer
from pipegraft.gray.judgement import Answer, Judgement
from pipegraft.gray.machine import Command
from pipegraft.gray.observation import ArmCounts
from pipegraft.gray.ports import Arms, FakeJudge, FakeSource
from pipegraft.gray.stage import GrayReleaseInputs, run
from pipegraft.iac.stage import STAGE

PROMOTED = STABLE.replace(OLD, NEW).replace(
    f"number: 12, source: {commit_of(12)}", f"number: 13, source: {commit_of(13)}"
)


def test_a_good_version_goes_up_the_steps_and_is_promoted() -> None:
    world = World()
    world.prepare()
    record = world.release()
    assert world.steps == ["prepare", "1/2 weight=10", "2/2 weight=50", "take-over", "promote"]
    assert world.text == PROMOTED
    assert record.outcome == "promoted"
    assert [(step.weight, step.phase) for step in record.gray] == [
        (10, "step"),
        (50, "step"),
        (100, "promoting"),
        (100, "promoted"),
    ]
    assert record.gray[-1].commit == world.branch.tip()


def test_stable_takes_the_new_version_while_gray_gets_all_requests_then_gray_goes() -> None:
    world = World()
    world.prepare()
    world.release()
    promoted, taken_over = [
        world.branch.read(PRODUCTION, one.id) or "" for one in world.branch.log(PRODUCTION)[:2]
    ]
    between = read_environment(taken_over, PRODUCTION)
    assert images_of(between) == images_of(between, gray=True) == {"web": NEW}
    assert between.gray
    assert (between.gray.weight, between.gray.phase) == (100, "promoting")
    assert promoted == PROMOTED
    live = list(dict.fromkeys(world.engine.live))
    assert live.index(taken_over) < live.index(promoted), (
        "the engine had the first before the second was written"
    )


def test_a_new_version_that_stable_cannot_take_over_is_taken_back_to_the_byte() -> None:
    world = World()
    world.prepare()
    refusal, good = Verdict(State.FAILED, "web: 0 of 2 ready"), Verdict(State.SUCCEEDED, "all is well")
    world.engine.verdict = lambda text: refusal if "promoting" in text else good
    with pytest.raises(RolledBack, match="the engine did not take it over"):
        world.release()
    assert world.steps[-2:] == ["take-over", "rollback"]
    assert world.text == STABLE
    assert world.engine.live[-1] == STABLE


def test_a_bad_version_is_taken_back_to_the_byte_and_the_taking_back_is_live() -> None:
    world = World()
    world.prepare()
    world.judge = FakeJudge(Answer.FAIL)
    with pytest.raises(RolledBack, match="release 13 was rolled back in production: as scripted"):
        world.release()
    assert world.steps == ["prepare", "1/2 weight=10", "rollback"]
    assert world.text == STABLE
    assert world.engine.live[-1] == STABLE
    assert world.record.outcome == "rolled-back"
    assert world.record.gray[-1].judgement["answer"] == "fail"


def test_a_rolled_back_release_stays_rolled_back_until_it_is_prepared_again() -> None:
    world = World()
    world.prepare()
    world.judge = FakeJudge(Answer.FAIL)
    with pytest.raises(RolledBack):
        world.release()
    before = world.branch.tip()
    with pytest.raises(RolledBack, match="as scripted"):
        world.release()
    assert world.branch.tip() == before
    world.prepare()
    world.judge = FakeJudge(Answer.PASS)
    assert world.release().outcome == "promoted"


def test_edits_of_others_survive_promotion_and_rollback() -> None:
    for answer, expected in (
        (Answer.PASS, PROMOTED.replace("replicas: 2", "replicas: 5")),
        (Answer.FAIL, STABLE.replace("replicas: 2", "replicas: 5")),
    ):
        world = World()
        world.prepare()
        world.write(world.text.replace("replicas: 2", "replicas: 5"))
        world.judge = FakeJudge(answer)
        if answer is Answer.FAIL:
            with pytest.raises(RolledBack):
                world.release()
        else:
            world.release()
        assert world.text == expected


def test_a_file_without_a_last_newline_is_restored_without_one() -> None:
    world = World(STABLE.rstrip("\n"))
    world.prepare()
    world.judge = FakeJudge(Answer.FAIL)
    with pytest.raises(RolledBack):
        world.release()
    assert world.text == STABLE.rstrip("\n")


def test_configuration_is_released_and_rolled_back_like_an_image() -> None:
    world = World()
    world.prepare()
    changed = world.text.replace(
        f"      image: {NEW}\n", f"      image: {NEW}\n      env: {{GREETING: hi}}\n"
    )
    world.write(changed)
    world.release()
    assert "GREETING: hi" in world.text
    assert "gray:" not in world.text


def test_without_an_answer_it_goes_on_looking() -> None:
    world = World()
    world.prepare()
    world.judge = FakeJudge(Answer.INCONCLUSIVE, Answer.INCONCLUSIVE, Answer.PASS)
    started = world.clock.now()
    world.release()
    assert len(world.messages("judgement")) == 4  # at the second weight it judges by all four intervals
    assert world.clock.now() - started == pytest.approx(4 * 60, abs=5)


class Expired(FakeJudge):
    """Never knows, and the time is over."""

    def __call__(self, policy, observations):  # type: ignore[no-untyped-def]
        from dataclasses import replace

        return replace(super().__call__(policy, observations), expired=True)


def test_a_deadline_without_an_answer_follows_the_policy() -> None:
    for policy, expected in (
        ("rollback", ["rollback"]),
        ("hold", ["hold"]),
        ("promote", ["2/2 weight=50", "take-over", "promote"]),
    ):
        world = World(**{"on-inconclusive": policy})
        world.prepare()
        world.judge = Expired(Answer.INCONCLUSIVE)
        if policy == "promote":
            world.release()
        else:
            with pytest.raises((RolledBack, Held)):
                world.release()
        assert world.steps[2:] == expected


def test_a_held_release_waits_as_it_is() -> None:
    world = World(**{"on-inconclusive": "hold"})
    world.prepare()
    world.judge = Expired(Answer.INCONCLUSIVE)
    with pytest.raises(Held, match="held at 10% in production"):
        world.release()
    assert "weight: 10\n  phase: held" in world.text
    tip = world.branch.tip()
    with pytest.raises(Held):
        world.release()
    assert world.branch.tip() == tip
    assert world.record.outcome == "held"


def test_a_newer_release_takes_over_and_ours_ends_well() -> None:
    world = World()
    world.prepare()

    class Overtaking(FakeSource):
        def take(self, until: float) -> Arms:
            if world.steps[-1] != "prepare":
                world.prepare(14, NEWER)
            return super().take(until)

    world.source = Overtaking([GOOD])
    record = world.release()
    assert record.outcome == "superseded"
    assert world.steps == ["prepare", "1/2 weight=10", "prepare"]
    assert NEWER in world.text
    assert world.release(14).outcome == "promoted"
    assert world.text.count("image:") == 1


def test_nothing_to_release_ends_at_once() -> None:
    world = World()
    assert world.release(outcome="unchanged").outcome == "unchanged"
    assert world.steps == []


def test_a_release_that_never_came_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"release 13 is not in environments/production\.yaml"):
        World().release()


def test_a_block_taken_out_by_hand_is_a_rollback_by_hand() -> None:
    world = World()
    world.prepare()
    world.write(STABLE)
    with pytest.raises(RolledBack, match="somebody took it out"):
        world.release()


def test_a_version_the_engine_refuses_is_taken_back() -> None:
    world = World()
    world.prepare()
    world.engine.verdict = lambda text: (
        Verdict(State.FAILED, "web-gray crashes")
        if "weight: 10" in text
        else Verdict(State.SUCCEEDED, "fine")
    )
    with pytest.raises(RolledBack, match="the engine did not take it over: failed: web-gray crashes"):
        world.release()
    assert world.text == STABLE


def test_a_rollback_the_engine_refuses_is_said() -> None:
    world = World()
    world.prepare()
    world.engine.verdict = lambda _text: Verdict(State.FAILED, "out of order")
    with pytest.raises(SyncFailed, match="out of order"):
        world.release()
    assert world.text == STABLE


def test_no_data_neither_passes_nor_fails_but_is_said() -> None:
    world = World()
    world.prepare()
    world.source = FakeSource([Unreachable("nobody answers"), GOOD])
    seen: list[int] = []

    class Counting(FakeJudge):
        def __call__(self, policy, observations):  # type: ignore[no-untyped-def]
            seen.append(sum("errors" in one.gray for one in observations))
            return super().__call__(policy, observations)

    world.judge = Counting(Answer.INCONCLUSIVE, Answer.PASS)
    world.release()
    assert seen[:2] == [0, 1]
    assert world.messages("warning") == ["metric 'errors' has no data: nobody answers"]


def test_what_was_seen_is_in_the_commit_that_ends_a_step() -> None:
    world = World()
    world.prepare()
    world.release()
    commit = world.branch.log(PRODUCTION)[2]
    assert commit.message.splitlines()[:4] == [
        "shop: release 13 gets 50% of the requests in production",
        "",
        "as scripted",
        "errors: as scripted",
    ]
    assert '"gray":{"errors":{"n":100,"errors":0}}' in commit.trailers["Pipegraft-Observed"]


def test_the_judge_gets_earlier_steps_from_the_history() -> None:
    world = World()
    world.prepare()
    weights: list[list[float]] = []

    class Noting(FakeJudge):
        def __call__(self, policy, observations):  # type: ignore[no-untyped-def]
            weights.append([one.weight for one in observations])
            return super().__call__(policy, observations)

    world.judge = Noting(Answer.PASS)
    world.release()
    assert weights == [[10], [10, 50]]


class Noting(FakeJudge):
    """Remembers what it was asked about."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(*answers)
        self.asked: list[list[tuple[float, float]]] = []

    def __call__(self, policy, observations):  # type: ignore[no-untyped-def]
        self.asked.append([(one.end - one.start, one.weight) for one in observations])
        return super().__call__(policy, observations)


def test_a_later_process_judges_by_every_interval_of_the_earlier_one() -> None:
    world = World()
    world.prepare()
    world.judge = FakeJudge(*[Answer.INCONCLUSIVE] * 3, Answer.PASS, Answer.INCONCLUSIVE)
    written = world.branch.commit

    def dying(changes: Mapping[str, str | None], message: str, parent: str) -> str:
        made = written(changes, message, parent)
        if "2/2 weight=50" in world.steps:
            raise KeyboardInterrupt
        return made

    world.branch.commit = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.release()
    world.branch.commit = written  # type: ignore[method-assign]
    world.judge = judge = Noting(Answer.PASS)
    world.release()
    assert judge.asked[0] == [(60, 10)] * 4 + [(60, 50)]


@pytest.mark.parametrize("remembers", [True, False])
def test_what_a_pause_cut_short_is_asked_of_the_source_again(remembers: bool) -> None:
    world = World()
    world.prepare()

    def told(word: Command) -> None:
        tell_gray(project(world), None, word, "ann", connections=world.connections)

    class Pausing(Noting):
        def __call__(self, policy, observations):  # type: ignore[no-untyped-def]
            if len(observations) == 3:
                told("pause")
            return super().__call__(policy, observations)

    world.source = FakeSource([GOOD], remembers=remembers)
    world.judge = Pausing(Answer.INCONCLUSIVE)
    with pytest.raises(Held):
        world.release(pause_timeout=600)
    told("approve")
    world.clock.sleep(60)
    world.source = FakeSource([GOOD], remembers=remembers)
    world.judge = judge = Noting(Answer.PASS)
    world.release()
    before = [(60, 10)] * 3 if remembers else []
    assert judge.asked[0] == [*before, (60, 10)]


def test_one_look_a_run_where_the_source_remembers() -> None:
    world = World()
    world.prepare()
    outcomes = []
    for _ in range(8):
        world.source = FakeSource([Arms(ArmCounts(900, 1), ArmCounts(100, 0))], remembers=True)
        started = world.clock.now()
        outcomes.append(world.release(no_wait=True).outcome)
        assert world.clock.now() == started
        world.clock.sleep(40)
        if outcomes[-1] == "promoted":
            break
    assert outcomes == ["in-progress"] * 4 + ["promoted"]
    assert world.text == PROMOTED


def test_a_pause_stops_the_steps_until_it_is_taken_back() -> None:
    world = World()
    world.prepare()
    world.write(world.text.replace("weight: 0\n  phase: step", "weight: 10\n  phase: paused"))
    with pytest.raises(Held, match="paused at 10%"):
        world.release(pause_timeout=600)
    assert "phase: paused" in world.text
    assert world.release(no_wait=True).outcome == "in-progress"
    world.write(world.text.replace("phase: paused", "phase: step"))
    assert world.release().outcome == "promoted"


def test_a_person_s_word_right_before_our_commit_wins() -> None:
    world = World()
    world.prepare()
    written = world.branch.commit

    def commit(changes: Mapping[str, str | None], message: str, parent: str) -> str:
        world.branch.commit = written  # type: ignore[method-assign]
        world.write(world.text.replace("phase: step", "phase: paused"))
        return written(changes, message, parent)

    world.branch.commit = commit  # type: ignore[method-assign]
    with pytest.raises(Held, match="paused at 0%"):
        world.release(pause_timeout=10)
    assert world.steps == ["prepare"]


def test_a_repository_out_of_reach_for_a_moment_ends_nothing() -> None:
    world = World()
    world.prepare()
    asked = world.branch.tip
    failures = [Unreachable("the line is dead")] * 3

    def tip() -> str:
        if failures and "1/2 weight=10" in world.steps:
            raise failures.pop()
        return asked()

    world.branch.tip = tip  # type: ignore[method-assign]
    assert world.release().outcome == "promoted"
    assert not failures


class Comparing(FakeJudge):
    """Fails whatever has more than one error in a hundred."""

    def __call__(self, policy, observations):  # type: ignore[no-untyped-def]
        gray = observations[-1].gray["errors"]
        self._answers = (Answer.FAIL if (gray.errors or 0) > 0.01 * gray.requests else Answer.PASS,)
        return super().__call__(policy, observations)


def test_a_regression_after_promotion_takes_the_release_back() -> None:
    world = World(bake="10m")
    world.prepare()
    bad = Arms(ArmCounts(1000, 200), None)
    world.source = FakeSource([GOOD, GOOD, Arms(ArmCounts(1000, 2), None), bad])
    world.judge = Comparing()
    with pytest.raises(RolledBack, match="after its promotion"):
        world.release()
    assert world.steps[-2:] == ["promote", "rollback"]
    assert world.text == STABLE
    assert world.engine.live[-1] == STABLE


def test_a_version_that_stays_good_is_watched_to_the_end_of_its_bake() -> None:
    world = World(bake="10m")
    world.prepare()
    world.judge = Comparing()
    started = world.clock.now()
    assert world.release().outcome == "promoted"
    assert world.clock.now() - started == pytest.approx(2 * 60 + 600, abs=5)
    assert world.steps[-1] == "promote"


def test_a_newer_release_ends_the_bake() -> None:
    world = World(bake="10m")
    world.prepare()

    class Overtaking(FakeSource):
        def take(self, until: float) -> Arms:
            if world.steps[-1] == "promote":
                world.prepare(14, NEWER)
            return super().take(until)

    world.source = Overtaking([GOOD])
    world.judge = Comparing()
    assert world.release().outcome == "superseded"


def test_a_bake_goes_on_in_a_later_run() -> None:
    world = World(bake="10m")
    world.prepare()
    world.judge = Comparing()
    outcomes = []
    for _ in range(30):
        world.source = FakeSource([GOOD], remembers=True)
        outcomes.append(world.release(no_wait=True).outcome)
        if outcomes[-1] == "promoted":
            break
        world.clock.sleep(70)
    assert outcomes[-1] == "promoted"
    assert 8 < len(outcomes) < 16


def test_a_source_that_does_not_answer_keeps_the_release_from_starting() -> None:
    class Silent(FakeSource):
        def begin(self, at: float, now: float) -> float:
            raise UsageError("parse error in the query")

    world = World()
    world.prepare()
    world.source = Silent([GOOD])
    with pytest.raises(UsageError, match="parse error"):
        world.release()
    assert world.steps == ["prepare"]


def test_a_judge_that_cannot_use_what_it_gets_ends_with_the_deadline() -> None:
    world = World(deadline="5m")
    world.prepare()

    def judge(policy: object, observations: object) -> Judgement:
        raise UsageError("the histograms differ")

    world.judge = judge
    with pytest.raises(RolledBack, match="cannot use what was observed: the histograms differ"):
        world.release()
    assert len(world.messages("judgement")) == 5
    assert world.text == STABLE


def test_a_weight_that_the_traffic_does_not_have_is_said() -> None:
    world = World(steps=[10])
    world.prepare()
    world.source = FakeSource([Arms(GOOD.stable, GOOD.gray, weight=25)])
    world.release()
    assert world.messages("warning") == ["expected 10% of the requests to be meant for gray, found 25%"]


def test_a_step_does_not_pass_while_the_requests_are_split_otherwise() -> None:
    late = Arms(ArmCounts(10_000, 10), ArmCounts(0, 0))
    as_told = Arms(ArmCounts(9_000, 9), ArmCounts(1_000, 1))
    world = World(steps=[10], **{"weight-tolerance": 0.5})
    world.prepare()
    world.source = FakeSource([late, late, as_told])
    assert world.release().outcome == "promoted"
    warned = world.messages("warning")
    assert len(warned) == 2
    assert warned[0].startswith(
        "expected 10% of the requests to be gray's, found 0% of the 10,000 that 'errors' counts"
    )


def test_a_split_that_never_comes_ends_with_the_deadline_and_is_named() -> None:
    world = World(steps=[10], deadline="5m", **{"weight-tolerance": 0.5})
    world.prepare()
    world.source = FakeSource([Arms(ArmCounts(7_000, 7), ArmCounts(3_000, 3))])
    with pytest.raises(RolledBack, match="expected 10% of the requests to be gray's, found 30%"):
        world.release()
    assert world.text == STABLE


def test_a_bad_version_is_taken_back_however_the_requests_are_split() -> None:
    world = World(steps=[10], **{"weight-tolerance": 0.5})
    world.prepare()
    world.source = FakeSource([Arms(ArmCounts(7_000, 7), ArmCounts(3_000, 900))])
    world.judge = FakeJudge(Answer.FAIL)
    with pytest.raises(RolledBack, match="as scripted"):
        world.release()


@pytest.mark.parametrize("more", ["gray-for: {headers: {X-Team: shop}}", "mirror: 100", "affinity: {}"])
def test_what_gray_is_meant_to_get_beside_its_weight_is_no_mismatch(more: str) -> None:
    world = World(steps=[10], **{"weight-tolerance": 0.5, "router": "gateway-api"})
    world.branch.commit({"app.yaml": APP.replace("router: gateway-api", more)}, "more", world.branch.tip())
    world.prepare()
    world.source = FakeSource([Arms(ArmCounts(7_000, 7), ArmCounts(3_000, 3))])
    assert world.release().outcome == "promoted"
    assert not world.messages("warning")


def test_another_router_than_the_app_spec_names_is_refused_before_anything_moves() -> None:
    world = World(router="istio")
    world.prepare()
    with pytest.raises(UsageError, match=r"the entrance of 'web' in app\.yaml is split by 'gateway-api'"):
        world.release()
    assert world.steps == ["prepare"]


def test_a_schedule_goes_on_with_whatever_release_stands_in_the_repository() -> None:
    world = World()
    world.prepare()
    outcomes = []
    for number in range(90, 100):  # pipelines of other numbers, of other commits
        world.source = FakeSource([GOOD], remembers=True)
        outcomes.append(world.release(number, no_wait=True, resume=True).outcome)
        if outcomes[-1] == "promoted":
            break
        world.clock.sleep(70)
    assert outcomes == ["in-progress", "in-progress", "promoted"]
    assert world.text == PROMOTED
    assert {commit.trailers["Pipegraft-Release"] for commit in world.branch.log(PRODUCTION)[:3]} == {"13"}
    assert world.release(100, no_wait=True, resume=True).outcome == "unchanged"


def test_a_schedule_finds_a_bad_version_bad_and_says_nothing_again_of_one_that_is_held() -> None:
    world = World(**{"on-inconclusive": "hold"})
    world.prepare()
    world.judge = Expired(Answer.INCONCLUSIVE)
    outcomes = []
    for number in range(90, 94):
        world.source = FakeSource([GOOD], remembers=True)
        outcomes.append(world.release(number, no_wait=True, resume=True).outcome)
        world.clock.sleep(70)
    assert set(outcomes) == {"in-progress"}
    assert world.steps[-1] == "hold"
    waits = world.messages("progress")[-1]
    assert re.fullmatch(
        r"release 13 is held at 10%: .+; it waits for a person: `pipegraft gray approve` or "
        r"`pipegraft gray abort`, with `--env production`",
        waits,
    )
    tell_gray(project(world), None, "approve", "ann", connections=world.connections)
    world.judge = FakeJudge(Answer.FAIL)
    world.source = FakeSource([GOOD], remembers=True)
    with pytest.raises(RolledBack):
        world.release(94, no_wait=True, resume=True)
    assert world.text == STABLE


def test_a_schedule_watches_the_bake() -> None:
    world = World(bake="10m")
    world.prepare()
    world.judge = Comparing()
    for number in range(90, 99):
        world.source = FakeSource([GOOD], remembers=True)
        world.release(number, no_wait=True, resume=True)
        world.clock.sleep(70)
        if world.steps[-1] == "promote":
            break
    bad = Arms(ArmCounts(1000, 200), None)
    world.source = FakeSource([bad], remembers=True)
    world.clock.sleep(110)
    with pytest.raises(RolledBack, match="after its promotion"):
        world.release(99, no_wait=True, resume=True)
    assert world.text == STABLE


class Dying(FakeSource):
    """Does not remember; the process is killed at one of its looks."""

    def __init__(self, at: int) -> None:
        super().__init__([GOOD])
        self._left = at

    def take(self, until: float) -> Arms:
        self._left -= 1
        if self._left == 0:
            raise Killed
        return super().take(until)


class Killed(BaseException):
    """Nothing of the process runs after it."""


def world_with_a_killed_process() -> tuple[World, StageContext]:
    """A release at its first weight, and the context of the process that died at its fourth look."""
    world = World(steps=[10])
    world.prepare()
    context = world.context()
    world.source = Dying(at=4)
    world.judge = FakeJudge(Answer.INCONCLUSIVE)
    with pytest.raises(Killed):
        run(context, GrayReleaseInputs())
    return world, context


@pytest.mark.parametrize("same_record", [True, False])
def test_what_a_killed_process_saw_is_kept_beside_its_release_record(same_record: bool) -> None:
    world, context = world_with_a_killed_process()
    world.clock.sleep(30)
    world.judge = judge = Noting(Answer.PASS)
    world.source = FakeSource([GOOD])
    run(context if same_record else world.context(), GrayReleaseInputs())
    kept = 3 if same_record else 0
    assert judge.asked[0] == [(60, 10)] * (kept + 1)
    ended = world.branch.log(PRODUCTION)[1]
    assert ended.trailers["Pipegraft-Step"] == "take-over"
    assert len(from_trailer(ended.trailers[OBSERVED])) == kept + 1
    assert (context.releases.load().environments["production"].watched is None) == same_record


def test_what_a_source_remembers_is_not_counted_twice() -> None:
    world, context = world_with_a_killed_process()
    world.judge = judge = Noting(Answer.PASS)
    world.source = FakeSource([GOOD], remembers=True)
    run(context, GrayReleaseInputs())
    assert judge.asked[0] == [(60, 10)] * 4


def test_what_another_environment_runs_is_released_gray_under_its_own_number() -> None:
    world = World()
    staged = STABLE.replace("number: 12", "number: 15").replace(OLD, NEW)
    world.branch.commit({"environments/staging.yaml": staged}, "staging", world.branch.tip())
    context = world.context(20)
    STAGE.run(context, STAGE.parse_inputs({"from": "staging", "verify": False}))
    for again in (False, True):  # the second time iac-bump finds what it wrote
        if again:
            STAGE.run(context, STAGE.parse_inputs({"from": "staging", "verify": False}))
        run(context, GrayReleaseInputs.model_validate({}))
        assert world.record.outcome == "promoted"
    assert world.steps == ["prepare", "1/2 weight=10", "2/2 weight=50", "take-over", "promote"]
    assert world.text == staged


def test_a_pipeline_with_the_number_of_a_release_by_hand_takes_its_place_and_both_know() -> None:
    world = World()
    world.prepare(13, NEW)
    held = world.text.replace(commit_of(13), commit_of(14))  # the same number, of another commit
    world.write(held)
    assert world.release(13).outcome == "superseded"
    assert "release 13 took over" in world.messages("progress")[-1]
    assert world.text == held
