"""The stages that ship with the package keep what every stage promises."""

from __future__ import annotations

import pytest

from pipegraft.ports.stage import Stage
from pipegraft.stages import gray_release, iac_bump, image_build, sync_gate
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
