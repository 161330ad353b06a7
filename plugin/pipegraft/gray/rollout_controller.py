"""Driving a gray release to its end, from wherever it stands.

Nothing is remembered but what the branch says: any process may end at any moment, and the next one goes
on. Evidence of the weights that are behind us comes from the commits that ended them; the present weight
is observed anew, from its commit on where the sources remember that far, else from now on, after what the
release record kept of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pipegraft.appspec.model import PROMOTING
from pipegraft.appspec.rendering.common import gray_gets_more
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import Held, Locked, OutsideError, RolledBack, SyncFailed, Unreachable, UsageError
from pipegraft.core.release import EnvironmentRelease, GrayStep, GrayWatched, Source
from pipegraft.core.stage import StageContext
from pipegraft.gate.ports import ENGINE
from pipegraft.gate.waiting import Patience, wait_for_revision
from pipegraft.gray.analysis import GrayWatch, together, watch_promoted
from pipegraft.gray.branch import GrayBranch, GraySubject, Look
from pipegraft.gray.forecast import foretell
from pipegraft.gray.history import Chapter, as_data, from_trailer, look_data, step_name, to_trailer, weight_of
from pipegraft.gray.judgement import Judgement, judge_policy
from pipegraft.gray.judging.detectability import outlook
from pipegraft.gray.machine import Do, Move, Standing, next_move, refused
from pipegraft.gray.observation import Observation
from pipegraft.gray.ports import JUDGE, METRICS, metrics_port
from pipegraft.gray.traffic_checks import (
    check_before_traffic,
    harm_to_both,
    hour_before,
    weight_mismatch,
)
from pipegraft.gray.views import look_sentence, look_table
from pipegraft.iac.commits import gate_trailer
from pipegraft.iac.ports import IAC

__all__ = ["GrayDrive", "Pace"]

_BASELINES = {False: "stable", True: "fresh"}
"""Whether fresh pods stand beside gray → what gray is compared with."""
_PATIENCE = 60.0
"""Seconds an IaC repository may be out of reach while a release is under way."""
_PHASES = {
    Do.WEIGHT: "step",
    Do.TAKE_OVER: PROMOTING,
    Do.PROMOTE: "promoted",
    Do.ROLL_BACK: "rolled-back",
    Do.HOLD: "held",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How this process waits.

    Arguments:
        wait: stay until the release has ended; else do what is due, and leave the rest to a later process.
        poll: seconds between two looks for what people and newer releases did.
        pause_timeout: seconds to wait for a person while the release is paused.
        holds: whether a release that waits for a person ends this process with `Held`, if it does not wait.
    """

    wait: bool = True
    poll: float = 5.0
    pause_timeout: float = 3600.0
    holds: bool = True


