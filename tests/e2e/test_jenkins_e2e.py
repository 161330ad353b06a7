"""Jenkins pipelines read by Groovy itself, run by JenkinsPipelineUnit, their shell commands for real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from harness import missing, need

from pipegraft import __version__
from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.hooks import InjectionRequest, InjectOptions, Mode
from pipegraft.ci.jenkins.injection import inject
from pipegraft.ci.jenkins.system import make_library
from pipegraft.core.planning import Plan, PlannedStage, every_stage
from pipegraft.core.stage import Stage, StageInputs
from pipegraft.demo.world import Traffic, World
from pipegraft.text.groovy import Script, place_of

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent / "jenkins"
LIBRARIES = Path(__file__).parents[2] / ".cache/jenkins-pipeline-unit"
CORPUS = Path(os.environ.get("PIPEGRAFT_CORPUS", Path(__file__).parents[2] / "../shared/corpus")) / "jenkins"
COMMIT = "4be1" * 10

COMMITTED = "jenkins.branch.BranchEventCause"
TIMER = "hudson.triggers.TimerTrigger$TimerTriggerCause"
POLLED = "hudson.triggers.SCMTrigger$SCMTriggerCause"
BY_HAND = "hudson.model.Cause$UserIdCause"
BY_ANOTHER = "hudson.model.Cause$UpstreamCause"

HOSTILE = [
    "$(touch {mark})",
    "`touch {mark}`",
    '"; touch {mark}; "',
    "'; touch {mark}; '",
    "'''; touch {mark}; '''",
    "]] && touch {mark} && [[ x",
    "${{IFS}}touch${{IFS}}{mark}",
    "a\ntouch {mark}\n",
    "--help",
    "$$ $HOME ${{HOME}} \\$x \\\\ \\u0041 %s é \U0001f600",
    "${{new File('{mark}').createNewFile()}}",
]

STUB = """#!/usr/bin/env python3
import json, os, sys
if sys.argv[1] == "--version":
    sys.exit(print("pipegraft VERSION"))
with open(os.environ["RECORD"] if "RECORD" in os.environ else "record.jsonl", "a") as record:
    json.dump({"args": sys.argv[1:], "env": dict(os.environ)}, record)
    record.write("\\n")
if sys.argv[1] == "plan":
    print("image-build\\nnotify:production  after image-build")
if sys.argv[1] == "run":
    os.makedirs(".pipegraft", exist_ok=True)
    open(".pipegraft/release.json", "w").write("{}")
    if os.path.exists("fail-" + sys.argv[2]):
        status = open("fail-" + sys.argv[2]).read().split()
        if status:
            open("fail-" + sys.argv[2], "w").write(" ".join(status[1:]))
            sys.exit(int(status[0]))
