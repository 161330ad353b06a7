"""Examinations that go through ports, whatever is behind them: gates, metrics, variables."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence

from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.limits import readable
from pipegraft.core.plugins import hookimpl
from pipegraft.gate.ports import ENGINE, State
from pipegraft.gray.ports import METRICS

__all__ = ["pipegraft_examinations"]

_LOOK_BACK = 60.0
"""Seconds that a metric source is asked about."""


def _environments(patient: Patient) -> Sequence[str]:
    return tuple(patient.delivery.environments)


def _gray_environments(patient: Patient) -> Sequence[str]:
    return tuple(name for name, one in patient.delivery.environments.items() if one.gray is not None)


def gate(patient: Patient, environment: str) -> Iterator[Diagnosis]:
    """Look at an environment as sync-gate does, once."""
    declared = patient.delivery.environments[environment].gate
    engine, rule, _ = patient.open(ENGINE, environment)
    with readable("the GitOps engine"):
        verdict = rule(engine.observe(), lambda _revision: True)
    subject = f"{declared.engine} for {environment}"
    if verdict.state in (State.FAILED, State.BLOCKED):
        mend = "look at what the engine says before the next release: sync-gate will stop at it"
        yield Diagnosis(subject, Health.NOTE, f"answers, and says '{verdict.state}': {verdict.reason}", mend)
    else:
        yield Diagnosis(subject, Health.GOOD, f"answers: {verdict.reason}")


def metrics(patient: Patient, environment: str) -> Iterator[Diagnosis]:
    """Ask each metric of an environment for its last minute."""
    for name, source in patient.open(METRICS, environment).items():
        now = patient.clock.now()
        source.begin(now - _LOOK_BACK, now)
        arms = source.take(now)
        subject = f"metric {name} of {environment}"
        if arms.stable is None and arms.gray is None:
            yield Diagnosis(
                subject,
                Health.NOTE,
                "answers, and has no data",
                "nothing is judged without data: check the query",
            )
        else:
            requests = sum(one.requests for one in (arms.stable, arms.gray) if one is not None)
            yield Diagnosis(subject, Health.GOOD, f"answers: {requests:g} requests")


def variables(patient: Patient, _subject: str) -> Iterator[Diagnosis]:
    """Which variables and programs the stages find; a value is never shown."""
    for one in dict.fromkeys(patient.requirements):
        if not one.name.isupper():
            there = shutil.which(one.name) is not None
            mend = "" if there else f"install {one.name} in the job's image"
            found = "is installed" if there else f"is not installed: {one.why}"
            yield Diagnosis(one.name, Health.GOOD if there else Health.WRONG, found, mend)
        elif patient.environment.get(one.name):
            yield Diagnosis(one.name, Health.GOOD, "is set")
        else:
            yield Diagnosis(one.name, Health.NOTE, f"is not set: {one.why}")
    if patient.environment.get("CI_DEBUG_TRACE", "").lower() == "true":
        yield Diagnosis(
            "CI_DEBUG_TRACE",
            Health.WRONG,
            "the job's log shows every variable",
            "remove the variable, and rotate secrets",
        )


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("variables", "Variables and programs that the stages need are there.", variables)
    yield Examination("gate", "The engine of every environment answers.", gate, _environments)
    yield Examination("metrics", "The metrics of every gray release answer.", metrics, _gray_environments)
