"""A string stays a string: what is written, as Kubernetes, Flux and Compose read it themselves."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import missing, run

from pipegraft.appspec.rendering.yaml_output import dump_documents
from pipegraft.text.yaml import Put, Set, apply, parse_path

pytestmark = pytest.mark.e2e

STRINGS = (
    *(
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "n",
        "true",
        "False",
        "null",
        "~",
        "Null",
        "",
        " ",
        "=",
        "<<",
        "-",
        "?",
        "!",
        "&a",
        "*a",
    ),
    *(
        "0",
        "-1",
        "+1",
        "007",
        "08",
        "0o17",
        "0x1f",
        "0b11",
        "1_000",
        "12:30:45",
        "190:20:30",
        "1e3",
        "1E5",
        "12e03",
        "1.",
        ".5",
    ),
    *(
        "1.10",
        "-0.0",
        ".inf",
        "-.INF",
        ".nan",
        ".NaN",
        "+.inf",
        "0123456789abcdef",
        "123456e7",
        "1e1000",
        "0.1.2",
        "1,000",
    ),
    *(
        "2026-11-30",
        "2026-11-30T10:00:00Z",
        "2001-1-1",
        "10:00",
        "v1.0",
        "sha256:12",
        "a: b",
        "a #b",
        "#a",
        "a:",
        ": a",
        "- a",
    ),
    *(
        "'",
        '"',
        "it's",
        'say "x"',
        "\\",
        "\\n",
        "a\nb",
        "a\n",
        "\na",
        "a\tb",
        "\t",
        "trailing ",
        " leading",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
    ),
    *("[a]", "{a: b}", "a,b", "---", "...", "--- a", "é", "日本", "\u2028", "\x85", "\ufeff", "😀", "\x7f"),
)


def ask(reader: str, texts: Sequence[str]) -> list[Any]:
    """What a reader makes of each text; an error is its message."""
    folder = Path(run(Path(__file__).parent / "manifests" / "folder").strip())
    if not (folder / "yaml-readers").exists():
        missing("yaml-readers")
    lines = "".join(json.dumps({"Reader": reader, "Text": text}) + "\n" for text in texts)
    done = subprocess.run(
        [folder / "yaml-readers"], input=lines, capture_output=True, text=True, timeout=60, check=True
    )
    answers = [json.loads(line) for line in done.stdout.rstrip("\n").split("\n")]
    return [answer.get("error") or answer["value"] for answer in answers]


@pytest.mark.parametrize("reader", ["kubernetes", "go"])
@pytest.mark.parametrize("way", ["rendered", "set", "added"])
def test_what_is_written_is_read_as_the_same_string(reader: str, way: str) -> None:
    writers = {
        "rendered": lambda value: dump_documents([{"image": "web:1", "value": value}]),
        "set": lambda value: apply("image: web:1\nvalue: plain  # kept\n", [Set(parse_path("value"), value)]),
        "added": lambda value: apply("image: web:1\n", [Put(parse_path("value"), value)]),
    }
    found = ask(reader, [writers[way](value) for value in STRINGS])
    wrong = {
        value: got
        for value, got in zip(STRINGS, found, strict=True)
        if not isinstance(got, dict) or got["value"] != value
    }
    assert not wrong


def test_compose_reads_the_same_strings() -> None:
    texts = [
        dump_documents([{"services": {"web": {"image": "web:1", "environment": {"A": one}}}}])
        for one in STRINGS
    ]
    found = ask("compose", texts)
    wrong = {
        value: got
        for value, got in zip(STRINGS, found, strict=True)
        if not isinstance(got, dict) or got["services"]["web"]["environment"] != {"A": value}
    }
    assert not wrong
