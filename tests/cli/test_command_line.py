from __future__ import annotations

import importlib
import re
import subprocess
import sys
from types import SimpleNamespace

import click
import pytest

from pipegraft import __version__, cli
from pipegraft.core.errors import (
    BuildFailed,
    ConfigError,
    PipegraftError,
    Place,
    PluginError,
    Problem,
    RolledBack,
    Unreachable,
    UsageError,
)


def test_help_shows_every_command_once_below_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out.split("Begin:\n")[1]
    assert re.findall(r"^  ([a-z]+) ", shown, re.MULTILINE) == list(cli.COMMANDS)
    assert re.findall(r"^(\S.*):$", shown, re.MULTILINE) == list(cli.SECTIONS)[1:]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_says_what_each_command_says_of_itself(name: str) -> None:
    command = cli.find_command(name)
    assert command.name == name
    said = " ".join((command.help or "").split("\n\n")[0].split())
    assert said == cli.COMMANDS[name]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself_and_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: pipegraft {name}")
    command = cli.find_command(name)
    groups = [command, *getattr(command, "commands", {}).values()]
    for one in groups:
        for option in one.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"{one.name}: {option.name} has no help"


def test_help_and_version_import_nothing_heavy() -> None:
    heavy = ["git", "gitlab", "docker", "httpx2", "rich", "yaml", "jinja2", "lightkube"]
    code = (
        "import sys; from pipegraft.cli import run;"
        "assert run(['--help']) == 0; assert run(['--version']) == 0;"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout.endswith(f"pipegraft {__version__}\n")


def test_version_is_the_same_by_either_way() -> None:
    words = [sys.executable, "-m", "pipegraft", "--version"]
    assert (
        subprocess.run(words, capture_output=True, text=True, check=True).stdout
        == f"pipegraft {__version__}\n"
    )


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    @click.command("failing")
    def command() -> None:
        raise error

    monkeypatch.setattr(cli, "COMMANDS", {"failing": ""})
    monkeypatch.setattr(importlib, "import_module", lambda _name: SimpleNamespace(failing_command=command))
    return cli.run(["failing"])


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (BuildFailed("x"), 1),
        (RolledBack("x"), 1),
        (UsageError("x"), 2),
        (PluginError("x"), 2),
        (Unreachable("x"), 3),
        (PipegraftError("x"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code(
    error: BaseException, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(monkeypatch, error) == exit_code


def test_every_problem_is_printed_with_place_and_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = [
        Problem("expected a, found b", Place("f.yaml", 3, 7), "write a"),
        Problem("'x' is missing", Place("f.yaml")),
    ]
    assert failing(monkeypatch, ConfigError(problems)) == 2
    assert capsys.readouterr().err == (
        "error: f.yaml:3:7: expected a, found b\n    fix: write a\nerror: f.yaml: 'x' is missing\n"
    )


def test_a_defect_asks_to_be_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, ZeroDivisionError("oops")) == 70
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in said
    assert said.endswith("error: this is a defect in pipegraft; please report it with the lines above\n")


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"], ["plan", "--nonsense"]])
def test_wrong_usage_is_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words) == 2
    assert "No such" in capsys.readouterr().err
