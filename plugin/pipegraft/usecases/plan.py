"""The plan of a project."""

from __future__ import annotations

from collections.abc import Iterable

from pipegraft.domain.planning import make_plan, select
from pipegraft.hookspecs import STAGES
from pipegraft.model.plan import PlannedStage
from pipegraft.usecases.project import Project

__all__ = ["plan_project"]


def plan_project(
    project: Project, stages: Iterable[str] = (), environment: str | None = None
) -> tuple[PlannedStage, ...]:
    """The planned stages that were asked for, in order; see `make_plan` and `select`."""
    plan = make_plan(project.delivery, project.plugins.all(STAGES).values())
    return select(plan, stages, environment)
