"""Text of strangers: secrets of this process are hidden in it, and it commands no terminal."""

from __future__ import annotations

import ast
import base64
import io
import json
import logging
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

import pipegraft
from pipegraft.audit.dora import Figures
from pipegraft.audit.views import figures_page
from pipegraft.cli.common import print_json
from pipegraft.core.console import PlainProgress, Shown, open_console
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import (
    echo,
    hear_libraries,
    json_of,
    keep_secret,
    learn_secrets,
    printable,
    redacted,
    redacted_data,
    write_data,
)
from pipegraft.core.ports import Event
from pipegraft.core.reading import load_json

ROOT = Path(pipegraft.__file__).parent
WRITES = re.compile(r"\b(?:print|Console|secho|style|write|echo)\(")
DOORS = ("core/foreign_text.py", "core/console.py")
PAINTED = "bad \x1b[2K\x1b[32m✔ every link holds\x1b[0m \x9b31m \u202eevil\u2066 \r\b\udc80 \U000e0041"
COMMANDS = set("\x1b\x9b\u202e\u2066\r\b\udc80\U000e0041")


def is_terminal_use(node: ast.AST) -> bool:
    """Whether a call writes to standard output or error by itself."""
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    streams = ("sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer.write")
    return name in ("print", "Console", "click.echo", "click.secho", "click.style", *streams)


def test_nothing_writes_to_a_terminal_but_the_one_door() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in ROOT.rglob("*.py")
        if str(path.relative_to(ROOT)) not in DOORS and WRITES.search(path.read_text())
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and is_terminal_use(node)
    ]
    assert found == []


def shown_by(way: str, capsys: pytest.CaptureFixture[str]) -> str:
    if way == "echo":
        echo(PAINTED)
    elif way == "error":
        echo(f"error: {UsageError(PAINTED).problem}", err=True)
    elif way == "console":
        open_console().print(Text(PAINTED), PAINTED, markup=False)
    elif way == "json":
        print_json({"said": PAINTED})
    elif way == "log":
        stream = io.StringIO()
        PlainProgress(stream).emit(Event("verdict", PAINTED, subject=PAINTED))
        return stream.getvalue()
    else:
        stream = io.StringIO()
        Console(file=stream, force_terminal=True, color_system=None).print(Shown(Text(PAINTED)))
        return stream.getvalue()
    told = capsys.readouterr()
    return told.out + told.err


@pytest.mark.parametrize("way", ["echo", "error", "console", "json", "log", "live"])
def test_no_way_out_lets_text_command_a_terminal(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown_by(way, capsys)
    assert not COMMANDS & set(text)
    assert "\\u001b[2K" in text
    assert "every link holds" in text
    if way == "json":
        assert json.loads(text) == {"said": PAINTED}


def test_data_for_programs_is_left_alone_where_no_person_looks(capsys: pytest.CaptureFixture[str]) -> None:
    write_data("a: \u202e\x1b\n")
    assert capsys.readouterr().out == "a: \u202e\x1b\n"


def test_a_line_of_a_log_begins_no_other() -> None:
    stream = io.StringIO()
    PlainProgress(stream).emit(Event("verdict", "bad\n[sync-gate] done in 1.0 s"))
    assert [line for line in stream.getvalue().splitlines() if line.startswith("[")] == []


@given(st.text())
def test_what_is_printable_can_be_written_and_read_as_json(text: str) -> None:
    shown = printable(text)
    shown.encode()
    if "\\" not in text and '"' not in text:
        assert json.loads(json.dumps(text, ensure_ascii=False)) == json.loads(
            printable(json.dumps(text, ensure_ascii=False))
        )


SECRET = 'tok/en+with"odd<chars>-0123456789'


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        json.dumps(SECRET),
        "tok/en+with&quot;odd&lt;chars&gt;-0123456789",
        "tok%2Fen%2Bwith%22odd%3Cchars%3E-0123456789",
        "tok%2fen%2bwith%22odd%3cchars%3e-0123456789",
        "tok%252Fen%252Bwith%2522odd%253Cchars%253E-0123456789",
        "tok\\/en+with\\u0022odd\\u003cchars\\u003E-0123456789",
        "tok&#x2F;en&#43;with&#34;odd&lt;chars&#62;-0123456789",
        json.dumps(json.dumps(SECRET)),
        "dG9rL2VuK3dpdGgib2RkPGNoYXJzPi0wMTIzNDU2Nzg5",
    ],
)
def test_a_secret_is_hidden_in_every_form_in_which_servers_repeat_it(said: str) -> None:
    learn_secrets({"MY_TOKEN": SECRET})
    for place in (f"you sent {said}!", said):
        assert "0123456789" not in redacted(place)
        assert said not in redacted(place)
    assert redacted_data({"a": [f"x {said}"]}) == {"a": ["x [secret]"]} or "[secret]" in str(
        redacted_data([f"x {said}"])
    )
    assert said not in str(UsageError(f"refused {said}", fix=f"not {said}"))
    assert said not in str(Event("verdict", f"refused {said}", data={"found": f"was {said}"}))


