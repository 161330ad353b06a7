from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pipegraft.core.errors import AccessDenied, SyncFailed, Unreachable, UsageError
from pipegraft.core.ports import FakeClock, RecordingProgress
from pipegraft.gate.ports import FakeEngine, RunImage, State, Status, Verdict
from pipegraft.gate.waiting import Patience, Waited, follow_revision, wait_for_revision
from pipegraft.iac.ports import FakeIacRepository


def rule(status: Mapping[str, Any], at_target: Callable[[str], bool]) -> Verdict:
    """Live at the target succeeds; anything else is what the status says."""
    if at_target(status["live"]):
        return Verdict(State.SUCCEEDED, "it is live", images=tuple(status.get("images", ())))
    return Verdict(State(status.get("state", "progressing")), "not yet", ("web: 0 of 1 ready",))


class World:
    """A branch of three commits, the second being the target."""

    def __init__(self, statuses: Sequence[Mapping[str, Any] | Exception] = ()) -> None:
        self.iac = FakeIacRepository({"count": "0"})
        self.before = self.iac.tip()
        self.target = self.iac.commit({"count": "1"}, "ours", self.before)
        self.after = self.iac.commit({"count": "2"}, "theirs", self.target)
        self.clock = FakeClock()
        self.progress = RecordingProgress()
        self.answer(*(statuses or [{"live": ""}]))

    def answer(self, *statuses: Mapping[str, Any] | Exception) -> None:
        self.engine = FakeEngine(statuses, self.clock)

    def follow(self, released: Sequence[str]) -> Waited:
        """Wait for images, too."""
        return follow_revision(
            self.engine,
            rule,
            history=self.iac,
            target=self.target,
            patience=Patience(60.0),
            clock=self.clock,
            progress=self.progress,
            released=released,
        )

    def wait(self, timeout: float = 60.0, settle: float = 0.0) -> Waited:
        return wait_for_revision(
            self.engine,
            rule,
            history=self.iac,
            target=self.target,
            patience=Patience(timeout, settle),
            clock=self.clock,
            progress=self.progress,
        )


@pytest.mark.parametrize("live", ["target", "after"])
def test_the_target_or_a_commit_after_it_will_do(live: str) -> None:
    world = World()
    world.engine = FakeEngine(
        [{"live": world.before}, {"live": world.before}, {"live": getattr(world, live)}]
    )
    assert world.wait().verdict.state is State.SUCCEEDED
    assert world.engine.sync_requests == 1


def test_the_commit_before_never_passes() -> None:
    world = World()
    world.answer({"live": world.before})
    with pytest.raises(SyncFailed, match=r"was not live within 60 s.*\n.*0 of 1 ready"):
        world.wait()
    assert sum(world.clock.slept) == pytest.approx(60.0)


@pytest.mark.parametrize("state", ["failed", "blocked", "suspended"])
def test_a_known_failure_ends_the_wait_at_once(state: str) -> None:
    world = World([{"live": ""}, {"live": "", "state": state}, {"live": ""}])
    with pytest.raises(SyncFailed, match=f"{state}: not yet\n    web: 0 of 1 ready"):
        world.wait()
    assert sum(world.clock.slept) < 0.1


def test_an_engine_that_does_not_answer_for_a_while_is_asked_again() -> None:
    world = World()
    world.answer(Unreachable("restarting"), Unreachable("restarting"), {"live": world.target})
    world.wait()
    assert [event.kind for event in world.progress.events] == ["warning", "verdict"]


def test_an_engine_that_never_answers_is_an_outside_failure() -> None:
    world = World([Unreachable("no route to host")])
    with pytest.raises(Unreachable, match="no route to host"):
        world.wait(timeout=5)


def test_an_engine_that_never_answers_is_given_up_before_the_time_is_over() -> None:
    world = World([Unreachable("no route to host")])
    with pytest.raises(Unreachable, match="no route to host"):
        world.wait(timeout=600)
    assert 60 <= sum(world.clock.slept) < 65


def test_an_engine_that_answered_once_may_be_silent_until_the_time_is_over() -> None:
    world = World()
    world.answer({"live": ""}, Unreachable("restarting"))
    with pytest.raises(Unreachable, match="restarting"):
        world.wait(timeout=600)
    assert sum(world.clock.slept) == pytest.approx(600)


