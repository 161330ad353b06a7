"""However a team writes its file: graft, graft again, take out; what remains is what was, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from pipegraft.core.errors import EditRefused

JOB = "\nbuild:\n  script: make\n"
SHAPES = {
    "nothing": "build:\n  script: make\n",
    "header comment": "# ours\nbuild:\n  script: make\n",
    "comments apart": "# ours\n\n# the job\nbuild:\n  script: make\n",
    "stages block": f"stages:\n  - build\n  - test  # last\n{JOB}",
    "stages block, no indent": f"stages:\n- build\n- test\n{JOB}",
    "stages with comments": f"stages:\n  # one\n  - build\n  # two\n  - test\n  # - deploy\n{JOB}",
    "stages flow": f"stages: [build, test]\n{JOB}",
    "stages flow, tight": f"stages: [build,test]\n{JOB}",
    "stages flow, one": f"stages: [ build ]\n{JOB}",
    "stages flow, lines": f"stages: [\n  build,\n  test,\n]\n{JOB}",
    "stages flow, lines and comments": f"stages: [\n  build, # one\n  test # two\n]\n{JOB}",
    "stages quoted": f"'stages': [\"build\", 'test']\n{JOB}",
    "stages anchored": f"stages: &stages\n  - build\n.x: *stages\n{JOB}",
    "stages aliased": f".s: &stages [build]\nstages: *stages\n{JOB}",
    "stages last": "build:\n  script: make\nstages:\n  - build",
    "stages null": f"stages:\n{JOB}",
    "stages empty": f"stages: []\n{JOB}",
    "stage doubled": f"stages: [build, test, build]\n{JOB}",
    "include string": f"include: a.yml\n{JOB}",
    "include quoted string": f"include: 'a{{b}}.yml' # c\n{JOB}",
    "include on the next line": f"include:\n  a.yml\n{JOB}",
    "include null": f"include:\n{JOB}",
    "include null with comment": f"include:   # nothing yet\n{JOB}",
    "include empty": f"include: []\n{JOB}",
    "include empty, spaced": f"include: [ ]\n{JOB}",
    "include mapping": f"include:\n  project: a/b\n  file: /c.yml\n\n  # pinned\n  ref: v1 # c\n{JOB}",
    "include mapping, inputs": f"include:\n    local: a.yml\n    inputs:\n        x: [1]\n{JOB}",
    "include flow mapping": f"include: {{local: a.yml}}\n{JOB}",
    "include flow list": f"include: [a.yml]\n{JOB}",
    "include flow list, two strings": f"include: [a.yml, 'b.yml',]\n{JOB}",
    "include block list": f"include:\n  - a.yml\n  - local: b.yml\n    rules:\n      - exists: [x]\n{JOB}",
    "include block list, no indent": f"include:\n- a.yml\n{JOB}",
    "include block list, wide": f"include:\n-   a.yml\n-\n    local: b.yml\n{JOB}",
    "include last": "build:\n  script: make\ninclude:\n  - a.yml",
    "document start": f"---\n# c\nstages: [build]\n{JOB}",
    "document end": f"---\nstages: [build]\n{JOB}...\n",
    "spec header": f"spec:\n  inputs:\n    a: {{default: b}}\n---\nstages: [x, '$[[ inputs.a ]]']\n{JOB}",
    "directive": f"%YAML 1.1\n---\nstages: [build]\n{JOB}",
    "all indented": "  stages:\n    - build\n\n  build:\n    script: make\n",
    "json": '{"stages": ["build"], "build": {"script": "make"}}\n',
    "json, no stages": '{\n  "build": {"script": "make"}\n}',
    "literal at the end": "stages: [build]\nbuild:\n  script:\n    - |\n      make\n\n\n",
    "literal that keeps": "build:\n  script:\n    - |+\n      make\n\n\n",
    "tabs": "stages:\t[build,\ttest]\nbuild:\n  script:\tmake\n",
    "duplicate job": f"stages: [build]\n{JOB}{JOB}",
}
VARIANTS = {
    "as written": lambda text: text,
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "bom": lambda text: "\ufeff" + text,
    "no final newline": lambda text: text.rstrip("\n"),
    "mixed ends": lambda text: text.replace("\n", "\r\n", 3),
}


def _corpus() -> list[Path]:
    folder = Path(os.environ.get("PIPEGRAFT_CORPUS", Path(__file__).parents[4] / "shared" / "corpus"))
    return sorted((folder / "gitlab").glob("*"))


def _there_and_back(repository, text):
    tree = repository(text)
    tree.inject()
    grafted = dict(tree.files)
    assert tree.inject().files == {}
    assert tree.files == grafted
    tree.eject()
    assert tree.files == {".gitlab-ci.yml": text}
    return grafted[".gitlab-ci.yml"]


def _parses(text):
    try:
        return bool(list(yaml.parse(text, Loader=yaml.CSafeLoader)))
    except yaml.YAMLError:
        return False


def _untouched(text):
    """The lines outside of `include` and `stages`, the last one aside: it may get a line break."""
    root = list(yaml.compose_all(text.removeprefix("\ufeff"), Loader=yaml.CSafeLoader))[-1]
    lines = dict(enumerate(text.removeprefix("\ufeff").splitlines(keepends=True)))
    for key, value in root.value:
        if key.value in ("include", "stages"):
            for number in range(key.start_mark.line, value.end_mark.line + 1):
                lines.pop(number, None)
    return list(lines.values())[:-1]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_comes_back(repository, shape, variant):
    _there_and_back(repository, VARIANTS[variant](SHAPES[shape]))


@pytest.mark.parametrize("path", _corpus(), ids=lambda path: path.name[:60])
def test_real_pipelines_come_back(repository, path):
    text = path.read_bytes().decode()
    for change in VARIANTS.values():
        if not _parses(text):
            with pytest.raises(EditRefused, match="this is not YAML"):
                repository(text).inject()
            continue
        grafted = _there_and_back(repository, change(text))
        kept = iter(grafted.removeprefix("\ufeff").splitlines(keepends=True))
        assert [line for line in _untouched(change(text)) if line not in kept] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f".i: &i [a.yml]\ninclude: *i\n{JOB}", "'include' is an alias"),
        (f"include: null\n{JOB}", "'include' is null"),
        (f"include: |\n  a.yml\n{JOB}", "cannot be made a list"),
        (f"include: a{{b}}.yml\n{JOB}", "cannot be made a list"),
        (f"include: a.yml\ninclude: b.yml\n{JOB}", "'include' stands twice"),
        (f"stages: [build]\nstages: [test]\n{JOB}", "'stages' stands twice"),
    ],
)
def test_what_could_not_be_restored_is_refused(repository, text, why):
    tree = repository(text)
    with pytest.raises(EditRefused, match=why):
        tree.inject()
    assert tree.root == text
