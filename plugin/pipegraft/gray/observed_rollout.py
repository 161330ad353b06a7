"""Accompanying a rollout that a controller in the cluster drives by itself.

The controller moves the requests. We say what it does, judge what the new version shows if metrics are
declared, let it go on where it waits, and take the release back by a commit when the controller or the judge
finds it bad.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipegraft.appspec.environment_file import environment_path, images_of, read_environment
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import Held, RolledBack, UsageError
from pipegraft.core.reading import readable
from pipegraft.core.release import EnvironmentRelease, GrayStep
from pipegraft.core.stage import StageContext
from pipegraft.gate.ports import ENGINE, State
from pipegraft.gate.waiting import Patience, wait_for_revision
from pipegraft.gray.analysis import GrayWatch
from pipegraft.gray.history import as_data, look_data
from pipegraft.gray.judgement import Answer, Judgement, judge_policy
from pipegraft.gray.ports import JUDGE, METRICS, ROLLOUT, Rollout, RolloutPhase, RolloutVerdict
from pipegraft.gray.views import look_sentence, look_table
from pipegraft.iac.ports import IAC, renderers_of
from pipegraft.iac.released_images import read_state, state_path
from pipegraft.iac.rollback import RollbackRequest, roll_back

__all__ = ["RolloutDrive", "RolloutRelease", "runs_release"]

_NEWEST = 200
"""Commits of one file that are searched."""


class RolloutRelease:
    """What iac-bump wrote, and what became of it.

    Arguments:
        context: the stage's.
        environment: name of the environment.

    Raises:
        UsageError: iac-bump wrote nothing yet.
    """

    def __init__(self, context: StageContext, environment: str) -> None:
        record = context.releases.load()
        bump = record.environments.get(environment, EnvironmentRelease()).bump
        if bump is None:
            raise UsageError(f"nothing was released in {environment} yet", fix="run iac-bump first")
        self._environment = environment
        self._branch = context.open(IAC)
        self._delivery = context.delivery
        self._path = bump.path
        self.number = record.source_in(environment).number
        self.commit = bump.commit
        """What iac-bump committed."""
        self.outcome = bump.outcome
        """What iac-bump did."""
        log = self._branch.log(self._path, limit=_NEWEST)
        mine = next((commit for commit in log if commit.id == bump.commit), None)
        self.committed = mine.time if mine else 0.0
        """When that was, in seconds since the epoch."""
        self.before = mine.parent if mine else None
        """The commit before it."""
        self._pins = {f":{image.input_hash}" for image in record.images.values()}
        self._pins |= {f"@{reference.rpartition('@')[2]}" for reference in self._references()}

    def _references(self) -> list[str]:
        folder = self._delivery.iac.path
        if self._delivery.environments[self._environment].targets:
            file = state_path(folder, self._environment)
            return list(read_state(self._branch.read(file, self.commit), file).images.values())
        file = environment_path(folder, self._environment)
        return list(images_of(read_environment(self._branch.read(file, self.commit) or "", file)).values())

    def is_ours(self) -> bool:
        """Whether there is anything to accompany."""
        return self.outcome == "written"

    def runs_in(self, workload: Mapping[str, Any]) -> bool:
        """Whether a workload's pod template is of this release."""
        return runs_release(workload, self._pins)

    def gone(self) -> str:
        """``superseded``, or why it was taken back; empty while it stands."""
        for commit in self._branch.log(self._path, limit=_NEWEST):
            if commit.id == self.commit:
                break
            trailers = commit.trailers
            if trailers.get("Pipegraft-Environment") != self._environment:
                continue
            number = trailers.get("Pipegraft-Release", "")
            if trailers.get("Pipegraft-Step") == "rollback" and number == str(self.number):
                return f"by commit {commit.id[:12]} of {commit.author or 'somebody'}"
            if number.isdecimal() and int(number) > self.number:
                return "superseded"
        return ""


