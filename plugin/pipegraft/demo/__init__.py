"""The whole delivery on one machine, act by act: real repositories, real processes, and proof at the end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipegraft.core.errors import DeliveryRefused
from pipegraft.demo.world import Traffic, World, answer_of, ask
from pipegraft.iac.ports import Commit

__all__ = ["DemoResult", "Narrator", "run_demo"]

_ENVIRONMENT = "environments/production.yaml"
_APPLICATION = "shop-production"

_DEFECT = """\
        if random.random() < 0.2:
            self.answer(500, {"error": "a defect", "version": VERSION})
            return
"""

Narrator = Callable[[str, str], None]
"""Takes the headline of an act and one line on what is about to be seen."""


@dataclasses.dataclass(frozen=True, slots=True)
class DemoResult:
    """What happened.

    Arguments:
        commits: of the IaC repository, oldest first.
        requests: version → status code → requests that the shop's clients made.
        serving: version → answers, of the requests made after the last act.
        exit_codes: act → exit code of `pipegraft run`.
        restored: whether the rollback left the environment file as it was, byte for byte.
        seconds: from start to end.
        folder: where everything lies, if it was kept.
    """

    commits: tuple[Commit, ...]
    requests: Mapping[str, Mapping[str, int]]
    serving: Mapping[str, int]
    exit_codes: Mapping[str, int]
    restored: bool
    seconds: float
    folder: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        data = dataclasses.asdict(self)
        data["commits"] = [
            {"commit": one.id, "subject": one.message.splitlines()[0], "trailers": dict(one.trailers)}
            for one in self.commits
        ]
        return data


def run_demo(folder: Path, narrate: Narrator, *, kept: bool) -> DemoResult:
    """Play the whole story.

    Arguments:
        folder: an empty folder, or one that an earlier demonstration was played in.
        narrate: told of each act before it starts.
        kept: whether the folder stays.

    Raises:
        DeliveryRefused: the story did not end as it must: v2 serves, v3 was taken back.
    """
    started = time.monotonic()
    world = World(folder)
    world.claim()
    world.prepare()
    _inject(world, narrate)
    exit_codes: dict[str, int] = {}
    with world.engine() as engine:
        narrate(
            "Deliver v1",
            "image-build → iac-bump → sync-gate; nothing runs yet, so there is nothing to compare with",
        )
        exit_codes["v1"] = _must(world.pipegraft("run"), 0, "v1 was not delivered")
        entrance = _entrance(engine)
        with Traffic(entrance) as traffic:
            exit_codes["v2"] = _deliver_v2(world, narrate)
            before = world.iac_file(_ENVIRONMENT)
            exit_codes["v3"] = _deliver_v3(world, narrate)
            after = world.iac_file(_ENVIRONMENT)
        serving = _serving(entrance)
    result = DemoResult(
        commits=_commits(world),
        requests=traffic.summary(),
        serving=serving,
        exit_codes=exit_codes,
        restored=before == after,
        seconds=round(time.monotonic() - started, 1),
        folder=str(folder) if kept else None,
    )
    _prove(result)
    return result


def _inject(world: World, narrate: Narrator) -> None:
    narrate(
        "Graft delivery onto the team's pipeline",
        "$ pipegraft inject .gitlab-ci.yml    (then again, to see that nothing changes)",
    )
    _must(world.pipegraft("inject", ".gitlab-ci.yml"), 0, "the pipeline could not be injected")
    world.commit("ci: graft delivery onto the pipeline")
    _must(world.pipegraft("inject", ".gitlab-ci.yml", show=False), 0, "the second injection failed")
    if world.git(world.source, "status", "--porcelain"):
        raise DeliveryRefused("the second injection changed something")


def _deliver_v2(world: World, narrate: Narrator) -> int:
    narrate(
        "Gray release of v2, a good one",
        "two components change; each weight is a commit, judged on real requests",
    )
    world.change("services/web/web.py", [('VERSION = "v1"', 'VERSION = "v2"')])
    world.change("components/pricing/pricing.py", [('VERSION = "v1"', 'VERSION = "v2"')])
    world.commit("shop: v2")
    return _must(world.pipegraft("run"), 0, "v2 was not promoted")


def _deliver_v3(world: World, narrate: Narrator) -> int:
    narrate("Gray release of v3, which fails one request in five", "nobody lends a hand")
    world.change(
        "services/web/web.py",
        [
            ('VERSION = "v2"', 'VERSION = "v3"'),
            ("import json\n", "import json\nimport random\n"),
            ("        cents = pricing.total(", _DEFECT + "        cents = pricing.total("),
        ],
    )
    world.commit("shop: v3, with a defect")
    return _must(world.pipegraft("run"), 1, "v3 was not taken back")


def _entrance(engine: str) -> str:
    status = answer_of(f"{engine}/applications/{_APPLICATION}").json()
    return str(status["entrances"]["web"])


def _serving(entrance: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for _ in range(40):
        status, version = ask(entrance)
        answer = (
            version if status == 200 else f"{version}: {status}"
        )  # only a good answer counts for its version
        found[answer] = found.get(answer, 0) + 1
    return found


def _commits(world: World) -> tuple[Commit, ...]:
    raw = world.git(
        world.iac,
        "log",
        "--reverse",
        "--first-parent",
        "--format=%H%x1f%P%x1f%ct%x1f%an <%ae>%x1f%B%x1e",
        "main",
    )
    commits = []
    for entry in raw.split("\x1e"):
        if entry.strip():
            name, parents, seconds, author, message = entry.strip("\n").split("\x1f")
            commits.append(Commit(name, parents.split(" ")[0] or None, message, float(seconds), author))
    return tuple(commits)


def _must(exit_code: int, expected: int, complaint: str) -> int:
    if exit_code != expected:
        raise DeliveryRefused(f"{complaint}: expected exit code {expected}, found {exit_code}")
    return exit_code


def _prove(result: DemoResult) -> None:
    if set(result.serving) != {"v2"}:
        raise DeliveryRefused(f"expected v2 to serve every request, found {dict(result.serving)}")
    if not result.restored:
        raise DeliveryRefused("expected the rollback to restore the environment file byte for byte")
