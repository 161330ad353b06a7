"""Jenkins as a CI system: its shared library, and what a build's variables say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.hooks import CI_SYSTEMS, CiSystem, InjectionRequest
from pipegraft.ci.jenkins import system as jenkins
from pipegraft.ci.jenkins.grafts import step_name
from pipegraft.core.errors import PluginError
from pipegraft.core.hooks import STAGES
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.core.release import Source
from pipegraft.core.stage import Requirement, Stage, StageInputs
from pipegraft.text.groovy import Script

COMMIT = "4be1" * 10


class Inputs(StageInputs):
    """Inputs with everything that must be escaped somewhere."""

    dry_run: bool = False
    """Say <nothing> & write nothing."""
    channels: tuple[str, ...] = ("a", "b")
    """Where to."""


def stage(name: str = "tell-people") -> Stage:
    return Stage(
        name=name,
        summary="Tells people's <friends>.",
        run=lambda _context, _inputs: None,
        inputs=Inputs,
        deploys=True,
        requires=(Requirement("CHAT_TOKEN", "posts", secret=True),),
    )


@pytest.fixture
def system() -> CiSystem:
    return shipped_plugins().get(CI_SYSTEMS, "jenkins")


def test_the_library_has_a_step_for_every_stage_third_parties_included(system: CiSystem) -> None:
    stages = [*shipped_plugins().all(STAGES).values(), stage()]
    files = system.templates(stages)
    steps = {step_name(one.name) for one in stages}
    assert "pipegraftTellPeople" in steps
    assert set(files) == {
        "src/io/pipegraft/Stages.groovy",
        *(f"vars/{step}.{kind}" for step in {"pipegraft", *steps} for kind in ("groovy", "txt")),
    }
    for path, text in files.items():
        assert text.endswith("\n")
        if path.endswith(".groovy"):
            Script(text, path).tokens  # noqa: B018 - reading it is the act
            assert "Generated from" in text or "generated from" in text.lower()


def test_values_never_stand_in_a_command_of_the_library(system: CiSystem) -> None:
    for path, text in system.templates([stage()]).items():
        if not path.endswith(".groovy"):
            continue
        script = Script(text, path)
        quotes = {script.word(index)[0] for index, token in enumerate(script.code) if token.kind == "string"}
        assert quotes <= {"'"}, "no string of the library interpolates"
        words = {script.word(index) for index, token in enumerate(script.code) if token.kind == "word"}
        assert not words & {"new", "evaluate", "Eval", "execute", "getClass", "NonCPS"}


def test_what_the_library_knows_of_a_stage() -> None:
    files = jenkins.make_library([stage()])
    table = files["src/io/pipegraft/Stages.groovy"]
    assert "'tell-people': [deploys: true, tests: false, inputs: [" in table
    assert "'dry-run': 'PIPEGRAFT_INPUT_TELL_PEOPLE_DRY_RUN'," in table
    assert "pipegraft==" not in "".join(files.values()), "nothing is installed unless the team says what"
    assert "$PIPEGRAFT_PACKAGES || exit 3" in files["vars/pipegraft.groovy"]
    step = files["vars/pipegraftTellPeople.groovy"]
    assert "// Needs on the agent:\n//   CHAT_TOKEN: posts (from the credentials store)\n" in step
    assert "pipegraft.runStage('tell-people', args)" in step
    text = files["vars/pipegraftTellPeople.txt"]
    assert "Tells people&#39;s &lt;friends&gt;." in text
    assert (
        "<code>dry-run</code>: Say &lt;nothing&gt; &amp; write nothing. Default: <code>false</code>." in text
    )
    assert "<code>channels</code>: Where to. Default: <code>a,b</code>." in text
    arguments = set(re.findall(r"<li><code>(\w+)</code>", text.partition("<p>Inputs")[0]))
    assert arguments == _arguments(table)


def test_the_page_names_every_argument() -> None:
    page = (Path(__file__).parents[2] / "docs/jenkins.md").read_text()
    table = jenkins.make_library([stage()])["src/io/pipegraft/Stages.groovy"]
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == _arguments(table) | {"stages"}


def _arguments(table: str) -> set[str]:
    return set(re.findall(r"^        '(\w+)',$", table.partition("CHANGES")[0], re.MULTILINE))


def test_a_stage_without_inputs_has_an_empty_table() -> None:
    plain = Stage(name="plain", summary="Does.", run=lambda _context, _inputs: None)
    assert "'plain': [deploys: false, tests: false, inputs: [:]]," in jenkins.make_library([plain])[
        "src/io/pipegraft/Stages.groovy"
    ].replace("\n        ]]", "]]")


def test_two_stages_of_one_step_are_refused() -> None:
    with pytest.raises(PluginError, match="'a-1' and 'a1' would both be called by pipegraftA1"):
        jenkins.make_library([stage("a-1"), stage("a1")])


def test_inject_and_eject_through_the_plugin(system: CiSystem) -> None:
    text = "node {\n    stage('Build') { build() }\n}\n"
    plan = Plan("shop", (PlannedStage("image-build"),))
    injection = system.inject(InjectionRequest("Jenkinsfile", text, plan, version="v1.2.0"))
    assert injection.files == {
        "Jenkinsfile": "@Library('pipegraft@v1.2.0') _\nnode {\n    stage('Build') { build() }\n"
        "    stage('image-build') { pipegraftImageBuild() }\n}\n"
    }
    ejection = system.eject("Jenkinsfile", injection.files["Jenkinsfile"] or "", lambda _path: None)
    assert ejection.files == {"Jenkinsfile": text}
    assert ejection.jobs_added == ("image-build",)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, Source(commit=COMMIT, number=7, pipeline="https://ci/job/shop/7/")),
        ({"BUILD_URL": None}, Source(commit=COMMIT, number=7)),
        ({"JENKINS_URL": None}, None),
        (
            {"JENKINS_URL": None, "BUILD_TAG": "jenkins-shop-7"},
            Source(commit=COMMIT, number=7, pipeline="https://ci/job/shop/7/"),
        ),
        ({"GIT_COMMIT": None}, None),
        ({"GIT_COMMIT": "$(touch x)"}, None),
        ({"BUILD_NUMBER": "7; x"}, None),
    ],
)
def test_source_of_a_build(system: CiSystem, changed: dict[str, str | None], expected: Source | None) -> None:
    variables = {
        "JENKINS_URL": "https://ci/",
        "BUILD_NUMBER": "7",
        "BUILD_URL": "https://ci/job/shop/7/",
        "GIT_COMMIT": COMMIT,
    } | changed
    assert system.source({name: value for name, value in variables.items() if value is not None}) == expected