"""


_COMPILED: list[Path] = []


class NotifyInputs(StageInputs):
    """What a pipeline may say."""

    message: str = ""
    """Anything."""
    dry_run: bool = False
    """Say nothing."""
    channels: tuple[str, ...] = ()
    """Where to."""


def third_party() -> Stage:
    return Stage(
        name="notify",
        summary="Tells people.",
        run=lambda _context, _inputs: None,
        inputs=NotifyInputs,
        deploys=True,
    )


def groovy(script: str, request: object, folder: Path) -> Any:
    """Run one of the Groovy scripts beside this file and answer what it printed."""
    need("groovy", "java", "mvn")
    if not LIBRARIES.exists():
        missing("JenkinsPipelineUnit")
    environment = os.environ | {
        "JAVA_HOME": java_home(),
        "LC_ALL": "C.UTF-8",
        "JAVA_OPTS": "-Dfile.encoding=UTF-8",
    }
    classes = LIBRARIES.parent / "jenkins-tests"
    if script == "run.groovy" and not _COMPILED:
        subprocess.run(
            ["groovyc", "-d", str(classes), str(HERE / "World.groovy")], env=environment, check=True
        )
        _COMPILED.append(classes)
    described = folder / "request.json"
    described.write_text(json.dumps(request))
    done = subprocess.run(
        ["groovy", "-cp", f"{LIBRARIES}/*:{classes}", str(HERE / script), str(described)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def java_home() -> str:
    program = Path(shutil.which("java") or "").resolve()
    return os.environ.get("JAVA_HOME") or str(program.parents[1])


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return [*every_stage(shipped_plugins()), third_party()]


@pytest.fixture(scope="module")
def library(stages: list[Stage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libraries")
    for path, text in make_library(stages).items():
        for version in ("1.2.0", "1"):
            file = folder / f"pipegraft@{version}" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    shutil.copytree(HERE / "steps", folder / "steps@1")
    return folder


def graft(text: str, planned: Sequence[PlannedStage], mode: Mode = "include") -> str:
    request = InjectionRequest(
        "Jenkinsfile", text, Plan("shop", tuple(planned)), InjectOptions(mode=mode, ref="1.2.0")
    )
    return inject(request).files["Jenkinsfile"] or ""


class Build:
    """A build in a folder of its own."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder / "workspace"
        self.folder.mkdir()
        self.library = library
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "pipegraft").write_text(STUB.replace("VERSION", __version__))
        (self.bin / "pipegraft").chmod(0o755)

    def run(
        self,
        jenkinsfile: str,
        *,
        cps: bool = True,
        result: str = "SUCCESS",
        causes: Sequence[str] = (COMMITTED,),
        upstream: Sequence[str] = (),
        branches: Sequence[str] | None = None,
        multibranch: bool = True,
        **env: str,
    ) -> dict[str, Any]:
        (self.folder / "Jenkinsfile").write_text(jenkinsfile)
        main = {"BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": "true"} if multibranch else {}
        variables = {"JOB_NAME": "shop/main", "BUILD_NUMBER": "7", "GIT_COMMIT": COMMIT, **main, **env}
        answer: dict[str, Any] = groovy(
            "run.groovy",
            {
                "cps": cps,
                "library": str(self.library),
                "steps": str(self.library),
                "folder": str(self.folder),
                "env": {name: value for name, value in variables.items() if value},
                "result": result,
                "causes": list(causes),
                "upstream": list(upstream),
                "branches": None if branches is None else list(branches),
                "path": f"{self.bin}:{os.environ['PATH']}",
            },
            self.folder.parent,
        )
        return answer

    @property
    def commands(self) -> list[dict[str, Any]]:
        """What pipegraft was called with, in order."""
        record = self.folder / "record.jsonl"
        return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


@pytest.fixture
def build(tmp_path: Path, library: Path) -> Build:
    return Build(tmp_path, library)


DECLARATIVE = """\
pipeline {
    agent any
    stages {
        stage('Build') {
            steps { echo 'building' }
        }
    }
    post { always { echo 'over' } }
}
"""
SCRIPTED = """\
def name = 'x'
node('linux') {
    try {
        stage('Build') { echo 'building' }
    } finally {
        echo 'over'
    }
}
"""
PLANNED = (
    PlannedStage("image-build"),
    PlannedStage("iac-bump", "production", (), {"dry-run": True}),
    PlannedStage("notify", "production", (), {"channels": ["a", "b"], "message": "it's $HOME"}),
)


