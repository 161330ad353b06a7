"""When GitLab runs delivery: conditions, events, and what a graft refuses or says of them."""

from __future__ import annotations

import itertools

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.ci.gitlab.conditions import DEFAULT_BRANCH, OTHER_BRANCH, Facts, holds, outcomes
from pipegraft.ci.gitlab.configuration import Files, layers_of
from pipegraft.ci.gitlab.pipeline import resolve
from pipegraft.ci.gitlab.seeds import events, seed
from pipegraft.ci.gitlab.when import event_rows
from pipegraft.core.errors import EditRefused, UsageError

MANIFEST = ".pipegraft/gitlab.yml"
CHILD = ".pipegraft/gitlab/child.yml"
TEST = "test: {script: make}\n"
EVENTS = events()
PUSH, ELSEWHERE, REQUEST, TRAIN, TAG, SCHEDULE, WEB, API, TRIGGER, PIPELINE, *CHILDREN = EVENTS


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('$CI_PIPELINE_SOURCE == "push"', True),
        ("$CI_PIPELINE_SOURCE == 'push' && $CI_COMMIT_TAG", False),
        ("$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", True),
        ("${CI_COMMIT_BRANCH} != $CI_DEFAULT_BRANCH", False),
        ('$CI_COMMIT_BRANCH == "main"', None),
        ("$CI_COMMIT_BRANCH =~ /^release/", None),
        ("$CI_COMMIT_TAG == null", True),
        ("$CI_COMMIT_TAG =~ /^v/", False),
        ("$CI_COMMIT_TAG !~ /^v/", True),
        ("$CI_MERGE_REQUEST_IID", False),
        ("$CI_MERGE_REQUEST_LABELS =~ /x/", False),
        ("$DEPLOY", None),
        ('$DEPLOY == "yes" && $CI_COMMIT_TAG', False),
        ('$DEPLOY == "yes" || $CI_COMMIT_BRANCH', True),
        ("($DEPLOY || $CI_COMMIT_BRANCH) && $CI_COMMIT_TAG", False),
        ("$CI_PIPELINE_SOURCE =~ /^(PUSH|web)$/i", True),
        ('$CI_PIPELINE_SOURCE == "push', None),
        ("", None),
        ('"a" == "a"', True),
        ('"" ', False),
    ],
)
def test_expressions(expression: str, expected: bool | None) -> None:
    assert holds(expression, Facts(PUSH.variables)) is expected


_ATOMS = {
    "$YES": True,
    "$NO": False,
    "$MAYBE": None,
    '$YES == "1"': True,
    "$NO == null": True,
    "$YES =~ /2/": False,
}


@st.composite
def _expressions(draw: st.DrawFn) -> tuple[str, bool | None]:
    """An expression, and what it is by Kleene's logic of three values."""
    if draw(st.integers(0, 2)):
        text = draw(st.sampled_from(sorted(_ATOMS)))
        return text, _ATOMS[text]
    (left, a), (right, b) = draw(_expressions()), draw(_expressions())
    if draw(st.booleans()):
        return f"({left}) && ({right})", False if False in (a, b) else None if None in (a, b) else True
    return f"({left}) || ({right})", True if True in (a, b) else None if None in (a, b) else False


@given(_expressions())
def test_any_expression_is_as_its_parts(made: tuple[str, bool | None]) -> None:
    text, expected = made
    assert holds(text, Facts({"YES": "1", "NO": None})) is expected


@given(_expressions(), st.sampled_from(["1", None]))
def test_what_is_said_for_certain_stays_when_more_becomes_known(
    made: tuple[str, bool | None], value: str | None
) -> None:
    text, _ = made
    before = holds(text, Facts({"YES": "1", "NO": None}))
    after = holds(text, Facts({"YES": "1", "NO": None, "MAYBE": value}))
    assert after is not None
    assert before in (None, after)


def _whens(job: dict[str, object], facts: Facts) -> list[str]:
    return [way.when for way in outcomes(job, facts)]


