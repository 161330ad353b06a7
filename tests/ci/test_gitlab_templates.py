"""The templates and what inject writes, against GitLab's own schema; the source of a running pipeline."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Literal

import jsonschema
import pytest
import yaml

from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.gitlab import system as gitlab
from pipegraft.ci.gitlab.configuration import Files, layers_of
from pipegraft.ci.gitlab.inject import inject
from pipegraft.ci.gitlab.pipeline import resolve
from pipegraft.ci.hooks import InjectionRequest, InjectOptions
from pipegraft.core.errors import PluginError
from pipegraft.core.hooks import STAGES
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.core.stage import Stage, StageInputs

ROOT = ".gitlab-ci.yml"
SOURCES = Path(__file__).parents[2]


class _Inputs(StageInputs):
    greeting: str = "hello"
    """What to say."""
    loud: bool = False
    """Whether to shout."""
    tone: Literal["kind", "stern"] = "kind"
    """How to say it."""
    to: tuple[str, ...] = ("a", "b")
    """Whom to greet."""
    times: int | None = None
    """How often."""


THIRD_PARTY = Stage(name="say-hello", summary="Greets.", run=print, inputs=_Inputs, after=("sync-gate",))
ALL = (*shipped_plugins().all(STAGES).values(), THIRD_PARTY)
PLAN = Plan(
    "shop",
    (
        PlannedStage("image-build"),
        PlannedStage("iac-bump", "production", ("image-build",)),
        PlannedStage("sync-gate", "production", ("iac-bump:production",)),
        PlannedStage("say-hello", "production", ("sync-gate:production",)),
    ),
)


@pytest.fixture(scope="module")
def valid():
    schemas = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "gitlab-ci.json"
    checker = jsonschema.Draft7Validator(json.loads(schemas.read_text()))

    def check(configuration):
        assert [error.message for error in checker.iter_errors(configuration)] == []

    return check


def _filled(text):
    """A template as GitLab takes it when it is included without inputs."""
    layers = layers_of(ROOT, "include: t.yml\n", Files({"t.yml": text}.get))
    return dict(layers[0].values)


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.name)
def test_a_template_is_valid_with_its_defaults(stage, valid):
    text = gitlab.make_templates(ALL)[f"{stage.name}.yml"]
    header, _ = yaml.safe_load_all(text)
    valid(header)
    valid(_filled(text))


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.name)
def test_every_input_has_a_default_and_a_description(stage):
    header, _ = yaml.safe_load_all(gitlab.make_templates(ALL)[f"{stage.name}.yml"])
    for name, spec in header["spec"]["inputs"].items():
        assert "default" in spec, name
        assert spec["description"], name
        assert len(spec.get("options", ())) <= 50


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.name)
def test_no_input_stands_in_a_script(stage):
    _, job = yaml.safe_load_all(gitlab.make_templates(ALL)[f"{stage.name}.yml"])
    (content,) = job.values()
    for part in ("before_script", "script", "after_script"):
        assert "$[[" not in json.dumps(content[part])


def test_a_job_is_closed_to_what_the_team_sets_for_all():
    team = "default: {image: theirs, before_script: [theirs]}\nvariables: {THEIRS: x}\njob: {script: s}\n"
    files = dict(_injected(team))
    job = resolve(layers_of(ROOT, files[ROOT], Files(files.get))).jobs["pipegraft:iac-bump:production"]
    assert "theirs" not in json.dumps(job)
    assert "THEIRS" not in job["variables"]
    assert job["resource_group"] == "shop/production"
    assert job["environment"] == {"name": "production", "action": "start"}
    assert job["interruptible"] is False
    assert job["retry"]["exit_codes"] == [3]
    assert job["needs"] == [{"job": "pipegraft:image-build", "artifacts": True}]
    assert job["rules"][0] == {"if": '$CI_PIPELINE_SOURCE == "schedule"', "when": "never"}


def test_a_third_partys_stage_gets_its_inputs():
    job = _filled(gitlab.make_templates(ALL)["say-hello.yml"])["pipegraft:say-hello:production"]
    values = {name: spec["value"] for name, spec in job["variables"].items() if "INPUT" in name}
    assert values == {
        "PIPEGRAFT_INPUT_SAY_HELLO_GREETING": "hello",
        "PIPEGRAFT_INPUT_SAY_HELLO_LOUD": "false",
        "PIPEGRAFT_INPUT_SAY_HELLO_TONE": "kind",
        "PIPEGRAFT_INPUT_SAY_HELLO_TO": "a,b",
        "PIPEGRAFT_INPUT_SAY_HELLO_TIMES": "",
    }
    assert job["interruptible"] is True
    assert "resource_group" not in job


def test_variables_of_gitlab_are_filled_in_where_a_stage_says_so():
    job = _filled(gitlab.make_templates(ALL)["image-build.yml"])["pipegraft:image-build"]
    expanded = {name for name, spec in job["variables"].items() if spec["expand"]}
    assert expanded == {"PIPEGRAFT_INPUT_IMAGE_BUILD_TAGS"}


def test_an_input_may_not_take_the_name_of_a_common_one():
    class Wrong(StageInputs):
        app: str = "x"
        """Taken."""

    with pytest.raises(PluginError, match="every template has an input 'app'"):
        gitlab.make_templates((Stage(name="wrong", summary="x", run=print, inputs=Wrong),))


@pytest.mark.parametrize("mode", ["include", "child"])
def test_what_inject_writes_is_valid(mode, valid):
    for name, text in _injected("stages: [build]\nbuild: {stage: build, script: make}\n", mode=mode):
        documents = list(yaml.safe_load_all(text))
        valid(documents[0])
        if len(documents) == 1:
            assert name.endswith(".yml")


def _injected(text, **options):
    request = InjectionRequest(
        ROOT, text, PLAN, InjectOptions(**options), templates=gitlab.make_templates(ALL)
    )
    return inject(request).files.items()


def test_the_source_is_what_gitlab_says():
    source = gitlab.read_source(
        {
            "GITLAB_CI": "true",
            "CI_COMMIT_SHA": "a" * 40,
            "CI_PIPELINE_IID": "17",
            "CI_PIPELINE_URL": "https://gitlab.example.com/x/-/pipelines/1",
            "CI_PROJECT_URL": "https://gitlab.example.com/x",
        }
    )
    assert source is not None
    assert (source.commit, source.number) == ("a" * 40, 17)
    assert source.pipeline == "https://gitlab.example.com/x/-/pipelines/1"
    assert source.repository == "https://gitlab.example.com/x"


def test_outside_of_gitlab_there_is_no_source():
    assert gitlab.read_source({"CI": "true"}) is None


def _snippets(kind: str) -> list[dict]:
    """The parts of `.gitlab-ci.yml` that the page of images shows."""
    blocks = (SOURCES / "docs/images.md").read_text().split("```yaml\n")[1:]
    return [yaml.safe_load(block.split("```")[0]) for block in blocks if block.split("\n")[0].endswith(kind)]


def test_the_snippets_of_set_ups_are_what_the_template_takes():
    found = _snippets("the template by hand, or as a component")
    assert len(found) == 2
    text = (SOURCES / "ci_templates/gitlab/image-build.yml").read_text()
    for snippet in found:
        (include,) = snippet["include"]
        files = Files(lambda _path: text)
        layers = layers_of(".gitlab-ci.yml", yaml.safe_dump(snippet), files)
        job = resolve(layers).jobs["pipegraft:image-build"]
        given = include["inputs"]
        assert job["services"] == given.get("job-services", [])
        assert job["cache"] == given.get("job-cache", [])
        assert job["image"] == given.get("job-image", "python:3.13")
        host = job["variables"]["PIPEGRAFT_DOCKER_HOST"]
        assert host == {"value": given.get("job-docker-host", ""), "expand": False}


def test_the_snippet_beside_an_injection_is_laid_on_the_job(repository):
    (snippet,) = _snippets("beside what inject wrote")
    tree = repository("stages: [build]\nbuild:\n  script: make\n" + yaml.safe_dump(snippet))
    tree.inject()
    job = resolve(layers_of(".gitlab-ci.yml", tree.root, Files(tree.files.get))).jobs["pipegraft:image-build"]
    assert job["services"] == snippet["pipegraft:image-build"]["services"]
    assert job["variables"]["DOCKER_HOST"] == "tcp://docker:2375"
    assert "PIPEGRAFT_DIRECTORY" in job["variables"]