@pytest.mark.parametrize("cps", [True, False], ids=["cps", "plain"])
@pytest.mark.parametrize("text", [DECLARATIVE, SCRIPTED], ids=["declarative", "scripted"])
def test_injected_stages_run_in_their_place(build: Build, text: str, cps: bool) -> None:
    answer = build.run(graft(text, PLANNED), cps=cps, **({"WORKSPACE": "w"} if text == DECLARATIVE else {}))
    assert answer["error"] == ""
    named = [call["args"][0] for call in answer["stack"] if call["name"] == "stage"]
    assert named == ["Build", "image-build", "iac-bump:production", "notify:production"]
    assert [one["args"] for one in build.commands] == [
        ["run", "image-build"],
        ["run", "iac-bump", "--env", "production"],
        ["run", "notify", "--env", "production"],
    ]
    bump, notify = (one["env"] for one in build.commands[1:])
    assert bump["PIPEGRAFT_INPUT_IAC_BUMP_DRY_RUN"] == "true"
    assert notify["PIPEGRAFT_INPUT_NOTIFY_CHANNELS"] == "a,b"
    assert notify["PIPEGRAFT_INPUT_NOTIFY_MESSAGE"] == "it's $HOME"
    assert notify["GIT_COMMIT"] == COMMIT
    words = [call["name"] for call in answer["calls"] if call["name"] not in ("withEnv", "sh", "agent")]
    own = ["stash", "archiveArtifacts"]
    again = ["milestone", "unstash", *own]
    lead = ["echo"] if text == DECLARATIVE else ["node", "echo"]
    assert words == [*lead, *own, *again, *again, "echo"], (
        "one workspace, the record handed on, the team's last"
    )


@pytest.mark.parametrize("without", ["", "yes"], ids=["junit", "no-junit"])
def test_what_the_gate_found_is_among_the_tests_of_the_build(build: Build, without: str) -> None:
    planned = (PlannedStage("iac-bump", "production"), PlannedStage("sync-gate", "production"))
    answer = build.run(graft(DECLARATIVE, planned), WORKSPACE="w", WITHOUT_JUNIT=without)
    assert answer["error"] == ""
    shown = [call["args"] for call in answer["calls"] if call["name"] == "junit"]
    results = ".pipegraft/sync-gate-production.junit.xml"
    wanted = {"testResults": results, "allowEmptyResults": True, "skipMarkingBuildUnstable": True}
    assert shown == ([] if without else [[wanted]])
    said = [call["args"][0] for call in answer["calls"] if call["name"] == "echo"]
    assert any("the JUnit plugin is not installed" in line for line in said) == bool(without)


def test_deploying_stages_take_turns_and_the_newest_wins(build: Build) -> None:
    answer = build.run(graft(DECLARATIVE, PLANNED), WORKSPACE="w")
    locks = [call for call in answer["stack"] if call["name"] == "lock"]
    resource = "[resource:pipegraft/shop/main/production, inversePrecedence:true]"
    assert [call["args"] for call in locks] == [[resource]] * 2
    inside = [
        call["name"] for call in answer["stack"] if call["name"] in ("lock", "milestone", "timeout", "sh")
    ]
    assert inside == ["timeout", "sh", *(["lock", "milestone", "timeout", "sh"] * 2)]


@pytest.mark.parametrize("cps", [True, False], ids=["cps", "plain"])
def test_the_whole_plan_by_one_call(build: Build, cps: bool) -> None:
    answer = build.run(graft(DECLARATIVE, PLANNED, mode="child"), cps=cps)
    assert answer["error"] == ""
    named = [call["args"][0] for call in answer["stack"] if call["name"] == "stage"]
    assert named == ["Build", "delivery", "image-build", "iac-bump:production", "notify:production"]
    assert [one["args"][1] for one in build.commands] == ["image-build", "iac-bump", "notify"]
    assert build.commands[2]["env"]["PIPEGRAFT_INPUT_NOTIFY_MESSAGE"] == "it's $HOME"
    nodes = [call for call in answer["calls"] if call["name"] == "node"]
    assert len(nodes) == 3, "without a workspace each stage takes one, and gives it back"


def test_the_plan_is_asked_for_where_the_call_names_none(build: Build) -> None:
    text = "@Library('pipegraft@1.2.0') _\nnode { pipegraft(agent: 'docker') }\n"
    answer = build.run(text)
    assert answer["error"] == ""
    assert [one["args"] for one in build.commands] == [
        ["plan"],
        ["run", "image-build"],
        ["run", "notify", "--env", "production"],
    ]
    assert [call["args"] for call in answer["calls"] if call["name"] == "node"] == [[""], *[["docker"]] * 3]