@pytest.mark.parametrize(
    "around", [("", ""), ("me:", ""), ("oauth2:", "\n"), ("é:", "-"), ('{"auth": "', '"}')]
)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_hidden_in_base64_of_whatever_stands_around_it(
    around: tuple[str, str], encode: Callable[[bytes], bytes]
) -> None:
    secret = 'a?b>c/"0123456789'
    keep_secret(secret)
    shown = redacted(f"Basic {encode(secret.join(around).encode()).decode()}")
    assert "[secret]" in shown
    assert len(shown.partition("[secret]")[2]) <= len("x==") + 2 * len(around[1])


def test_headers_for_collectors_are_secrets_where_they_let_somebody_in() -> None:
    learn_secrets({"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=production,authorization=Bearer%20collect%2B123"})
    assert redacted("no production for collect+123") == "no production for [secret]"


def test_what_libraries_warn_of_passes_the_one_door(capsys: pytest.CaptureFixture[str]) -> None:
    keep_secret("library-0123456789")
    hear_libraries()
    hear_libraries()
    logging.getLogger("of.a.library").error("refused %s \x1b[2K", "library-0123456789")
    assert capsys.readouterr().err == "error: refused [secret] \\u001b[2K\n"


def test_a_wrong_log_call_of_a_library_ends_nothing_and_shows_no_arguments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own raise
    hear_libraries()
    format_of_two = "retry %s %s"
    logging.getLogger("of.a.library").warning(format_of_two, "argument-of-the-call")
    told = capsys.readouterr().err
    assert re.fullmatch(r"warning: a log call has the wrong arguments: .*test_foreign_text\.py:\d+\n", told)
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    logging.getLogger("of.a.library").warning("nobody reads this")


def test_threads_keep_secrets_at_once() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    tokens = [f"token-of-a-thread-{number:04d}" for number in range(80)]
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(keep_secret, tokens))
    finally:
        sys.setswitchinterval(before)
    assert redacted(" ".join(tokens)).split() == ["[secret]"] * 80


def test_passwords_in_addresses_and_keys_of_several_lines_are_hidden() -> None:
    learn_secrets(
        {"HTTPS_PROXY": "http://user:longpassword@proxy:3128", "MY_KEY": "first-line-x\nsecond-line-y"}
    )
    assert redacted("via longpassword and second-line-y") == "via [secret] and [secret]"


def test_paths_numbers_and_short_words_are_no_secrets() -> None:
    learn_secrets({"PIPEGRAFT_SIGNING_KEY": "/etc/keys/signing", "A_TOKEN": "true", "B_SECRET": "12345678"})
    learn_secrets({"DATABASE_PASSWORD": "short"})
    said = "the key /etc/keys/signing is true, short, and 12345678"
    assert redacted(said) == said


def test_a_name_that_a_short_password_happens_to_be_stays() -> None:
    keep_secret("checkout")
    assert redacted("registry/checkout@sha256:0") == "registry/checkout@sha256:0"
    assert redacted("password checkout is wrong") == "password [secret] is wrong"


@pytest.mark.parametrize(
    "said",
    ["https://u:s3cr3t-pass@host", "s3cr3t-pass", "u:s3cr3t-pass", "shop/s3cr3t-pass:1", "u:longword@host"],
)
def test_a_short_secret_that_is_no_name_is_hidden_where_it_stands_alone(said: str) -> None:
    keep_secret("s3cr3t-pass")
    keep_secret("longword")
    assert "[secret]" in json_of({"found": [said]})
    assert redacted("team/longword:1.2@sha256:0a") == "team/longword:1.2@sha256:0a"


def test_hiding_takes_no_square_of_what_servers_say_and_large_files_are_known_by_their_keys() -> None:
    keep_secret("/+=and-more-0123")
    lines = [base64.b64encode(bytes([one % 256, one // 256]) * 24).decode() + "aZ9" for one in range(700)]
    began = process_time()
    token = "0a1b2c3d4e5f60718293a4b5"
    keep_secret(f"kind: Config-of-a-cluster\ntoken: {token}\n" + "\n".join(lines))
    assert redacted(f"is {token}") == "is [secret]"
    keep_secret("another-0123456789")
    assert redacted("\\" * 16_000) == "\\" * 16_000
    assert process_time() - began < 2  # seconds; it took seven
    shown = redacted(f"kind: Config-of-a-cluster {lines[5]} {lines[699]} another-0123456789")
    assert shown == "kind: Config-of-a-cluster [secret] [secret] [secret]"


def test_json_can_be_written_whatever_it_holds() -> None:
    said = load_json('{"said": "\\ud800 x"}')
    assert json.loads(json_of(said).encode()) == said


def test_a_page_shows_neither_secrets_nor_marks_of_direction() -> None:
    learn_secrets({"PAGE_TOKEN": SECRET})
    page = figures_page(f"\u202e shop {SECRET}", Figures("production", 0, 86400, (), (), ()))
    assert "shop" in page
    assert "\u202e" not in page
    assert "0123456789" not in page
