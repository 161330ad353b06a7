"""A made-up world for gray releases: a branch, an engine that follows it, requests, and time that jumps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipegraft.app.plugins import shipped_plugins
from pipegraft.appspec.environment_file import bump
from pipegraft.core.delivery import Delivery
from pipegraft.core.ports import FakeClock, RecordingProgress
from pipegraft.core.release import (
    EnvironmentRelease,
    FakeReleaseStore,
    IacCommit,
    Release,
    ReleaseMark,
    Source,
)
from pipegraft.core.stage import Port, StageContext
from pipegraft.gate.ports import ENGINE, ConnectedEngine, State, Status, Verdict
from pipegraft.gray.judgement import Answer
from pipegraft.gray.observation import ArmCounts
from pipegraft.gray.ports import (
    BASELINE_METRICS,
    JUDGE,
    METRICS,
    ROLLOUT,
    Arms,
    ConnectedRollout,
    FakeJudge,
    FakeRollout,
    FakeSource,
    Judge,
    MetricSource,
    RolloutPhase,
    RolloutRule,
    RolloutSeen,
    RolloutVerdict,
)
from pipegraft.gray.stage import GrayReleaseInputs, run
from pipegraft.iac.commits import commit_message, release_trailers
from pipegraft.iac.ports import IAC, RENDERERS, FakeIacRepository, Renderer


def commit_of(number: int) -> str:
    """Commit of the source repository that release `number` comes from."""
    return f"{number:040x}".replace("0", "a")


PRODUCTION = "environments/production.yaml"
OLD = "registry.example.com/shop/web@sha256:" + "1" * 64
NEW = "registry.example.com/shop/web@sha256:" + "2" * 64
NEWER = "registry.example.com/shop/web@sha256:" + "3" * 64
STABLE = f"""\
# what runs in production
release: {{number: 12, source: {commit_of(12)}}}   # set by pipegraft
components:
  web:
    image: {OLD}
    replicas: 2   # two are enough
"""
APP = """\
app: shop
components:
  web:
    ports: {http: 8080}
    entrance: {router: gateway-api}
