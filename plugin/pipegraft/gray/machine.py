"""Where a gray release stands, and what comes next.

::

    prepare → step i (commit the weight → gate → observe → judge) → take over → gate → promote → bake → done
       └────────────┴── fail, deadline, abort → rolled back ─────────┘                          └─ regression
                    └── deadline, pause → held or paused → approve, skip, abort

The promotion is two commits: stable takes the new version over while gray gets all requests; once the engine
has that, the route returns and gray goes. So none goes back to the old version, whatever is applied first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pipegraft.appspec import environment_file as edits
from pipegraft.appspec.model import PROMOTING, AppEnvironment
from pipegraft.core.delivery import HALF
from pipegraft.core.errors import UsageError
from pipegraft.gray.judgement import Answer, Judgement, JudgePolicy

__all__ = [
    "Command",
    "Do",
    "Move",
    "Standing",
    "advance",
    "apply_move",
    "move_for",
    "next_move",
    "refused",
    "standing_of",
]

Command = Literal["approve", "abort", "pause", "skip"]
"""What a person can tell a gray release."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a release stands in an environment, by the environment file alone.

    Arguments:
        kind: `gray`: its gray block is there; `promoted`: it is what serves; `superseded`: a newer release
            is there; `absent`: none of these, so it never came or was taken back.
        weight: percent of the requests, while `gray`.
        phase: as the file has it, while `gray`.
        newer: number of the release that took over, if superseded; one that a person prepared may have the
            number that a pipeline got later.
        fresh: whether fresh pods of the stable version get the same weight, while `gray`.
    """

    kind: Literal["gray", "promoted", "superseded", "absent"]
    weight: int = 0
    phase: str = ""
    newer: int | None = None
    fresh: bool = False


def standing_of(environment: AppEnvironment, number: int, source: str) -> Standing:
    """Where a release stands.

    Arguments:
        number: of the release.
        source: commit that it comes from, as its mark in the file names it.
    """
    marks = [mark for mark in (environment.release, environment.gray and environment.gray.release) if mark]
    newest = max((mark.number for mark in marks), default=-1)
    last = environment.gray.release if environment.gray else environment.release
    if newest > number or (last and last.number == number and last.source != source):
        return Standing("superseded", newer=newest)
    if environment.gray and environment.gray.release.number == number:
        block = environment.gray
        return Standing("gray", block.weight, block.phase, fresh=block.compares)
    if environment.release and environment.release.number == number:
        return Standing("promoted")
    return Standing("absent")


class Do(StrEnum):
    """What can come next."""

    OBSERVE = "observe"
    WEIGHT = "weight"
    TAKE_OVER = "take-over"
    PROMOTE = "promote"
    ROLL_BACK = "rollback"
    HOLD = "hold"
    PAUSE = "pause"
    RESUME = "resume"
    WAIT = "wait"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Move:
    """The next thing to do.

    Arguments:
        do: what.
        weight: percent of the requests, for `WEIGHT`.
        reason: why, as a sentence without a final stop.
    """

    do: Do
    weight: int = 0
    reason: str = ""


def next_move(
    standing: Standing, steps: Sequence[int], judgement: Judgement | None, policy: JudgePolicy
) -> Move:
    """What the release does next by itself.

    Arguments:
        standing: where it stands.
        steps: weights of the delivery; one that was changed meanwhile is taken up at the next higher step.
        judgement: what the judge says of the current step, None before the first look.
        policy: what a deadline without an answer leads to, with and without a sign of harm.
    """
    if standing.kind != "gray":
        return Move(Do.FINISH)
    if standing.phase in ("paused", "held"):
        return Move(Do.WAIT, reason=f"the release is {standing.phase}")
    if standing.weight == 0 or standing.phase == PROMOTING:
        return advance(standing, steps, "gray is deployed and gets no requests yet")
    if judgement is None or (judgement.answer is Answer.INCONCLUSIVE and not judgement.expired):
        return Move(Do.OBSERVE)
    if judgement.answer is Answer.PASS:
        return advance(standing, steps, judgement.reason)
    outcome = policy.outcome(judgement)
    if judgement.answer is Answer.FAIL or outcome == "rollback":
        return Move(Do.ROLL_BACK, reason=judgement.reason)
    if outcome == "hold":
        return Move(Do.HOLD, reason=judgement.reason)
    return advance(standing, steps, f"unproven: {judgement.reason}")


def advance(standing: Standing, steps: Sequence[int], reason: str) -> Move:
    """To the next higher weight, or to the promotion after the last one, and to its end.

    Beside fresh pods of stable gray gets at most half: the steps may have been changed since they came.
    """
    if standing.phase == PROMOTING:
        return Move(Do.PROMOTE, reason="stable is the new version, too")
    higher = [step for step in steps if step > standing.weight]
    if standing.fresh and higher and higher[0] > HALF:
        reason += f"; {HALF}% is the most beside the fresh pods of 'baseline: true' in the environment's file"
        higher = [HALF] if standing.weight < HALF else []
    return Move(Do.WEIGHT, higher[0], reason) if higher else Move(Do.TAKE_OVER, 100, reason)


def refused(by_engine: str) -> Move:
    """What a commit that the engine refuses leads to.

    Arguments:
        by_engine: what it said.
    """
    return Move(Do.ROLL_BACK, reason=f"the engine did not take it over: {by_engine}")


def move_for(command: Command, standing: Standing, steps: Sequence[int], by: str) -> Move:
    """What a person's word leads to.

    Arguments:
        by: who said it.

    Raises:
        UsageError: it makes no sense where the release stands.
    """
    if command == "abort" and standing.kind in ("gray", "promoted"):
        return Move(Do.ROLL_BACK, reason=f"aborted by {by}")
    if standing.kind == "absent":
        raise UsageError(
            "expected a gray release under way, found none: the newest release was taken back already",
            fix="`pipegraft rollback` with `--to` goes back further" if command == "abort" else "",
        )
    if standing.kind != "gray":
        raise UsageError(f"expected a gray release under way, found none: the release is {standing.kind}")
    if standing.phase == PROMOTING:
        raise UsageError(
            "the release is being promoted: it gets all requests already",
            fix="`pipegraft gray abort` takes it back",
        )
    waiting = standing.phase in ("paused", "held")
    if command == "pause":
        if waiting:
            raise UsageError(f"the release is {standing.phase} already")
        return Move(Do.PAUSE, reason=f"paused by {by}")
    if command == "approve":
        if not waiting:
            raise UsageError(
                "nothing waits for approval: the release is observed",
                fix="`pipegraft gray skip` goes on without the judge's answer",
            )
        if standing.phase == "paused":
            return Move(Do.RESUME, reason=f"resumed by {by}")
        return advance(standing, steps, f"approved by {by}")
    return advance(standing, steps, f"skipped by {by}")


def apply_move(
    text: str, move: Move, before: str | None, *, file: str, split: Collection[str] | None = None
) -> str:
    """The environment file after a move.

    Arguments:
        text: the file, with a gray block.
        move: one that writes.
        before: the file before the gray block came, None if nobody knows.
        split: components that have two versions, None if nobody knows.
    """
    match move.do:
        case Do.WEIGHT:
            return edits.set_weight(text, move.weight, file=file)
        case Do.TAKE_OVER:
            return edits.take_over(text, split, file=file)
        case Do.PROMOTE:
            return edits.promote(text, file=file)
        case Do.ROLL_BACK:
            return edits.roll_back(text, before, file=file)
        case Do.HOLD | Do.PAUSE:
            return edits.set_phase(text, "held" if move.do is Do.HOLD else "paused", file=file)
        case Do.RESUME:
            return edits.set_phase(text, "step", file=file)
        case _:
            raise ValueError(f"'{move.do}' writes nothing")
