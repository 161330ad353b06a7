"""Whatever the team does to its file after a graft, taking it out leaves what the team did."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipegraft.ci.gitlab.configuration import load
from pipegraft.core.errors import EditRefused, UsageError

BASES = (
    "include: a.yml\nstages: [build, test]\nbuild:\n  script: make\n",
    "# ours\n\nstages:\n  - build\n  - test\n\nbuild:\n  script: make\n",
    "include:\n  project: a/b\n  file: c.yml\nbuild:\n  script: make\n",
    "include:\n  - a.yml\nstages:\n- build\nbuild:\n  script: make\n",
    "build:\n  script: make\n",
)
_names = st.text("abcdefghijklmnop-", min_size=1, max_size=12).map("job-{}".format)
_scripts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20)
_jobs = st.dictionaries(_names, _scripts, max_size=4)


def _written(jobs: dict[str, str]) -> str:
    quoted = {name: script.replace("'", "''") for name, script in jobs.items()}
    return "".join(f"\n{name}:  # added\n  script: '{script}'\n" for name, script in quoted.items())


@settings(max_examples=60, deadline=None)
@given(base=st.sampled_from(BASES), jobs=_jobs, newline=st.sampled_from(["\n", "\r\n"]))
def test_jobs_added_after_the_graft_stay(repository, base, jobs, newline):
    base = base.replace("\n", newline)
    added = _written(jobs).replace("\n", newline)
    tree = repository(base)
    tree.inject()
    tree.root += added
    tree.inject("staging", "production")
    tree.eject()
    assert tree.root == base + added


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[build, test,", "[build, lint, test,"), "stages: [build, lint, test]\nbuild:\n  script: make\n"),
        (
            ("  script: make", "  script: make all # now"),
            "stages: [build, test]\nbuild:\n  script: make all # now\n",
        ),
        (("stages:", "# stages\nstages:"), "# stages\nstages: [build, test]\nbuild:\n  script: make\n"),
        (
            (
                "[build, test, pipegraft, pipegraft:production]",
                "\n- build\n- pipegraft # d\n- pipegraft:production\n- test",
            ),
            "stages: \n- build\n- test\nbuild:\n  script: make\n",
        ),
        (
            ("include: .pipegraft/gitlab.yml", "include: [.pipegraft/gitlab.yml, ours.yml]"),
            "include: ours.yml\n\nstages: [build, test]\nbuild:\n  script: make\n",
        ),
        (
            ("include: .pipegraft/gitlab.yml", "include:\n  - local: /.pipegraft/gitlab.yml\n  - ours.yml"),
            "include:\n  - ours.yml\n\nstages: [build, test]\nbuild:\n  script: make\n",
        ),
    ],
)
def test_edits_next_to_the_graft_stay(repository, change, expected):
    tree = repository("stages: [build, test]\nbuild:\n  script: make\n")
    tree.inject()
    assert change[0] in tree.root
    tree.root = tree.root.replace(*change)
    tree.eject()
    assert tree.root == expected


def test_an_include_the_team_adds_to_the_list_we_made_stays_a_list(repository):
    tree = repository("include: a.yml\nbuild:\n  script: make\n")
    tree.inject()
    assert tree.root.startswith("include: [a.yml, .pipegraft/gitlab.yml]\n")
    tree.root = tree.root.replace("[a.yml,", "[a.yml, b.yml,")
    tree.eject()
    assert tree.root == "include: [a.yml, b.yml]\nbuild:\n  script: make\n"


def test_without_delivery_nothing_is_taken_out(repository):
    text = "# not pipegraft\nbuild:\n  script: echo pipegraft\n"
    tree = repository(text)
    assert tree.eject().files == {}
    assert tree.root == text


def test_what_is_laid_on_a_job_of_the_child_pipeline_is_refused_with_its_place(repository):
    laid = "build:\n  script: make\npipegraft:image-build:\n  services: [docker:dind]\n"
    tree = repository(laid)
    with pytest.raises(UsageError, match="'pipegraft:image-build' does not reach it") as refused:
        tree.inject(mode="child")
    assert refused.value.problem.place.line == 3
    assert "--mode include" in refused.value.problem.fix
    assert tree.root == laid
    tree.inject()
    with pytest.raises(UsageError, match="does not reach it"):
        tree.inject(mode="child")


@pytest.mark.parametrize(
    ("laid", "message"),
    [
        ("{only: [main]}", "'only' is laid on 'pipegraft:image-build', which GitLab refuses beside 'rules'"),
        ("{except: [tags]}", "'except' is laid on 'pipegraft:image-build', which GitLab refuses"),
        (
            "{parallel: 3}",
            "'parallel' is laid on 'pipegraft:image-build', which lets it run many times at once",
        ),
        ("{parallel: {matrix: [{A: [b, c]}]}}", "'parallel' is laid on"),
    ],
)
def test_what_would_break_or_double_a_job_of_delivery_is_refused(repository, laid, message):
    tree = repository(f"stages: [test]\nt: {{stage: test, script: x}}\npipegraft:image-build: {laid}\n")
    with pytest.raises(EditRefused, match=message) as refused:
        tree.inject()
    assert refused.value.problem.place.line == 3
    tree = repository(f"stages: [test]\nt: {{stage: test, script: x}}\npipegraft: {laid}\n")
    with pytest.raises(EditRefused, match="'pipegraft', which"):
        tree.inject(mode="child")


def test_a_job_that_changes_what_runs_is_ended_by_no_newer_pipeline(repository):
    head = "stages: [test]\nt: {stage: test, script: x}\n"
    tree = repository(f"{head}pipegraft:iac-bump:production: {{interruptible: true}}\n")
    with pytest.raises(EditRefused, match="which a newer pipeline could then end") as refused:
        tree.inject()
    assert refused.value.problem.place.line == 3
    repository(f"{head}pipegraft:image-build: {{interruptible: true}}\n").inject()


def test_all_that_is_laid_wrongly_is_told_at_once(repository):
    head = "stages: [test]\nt: {stage: test, script: x}\n"
    tree = repository(
        f"{head}pipegraft:image-build: {{only: [main], parallel: 2}}\n"
        "pipegraft:iac-bump:production: {interruptible: true}\n"
    )
    with pytest.raises(EditRefused) as refused:
        tree.inject()
    assert [one.place.line for one in refused.value.problems] == [3, 3, 4]
    tree = repository(
        f"{head}pipegraft:image-build: {{needs: []}}\npipegraft:iac-bump:production: {{when: always}}\n"
    )
    with pytest.raises(EditRefused) as refused:
        tree.inject()
    assert [one.message.partition(" would ")[0] for one in refused.value.problems] == [
        "delivery",
        "'pipegraft:iac-bump:production'",
    ]


def test_all_names_that_are_taken_are_told_at_once(repository):
    tree = repository("pipegraft:image-build: {script: x}\npipegraft:iac-bump:production: {script: x}\n")
    with pytest.raises(UsageError) as refused:
        tree.inject()
    assert [one.place.line for one in refused.value.problems] == [1, 2]


@pytest.mark.parametrize("mode", ["include", "child"])
def test_what_a_hidden_job_lays_on_a_job_of_delivery_reaches_it_in_every_mode(repository, mode):
    tree = repository(
        "stages: [test]\nt: {stage: test, script: x}\n.dind: {services: [docker:28-dind]}\n"
        ".pipegraft:image-build: {extends: .dind, variables: {DOCKER_TLS_CERTDIR: ''}}\n"
    )
    before = tree.root
    tree.inject(mode=mode)
    file = ".pipegraft/gitlab/child.yml" if mode == "child" else ".pipegraft/gitlab.yml"
    job = load(tree.files[file], file).values["pipegraft:image-build"]
    assert job["services"] == ["docker:28-dind"]
    assert job["variables"] == {"DOCKER_TLS_CERTDIR": ""}
    assert not tree.inject().files
    tree.root = tree.root.replace("28-dind", "29-dind")
    assert list(tree.inject().files) == [file]
    tree.eject()
    assert tree.root == before.replace("28-dind", "29-dind")


def test_a_hidden_job_lays_no_work_and_no_order_on_delivery(repository):
    tree = repository("t: {script: x}\n.pipegraft:image-build: {script: x}\n")
    with pytest.raises(EditRefused, match=r"'script' is laid on delivery's job by '\.pipegraft") as refused:
        tree.inject()
    assert refused.value.problem.place.line == 2


@pytest.mark.parametrize(("minutes", "written"), [(30, {}), (200, {"job-timeout": "215m"})])
def test_a_job_may_take_as_long_as_its_stage(repository, minutes, written):
    tree = repository("t: {script: x}\n")
    tree.inject(longest={"gray-release:production": minutes * 60.0})
    includes = load(tree.files[".pipegraft/gitlab.yml"], "x").values["include"]
    found = [one["inputs"].get("job-timeout") for one in includes if "gray" in one["local"]]
    assert found == [written.get("job-timeout")]


def test_a_timeout_that_ends_a_release_is_refused(repository):
    head = "t: {script: x}\npipegraft:gray-release:production: {timeout: "
    longest = {"gray-release:production": 5400.0}
    with pytest.raises(EditRefused, match="ends it after 60 min, and by its own limits it may take 90 min"):
        repository(f"{head}1h}}\n").inject(longest=longest)
    for enough in ("1h 30m", "90 minutes", "1 day", "$X"):
        repository(f"{head}{enough}}}\n").inject(longest=longest)


@pytest.mark.parametrize("mode", ["include", "child"])
def test_a_timeout_of_a_hidden_job_that_ends_a_release_is_refused(repository, mode):
    head = "t: {script: x}\n.pipegraft:gray-release:production: {timeout: "
    longest = {"gray-release:production": 5400.0}
    with pytest.raises(EditRefused, match="ends it after 60 min") as refused:
        repository(f"{head}1h}}\n").inject(longest=longest, mode=mode)
    assert refused.value.problem.place.line == 2
    repository(f"{head}2h}}\n").inject(longest=longest, mode=mode)
