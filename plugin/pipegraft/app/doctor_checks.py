"""Examinations that need no room of their own: variables, programs, the clock, gates and metrics."""

from __future__ import annotations

import email.utils
import shutil
from collections.abc import Iterable, Iterator, Sequence

from pipegraft.ci.usecases import longest
from pipegraft.core.adapters.attempts import Patience
from pipegraft.core.adapters.http import Http
from pipegraft.core.delivery_file import DELIVERY_FILE, read_text
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient, addresses_of
from pipegraft.core.errors import OutsideError
from pipegraft.core.limits import readable
from pipegraft.core.plugins import hookimpl
from pipegraft.core.runner_checks import runner_problems
from pipegraft.core.yaml_positions import load_marked
from pipegraft.gate.ports import ENGINE, State
from pipegraft.gray.ports import METRICS
from pipegraft.images.reference import is_layout

__all__ = ["clock", "pipegraft_examinations"]


_NOTED, _WRONG = 5.0, 60.0
"""Seconds of difference: tokens and signatures are refused for a minute, and often for less."""
_CLOCK_PATIENCE = 10.0


def _clock_subjects(patient: Patient) -> Sequence[str]:
    found = list(addresses_of(patient.delivery))
    if not is_layout(patient.delivery.registry):
        host = patient.delivery.registry.partition("/")[0]
        local = host.partition(":")[0] in ("localhost", "127.0.0.1")
        found.append(f"{'http' if local else 'https'}://{host}")
    return tuple(dict.fromkeys(found))


def clock(patient: Patient, address: str) -> Iterator[Diagnosis]:
    """Ask one server for the time; any answer tells it, a refusal too."""
    subject = f"clock against {address}"
    before = patient.clock.now()
    try:
        told = _date(address)
    except OutsideError as error:
        yield Diagnosis(subject, Health.UNREACHABLE, error.problem.message, error.problem.fix)
        return
    if told is None:
        yield Diagnosis(subject, Health.NOTE, "the server does not tell the time")
        return
    after = patient.clock.now()
    ahead = max(before - told - 1.0, 0.0) - max(told - after, 0.0)  # the header has whole seconds
    if abs(ahead) > _NOTED:
        health = Health.WRONG if abs(ahead) > _WRONG else Health.NOTE
        word = "ahead of" if ahead > 0 else "behind"
        yield Diagnosis(subject, health, f"{abs(ahead):.0f} s {word} it", "keep the machine's time by NTP")
    else:
        yield Diagnosis(subject, Health.GOOD, "the same time")


def _date(address: str) -> float | None:
    """What a server says the time is, seconds since the epoch."""
    with Http("clock", patience=Patience(attempts=1, silence=_CLOCK_PATIENCE)) as http:
        header = http.ask("HEAD", address, what=f"asking {address}", good=range(600)).headers.get("date")
    parsed = email.utils.parsedate_to_datetime(header) if header else None
    return parsed.timestamp() if parsed else None


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


def runner(patient: Patient, _subject: str) -> Iterator[Diagnosis]:
    """What a job of the CI system would stop at; on a laptop it is worth knowing, in a job it is wrong."""
    path = patient.root / DELIVERY_FILE
    marked = load_marked(read_text(path), DELIVERY_FILE)
    health = Health.WRONG if patient.environment.get("CI") == "true" else Health.NOTE
    found = list(
        runner_problems(
            patient.delivery,
            marked,
            longest(patient.delivery),
            lambda one: (patient.root / one.build_folder / (one.dockerfile or "Dockerfile")).is_file(),
        )
    )
    for problem in found:
        yield Diagnosis(str(problem.place or DELIVERY_FILE), health, problem.message, problem.fix)
    if not found:
        yield Diagnosis(DELIVERY_FILE, Health.GOOD, "names nothing that only this machine has")


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("variables", "Variables and programs that the stages need are there.", variables)
    yield Examination("clock", "The clock agrees with the servers'.", clock, _clock_subjects)
    yield Examination("runner", "Nothing in delivery.yaml is of this machine alone.", runner)
    yield Examination("gate", "The engine of every environment answers.", gate, _environments)
    yield Examination("metrics", "The metrics of every gray release answer.", metrics, _gray_environments)
