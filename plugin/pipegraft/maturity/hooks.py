"""The hook that signals of maturity come by, and what follows from all: the stage of each dimension."""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipegraft.core.plugins import Kind, hookspec
from pipegraft.maturity.model import STAGES, Answer, Dimension, Finding, Repository, Signal

__all__ = ["MATURITY_SIGNALS", "Assessed", "Assessment", "Reached", "assess"]

MATURITY_SIGNALS = Kind("pipegraft_maturity_signals", Signal, "maturity signal")


@hookspec
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """What `pipegraft assess` looks for in a repository. Called once, when it runs.

    Example::

        def on_call(repository):
            found = repository.find("on-call.md")
            return yes("it is there", Evidence(Place(found[0], 1))) if found else no("nobody is on call")

        @hookimpl
        def pipegraft_maturity_signals():
            yield Signal(
                name="on-call",
                dimension=Dimension.RUNTIME,
                stage=4,
                claim="somebody is on call",
                look=on_call,
                step="write on-call.md",
            )

    Returns:
        Signals, each with a name no other plugin uses.
    """


@dataclass(frozen=True, slots=True)
class Assessed:
    """A signal and what was found."""

    signal: Signal
    finding: Finding

    @property
    def step(self) -> str:
        """What to do next."""
        return self.finding.step or self.signal.step


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a dimension stands.

    Arguments:
        stage: 1 to 5.
        met: stage → how many of its signals are there, and of how many that apply.
        next: the signal to work on next, None where all are there.
    """

    dimension: Dimension
    stage: int
    met: Mapping[int, tuple[int, int]]
    next: Assessed | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """One repository.

    Arguments:
        name: what to call it.
        dimensions: where each stands, in their order.
        signals: everything that was looked for.
    """

    name: str
    dimensions: tuple[Reached, ...]
    signals: tuple[Assessed, ...]

    def to_json(self) -> Mapping[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "dimensions": [
                {
                    "dimension": str(one.dimension),
                    "stage": one.stage,
                    "stage-name": STAGES[one.stage],
                    "met": {str(stage): list(counts) for stage, counts in one.met.items()},
                    "next": one.next.signal.name if one.next else None,
                    "step": one.next.step if one.next else None,
                }
                for one in self.dimensions
            ],
            "signals": [
                {
                    "name": one.signal.name,
                    "dimension": str(one.signal.dimension),
                    "stage": one.signal.stage,
                    "claim": one.signal.claim,
                    "answer": str(one.finding.answer),
                    "reason": one.finding.reason,
                    "evidence": [
                        {"file": each.place.file, "line": each.place.line, "text": each.text}
                        for each in one.finding.evidence
                    ],
                    "step": one.step,
                }
                for one in self.signals
            ],
        }


def assess(repository: Repository, signals: Iterable[Signal]) -> Assessment:
    """Look for every signal, and conclude."""
    found = tuple(Assessed(signal, signal.look(repository)) for signal in signals)
    reached = tuple(
        _reached(dimension, [one for one in found if one.signal.dimension == dimension])
        for dimension in Dimension
    )
    return Assessment(repository.name, reached, found)


def _reached(dimension: Dimension, found: list[Assessed]) -> Reached:
    met: dict[int, tuple[int, int]] = {}
    stage, against = 1, False
    missing: list[Assessed] = []
    for number in range(2, max(STAGES) + 1):
        applies = [
            one for one in found if one.signal.stage == number and one.finding.answer is not Answer.ABSENT
        ]
        there = [one for one in applies if one.finding.answer is Answer.YES]
        met[number] = (len(there), len(applies))
        missing += [one for one in applies if one not in there]
        against = against or len(there) < len(applies)
        if there and not against:
            stage = number
    # What can be seen to be missing comes before what cannot be seen, on the same stage.
    missing.sort(key=lambda one: (one.signal.stage, one.finding.answer is Answer.UNSEEN))
    return Reached(dimension, stage, met, missing[0] if missing else None)
