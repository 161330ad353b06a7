"""What a graft adds and where, what it keeps, and what it refuses."""

from __future__ import annotations

import pytest
import yaml

from pipegraft.ci.hooks import TemplateSource
from pipegraft.core.errors import EditRefused, UsageError

MANIFEST = ".pipegraft/gitlab.yml"
PIPELINE = """\
stages: [build, test, deploy]

default:
  before_script: [echo team]

build:
  stage: build
  script: make
deploy:
  stage: deploy
  script: ./deploy
"""
JOBS = (
    *("pipegraft:image-build", "pipegraft:iac-bump:production"),
    *("pipegraft:sync-gate:production", "pipegraft:gray-release:production"),
)


def _stages(tree):
    return yaml.safe_load(tree.root)["stages"]


def test_it_says_what_it_does(repository):
    injection = repository(PIPELINE).inject()
    assert injection.jobs_unchanged == ("build", "deploy")
    assert injection.jobs_added == JOBS
    assert injection.stages_added == ("pipegraft", "pipegraft:production")
    assert list(injection.files)[-1] == ".gitlab-ci.yml"  # never refers to what is not there yet


def test_delivery_follows_the_last_stage(repository):
    tree = repository(PIPELINE)
    tree.inject("staging", "production")
    assert _stages(tree) == [
        "build",
        "test",
        "deploy",
        "pipegraft",
        "pipegraft:staging",
        "pipegraft:production",
    ]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("test", ["build", "test", "pipegraft", "pipegraft:production", "deploy"]),
        (".pre", ["pipegraft", "pipegraft:production", "build", "test", "deploy"]),
    ],
)
def test_delivery_follows_the_stage_that_is_named(repository, after, expected):
    tree = repository(PIPELINE)
    tree.inject(after=after)
    assert _stages(tree) == expected
    assert tree.inject().files == {}
    tree.inject(after="deploy")
    assert _stages(tree) == ["build", "test", "deploy", "pipegraft", "pipegraft:production"]
    tree.eject()
    assert tree.files == {".gitlab-ci.yml": PIPELINE}


def test_an_unknown_stage_is_refused_with_those_there_are(repository):
    with pytest.raises(UsageError, match="no stage 'tset'; there are: build, test, deploy"):
        repository(PIPELINE).inject(after="tset")


def test_a_cycle_of_stages_is_named(repository):
    tree = repository(PIPELINE)
    tree.inject("staging", "production")
    tree.root = tree.root.replace(
        "pipegraft:staging, pipegraft:production", "pipegraft:production, pipegraft:staging"
    )
    with pytest.raises(UsageError, match="pipegraft:production → pipegraft:staging → pipegraft:production"):
        tree.inject("staging", "production")


def test_a_place_the_team_chose_for_delivery_stays(repository):
    tree = repository(PIPELINE)
    tree.inject()
    tree.root = tree.root.replace(
        "test, deploy, pipegraft, pipegraft:production", "pipegraft, test, pipegraft:production, deploy"
    )
    assert tree.inject().files == {}


def test_environments_come_and_go(repository):
    tree = repository(PIPELINE)
    tree.inject("production")
    added = tree.inject("staging", "production")
    assert added.stages_added == ("pipegraft:staging",)
    assert added.jobs_added == (
        *("pipegraft:iac-bump:staging", "pipegraft:sync-gate:staging", "pipegraft:gray-release:staging"),
    )
    assert _stages(tree)[3:] == ["pipegraft", "pipegraft:staging", "pipegraft:production"]
    tree.inject("staging")
    assert _stages(tree)[3:] == ["pipegraft", "pipegraft:staging"]
    tree.eject()
    assert tree.files == {".gitlab-ci.yml": PIPELINE}


def test_without_stages_the_manifest_holds_the_list(repository):
    tree = repository("build:\n  script: make\n")
    tree.inject()
    assert "stages" not in yaml.safe_load(tree.root)
    assert yaml.safe_load(tree.files[MANIFEST])["stages"] == [
        *("build", "test", "deploy", "pipegraft", "pipegraft:production")
    ]


