"""Injected GitLab pipelines, parsed, listed and run by gitlab-ci-local."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gitlab_runner import Project, environment, need_runner

from pipegraft import __version__
from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.gitlab import system as gitlab
from pipegraft.ci.gitlab.configuration import Files, layers_of
from pipegraft.ci.gitlab.inject import inject
from pipegraft.ci.gitlab.pipeline import resolve
from pipegraft.ci.gitlab.seeds import events, seed
from pipegraft.ci.hooks import InjectionRequest, pattern_of
from pipegraft.core.errors import EditRefused
from pipegraft.core.hooks import STAGES
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.demo.world import Traffic, World

pytestmark = pytest.mark.e2e

ROOT = ".gitlab-ci.yml"
STAGES_ADDED = ("image-build", "iac-bump:production", "sync-gate:production", "gray-release:production")
PLAN = Plan(
    "shop",
    (
        PlannedStage("image-build"),
        PlannedStage("iac-bump", "production", ("image-build",)),
        PlannedStage("sync-gate", "production", ("iac-bump:production",)),
        PlannedStage("gray-release", "production", ("sync-gate:production",)),
    ),
)


@pytest.fixture(autouse=True)
def _runner(monkeypatch: pytest.MonkeyPatch) -> None:
    need_runner(monkeypatch)


@pytest.fixture(scope="module")
def templates() -> Mapping[str, str]:
    return gitlab.make_templates(tuple(shipped_plugins().all(STAGES).values()))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The example, told where everything is by absolute paths: each job runs in a folder of its own."""
    made = World(tmp_path)
    made.prepare()
    settings = {
        "registry": f"oci:{tmp_path}/registry",
        "iac.repository": str(made.iac),
        "environments.production.gate.state": str(made.state),
        "environments.production.gray.metrics[0].state": str(made.state),
    }
    words = [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
    assert made.pipegraft("yaml", "set", "delivery.yaml", *words, show=False) == 0
    return made


def _release(world: World) -> dict:
    return json.loads((world.source / ".pipegraft" / "release.json").read_text())


@pytest.mark.parametrize("mode", ["include", "child"])
def test_the_example_is_delivered_by_its_pipeline(world: World, mode: str) -> None:
    assert world.pipegraft("inject", "--ci", "gitlab", "--mode", mode, ".", show=False) == 0
    project = Project.create(world.source, {})
    project.commit("ci: graft delivery on")
    with world.engine() as engine:
        first = project.run()
        assert first.returncode == 0, first.stdout + first.stderr
        team = ["compile", "unit tests", *(["pipegraft"] if mode == "child" else [])]
        delivery = [f"pipegraft:{one}" for one in STAGES_ADDED]
        assert sorted(_passed(first.stdout)) == sorted([*team, *delivery])
        world.change("services/web/web.py", [('VERSION = "v1"', 'VERSION = "v2"')])
        project.commit("shop: v2")
        with Traffic(_entrance(engine)) as traffic:
            second = project.run()
        assert second.returncode == 0, second.stdout + second.stderr
        assert traffic.summary()["v2"]["200"] > 0
    record = _release(world)
    assert record["source"]["commit"] == project.git("rev-parse", "HEAD").strip()
    assert record["source"]["number"] > 0
    assert sorted(record["images"]) == ["governance", "pricing", "web"]
    assert record["environments"]["production"]["outcome"] == "promoted"
    subjects = world.git(world.iac, "log", "--format=%s", "main").splitlines()
    assert [re.sub(r"release \d+", "release N", one) for one in subjects[:5]] == [
        "shop: promote release N in production",
        "shop: release N takes over in production",
        "shop: release N gets 50% of the requests in production",
        "shop: release N gets 10% of the requests in production",
        "shop: prepare release N in production",
    ]


def test_a_schedule_brings_a_gray_release_to_its_end(world: World, templates: Mapping[str, str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "gray-release.md").read_text()
    shown = re.search(r"```yaml\n(include:\n.*?)```", page, re.DOTALL)[1]
    elsewhere = re.compile(r"project: platform/pipegraft\n    ref: \S+\n    file: /ci_templates/gitlab/")
    text, replaced = elsewhere.subn("local: /ci/", shown)
    assert replaced == 2
    release = ("image-build", "iac-bump", "sync-gate")
    before = "".join(f"  - {{local: /ci/{name}.yml, inputs: {{app: shop}}}}\n" for name in release)
    text = "variables: {TEAM: shop}\n" + text.replace("include:\n", f"include:\n{before}", 1)
    files = {ROOT: text, **{f"ci/{name}": template for name, template in templates.items()}}
    project = Project.create(world.source, {name: content.encode() for name, content in files.items()})
    project.commit()
    with world.engine() as engine:
        _deliver(world)
        world.change("services/web/web.py", [('VERSION = "v1"', 'VERSION = "v2"')])
        project.commit("shop: v2")
        _deliver(world)
        with Traffic(_entrance(engine)):
            ran = [_scheduled(project) for _ in range(4)]
    assert [_passed(output) for output in ran] == [["scheduled:gray-release:production"]] * 4
    assert "is at 10%; more is to come" in ran[0]
    assert "serves all requests" in "".join(ran[:3])
    assert "no gray release is under way" in ran[3]
    steps = world.git(
        world.iac, "log", "--format=%(trailers:key=Pipegraft-Step,valueonly,separator=)", "main"
    )
    assert steps.splitlines()[:5] == ["promote", "take-over", "2/2 weight=50", "1/2 weight=10", "prepare"]


def _deliver(world: World) -> None:
    for words in (["image-build"], ["iac-bump", "--env", "production"], ["sync-gate", "--env", "production"]):
        assert world.pipegraft("run", *words, show=False) == 0


def _scheduled(project: Project) -> str:
    """What a pipeline prints that a schedule started."""
    done = project.run(CI_PIPELINE_SOURCE="schedule")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _entrance(engine: str) -> str:
    return str(httpx2.get(f"{engine}/applications/shop-production").json()["entrances"]["web"])


def _passed(output: str) -> list[str]:
    return re.findall(r"^\s*PASS  (?:\[pipegraft\] -> )?(.*?) *$", output, re.MULTILINE)


# The team's jobs, before and after


def _corpus() -> list[Path]:
    folder = Path(os.environ.get("PIPEGRAFT_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
    return sorted((folder / "gitlab").glob("*"))


def _project_of(path: Path) -> dict[str, bytes]:
    """A pipeline with the other files of its repository; their names hold owner, repository and path."""
    repository = path.name.partition("__")[0]
    found = {
        one.name.partition("__")[2].replace("__", "/"): one.read_bytes()
        for one in path.parent.glob(f"{repository}__*")
    }
    return {**found, ROOT: path.read_bytes()}


@pytest.mark.parametrize("path", _corpus(), ids=lambda path: path.name[:60])
def test_the_jobs_of_real_pipelines_are_listed_as_before(
    path: Path, tmp_path: Path, templates: Mapping[str, str]
) -> None:
    project = Project.create(tmp_path, _project_of(path))
    try:
        project.stand_in_for_what_is_elsewhere(ROOT)
    except EditRefused:
        pytest.skip("not YAML")
    project.commit()
    before = project.jobs()
    if not before:
        pytest.skip("gitlab-ci-local does not take it for a root pipeline")
    injection = inject(
        InjectionRequest(
            file=ROOT,
            text=path.read_bytes().decode(),
            plan=PLAN,
            templates=templates,
            read=_files(tmp_path).read,
            find=_files(tmp_path).find,
        )
    )
    for name, text in injection.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((text or "").encode())
    project.commit()
    after = project.jobs()
    assert after is not None, project.ci("--list-json").stderr
    assert {name: after.get(name) for name in before} == before
    added = [name for name in after if name not in before]
    assert sorted(added) == sorted(f"pipegraft:{one}" for one in STAGES_ADDED)
    assert _that_judge_too_late(project.stages(), after, added) == []


def _that_judge_too_late(stages: list[str], jobs: Mapping[str, Any], ours: list[str]) -> list[str]:
    """The team's jobs that can fail the pipeline and that delivery does not wait for; `.post` clears up.

    This is told from gitlab-ci-local's list of jobs alone, not from the model of when.
    """
    first = min(ours, key=lambda name: stages.index(jobs[name]["stage"]))
    needed = {need["job"] for need in jobs[first].get("needs") or ()}
    return [
        name
        for name, job in jobs.items()
        if name not in ours
        and name not in needed
        and job["when"] in ("on_success", "always", "delayed")
        and job["allow_failure"] is not True
        and job["stage"] != ".post"
        and (stages.index(job["stage"]) >= stages.index(jobs[first]["stage"]) or needed)
    ]


# When each job runs, as gitlab-ci-local decides it and as we do

_ASKED = {
    "push": {},
    "merge-request": {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_COMMIT_BRANCH": "",  # a merge request's pipeline is of no branch
        "CI_MERGE_REQUEST_ID": "77",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "topic",
        "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
    },
    "schedule": {"CI_PIPELINE_SOURCE": "schedule"},
    "web": {"CI_PIPELINE_SOURCE": "web"},
    "api": {"CI_PIPELINE_SOURCE": "api"},
}
"""The events that gitlab-ci-local can be told of by variables: those of a branch, and what `rules` ask."""


@pytest.mark.parametrize("path", _corpus(), ids=lambda path: path.name[:60])
def test_the_jobs_of_each_event_are_those_that_the_model_says(path: Path, tmp_path: Path) -> None:
    project = Project.create(tmp_path, _project_of(path))
    try:
        project.stand_in_for_what_is_elsewhere(ROOT)
        pipeline = resolve(layers_of(ROOT, path.read_bytes().decode(), _files(tmp_path)))
    except EditRefused as refusal:  # refusing is no disagreement
        pytest.skip(str(refusal))
    project.commit()
    compared = 0
    for event in events(default="main"):
        if event.key not in _ASKED or (listed := project.jobs(**_ASKED[event.key])) is None:
            continue
        found = seed(pipeline, event, lambda pattern: bool(list(tmp_path.glob(pattern.lstrip("/")))))
        for name, job in listed.items():
            if name not in pipeline.jobs or not isinstance(pipeline.jobs[name].get("rules"), list):
                continue
            ours = found.has(name) if found.created is not False else None
            if ours is not None:
                assert ours == (job["when"] != "never"), (event.key, name)
                compared += 1
    if not compared:
        pytest.skip("no job of it has rules")


def _files(folder: Path) -> Files:
    return Files(
        lambda name: text.read_bytes().decode() if (text := folder / name).is_file() else None,
        lambda pattern: [
            name
            for one in folder.rglob("*.y*ml")
            if pattern_of(pattern).fullmatch(name := str(one.relative_to(folder)))
        ],
    )


# Nothing that a stranger can name is ever executed

HOSTILE = "$(touch pwned-1) `touch pwned-2` ${IFS} ''' ]] ; touch pwned-3 # && touch pwned-4 | touch pwned-5"
HOSTILE_BRANCH = "a$(touch${IFS}pwned-6)`touch${IFS}pwned-7`;touch${IFS}pwned-8;\"'"
HOSTILE_MESSAGE = "x\"; touch pwned-9; '\n$(touch pwned-10)\n`touch pwned-11` ''' ]]"

_RECORDER = """#!/usr/bin/env python3
import json, os, sys
if sys.argv[1] == "--version":
    sys.exit(print("pipegraft VERSION"))
record = {"words": sys.argv[1:], "variables": dict(os.environ)}
with open(os.path.join(os.environ["RECORDS"], f"{sys.argv[2]}.json"), "w") as file:
    json.dump(record, file)
"""


def test_hostile_names_stay_names(tmp_path: Path, templates: Mapping[str, str]) -> None:
    program = tmp_path / "bin" / "pipegraft"
    program.parent.mkdir()
    program.write_text(_RECORDER.replace("VERSION", __version__))
    program.chmod(0o755)
    records = tmp_path / "records"
    records.mkdir()
    inputs = {"components": HOSTILE, "tags": "$CI_COMMIT_REF_SLUG,$CI_COMMIT_REF_NAME"}
    plan = Plan("shop", (PlannedStage("image-build", inputs=inputs), *PLAN.stages[1:]))
    text = "variables: {TEAM: shop}\nstages: [test]\ntest:\n  script: 'true'\n"
    injection = inject(InjectionRequest(file=ROOT, text=text, plan=plan, templates=templates))
    project = Project.create(
        tmp_path / "project",
        {name: (new or "").encode() for name, new in injection.files.items()},
        branch=HOSTILE_BRANCH,
        PATH=f"{program.parent}{os.pathsep}{environment()['PATH']}",
        RECORDS=str(records),
    )
    project.commit(HOSTILE_MESSAGE)
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in tmp_path.rglob("pwned*")] == []
    assert not list(Path.cwd().glob("pwned*"))
    built = json.loads((records / "image-build.json").read_text())
    assert built["variables"]["PIPEGRAFT_INPUT_IMAGE_BUILD_COMPONENTS"] == HOSTILE
    assert "$(touch" in built["variables"]["CI_COMMIT_REF_NAME"]
    branch = [built["variables"][f"CI_COMMIT_REF_{one}"] for one in ("SLUG", "NAME")]
    assert built["variables"]["PIPEGRAFT_INPUT_IMAGE_BUILD_TAGS"] == ",".join(branch)
    assert json.loads((records / "iac-bump.json").read_text())["words"] == [
        *("run", "iac-bump", "-C", ".", "--env", "production")
    ]


@pytest.mark.parametrize("value", ['"; touch pwned; "', "a\n  - touch pwned", "\\u0022"])
def test_a_value_that_could_leave_its_quotes_is_refused(value: str, templates: Mapping[str, str]) -> None:
    plan = Plan("shop", (PlannedStage("image-build", inputs={"components": value}),))
    with pytest.raises(EditRefused, match="components"):
        inject(InjectionRequest(file=ROOT, text="a: {script: b}\n", plan=plan, templates=templates))