@pytest.mark.parametrize(
    ("job", "push", "request_", "tag"),
    [
        ({}, ["on_success"], ["never"], ["on_success"]),
        ({"only": ["merge_requests"]}, ["never"], ["on_success"], ["never"]),
        ({"only": ["main"]}, ["on_success", "never"], ["never"], ["on_success", "never"]),
        ({"except": ["tags"]}, ["on_success"], ["never"], ["never"]),
        ({"only": {"changes": ["a"]}}, ["on_success", "never"], ["never"], ["on_success"]),
        ({"only": ["pushes"]}, ["on_success"], ["never"], ["on_success"]),
        ({"only": ["branches@team/shop"]}, ["on_success", "never"], ["never"], ["never"]),
        ({"when": "manual"}, ["manual"], ["never"], ["manual"]),
        ({"rules": [{"changes": ["a"]}]}, ["on_success", "never"], ["on_success", "never"], ["on_success"]),
        ({"rules": [{"if": "$CI_COMMIT_TAG"}]}, ["never"], ["never"], ["on_success"]),
        (
            {"rules": [{"if": "$X", "when": "never"}, {}]},
            ["never", "on_success"],
            *[["never", "on_success"]] * 2,
        ),
        ({"rules": [[{"if": "$CI_COMMIT_BRANCH"}]], "when": "delayed"}, ["delayed"], ["never"], ["never"]),
        ({"rules": [{"exists": ["a.txt"]}]}, ["on_success"], ["on_success"], ["on_success"]),
        ({"rules": [{"exists": ["b.txt"]}]}, ["never"], ["never"], ["never"]),
    ],
)
def test_the_ways_a_job_comes_into_a_pipeline(
    job: dict[str, object], push: list[str], request_: list[str], tag: list[str]
) -> None:
    for event, expected in ((PUSH, push), (REQUEST, request_), (TAG, tag)):
        facts = Facts(event.variables, event.pushed, lambda pattern: pattern == "a.txt")
        assert _whens(job, facts) == expected, event.name


def _seed(text: str, event: object = PUSH) -> object:
    return seed(resolve(layers_of(".gitlab-ci.yml", text, Files())), event, lambda _pattern: False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "created"),
    [
        (TEST, [True, True, False, False, *[True] * 8]),
        ("a: {stage: .pre, script: x}\nb: {stage: .post, script: x}\n", [False] * 12),
        (f"workflow: {{rules: [{{if: $CI_MERGE_REQUEST_IID}}]}}\n{TEST}", [False] * 12),
        (
            "workflow: {rules: [{if: $CI_COMMIT_TAG, when: never}, {when: always}]}\n"
            "test: {script: x, rules: [{when: on_success}]}\n",
            [True, True, True, True, False, *[True] * 7],
        ),
        (f"workflow: {{name: x}}\n{TEST}", [True, True, False, False, *[True] * 8]),
        (f"variables: {{X: 'yes'}}\nworkflow: {{rules: [{{if: '$X == \"no\"'}}]}}\n{TEST}", [False] * 12),
        ("include: {project: a/b, file: c.yml}\n.x: {}\n", [None] * 12),
    ],
)
def test_which_pipelines_events_make(text: str, created: list[bool | None]) -> None:
    assert [_seed(text, event).created for event in EVENTS] == created  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("ref", "by_token", "by_project"),
    [("triggers", True, False), ("pipelines", False, True), ("main", None, None)],
)
def test_what_starts_a_pipeline_from_elsewhere(
    ref: str, by_token: bool | None, by_project: bool | None
) -> None:
    text = f"test: {{script: x, only: [{ref}]}}\n"
    assert (_seed(text, TRIGGER).created, _seed(text, PIPELINE).created) == (by_token, by_project)  # type: ignore[attr-defined]
    triggered = "test: {script: x, rules: [{if: $CI_PIPELINE_TRIGGERED}]}\n"
    assert [_seed(triggered, one).created for one in (API, TRIGGER, PIPELINE)] == [False, True, None]  # type: ignore[attr-defined]


def test_the_other_branch_is_not_the_default_one() -> None:
    assert ELSEWHERE.variables["CI_COMMIT_BRANCH"] == OTHER_BRANCH
    assert holds("$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", Facts(ELSEWHERE.variables)) is False
    assert holds("$CI_COMMIT_REF_NAME == $CI_DEFAULT_BRANCH", Facts({**PUSH.variables})) is True
    assert DEFAULT_BRANCH != OTHER_BRANCH


ORDER = """\
stages: [build, test, deliver, after]
build: {stage: build, script: x}
quick: {stage: test, needs: [], script: x}
linked: {stage: test, needs: [build], script: x}
lax: {stage: test, script: x, allow_failure: true}
ask: {stage: test, script: x, when: manual, allow_failure: false}
offered: {stage: test, script: x, when: manual}
mend: {stage: test, script: x, when: on_failure}
ship: {stage: deliver, script: x}
smoke: {stage: after, script: x}
alone: {stage: after, needs: [], script: x}
close: {stage: .post, script: x}
"""