def test_stages_in_another_file_are_edited_there(repository):
    others = {"ci/stages.yml": "stages:\n  - build # first\n  - test", "ci/jobs.yml": "job: {script: x}\n"}
    root = "include: ['/ci/*.yml']\nbuild: {stage: build, script: x}\n"
    tree = repository(root, others)
    injection = tree.inject()
    assert injection.jobs_unchanged == ("job", "build")
    assert tree.files["ci/stages.yml"] == (
        "stages:\n  - build # first\n  - test\n  - pipegraft\n  - pipegraft:production"
    )
    assert tree.inject().files == {}
    tree.eject()
    assert tree.files == {".gitlab-ci.yml": root, **others}


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("include: {project: a/b, file: c.yml}\nx: {script: y}\n", "project a/b"),
        ("include: {local: c.yml, rules: [{if: $X}]}\nx: {script: y}\n", "c.yml is included under rules"),
        ("include: https://example.com/c.yml\nx: {script: y}\n", "https://example.com/c.yml"),
        (".s: &s [a]\nstages: *s\nx: {stage: a, script: y}\n", "plain list"),
        (".s: {st: [a]}\nstages: !reference [.s, st]\nx: {stage: a, script: y}\n", "plain list"),
    ],
)
def test_where_the_stages_are_not_known_delivery_runs_at_the_end(repository, root, why):
    tree = repository(root, {"c.yml": "stages: [x]\n"})
    injection = tree.inject()
    assert injection.stages_added == ()
    assert why in injection.notes[0]
    assert {entry["inputs"]["job-stage"] for entry in yaml.safe_load(tree.files[MANIFEST])["include"]} == {
        ".post"
    }
    with pytest.raises(UsageError, match="not known"):
        tree.inject(after="test")


@pytest.mark.parametrize("name", ["pipegraft:image-build", "'pipegraft:image-build'"])
def test_a_job_of_the_same_name_is_found_first(repository, name):
    tree = repository(f"include: a.yml\n{PIPELINE}", {"a.yml": f"{name}:\n  script: theirs\n"})
    before = dict(tree.files)
    with pytest.raises(
        UsageError, match=r"a\.yml:1:1: the pipeline already has a job called 'pipegraft:image-build'"
    ):
        tree.inject()
    assert tree.files == before


@pytest.mark.parametrize("mode", ["include", "child"])
def test_a_stage_that_is_called_as_ours_is_the_teams(repository, mode):
    root = "include: a.yml\nx: {stage: pipegraft, script: y}\n"
    tree = repository(root, {"a.yml": "stages: [pipegraft]\n"})
    before = dict(tree.files)
    with pytest.raises(UsageError, match=r"a\.yml: the pipeline already has a stage called 'pipegraft'"):
        tree.inject(mode=mode)
    assert tree.files == before
    tree.eject()
    assert tree.files == before


@pytest.mark.parametrize("left", ["manifest", "include"])
def test_half_of_a_graft_can_be_completed_and_taken_out(repository, left):
    tree = repository(PIPELINE)
    tree.inject()
    whole = dict(tree.files)
    if left == "include":
        del tree.files[MANIFEST]
    else:
        tree.root = tree.root.replace(f"include: {MANIFEST}\n\n", "")
    half = dict(tree.files)
    tree.inject()
    assert tree.files == whole
    tree.files = half
    tree.eject()
    assert tree.root == PIPELINE


def test_delivery_stands_before_the_last_stage_of_all(repository):
    tree = repository("stages: [.pre, build, .post]\nx: {stage: build, script: y}\n")
    tree.inject()
    assert "stages: [.pre, build, pipegraft, pipegraft:production, .post]\n" in tree.root


def test_the_pin_moves_in_place(repository):
    tree = repository(PIPELINE)
    tree.inject(source=TemplateSource("project", "platform/pipegraft", "v1.0.0"))
    root = tree.root
    first = yaml.safe_load(tree.files[MANIFEST])["include"][0]
    assert (first["project"], first["ref"]) == ("platform/pipegraft", "v1.0.0")
    update = tree.inject(version="v1.1.0")
    assert list(update.files) == [MANIFEST]
    assert update.jobs_added == ()
    assert {entry["ref"] for entry in yaml.safe_load(tree.files[MANIFEST])["include"]} == {"v1.1.0"}
    assert tree.root == root


def test_a_pin_to_something_else_stays(repository):
    tree = repository(PIPELINE)
    tree.inject(source=TemplateSource("project", "platform/pipegraft", "trunk"))
    assert tree.inject(version="v1.1.0").files == {}
    tree.inject(ref="v2.0.0")
    assert yaml.safe_load(tree.files[MANIFEST])["include"][0]["ref"] == "v2.0.0"


def test_templates_below_a_url(repository):
    tree = repository(PIPELINE)
    url = "https://git.example.com/pipegraft/-/raw/{ref}/ci_templates/gitlab/"
    tree.inject(source=TemplateSource("remote", url, "v1.0.0"))
    remote = [entry["remote"] for entry in yaml.safe_load(tree.files[MANIFEST])["include"]]
    assert remote[0] == "https://git.example.com/pipegraft/-/raw/v1.0.0/ci_templates/gitlab/image-build.yml"
    tree.inject(version="v1.2.0")
    assert "/v1.2.0/" in tree.files[MANIFEST]


