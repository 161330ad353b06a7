"""Generated files are as the definitions make them, and the command says when they are not."""

from __future__ import annotations

from pathlib import Path

import yaml
from click.testing import CliRunner

from pipegraft.app.generated import generate
from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.gitlab.configuration import Files, layers_of
from pipegraft.ci.gitlab.pipeline import resolve
from pipegraft.cli.plugins import templates_command
from pipegraft.core.hooks import STAGES
from pipegraft.core.model import keys_of
from pipegraft.core.plugins import hookimpl
from pipegraft.core.stage import Stage

PROJECT = Path(__file__).parents[2]


def test_what_is_committed_is_current():
    changes = generate(PROJECT, shipped_plugins()).changes
    assert sorted(changes) == [], "run `pipegraft templates` and commit what it writes"


def test_writing_checks_clean_and_again_changes_nothing(tmp_path):
    run = CliRunner().invoke
    assert run(templates_command, ["-C", str(tmp_path), "--check"], standalone_mode=False).return_value == 1
    assert list(tmp_path.iterdir()) == []
    assert run(templates_command, ["-C", str(tmp_path)], standalone_mode=False).return_value == 0
    assert run(templates_command, ["-C", str(tmp_path), "--check"], standalone_mode=False).return_value == 0


def test_a_file_that_no_definition_makes_goes(tmp_path):
    plugins = shipped_plugins()
    generate(tmp_path, plugins).write()
    old = tmp_path / "ci_templates" / "gitlab" / "old-stage.yml"
    old.write_text("gone: {script: x}\n")
    generated = generate(tmp_path, plugins)
    assert generated.changes == {"ci_templates/gitlab/old-stage.yml": None}
    generated.write()
    assert not old.exists()


class _ThirdParty:
    @hookimpl
    def pipegraft_stages(self):
        yield Stage(name="say-hello", summary="Greets everybody.", run=print, description="At **length**.")


def test_a_third_partys_stage_gets_a_template_and_a_page():
    plugins = shipped_plugins(_EntryPoint())
    changes = generate(Path("/nowhere"), plugins).changes
    assert "ci_templates/gitlab/say-hello.yml" in changes
    page = changes["docs/stages/say-hello.md"]
    assert page.startswith("# say-hello\n\nGreets everybody.\n")
    assert "At **length**." in page
    assert "file: /ci_templates/gitlab/say-hello.yml" in page


class _EntryPoint:
    name = "third"
    group = "pipegraft"
    dist = None

    def load(self):
        return _ThirdParty()


def test_a_page_names_every_input_with_its_default():
    stages = shipped_plugins().all(STAGES)
    for stage in stages.values():
        page = (PROJECT / "docs" / "stages" / f"{stage.name}.md").read_text()
        for key in keys_of(stage.inputs).values():
            assert f"| `{key}` |" in page


def test_this_projects_own_pipeline_uses_its_templates():
    def read(name):
        path = PROJECT / name
        return path.read_text() if path.is_file() else None

    pipeline = resolve(layers_of(".gitlab-ci.yml", read(".gitlab-ci.yml"), Files(read)))
    assert pipeline.opaque == ()
    built = pipeline.jobs["pipegraft:image-build"]
    assert built["variables"]["PIPEGRAFT_DIRECTORY"]["value"] == "examples/shop"
    assert built["stage"] in yaml.safe_load(read(".gitlab-ci.yml"))["stages"]