def _row(text: str, delivery: str = "ship") -> object:
    return event_rows(
        resolve(layers_of(".gitlab-ci.yml", text, Files())), [delivery], lambda _pattern: False, EVENTS
    )[0]


def test_what_delivery_waits_for() -> None:
    row = _row(ORDER)
    assert row.behind == ("build", "quick", "linked", "ask")  # type: ignore[attr-defined]
    assert row.waits_for == ("ask",)  # type: ignore[attr-defined]
    assert row.after == ("smoke", "close")  # type: ignore[attr-defined]
    assert row.beside == ("alone",)  # type: ignore[attr-defined]


def test_needs_are_followed_to_their_end() -> None:
    row = _row(ORDER.replace("ship: {stage: deliver,", "ship: {stage: deliver, needs: [linked],"))
    assert row.behind == ("build", "linked")  # type: ignore[attr-defined]
    assert row.passed == ("quick", "ask")  # type: ignore[attr-defined]
    assert row.beside == ("alone",)  # type: ignore[attr-defined]


# What a graft makes of it


def _rows(injection) -> dict[str, tuple[str, str]]:
    return {row.event: (row.pipeline, row.delivery) for row in injection.events}


@pytest.mark.parametrize("mode", ["include", "child"])
@pytest.mark.parametrize(
    "text",
    [
        TEST,
        "stages: [test]\n" + TEST,
        "test:\n  script: x\n  rules:\n    - if: $CI_PIPELINE_SOURCE == 'merge_request_event'\n",
        "stages: [test]\ntest: {stage: test, script: x}\nreport: {stage: .post, script: x}\n",
        "stages: [t]\nt: {stage: t, script: x, rules: [{changes: [a]}]}\nend: {stage: .post, script: x}\n",
        "x: {stage: .pre, script: x}\n",
        "include: {template: Security/SAST.gitlab-ci.yml}\nstages: [test]\nx: {script: y}\n",
        "include: {project: a/b, file: c.yml}\nworkflow: {rules: [{when: always}]}\nx: {script: y}\n",
    ],
)
def test_delivery_runs_on_the_default_branch_and_nowhere_else(repository, text, mode):
    rows = _rows(repository(text).inject(mode=mode))
    assert rows["push"] == ("yes", "yes")
    assert rows["web"] == rows["api"] == ("yes", "yes")
    for event in ("push-elsewhere", "merge-request", "merge-train", "tag", "schedule", "child-of-schedule"):
        assert rows[event][1] == "no", event


FAR = "include: {project: a/b, file: c.yml}\n"


@pytest.mark.parametrize("mode", ["include", "child"])
@pytest.mark.parametrize(
    "text", [FAR + "x: {stage: odd, script: y}\n", "include: {template: Auto-DevOps.gitlab-ci.yml}\n" + TEST]
)
def test_what_an_include_that_is_not_read_may_hold_is_unknown(repository, text, mode):
    tree = repository(text)
    injection = tree.inject(mode=mode)
    rows = _rows(injection)
    assert rows["push"] == rows["web"] == ("maybe", "maybe")
    assert rows["merge-request"][1] == rows["tag"][1] == rows["schedule"][1] == "no"
    push = injection.events[0]
    assert push.unread
    assert push.why == f"unknown: {push.unread[0]} not read"
    assert injection.notes[-1].startswith("Unknown whether a push to the default branch delivers: ")
    assert "may hold a 'workflow' and jobs. --verify URL" in injection.notes[-1]
    assert tree.inject().files == {}


def test_the_strongest_workflow_decides(repository):
    decided = FAR + "workflow: {rules: [{when: always}]}\ntest: {script: x}\n"
    assert _rows(repository(decided).inject())["push"] == ("yes", "yes")
    below = {"here.yml": "workflow: {rules: [{when: always}]}\n"}
    both = "include: [here.yml, {project: a/b, file: c.yml}]\ntest: {script: x}\n"
    assert _rows(repository(both, below).inject())["push"] == ("maybe", "maybe")