def test_a_wrong_name_is_told_at_once() -> None:
    world = World([UsageError("no application 'shp'")])
    with pytest.raises(UsageError):
        world.wait()
    assert world.clock.slept == []


def test_success_must_hold_for_the_settle_time() -> None:
    world = World()
    flapping = [{"live": world.target}, {"live": world.before}, {"live": world.target}]
    world.answer(*flapping)
    waited = world.wait(settle=5.0)
    assert waited.seconds > 5.0
    states = [event.data["state"] for event in world.progress.events]
    assert states == ["succeeded", "progressing", "succeeded"]


def test_the_same_news_is_told_once() -> None:
    world = World()
    with pytest.raises(SyncFailed):
        world.wait(timeout=50)
    assert len(world.progress.events) == 1


def test_a_wait_that_lasts_is_explained_once() -> None:
    world = World()
    world.engine = FakeEngine([{"live": ""}], world.clock, ["event of Pod web-1: FailedMount"])
    with pytest.raises(SyncFailed):
        world.wait(timeout=300)
    told = [event.message for event in world.progress.events if event.kind == "warning"]
    assert len(told) == 1
    assert "FailedMount" in told[0]


@pytest.mark.parametrize("settle", [0, 5])
def test_settled_means_that_everything_was_read_again(settle: float) -> None:
    """A stream that says nothing is no second look."""
    world = World()
    engine = _Stream([{"live": world.target}, {"live": world.before, "state": "failed"}], world.clock)
    world.engine = engine
    with pytest.raises(SyncFailed):
        world.wait(timeout=20, settle=settle)
    assert engine.read_anew


class _Stream(FakeEngine):
    """Tells what was first, until it is read anew."""

    read_anew = False

    def observe(self, *, anew: bool = False) -> Status:
        self.read_anew = self.read_anew or anew
        return self._statuses[-1] if anew else self._statuses[0]


def test_a_lost_request_is_repeated() -> None:
    world = World()
    with pytest.raises(SyncFailed):
        world.wait(timeout=100)
    assert world.engine.sync_requests == 4


def test_a_refusal_that_lasts_ends_the_wait_soon() -> None:
    world = World([AccessDenied("cannot list applications")])
    with pytest.raises(AccessDenied, match="cannot list"):
        world.wait()
    assert sum(world.clock.slept) < 2.0


def test_a_refusal_for_a_moment_is_forgiven() -> None:
    """As while an API server starts, or while a token is renewed."""
    world = World()
    world.answer(*[AccessDenied("not yet")] * 3, {"live": world.target})
    assert world.wait().error is None


def test_a_refusal_later_is_forgiven_for_longer() -> None:
    world = World()
    world.answer({"live": ""}, *[AccessDenied("token expired")] * 8, {"live": world.target})
    assert world.wait().error is None
    assert sum(world.clock.slept) > 1.5


def test_what_more_is_known_is_told_at_a_bad_end_only() -> None:
    world = World()
    world.engine = FakeEngine([{"live": "", "state": "failed"}], world.clock, ["log: boom"])
    with pytest.raises(SyncFailed, match=r"0 of 1 ready\n    log: boom"):
        world.wait()
    world.engine = FakeEngine([{"live": world.target}], world.clock, ["log: boom"])
    assert world.wait().verdict == Verdict(State.SUCCEEDED, "it is live")


def test_a_suspended_engine_may_be_waited_for() -> None:
    world = World()
    world.answer({"live": "", "state": "suspended"}, {"live": world.target})
    assert follow(world, Patience(60.0, suspended=True)).error is None
    world.answer({"live": "", "state": "suspended"}, {"live": world.target})
    assert isinstance(follow(world, Patience(60.0)).error, SyncFailed)


def follow(
    world: World, patience: Patience, objection: Callable[[str], str | None] = lambda _: None
) -> Waited:
    return follow_revision(
        world.engine,
        rule,
        history=world.iac,
        target=world.target,
        patience=patience,
        clock=world.clock,
        progress=world.progress,
        objection=objection,
    )


def test_a_commit_that_takes_the_release_back_does_not_count() -> None:
    world = World()
    world.answer({"live": world.before}, {"live": world.after})
    waited = follow(world, Patience(60.0), lambda revision: f"{revision[:4]} takes it back")
    assert isinstance(waited.error, SyncFailed)
    assert "takes it back" in str(waited.error)


