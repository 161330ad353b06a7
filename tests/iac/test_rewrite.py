from __future__ import annotations

from collections.abc import Mapping

import pytest
import tenacity

from pipegraft.core.errors import Conflict, Locked, TipMoved, Unreachable
from pipegraft.iac.optimistic_commit import Changes, Read, _Waiting, rewrite
from pipegraft.iac.ports import FakeIacRepository


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


class Busy(FakeIacRepository):
    """A branch on which somebody else is faster, a number of times."""

    def __init__(self, files: Mapping[str, str], others: int) -> None:
        super().__init__(files)
        self.others = others

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        if self.others:
            self.others -= 1
            count = int(self.read("count", self.tip()) or 0)
            super().commit({"count": str(count + 1)}, "theirs", self.tip())
        return super().commit(changes, message, parent)


class Failing(FakeIacRepository):
    """A branch that raises before it works."""

    def __init__(self, errors: list[Exception]) -> None:
        super().__init__({"count": "0"})
        self.errors = errors

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return super().commit(changes, message, parent)


def increment(read: Read) -> Changes:
    return Changes({"count": str(int(read("count") or 0) + 1)}, "count")


def test_the_edit_is_made_anew_on_every_tip() -> None:
    branch = Busy({"count": "0"}, others=30)
    done = rewrite(branch, increment)
    assert (done.written, done.attempts) == (True, 31)
    assert branch.read("count", branch.tip()) == "31"
    assert done.commit == branch.tip()


def test_nothing_to_do_writes_nothing() -> None:
    branch = FakeIacRepository({"count": "7"})
    tip = branch.tip()
    for change in (lambda _read: None, lambda _read: Changes({"count": "7"}, "same")):
        done = rewrite(branch, change)
        assert (done.commit, done.written) == (tip, False)
    assert branch.tip() == tip


def test_only_files_that_differ_are_written() -> None:
    branch = FakeIacRepository({"same": "1", "count": "1"})
    seen: list[Mapping[str, str | None]] = []
    commit = branch.commit
    branch.commit = lambda changes, message, parent: seen.append(changes) or commit(changes, message, parent)  # type: ignore[method-assign, func-returns-value]
    rewrite(branch, lambda _: Changes({"same": "1", "count": "2"}, "m"))
    assert seen == [{"count": "2"}]


def test_a_branch_that_never_stands_still_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    branch = Busy({"count": "0"}, others=10**6)
    with pytest.raises(TipMoved):
        rewrite(branch, increment, deadline=0.3)
    assert 10**6 - branch.others < 20


def test_waits_are_jittered_and_follow_what_an_attempt_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    waits: list[float] = []
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    for _ in range(200):
        waiting, now = _Waiting(300.0, 20.0, lambda _reason: None), 0.0
        for spent in (4.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5):
            waiting.began = now
            waiting.begin("tip")
            now += spent
            waits.append(waiting.seconds(state))
    assert len(set(waits)) == len(waits)
    first, last = waits[::7], waits[6::7]
    assert 8.0 < max(first) <= 4.0 * 2.5  # a burst: spread over what the attempt took
    assert 20.0 < max(last) <= 0.5 * 64  # and never over more than many short attempts


@pytest.mark.parametrize("error", [Locked("held"), Unreachable("silent")])
def test_a_lock_or_silence_is_waited_out(error: Exception) -> None:
    branch = Failing([error] * 3)
    done = rewrite(branch, increment)
    assert done.attempts == 4
    assert branch.read("count", branch.tip()) == "1"


@pytest.mark.parametrize("error", [Locked("held"), Unreachable("silent")])
def test_a_lock_or_silence_that_stays_is_given_up(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    branch = Failing([error] * 10**4)
    with pytest.raises(type(error)):
        rewrite(branch, increment, patience=0.2)
    assert 10**4 - len(branch.errors) < 20


def test_each_wait_says_why() -> None:
    said: list[str] = []
    errors: list[Exception] = [Locked("held"), Unreachable("silent")]
    rewrite(Failing(errors), increment, notice=said.append)
    assert said == ["held", "silent"]


def test_what_the_edit_raises_ends_it_at_once() -> None:
    branch = FakeIacRepository({"count": "0"})
    tip = branch.tip()

    def conflict(_read: Read) -> Changes:
        raise Conflict("both changed it")

    with pytest.raises(Conflict):
        rewrite(branch, conflict)
    assert branch.tip() == tip