def test_what_a_job_takes_from_a_file_that_is_not_read_is_unknown(repository):
    far = FAR + "workflow: {rules: [{when: always}]}\n"
    for said in (
        "extends: .far",
        "rules: [!reference [.far, rules]]",
        "rules: [!reference [.far, rules], {when: on_success}]",
        "rules: !reference [.far, rules]",
    ):
        found = _seed(f"{far}test: {{script: x, {said}}}\n", TAG)
        assert found.has("test") is None, said
        assert ".far" in found.jobs["test"][0].depends
    assert _seed(f"{far}test: {{script: x, extends: .far, rules: [{{if: $CI_COMMIT_TAG}}]}}\n").jobs == {}


MERGE_REQUESTS = "$CI_PIPELINE_SOURCE == 'merge_request_event'"


def test_a_file_counts_where_the_rules_of_its_include_hold(repository):
    def tree(rule: str):
        include = f"include:\n  - local: /more.yml\n    rules:\n      - {rule}\n"
        more = "check: {script: x}\nkept: {script: x, artifacts: {paths: [a]}}\n"
        return repository(f"{include}stages: [test]\ntest: {{stage: test, script: x}}\n", {"more.yml": more})

    def behind(rule: str):
        return tree(rule).inject().events[0].behind

    assert behind(f'if: "{MERGE_REQUESTS}"') == ("test",)
    assert behind('if: "$CI_COMMIT_BRANCH"') == ("check", "kept", "test")
    assert behind("changes: [more/**]") == ("check", "kept", "test")
    perhaps = tree("changes: [more/**]")
    notes = perhaps.inject(mode="child").notes
    assert "The child pipeline lacks the artifacts of kept, which may not run, or run many times." in notes
    assert "kept" not in perhaps.files[MANIFEST]


def test_a_workflow_that_comes_with_rules_is_not_certain(repository):
    include = "include:\n  - local: /flow.yml\n    rules: [{RULE}]\n"
    flow = {"flow.yml": "workflow: {rules: [{if: $CI_MERGE_REQUEST_IID}]}\n"}
    maybe = repository(include.replace("RULE", "if: $OURS") + TEST, flow).inject().events[0]
    assert (maybe.delivery, maybe.why) == ("maybe", "if: $OURS")
    never = repository(include.replace("RULE", "if: $CI_COMMIT_TAG") + TEST, flow).inject().events[0]
    assert never.delivery == "yes"


@pytest.mark.parametrize(
    ("text", "created"),
    [
        ("variables: {X: a}\nworkflow: {rules: [{if: $CI_COMMIT_BRANCH, variables: {X: b}}]}\n", True),
        ("variables: {X: b}\nworkflow: {rules: [{if: $CI_COMMIT_BRANCH, variables: {X: a}}]}\n", False),
        ("variables: {X: b}\nworkflow: {rules: [{if: $Q, variables: {X: a}}, {when: always}]}\n", None),
    ],
)
def test_a_rule_of_workflow_sets_variables_over_those_of_the_file(text: str, created: bool | None) -> None:
    assert _seed(text + "test: {script: x, rules: [{if: '$X == \"b\"'}]}\n").created is created  # type: ignore[attr-defined]
    own = text + "test: {script: x, variables: {X: c}, rules: [{if: '$X == \"c\"'}]}\n"
    assert _seed(own).has("test") is True  # type: ignore[attr-defined]


def test_jobs_in_post_are_left_in_peace(repository):
    tree = repository("stages: [test]\ntest: {stage: test, script: x}\nreport: {stage: .post, script: x}\n")
    injection = tree.inject()
    assert injection.events[0].after == ()
    assert injection.events[0].behind == ("test",)
    assert injection.stages_added == ()
    assert "report" in injection.notes[0]
    assert tree.inject().files == {}
    asked = tree.inject(after="test")
    assert asked.events[0].after == ("report",)
    assert asked.stages_added == ("pipegraft", "pipegraft:production")
    assert tree.inject().files == {}


