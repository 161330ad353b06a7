"""Examinations that are of no single room: variables and programs, the clock, the runner."""

from __future__ import annotations

import email.utils
import shutil
from collections.abc import Iterable, Iterator, Sequence

from pipegraft.ci.usecases import longest
from pipegraft.core.adapters.http import Http
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.delivery_file import DELIVERY_FILE, read_text
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient, addresses_of, runner_problems
from pipegraft.core.errors import OutsideError
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import load_marked
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
