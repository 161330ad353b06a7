"""Marker comments: only the value in front of the marker changes, in files that need not be YAML."""

from __future__ import annotations

import pytest

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml import marked_names, set_marked

TEMPLATE = """\
{{- if .Values.web }}
containers:
  - image: web:1  # pipegraft:set=web.image
    args:
      - '--version=v1'\t# pipegraft:set=web.version keep in step
{{- include "more" . | nindent 4 }}
    {{- with .y }} k: x # pipegraft:set=key
    tag:   # pipegraft:set=web.tag
    both: {a: 1, b: 2}  # pipegraft:set=both
    mixed: "{{ .Values.repo }}:v1"  # pipegraft:set=mixed
    text: |  # pipegraft:set=text
      image: web:1 # pipegraft:set=web.image
    inside: "x # pipegraft:set=inside y"
    almost: v1#pipegraft:set=almost
just words # pipegraft:set=words
{{- end }}
"""


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_values_in_front_of_markers_are_set(line_break: str) -> None:
    text = "\ufeff" + TEMPLATE.replace("\n", line_break)
    after = set_marked(text, {"web.image": "web@sha256:0a", "web.version": "it's", "web.tag": "1.10"})
    expected = text.replace("web:1 ", "web@sha256:0a ").replace("'--version=v1'", "'it''s'")
    assert after == expected.replace("tag: ", 'tag: "1.10" ')
    assert set_marked(after, {"web.image": "web@sha256:0a"}) == after


def test_the_names_in_a_text_are_listed() -> None:
    names = ("web.image", "web.version", "key", "web.tag", "both", "mixed", "text", "inside", "words")
    assert marked_names(TEMPLATE) == names


@pytest.mark.parametrize(
    ("name", "place", "message", "fix"),
    [
        ("web.imag", "f", "no line is marked '# pipegraft:set=web.imag'", "did you mean web.image?"),
        ("zzz", "f", "no line is marked", "the markers there are: both, inside"),
        ("key", "f:7:7", "this is not YAML", "mark a line that reads 'key: value'"),
        ("both", "f:9:25", "expected one value in front of the marker", "mark a line"),
        ("mixed", "f:10:37", "holds a template expression", "mark a line"),
        ("text", "f:11:14", "expected one value", "mark a line"),
        ("inside", "f:13:16", "the marker stands inside a string", "mark a line"),
        ("words", "f:15:12", "expected one value", "mark a line"),
    ],
)
def test_a_marker_that_is_not_plain_is_refused(name: str, place: str, message: str, fix: str) -> None:
    with pytest.raises(EditRefused) as caught:
        set_marked(TEMPLATE, {"web.version": "v2", name: "x"}, file="f")
    assert message in caught.value.problem.message
    assert fix in caught.value.problem.fix
    assert str(caught.value.problem.place) == place


def test_where_the_whole_is_yaml_the_whole_is_proved() -> None:
    assert set_marked("\ufeffa: v1 # pipegraft:set=n", {"n": "v1"}) == "\ufeffa: v1 # pipegraft:set=n"
    assert set_marked("\ufeffa: v1 # pipegraft:set=n", {"n": "v2"}) == "\ufeffa: v2 # pipegraft:set=n"
    assert set_marked("a:\n  b: v1 # pipegraft:set=n\n", {"n": "v2"}) == "a:\n  b: v2 # pipegraft:set=n\n"
    # The line looks like an entry and is the middle of a string.
    with pytest.raises(EditRefused, match="does not stand alone"):
        set_marked('a: "\n  b: v1 # pipegraft:set=n\n  "\n', {"n": "v2"})


def test_a_file_without_markers_says_how_to_mark() -> None:
    with pytest.raises(EditRefused) as caught:
        set_marked("a: 1\n", {"n": "v2"})
    assert caught.value.problem.fix == "end a line with '# pipegraft:set=n'"