def test_a_trigger_does_not_stand_alone_in_post(repository):
    mine = "stages: [test]\ntest:\n  stage: test\n  script: x\n  rules: [{if: $CI_MERGE_REQUEST_IID}]\n"
    tree = repository(mine)
    injection = tree.inject(mode="child")
    assert yaml.safe_load(tree.root)["stages"] == ["test", "pipegraft"]
    assert yaml.safe_load(tree.files[MANIFEST])["pipegraft"]["stage"] == "pipegraft"
    assert any("nothing there tests" in note for note in injection.notes)
    assert tree.inject().files == {}
    tree.eject()
    assert tree.files == {".gitlab-ci.yml": mine}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"workflow: {{rules: [{{if: $CI_MERGE_REQUEST_IID}}]}}\n{TEST}",
            "never run.*'workflow' makes no pipeline",
        ),
        (f"workflow: {{rules: [{{if: $CI_COMMIT_TAG}}]}}\n{TEST}", "never run"),
        (
            ".s: &s [a]\nstages: *s\nx: {stage: a, script: y, only: [tags]}\n",
            "have to run in .post.*no job runs",
        ),
        (
            f"{TEST}'pipegraft:image-build': {{rules: [{{if: $CI_COMMIT_BRANCH}}]}}\n",
            "would run on every",
        ),
        (f"{TEST}'pipegraft:image-build': {{needs: []}}\n", "would not wait for 'test'"),
        (
            f"{TEST}'pipegraft:iac-bump:production': {{needs: []}}\n",
            "would not wait for 'pipegraft:image-build'",
        ),
        (f"{TEST}'pipegraft:iac-bump:production': {{when: always}}\n", "start whatever has failed before"),
        (f"{TEST}'pipegraft:image-build': {{allow_failure: true}}\n", "whose failure is allowed"),
        (
            f"{TEST}'pipegraft:image-build': {{rules: [{{if: $CI_COMMIT_TAG}}]}}\n",
            "it needs 'pipegraft:image-build', which is not in the pipeline",
        ),
        (f"include: '**.yml'\n{TEST}", "would bring delivery's own file"),
        ("x: {script: y, rules: [{when: always}], only: [tags]}\n", "refuses this configuration already"),
        ("x: {script: y, when: sometimes}\n", "refuses this configuration already"),
    ],
)
@pytest.mark.parametrize("mode", ["include", "child"])
def test_what_cannot_be_is_refused_with_a_place_and_a_way_out(repository, text, message, mode):
    tree = repository(text)
    before = dict(tree.files)
    if mode == "child" and "pipegraft:" in text:
        pytest.skip("the child's jobs are not in the team's pipeline")
    with pytest.raises(EditRefused, match=message) as refused:
        tree.inject(mode=mode)
    assert refused.value.problem.place is not None
    assert refused.value.problem.place.line > 0
    assert refused.value.problem.fix
    assert tree.files == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stages: [a]\nx: {stage: b, script: y}\n", "2:1 'x': its stage 'b' is not among .pre, a, .post"),
        (
            "stages: [a, b]\nx: {stage: a, script: y, needs: [z]}\nz: {stage: b, script: y}\n",
            "2:1 'x': it needs 'z', which is in a later stage",
        ),
        ("x: {image: y}\n", "1:1 'x': it has no 'script', 'run' or 'trigger'"),
        ("x: {script: y, needs: [z]}\n", "1:1 'x': it needs 'z', which nothing defines"),
        ("x: {extends: .y, script: z}\n", "1:1 'x': it extends '.y', which nothing defines"),
        (".x: {script: y}\n", "it has no visible job"),
        (
            "x: {script: a, needs: [y]}\ny: {script: a, needs: [x]}\n",
            "1:1 'x': its 'needs' lead into a circle",
        ),
    ],
)
def test_what_gitlab_refuses_already_is_said(repository, text, complaint):
    (found, *_) = repository(text).inject().invalid
    assert complaint in found


def test_a_sound_configuration_is_not_complained_of(repository):
    text = "x: {script: y}\nz: {script: y, needs: [x, {job: w, optional: true}]}\nt: {trigger: a/b}\n"
    assert repository(text).inject().invalid == ()
    elsewhere = "include: {project: a/b, file: c}\nx: {extends: .y, stage: z, needs: [w]}\n"
    assert repository(elsewhere).inject().invalid == ()


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("a: {script: x, tags: [k8s, big]}\nb: {script: x, tags: [k8s]}\n", ["k8s"]),
        ("a: {script: x, tags: [win]}\nb: {script: x, tags: [k8s]}\nc: {script: x, tags: [k8s]}\n", ["k8s"]),
        ("a: {script: x, tags: [win]}\nb: {script: x}\n", None),
        ("default: {tags: [all]}\na: {script: x}\n", ["all"]),
        ("a: {script: x, tags: [$RUNNER]}\n", None),
    ],
)
def test_runner_tags_are_taken_over(repository, root, expected):
    tree = repository(root)
    injection = tree.inject()
    laid = yaml.safe_load(tree.files[MANIFEST]).get("pipegraft:image-build", {})
    assert laid.get("tags") == expected
    assert any("runner tags" in note for note in injection.notes) is (expected is not None or "$" in root)
    tree.inject(tags=())
    assert "tags" not in yaml.safe_load(tree.files[MANIFEST]).get("pipegraft:image-build", {})
    assert tree.inject().files == {}


