"""The plan: the DAG of stages for an application and its environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Plan", "PlannedStage"]


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage to run, for one environment or for the application as a whole.

    Arguments:
        stage: name of the stage definition.
        environment: name of the environment, None for a stage of the application.
        needs: ids of the planned stages that must have succeeded before.
        inputs: values the user set; the definition's defaults fill the rest.
    """

    stage: str
    environment: str | None = None
    needs: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """``stage`` or ``stage:environment``, unique in a plan."""
        return f"{self.stage}:{self.environment}" if self.environment else self.stage


@dataclass(frozen=True, slots=True)
class Plan:
    """All stages of a delivery in an order that respects `needs`."""

    app: str
    stages: tuple[PlannedStage, ...]
