"""The plan: the DAG of stages for an application and its environments, and how it is made of a delivery."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import UsageError
from pipegraft.core.hooks import STAGES
from pipegraft.core.plugins import Plugins
from pipegraft.core.stage import Stage

__all__ = ["Plan", "PlannedStage", "every_stage", "make_plan", "select"]


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage to run, for one environment or for the application as a whole.

    Arguments:
        stage: name of the stage definition.
        environment: name of the environment, None for a stage of the application.
        needs: ids of the planned stages that must have succeeded before.
        inputs: values the user set; the definition's defaults fill the rest.
        longest: seconds that it may take by its own limits; 0 if unknown.
    """

    stage: str
    environment: str | None = None
    needs: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    longest: float = 0.0

    @property
    def id(self) -> str:
        """``stage`` or ``stage:environment``, unique in a plan."""
        return f"{self.stage}:{self.environment}" if self.environment else self.stage


@dataclass(frozen=True, slots=True)
class Plan:
    """All stages of a delivery in an order that respects `needs`."""

    app: str
    stages: tuple[PlannedStage, ...]

    @property
    def longest(self) -> float:
        """Seconds that the whole of it may take by its stages' own limits; 0 if unknown."""
        return sum(one.longest for one in self.stages)


def every_stage(plugins: Plugins) -> tuple[Stage, ...]:
    """The stages that are installed, each behind those that it follows.

    Raises:
        UsageError: their `after` and `before` form a cycle; it is named.
    """
    stages = plugins.all(STAGES)
    return tuple(stages[name] for name in _sorted(_predecessors(stages)))


def make_plan(
    delivery: Delivery, stages: Iterable[Stage], inputs: Mapping[str, Mapping[str, Any]] | None = None
) -> Plan:
    """The DAG of stages for every environment, in the order they are declared.

    Stages of the application come first. Those of an environment follow the whole of the environment
    before it, so that a release reaches production only through staging.

    Arguments:
        delivery: what is delivered where.
        stages: every stage definition.
        inputs: stage name → values the user set.

    Raises:
        UsageError: the stages' `after` and `before` form a cycle; it is named.
    """
    given = inputs or {}
    by_name = {stage.name: stage for stage in stages}
    planned: list[PlannedStage] = []
    gates_on: tuple[str, ...] = ()
    for environment in (None, *delivery.environments):
        scope = "environment" if environment else "app"
        present = {
            name: stage
            for name, stage in by_name.items()
            if stage.scope == scope and stage.applies(delivery, environment)
        }
        predecessors = _predecessors(present)
        for name in _sorted(predecessors):
            needs = tuple(
                PlannedStage(other, environment).id for other in _ordered(predecessors[name], present)
            )
            longest = present[name].longest(delivery, environment)
            planned.append(PlannedStage(name, environment, needs or gates_on, given.get(name, {}), longest))
        followed = {other for names in predecessors.values() for other in names}
        last = tuple(PlannedStage(name, environment).id for name in predecessors if name not in followed)
        gates_on = last or gates_on
    return Plan(delivery.app, tuple(planned))


def _predecessors(stages: Mapping[str, Stage]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in stages}
    for name, stage in stages.items():
        for other in stage.after:
            if other in stages:
                found[name].add(other)
        for other in stage.before:
            if other in stages:
                found[other].add(name)
    return found


def _ordered(names: set[str], stages: Mapping[str, Stage]) -> list[str]:
    return [name for name in stages if name in names]


def _sorted(predecessors: Mapping[str, set[str]]) -> list[str]:
    sorter = graphlib.TopologicalSorter(predecessors)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        path = " → ".join(reversed(error.args[1]))
        raise UsageError(
            f"the stages' order is a cycle: {path}",
            fix="change 'after' or 'before' of one of them, or remove the plugin that brought it",
        ) from None
    result: list[str] = []
    rank = {name: index for index, name in enumerate(predecessors)}
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=rank.__getitem__)
        result += ready
        sorter.done(*ready)
    return result


def select(
    plan: Plan, stages: Iterable[str] = (), environment: str | None = None
) -> tuple[PlannedStage, ...]:
    """The part of a plan a user asked for, in the plan's order.

    Arguments:
        stages: stage names; all if empty.
        environment: only this environment's stages, and the application's own if no stages are named.

    Raises:
        UsageError: a stage or the environment is not in the plan; says what is.
    """
    wanted = tuple(stages)
    environments = {one.environment for one in plan.stages if one.environment}
    if environment is not None and environment not in environments:
        raise UsageError(
            f"there is no environment '{environment}'; there are: {', '.join(sorted(environments)) or 'none'}"
        )
    names = list(dict.fromkeys(one.stage for one in plan.stages))
    for name in wanted:
        if name not in names:
            raise UsageError(f"the plan has no stage '{name}'; it has: {', '.join(names)}")
    return tuple(
        one
        for one in plan.stages
        if (not wanted or one.stage in wanted)
        and (environment is None or one.environment in (None, environment))
    )