@pytest.mark.parametrize("mode", ["include", "child"])
def test_the_branch_that_is_named_is_delivered_alone(repository, mode):
    tree = repository(TEST)
    injection = tree.inject(mode=mode, branch="release/1.x", default_branch="main")
    rows = _rows(injection)
    assert injection.events[0].name == "push to release/1.x"
    assert rows["push"] == rows["web"] == ("yes", "yes")
    for event in ("push-elsewhere", "merge-request", "merge-train", "tag", "schedule", "child-of-schedule"):
        assert rows[event][1] == "no", event
    assert '$CI_COMMIT_BRANCH == "release/1.x"' in tree.files[MANIFEST]
    assert "$CI_DEFAULT_BRANCH" not in tree.files[MANIFEST]
    assert tree.inject(default_branch="main").files == {}, "it is remembered"
    assert _rows(tree.inject(branch=""))["push"] == ("yes", "yes")
    assert "release/1.x" not in tree.files[MANIFEST] + tree.files.get(CHILD, "")


def test_a_branch_without_a_pipeline_cannot_be_delivered(repository):
    tree = repository(f"workflow: {{rules: [{{if: $CI_COMMIT_BRANCH == 'main'}}]}}\n{TEST}")
    assert _rows(tree.inject(default_branch="main"))["push"] == ("yes", "yes")
    with pytest.raises(EditRefused, match="never run: on a push to release 'workflow' makes no pipeline"):
        tree.inject(branch="release", default_branch="main")


@pytest.mark.parametrize("branch", ['a"b', "a b", "$X", "a'b", "a\nb"])
def test_what_is_no_branch_gets_into_no_condition(repository, branch):
    tree = repository(TEST)
    with pytest.raises(UsageError, match="expected the name of a branch"):
        tree.inject(branch=branch)
    assert MANIFEST not in tree.files


def test_jobs_of_the_default_branch_are_known_where_its_name_is(repository):
    text = "test: {script: x, only: [main]}\nother: {script: x, except: [main]}\n"
    known = repository(text).inject(default_branch="main")
    assert known.events[0].behind == ("test",)
    unknown = repository(text).inject()
    assert unknown.events[0].behind == ("test", "other")


def test_what_steers_the_runner_reaches_delivery(repository):
    text = (
        "variables: {GIT_SUBMODULE_STRATEGY: recursive, FF_NEW_ONE: 'true', SECRET: x, GIT_STRATEGY: none}\n"
        "test: {script: x}\n"
    )
    tree = repository(text)
    injection = tree.inject()
    whole = resolve(layers_of(".gitlab-ci.yml", tree.root, Files(tree.files.get)))
    job = whole.jobs["pipegraft:image-build"]
    assert job["variables"]["GIT_SUBMODULE_STRATEGY"] == "recursive"
    assert job["variables"]["FF_NEW_ONE"] == "true"
    assert job["variables"]["GIT_STRATEGY"] == "fetch"
    assert "SECRET" not in job["variables"]
    assert any("GIT_STRATEGY is none" in note for note in injection.notes)


@pytest.mark.parametrize(("laid", "why"), [("when: always", "whatever has failed"), ("needs: []", "'test'")])
def test_the_job_that_starts_the_child_keeps_its_place(repository, laid, why):
    tree = repository(f"{TEST}pipegraft: {{{laid}}}\n")
    with pytest.raises(EditRefused, match=why) as refused:
        tree.inject(mode="child")
    assert refused.value.problem.place.line > 0


@pytest.mark.parametrize("mode", ["include", "child"])
@pytest.mark.parametrize(
    ("trigger", "told"),
    [("a/b", True), ("{project: a/b}", True), ("{project: a/b, strategy: depend}", False)],
)
def test_a_pipeline_that_nobody_waits_for_is_told(repository, trigger, told, mode):
    notes = repository(f"down: {{trigger: {trigger}}}\n").inject(mode=mode).notes
    assert any("down starts another pipeline" in note for note in notes) is told