class GrayDrive:
    """One process driving one release.

    Arguments:
        context: the stage's.
        gray: how the environment declares its gray releases.
        source: where the release comes from.
        pace: how to wait.
    """

    def __init__(self, context: StageContext, gray: Gray, source: Source, pace: Pace) -> None:
        self._context = context
        self._environment = context.require_environment()
        self._gray = gray
        self._pace = pace
        self._policy = judge_policy(gray)
        delivery = context.delivery
        gate = gate_trailer(self._part.gate)
        subject = GraySubject(delivery.app, self._environment, delivery.iac.path, source, gray.steps, gate)
        self._number = source.number
        self._branch = GrayBranch(context.open(IAC), subject)
        self._gated: str | None = None
        self._watch: GrayWatch | None = None
        self._watching: Standing | None = None
        self._raised: Standing | None = None
        self._must_wait = False
        self._watched = ""
        self._judgement: Judgement | None = None
        self._looks: list[Mapping[str, Any]] = []
        self._baked = False

    def run(self) -> None:
        """Go on until the release has ended, or this process has done its part.

        Raises:
            RolledBack: it was judged bad, or taken back by a person.
            Held: it waits for a person.
            SyncFailed: the engine did not take over the end of the release.
            UsageError: the release never came into the environment.
            OutsideError: a system did not answer; the next process goes on.
        """
        while True:
            look = self._look()
            if look.standing.kind == "promoted" and self._gray.bake and not self._baked:
                if not self._bake(look):
                    self._end("in-progress", f"release {self._number} is watched after its promotion")
                    return
                continue
            if look.standing.kind != "gray":
                self._finish(look.standing)
                return
            if look.standing != self._watching:
                self._judgement = None
            move = self._gate(look) or next_move(
                look.standing, self._gray.steps, self._judgement, self._policy
            )
            if move.do is Do.OBSERVE:
                goes_on = self._observe(look)
            elif move.do is Do.WAIT:
                goes_on = self._wait_for_a_person(look)
            else:
                if move.do is Do.WEIGHT and look.standing.weight == 0:
                    self._before_traffic(look)
                goes_on = self._make(look, move) or self._pace.wait
            if not goes_on:
                raised = self._raised if move.do is Do.WEIGHT else None
                self._leave(raised or look.standing)
                return

    def _before_traffic(self, look: Look) -> None:
        """Make sure that gray can be watched, and say what its traffic will show."""
        fresh, now = look.standing.fresh, self._context.clock.now()
        sources = self._context.open(metrics_port(fresh=fresh), self._environment)
        check_before_traffic(self._branch.spec(look), self._gray.router, sources, now)
        gray = self._gray.model_copy(update={"baseline": _BASELINES[fresh]})
        for line in foretell(gray, sources, now):
            self._context.report("outlook", line, self._environment)

    def _leave(self, standing: Standing) -> None:
        """End this process; the message says what the release waits for."""
        if standing.phase not in ("paused", "held"):
            self._end("in-progress", f"release {self._number} is at {standing.weight}%; more is to come")
            return
        reason = self._branch.chapter().reason
        self._end(
            "in-progress",
            f"release {self._number} is {standing.phase} at {standing.weight}%{reason and ': '}{reason}; "
            f"it waits for a person: {self._words}",
        )

    @property
    def _words(self) -> str:
        """What a person may say."""
        return f"`pipegraft gray approve` or `pipegraft gray abort`, with `--env {self._environment}`"

    def _look(self) -> Look:
        """The environment file as it is now; a repository that does not answer is asked again for a while."""
        clock = self._context.clock
        until = clock.now() + _PATIENCE
        while True:
            try:
                return self._branch.look()
            except (Unreachable, Locked) as error:
                if clock.now() >= until:
                    raise
                self._context.report("warning", str(error), self._environment)
                clock.sleep(self._pace.poll)

    def _gate(self, look: Look) -> Move | None:
        """Wait until the engine has what is committed; a refusal takes the release back."""
        if look.text == self._gated:
            return None
        try:
            self._wait_until_live(self._branch.chapter())
        except SyncFailed as error:
            return refused(error.problem.message)
        self._gated = look.text
        return None

    def _wait_until_live(self, chapter: Chapter) -> None:
        if chapter.newest is None:
            return
        context = self._context
        gate = context.delivery.environments[self._environment].gate
        engine, rule, settle = context.open(ENGINE, self._environment)
        wait_for_revision(
            engine,
            rule,
            history=context.open(IAC),
            target=chapter.newest.id,
            patience=Patience(gate.timeout, settle),
            clock=context.clock,
            progress=context.progress,
        )

    def _observe(self, look: Look) -> bool:
        """Watch for an interval and judge; False if this process should not wait for its end."""
        watch = self._watch_at(look)
        due = watch.end + self._gray.interval
        while (now := self._context.clock.now()) < due:
            if not (self._pace.wait or self._must_wait):
                return False
            self._context.clock.sleep(min(self._pace.poll, due - now))
            if due - now > self._pace.poll and self._look().standing != look.standing:
                return True
        self._judgement = watch.look(look.standing.weight, now, self._gray.interval)
        if self._must_wait:
            kept = GrayWatched(commit=self._watched, observed=to_trailer(watch.step))
            self._context.update_environment(watched=kept)
        if len(watch.step) == 1 and (shows := outlook(self._policy, watch.step)):
            self._context.report("progress", f"{look.standing.weight}%: {shows}", self._environment)
        self._looks.append(look_data(watch.step[-1], self._judgement))
        self._context.report(
            "judgement",
            f"{look.standing.weight}%: {look_sentence(self._policy, watch.observations, self._judgement)}",
            self._environment,
            weight=look.standing.weight,
            table=look_table(self._policy, watch.observations, self._judgement),
            **self._looks[-1],
        )
        return True

    def _watch_at(self, look: Look) -> GrayWatch:
        """The watch over the present weight, begun if need be."""
        standing = look.standing
        if self._watch is not None and standing == self._watching:
            return self._watch
        context, now = self._context, self._context.clock.now()
        chapter = self._branch.chapter()
        spec = self._branch.spec(look)
        if self._gray.baseline != _BASELINES[standing.fresh]:
            said = (
                f"delivery.yaml says 'baseline: {self._gray.baseline}', but {self._branch.path} was prepared"
            )
            said += f" with '{_BASELINES[standing.fresh]}', which holds until this release has ended"
            context.report("warning", said, self._environment)
        more = spec is not None and gray_gets_more(spec)
        seen = self._watch.observations if self._watch else []
        self._watch = GrayWatch(
            context.open(metrics_port(fresh=standing.fresh), self._environment),
            context.open(JUDGE, self._environment),
            self._policy,
            together(seen, chapter.observed),
            context.progress,
            fresh=standing.fresh,
            mismatch=partial(self._misled, before=self._hour_before(chapter), more_is_meant=more),
        )
        for span in chapter.unobserved:
            self._watch.recall(span, self._gray.interval, now)
        ours = standing == self._raised  # then the weight came into force just now, not when it was committed
        self._watch.begin(chapter.commits[0].time if chapter.commits and not ours else now, now)
        self._watching, self._looks = standing, []
        self._must_wait = self._watch.end >= now  # no source will remember what is seen from now on
        self._watched = chapter.commits[0].id if chapter.commits else ""
        kept = self._part.watched
        if kept and kept.commit == self._watched:
            self._watch.keep(from_trailer(kept.observed))
        return self._watch

    def _hour_before(self, chapter: Chapter) -> Mapping[str, float]:
        """What stable showed before the release, as far as the sources tell."""
        if not chapter.commits:
            return {}
        sources = self._context.open(METRICS, self._environment)
        try:
            return hour_before(self._policy.metrics, sources, chapter.commits[-1].time)
        except (OutsideError, UsageError) as error:
            self._context.report("warning", f"stable's hour before is not known: {error}", self._environment)
            return {}

    def _misled(
        self, step: Sequence[Observation], *, before: Mapping[str, float], more_is_meant: bool
    ) -> str:
        """Why both versions cannot be compared by a step's intervals; empty if they can."""
        tolerance = self._gray.weight_tolerance
        return weight_mismatch(step, tolerance, more_is_meant=more_is_meant) or harm_to_both(
            step, self._policy.metrics, before
        )

    def _wait_for_a_person(self, look: Look) -> bool:
        if not self._pace.wait and (look.standing.phase == "paused" or not self._pace.holds):
            return False
        if look.standing.phase == "paused":
            clock = self._context.clock
            self._context.report("progress", f"release {self._number} is paused", self._environment)
            until = clock.now() + self._pace.pause_timeout
            while clock.now() < until:
                clock.sleep(self._pace.poll)
                if self._look().standing != look.standing:
                    return True
        self._end("held", f"release {self._number} waits for a person")
        raise Held(
            f"release {self._number} is {look.standing.phase} at {look.standing.weight}% "
            f"in {self._environment}",
            fix=f"{self._words}; then run this stage again",
        )

    def _make(self, look: Look, move: Move) -> bool:
        """Commit a move; True if there is something new to look at now: an end, or somebody was quicker."""
        observed = self._watch.step if self._watch and look.standing == self._watching else []
        lines = [f"{one.metric}: {one.reason}" for one in self._judgement.evidence] if self._judgement else []
        commit = self._branch.write(look, move, lines, to_trailer(observed))
        if commit is None:
            return True
        raised = replace(look.standing, weight=move.weight, phase="step")
        self._raised = raised if move.do is Do.WEIGHT else None
        step = step_name(self._gray.steps, move)
        weight = weight_of(step, look.standing.weight)
        data = (
            {**as_data(self._judgement), "looks": self._looks} if self._judgement else {"reason": move.reason}
        )
        made = GrayStep(commit=commit, weight=weight, phase=_PHASES[move.do], judgement=data)
        self._context.update_environment(gray=(*self._part.gray, made), watched=None)
        self._context.report("commit", f"{step}: {move.reason}", self._environment, commit=commit, step=step)
        return move.do in (Do.TAKE_OVER, Do.PROMOTE, Do.ROLL_BACK, Do.HOLD)

    @property
    def _part(self) -> EnvironmentRelease:
        """What the release record says of the environment."""
        return self._context.releases.load().environments.get(self._environment, EnvironmentRelease())

    def _bake(self, look: Look) -> bool:
        """Watch what was promoted, take it back if it is worse; False leaves the rest to a later process."""
        chapter = self._branch.chapter()
        self._wait_until_live(chapter)
        self._baked, self._looks = True, []
        found = watch_promoted(
            self._context,
            self._gray,
            chapter,
            wait=self._pace.wait,
            stands=lambda: self._look().standing == look.standing,
        )
        if found.regression:
            self._judgement = found.regression
            reason = f"after its promotion: {found.regression.reason}"
            self._make(look, Move(Do.ROLL_BACK, reason=reason))
        return found.over

    def _finish(self, standing: Standing) -> None:
        chapter = self._branch.chapter()
        if standing.kind == "superseded":
            self._end("superseded", f"release {standing.newer} took over")
        elif standing.kind == "promoted":
            self._wait_until_live(chapter)
            self._end("promoted", f"release {self._number} serves all requests")
        else:
            self._finish_absent(chapter)

    def _finish_absent(self, chapter: Chapter) -> None:
        bump = self._part.bump
        if not chapter.commits or chapter.newest is None:
            if bump is None or bump.outcome == "written":
                raise UsageError(
                    f"release {self._number} is not in {self._branch.path}", fix="run iac-bump first"
                )
            self._end(bump.outcome, "there is nothing to release")
            return
        self._wait_until_live(chapter)
        self._end("rolled-back", f"release {self._number} was taken back")
        reason = chapter.reason
        if chapter.last_step != Do.ROLL_BACK:
            reason = f"{chapter.newest.author or 'somebody'} took it out of {self._branch.path}"
        raise RolledBack(
            f"release {self._number} was rolled back in {self._environment}: {reason}",
            fix=f"see commit {chapter.newest.id[:12]} of the IaC repository for what was observed",
        )

    def _end(self, outcome: str, message: str) -> None:
        self._context.update_environment(outcome=outcome)
        self._context.report("progress", message, self._environment, outcome=outcome)
