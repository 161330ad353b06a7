"""What is in force: includes, extends, references and inheritance as GitLab resolves them."""

from __future__ import annotations

import pytest

from pipegraft.ci.gitlab.configuration import Files, Reference, layers_of, load
from pipegraft.ci.gitlab.pipeline import differences, resolve
from pipegraft.core.errors import EditRefused


def _pipeline(root, **others):
    named = {name.replace("_", "."): text for name, text in others.items()}
    return resolve(layers_of("root.yml", root, Files(named.get, lambda pattern: sorted(named))))


def test_extends_merges_mappings_and_replaces_lists():
    jobs = _pipeline("""
.a: {script: [one], variables: {A: "1", B: "1"}}
.b: {extends: .a, script: [two], variables: {B: "2"}}
job: {extends: [.b], variables: {C: "3"}}
""").jobs
    assert jobs["job"]["script"] == ["two"]
    assert jobs["job"]["variables"] == {"A": "1", "B": "2", "C": "3"}
    assert "extends" not in jobs["job"]


def test_extending_what_is_elsewhere_stays_part_of_the_job():
    assert _pipeline("job: {extends: [.far, .near], script: x}\n.near: {tags: [t]}\n").jobs["job"] == {
        "tags": ["t"],
        "script": "x",
        "extends": [".far"],
    }


def test_references_take_the_place_of_what_they_name():
    jobs = _pipeline("""
.a: {script: [one, two], deep: {er: [three]}}
.b: {extends: .a}
job:
  script: [!reference [.b, script], !reference [.a, deep, er], four]
other: {script: !reference [.a, script], rules: !reference [.gone, rules]}
""").jobs
    assert jobs["job"]["script"] == ["one", "two", "three", "four"]
    assert jobs["other"]["script"] == ["one", "two"]
    assert jobs["other"]["rules"] == Reference((".gone", "rules"))


def test_endless_references_and_extends_end():
    jobs = _pipeline(
        "a: {extends: b, script: !reference [b, script]}\nb: {extends: a, script: !reference [a, script]}\n"
    )
    assert set(jobs.jobs) == {"a", "b"}


@pytest.mark.parametrize(
    ("inherit", "expected"),
    [
        ("", {"image": "x", "before_script": ["b"], "tags": ["t"], "variables": {"G": "1", "H": "2"}}),
        ("inherit: {default: false, variables: false}", {"variables": {}}),
        ("inherit: {default: [tags], variables: [H]}", {"tags": ["t"], "variables": {"H": "2"}}),
    ],
)
def test_a_job_inherits_what_it_lets(inherit, expected):
    job = _pipeline(f"""
image: x
default: {{before_script: [b], tags: [t]}}
variables: {{G: "1", H: "2"}}
job:
  script: s
  {inherit}
""").jobs["job"]
    assert {key: value for key, value in job.items() if key not in ("script", "stage", "inherit")} == expected


def test_later_includes_win_and_the_including_file_wins_last():
    found = _pipeline(
        "include: [a.yml, b.yml]\nstages: [root]\njob: {tags: [root]}\n",
        a_yml="job: {script: a, tags: [a]}\nstages: [a]\n",
        b_yml="include: c.yml\njob: {script: b}\n",
        c_yml="job: {script: c, image: c}\n",
    )
    assert found.jobs["job"] == {"stage": "test", "script": "b", "tags": ["root"], "image": "c"}
    assert (found.stages.stages, found.stages.file) == (("root",), "root.yml")


def test_inputs_are_filled_in_with_their_types():
    found = _pipeline(
        "include: {local: t.yml, inputs: {name: x, tags: [a, b]}}\n",
        t_yml="spec: {inputs: {name: {}, tags: {}, flag: {default: true}}}\n---\n"
        '"job-$[[ inputs.name ]]":\n  tags: $[[ inputs.tags ]]\n'
        '  script: "s $[[ inputs.flag ]] $[[ inputs.no ]]"\n',
    )
    assert found.jobs["job-x"]["tags"] == ["a", "b"]
    assert found.jobs["job-x"]["script"] == "s true $[[ inputs.no ]]"


def test_a_file_that_includes_itself_is_not_followed():
    assert (
        "a.yml, which includes itself"
        in _pipeline("include: a.yml\n", a_yml="include: a.yml\nj: {script: x}\n").opaque
    )


def test_more_includes_than_gitlab_takes_are_refused():
    many = "include: [" + ",".join(["a.yml"] * 151) + "]\n"
    with pytest.raises(EditRefused, match="at most 150 includes"):
        _pipeline(many, a_yml="j: {script: x}\n")


@pytest.mark.parametrize(
    ("after", "found"),
    [
        ("a: {script: x}\nstages: [s, t]\n", []),
        ("a: {script: y}\nstages: [s, t]\n", ["job 'a'"]),
        ("b: {script: x}\nstages: [s, t]\n", ["job 'a'"]),
        ("default: {image: i}\na: {script: x}\nstages: [s, t]\n", ["job 'a'"]),
        ("a: {script: x}\nstages: [t, s]\n", ["the order of stages, from s, t to t, s"]),
        ("a: {script: x}\nstages: [s, pipegraft, t]\n", []),
    ],
)
def test_differences_are_found(after, found):
    assert differences(_pipeline("a: {script: x}\nstages: [s, t]\n"), _pipeline(after)) == found


def test_a_header_is_not_content():
    document = load("spec: {inputs: {}}\n---\na: {script: x}\n", "f")
    assert (document.index, list(document.values)) == (1, ["a"])


@pytest.mark.parametrize(
    "text", ["a: *gone\n", "a: [\n", "? {a: b}\n: c\n- d\n", "a: !!python/object:os.system x: y\n"]
)
def test_what_is_not_yaml_is_refused_with_its_place(text):
    with pytest.raises(EditRefused, match=r"f:\d+:\d+: this is not YAML|f: "):
        load(text, "f")
