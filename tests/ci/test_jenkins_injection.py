"""Grafting onto Jenkinsfiles: the right place, nothing else touched, and out again byte for byte."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipegraft.ci.hooks import Injection, InjectionRequest, InjectOptions, Mode, TemplateSource
from pipegraft.ci.jenkins.injection import eject, inject
from pipegraft.core.errors import EditRefused, UsageError
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.text.groovy import parse

CORPUS = Path(os.environ.get("PIPEGRAFT_CORPUS", Path(__file__).parents[2] / "../shared/corpus")) / "jenkins"
BUILD = PlannedStage("image-build")
BUMP = PlannedStage("iac-bump", "staging", ("image-build",))
PLAN = Plan("shop", (BUILD, BUMP))


def graft(
    text: str,
    *,
    plan: Plan = PLAN,
    version: str | None = "1.2.0",
    mode: Mode | None = None,
    after: str | None = None,
    image: str | None = None,
    tags: tuple[str, ...] | None = None,
    at_hand: str = "v0.0.1",
    branch: str | None = None,
    longest: Mapping[str, float] | None = None,
    **more: object,
) -> Injection:
    stages = tuple(replace(one, longest=(longest or {}).get(one.id, 0.0)) for one in plan.stages)
    request = InjectionRequest(
        "Jenkinsfile",
        text,
        replace(plan, stages=stages),
        InjectOptions(mode=mode, after=after, image=image, tags=tags, branch=branch, ref=version),
        version=at_hand,
        **more,  # type: ignore[arg-type]
    )
    return inject(request)


def grafted(text: str, **options: object) -> str:
    return graft(text, **options).files.get("Jenkinsfile", text) or ""  # type: ignore[arg-type]


def ejected(text: str) -> str:
    return eject("Jenkinsfile", text).files.get("Jenkinsfile", text) or ""


DECLARATIVE = """\
pipeline {
    agent any
    stages {
        stage('Build') {
            steps { sh 'make' }
        }
        stage('Test') {
            parallel {
                stage('Unit') { steps { sh 'make unit' } }
                stage('Slow') {
                    stages {
                        stage('Prepare') { steps { sh 'x' } }
                    }
                }
            }
            post { always { junit '*.xml' } }
        } // stage('Test')
        stage('Cells') {
            matrix {
                axes { axis { name 'OS'; values 'linux', 'mac' } }
                stages {
                    stage('Cell') { steps { echo "stage('No') { ${OS} }" } }
                }
            }
        }
    }
    post { failure { echo '}' } }
}
"""


def test_declarative_goes_behind_the_last_stage() -> None:
    injection = graft(DECLARATIVE)
    expected = "@Library('pipegraft@1.2.0') _\n" + DECLARATIVE.replace(
        "    }\n    post { failure",
        "        stage('image-build') { steps { pipegraftImageBuild() } }\n"
        "        stage('iac-bump:staging') { steps { pipegraftIacBump(environment: 'staging') } }\n"
        "    }\n    post { failure",
    )
    assert injection.files == {"Jenkinsfile": expected}
    assert injection.jobs_unchanged == ("Build", "Test", "Unit", "Slow", "Prepare", "Cells", "Cell")
    assert injection.jobs_added == ("image-build", "iac-bump:staging")
    assert injection.notes == ()


@pytest.mark.parametrize(
    ("after", "line_before", "held"),
    [
        ("Build", "            steps { sh 'make' }\n        }\n", None),
        ("Test", "        } // stage('Test')\n", None),
        ("Unit", "        } // stage('Test')\n", "parallel"),
        ("Prepare", "        } // stage('Test')\n", "parallel"),
        ("Cell", "            }\n        }\n", "matrix"),
    ],
)
def test_after_a_stage_that_runs_beside_others_means_after_all_of_them(
    after: str, line_before: str, held: str | None
) -> None:
    injection = graft(DECLARATIVE, after=after)
    text = injection.files["Jenkinsfile"] or ""
    before, _, behind = text.partition("        stage('image-build')")
    assert before.endswith(line_before)
    assert behind
    assert injection.notes == (
        () if held is None else (f"stage '{after}' runs in '{held}': delivery follows the whole of it",)
    )


def test_after_a_stage_of_a_group_stays_in_the_group() -> None:
    text = (
        "pipeline {\n agent none\n stages {\n  stage('All') {\n   stages {\n"
        "    stage('A') { steps { a() } }\n    stage('B') { steps { b() } }\n   }\n  }\n }\n}\n"
    )
    assert "stage('A') { steps { a() } }\n    stage('image-build')" in grafted(text, after="A")


SCRIPTED = """\
def helper(name) {
    stage("Helper ${name}") { echo name }
}
def make() { return { stage('Made') { echo 'x' } } }
def later = { stage('Kept') { echo 'x' } }
node('linux') {
    try {
        stage('Build') {
            sh 'make'
        }
        parallel(
            a: { stage('A') { sh 'a' } },
            b: { stage('B') { sh 'b' } }
        )
        ['x', 'y'].each { stage('Each') { sh it } }
        if (env.BRANCH_NAME == 'main') {
            stage('Main') { sh 'main' }
        }
        stage('Last') { sh 'last' }
    } catch (e) {
        stage('Failed') { echo 'failed' }
        throw e
    } finally {
        stage('Clean') { deleteDir() }
    }
}
"""


@pytest.mark.parametrize(
    ("after", "behind"),
    [
        (None, "        stage('Last') { sh 'last' }\n"),
        ("Build", "            sh 'make'\n        }\n"),
        ("A", "        )\n"),
        ("Each", "        ['x', 'y'].each { stage('Each') { sh it } }\n"),
        ("Main", "            stage('Main') { sh 'main' }\n"),
        ("Helper ${name}", '    stage("Helper ${name}") { echo name }\n'),
    ],
)
def test_scripted_places(after: str | None, behind: str) -> None:
    text = grafted(SCRIPTED, after=after)
    before = text.partition("stage('image-build') { pipegraftImageBuild() }\n")[0]
    assert before.rstrip(" ").endswith(behind)
    indent = len(before) - len(before.rstrip(" "))
    assert (
        f"\n{' ' * indent}stage('iac-bump:staging') {{ pipegraftIacBump(environment: 'staging') }}\n" in text
    )
    assert ejected(text) == SCRIPTED


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ("node {\n  checkout scm\n  sh 'make'\n}\n", "  sh 'make'\n"),
        ("node {\n  stage 'Old'\n  a()\n  stage 'New'\n  b()\n}\n", "  b()\n"),
        ("timestamps {\n  node {\n    stage('A') { a() }\n  }\n}\n", "    stage('A') { a() }\n"),
        ("docker.image('x').inside {\n  stage('A') { a() }\n}\n", "  stage('A') { a() }\n}\n"),
        ("node {\n  dir('x') {\n    a()\n  }\n}\n", "    a()\n  }\n"),
        ("node {\n  timeout(5) {\n    stage('A') { a() }\n  }\n  cleanWs()\n}\n", "{ a() }\n  }\n"),
        ("lock('x') {\n  node {\n    a()\n  }\n}\n", "    a()\n  }\n}\n"),
        ("node {\n  withCredentials([x]) {\n    a()\n  }\n  echo 'done'\n}\n", "    a()\n  }\n"),
        (
            "podTemplate {\n  node('p') {\n    container('c') {\n      a()\n    }\n  }\n}\n",
            "      a()\n    }\n",
        ),
        ("node {\n  a()\n  cleanWs()\n  b()\n}\n", "  b()\n}\n"),
        ("node {\n  a()\n}\nnode {\n  tests()\n}\nmail to: 'x'\n", "  tests()\n"),
        ("node {\n  a()\n}\nwrap(work: { stage('T') { b() } })\n", "wrap(work: { stage('T') { b() } })\n"),
        ("node {\n  try {\n    a()\n  } finally {\n    junit '*.xml'\n  }\n}\n", "    junit '*.xml'\n  }\n"),
        (
            "node {\n  try {\n    a()\n  } catch (e) {\n    currentBuild.result = 'FAILURE'\n"
            "  } finally {\n    junit 'x'\n  }\n}\n",
            "    junit 'x'\n  }\n",
        ),
        ("node {\n  try {\n    a()\n  } finally {\n    deleteDir()\n  }\n}\n", "    a()\n"),
        ("retry(3) {\n  node {\n    stage('A') { a() }\n  }\n}\n", "  }\n}\n"),
        ("if (x) {\n  node { stage('A') { a() } }\n}\n", "}\n"),
        ("def b = [:]\nb['x'] = { node { a() } }\nparallel b\n", "parallel b\n"),
        ("def run() {\n  node { stage('A') { a() } }\n}\nrun()\n", "run()\n"),
        ("def one() {\n  stage('A') { a() }\n}\ndef two() { one() }\ntwo()\n", "two()\n"),
        ("stage('A') {\n  node { a() }\n}\nstage('B') {\n  node { b() }\n}\n", "  node { b() }\n}\n"),
        (
            "podTemplate(yaml: '''\n}\n''') {\n  node(POD_LABEL) {\n    stage('A') { a() }\n  }\n}\n",
            "{ a() }\n",
        ),
        ("node('a') {\n  stage('A', {\n    a()\n  })\n}\n", "  })\n"),
        ("node {\n  return a()\n}\n", "}\n"),
        ("try {\n  run()\n} finally {\n  b()\n}\ndef run() {\n  node { a() }\n}\n", "  b()\n}\n"),
        (
            "def made(x) {\n  return { node { a() } }\n}\nparallel([1].collectEntries { [it, made(it)] })\n",
            "})\n",
        ),
        ("for (x in [1]) {\n  parallel(x)\n}\n", "}\n"),
        ("String a(int b) {\n  'x'\n}\nnode('l') { c() }\n", "{ c();"),
        ("@NonCPS\ndef a() { }\n@Field\nMap b = [:]\nnode {\n  c()\n}\n", "  c()\n"),
    ],
)
def test_scripted_defaults_to_where_the_pipeline_ends(text: str, behind: str) -> None:
    result = grafted(text)
    assert result.partition("stage('image-build')")[0].rstrip(" ").endswith(behind)
    assert ejected(result) == text


def test_old_stages_without_a_block_end_where_the_next_begins() -> None:
    text = "node {\n  stage 'Old'\n  a()\n  stage name: 'New', concurrency: 1\n  b()\n}\n"
    assert "  a()\n  stage('image-build')" in grafted(text, after="Old")
    assert graft(text).jobs_unchanged == ("Old", "New")


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("buildPlugin()\n", "comes whole from elsewhere: buildPlugin", "a Jenkinsfile of its own"),
        ("def call(Map c) {\n  pipeline { agent any; stages { } }\n}\n", "library code", "the Jenkinsfile"),
        (
            "package a.b\nimport c.d\nclass X {\n  def y() { node { } }\n}\n",
            "library code",
            "the Jenkinsfile",
        ),
        ("// nothing\n", "library code", "the Jenkinsfile"),
        ("pipeline {\n  agent any\n}\n", "at least one stage", "write a first stage"),
        ("pipeline {\n  agent any\n  stages { }\n}\n", "at least one stage", "write a first stage"),
        (
            "node {\n  try {\n    a()\n  } catch (e) {\n    echo 'x'\n  } finally {\n    junit 'x'\n  }\n}\n",
            "lets the build go on as if nothing had failed.*line 7",
            "let the 'catch' throw",
        ),
        (
            "node {\n  if (skip) { return }\n  dir('x') {\n    a()\n  }\n  cleanWs()\n  b()\n}\n",
            "this 'return' ends the block before its end",
            "into an 'else'",
        ),
        ("node { a() }\nreturn b()\n", "ends by leaving it", "let the last statement be a call"),
        (
            "if (a) {\n pipeline { agent any; stages { stage('a') { steps { b() } } } }\n} else {\n"
            " pipeline { agent any; stages { stage('b') { steps { b() } } } }\n}\n",
            "one pipeline block, found 2, at lines 2, 4",
            "a file of its own",
        ),
        ("node { sh 'a }\n", "the end of the string", "mend the file"),
        ("@Library(NAMES) _\nnode { a() }\n", "found an expression", "plain text in single quotes"),
    ],
)
def test_what_is_no_pipeline_is_refused_with_a_way_out(text: str, message: str, fix: str) -> None:
    with pytest.raises(EditRefused, match=message) as refused:
        graft(text)
    assert fix in refused.value.problem.fix
    assert refused.value.problem.place is not None
    assert refused.value.problem.place.file == "Jenkinsfile"


@pytest.mark.parametrize(
    ("after", "message", "fix"),
    [
        ("Biuld", "no stage called 'Biuld'; there are: Helper", "write --after 'Build'"),
        ("Kept", "a closure that is kept for later", "leave out --after"),
        ("Made", "a closure that is kept for later", "leave out --after"),
        ("Failed", "stands in 'catch', which runs after a failure too", "leave out --after"),
        ("Clean", "stands in 'finally', which runs after a failure too", "leave out --after"),
    ],
)
def test_a_place_that_cannot_be_is_refused(after: str, message: str, fix: str) -> None:
    with pytest.raises(EditRefused, match=message) as refused:
        graft(SCRIPTED, after=after)
    assert fix in refused.value.problem.fix


def test_a_name_that_several_stages_have_is_refused() -> None:
    with pytest.raises(EditRefused, match="found 2, at lines 1, 2"):
        graft("stage('A') { node { a() } }\nstage('A') { node { b() } }\n", after="A")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("@Library('a@1') _\n", "@Library(['pipegraft@1.2.0', 'a@1']) _\n"),
        ('@Library("a@1") _\n', "@Library(['pipegraft@1.2.0', \"a@1\"]) _\n"),
        ("@Library(['a@1']) _\n", "@Library(['a@1', 'pipegraft@1.2.0']) _\n"),
        ("@Library(['a', 'b@x']) _\n", "@Library(['a', 'b@x', 'pipegraft@1.2.0']) _\n"),
        ("@Library([\n  'a',\n  'b',\n]) _\n", "@Library([\n  'a',\n  'b', 'pipegraft@1.2.0',\n]) _\n"),
        ("@Library('a') import x.Y\n", "@Library(['pipegraft@1.2.0', 'a']) import x.Y\n"),
        ("@Library('a')\nimport x.Y\n", "@Library(['pipegraft@1.2.0', 'a'])\nimport x.Y\n"),
        (
            "@Library(value='a', changelog=false) _\n",
            "@Library(value=['pipegraft@1.2.0', 'a'], changelog=false) _\n",
        ),
        ("@Library('a') _\n@Library(['b']) _\n", "@Library(['pipegraft@1.2.0', 'a']) _\n@Library(['b']) _\n"),
        ("// @Library('a') _\n", "@Library('pipegraft@1.2.0') _\n// @Library('a') _\n"),
        ("#!groovy\n", "#!groovy\n@Library('pipegraft@1.2.0') _\n"),
        ("\ufeff", "\ufeff@Library('pipegraft@1.2.0') _\n"),
        ("\ufeff#!groovy\n", "\ufeff#!groovy\n@Library('pipegraft@1.2.0') _\n"),
        ("/* licence */\n\n", "/* licence */\n\n@Library('pipegraft@1.2.0') _\n"),
        ("/* says what follows */\n", "@Library('pipegraft@1.2.0') _\n/* says what follows */\n"),
        ("// -*- mode: groovy -*-\n", "// -*- mode: groovy -*-\n@Library('pipegraft@1.2.0') _\n"),
        ("// licence\n\n// says\n", "// licence\n\n@Library('pipegraft@1.2.0') _\n// says\n"),
    ],
)
def test_the_library_joins_what_is_loaded_and_leaves_it_again(before: str, after: str) -> None:
    pipeline = "node { stage('A') { a() } }\n"
    text = grafted(before + pipeline)
    assert text.startswith(after + "node {")
    assert ejected(text) == before + pipeline


@pytest.mark.parametrize("names", ["'pipegraft'", "['a', 'pipegraft@v0.0.1']"])
def test_a_library_that_the_team_loads_itself_is_not_taken_for_ours(names: str) -> None:
    with pytest.raises(EditRefused, match="the library 'pipegraft' loaded and no stage of it"):
        graft(f"@Library({names}) _\n{DECLARATIVE}")


def test_the_pin_is_updated_in_place() -> None:
    for before in ("", "@Library('a') _\n", "@Library(['a', 'b']) _\n"):
        text = before + DECLARATIVE
        old = grafted(text, version="1.0.0")
        new = grafted(old, version="v2.0.0-rc.1")
        assert new == old.replace("pipegraft@1.0.0", "pipegraft@v2.0.0-rc.1")
        assert graft(new, version="v2.0.0-rc.1").files == {}
        assert ejected(new) == text


@pytest.mark.parametrize(
    ("pinned", "at_hand", "expected"),
    [
        ("v1.0.0", "v1.1.0", "v1.1.0"),
        ("1.0.0", "v1.1.0", "v1.1.0"),
        ("main", "v1.1.0", "main"),
        ("4be1f00", "v1.1.0", "4be1f00"),
    ],
)
def test_a_pinned_version_follows_the_templates_and_a_branch_stays(
    pinned: str, at_hand: str, expected: str
) -> None:
    text = grafted(grafted(DECLARATIVE, version=pinned), version=None, at_hand=at_hand)
    assert text == grafted(DECLARATIVE, version=expected)
    assert "@Library('pipegraft@v1.1.0') _" in grafted(DECLARATIVE, version=None, at_hand=at_hand)


def test_where_the_library_lies_is_not_for_a_file_to_say() -> None:
    request = InjectionRequest("Jenkinsfile", DECLARATIVE, PLAN, InjectOptions(TemplateSource("local")))
    with pytest.raises(UsageError, match="where an administrator configured it"):
        inject(request)


@pytest.mark.parametrize("version", ["1'), x(", "a b", "a\nb", "$(x)"])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="as the library's version"):
        graft(DECLARATIVE, version=version)


def test_one_stage_for_the_whole_plan() -> None:
    plan = Plan("shop", (BUILD, PlannedStage("gray", "staging", (), {"dry-run": True})))
    text = grafted(DECLARATIVE, plan=plan, mode="child")
    assert (
        "        stage('delivery') { steps { pipegraft(stages: ['image-build', 'gray:staging'], "
        "inputs: ['gray:staging': ['dry-run': true]]) } }\n"
    ) in text
    assert graft(text, plan=plan).files == {}, "the mode stays"
    assert ejected(text) == DECLARATIVE
    apart = grafted(text, plan=plan, mode="include")
    assert apart == grafted(DECLARATIVE, plan=plan)


def test_where_it_runs_becomes_arguments_and_stays() -> None:
    text = grafted(DECLARATIVE, image="ghcr.io/x/y:1", tags=("linux", "docker"))
    assert "pipegraftImageBuild(image: 'ghcr.io/x/y:1', agent: 'linux && docker')" in text
    assert graft(text).files == {}
    assert "agent: 'linux'" in grafted(text, tags=("linux",))


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.one_of(st.text(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    )
)
def test_values_stay_inside_their_literals(value: object) -> None:
    plan = Plan("shop", (PlannedStage("gray", "staging", (), {"x": value}),))
    text = grafted(DECLARATIVE, plan=plan)
    assert text.count("\n") == DECLARATIVE.count("\n") + 2
    assert '"' not in text.partition("inputs: ")[2].partition("\n")[0].replace('"', "", str(value).count('"'))
    assert graft(text, plan=plan).files == {}
    assert ejected(text) == DECLARATIVE


def test_a_name_the_team_has_is_left_to_the_team() -> None:
    text = DECLARATIVE.replace("'Build'", "'image-build'")
    result = grafted(text)
    assert "stage('image-build (delivery)') { steps { pipegraftImageBuild() } }" in result
    assert graft(result).files == {}
    assert ejected(result) == text


def test_what_people_tuned_stays() -> None:
    text = (
        grafted(DECLARATIVE)
        .replace("pipegraftImageBuild()", "pipegraftImageBuild(agent: 'big', timeout: 5)")
        .replace("'iac-bump:staging'", "'Write staging'")
    )
    assert graft(text).files == {}
    wider = Plan("shop", (BUILD, BUMP, PlannedStage("sync-gate", "staging")))
    more = grafted(text, plan=wider)
    assert (
        "stage('Write staging') { steps { pipegraftIacBump(environment: 'staging') } }\n        stage('sync-"
        in more
    )
    assert "pipegraftImageBuild(agent: 'big', timeout: 5)" in more
    assert grafted(more) == text
    assert ejected(more) == DECLARATIVE


def test_ejection_says_what_stays() -> None:
    out = eject("Jenkinsfile", grafted(DECLARATIVE))
    assert out.jobs_added == ("image-build", "iac-bump:staging")
    assert out.jobs_unchanged == graft(DECLARATIVE).jobs_unchanged
    assert eject("Jenkinsfile", DECLARATIVE).files == {}
    assert eject("Jenkinsfile", "buildPlugin()\n").files == {}


def test_a_stage_that_people_rewrote_is_theirs() -> None:
    theirs = "stage('image-build') { when { branch 'main' }\n steps { pipegraftImageBuild() } }"
    text = grafted(DECLARATIVE).replace("stage('image-build') { steps { pipegraftImageBuild() } }", theirs)
    injection = graft(text)
    assert injection.files == {}
    assert injection.notes == ("line 28 calls pipegraftImageBuild itself: left as it is",)
    out = eject("Jenkinsfile", text)
    assert theirs in (out.files["Jenkinsfile"] or "")
    assert "pipegraftIacBump" not in (out.files["Jenkinsfile"] or "")
    assert "@Library('pipegraft@1.2.0') _" in (out.files["Jenkinsfile"] or "")
    assert out.notes == ("line 28 calls pipegraftImageBuild itself: it stays, and so does the library",)


def test_a_formatter_may_break_the_lines() -> None:
    text = grafted(DECLARATIVE).replace(
        "stage('image-build') { steps { pipegraftImageBuild() } }",
        "stage('image-build') {\n            steps {\n                pipegraftImageBuild()\n"
        "            }\n        }",
    )
    assert graft(text).files == {}
    assert ejected(text) == DECLARATIVE


def test_moving_delivery() -> None:
    early = grafted(DECLARATIVE, after="Build")
    assert graft(early).files == {}, "it stays where it was put"
    assert grafted(early, after="Cells") == grafted(DECLARATIVE)


ONE_LINE = "pipeline { agent any; stages { stage('A') { steps { a() } } } }"


@pytest.mark.parametrize(
    "text",
    [
        ONE_LINE,
        ONE_LINE + "\n",
        "pipeline { agent any\n stages { stage('A') { steps { a() } }; stage('B') { steps { b() } } }\n}",
        "node { stage('A') { a() } }",
        "node { stage('A') { a() }; }",
        "stage('A') { node { a() } }",
        "stage('A') { node { a() } } /* a\n b */\n",
        "stage('A') { node { a() } } ; // why",
        "node {\r\n\tstage('A') { a() }\r\n}",
        "node {\r  stage('A') { a() }\r}\r",
    ],
)
def test_lines_of_every_shape(text: str) -> None:
    result = grafted(text)
    assert graft(result).files == {}
    assert ejected(result) == text
    assert "stage('image-build')" in result


def variants(text: str) -> Iterator[str]:
    plain = text.replace("\r\n", "\n")
    for form in (plain, plain.rstrip("\n"), plain.replace("    ", "\t")):
        for ends in (form, form.replace("\n", "\r\n")):
            yield ends
            yield "\ufeff" + ends


@pytest.mark.parametrize("text", [DECLARATIVE, SCRIPTED, "#!groovy\n" + DECLARATIVE])
@pytest.mark.parametrize("mode", ["include", "child"])
def test_every_form_of_a_file_comes_back(text: str, mode: Mode) -> None:
    for variant in variants(text):
        result = grafted(variant, mode=mode)
        assert graft(result).files == {}
        assert ejected(result) == variant
        assert result.count("\r\n") == (result.count("\n") if "\r\n" in variant else 0)


_STATEMENT = st.sampled_from(
    [
        "sh 'make }'",
        'echo "${x.collect { "{${it}" }} stage(\'no\') {"',
        "// stage('comment') { it's",
        "/* pipeline { */",
        "def y = a / b / c",
        "script {\n  if (x =~ /[{]/) { y() }\n}",
        "timeout(5) {\n  sh '''\n  }\n'''\n}",
        "parallel(\n  a: { b() },\n  c: { d() }\n)",
    ]
)


@st.composite
def _pipelines(draw: st.DrawFn) -> str:
    numbers = itertools.count()

    def stages(depth: int) -> str:
        kind = (
            draw(st.sampled_from(["steps", "steps", "parallel", "stages", "matrix"]))
            if depth < 2
            else "steps"
        )
        gap = draw(st.sampled_from(["\n", "\n\n", " // why\n", "\n/* } */\n"]))
        name = f"S{next(numbers)}"
        head = draw(st.sampled_from([f"stage('{name}') {{", f'stage("{name}")\n{{', f"stage ('{name}'){{"]))
        if kind == "steps":
            body = "\n".join(draw(st.lists(_STATEMENT, min_size=1, max_size=3)))
            return f"{head}\nsteps {{\n{body}\n}}\n}}{gap}"
        inner = "".join(stages(depth + 1) for _ in range(draw(st.integers(1, 2))))
        if kind == "matrix":
            return f"{head}\nmatrix {{\naxes {{ }}\nstages {{\n{inner}}}\n}}\n}}{gap}"
        return f"{head}\n{kind} {{\n{inner}}}\n}}{gap}"

    lead = draw(
        st.sampled_from(["", "#!groovy\n", "// licence\n\n", "@Library('a') _\n", "@Library(['a', 'b']) _\n"])
    )
    inner = "".join(stages(0) for _ in range(draw(st.integers(1, 3))))
    post = draw(st.sampled_from(["", "post { always { echo '}' } }\n"]))
    text = f"{lead}pipeline {{\nagent any\nstages {{\n{inner}}}\n{post}}}\n"
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = draw(st.sampled_from(["", "\ufeff"])) + text.replace("\n", end)
    return text if draw(st.booleans()) else text.rstrip("\r\n")


@settings(deadline=None, max_examples=40)
@given(_pipelines(), st.sampled_from(["// a remark of the team", "def added = '}'", "/* { */"]))
def test_any_pipeline_comes_back_also_after_an_edit_by_the_team(text: str, remark: str) -> None:
    injection = graft(text)
    result = injection.files["Jenkinsfile"] or ""
    assert graft(result).files == {}
    assert ejected(result) == text
    for name in injection.jobs_unchanged:
        assert ejected(grafted(text, after=name)) == text
    eol = "\r\n" if "\r\n" in text else "\n"
    edit = ("agent any" + eol, f"agent any{eol}{remark if remark[:3] != 'def' else '// def'}{eol}")
    assert ejected(result.replace(*edit)) == text.replace(*edit)


_APART = [
    *("[1, 2].each {", "def kept = {", "parallel a: {", "for (x in y) {", "def run(a) {", "if (a) {"),
    *("docker.image('x').inside('-u 0') {", "unknown(1)\n{", "dir('x') {", "lock('x') {", "timeout(5) {"),
    *("withCredentials([x]) {", "container('x') {", "ws('x') {", "retry(2) {", "stage('Z') {"),
]
_IN_TURN = ["node('a') {", "timestamps {", "try {", "ansiColor('xterm') {", "podTemplate(cloud: 'x') {"]


@st.composite
def _scripts(draw: st.DrawFn) -> str:
    """A Scripted pipeline in which `here()` stands wherever delivery may follow, `apart()` wherever not."""

    def block(depth: int, word: str) -> str:
        lines = [draw(_STATEMENT.filter(lambda code: "parallel" not in code)), f"{word}()"]
        lines.append(f"stage('S{depth}{word}') {{\n  {word}()\n}}")
        for _ in range(draw(st.integers(0, 2)) if depth < 3 else 0):
            head = draw(st.sampled_from(_IN_TURN + _APART))
            inner = block(depth + 1, "apart" if head in _APART else word)
            tail = "} finally { cleanWs() }" if head == "try {" else "}"
            lines.append(f"{head}\n{inner}\n{tail}")
        return "\n".join(lines)

    return block(0, "here") + "\n"


@settings(deadline=None, max_examples=60)
@given(_scripts())
def test_delivery_follows_only_what_runs_once_and_in_turn(text: str) -> None:
    result = grafted(text)
    assert graft(result).files == {}
    assert ejected(result) == text
    script = parse(result.replace("pipegraftImageBuild", "delivery"))
    at = next(index for index in range(len(script.code)) if script.word(index) == "delivery")
    pairs = sorted(script.partner.items())
    around = [first for first, last in pairs if first < at < last and script.word(first) == "{"]
    siblings = script.statements(script.inside(around[-2]) if len(around) > 1 else script.whole)
    assert "here()" in [script.source(one) for one in siblings]
    assert "apart()" not in [script.source(one) for one in siblings]


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.name) for path in sorted(CORPUS.glob("*"))]
    or [pytest.param(None, marks=pytest.mark.skip(reason="no corpus on this machine"))],
)
def test_real_pipelines_come_back(path: Path) -> None:
    text = path.read_bytes().decode()
    if "buildPluginWithGradle(" in text:
        with pytest.raises(EditRefused, match="comes whole from elsewhere"):
            graft(text)
        return
    for variant in variants(text):
        injection = graft(variant)
        result = injection.files["Jenkinsfile"] or ""
        assert injection.jobs_unchanged or "node" in text
        assert graft(result).files == {}
        assert ejected(result) == variant


# Which builds deliver


def test_the_branch_is_named_where_it_is_known_and_stays_where_people_named_another() -> None:
    known = grafted(DECLARATIVE, default_branch="trunk")
    assert "pipegraftImageBuild(branch: 'trunk')" in known
    assert "pipegraftIacBump(environment: 'staging', branch: 'trunk')" in known
    assert graft(known, default_branch="trunk").files == {}
    release = known.replace("'trunk'", "'release'")
    assert graft(release, default_branch="trunk").files == {}
    assert grafted(release, branch="main") == known.replace("'trunk'", "'main'")
    assert ejected(known) == DECLARATIVE


def test_the_table_says_which_builds_deliver() -> None:
    rows = {row.event: row for row in graft(DECLARATIVE, default_branch="main", after="Test").events}
    delivering = [event for event, row in rows.items() if row.delivery == "yes"]
    assert delivering == ["push", "web", "upstream"]
    assert rows["push"].name == "push to main"
    assert rows["push"].behind == ("Build", "Test", "Unit", "Slow", "Prepare")
    text = grafted(DECLARATIVE).replace("pipegraftImageBuild()", "pipegraftImageBuild(timers: true)")
    assert {row.event: row.delivery for row in graft(text).events}["schedule"] == "yes"


@pytest.mark.parametrize(
    ("options", "longest", "said"),
    [
        (
            "options { timeout(time: 1, unit: 'HOURS') }",
            7200.0,
            "after 60 min, and by its own limits delivery may take 120",
        ),
        ("options { timeout(10) }", 7200.0, "after 10 min"),
        ("options { timeout(time: 3, unit: 'HOURS') }", 7200.0, ""),
        ("options { timeout(unit: 'DAYS', time: 2) }", 7200.0, ""),
        ("options { timeout(time: env.LIMIT, unit: 'HOURS') }", 7200.0, "after a time that cannot be read"),
        ("options { timeout(time: 10, activity: true) }", 7200.0, ""),
        ("options { timestamps() }", 7200.0, ""),
        ("options { timeout(time: 1, unit: 'HOURS') }", 0.0, ""),
    ],
)
def test_the_pipelines_own_deadline_is_held_against_the_plans(
    options: str, longest: float, said: str
) -> None:
    text = DECLARATIVE.replace("    agent any\n", f"    agent any\n    {options}\n", 1)
    notes = graft(text, longest={"iac-bump:staging": longest}).notes
    assert bool(notes) is bool(said)
    assert said in "".join(notes)


def test_a_post_that_judges_the_build_after_delivery_is_said() -> None:
    text = DECLARATIVE.replace(
        "post { failure { echo '}' } }", "post {\n        always { junit '*.xml' }\n    }"
    )
    (note,) = graft(text).notes
    assert "Jenkinsfile:28:18: 'junit' in the 'post' around delivery judges the build after it" in note
    assert graft(DECLARATIVE).notes == ()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("options { lock resource: 'x' }", "'lock' is held until delivery has ended"),
        ("options { retry(2) }", "'retry' starts everything again"),
        ("options { disableConcurrentBuilds(abortPrevious: true) }", "'abortPrevious' lets a newer build"),
        ("options { disableConcurrentBuilds() }", ""),
        ("post { success { sh './ship' } }", "'sh' in the 'post' around delivery runs after it"),
        ("post { failure { sh './report' } }", ""),
        ("post { cleanup { sh 'docker rm x' } }", ""),
        ("environment { A = 'b'; KEY = credentials('deploy') }", "gives your secrets to delivery, too (KEY)"),
        ("environment { A = 'b' }", ""),
    ],
)
def test_what_takes_hold_of_delivery_in_a_pipeline_is_said(section: str, said: str) -> None:
    text = DECLARATIVE.replace("post { failure { echo '}' } }", "").replace(
        "    agent any\n", f"    agent any\n    {section}\n", 1
    )
    notes = graft(text).notes
    assert bool(notes) is bool(said)
    assert said in "".join(notes)


GROUPED = """\
pipeline {
    agent { docker { image 'maven:3' } }
    stages {
        stage('Lint') { when { changeRequest() }; steps { sh 'lint' } }
        stage('Unit') { when { beforeAgent true; not { tag 'v*' } }; steps { sh 'unit' } }
        stage('Group') {
            when { WHEN }
            options { timeout(5) }
            environment { KEY = credentials('deploy') }
            stages {
                stage('Deep') { steps { sh 'deep' } }
            }
        }
    }
}
"""


def test_what_encloses_delivery_is_said_where_it_does() -> None:
    (outside,) = graft(GROUPED, longest={"iac-bump:staging": 7200.0}).notes
    assert outside.startswith("Jenkinsfile:2:13: delivery runs in it, too, and needs git and pipegraft")
    inside = graft(GROUPED, longest={"iac-bump:staging": 7200.0}, after="Deep").notes
    assert [note.split(": ")[0] for note in inside] == [
        f"Jenkinsfile:{at}" for at in ("2:13", "8:23", "9:27")
    ]
    again = graft(
        grafted(GROUPED, longest={"iac-bump:staging": 7200.0}, after="Deep"),
        longest={"iac-bump:staging": 7200.0},
    )
    assert again.files == {}
    assert [note.split(": ")[0] for note in again.notes] == [
        f"Jenkinsfile:{at}" for at in ("3:13", "9:23", "10:27")
    ]


@pytest.mark.parametrize(
    ("when", "delivery"),
    [
        ("branch 'main'", "yes"),
        ("branch pattern: 'ma*'", "yes"),
        ("branch pattern: 'm.*', comparator: 'REGEXP'", "maybe"),
        ("anyOf { branch 'main'; branch 'release/*' }", "yes"),
        ("allOf { branch 'main'; expression { params.SHIP } }", "maybe"),
        ("expression { env.BRANCH_NAME == 'main' }", "yes"),
        ("expression { return env.BRANCH_NAME == 'main' && params.SHIP }", "maybe"),
        ("expression { (params.A || !env.CHANGE_ID || params.B) && params.C }", "maybe"),
        ("expression { env.CHANGE_ID }", "no"),
        ("not { changeRequest() }", "yes"),
        ("not { branch 'main' }", "no"),
        ("branch 'develop'", "no"),
        ("buildingTag()", "no"),
        ("allOf { branch 'main'; changeRequest target: 'main' }", "no"),
    ],
)
def test_the_condition_of_a_group_is_delivery_s_too(when: str, delivery: str) -> None:
    text = GROUPED.replace("WHEN", when)
    if delivery == "no":
        with pytest.raises(EditRefused, match="delivery would never run: 'when' at line 7") as refused:
            graft(text, after="Deep", branch="main")
        assert "--after" in refused.value.problem.fix
        return
    push = graft(text, after="Deep", branch="main").events[0]
    assert push.delivery == delivery
    assert push.why == ("'when' at line 7 decides" if delivery == "maybe" else "")
    assert push.behind == ("Unit", "Group", "Deep")


def test_a_delivery_that_no_stage_precedes_is_told() -> None:
    text = GROUPED.replace("WHEN", "changeRequest()").replace("not { tag 'v*' }", "branch 'dev*'")
    found = graft(text, branch="main")
    assert found.events[0].behind == ()
    assert found.notes[-1].startswith("None of your stages before delivery runs in a build that delivers")


def test_a_condition_around_a_named_stage_of_a_scripted_pipeline_is_delivery_s_too() -> None:
    text = "node {\n  stage('A') { a() }\n  if (env.SHIP) {\n    stage('B') { b() }\n  }\n}\n"
    rows = {row.event: row for row in graft(text, after="B").events}
    assert (rows["push"].delivery, rows["push"].why) == ("maybe", "'if' at line 3 decides")
    assert rows["tag"].delivery == "no"
    assert graft(text).events[0].delivery == "yes"


@pytest.mark.parametrize(
    ("condition", "delivery"),
    [
        ("env.BRANCH_NAME == 'main'", "yes"),
        ('BRANCH_NAME == "main" && env.CHANGE_ID == null', "yes"),
        ("!env.TAG_NAME", "yes"),
        ("env.BRANCH_NAME == 'main' || env.BRANCH_NAME == 'dev'", "yes"),
        ("env.BRANCH_NAME != 'main'", "no"),
        ("env.CHANGE_ID != null", "no"),
        ("env.ghprbPullId && params.X", "no"),
        ("!env.CHANGE_ID == null", "maybe"),
        ("env.BRANCH_NAME.startsWith('main')", "maybe"),
    ],
)
def test_what_a_condition_says_of_branches_and_changes_is_known(condition: str, delivery: str) -> None:
    text = f"node {{\n  stage('A') {{ a() }}\n  if ({condition}) {{\n    stage('B') {{ b() }}\n  }}\n}}\n"
    after = graft(text, branch="main").events[0].behind
    assert after == (("A",) if delivery == "no" else ("A", "B"))
    if delivery == "no":
        with pytest.raises(EditRefused, match="delivery would never run: 'if' at line 3"):
            graft(text, branch="main", after="B")
    else:
        assert graft(text, branch="main", after="B").events[0].delivery == delivery


QUIET = "node {\n  try {\n    stage('Test') { sh 'x' }\n  } catch (e) { echo 'failed' }\n"


def test_a_catch_that_says_nothing_is_told_with_its_place() -> None:
    for text in (QUIET + "}\n", QUIET + "  stage('Ship') { sh 'y' }\n}\n"):
        (note,) = graft(text).notes
        assert note.startswith("Jenkinsfile:4:5: this 'catch' lets the build go on")
        assert graft(text.replace("echo 'failed'", "throw e")).notes == ()


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("catchError(buildResult: 'SUCCESS', stageResult: 'FAILURE') { sh 'x' }", "this 'catchError' leaves"),
        ("catchError(buildResult: null) { sh 'x' }", "this 'catchError' leaves"),
        ("catchError { sh 'x' }", ""),
        ("catchError(buildResult: 'UNSTABLE') { sh 'x' }", ""),
        ("script { try { sh 'x' } catch (e) { echo 'no' } }", "this 'catch' lets the build go on"),
        ("script { try { sh 'x' }\n catch (e) { unstable 'no' } }", ""),
        ("script { try { count = load() } catch (e) { count = 0 } }", ""),
        ("build job: 'tests', wait: false", "'wait: false' lets delivery go on"),
        ("build(job: 'tests',\n propagate: false)", "'propagate: false' lets delivery go on"),
        ("build job: 'tests'", ""),
        ("build('tests')", ""),
    ],
)
def test_what_hides_a_failure_before_delivery_is_told(steps: str, said: str) -> None:
    declared = f"pipeline {{\n agent any\n stages {{\n  stage('T') {{ steps {{ {steps} }} }}\n }}\n}}\n"
    for text in (declared, f"node {{\n stage('T') {{\n {steps}\n }}\n}}\n"):
        notes = graft(text).notes
        assert bool(notes) is bool(said)
        assert said in "".join(notes)
    later = f"node {{\n stage('T') {{ sh 't' }}\n stage('U') {{ {steps} }}\n}}\n"
    assert graft(later, after="T").notes == ()


def test_a_named_stage_is_the_way_out_where_no_end_is_safe() -> None:
    text = "node {\n  stage('Test') { sh 'x' }\n" + QUIET.replace("node {\n", "").replace("Test", "Ship")
    text = text.rstrip("\n") + " finally { junit 'x' }\n}\n"
    with pytest.raises(EditRefused, match="this 'catch' lets") as refused:
        graft(text)
    assert "--after" in refused.value.problem.fix
    result = grafted(text, after="Test")
    assert result.index("stage('Test')") < result.index("pipegraftIacBump") < result.index("try {")
    assert graft(result).files == {}
    assert ejected(result) == text


def test_what_runs_behind_the_pipeline_block_is_refused() -> None:
    with pytest.raises(EditRefused, match="runs after the pipeline block") as refused:
        graft(DECLARATIVE + "node { sh 'make test' }\n")
    assert refused.value.problem.place.line == DECLARATIVE.count("\n") + 1
    assert graft(DECLARATIVE + "def helper() { echo 'x' }\n").files


def test_the_call_by_hand_is_offered_for_a_pipeline_that_is_one_call() -> None:
    text = "@Library('team') _\nbuildPlugin(forkCount: 2)\n"
    with pytest.raises(EditRefused, match="comes whole from elsewhere") as refused:
        graft(text, default_branch="main")
    fix = refused.value.problem.fix
    assert "+@Library(['pipegraft@1.2.0', 'team']) _" in fix
    assert "+pipegraft(branch: 'main')" in fix


def test_delivery_never_precedes_the_tests(tmp_path: Path) -> None:
    text = (
        "node('small') {\n  checkout scm\n  utils = load 'ci/utils.groovy'\n}\nutils.withReport(\n  work: {\n"
        "    stage('Test') { node('big') { sh 'make test' } }\n  },\n  failed: { mail to: 'x' }\n)\n"
    )
    result = grafted(text)
    assert result.startswith("@Library('pipegraft@1.2.0') _\n" + text)
    assert graft(text).events[0].behind == ("Test",)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.name) for path in sorted(CORPUS.glob("*"))]
    or [pytest.param(None, marks=pytest.mark.skip(reason="no corpus on this machine"))],
)
def test_nothing_but_cleanup_stands_behind_delivery_in_real_pipelines(path: Path) -> None:
    """An independent look: not the outline's, but the text behind the last graft, bracket by bracket."""
    text = path.read_bytes().decode()
    if "buildPluginWithGradle(" in text:
        return
    result = grafted(text)
    script = parse(result)
    last = max(index for index in range(len(script.code)) if script.word(index) == "pipegraftIacBump")
    around = sorted(first for first, end in script.partner.items() if first < last < end)
    declarative = re.search(r"^\s*pipeline\s*\{", result, re.MULTILINE) is not None
    for brace in [first for first in around if script.word(first) == "{"]:
        inside = script.statements(script.inside(brace))
        later = [one for one in inside if one.first > last]
        for one in later:
            word = script.word(one.first)
            assert not re.match(r"stage\b|node\b|parallel\b|sh\b|bat\b", script.source(one)), (
                path.name,
                word,
            )
            if not declarative:
                assert word in _HARMLESS, (path.name, script.source(one)[:80])
    for one in script.statements(script.whole):
        if one.first > last and not re.match(
            r"(def|@|private|static|public|class)\b|\w+ \w+\(.*\{", script.source(one)
        ):
            assert script.word(one.first) in _HARMLESS, (path.name, script.source(one)[:80])


_HARMLESS = {
    "cleanWs",
    "deleteDir",
    "echo",
    "mail",
    "emailext",
    "slackSend",
    "stage",
    "script",
    "return",
    "step",
}


def test_a_pipeline_without_a_stage_of_its_own_is_told() -> None:
    (note,) = graft("def ci\nnode { checkout scm; ci = load 'ci.groovy' }\nci.run()\n").notes
    assert note.startswith("No stage of yours stands before delivery")
