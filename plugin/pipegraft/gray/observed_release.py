"""Our release as the IaC repository tells it, for a rollout that a controller drives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipegraft.appspec.environment_file import environment_path, images_of, read_environment
from pipegraft.core.errors import UsageError
from pipegraft.core.release import EnvironmentRelease
from pipegraft.core.stage import StageContext
from pipegraft.gray.rollout_verdicts import runs_release
from pipegraft.iac.bump.state import read_state, state_path
from pipegraft.iac.ports.repository import IAC

__all__ = ["RolloutRelease"]

_NEWEST = 200
"""Commits of one file that are searched."""


class RolloutRelease:
    """What iac-bump wrote, and what became of it.

    Arguments:
        context: the stage's.
        environment: name of the environment.

    Raises:
        UsageError: iac-bump wrote nothing yet.
    """

    def __init__(self, context: StageContext, environment: str) -> None:
        record = context.releases.load()
        bump = record.environments.get(environment, EnvironmentRelease()).bump
        if bump is None:
            raise UsageError(f"nothing was released in {environment} yet", fix="run iac-bump first")
        self._environment = environment
        self._branch = context.open(IAC)
        self._delivery = context.delivery
        self._path = bump.path
        self.number = record.source_in(environment).number
        self.commit = bump.commit
        """What iac-bump committed."""
        self.outcome = bump.outcome
        """What iac-bump did."""
        log = self._branch.log(self._path, limit=_NEWEST)
        mine = next((commit for commit in log if commit.id == bump.commit), None)
        self.committed = mine.time if mine else 0.0
        """When that was, in seconds since the epoch."""
        self.before = mine.parent if mine else None
        """The commit before it."""
        self._pins = {f":{image.input_hash}" for image in record.images.values()}
        self._pins |= {f"@{reference.rpartition('@')[2]}" for reference in self._references()}

    def _references(self) -> list[str]:
        folder = self._delivery.iac.path
        if self._delivery.environments[self._environment].targets:
            file = state_path(folder, self._environment)
            return list(read_state(self._branch.read(file, self.commit), file).images.values())
        file = environment_path(folder, self._environment)
        return list(images_of(read_environment(self._branch.read(file, self.commit) or "", file)).values())

    def is_ours(self) -> bool:
        """Whether there is anything to accompany."""
        return self.outcome == "written"

    def runs_in(self, workload: Mapping[str, Any]) -> bool:
        """Whether a workload's pod template is of this release."""
        return runs_release(workload, self._pins)

    def gone(self) -> str:
        """``superseded``, or why it was taken back; empty while it stands."""
        for commit in self._branch.log(self._path, limit=_NEWEST):
            if commit.id == self.commit:
                break
            trailers = commit.trailers
            if trailers.get("Pipegraft-Environment") != self._environment:
                continue
            number = trailers.get("Pipegraft-Release", "")
            if trailers.get("Pipegraft-Step") == "rollback" and number == str(self.number):
                return f"by commit {commit.id[:12]} of {commit.author or 'somebody'}"
            if number.isdecimal() and int(number) > self.number:
                return "superseded"
        return ""