def test_the_target_itself_is_never_objected_to() -> None:
    world = World()
    world.answer({"live": world.target})
    assert follow(world, Patience(60.0), lambda _: "no").error is None


def test_the_phases_are_timed() -> None:
    world = World()
    world.answer({"live": ""}, {"live": world.before}, {"live": world.target})
    phases = follow(world, Patience(60.0, settle=1.0)).phases
    assert 0 < phases["seen"] == phases["live"] < phases["ended"]
    assert phases["ended"] - phases["live"] >= 1.0


def test_the_history_is_not_asked_at_every_look() -> None:
    world = World()
    asked: list[str] = []
    contains = world.iac.contains

    def counting(revision: str, at: str) -> bool:
        asked.append(at)
        return contains(revision, at)

    world.iac.contains = counting  # type: ignore[method-assign]
    world.answer({"live": world.before})
    with pytest.raises(SyncFailed):
        world.wait(timeout=20)
    assert 1 < len(asked) <= 5


OURS = f"registry.example.com/shop/web:ih-2@sha256:{'2' * 64}"
BEFORE = f"registry.example.com/shop/web@sha256:{'1' * 64}"
SKIPPING = "Flux leaves it as it is"


def run_images(*rows: tuple[str, str, str]) -> list[RunImage]:
    return [RunImage(f"Deployment shop/{name}", image, skipped) for name, image, skipped in rows]


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([], None),
        ([("web", OURS, "")], None),
        ([("web", "registry.example.com/shop/web:ih-2", "")], None),
        ([("web", f"registry.example.com/shop/web@sha256:{'2' * 64}", "")], None),
        ([("web", "registry.example.com/shop/other:1", "")], None),
        ([("web", "mirror.example.com/shop/web:ih-1", "")], None),  # by another name: nothing is known
        ([("web", BEFORE, ""), ("web-gray", OURS, "")], None),  # a gray release leaves the stable one
        ([("web", BEFORE, "")], f"Deployment shop/web still runs {BEFORE}, not {OURS} of this release"),
        ([("web", "registry.example.com/shop/web:ih-1", "")], "web still runs"),
        ([("web", OURS, ""), ("worker", BEFORE, SKIPPING)], f"shop/worker still runs .*: {SKIPPING}"),
    ],
)
def test_what_was_skipped_is_not_delivered(images: list[tuple[str, str, str]], says: str | None) -> None:
    world = World()
    world.answer({"live": world.target, "images": run_images(*images)})
    waited = world.follow(released=[OURS])
    if says is None:
        assert waited.error is None
        return
    assert waited.verdict is not None
    assert waited.verdict.state is State.BLOCKED
    with pytest.raises(SyncFailed, match=f"blocked: .*{says}"):
        raise waited.error or AssertionError
    assert sum(world.clock.slept) == pytest.approx(10.0, abs=2.0)


@pytest.mark.parametrize(("image", "told"), [(OURS, False), ("registry.example.com/shop/other:1", True)])
def test_the_record_names_an_image_that_nothing_could_be_compared_with(image: str, told: bool) -> None:
    world = World()
    world.answer({"live": world.target, "images": run_images(("web", image, ""))})
    waited = world.follow(released=[OURS])
    assert waited.verdict is not None
    said = f"not compared with what runs: {OURS}, which no workload that could be read has"
    assert (said in waited.verdict.evidence) is told


def test_an_image_that_is_seen_a_moment_later_is_delivered() -> None:
    world = World()
    late = [{"live": world.target, "images": run_images(("web", one, ""))} for one in (BEFORE, OURS)]
    world.answer(*late)
    assert world.follow(released=[OURS]).error is None


@pytest.mark.parametrize(("image", "state"), [(OURS, State.BLOCKED), ("r/queue:1", State.SUCCEEDED)])
def test_old_pods_that_are_kept_end_a_wait_for_the_images_of_the_release_alone(
    image: str, state: State
) -> None:
    world, why = World(), "its partition keeps its pods old"
    seen = [RunImage("StatefulSet shop/queue", image, held=why), *run_images(("web", OURS, ""))]
    world.answer({"live": world.target, "images": seen})
    verdict = world.follow(released=[OURS]).verdict
    assert verdict is not None
    assert verdict.state is state
    assert why in (verdict.reason, *verdict.evidence)