def test_a_child_pipeline_takes_the_teams_artifacts(repository):
    text = (
        "build: {script: x, artifacts: {paths: [dist]}}\n"
        "many: {script: x, parallel: 3, artifacts: {paths: [dist]}}\n"
        "some: {script: x, rules: [{changes: [a]}], artifacts: {paths: [dist]}}\n"
    )
    tree = repository(text)
    injection = tree.inject(mode="child")
    child = yaml.safe_load(tree.files[CHILD])
    assert child["pipegraft:image-build"]["needs"] == [{"pipeline": "$PIPEGRAFT_PARENT", "job": "build"}]
    assert "needs" not in child.get("pipegraft:iac-bump:production", {})
    assert any("lacks the artifacts of many, some" in note for note in injection.notes)


@pytest.mark.parametrize("mode", ["include", "child"])
def test_after_is_remembered_where_no_list_is_edited(repository, mode):
    tree = repository("build: {stage: build, script: x}\ntest: {script: x}\n")
    tree.inject(after="build", mode=mode)
    held = tree.files[MANIFEST]
    assert tree.inject().files == {}
    assert tree.inject(version="v1.2.0").files == {}
    assert tree.files[MANIFEST] == held


def test_after_is_remembered_from_one_mode_to_the_other(repository):
    tree = repository(
        "stages: [build, test]\nbuild: {stage: build, script: x}\ntest: {stage: test, script: x}\n"
    )
    tree.inject(after="build", mode="child")
    tree.inject(mode="include")
    assert yaml.safe_load(tree.root)["stages"] == ["build", "pipegraft", "pipegraft:production", "test"]


OVERLAY = f"{TEST}'pipegraft:image-build':\n  services: [docker:dind]\n  variables: {{A: b}}\n"


def test_settings_laid_on_deliverys_job_are_a_supported_form(repository):
    tree = repository(OVERLAY)
    injection = tree.inject()
    assert injection.jobs_unchanged == ("test",)
    whole = resolve(layers_of(".gitlab-ci.yml", tree.root, Files(tree.files.get)))
    assert whole.jobs["pipegraft:image-build"]["services"] == ["docker:dind"]
    assert whole.jobs["pipegraft:image-build"]["script"]
    assert tree.inject().files == {}


@pytest.mark.parametrize(
    ("addition", "says"),
    [
        (
            "'pipegraft:image-build': {services: [a]}\n",
            "'pipegraft:image-build' sets something on a job of delivery",
        ),
        (
            "tell: {script: x, needs: ['pipegraft:image-build']}\n",
            "'tell' has 'pipegraft:image-build' in its 'needs'",
        ),
        ("tell: {script: x, needs: [{job: 'pipegraft:image-build'}]}\n", "in its 'needs'"),
        ("tell: {script: x, dependencies: ['pipegraft:image-build']}\n", "in its 'dependencies'"),
        (
            "tell: {script: x, stage: 'pipegraft:production'}\n",
            "'tell' runs in the stage 'pipegraft:production'",
        ),
        (
            "tell: {script: !reference ['pipegraft:image-build', script]}\n",
            "'tell' refers to 'pipegraft:image-build'",
        ),
    ],
)
def test_eject_names_what_leans_on_delivery_first(repository, addition, says):
    tree = repository("stages: [test]\ntest: {stage: test, script: x}\n")
    tree.inject()
    tree.root += addition
    before = dict(tree.files)
    with pytest.raises(EditRefused, match=says) as refused:
        tree.eject()
    assert refused.value.problem.place.line == tree.root.count("\n")
    assert tree.files == before


def test_eject_proves_that_the_teams_jobs_stay(repository):
    tree = repository("stages: [test]\ntest: {stage: test, script: x}\n")
    tree.inject()
    injection = tree.eject()
    assert injection.jobs_unchanged == ("test",)
    assert injection.invalid == ()


def test_recursive_patterns_find_what_gitlab_finds(repository):
    others = {"ci/a.yml": "a: {script: x}\n", "ci/deep/b.yml": "b: {script: x}\n"}
    for pattern, expected in (
        ("ci/**.yml", ("a", "b", "test")),
        ("ci/**/*.yml", ("b", "test")),
        ("/ci/*.yml", ("a", "test")),
    ):
        injection = repository(f"include: '{pattern}'\n{TEST}", others).inject()
        assert injection.jobs_unchanged == expected, pattern


def test_a_block_scalar_at_the_end_of_includes_keeps_its_value(repository):
    root = "test: {script: x}\ninclude:\n  - local: |\n      a.yml"
    tree = repository(root, {"a.yml": "a: {script: x}\n"})
    with pytest.raises(EditRefused, match="end the file with a line break"):
        tree.inject()


