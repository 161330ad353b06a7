"""Rollouts that a controller in the cluster drives by itself: observed, not driven."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from pipegraft.core.stage import Port

__all__ = [
    "ROLLOUT",
    "ConnectedRollout",
    "FakeRollout",
    "Rollout",
    "RolloutPhase",
    "RolloutRule",
    "RolloutSeen",
    "RolloutVerdict",
]


class RolloutPhase(StrEnum):
    """Where a rollout stands."""

    PROGRESSING = "progressing"
    WAITING = "waiting"
    PROMOTED = "promoted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RolloutVerdict:
    """What the controller's status says of our release.

    Arguments:
        phase: where it stands.
        reason: one sentence.
        weight: percent of the requests the new version gets, None if the status does not say.
        step: which of its steps it is at, None if it counts none.
    """

    phase: RolloutPhase
    reason: str
    weight: int | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class RolloutSeen:
    """The objects of a rollout as the cluster's API answered them.

    Arguments:
        rollout: the controller's own object, None if it is not there.
        workload: what holds the pod template that we changed; the rollout itself, or what it refers to.
        primary: the workload that serves, where the controller keeps one of its own (Flagger).
    """

    rollout: Mapping[str, Any] | None
    workload: Mapping[str, Any] | None = None
    primary: Mapping[str, Any] | None = None


RolloutRule = Callable[[RolloutSeen, Callable[[Mapping[str, Any]], bool], float], RolloutVerdict]
"""Pure: what was seen; whether a workload runs our release; when it was committed, in seconds since the
epoch → the verdict."""


class Rollout(Protocol):
    """One rollout in a cluster."""

    def observe(self) -> RolloutSeen:
        """What the cluster's API says now.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused.
        """

    def go_on(self) -> None:
        """Let the controller go on where it waits.

        Raises:
            UsageError: this controller is told otherwise.
        """

    def abort(self) -> None:
        """Send all requests to the stable version again; nothing where the controller does so by itself once
        the old version is committed."""


class ConnectedRollout(NamedTuple):
    """The rollout that a controller drives in an environment.

    Arguments:
        rollout: what is asked.
        rule: reads its status.
    """

    rollout: Rollout
    rule: RolloutRule


ROLLOUT: Port[[str], ConnectedRollout] = Port("rollout")
"""The rollout that a controller drives in an environment."""


class FakeRollout:
    """Shows scripted states, one a look, the last one for ever.

    Arguments:
        script: what it shows.
    """

    def __init__(self, *script: RolloutSeen) -> None:
        self._script = list(script)
        self.told: list[str] = []

    @property
    def script(self) -> Sequence[RolloutSeen]:
        """What it will still show."""
        return self._script

    def show(self, *script: RolloutSeen) -> None:
        """Show this from now on."""
        self._script = list(script)

    def observe(self) -> RolloutSeen:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def go_on(self) -> None:
        self.told.append("go on")

    def abort(self) -> None:
        self.told.append("abort")
