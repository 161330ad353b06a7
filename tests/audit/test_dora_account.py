"""Random histories, told by whoever makes them and counted from their files: both must agree."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import pytest

from pipegraft.audit.dora import Deployment, deployments_of
from pipegraft.audit.release_commits import Book
from pipegraft.iac.archive import Version
from pipegraft.iac.ports import Commit

PATH = "environments/production.yaml"
Told = list[list[float | None]]
State = tuple[int, int, str]
"""Number of the release, value of the configuration, image."""


class Teller:
    """Makes a history and keeps an account of it: start, end and undoing of each deployment."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.time, self.number, self.replicas = 1_000_000, 1, 1
        self.texts: list[tuple[int, str]] = []
        self.told: Told = []
        self.reverts = 0
        self.gray: tuple[State, int] | None = None
        self.tried: int | None = None
        self.served: list[tuple[State, int]] = []
        self.serve((1, 0, self.image()))

    @property
    def state(self) -> State:
        return self.served[-1][0]

    def image(self) -> str:
        return hashlib.sha256(self.random.randbytes(8)).hexdigest()

    def write(self, state: State) -> float:
        number, limit, image = state
        text = (
            f"release:\n  number: {number}\n  source: x\ncomponents:\n  web:\n"
            f"    replicas: {self.replicas}\n    image: r/web@sha256:{image}\n    env: {{LIMIT: '{limit}'}}\n"
        )
        if self.gray:
            (number, new_limit, new_image), weight = self.gray
            changes = [f"image: r/web@sha256:{new_image}"] if new_image != image else []
            changes += [f"env: {{LIMIT: '{new_limit}'}}"] if new_limit != limit else []
            text += (
                f"gray:\n  release: {{number: {number}, source: x}}\n  weight: {weight}\n  phase: step\n"
                f"  components:\n    web: {{{', '.join(changes)}}}\n"
            )
        self.time += self.random.randint(1, 10_000)
        self.texts.append((self.time, text))
        return self.time

    def serve(self, state: State) -> None:
        """A release, by gray steps or at once, or somebody's own image."""
        promoted = self.gray is not None and self.gray[0] == state
        self.gray = None
        time = self.write(state)
        if not promoted:
            self.end(time if self.served and state[0] == self.state[0] else None)
        self.told.append([self.tried if promoted and self.tried else time, time, None])
        self.tried = None
        self.served.append((state, len(self.told)))

    def end(self, undone: float | None) -> None:
        if self.tried:
            self.told.append([self.tried, None, undone])
            self.reverts += undone is not None
        self.tried = None

    def new(self) -> State:
        self.number += 1
        _, limit, image = self.state
        return self.random.choice(
            [
                (self.number, limit, self.image()),
                (self.number, limit + self.number, image),
                (self.number, limit + self.number, self.image()),
            ]
        )

    def release(self) -> None:
        self.serve(self.new())

    def by_hand(self) -> None:
        number, limit, _ = self.state
        self.serve((number, limit, self.image()))

    def scale(self) -> None:
        self.replicas += 1
        self.write(self.state)

    def prepare(self) -> None:
        self.gray = (self.new(), 0)
        self.write(self.state)
        self.end(None)

    def weigh(self) -> None:
        if self.gray:
            self.gray = (self.gray[0], self.gray[1] + 1)
            time = self.write(self.state)
            self.tried = self.tried or int(time)

    def promote(self) -> None:
        if self.gray:
            self.serve(self.gray[0])

    def take_back(self) -> None:
        if self.gray:
            self.gray = None
            self.end(self.write(self.state))
        elif len(self.served) > 1:
            del self.served[-self.random.randint(1, min(3, len(self.served) - 1)) :]
            state, since = self.served[-1]
            time = self.write(state)
            for one in self.told[since:]:
                if one[1] is not None and one[2] is None:
                    one[2] = time
            self.reverts += 1

    def book(self) -> Book:
        versions = [
            Version(Commit(f"{at:040x}", None, "", time), {PATH: str(at)}, {})
            for at, (time, _) in enumerate(self.texts)
        ]
        texts = {str(at): text for at, (_, text) in enumerate(self.texts)}
        return Book("production", PATH, versions[::-1], lambda names: [(name, texts[name]) for name in names])


@pytest.mark.parametrize("seed", range(40))
def test_the_count_agrees_with_the_account(seed: int) -> None:
    teller = Teller(seed)
    steps: list[Callable[[], None]] = [
        *([teller.weigh] * 4),
        *([teller.prepare, teller.promote] * 2),
        teller.release,
        teller.by_hand,
        teller.scale,
        teller.take_back,
    ]
    for _ in range(80):
        teller.random.choice(steps)()
    done, reverts = deployments_of(teller.book())
    assert [facts(one) for one in done] == teller.told
    assert len(reverts) == teller.reverts


def facts(one: Deployment) -> list[float | None]:
    return [one.started, one.finished, one.undone]