def test_agent_image_folder_and_credentials(build: Build) -> None:
    call = (
        "pipegraftNotify(environment: 'staging', agent: 'big', image: 'x/y:1', directory: 'app', timeout: 5, "
        "options: '-v /var/run/docker.sock:/var/run/docker.sock', dockerHost: 'tcp://docker:2375', "
        "credentials: [string(credentialsId: 'chat', variable: 'CHAT_TOKEN')])"
    )
    answer = build.run(f"@Library('pipegraft@1.2.0') _\nnode {{ {call} }}\n", BRANCH_NAME="main")
    assert answer["error"] == ""
    (command,) = build.commands
    assert command["env"]["DOCKER_HOST"] == "tcp://docker:2375"
    seen = [(one["name"], *one["args"]) for one in answer["stack"]]
    for expected in (
        ("timeout", "[time:5, unit:MINUTES]"),
        ("dir", "app"),
        ("withCredentials", "[[credentialsId:chat, variable:CHAT_TOKEN]]"),
    ):
        assert expected in seen
    names = ("node", "image", "inside")
    recorded = [(one["name"], *one["args"]) for one in answer["calls"] if one["name"] in names]
    mounted = "-v /var/run/docker.sock:/var/run/docker.sock"
    assert recorded == [("node", ""), ("node", "big"), ("image", "x/y:1"), ("inside", mounted)]


