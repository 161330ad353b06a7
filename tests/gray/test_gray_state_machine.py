"""Whatever happens to processes, people and versions, the file ends as one release or the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from gray_world import APP, GOOD, OLD, PRODUCTION, STABLE, World, commit_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from test_config_release import prepare as prepare_config
from test_gray_commands import project

from pipegraft.app.gray import tell_gray
from pipegraft.appspec.environment_file import read_environment
from pipegraft.core.errors import Conflict, DeliveryRefused, OutsideError, Unreachable, UsageError
from pipegraft.core.ports import FakeClock
from pipegraft.core.release import ReleaseMark
from pipegraft.gate.ports import State, Verdict
from pipegraft.gray.history import OBSERVED, from_trailer, weight_of
from pipegraft.gray.judgement import Answer, Judgement, JudgePolicy
from pipegraft.gray.machine import Command
from pipegraft.gray.observation import Observation
from pipegraft.gray.ports import Arms, FakeJudge, FakeSource
from pipegraft.iac.guard.checks import gray_in_order
from pipegraft.iac.ports import Commit, FakeIacRepository
from pipegraft.iac.rollback import RollbackRequest, roll_back

COMMANDS: tuple[Command, ...] = ("approve", "abort", "pause", "skip")
ANSWERS = st.lists(st.sampled_from(Answer), min_size=1, max_size=4)


def image(number: int) -> str:
    """What the pipeline `number` builds."""
    return OLD if number == 12 else f"registry.example.com/shop/web@sha256:{number:064x}"


@dataclass(frozen=True)
class Runs:
    """What a release runs."""

    image: str = OLD
    limit: int = 0


@lru_cache(maxsize=1024)
def read_commit(commit: Commit) -> tuple[str, str, frozenset[float]]:
    """A commit's step, its reason (first line of its body), and the weights that it has observations of."""
    paragraphs, trailers = commit.message.split("\n\n"), commit.trailers
    reason = paragraphs[1].partition("\n")[0] if len(paragraphs) > 2 else ""
    observed = frozenset(one.weight for one in from_trailer(trailers.get(OBSERVED, "")))
    return trailers.get("Pipegraft-Step", ""), reason, observed


class Killed(BaseException):
    """kill -9: nothing of the process runs after it."""


class Moments:
    """The moments between a process and the outside world; at one of them something may happen."""

    def __init__(self) -> None:
        self.events: dict[int, Callable[[], None]] = {}
        self.passed = 0

    def pass_one(self) -> None:
        self.passed += 1
        event = self.events.pop(self.passed, None)
        if event:
            event()

    def expect(self, events: Mapping[int, Callable[[], None]]) -> None:
        self.events, self.passed = dict(events), 0


class BusyBranch(FakeIacRepository):
    def __init__(
        self, moments: Moments, files: Mapping[str, str], clock: FakeClock, check: Callable[[str], None]
    ) -> None:
        self._moments = moments
        self._check = check
        super().__init__(files, clock.now)

    def tip(self) -> str:
        return super().tip()

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        self._moments.pass_one()
        if parent == self.tip():
            self._check(message)
        made = super().commit(changes, message, parent)
        self._moments.pass_one()
        return made


class BusyClock(FakeClock):
    def __init__(self, moments: Moments) -> None:
        super().__init__()
        self._moments = moments

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._moments.pass_one()


class BusySource(FakeSource):
    def __init__(self, moments: Moments, *, remembers: bool) -> None:
        super().__init__([GOOD, Unreachable("nobody answers"), GOOD], remembers=remembers)
        self._moments = moments

    def take(self, until: float) -> Arms:
        self._moments.pass_one()
        return super().take(until)


