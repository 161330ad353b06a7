"""What several signals need: places in `delivery.yaml`, jobs by what they run, names of things."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pipegraft.core.errors import PipegraftError, Place
from pipegraft.core.yaml_positions import Route, load_marked
from pipegraft.images.dockerfile import Instruction, instructions
from pipegraft.maturity.model import Evidence, Finding, Job, absent, no, yes
from pipegraft.maturity.ports import Repository
from pipegraft.text.yaml import Put, apply
from pipegraft.text.yaml.changes import Value

__all__ = [
    "DELIVERY",
    "NO_CI",
    "NO_DELIVERY",
    "NO_IAC",
    "aside",
    "at_job",
    "at_line",
    "commands",
    "dockerfiles",
    "each",
    "in_delivery",
    "jobs",
    "jobs_that_run",
    "put",
    "stage_jobs",
]

DELIVERY = "delivery.yaml"
NO_CI = "there is no CI configuration"
NO_DELIVERY = "there is no valid delivery.yaml"
NO_IAC = "the IaC repository cannot be read from here"


_ASIDE = re.compile(
    r"(^|/)(tests?|testdata|fixtures|spec|__tests__|node_modules|vendor|docs?|examples?|third_party)/"
)


def aside(path: str) -> bool:
    """Whether a file is none that is delivered: a test's, an example's, somebody else's."""
    return _ASIDE.search(path) is not None


def jobs(repository: Repository) -> Sequence[Job]:
    """The jobs of the CI configuration; none if it cannot be read."""
    return repository.ci.jobs if repository.ci else ()


def at_job(job: Job, text: str = "") -> Evidence:
    """Where a job is written."""
    return Evidence(job.place, text or job.name)


def at_line(path: str, line: int, text: str) -> Evidence:
    """A line of a file."""
    return Evidence(Place(path, line), text[:160])


def jobs_that_run(repository: Repository, pattern: str) -> list[tuple[Job, str]]:
    """Jobs with the first of their commands that a regular expression finds; comments do not count."""
    compiled = re.compile(pattern)
    found: list[tuple[Job, str]] = []
    for job in jobs(repository):
        line = next((line for line in commands(job) if compiled.search(line)), None)
        if line is not None:
            found.append((job, line))
    return found


def commands(job: Job) -> Iterator[str]:
    """What a job runs, without comments and without what is only printed."""
    for line in job.commands:
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if text and not re.match(r"(echo|printf)\b[^&|;]*$", text):
            yield text


def stage_jobs(repository: Repository, stage: str) -> list[Job]:
    """Jobs that run a stage of delivery, by the command that they run or the step that they call."""
    return [
        job
        for job in jobs(repository)
        if any(re.search(rf"\bpipegraft\s+run\b[^&|;]*\s{stage}\b", line) for line in commands(job))
    ] or _by_library(repository, stage)


def _by_library(repository: Repository, stage: str) -> list[Job]:
    """A Jenkinsfile calls steps of the shared library: one for the plan, one for each stage."""
    ci = repository.ci
    if ci is None or ci.system != "jenkins" or ci.problem:
        return []
    head, *rest = stage.split("-")
    step = "pipegraft" + "".join(part.capitalize() for part in (head, *rest))
    found = repository.search(
        rf"^[^/\n]*\b({step}|pipegraftDeliver\w*|pipegraft)\b\s*[({{]?", ci.file, limit=1
    )
    return [Job(step, found[0].place)] if found else []


def dockerfiles(repository: Repository) -> Iterator[tuple[str, list[Instruction]]]:
    """Every Dockerfile with its instructions."""
    for path in repository.find("Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile"):
        if not aside(path) and not path.endswith((".dockerignore", ".md", ".j2")):
            yield path, list(instructions(repository.read(path) or ""))


def each(
    claim: str,
    good: Sequence[Evidence],
    bad: Sequence[Evidence],
    nothing: str,
) -> Finding:
    """Yes if all are good, no if any is bad, and neither where there is nothing to look at.

    Arguments:
        claim: what is wrong with the bad ones, one clause.
        nothing: why there may be none.
    """
    if bad:
        return no(f"{claim}: {', '.join(dict.fromkeys(one.text for one in bad))}", *bad)
    return yes(f"{len(good)} of {len(good)}", *good) if good else absent(nothing)


def in_delivery(repository: Repository, *route: str | int) -> Evidence:
    """Where a value stands in `delivery.yaml`, or the nearest one around it."""
    text = repository.read(DELIVERY) or ""
    try:
        place = load_marked(text, DELIVERY).place(route, key=True)
    except PipegraftError:
        place = None
    place = place or Place(DELIVERY, 1)
    lines = text.splitlines()
    shown = lines[place.line - 1].strip() if 0 < place.line <= len(lines) else ""
    return Evidence(Place(place.file, place.line), shown[:160])


def put(repository: Repository, file: str, values: Mapping[Route, Value]) -> Mapping[str, str]:
    """A file with values set, every other byte as it was; empty if it is not there or cannot be edited."""
    text = repository.read(file)
    if text is None or not values:
        return {}
    try:
        return {file: apply(text, [Put(route, value) for route, value in values.items()], file=file)}
    except PipegraftError:
        return {}
