"""Whatever happens to processes, people and versions, the file ends as one release or the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from gray_world import APP, GOOD, OLD, PRODUCTION, STABLE, World, commit_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from test_config_release import prepare as prepare_config
from test_gray_commands import project

from pipegraft.actions.rollback import RollbackRequest, roll_back
from pipegraft.domain.environment_file import read_environment
from pipegraft.domain.gray.machine import Command
from pipegraft.errors import Conflict, DeliveryRefused, OutsideError, Unreachable, UsageError
from pipegraft.model.appspec import ReleaseMark
from pipegraft.model.judgement import Answer
from pipegraft.ports.clock import FakeClock
from pipegraft.ports.engine import State, Verdict
from pipegraft.ports.iac import FakeIacRepository
from pipegraft.ports.judge import FakeJudge
from pipegraft.ports.metrics import Arms, FakeSource
from pipegraft.usecases.gray import tell_gray

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
    def __init__(self, moments: Moments, files: Mapping[str, str], clock: FakeClock) -> None:
        self._moments = moments
        super().__init__(files, clock.now)

    def tip(self) -> str:
        return super().tip()

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        self._moments.pass_one()
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
        self.moments = Moments()
        self.world = World(**{"on-inconclusive": policy, "interval": "5s"})
        self.world.clock = BusyClock(self.moments)
        self.world.branch = BusyBranch(self.moments, {PRODUCTION: STABLE, "app.yaml": APP}, self.world.clock)
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
            done = roll_back(
                self.world.branch, RollbackRequest(self.world.delivery, "production"), self.world.clock
            )
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
            if step == "promote":
                ended.append(int(release))
            elif step == "rollback" and ended[-1] == int(release):
                ended.pop()
        assert ended[-1] == held.release.number

    @invariant()
    def only_a_person_ends_a_pause(self) -> None:
        before = ""
        for commit in reversed(self.world.branch.log(PRODUCTION)):
            step = commit.trailers.get("Pipegraft-Step", before)
            if before in ("pause", "hold") and step != before:
                assert "by ann" in commit.message or step in ("prepare", "rollback"), commit.message
            before = step

    def teardown(self) -> None:
        """However it was left, one more process with an answer brings it to an end."""
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


class Expiring(FakeJudge):
    """Says that the time is over with every fourth inconclusive answer."""

    def __call__(self, policy, observations):  # type: ignore[no-untyped-def]
        found = super().__call__(policy, observations)
        inconclusive = found.answer is Answer.INCONCLUSIVE
        return replace(found, expired=inconclusive and len(observations) % 4 == 0)


GrayReleases.TestCase.settings = settings(max_examples=80, stateful_step_count=15, deadline=None)
TestGrayReleases = GrayReleases.TestCase
