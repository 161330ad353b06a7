"""The plan of a project, what a release would come to, and what its gray releases will show and take."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import Final

from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import OutsideError, UsageError
from pipegraft.core.hooks import STAGES, connected
from pipegraft.core.page import show_duration
from pipegraft.core.planning import PlannedStage, every_stage, make_plan, select
from pipegraft.core.stage import Connections, Project
from pipegraft.gray.forecast import foretell, longest_release
from pipegraft.gray.ports import metrics_port
from pipegraft.iac.plan import try_release
from pipegraft.iac.ports import IAC, RENDERERS, CommitFiles

__all__ = ["gray_notes", "plan_project", "target_notes"]


def plan_project(
    project: Project, stages: Iterable[str] = (), environment: str | None = None
) -> tuple[PlannedStage, ...]:
    """The planned stages that were asked for, in order; see `make_plan` and `select`.

    A CI job runs one stage: then no other's definition is read, unless it is needed to say what is wrong.
    """
    names = tuple(stages)
    if len(names) == 1:
        with contextlib.suppress(UsageError):
            plan = make_plan(project.delivery, [project.plugins.get(STAGES, names[0])])
            return select(plan, names, environment)
    plan = make_plan(project.delivery, every_stage(project.plugins))
    return select(plan, names, environment)


def target_notes(
    project: Project, environment: str, connections: Connections | None = None
) -> tuple[str, ...]:
    """What a release comes to that is written into the `targets` of an environment, before there is one.

    Arguments:
        environment: its name.

    Returns:
        Lines for people: what is proven, or why a bump would be refused; none without `targets`.
    """
    if not project.delivery.environments[environment].targets:
        return ()
    try:
        with connected(project, connections) as opened:
            branch = opened.open(IAC)
            files = CommitFiles(branch, branch.tip())
            found = try_release(files, project.delivery, environment, opened.open(RENDERERS))
    except UsageError as error:
        return tuple(
            f"would be refused: {one.place or 'targets'}: {one.message}; {one.fix}".rstrip("; ")
            for one in error.problems
        )
    except OutsideError as error:
        return (f"what 'targets' come to is not known: {error}",)
    return tuple(map(str, found))


def gray_notes(project: Project, environment: str, connections: Connections | None = None) -> tuple[str, ...]:
    """What a gray release of an environment will show and take, as far as it can be said beforehand.

    The metric sources that remember are asked about stable's last hours; one that does not answer is told.

    Arguments:
        environment: its name.

    Returns:
        Lines for people; none where no gray release is declared, or a controller drives it.
    """
    gray = project.delivery.environments[environment].gray
    if gray is None or gray.rollout is not None:
        return ()
    return (*_seen(project, environment, gray, connections), *_time(project, environment, gray))


def _seen(project: Project, environment: str, gray: Gray, connections: Connections | None) -> Sequence[str]:
    try:
        with connected(project, connections) as opened:
            sources = opened.open(metrics_port(fresh=gray.baseline == "fresh"), environment)
            return tuple(foretell(gray, sources, SystemClock().now()))
    except (OutsideError, UsageError) as error:
        return (f"what this traffic can show is not known: {error}",)


_JOB_TIMEOUT: Final = re.compile(r"\bjob-timeout: *[\"']?([0-9][0-9a-z ]*)")
_SPAN: Final = re.compile(r"(\d+) *(d|h|m|s)")
_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_WRITTEN: Final = (".gitlab-ci.yml", ".pipegraft/gitlab.yml", ".pipegraft/gitlab/child.yml")
_USUAL_TIMEOUT: Final = 3 * 3600.0
"""Seconds that GitLab gives a job of ours which deploys, where the pipeline does not say."""


def _time(project: Project, environment: str, gray: Gray) -> Iterator[str]:
    """How long the release may take, and whether its GitLab job ends before that."""
    most = longest_release(project.delivery.environments[environment])
    doubt = gray.step_deadline if gray.deadline is None else 0.0
    limits = f"by its own limits it takes {show_duration(most - doubt)} at most, "
    limits += "the waits for the engine included"
    if doubt:
        limits += f"; a step that points to harm may take {show_duration(doubt)} more"
    yield limits
    files = [one for name in _WRITTEN if (one := project.root / name).is_file()]
    if not files:
        return
    written = "\n".join(one.read_text("utf-8", "replace") for one in files)
    allowed = max([_USUAL_TIMEOUT, *map(_seconds, _JOB_TIMEOUT.findall(written))])
    if most > allowed:
        yield (
            f"its GitLab job ends after {show_duration(allowed)}: run `pipegraft inject` again, or set "
            f"'job-timeout: {ceil(most / 3600)}h' of gray-release, shorten 'interval' or 'deadline', "
            "or let a scheduled pipeline with 'resume' go on"
        )


def _seconds(text: str) -> float:
    return sum(int(number) * _SECONDS[unit] for number, unit in _SPAN.findall(text))
