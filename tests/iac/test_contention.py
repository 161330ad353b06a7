"""Many writers of one branch on as many machines, in simulated time: what the back-off windows are worth."""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import pytest

from pipegraft.core.errors import TipMoved
from pipegraft.iac.optimistic_commit import Changes, Rewritten, rewrite

LOOK, READ, READ_AGAIN, PUSH, OWN = 0.010, 0.020, 0.010, 0.065, 0.050
"""Processor seconds of a request, as `python -m benchmarks bump` finds them; the last is the writer's own."""


class World:
    """Simulated time. One writer runs at once, the one whose turn in time it is, so all is deterministic."""

    def __init__(self, cores: int) -> None:
        self.now = 0.0
        self._free = [0.0] * cores
        self._waiting: list[tuple[float, int, threading.Semaphore]] = []
        self._paused = threading.Semaphore(0)
        self._count = 0

    def wait_until(self, time: float) -> None:
        """Let others run until then."""
        woken = threading.Semaphore(0)
        self._count += 1
        heapq.heappush(self._waiting, (time, self._count, woken))
        self._paused.release()
        woken.acquire()

    def serve(self, seconds: float) -> None:
        """One request to the server, whose cores take requests in the order they come."""
        core = self._free.index(min(self._free))
        self._free[core] = max(self.now, self._free[core]) + seconds
        self.wait_until(self._free[core])

    def run(self, writers: list[Callable[[], None]]) -> None:
        """Run all writers to their end."""

        def run_one(writer: Callable[[], None]) -> None:
            self.wait_until(0.0)
            try:
                writer()
            finally:
                self._paused.release()

        for writer in writers:
            threading.Thread(target=run_one, args=(writer,), daemon=True).start()
            self._paused.acquire()
        while self._waiting:
            self.now, _, woken = heapq.heappop(self._waiting)
            woken.release()
            self._paused.acquire()


@dataclass
class Clock:
    world: World

    def now(self) -> float:
        return self.world.now

    def sleep(self, seconds: float) -> None:
        self.world.wait_until(self.world.now + max(0.0, seconds))


@dataclass
class Server:
    """A branch; its tip is how many commits it has."""

    commits: list[int] = field(default_factory=list)


@dataclass
class Remote:
    """The branch as one writer reaches it: what each request costs, and when it looks once more."""

    world: World
    server: Server
    writer: int
    shared: bool
    read_before: bool = False
    contended: bool = False
    looked: float = 0.0

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def tip(self) -> str:
        self.world.serve(LOOK)
        self.looked = self.world.now
        return str(len(self.server.commits))

    def read(self, path: str, at: str) -> str | None:
        return None

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        self.world.serve(READ_AGAIN if self.read_before else READ)
        if self.shared:
            self.world.serve(OWN)
        else:
            self.world.wait_until(self.world.now + OWN)
        self.read_before = True
        if (self.contended or self.world.now - self.looked > 1.0) and self.tip() != parent:
            raise self._moved()
        self.world.serve(PUSH)
        if str(len(self.server.commits)) != parent:
            raise self._moved()
        self.server.commits.append(self.writer)
        return str(len(self.server.commits))

    def _moved(self) -> TipMoved:
        self.contended = True
        return TipMoved("moved")


def race(writers: int, seed: int, *, shared: bool = False) -> tuple[float, int]:
    """How long writers at once take against one after another, and how often they try.

    Arguments:
        shared: whether the writers work on the server's two cores too.
    """
    world, server = World(2), Server()
    done: list[Rewritten] = []

    def write(number: int) -> None:
        done.append(
            rewrite(
                Remote(world, server, number, shared),
                lambda _read: Changes({f"app-{number}": "new"}, "bump"),
                clock=Clock(world),
                rng=random.Random(f"{seed} {number}"),
            )
        )

    world.run([lambda number=number: write(number) for number in range(writers)])  # type: ignore[misc]
    assert sorted(server.commits) == list(range(writers))
    assert all(one.written for one in done)
    serial = writers * (LOOK + READ + OWN + PUSH)
    return world.now / serial, sum(one.attempts for one in done)


@pytest.mark.parametrize(
    ("writers", "shared", "longest", "most"),
    [
        (2, False, 2.0, 1.6),
        (5, False, 2.2, 2.4),
        (24, False, 2.3, 3.6),
        (24, True, 2.7, 3.2),
        (100, False, 2.2, 5.2),
        (100, True, 3.0, 4.0),
        (300, False, 2.3, 6.5),
    ],
)
def test_writers_on_many_machines_get_through_without_trying_long(
    writers: int, shared: bool, longest: float, most: float
) -> None:
    races = [race(writers, seed, shared=shared) for seed in range(2 if writers > 100 else 5)]
    assert sum(ratio for ratio, _ in races) / len(races) < longest
    assert sum(attempts for _, attempts in races) / len(races) / writers < most


def test_a_race_is_the_same_each_time() -> None:
    assert race(10, 1) == race(10, 1)
