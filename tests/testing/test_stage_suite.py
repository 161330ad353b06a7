"""The stages that ship with the package keep what every stage promises."""

from __future__ import annotations

import pytest

from pipegraft.core.stage import Stage
from pipegraft.gate import stage as sync_gate
from pipegraft.gray import stage as gray_release
from pipegraft.iac import stage as iac_bump
from pipegraft.images import stage as image_build
from pipegraft.testing.stage_suite import StageSuite

STAGES = [
    stage
    for module in (image_build, iac_bump, sync_gate, gray_release)
    for stage in module.pipegraft_stages()
]


class TestShippedStages(StageSuite):
    @pytest.fixture(params=STAGES, ids=lambda stage: stage.name)
    def stage(self, request: pytest.FixtureRequest) -> Stage:
        return request.param