"""
GOOD = Arms(ArmCounts(900, 1), ArmCounts(100, 0))


class FollowingEngine:
    """Has the newest commit live at once, unless told otherwise.

    Arguments:
        verdict: environment file's text → what the engine says of it.
    """

    def __init__(self, branch: FakeIacRepository, clock: FakeClock) -> None:
        self._branch = branch
        self._clock = clock
        self.verdict: Callable[[str], Verdict] = lambda _text: Verdict(State.SUCCEEDED, "all is well")
        self.live: list[str] = []

    def observe(self, *, anew: bool = False) -> Status:
        del anew
        text = self._branch.read(PRODUCTION, self._branch.tip()) or ""
        self.live.append(text)
        return {"revision": self._branch.tip(), "text": text}

    def request_sync(self) -> None:
        """It looks all the time."""

    def explain(self) -> Sequence[str]:
        return ()

    def wait(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def rule(self, status: Status, at_target: Callable[[str], bool]) -> Verdict:
        if not at_target(status["revision"]):
            return Verdict(State.PROGRESSING, "not there yet")
        return self.verdict(status["text"])


class World:
    """An environment whose stable release is 12; release 13 is to be released."""

    def __init__(self, text: str = STABLE, **gray: Any) -> None:
        self.clock = FakeClock()
        self.branch = FakeIacRepository({PRODUCTION: text, "app.yaml": APP}, self.clock.now)
        self.engine = FollowingEngine(self.branch, self.clock)
        self.source: MetricSource = FakeSource([GOOD])
        self.judge: Judge = FakeJudge(Answer.PASS)
        self.progress = RecordingProgress()
        self.rollout = FakeRollout(RolloutSeen(None))
        self.reads: RolloutRule = lambda _seen, _ours, _since: RolloutVerdict(RolloutPhase.PROMOTED, "done")
        self.renderers: Mapping[str, Renderer] = {}
        self.connections = _Connections(self)
        usual = {"steps": [10, 50], "interval": "60s", "warm-up": "0s", "on-inconclusive": "rollback"}
        declared = {**usual, "metrics": [{"source": "fake"}], **gray}
        self.stepwise = "rollout" not in declared
        declared.setdefault("weight-tolerance", 1000)  # the scripted requests know nothing of weights
        self.delivery = Delivery.model_validate(
            {
                "app": "shop",
                "registry": "registry.example.com/shop",
                "components": {"web": {"path": "web"}},
                "iac": {"repository": "iac.git"},
                "environments": {
                    "staging": {"gate": {"engine": "fake"}},
                    "production": {"gate": {"engine": "fake", "timeout": "1m"}, "gray": declared},
                },
            }
        )

    @property
    def text(self) -> str:
        """The environment file now."""
        return self.branch.read(PRODUCTION, self.branch.tip()) or ""

    @property
    def steps(self) -> list[str]:
        """What each commit did, oldest first."""
        return [
            commit.trailers["Pipegraft-Step"]
            for commit in reversed(self.branch.log(PRODUCTION))
            if "Pipegraft-Step" in commit.trailers
        ]

    def prepare(self, number: int = 13, image: str = NEW) -> None:
        """What iac-bump does."""
        mark = ReleaseMark(number=number, source=commit_of(number))
        gray = self.delivery.environments["production"].gray
        fresh = gray is not None and gray.baseline == "fresh"
        made = bump(self.text, {"web": image}, mark, gray=self.stepwise, file=PRODUCTION, baseline=fresh)
        trailers = release_trailers("shop", "production", self.source_of(number), made.step)
        self.write(made.text, commit_message(f"shop: prepare release {number}", [], trailers))

    def write(self, text: str, message: str = "a person's edit") -> None:
        """Somebody writes the environment file."""
        if text != self.text:
            self.branch.commit({PRODUCTION: text}, message, self.branch.tip())

    @staticmethod
    def source_of(number: int) -> Source:
        return Source(commit=commit_of(number), number=number)

    def context(self, number: int = 13, outcome: str = "written", path: str = PRODUCTION) -> StageContext:
        """A fresh process: nothing but the branch and the release record of iac-bump."""
        bumped = IacCommit.model_validate({"commit": self.branch.tip(), "path": path, "outcome": outcome})
        record = Release(
            app="shop",
            source=self.source_of(number),
            environments={"production": EnvironmentRelease(bump=bumped)},
        )
        self.releases = FakeReleaseStore(record)
        return StageContext(
            self.delivery, Path(), "production", self.connections, self.releases, self.clock, self.progress
        )

    def release(
        self, number: int = 13, outcome: str = "written", path: str = PRODUCTION, **inputs: Any
    ) -> EnvironmentRelease:
        """Run the stage in a fresh process."""
        context = self.context(number, outcome, path)
        run(context, GrayReleaseInputs.model_validate(inputs))
        return self.releases.release.environments["production"]

    @property
    def record(self) -> EnvironmentRelease:
        return self.releases.release.environments["production"]

    def messages(self, kind: str) -> Sequence[str]:
        return [event.message for event in self.progress.events if event.kind == kind]


class _Connections:
    """The world as a stage reaches it; gray-release has no business with images."""

    def __init__(self, world: World) -> None:
        self._world = world

    def open(self, port: Port[..., Any], *_args: Any) -> Any:
        world = self._world
        return {
            IAC: world.branch,
            RENDERERS: world.renderers,
            ENGINE: ConnectedEngine(world.engine, world.engine.rule, 0.0),
            JUDGE: world.judge,
            **{port: {"errors": world.source} for port in (METRICS, BASELINE_METRICS)},
            ROLLOUT: ConnectedRollout(world.rollout, world.reads),
        }[port]

    def calls(self, hook: str, **arguments: object) -> Iterator[tuple[str, Callable[[], Any]]]:
        return shipped_plugins().calls(hook, **arguments)