PLAIN = {"multibranch": False}
KINDS: dict[str, tuple[dict[str, Any], bool | str]] = {
    # result of the build so far
    "good": ({}, True),
    "no result yet": ({"result": ""}, True),
    "unstable": ({"result": "UNSTABLE"}, False),
    "failed and caught": ({"result": "FAILURE"}, False),
    "aborted": ({"result": "ABORTED"}, False),
    "not built": ({"result": "NOT_BUILT"}, False),
    # what started it
    "by hand": ({"causes": [BY_HAND]}, True),
    "polled": ({"causes": [POLLED]}, True),
    "timer": ({"causes": [TIMER]}, False),
    "parameterized timer": (
        {"causes": ["org.jenkinsci.plugins.parameterizedscheduler.ParameterizedTimerTriggerCause"]},
        False,
    ),
    "timer and commit": ({"causes": [TIMER, POLLED]}, True),
    "timer, asked for": ({"causes": [TIMER], "call": "timers: true"}, True),
    "another job": ({"causes": [BY_ANOTHER], "upstream": [COMMITTED]}, True),
    "another job's timer": ({"causes": [BY_ANOTHER], "upstream": [TIMER]}, False),
    "no cause": ({"causes": []}, True),
    # branches of multibranch jobs
    "feature branch": ({"BRANCH_NAME": "feature/x", "BRANCH_IS_PRIMARY": ""}, False),
    "primary trunk": ({"BRANCH_NAME": "trunk"}, True),
    "main beside primary develop": ({"BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": ""}, False),
    "master beside primary develop": ({"BRANCH_NAME": "master", "BRANCH_IS_PRIMARY": ""}, False),
    "named main": ({"BRANCH_IS_PRIMARY": "", "call": "branch: 'main'"}, True),
    "named release, built main": ({"call": "branch: 'release'"}, False),
    "named release": ({"BRANCH_NAME": "release", "BRANCH_IS_PRIMARY": "", "call": "branch: 'release'"}, True),
    "tag": ({"BRANCH_NAME": "v1", "TAG_NAME": "v1", "BRANCH_IS_PRIMARY": ""}, False),
    "tag called as the branch": ({"BRANCH_NAME": "main", "TAG_NAME": "main"}, False),
    "unstable primary by hand": ({"result": "UNSTABLE", "causes": [BY_HAND]}, False),
    # changes that are not merged
    "pull request": ({"BRANCH_NAME": "PR-1", "BRANCH_IS_PRIMARY": "", "CHANGE_ID": "1"}, False),
    "pull request on main": ({"CHANGE_ID": "1", "CHANGE_TARGET": "main"}, False),
    "GitHub builder": ({**PLAIN, "branches": ["*/main"], "ghprbPullId": "7"}, False),
    "GitLab merge request": ({**PLAIN, "branches": ["*/main"], "gitlabMergeRequestIid": "7"}, False),
    "GitLab note": ({**PLAIN, "branches": ["*/main"], "gitlabActionType": "NOTE"}, False),
    "GitLab tag": ({**PLAIN, "branches": ["*/main"], "gitlabActionType": "TAG_PUSH"}, False),
    "Gerrit patch set": ({**PLAIN, "branches": ["*/main"], "GERRIT_EVENT_TYPE": "patchset-created"}, False),
    "Gerrit comment": ({**PLAIN, "branches": ["*/main"], "GERRIT_EVENT_TYPE": "comment-added"}, False),
    "Bitbucket": ({**PLAIN, "branches": ["*/main"], "BITBUCKET_PULL_REQUEST_ID": "7"}, False),
    "Bitbucket builder": ({**PLAIN, "branches": ["*/main"], "pullRequestId": "7"}, False),
    "Phabricator": ({**PLAIN, "branches": ["*/main"], "DIFF_ID": "7"}, False),
    # plain jobs
    "plain": ({**PLAIN, "branches": ["*/main"]}, True),
    "plain, full name": ({**PLAIN, "branches": ["refs/heads/main"], "GIT_BRANCH": "origin/main"}, True),
    "plain, GitLab push": (
        {**PLAIN, "branches": ["*/main"], "gitlabActionType": "PUSH", "gitlabBranch": "main"},
        True,
    ),
    "plain, Gerrit merged": (
        {**PLAIN, "GERRIT_EVENT_TYPE": "change-merged", "GERRIT_BRANCH": "main", "call": "branch: 'main'"},
        True,
    ),
    "plain, Gerrit merged elsewhere": (
        {
            **PLAIN,
            "GERRIT_EVENT_TYPE": "ref-updated",
            "GERRIT_REFNAME": "refs/heads/x",
            "call": "branch: 'main'",
        },
        False,
    ),
    "plain, named": ({**PLAIN, "branches": ["*/main"], "call": "branch: 'main'"}, True),
    "plain, named another": ({**PLAIN, "branches": ["*/main"], "call": "branch: 'release'"}, False),
    "plain, any branch": ({**PLAIN, "branches": ["**"], "GIT_BRANCH": "origin/x"}, "may build any branch"),
    "plain, parameter": (
        {**PLAIN, "branches": ["${BRANCH}"], "GIT_BRANCH": "origin/x"},
        "may build any branch",
    ),
    "plain, several": ({**PLAIN, "branches": ["*/main", "*/x"]}, "may build any branch"),
    "plain, parameter, named": (
        {**PLAIN, "branches": ["${BRANCH}"], "GIT_BRANCH": "origin/main", "call": "branch: 'main'"},
        True,
    ),
    "plain, parameter, another": (
        {**PLAIN, "branches": ["${BRANCH}"], "GIT_BRANCH": "origin/feature/x", "call": "branch: 'main'"},
        False,
    ),
    "plain, no SCM": (PLAIN, "may build any branch"),
    "plain, no SCM, named": ({**PLAIN, "call": "branch: 'main'"}, "nothing says which branch"),
    "plain, timer": ({**PLAIN, "branches": ["*/main"], "causes": [TIMER]}, False),
    "plain, unstable": ({**PLAIN, "branches": ["*/main"], "result": "UNSTABLE"}, False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_good_builds_of_the_delivered_branch_deliver(build: Build, kind: str) -> None:
    told, expected = KINDS[kind]
    told = {"WORKSPACE": "w", **told}
    call = told.pop("call", "")
    text = f"@Library('pipegraft@1.2.0') _\nnode {{ pipegraftImageBuild({call}) }}\n"
    answer = build.run(text, **told)
    said = "\n".join(str(one["args"]) for one in answer["calls"] if one["name"] == "echo")
    if isinstance(expected, str):
        assert expected in answer["error"]
    else:
        assert answer["error"] == ""
    assert bool(build.commands) is (expected is True), said
    if expected is False:
        assert "image-build does not run: " in said


def test_one_environment_alone(build: Build) -> None:
    text = "@Library('pipegraft@1.2.0') _\nnode { pipegraft(environment: 'production') }\n"
    answer = build.run(text)
    assert answer["error"] == ""
    assert [one["args"] for one in build.commands] == [
        ["plan"],
        ["run", "image-build"],
        ["run", "notify", "--env", "production"],
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("environment: 'staging'", "delivery.yaml has no environment called staging"),
        (
            "environment: 'staging', stages: ['notify:production']",
            "notify:production is not of the environment",
        ),
    ],
)
def test_another_environment_is_never_delivered(build: Build, arguments: str, error: str) -> None:
    answer = build.run(f"@Library('pipegraft@1.2.0') _\nnode {{ pipegraft({arguments}) }}\n")
    assert error in answer["error"]
    assert [one["args"] for one in build.commands if one["args"][0] == "run"] == []


def test_inputs_that_are_nothing_or_computed(build: Build) -> None:
    inputs = "['message': null, \"${'dry'}-run\": true, 'channels': ['a', null, \"${'b'}\"]]"
    call = f"pipegraftNotify(environment: 'production', inputs: {inputs})"
    text = f"@Library('pipegraft@1.2.0') _\nnode {{ {call} }}\n"
    answer = build.run(text)
    assert answer["error"] == ""
    told = build.commands[0]["env"]
    assert "PIPEGRAFT_INPUT_NOTIFY_MESSAGE" not in told
    assert told["PIPEGRAFT_INPUT_NOTIFY_DRY_RUN"] == "true"
    assert told["PIPEGRAFT_INPUT_NOTIFY_CHANNELS"] == "a,b"


@pytest.mark.parametrize(
    ("packages", "version", "error"),
    [("", "9.9.9", "exit code 2"), ("pipegraft", "", "exit code 2"), ("", "", "exit code 2")],
    ids=["another series", "a name without an index", "nothing"],
)
def test_no_strangers_package(build: Build, packages: str, version: str, error: str) -> None:
    program = build.bin / "pipegraft"
    program.write_text(STUB.replace("VERSION", version)) if version else program.unlink()
    call = f"pipegraftImageBuild(packages: '{packages}')"
    answer = build.run(f"@Library('pipegraft@1.2.0') _\nnode {{ {call} }}\n", PATH_ALONE="yes")
    assert error in answer["error"]
    assert build.commands == []


@pytest.mark.parametrize(
    ("statuses", "attempts", "error"),
    [
        ("3 3", 3, ""),
        ("3 3 3", 3, "image-build ended with exit code 3"),
        ("1", 1, "image-build ended with exit code 1"),
    ],
)
def test_exit_codes(build: Build, statuses: str, attempts: int, error: str) -> None:
    (build.folder / "fail-image-build").write_text(statuses)
    answer = build.run(graft(DECLARATIVE, PLANNED[:2]), WORKSPACE="w")
    assert error in answer["error"]
    assert bool(answer["error"]) is bool(error)
    assert [one["args"][1] for one in build.commands].count("image-build") == attempts
    assert [call["name"] for call in answer["calls"]].count("sleep") == attempts - 1
    assert "stash" in [call["name"] for call in answer["calls"]], "the record is kept whatever happens"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "pipegraftNotify(inputs: ['mesage': 'x'])",
            "notify has no input mesage; there are: message, dry-run",
        ),
        ("pipegraftNotify(enviroment: 'x')", "notify has no argument enviroment; there are: environment"),
        (
            "pipegraft(stages: ['notfy:x'])",
            "there is no stage called notfy; there are: image-build, iac-bump",
        ),
    ],
)
def test_wrong_calls_say_what_is_right(build: Build, call: str, message: str) -> None:
    answer = build.run(f"@Library('pipegraft@1.2.0') _\nnode {{ {call} }}\n")
    assert message in answer["error"]
    assert build.commands == []