def test_every_combination_of_events_and_a_workflow_has_an_answer(repository):
    sources = ("push", "merge_request_event", "schedule", "web")
    for chosen in itertools.chain.from_iterable(itertools.combinations(sources, n) for n in (1, 2, 3)):
        rules = ", ".join(f"{{if: '$CI_PIPELINE_SOURCE == \"{one}\"'}}" for one in chosen)
        tree = repository(f"workflow: {{rules: [{rules}]}}\n{TEST}")
        if "push" not in chosen:
            with pytest.raises(EditRefused, match="never run"):
                tree.inject()
            continue
        rows = _rows(tree.inject())
        assert rows["push"] == ("yes", "yes")
        assert rows["web"][1] == ("yes" if "web" in chosen else "no")
        assert rows["schedule"][1] == "no"


@pytest.mark.parametrize(
    ("text", "after", "said"),
    [
        (
            "stages: [build, test]\nb: {stage: build, script: x}\nt: {stage: test, script: x, needs: []}\n",
            "build",
            "Delivery does not wait for t, which may fail while it runs.",
        ),
        (
            "workflow: {auto_cancel: {on_job_failure: all}}\nstages: [test]\n"
            "t: {stage: test, script: x}\np: {stage: .post, script: x}\n",
            None,
            "'auto_cancel: on_job_failure' ends delivery in its middle where p fails.",
        ),
        (
            "workflow:\n  rules: [{if: $CI_COMMIT_BRANCH, auto_cancel: {on_job_failure: all}}]\n"
            "stages: [test]\nt: {stage: test, script: x}\np: {stage: .post, script: x}\n",
            None,
            "'auto_cancel: on_job_failure' ends delivery in its middle where p fails.",
        ),
        (
            "workflow: {auto_cancel: {on_job_failure: all}}\nstages: [test]\nt: {stage: test, script: x}\n",
            None,
            "",
        ),
    ],
)
def test_what_may_fail_beside_delivery_is_told(repository, text: str, after: str | None, said: str) -> None:
    notes = repository(text).inject(after=after).notes
    assert (said in notes) if said else notes == ()


@pytest.mark.parametrize(
    ("pattern", "behind"),
    [("/^release-.*$/", ()), ("/^main$/", ("t",)), ("/^$NAME$/", ("t",)), ("/^%NAME%/", ("t",))],
)
def test_a_pattern_in_a_variable_is_read_where_it_names_no_other(
    repository, pattern: str, behind: tuple[str, ...]
) -> None:
    text = (
        f"variables: {{PATTERN: {pattern!r}}}\nstages: [test]\n"
        "t: {stage: test, script: x, rules: [{if: $CI_COMMIT_BRANCH =~ $PATTERN}]}\n"
    )
    assert repository(text).inject(default_branch="main").events[0].behind == behind


def test_changes_against_a_branch_hang_on_it_in_every_pipeline(repository) -> None:
    text = "stages: [test]\nt: {stage: test, script: x, rules: [{changes: {paths: [a], compare_to: main}}]}\n"
    rows = {row.event: row for row in repository(text).inject().events}
    assert (rows["schedule"].pipeline, rows["tag"].pipeline) == ("maybe", "maybe")
    plain = text.replace("{paths: [a], compare_to: main}", "[a]")
    rows = {row.event: row for row in repository(plain).inject().events}
    assert (rows["schedule"].pipeline, rows["tag"].pipeline) == ("yes", "yes")


def test_a_stage_that_is_listed_twice_stands_where_it_is_listed_first(repository):
    tree = repository("stages: [a, b, a]\nx: {stage: a, script: x}\ny: {stage: b, script: x}\n")
    assert tree.inject().events[0].behind == ("x", "y")


@pytest.mark.parametrize(
    ("name", "request_"), [("MergeRequest-Pipelines", "yes"), ("Branch-Pipelines", "no")]
)
def test_what_gitlab_ships_for_workflow_is_known(repository, name, request_):
    job = "t: {script: x, rules: [{when: always}]}\n"
    tree = repository(f"include: {{template: Workflows/{name}.gitlab-ci.yml}}\n{job}")
    injection = tree.inject()
    rows = {row.event: row for row in injection.events}
    assert (rows["push"].delivery, rows["merge-request"].pipeline) == ("yes", request_)
    assert injection.stages_added == ("pipegraft", "pipegraft:production")
