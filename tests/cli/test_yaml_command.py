"""`pipegraft yaml` as a user types it: what it prints, what it leaves in the file, how it ends."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from pipegraft.cli import run

VALUES = b"""# the shop's values
web:
  image: web:1.0  # pinned
  replicas: 2
  labels: {"app.kubernetes.io/name": web, tier: front}
"""


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("values.yaml")
    path.write_bytes(VALUES)
    return path


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["web.image"], "web:1.0\n"),
        (["web.replicas", "--json"], "2\n"),
        (['web.labels["app.kubernetes.io/name"]'], "web\n"),
        (["web.labels"], "app.kubernetes.io/name: web\ntier: front\n"),
        (["web.labels", "--json"], '{\n  "app.kubernetes.io/name": "web",\n  "tier": "front"\n}\n'),
    ],
)
def test_get_prints_the_value(
    values: Path, words: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["yaml", "get", str(values), *words]) == 0
    assert capsys.readouterr().out == printed


def test_set_changes_the_values_and_no_other_byte(values: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--set", "web.replicas=3", "--set", 'web.labels["app.kubernetes.io/name"]=a=b']
    assert run(["yaml", "set", str(values), "web.image", "web:1.1", *words]) == 0
    expected = VALUES.replace(b"1.0", b"1.1").replace(b": 2", b": 3").replace(b": web,", b": a=b,")
    assert values.read_bytes() == expected
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        ("auto", "3", b"3"),
        ("auto", "1.10", b'"1.10"'),
        ("auto", "many", b"many"),
        ("string", "3", b'"3"'),
        ("float", "0.5", b"0.5"),
        ("bool", "true", b"true"),
        ("null", "null", b"null"),
        ("yaml", "0x10", b"16"),
    ],
)
def test_set_reads_the_value_as_the_type_says(values: Path, kind: str, value: str, written: bytes) -> None:
    assert run(["yaml", "set", str(values), "web.replicas", value, "--type", kind]) == 0
    assert values.read_bytes() == VALUES.replace(b"replicas: 2", b"replicas: " + written)


def test_set_prints_the_difference_on_a_dry_run(values: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["yaml", "set", str(values), "web.replicas", "3", "--dry-run"]) == 0
    assert values.read_bytes() == VALUES
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["--- a/values.yaml", "+++ b/values.yaml"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-  replicas: 2", "+  replicas: 3"]


def test_set_creates_keys_when_asked(values: Path) -> None:
    assert run(["yaml", "set", str(values), "gray.weight", "5", "--type", "int", "--create"]) == 0
    assert values.read_bytes() == VALUES + b"gray:\n  weight: 5\n"


def test_set_keeps_the_mode_and_edits_what_a_link_points_at(values: Path) -> None:
    values.chmod(0o640)
    Path("link.yaml").symlink_to(values)
    assert run(["yaml", "set", "link.yaml", "web.replicas", "3"]) == 0
    assert Path("link.yaml").is_symlink()
    assert values.read_bytes() == VALUES.replace(b": 2", b": 3")
    assert values.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in Path().iterdir()) == ["link.yaml", "values.yaml"]


def test_a_dash_reads_standard_input_and_writes_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a: 1\r\nb: 2")))
    assert run(["yaml", "set", "-", "a", "3"]) == 0
    assert capsysbinary.readouterr().out == b"a: 3\r\nb: 2"


def test_set_says_which_aliases_change_too(values: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values.write_bytes(b"a: &base {x: 1}\nb:\n  <<: *base\nc: *base\n")
    assert run(["yaml", "set", str(values), "a.x", "2"]) == 0
    assert values.read_bytes() == b"a: &base {x: 2}\nb:\n  <<: *base\nc: *base\n"
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["values.yaml:3:7", "values.yaml:4:4"]
    assert run(["yaml", "set", str(values), "a.x", "2"]) == 0
    assert capsys.readouterr().err == ""


def test_an_item_is_named_by_what_it_holds(values: Path) -> None:
    text = b"containers:\n- {name: a, image: v1}\n- {name: b c, image: v1}\n"
    values.write_bytes(text)
    words = ["--set", "containers[name=a].image=v2", "--set", 'containers[name="b c"].image=v3']
    assert run(["yaml", "set", str(values), *words]) == 0
    assert values.read_bytes() == text.replace(b"v1", b"v2", 1).replace(b"v1", b"v3")


def test_a_template_is_edited_through_marker_comments(values: Path) -> None:
    template = b"{{- if .x }}\ntag: v1  # pipegraft:set=web.tag\n{{- end }}"
    values.write_bytes(template)
    assert run(["yaml", "set", str(values), "--marked", "web.tag=1.10"]) == 0
    assert values.read_bytes() == template.replace(b"v1", b'"1.10"')


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["web.tag", "1"],
            "error: values.yaml:3:3: web.tag is missing: web is a mapping without the key 'tag'\n",
        ),
        (["web.imag", "1"], "fix: did you mean web.image?\n"),
        (["web", "1"], "error: values.yaml:3:3: web is a mapping, and only a single value can be set\n"),
        (["web.image.tag", "1"], "values.yaml:3:10: web.image.tag is missing: web.image is a single value"),
        (["web[-1]", "1"], "error: <path>:1:4: path 'web[-1]': an index counts from the start"),
        (["web.replicas", "x", "--type", "int"], "error: 'x' is no int\n"),
        (["web.replicas", "3", "--document", "1"], "error: values.yaml: there is no document 1"),
        ([], "nothing to set"),
        (["web.image"], "expected PATH and VALUE together"),
        (["--set", "web.image"], "expected PATH=VALUE, found 'web.image'"),
    ],
)
def test_a_refusal_ends_with_2_says_why_and_leaves_the_file(
    values: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["yaml", "set", str(values), *words]) == 2
    assert values.read_bytes() == VALUES
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_files_that_are_no_yaml_are_refused(values: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content, message in [
        ("a: é".encode("latin-1"), "error: values.yaml:1:4: expected UTF-8, found the byte 0xe9"),
        ("a: 1".encode("utf-16"), "error: values.yaml:1:1: expected UTF-8, found UTF-16"),
        (b"a: {{ .x }}\n{{- if .y }}\n", "edit a template through marker comments"),
        (b"a: 1\x07\n", "error: values.yaml:1:5: YAML allows no control characters, found U+0007"),
    ]:
        values.write_bytes(content)
        assert run(["yaml", "set", str(values), "a", "2"]) == 2
        assert message in capsys.readouterr().err
        assert values.read_bytes() == content


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["yaml", "get", str(tmp_path / "none.yaml"), "a"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/none.yaml: the file does not exist")


def test_json_output_is_json(values: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["yaml", "get", str(values), ".", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["web"]["replicas"] == 2
