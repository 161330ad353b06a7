"""The plan of a project."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from pipegraft.core.errors import UsageError
from pipegraft.core.hooks import STAGES
from pipegraft.core.plan import PlannedStage
from pipegraft.core.planning import every_stage, make_plan, select
from pipegraft.core.project import Project

__all__ = ["plan_project"]


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
