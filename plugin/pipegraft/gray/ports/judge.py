"""Judges: what the observations of a gray release say about the new version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipegraft.core.stage import Port
from pipegraft.gray.model.judgement import Answer, Evidence, Judgement, JudgePolicy
from pipegraft.gray.model.observation import Observation

__all__ = ["JUDGE", "FakeJudge", "Judge"]


class Judge(Protocol):
    """Pure: keeps nothing between calls, so that any process can go on where another one stopped."""

    def __call__(self, policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
        """Judge a release by everything observed of it so far.

        Arguments:
            policy: what is expected.
            observations: every interval since gray got its first request, in order of time, those of
                earlier weights included. Called again after each new one.

        Returns:
            Inconclusive if there is nothing to judge by. Never passes a critical metric without data.
        """


JUDGE: Port[[str], Judge] = Port("judge")
"""The judge of an environment's gray releases."""


class FakeJudge:
    """Gives scripted answers, one a look, the last one for ever.

    Arguments:
        answers: what it says after the first observation, the second, …
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers

    def __call__(self, policy: JudgePolicy, observations: Sequence[Observation]) -> Judgement:
        if not observations:
            return Judgement(Answer.INCONCLUSIVE, "nothing was observed yet", ())
        answer = self._answers[min(len(observations), len(self._answers)) - 1]
        evidence = tuple(
            Evidence(metric.name, answer, "as scripted", critical=metric.critical)
            for metric in policy.metrics
        )
        seconds = observations[-1].end - observations[0].start
        return Judgement(answer, "as scripted", evidence, seconds=seconds)
