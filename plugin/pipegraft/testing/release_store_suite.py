"""What every `ReleaseStore` does.

Subclass `ReleaseStoreSuite` in a test module and give it a fixture `open_store`: a function that opens one
and the same store anew, as the next stage does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pipegraft.core.release import EnvironmentRelease, IacCommit, Release, ReleaseStore, Source

__all__ = ["ReleaseStoreSuite", "release_of"]


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
