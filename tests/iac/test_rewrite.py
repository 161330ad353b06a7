from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from pipegraft.core.clock import FakeClock
from pipegraft.core.errors import Conflict, Locked, TipMoved, Unreachable
from pipegraft.iac.optimistic_commit import Changes, Read, rewrite
from pipegraft.iac.ports.repository import FakeIacRepository


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
    branch, clock = Busy({"count": "0"}, others=30), FakeClock()
    done = rewrite(branch, increment, clock=clock, rng=random.Random(1))
    assert (done.written, done.attempts) == (True, 31)
    assert branch.read("count", branch.tip()) == "31"
    assert done.commit == branch.tip()


def test_nothing_to_do_writes_nothing() -> None:
    branch = FakeIacRepository({"count": "7"})
    tip = branch.tip()
    for change in (lambda _read: None, lambda _read: Changes({"count": "7"}, "same")):
        done = rewrite(branch, change, clock=FakeClock(), rng=random.Random(1))
        assert (done.commit, done.written) == (tip, False)
    assert branch.tip() == tip


def test_only_files_that_differ_are_written() -> None:
    branch = FakeIacRepository({"same": "1", "count": "1"})
    seen: list[Mapping[str, str | None]] = []
    commit = branch.commit
    branch.commit = lambda changes, message, parent: seen.append(changes) or commit(changes, message, parent)  # type: ignore[method-assign, func-returns-value]
    rewrite(
        branch, lambda _: Changes({"same": "1", "count": "2"}, "m"), clock=FakeClock(), rng=random.Random(1)
    )
    assert seen == [{"count": "2"}]


def test_a_branch_that_never_stands_still_ends_at_the_deadline() -> None:
    branch, clock = Busy({"count": "0"}, others=10**6), FakeClock()
    start = clock.now()
    with pytest.raises(TipMoved):
        rewrite(branch, increment, clock=clock, rng=random.Random(1), deadline=60.0)
    assert 60.0 <= clock.now() - start < 61.0


def test_waits_are_jittered_and_bounded() -> None:
    branch, clock = Busy({"count": "0"}, others=50), FakeClock()
    rewrite(branch, increment, clock=clock, rng=random.Random(1), deadline=1000.0)
    assert len(set(clock.slept)) == len(clock.slept) == 50
    assert max(clock.slept) <= 10.0


@pytest.mark.parametrize("error", [Locked("held"), Unreachable("silent")])
def test_a_lock_or_silence_is_waited_out(error: Exception) -> None:
    branch = Failing([error] * 3)
    done = rewrite(branch, increment, clock=FakeClock(), rng=random.Random(1))
    assert done.attempts == 4
    assert branch.read("count", branch.tip()) == "1"


@pytest.mark.parametrize("error", [Locked("held"), Unreachable("silent")])
def test_a_lock_or_silence_that_stays_is_given_up(error: Exception) -> None:
    clock = FakeClock()
    start = clock.now()
    with pytest.raises(type(error)):
        rewrite(Failing([error] * 10**4), increment, clock=clock, rng=random.Random(1), patience=20.0)
    assert 20.0 <= clock.now() - start < 25.0


def test_each_wait_says_why() -> None:
    said: list[str] = []
    errors: list[Exception] = [Locked("held"), Unreachable("silent")]
    rewrite(Failing(errors), increment, clock=FakeClock(), rng=random.Random(1), notice=said.append)
    assert said == ["held", "silent"]


def test_what_the_edit_raises_ends_it_at_once() -> None:
    branch = FakeIacRepository({"count": "0"})
    tip = branch.tip()

    def conflict(_read: Read) -> Changes:
        raise Conflict("both changed it")

    with pytest.raises(Conflict):
        rewrite(branch, conflict, clock=FakeClock(), rng=random.Random(1))
    assert branch.tip() == tip