def test_what_was_chosen_stays_until_chosen_again(repository):
    tree = repository(PIPELINE)
    tree.inject(image="registry.example.com/tools:1", tags=("linux", "delivery"), mode="child")
    chosen = dict(tree.files)
    assert tree.inject().files == {}
    assert "registry.example.com/tools:1" in chosen[".pipegraft/gitlab/child.yml"]
    child = yaml.safe_load(chosen[".pipegraft/gitlab/child.yml"])
    assert child["pipegraft:image-build"]["tags"] == ["linux", "delivery"]
    tree.inject(mode="include", image="", tags=())
    assert "tools" not in tree.files[MANIFEST]
    assert "\n  tags:" not in tree.files[MANIFEST]


def test_a_child_pipeline_leaves_the_stages_alone(repository):
    tree = repository(PIPELINE)
    injection = tree.inject(mode="child")
    assert injection.jobs_added == ("pipegraft",)
    assert injection.stages_added == ()
    assert tree.root == f"include: {MANIFEST}\n\n{PIPELINE}"
    trigger = yaml.safe_load(tree.files[MANIFEST])["pipegraft"]
    assert trigger["stage"] == ".post"
    assert trigger["trigger"]["strategy"] == "depend"
    assert yaml.safe_load(tree.files[".pipegraft/gitlab/child.yml"])["stages"] == [
        *("pipegraft", "pipegraft:production")
    ]


def test_a_child_pipeline_starts_behind_the_stage_that_is_named(repository):
    tree = repository(PIPELINE)
    tree.inject(mode="child", after="build")
    assert yaml.safe_load(tree.files[MANIFEST])["pipegraft"]["stage"] == "test"


def test_changing_the_mode_takes_the_stages_out(repository):
    tree = repository(PIPELINE)
    tree.inject()
    tree.inject(mode="child")
    assert _stages(tree) == ["build", "test", "deploy"]
    tree.eject()
    assert tree.files == {".gitlab-ci.yml": PIPELINE}


def test_a_generated_file_somebody_edited_is_drift(repository):
    tree = repository(PIPELINE)
    tree.inject()
    tree.files[".pipegraft/gitlab/iac-bump.yml"] += "# mine\n"
    assert list(tree.inject().files) == [".pipegraft/gitlab/iac-bump.yml"]


def test_ejecting_removes_a_broken_manifest(repository):
    tree = repository(PIPELINE)
    tree.inject()
    tree.files[MANIFEST] = "a: [\n"
    tree.files[MANIFEST] += "# .pipegraft/gitlab/image-build.yml, local: .pipegraft/gitlab/iac-bump.yml"
    tree.eject()
    left = {".pipegraft/gitlab/sync-gate.yml", ".pipegraft/gitlab/gray-release.yml"}  # nothing names them
    assert tree.files.keys() - left == {".gitlab-ci.yml"}
    assert tree.root == PIPELINE


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "- a\n- b\n", "just words\n", "a: 1\n---\nb: 2\n"])
def test_what_is_no_pipeline_is_refused(repository, text):
    tree = repository(text)
    with pytest.raises(EditRefused):
        tree.inject()
    assert tree.files == {".gitlab-ci.yml": text}


@pytest.mark.parametrize(
    ("stages", "after", "becomes"),
    [
        ("[[a, b], c]", None, "[[a, b], c, pipegraft, pipegraft:production]"),
        ("[[a, b], c]", "b", "[[a, b], pipegraft, pipegraft:production, c]"),
        ("[*x, c]", "b", "[*x, pipegraft, pipegraft:production, c]"),
        ("[[], [[a], b], c]", None, "[[], [[a], b], c, pipegraft, pipegraft:production]"),
    ],
)
def test_a_list_of_stages_may_hold_lists(repository, stages, after, becomes):
    tree = repository(
        f".x: &x [a, b]\nstages: {stages}\nt: {{stage: a, script: x}}\nu: {{stage: c, script: x}}\n"
    )
    before = tree.root
    tree.inject(after=after)
    assert f"stages: {becomes}\n" in tree.root
    assert not tree.inject().files
    tree.eject()
    assert tree.root == before


def test_delivery_is_not_put_inside_of_a_list(repository):
    tree = repository("stages: [[a, b], c]\nt: {stage: a, script: x}\n")
    with pytest.raises(UsageError, match="would have to stand inside of a list"):
        tree.inject(after="a")
