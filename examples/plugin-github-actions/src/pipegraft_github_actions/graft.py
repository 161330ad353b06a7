"""The edit of a workflow: a block of jobs at the end of `jobs`, between two comments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.ci.hooks import EventRow, Injection, InjectionRequest
from pipegraft.core.errors import Place, UsageError
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.text.yaml import locate, read_documents

__all__ = ["eject", "inject", "pinned", "workflow_of"]

_BEGIN = "# pipegraft: delivery begins"
_END = "# pipegraft: delivery ends"
_BLOCK = re.compile(rf"^[ \t]*{_BEGIN}.*?{_END}\n", re.MULTILINE | re.DOTALL)
_SETTINGS = re.compile(rf"{_BEGIN} (\{{.*\}})")
_FOLDER = ".github/workflows"


def workflow_of(stage: str) -> str:
    """The file name of a stage's reusable workflow."""
    return f"pipegraft-{stage}.yml"


def inject(request: InjectionRequest) -> Injection:
    """Add a job for each stage of the plan, behind all jobs of the team.

    Raises:
        UsageError: the workflow cannot be read, delivery would never run, or what is asked has no form here.
    """
    _supported(request)
    before = _BLOCK.sub("", request.text)
    workflow = _read(request.file, before)
    settings = _settings(request, workflow)
    block = "".join(f"{workflow.indent}{line}\n" for line in _block(request, workflow, settings))
    text = f"{workflow.head}{block}{workflow.tail}"
    if _team(_read(request.file, text).jobs) != workflow.jobs:
        raise UsageError(
            "the jobs behind the end of `jobs` would change",
            place=Place(request.file),
            fix="end the last job with a line of its own indentation",
        )
    names = dict.fromkeys(one.stage for one in request.plan.stages)
    copies = {f"{_FOLDER}/{workflow_of(name)}": request.templates[workflow_of(name)] for name in names}
    wanted = {request.file: text, **copies}
    present = {name: request.text if name == request.file else request.read(name) for name in wanted}
    return Injection(
        files={name: text for name, text in wanted.items() if present[name] != text},
        jobs_unchanged=tuple(workflow.jobs),
        jobs_added=tuple(_job_of(one.id) for one in request.plan.stages),
        notes=workflow.notes,
        events=tuple(_events(workflow, settings["branch"])),
    )


def eject(file: str, text: str, read: Callable[[str], str | None]) -> Injection:
    """Take the block out again, and the copies that only it called."""
    block = _BLOCK.search(text)
    if block is None:
        return Injection()
    left = _BLOCK.sub("", text)
    called = sorted(set(re.findall(rf"uses: \./({_FOLDER}/pipegraft-[\w-]+\.yml)", block[0])))
    return Injection(
        files={file: left, **{name: None for name in called if read(name) is not None}},
        jobs_unchanged=tuple(_read(file, left).jobs),
        jobs_added=tuple(re.findall(r"^\s+(pipegraft-[\w-]+):$", block[0], re.MULTILINE)),
    )


def pinned(_file: str, text: str, _read: Callable[[str], str | None]) -> str | None:
    """Templates are always copies here."""
    return "copies" if _BLOCK.search(text) else None


@dataclass(frozen=True, slots=True)
class _Workflow:
    """A workflow without delivery.

    Arguments:
        head, tail: its text before and behind the place where jobs are added.
        indent: of a job's name.
        jobs: the team's.
        pushed: the branches whose pushes start it, None for all.
        starts: the names of all events that start it.
        notes: what is not computed.
    """

    head: str
    tail: str
    indent: str
    jobs: Mapping[str, Any]
    pushed: tuple[str, ...] | None
    starts: tuple[str, ...]
    notes: tuple[str, ...]


def _read(file: str, text: str) -> _Workflow:
    documents = read_documents(text)
    content = documents[0] if len(documents) == 1 else None
    if not isinstance(content, dict) or not isinstance(content.get("jobs"), dict) or not content["jobs"]:
        raise UsageError(
            "expected a workflow with jobs", place=Place(file), fix="name a file below .github/workflows"
        )
    span = locate(text, ("jobs",))
    if text[span.start] == "{":
        raise UsageError(
            "`jobs` is written in braces",
            place=Place(file, span.line, span.column),
            fix="write a job a line",
        )
    end = text.find("\n", span.end)
    head, tail = (text + "\n", "") if end < 0 else (text[: end + 1], text[end + 1 :])
    pushed, starts, notes = _triggers(file, content)
    return _Workflow(head, tail, " " * (span.column - 1), content["jobs"], pushed, starts, notes)