class RolloutDrive:
    """One process accompanying one rollout.

    Arguments:
        context: the stage's.
        gray: how the environment declares its gray releases.
        wait: stay until the rollout has ended; else say where it stands, do what is due, and end.
        poll: seconds between two looks.
        pause_timeout: seconds to wait for a person where the controller waits and no judge decides.
    """

    def __init__(
        self, context: StageContext, gray: Gray, *, wait: bool, poll: float, pause_timeout: float
    ) -> None:
        self._context = context
        self._environment = context.require_environment()
        self._gray = gray
        self._wait = wait
        self._poll = poll
        self._pause_timeout = pause_timeout
        self._release = RolloutRelease(context, self._environment)
        self._watch: GrayWatch | None = None
        self._watched: int | None = None
        self._step_judged: int | None = None
        self._judgement: Judgement | None = None
        self._looks: list[Mapping[str, Any]] = []
        self._waits_since: float | None = None
        self._said = ""

    def run(self) -> None:
        """Go on until the controller has ended the rollout, or this process has done its part.

        Raises:
            RolledBack: the controller or the judge found it bad, or a person took it back.
            Held: the controller waits for a person, or it took too long.
            OutsideError: the cluster or the repository did not answer.
        """
        if not self._release.is_ours():
            self._end(self._release.outcome, "there is nothing to accompany")
            return
        clock = self._context.clock
        started = clock.now()
        rollout, rule = self._context.open(ROLLOUT, self._environment)
        while self._stands():
            with readable("the rollout's controller"):
                verdict = rule(rollout.observe(), self._release.runs_in, self._release.committed)
            self._tell(verdict)
            if verdict.phase is RolloutPhase.PROMOTED:
                self._step(verdict, "promoted")
                self._end("promoted", f"release {self._release.number}: {verdict.reason}")
                return
            if verdict.phase is RolloutPhase.FAILED:
                self._take_back(f"the controller ended it: {verdict.reason}")
            if verdict.weight is None:
                self._ask_engine()
            self._act(verdict, rollout)
            if clock.now() - started >= self._gray.timeout:
                self._hold(f"not at its end after {self._gray.timeout:g} seconds: {verdict.reason}")
            if not self._wait:
                self._end("in-progress", f"release {self._release.number}: {verdict.reason}")
                return
            clock.sleep(self._poll)

    def _stands(self) -> bool:
        """Whether the release is still the newest one; one that a person took back ends here."""
        gone = self._release.gone()
        if gone == "superseded":
            self._end("superseded", "a newer release took over")
        elif gone:
            self._taken_back(gone)
        return not gone

    def _ask_engine(self) -> None:
        """Find out whether the GitOps engine refuses what the controller has not begun with yet."""
        engine, rule, _ = self._context.open(ENGINE, self._environment)
        history = self._context.open(IAC)
        with readable("the GitOps engine"):
            seen = rule(engine.observe(), lambda at: history.contains(self._release.commit, at=at))
        if seen.state is State.FAILED:
            self._take_back(f"the engine did not take it over: {seen.reason}")

    def _act(self, verdict: RolloutVerdict, rollout: Rollout) -> None:
        """Do what the judge says."""
        judgement = self._judge(verdict)
        decision = self._decide(verdict, judgement)
        reason = judgement.reason if judgement else ""
        if decision == "abort":
            rollout.abort()
            self._take_back(reason)
        elif decision == "go on":
            rollout.go_on()
            self._context.report("progress", f"went on: {reason}", self._environment)
            self._judgement = None

    def _tell(self, verdict: RolloutVerdict) -> None:
        shown = "" if verdict.weight is None else f"{verdict.weight}%: "
        said = f"{shown}{verdict.phase}: {verdict.reason}"
        if said != self._said:
            self._said = said
            self._context.report("progress", said, self._environment, weight=verdict.weight)

    def _judge(self, verdict: RolloutVerdict) -> Judgement | None:
        """What the judge says once an interval is over; None without metrics or requests to gray."""
        if not self._gray.metrics or not verdict.weight:
            return None
        now = self._context.clock.now()
        if self._watch is None:
            self._watch = GrayWatch(
                self._context.open(METRICS, self._environment),
                self._context.open(JUDGE, self._environment),
                judge_policy(self._gray),
                (),
                self._context.progress,
            )
            self._watch.begin(now, now)
        elif verdict.weight != self._watched:
            self._watch.begin(now, now)
            self._judgement = None  # it was of another weight
        elif verdict.step != self._step_judged:
            self._judgement = None  # each pause is judged anew
        self._watched, self._step_judged = verdict.weight, verdict.step
        if now - self._watch.end >= self._gray.interval:
            self._judgement = self._watch.look(verdict.weight, now, self._gray.interval)
            self._looks.append(look_data(self._watch.step[-1], self._judgement))
            policy, seen = judge_policy(self._gray), self._watch.observations
            said = f"{verdict.weight}%: {look_sentence(policy, seen, self._judgement)}"
            table = look_table(policy, seen, self._judgement)
            self._context.report("judgement", said, self._environment, table=table, **self._looks[-1])
        return self._judgement

    def _decide(self, verdict: RolloutVerdict, judgement: Judgement | None) -> str:
        """What to do: ``abort``, ``go on``, or nothing."""
        waits = verdict.phase is RolloutPhase.WAITING
        if judgement and judgement.answer is Answer.FAIL:
            return "abort"
        if not waits:
            self._waits_since = None
            return ""
        now = self._context.clock.now()
        self._waits_since = now if self._waits_since is None else self._waits_since
        if judgement and judgement.answer is Answer.PASS and not verdict.by_hand:
            return "go on"
        if judgement and judgement.expired and not verdict.by_hand:
            policy = judge_policy(self._gray).outcome(judgement)
            if policy != "hold":
                return "abort" if policy == "rollback" else "go on"
            self._hold(judgement.reason)
        nobody_judges = not self._gray.metrics or not verdict.weight or verdict.by_hand
        if nobody_judges and now - self._waits_since >= (self._pause_timeout if self._wait else 0.0):
            self._hold(verdict.reason)
        return ""

    def _take_back(self, reason: str) -> None:
        """Commit the files as they were, wait until the engine has them, and say no."""
        context = self._context
        branch = context.open(IAC)
        pipeline = context.releases.load().source.pipeline
        request = RollbackRequest(
            context.delivery,
            self._environment,
            self._release.before,
            pipeline=pipeline,
            reason=reason,
            renderers=renderers_of(context, context.delivery, self._environment),
        )
        done = roll_back(branch, request)
        self._record(
            GrayStep(commit=done.commit, weight=0, phase="rolled-back", judgement=self._data(reason))
        )
        context.report(
            "commit", f"rollback: {reason}", self._environment, commit=done.commit, step="rollback"
        )
        gate = context.delivery.environments[self._environment].gate
        engine, rule, settle = context.open(ENGINE, self._environment)
        wait_for_revision(
            engine,
            rule,
            history=branch,
            target=done.commit,
            patience=Patience(gate.timeout, settle),
            clock=context.clock,
            progress=context.progress,
        )
        self._taken_back(reason)

    def _taken_back(self, reason: str) -> None:
        self._end("rolled-back", f"release {self._release.number} was taken back")
        raise RolledBack(f"release {self._release.number} was rolled back in {self._environment}: {reason}")

    def _hold(self, reason: str) -> None:
        self._end("held", f"release {self._release.number} waits for a person")
        raise Held(
            f"release {self._release.number} waits in {self._environment}: {reason}",
            fix=f"`pipegraft gray approve` or `pipegraft gray abort`, with `--env {self._environment}`; then "
            "run this stage again",
        )

    def _step(self, verdict: RolloutVerdict, phase: str) -> None:
        weight = 100 if verdict.weight is None else verdict.weight
        data = self._data(verdict.reason)
        self._record(GrayStep(commit=self._release.commit, weight=weight, phase=phase, judgement=data))

    def _data(self, reason: str) -> Mapping[str, Any]:
        return {**as_data(self._judgement), "looks": self._looks} if self._judgement else {"reason": reason}

    def _record(self, step: GrayStep) -> None:
        part = self._context.releases.load().environments.get(self._environment, EnvironmentRelease())
        self._context.update_environment(gray=(*part.gray, step))

    def _end(self, outcome: str, message: str) -> None:
        self._context.update_environment(outcome=outcome)
        self._context.report("progress", message, self._environment, outcome=outcome)


def runs_release(workload: Mapping[str, Any], pins: Iterable[str]) -> bool:
    """Whether a workload's pod template has an image of the release.

    Arguments:
        pins: digests, and the tags that stand for them, of every image of the release.
    """
    known = tuple(pins)
    return any(image.endswith(known) for image in _images_in(workload))


def _images_in(workload: Mapping[str, Any]) -> Iterator[str]:
    """Images of a workload's pod template."""
    pod = workload.get("spec", {}).get("template", {}).get("spec", {})
    for kind in ("initContainers", "containers"):
        for container in pod.get(kind) or ():
            yield str(container.get("image", ""))
    for volume in pod.get("volumes") or ():
        if "image" in volume:
            yield str(volume["image"].get("reference", ""))
