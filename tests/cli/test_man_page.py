"""The manual page names every command, and shells complete words as the docs say."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipegraft.cli import COMMANDS

PROGRAM = Path(sys.executable).with_name("pipegraft")
DOCS = Path(__file__).parents[2] / "docs"
PLATFORMS = DOCS / "platforms.md"
man_page = runpy.run_path(str(DOCS / "man_page.py"))["man_page"]


def test_every_command_has_its_part() -> None:
    page = man_page()
    for name in COMMANDS:
        assert f'.SS "pipegraft {name}"' in page
    assert r"\fB\-\-dry\-run\fR" in page
    assert not [line for line in page.split("\n") if re.match(r"\.(?!TH|SH|SS|TP|PP|IP|B )", line)]


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not here")
def test_man_reads_it_without_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "pipegraft.1"
    file.write_text(man_page())
    shown = subprocess.run(
        ["man", "--warnings", str(file)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MANWIDTH": "100"},
    )
    assert shown.stderr == ""
    assert "pipegraft inject" in shown.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_line_for_each_shell_prints_its_completion(shell: str) -> None:
    assert f"_PIPEGRAFT_COMPLETE={shell}_source pipegraft" in PLATFORMS.read_text()
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("bash is not here")
    done = subprocess.run(
        [PROGRAM],
        env={**os.environ, "_PIPEGRAFT_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_PIPEGRAFT_COMPLETE" in done.stdout


def test_words_complete_to_commands_and_options() -> None:
    def completed(words: str, at: int) -> list[str]:
        asked = {"_PIPEGRAFT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        done = subprocess.run(
            [PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True, check=True
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("pipegraft inj", 1) == ["inject"]
    assert completed("pipegraft import compose --prof", 3) == ["--profile"]
