"""An application's IaC branch in memory, as Pipegraft's stages leave it."""

from __future__ import annotations

from collections.abc import Sequence

from pipegraft.core.errors import Unreachable
from pipegraft.iac.archive import FakeArchive
from pipegraft.iac.ports import FakeIacRepository

START = 1_800_000_000.0


def image(letter: str, component: str = "web") -> str:
    return f"registry.example.com/shop/{component}@sha256:{letter * 64}"


def text(release: int, serving: str, gray: str = "") -> str:
    mark = f"release: {{number: {release}, source: s{release}}}\n"
    return f"{mark}components:\n  web: {{image: {image(serving)}}}\n{gray}"


def gray(release: int, letter: str, weight: int, phase: str = "step") -> str:
    return (
        f"gray:\n  release: {{number: {release}, source: s{release}}}\n  weight: {weight}\n  phase: {phase}\n"
        f"  components:\n    web: {{image: {image(letter)}}}\n"
    )


def message(release: int, step: str, environment: str, why: str = "", **trailers: str) -> str:
    told = {
        "Pipegraft-App": "shop",
        "Pipegraft-Environment": environment,
        "Pipegraft-Release": str(release),
        "Pipegraft-Source-Commit": f"s{release}",
        "Pipegraft-Step": step,
        **{f"Pipegraft-{key}": value for key, value in trailers.items()},
    }
    body = f"{why}\n\n" if why else ""
    ending = "\n".join(f"{key}: {value}" for key, value in told.items())
    return f"shop: {step} release {release} in {environment}\n\n{body}{ending}\n"


class World:
    """A repository whose clock goes an hour on with each commit."""

    def __init__(self, folder: str = "", app: str = "shop") -> None:
        self.hours = 0
        self.folder = f"{folder}/" if folder else ""
        self.branch = FakeIacRepository({f"{self.folder}app.yaml": f"app: {app}\n"}, self.now)
        self._archive = FakeArchive(self.branch)
        self.reads = 0

    @property
    def archive(self) -> FakeArchive:
        """Its history; counts how often somebody asks for it."""
        self.reads += 1
        return self._archive

    def now(self) -> float:
        return START + 3600.0 * self.hours

    def write(self, environment: str, content: str, said: str) -> str:
        self.hours += 1
        path = f"{self.folder}environments/{environment}.yaml"
        return self.branch.commit({path: content}, said, self.branch.tip())

    def tip(self) -> str:
        return self.branch.tip()

    def close(self) -> None:
        pass


def deliver(world: World, environments: Sequence[str] = ("staging", "production")) -> World:
    """Release 1 and 2 everywhere, release 3 in the first environment alone."""
    for number, letter in ((1, "a"), (2, "b")):
        for environment in environments:
            world.write(environment, text(number, letter), message(number, "bump", environment))
    world.write(environments[0], text(3, "c"), message(3, "bump", environments[0], Gate="succeeded abc 3s"))
    return world


class Nowhere:
    """A repository that does not answer."""

    archive = FakeArchive(FakeIacRepository())

    def tip(self) -> str:
        raise Unreachable("git.example.com does not answer")

    def close(self) -> None:
        pass
