"""What every `Clock`, `Progress` and `ReleaseStore` does.

Subclass a suite in a test module and give it its fixtures: `clock`; `progress` and `said`, a function that
answers everything shown or kept so far as text; `open_store`, a function that opens one and the same store
anew, as the next stage does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipegraft.core.ports import Clock, Event, Progress
from pipegraft.core.release import EnvironmentRelease, IacCommit, Release, ReleaseStore, Source

__all__ = ["ClockSuite", "ProgressSuite", "ReleaseStoreSuite", "release_of"]


_YEAR_2020 = 1_577_836_800.0


class ClockSuite:
    """The contract of `Clock`."""

    def test_it_counts_seconds_since_the_epoch(self, clock: Clock) -> None:
        assert clock.now() > _YEAR_2020

    def test_time_does_not_pass_backwards(self, clock: Clock) -> None:
        first = clock.now()
        assert clock.now() >= first

    def test_sleeping_takes_the_time_it_is_given(self, clock: Clock) -> None:
        before = clock.now()
        clock.sleep(0.05)
        assert clock.now() - before >= 0.05 - 0.005  # the wall clock may be adjusted meanwhile

    @pytest.mark.parametrize("seconds", [0.0, -3600.0])
    def test_nothing_to_wait_for_is_not_waited_for(self, clock: Clock, seconds: float) -> None:
        before = clock.now()
        clock.sleep(seconds)
        assert 0 <= clock.now() - before < 60


_KINDS = ("commit", "verdict", "judgement", "warning")


class ProgressSuite:
    """The contract of `Progress`."""

    @pytest.mark.parametrize("kind", ["started", *_KINDS, "finished", "a-kind-nobody-knows"])
    def test_every_kind_is_shown_without_a_subject_or_data(
        self, progress: Progress, said: Callable[[], str], kind: str
    ) -> None:
        progress.emit(Event("started", "the stage begins", "image-build"))
        progress.emit(Event(kind, "what has happened"))
        progress.emit(Event("finished", "done", "image-build", {"seconds": 1.0, "ok": True}))
        assert "what has happened" in said() or kind == "started"  # which a live view shows while it lasts

    def test_markup_and_brackets_are_text(self, progress: Progress, said: Callable[[], str]) -> None:
        progress.emit(Event("warning", "expected [bold] and [/x], found [0]", "[web]"))
        assert "expected [bold] and [/x], found [0]" in said()

    def test_many_threads_may_tell_at_once(self, progress: Progress, said: Callable[[], str]) -> None:
        messages = [f"message {number:03} of many" for number in range(64)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda message: progress.emit(Event("commit", message)), messages))
        found = said()
        assert [found.count(message) for message in messages] == [1] * len(messages)


def release_of(number: int) -> Release:
    """A record with something in each of its parts that a stage writes."""
    bump = IacCommit(commit="c" * 40, path="environments/production.yaml", outcome="written")
    return Release(
        app="shop",
        source=Source(commit="a" * 40, number=number, pipeline="https://ci.example.com/ü"),
        environments={"production": EnvironmentRelease(bump=bump, outcome="promoted")},
        extra={"smoke-test": {"url": "http://127.0.0.1", "seconds": [0.5, 1]}},
    )


class ReleaseStoreSuite:
    """The contract of `ReleaseStore`."""

    def test_the_next_stage_loads_what_was_saved(self, open_store: Callable[[], ReleaseStore]) -> None:
        open_store().save(release_of(1))
        assert open_store().load() == release_of(1)

    def test_a_record_is_replaced_as_a_whole(self, open_store: Callable[[], ReleaseStore]) -> None:
        open_store().save(release_of(1))
        bare = Release(app="shop", source=Source(commit="b" * 40, number=2))
        open_store().save(bare)
        assert open_store().load() == bare

    def test_whoever_loads_meanwhile_finds_a_whole_record(
        self, open_store: Callable[[], ReleaseStore]
    ) -> None:
        open_store().save(release_of(0))

        def save_all() -> None:
            for number in range(1, 20):
                open_store().save(release_of(number))

        with ThreadPoolExecutor(1) as pool:
            saving = pool.submit(save_all)
            found = [open_store().load().source.number for _ in range(40)]
            saving.result()
        assert found == sorted(found)
        assert open_store().load() == release_of(19)
