from __future__ import annotations

import pytest

from pipegraft.app.run import read_inputs, variable_name
from pipegraft.core.errors import ConfigError
from pipegraft.core.stage import Stage, StageInputs


class Inputs(StageInputs):
    dry_run: bool = False
    jobs: int = 2
    paths: tuple[str, ...] = ("/",)


class Other(StageInputs):
    jobs: int = 1


def stages() -> list[Stage]:
    def run(_context: object, _inputs: object) -> None:
        pass

    return [
        Stage(name="image-build", summary="", run=run, inputs=Inputs),
        Stage(name="sync-gate", summary="", run=run, inputs=Other),
    ]


def test_defaults() -> None:
    assert read_inputs(stages(), {}, {}) == {"image-build": Inputs(), "sync-gate": Other()}


def test_a_short_name_sets_every_stage_a_long_one_only_its_own() -> None:
    read = read_inputs(stages(), {"jobs": "5", "sync-gate.jobs": "7", "dry-run": "true"}, {})
    assert read == {"image-build": Inputs(jobs=5, dry_run=True), "sync-gate": Other(jobs=7)}


def test_variables_set_inputs_and_settings_win() -> None:
    assert variable_name("image-build", "dry-run") == "PIPEGRAFT_INPUT_IMAGE_BUILD_DRY_RUN"
    variables = {
        "PIPEGRAFT_INPUT_IMAGE_BUILD_JOBS": "3",
        "PIPEGRAFT_INPUT_SYNC_GATE_JOBS": "",
        "PIPEGRAFT_INPUT_IMAGE_BUILD_PATHS": "/a, /b,",
    }
    read = read_inputs(stages(), {"image-build.jobs": "4"}, variables)
    assert read == {"image-build": Inputs(jobs=4, paths=("/a", "/b")), "sync-gate": Other()}


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_inputs(stages(), {"job": "1", "image-build.jobs": "many", "sync-gate.paths": "/"}, {})
    said = str(caught.value)
    assert "--set: no stage of this run has the input 'job'" in said
    assert "--set: no stage of this run has the input 'sync-gate.paths'" in said
    assert "input 'jobs' of stage 'image-build': expected a whole number" in said
    assert "found 'many'" in said