def _triggers(
    file: str, content: Mapping[str, Any]
) -> tuple[tuple[str, ...] | None, tuple[str, ...], tuple[str, ...]]:
    """Which branches' pushes start the workflow, all that starts it, and what is not computed of it."""
    started = content.get("on")
    if isinstance(started, str):
        started = [started]
    if isinstance(started, list):
        started = dict.fromkeys(started)
    if not isinstance(started, dict) or "push" not in started:
        raise UsageError(
            "no push starts this workflow, so delivery would never run",
            place=Place(file),
            fix="graft onto the workflow that runs after a push, or add `push` to `on`",
        )
    push = started["push"] or {}
    if "tags" in push and "branches" not in push and "branches-ignore" not in push:
        raise UsageError(
            "only pushes of tags start this workflow, so delivery would never run",
            place=Place(file),
            fix="graft onto the workflow that runs after a push to the delivered branch",
        )
    filters = [f"on.push.{key}" for key in ("branches-ignore", "paths", "paths-ignore") if key in push]
    notes = (f"{', '.join(filters)}: a push that they leave out is not delivered",) if filters else ()
    branches = tuple(push["branches"]) if "branches" in push else None
    return branches, tuple(map(str, started)), notes


def _supported(request: InjectionRequest) -> None:
    asked = {
        "--after": request.options.after is not None,
        "--mode child": request.options.mode == "child",
        "templates from elsewhere": request.options.source is not None
        and request.options.source.kind != "local",
    }
    for what, is_asked in asked.items():
        if is_asked:
            raise UsageError(f"{what}: there is no such form for GitHub Actions", fix="leave it out")


def _settings(request: InjectionRequest, workflow: _Workflow) -> dict[str, str]:
    """What was asked for now, else before, else what the repository tells; kept in the block's first line."""
    found = _SETTINGS.search(request.text)
    kept: dict[str, str] = json.loads(found[1]) if found else {}
    branch = request.options.branch or kept.get("branch") or request.default_branch or "main"
    if workflow.pushed is not None and not any(_matches(pattern, branch) for pattern in workflow.pushed):
        raise UsageError(
            f"no push to {branch!r} starts this workflow, so delivery would never run",
            place=Place(request.file),
            fix=f"add {branch} to on.push.branches, or name the delivered branch with --branch",
        )
    image = request.options.image if request.options.image is not None else kept.get("image", "python:3.13")
    packages = request.options.packages if request.options.packages is not None else kept.get("packages", "")
    return {"branch": branch, "image": image, "packages": packages}


def _matches(pattern: str, branch: str) -> bool:
    """Whether a filter takes a branch: ``*`` stays in a part of the name, ``**`` does not."""
    parts = (
        ".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part)
        for part in re.split(r"(\*\*|\*)", pattern)
    )
    return re.fullmatch("".join(parts), branch) is not None


def _block(request: InjectionRequest, workflow: _Workflow, settings: Mapping[str, str]) -> Iterator[str]:
    runner = next((job["runs-on"] for job in workflow.jobs.values() if "runs-on" in job), "ubuntu-latest")
    yield f"{_BEGIN} {json.dumps(settings)}"
    for planned in request.plan.stages:
        yield from _job(planned, request.plan, tuple(workflow.jobs), runner, settings)
    yield _END


def _job(
    planned: PlannedStage, plan: Plan, team: Sequence[str], runner: Any, settings: Mapping[str, str]
) -> Iterator[str]:
    """One job. ``!failure()`` lets a job of the team that was skipped pass, and none that failed."""
    needs = [*team, *map(_job_of, planned.needs)]
    reference = json.dumps(f"refs/heads/{settings['branch']}")[1:-1].replace("'", "''")
    yield f"{_job_of(planned.id)}:"
    yield f"  needs: {json.dumps(needs)}"
    yield "  if: >-"
    yield "    !failure() && !cancelled() && github.event_name == 'push'"
    yield f"    && github.ref == '{reference}'"
    yield f"  uses: ./{_FOLDER}/{workflow_of(planned.stage)}"
    yield "  secrets: inherit"
    yield "  with:"
    given = {
        "app": plan.app,
        "environment": planned.environment or "",
        "runs-on": runner if isinstance(runner, str) else json.dumps(runner),
        "image": settings["image"],
        "packages": settings["packages"],
        **planned.inputs,
    }
    for key, value in given.items():
        yield f"    {key}: {json.dumps(value if isinstance(value, str) else json.dumps(value))}"


def _job_of(planned: str) -> str:
    return f"pipegraft-{planned.replace(':', '-')}"


def _team(jobs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: job for name, job in jobs.items() if not name.startswith("pipegraft-")}


def _events(workflow: _Workflow, branch: str) -> Iterator[EventRow]:
    behind = tuple(workflow.jobs)
    yield EventRow("push", f"push to {branch}", "yes", "yes", behind=behind)
    for event, name in (
        ("pull_request", "pull request"),
        ("schedule", "schedule"),
        ("workflow_dispatch", "run by hand"),
    ):
        starts = event in workflow.starts
        why = "delivery follows a push alone" if starts else "the workflow does not name it"
        yield EventRow(event, name, "yes" if starts else "no", "no", why=why)