@pytest.mark.parametrize("cps", [True, False], ids=["cps", "plain"])
def test_hostile_values_stay_values(build: Build, cps: bool) -> None:
    mark = build.folder / "executed"
    values = [text.format(mark=mark) for text in HOSTILE]
    planned = [
        PlannedStage("notify", "production", (), {"message": value, "channels": [value, value]})
        for value in values
    ]
    planned += [PlannedStage("image-build", None, (), {"components": [value]}) for value in values[:1]]
    text = "node {\n    stage('Build') { echo 'x' }\n}\n"
    for number, one in enumerate(planned):
        grafted = graft(text, [one])
        line = next(
            line for line in grafted.splitlines() if "pipegraftNotify" in line or "ImageBuild" in line
        )
        text = text if number else "@Library('pipegraft@1.2.0') _\n" + text
        text = text.removesuffix("}\n") + line + "\n}\n"
    answer = build.run(
        text,
        cps=cps,
        BRANCH_NAME="main",
        **{f"HOSTILE_{number}": value for number, value in enumerate(values)},
        CHANGE_TITLE=values[0],
        GIT_COMMIT=values[2],
    )
    assert answer["error"] == ""
    assert not mark.exists()
    seen = [one["env"] for one in build.commands]
    assert [one.get("PIPEGRAFT_INPUT_NOTIFY_MESSAGE") for one in seen[: len(values)]] == values
    assert [one["PIPEGRAFT_INPUT_NOTIFY_CHANNELS"] for one in seen[: len(values)]] == [
        f"{value},{value}" for value in values
    ]
    assert {one["GIT_COMMIT"] for one in seen} == {values[2]}
    assert sorted(path.name for path in build.folder.iterdir()) == [
        ".pipegraft",
        ".stderr",
        "Jenkinsfile",
        "record.jsonl",
    ]


