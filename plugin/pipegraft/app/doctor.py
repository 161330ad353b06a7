"""`pipegraft doctor`: every examination at once, each within its time, and no secret in what is told.

What is of no single room is examined here: variables and programs, the clock, the runner.
"""

from __future__ import annotations

import email.utils
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from pipegraft.core.adapters.http import Http
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.delivery_file import DELIVERY_FILE, read_text
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient, addresses_of, runner_problems
from pipegraft.core.errors import AccessDenied, OutsideError, PipegraftError, UsageError
from pipegraft.core.hooks import EXAMINATIONS
from pipegraft.core.planning import every_stage, make_plan
from pipegraft.core.plugins import Plugins, hookimpl
from pipegraft.core.ports import Clock
from pipegraft.core.reading import load_marked
from pipegraft.core.stage import Connections, Project
from pipegraft.images.reference import is_layout

__all__ = ["CheckUp", "clock", "doctor_view", "examine", "pipegraft_examinations", "summary"]

_SECRET = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|PRIVATE|CREDENTIAL|API_?KEY|WEBHOOK", re.IGNORECASE)
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
"""Of a URL that holds user and password."""
_SHORTEST = 5
"""Characters of a value that is hidden; shorter ones are words that say nothing."""


@dataclass(slots=True)
class CheckUp:
    """One examination of one subject.

    Arguments:
        examination: what was looked at.
        subject: which one; empty if there is one alone.
        diagnoses: what came of it, in the order it was found.
    """

    examination: Examination
    subject: str
    diagnoses: list[Diagnosis] = field(default_factory=list)

    def to_json(self) -> Mapping[str, Any]:
        """Plain values."""
        return {
            "examination": self.examination.name,
            "subject": self.subject,
            "diagnoses": [
                {"subject": one.subject, "health": str(one.health), "found": one.found, "mend": one.mend}
                for one in self.diagnoses
            ],
        }


def examine(
    project: Project,
    connections: Connections,
    environment: Mapping[str, str],
    clock: Clock,
    only: Sequence[str] = (),
) -> list[CheckUp]:
    """Run every examination, all of them beside one another.

    Arguments:
        environment: the process's variables; values of those that look like secrets are hidden.
        only: names of examinations; all if empty.

    Raises:
        UsageError: there is no such examination.
    """
    stages = every_stage(project.plugins)
    needs = [need for stage in stages for need in stage.requires if need.wanted(project.delivery)]
    longest = make_plan(project.delivery, stages).longest
    patient = Patient(project.delivery, project.root, connections, environment, needs, clock, longest)
    known = project.plugins.all(EXAMINATIONS)
    chosen = [project.plugins.get(EXAMINATIONS, name) for name in only] or list(known.values())
    started = [
        _start(patient, CheckUp(examination, subject))
        for examination in chosen
        for subject in examination.subjects(patient)
    ]
    secrets = _secrets(environment)
    found = [_finish(check, thread) for check, thread in started]
    for check in found:
        check.diagnoses = [_hidden(one, secrets) for one in check.diagnoses]
    return found if only else [*_broken_plugins(project.plugins), *found]


def _start(patient: Patient, check: CheckUp) -> tuple[CheckUp, threading.Thread]:
    # A daemon: what hangs in a system call must not keep the program from ending.
    thread = threading.Thread(target=_run, args=(patient, check), daemon=True)
    thread.start()
    return check, thread


def _run(patient: Patient, check: CheckUp) -> None:
    subject = check.subject or check.examination.name
    try:
        for diagnosis in check.examination.run(patient, check.subject):
            check.diagnoses.append(diagnosis)
    except (AccessDenied, UsageError) as error:
        check.diagnoses.append(_told(subject, Health.WRONG, error))
    except OutsideError as error:
        check.diagnoses.append(_told(subject, Health.UNREACHABLE, error))
    except PipegraftError as error:
        check.diagnoses.append(_told(subject, Health.WRONG, error))
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        said = f"the check itself failed: {type(error).__name__}: {error}"
        check.diagnoses.append(Diagnosis(subject, Health.WRONG, said, "report this as a defect"))


def _told(subject: str, health: Health, error: PipegraftError) -> Diagnosis:
    return Diagnosis(subject, health, error.problem.message, error.problem.fix)


def _finish(check: CheckUp, thread: threading.Thread) -> CheckUp:
    """Wait as long as the examination may take; what it found until then counts."""
    thread.join(check.examination.limit)
    copy = CheckUp(check.examination, check.subject, list(check.diagnoses))
    if thread.is_alive():
        said = f"it did not end within {check.examination.limit:g} s"
        mend = "check address, proxy and firewall"
        copy.diagnoses.append(
            Diagnosis(check.subject or check.examination.name, Health.UNREACHABLE, said, mend)
        )
    return copy


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """Values that look like secrets; the path of a file that holds one may be told."""
    found = {
        value
        for name, value in environment.items()
        if _SECRET.search(name) and len(value) >= _SHORTEST and not os.path.exists(value)  # noqa: PTH110 - Path raises where a secret is too long for a name
    }
    return sorted(found, key=len, reverse=True)


def _hidden(diagnosis: Diagnosis, secrets: Iterable[str]) -> Diagnosis:
    told = (diagnosis.subject, diagnosis.found, diagnosis.mend)
    texts = [_PASSWORD.sub(r"\1***@", text) for text in told]
    for secret in secrets:
        texts = [text.replace(secret, "***") for text in texts]
    return Diagnosis(texts[0], diagnosis.health, texts[1], texts[2])


def _broken_plugins(plugins: Plugins) -> list[CheckUp]:
    broken = [one for one in plugins.loaded.values() if one.error]
    if not broken:
        return []
    examination = Examination("plugins", "Every plugin loads.", lambda _patient, _subject: ())
    told = [
        Diagnosis(f"plugin {one.name} of {one.origin}", Health.WRONG, one.error, one.fix) for one in broken
    ]
    return [CheckUp(examination, "", told)]


_MARKS = {
    Health.GOOD: ("✔", "green"),
    Health.NOTE: ("·", "dim"),
    Health.UNREACHABLE: ("!", "yellow"),
    Health.WRONG: ("✘", "bold red"),
}


def doctor_view(found: Mapping[str, Iterable[Diagnosis]]) -> Iterator[Table | Text]:
    """A block an examination: each check with its mark, and how to mend what is not good.

    Arguments:
        found: name of the examination → what came of it.
    """
    for name, diagnoses in found.items():
        yield Text(name, style="bold")
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True, width=3, justify="right")
        table.add_column(overflow="fold")
        for one in diagnoses:
            mark, style = _MARKS[one.health]
            table.add_row(Text(mark, style=style), Text.assemble((one.subject, "cyan"), f"  {one.found}"))
            if one.mend and one.health is not Health.GOOD:
                table.add_row("", Text(f"→ {one.mend}"))
        yield table


def summary(diagnoses: Iterable[Diagnosis]) -> str:
    """How many checks, and how many of each sort that needs attention."""
    all_ = list(diagnoses)
    wrong = sum(one.health is Health.WRONG for one in all_)
    unreachable = sum(one.health is Health.UNREACHABLE for one in all_)
    if not (wrong or unreachable):
        return f"{len(all_)} checks, nothing is wrong"
    parts = [f"{wrong} wrong"] * bool(wrong) + [f"{unreachable} not reachable"] * bool(unreachable)
    return f"{len(all_)} checks, {', '.join(parts)}"


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
            patient.longest,
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