class GrayReleases(RuleBasedStateMachine):
    """Images and configuration over release 12, by processes that die, race and are interrupted."""

    @initialize(policy=st.sampled_from(["rollback", "hold", "promote"]))
    def begin(self, policy: str) -> None:
        self.policy = policy
        self.moments = Moments()
        self.world = World(**{"on-inconclusive": policy, "interval": "5s"})
        self.world.clock = BusyClock(self.moments)
        files = {PRODUCTION: STABLE, "app.yaml": APP}
        self.world.branch = BusyBranch(self.moments, files, self.world.clock, self.what_is_judged_is_live)
        self.world.engine._branch = self.world.branch
        self.replicas = 2
        self.newest = 12
        self.runs = {12: Runs()}

    # What happens

    @rule(again=st.booleans())
    def bump(self, again: bool) -> None:
        """iac-bump of the next pipeline, or of the newest one once more."""
        number = self.newest if again else self.newest + 1
        stable = self.runs[self.serving().number]
        if number not in self.runs or self.runs[number].image == image(number):  # it has its number alone
            self.runs[number] = replace(stable, image=image(number))
            self.world.prepare(number, image(number))
        self.newest = number

    @rule(again=st.booleans())
    def configure(self, again: bool) -> None:
        """`pipegraft gray prepare` of a new number, or of the newest one once more."""
        number = self.newest if again else self.newest + 1
        stable = self.runs[self.serving().number]
        if number in self.runs and self.runs[number].limit != number:
            return  # a pipeline has its number alone
        with suppress(UsageError):
            done = prepare_config(self.world, f"components.web.env.LIMIT={number}", number=number)
            assert done
            if done.outcome == "written":
                self.runs[number] = replace(stable, limit=number)
                self.newest = number

    def serving(self) -> ReleaseMark:
        held = read_environment(self.world.text, PRODUCTION).release
        assert held
        return held

    @rule()
    def somebody_edits(self) -> None:
        self.replicas += 1
        text = self.world.text
        self.world.write(text.replace(f"replicas: {self.replicas - 1} ", f"replicas: {self.replicas} "))

    @rule(word=st.sampled_from(COMMANDS))
    def somebody_says(self, word: Command) -> None:
        with suppress(UsageError, OutsideError):
            tell_gray(project(self.world), None, word, "ann", connections=self.world.connections)

    @rule()
    def somebody_takes_the_newest_release_back(self) -> None:
        """`pipegraft rollback`: by the history alone, whatever drives the release."""
        with suppress(UsageError, Conflict):
            done = roll_back(self.world.branch, RollbackRequest(self.world.delivery, "production"))
            restored = self.world.branch.read(PRODUCTION, done.restored)
            assert self.world.text == restored
            held = read_environment(restored or "", PRODUCTION)
            assert held.gray is None or not done.written
            self.replicas = held.components["web"].replicas or 0  # edits since then go, as is said

    @rule(answers=ANSWERS, remembers=st.booleans(), no_wait=st.booleans())
    def a_process_runs(self, answers: list[Answer], remembers: bool, no_wait: bool) -> None:
        self._something_to_release()
        self._drive(answers, remembers=remembers, no_wait=no_wait)

    @rule(answers=ANSWERS, at=st.integers(1, 12), remembers=st.booleans())
    def a_process_is_killed(self, answers: list[Answer], at: int, remembers: bool) -> None:
        self._something_to_release()
        self.moments.expect({at: self._kill})
        with suppress(Killed):
            self._drive(answers, remembers=remembers, no_wait=False)
        self.moments.expect({})

    @rule(
        answers=ANSWERS,
        at=st.integers(1, 8),
        by=st.sampled_from(["edit", "bump", "configure", "process", "rollback", *COMMANDS]),
        answers_of_other=ANSWERS,
    )
    def a_process_is_interrupted(
        self, answers: list[Answer], at: int, by: str, answers_of_other: list[Answer]
    ) -> None:
        self._something_to_release()
        self.moments.expect({at: lambda: self._interrupt(by, answers_of_other)})
        self._drive(answers, no_wait=False)
        self.moments.expect({})

    @rule(answers=ANSWERS)
    def the_engine_refuses_the_new_version(self, answers: list[Answer]) -> None:
        self._something_to_release()
        self.world.engine.verdict = lambda text: Verdict(
            State.FAILED if "\ngray:" in text else State.SUCCEEDED, "as it is"
        )
        self._drive(answers)
        self.world.engine.verdict = lambda _text: Verdict(State.SUCCEEDED, "fine")

    @rule(answers=ANSWERS, age=st.integers(1, 3))
    def the_process_of_an_older_release_comes_late(self, answers: list[Answer], age: int) -> None:
        number = self.newest - age
        held, before = read_environment(self.world.text, PRODUCTION), self.world.text
        marks = [mark.number for mark in (held.release, held.gray and held.gray.release) if mark]
        if number not in self.runs or max(marks) <= number:
            return
        self.world.judge = Expiring(*answers)
        assert self.world.release(number).outcome == "superseded"
        assert self.world.text == before

    def _interrupt(self, by: str, answers: list[Answer]) -> None:
        if by == "edit":
            self.somebody_edits()
        elif by == "bump":
            self.bump(again=False)
        elif by == "configure":
            self.configure(again=False)
        elif by == "rollback":
            self.somebody_takes_the_newest_release_back()
        elif by == "process":
            self._drive(answers)
        else:
            self.somebody_says(by)  # type: ignore[arg-type]

    def _kill(self) -> None:
        raise Killed

    def _something_to_release(self) -> None:
        if "\ngray:" not in self.world.text:
            (self.configure if self.newest % 2 else self.bump)(again=False)

    def _drive(self, answers: list[Answer], *, remembers: bool = False, no_wait: bool = True) -> None:
        self.world.source = BusySource(self.moments, remembers=remembers)
        self.world.judge = Expiring(*answers)
        with suppress(DeliveryRefused, UsageError, OutsideError, Conflict):
            self.world.release(self.newest, no_wait=no_wait, pause_timeout=20)

    # What must hold at every moment

    def expected(self, number: int) -> str:
        """The file with one release serving, and nothing else changed but what people changed."""
        text = STABLE.replace("replicas: 2 ", f"replicas: {self.replicas} ")
        runs = self.runs[number]
        if runs.limit:
            text += f'    env:\n      LIMIT: "{runs.limit}"\n'
        if number != 12:
            text = text.replace(OLD, runs.image)
            text = text.replace(
                f"number: 12, source: {commit_of(12)}", f"number: {number}, source: {commit_of(number)}"
            )
        return text

    @invariant()
    def one_release_serves_and_the_file_can_be_read(self) -> None:
        held = read_environment(self.world.text, PRODUCTION)
        assert held.release
        without_block = self.world.text.partition("gray:\n")[0]
        assert without_block == self.expected(held.release.number)
        runs = self.runs[held.release.number]
        assert held.components["web"].image == runs.image
        assert (held.components["web"].env or {}).get("LIMIT", "0") == str(runs.limit)

    @invariant()
    def the_history_explains_what_serves(self) -> None:
        held = read_environment(self.world.text, PRODUCTION)
        assert held.release
        ended: list[int] = [12]
        for commit in reversed(self.world.branch.log(PRODUCTION)):
            step, release = (
                commit.trailers.get("Pipegraft-Step"),
                commit.trailers.get("Pipegraft-Release", ""),
            )
            if step in ("take-over", "promote") and ended[-1] != int(release):
                ended.append(int(release))
            elif step == "rollback" and ended[-1] == int(release):
                ended.pop()
        assert ended[-1] == held.release.number

    @invariant()
    def every_move_is_explained_by_a_verdict_or_a_person(self) -> None:
        """Each commit of a driver follows from what the judge said at the very weight that it ends."""
        weight = 0
        for commit in reversed(self.world.branch.log(PRODUCTION)):
            step, reason, observed = read_commit(commit)
            if step:
                self._explained(step, reason, weight, observed)
                weight = 0 if step in ("prepare", "bump") else weight_of(step, weight)

    def _explained(self, step: str, reason: str, weight: int, observed: frozenset[float]) -> None:
        told = (step, reason, weight, observed)
        assert observed <= {weight}, told
        judged = bool(observed)
        if step in ("prepare", "bump"):
            return
        if step == "promote":
            assert (weight, reason, judged) == (100, "stable is the new version, too", False), told
        elif step == "take-over" or "weight=" in step:
            to = weight_of(step, 0)
            assert (weight, to) in ((0, 10), (10, 50), (50, 100)), told
            assert (
                (weight == 0 and reason == "gray is deployed and gets no requests yet")
                or (judged and reason == "pass")
                or (judged and reason == "unproven: too late" and self.policy == "promote")
                or reason in ("approved by ann", "skipped by ann")
            ), told
        elif step == "rollback":
            assert (
                (judged and reason == "fail")
                or (judged and reason == "too late" and self.policy == "rollback")
                or reason == "aborted by ann"
                or reason.startswith("the engine did not take it over: ")
                or " as it was at " in reason
            ), told
        elif step == "hold":
            assert judged, told
            assert (reason, self.policy) == ("too late", "hold"), told
        else:
            assert reason == {"pause": "paused by ann", "resume": "resumed by ann"}[step], told

    def what_is_judged_is_live(self, message: str) -> None:
        """A driver only goes on while the engine has the very weight live, and well, that it judged."""
        _step, reason, _observed = read_commit(Commit("", None, message))
        goes_on = (
            "pass",
            "fail",
            "too late",
            "unproven: too late",
            "gray is deployed and gets no requests yet",
        )
        if reason.partition(";")[0] in goes_on:
            assert self.world.engine.verdict(self.world.engine.live[-1]).state is State.SUCCEEDED, message
            live, now = (
                read_environment(text, PRODUCTION).gray
                for text in (self.world.engine.live[-1], self.world.text)
            )
            assert live, message
            assert now, message
            assert (live.release, live.weight, live.phase) == (now.release, now.weight, now.phase), message

    @invariant()
    def only_a_person_ends_a_pause(self) -> None:
        before = ""
        for commit in reversed(self.world.branch.log(PRODUCTION)):
            step = commit.trailers.get("Pipegraft-Step", before)
            if before in ("pause", "hold") and step != before:
                assert "by ann" in commit.message or step in ("prepare", "rollback"), commit.message
            before = step

    def _the_guard_takes_every_commit(self) -> None:
        texts = [
            self.world.branch.read(PRODUCTION, commit.id) or ""
            for commit in reversed(self.world.branch.log(PRODUCTION))
        ]
        for before, after in itertools.pairwise(texts):
            assert not list(gray_in_order(PRODUCTION, before, after, ()))

    def teardown(self) -> None:
        """However it was left, one more process with an answer brings it to an end."""
        self.moments.expect({})
        for _ in range(3):
            self._drive([Answer.PASS], no_wait=False)
            self.somebody_says("approve")
        held = read_environment(self.world.text, PRODUCTION)
        assert held.gray is None
        assert held.release
        assert self.world.text == self.expected(held.release.number)
        outcome = self.world.record.outcome
        assert (outcome == "promoted") == (held.release.number == self.newest), (outcome, held.release)
        assert self.world.engine.live[-1] == self.world.text
        self._the_guard_takes_every_commit()


class Expiring(FakeJudge):
    """Says that the time is over with every fourth inconclusive answer; its reason is what it said."""

    def __call__(self, policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
        found = super().__call__(policy, observations)
        inconclusive = found.answer is Answer.INCONCLUSIVE
        late = inconclusive and len(observations) % 4 == 0
        said = "too late" if late else f"{found.answer}"
        return replace(found, expired=late, reason=said)


GrayReleases.TestCase.settings = settings(max_examples=50, stateful_step_count=15, deadline=None)
TestGrayReleases = GrayReleases.TestCase