def test_a_hostile_environment_is_one_argument(build: Build) -> None:
    mark = build.folder / "executed"
    values = [text.format(mark=mark) for text in HOSTILE]
    calls = "\n".join(
        f"pipegraftNotify(environment: env.CHOSEN_{n}, lock: false)" for n in range(len(values))
    )
    chosen = {f"CHOSEN_{number}": value for number, value in enumerate(values)}
    answer = build.run(f"@Library('pipegraft@1.2.0') _\nnode {{\n{calls}\n}}\n", **chosen)
    assert answer["error"] == ""
    assert not mark.exists()
    assert [one["args"] for one in build.commands] == [["run", "notify", "--env", value] for value in values]


@pytest.mark.parametrize("mode", ["include", "child"])
def test_the_example_is_delivered_by_its_pipeline(tmp_path: Path, library: Path, mode: Mode) -> None:
    world = World(tmp_path)
    world.prepare()
    words = ("inject", "--ref", "1.2.0", "--mode", mode, "Jenkinsfile")
    assert world.pipegraft(*words, show=False) == 0

    def build(number: int) -> dict[str, Any]:
        answer: dict[str, Any] = groovy(
            "run.groovy",
            {
                "cps": True,
                "library": str(library),
                "steps": str(library),
                "folder": str(world.source),
                "env": world.environment
                | {
                    "WORKSPACE": str(world.source),
                    "JOB_NAME": "shop/main",
                    "BRANCH_NAME": "main",
                    "BRANCH_IS_PRIMARY": "true",
                    "JENKINS_URL": "https://jenkins.example.com/",
                    "BUILD_NUMBER": str(number),
                    "BUILD_URL": f"https://jenkins.example.com/job/shop/{number}/",
                },
                "path": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            tmp_path,
        )
        return answer

    world.commit("ci: graft delivery on")
    with world.engine() as engine:
        first = build(11)
        assert first["error"] == ""
        world.change("services/web/web.py", [('VERSION = "v1"', 'VERSION = "v2"')])
        commit = world.commit("shop: v2")
        entrance = str(httpx2.get(f"{engine}/applications/shop-production").json()["entrances"]["web"])
        with Traffic(entrance) as traffic:
            second = build(12)
        assert second["error"] == ""
        assert traffic.summary()["v2"]["200"] > 0
    record = json.loads((world.source / ".pipegraft/release.json").read_text())
    assert record["source"] == {
        "commit": commit,
        "number": 12,
        "pipeline": "https://jenkins.example.com/job/shop/12/",
        "repository": "",  # the Git plugin alone tells it
    }
    assert record["environments"]["production"]["outcome"] == "promoted"
    subject = world.git(world.iac, "log", "-1", "--format=%s", "main").strip()
    assert subject == "shop: promote release 12 in production"


def test_every_script_of_the_library_compiles(library: Path, tmp_path: Path) -> None:
    folder = library / "pipegraft@1"
    shared = [str(folder / "src/io/pipegraft/Stages.groovy")]
    scripts = sorted((folder / "vars").glob("*.groovy"))
    assert len(scripts) >= 6
    files = [{"name": path.stem, "text": path.read_text(), "sources": shared} for path in scripts]
    answer = groovy("compile.groovy", files, tmp_path)
    assert {name: one["complaint"] for name, one in answer.items()} == dict.fromkeys(answer, "")


def real_pipelines() -> dict[str, str]:
    found = {"declarative": DECLARATIVE, "scripted": SCRIPTED}
    found |= {path.name: path.read_bytes().decode() for path in sorted(CORPUS.glob("*"))}
    return {name: text for name, text in found.items() if "buildPluginWithGradle(" not in text}


def test_what_compiled_before_compiles_with_delivery(tmp_path: Path) -> None:
    planned = (*PLANNED, PlannedStage("sync-gate", "production"), PlannedStage("gray-release", "production"))
    before = real_pipelines()
    files = [{"name": name, "text": text} for name, text in before.items()]
    for mode in ("include", "child"):
        files += [
            {"name": f"{mode}+{name}", "text": graft(text, planned, mode)}  # type: ignore[arg-type]
            for name, text in before.items()
        ]
    answer = groovy("compile.groovy", files, tmp_path)
    broken = {
        name: answer[f"{mode}+{name}"]["complaint"]
        for name in before
        for mode in ("include", "child")
        if not answer[name]["complaint"] and answer[f"{mode}+{name}"]["complaint"]
    }
    assert broken == {}
    assert sum(not answer[name]["complaint"] for name in before) >= len(before) // 2


def test_groovy_sees_the_brackets_that_the_scanner_sees(tmp_path: Path) -> None:
    texts = real_pipelines()
    texts |= {f"case {number}": text for number, text in enumerate(ODD)}
    answer = groovy(
        "compile.groovy", [{"name": name, "text": text} for name, text in texts.items()], tmp_path
    )
    compared = 0
    for name, text in texts.items():
        if answer[name]["brackets"] is None:
            continue
        compared += 1
        tokens = [token for token in Script(text).tokens if token.kind in ("open", "close")]
        places = [place_of(text, token.start, "") for token in tokens]
        seen = [
            [place.line, place.column, text[token.start]] for place, token in zip(places, tokens, strict=True)
        ]
        assert seen == answer[name]["brackets"], name
    assert compared >= len(ODD)


ODD = [
    "x = /a{1,2}\\/[/ + b / c / (d)",
    "x = a ? /}/ : [/{/, /(/]\ny(/[)/)",
    'x = "${a.collect { "{${it}}" }} }" + "\\${" + \'{\'',
    "x = $/ { $$ $/ } /$ + [1]",
    "x = '''\n{\\''''.size()",
    'x = """ ${b("""}""")} " { """',
    "x = a /b/ c; y = (a) / 2; z = b[1] /2/ 3",
    "// {\n/* ( */ a { b -> [c] } // }",
    "if (a ==~ /x{1,3}/ && !(b =~ /}/)) { c() }",
    "a = b++ / c; d = e-- / [1].size()",
    "x = /a ${b / 2} c${[1].size()}{/",
    "a.'b{'()\na.\"c${d}{\"()",
    "#!groovy {\na()",
    "a \\\n  (b)",
]
