"""Nothing that lies in the working folder is executed: it is a stranger's, and the job holds tokens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pipegraft
from pipegraft.demo.world import _COMMAND
from pipegraft.engine.adapters import proxy

ROOT = Path(pipegraft.__file__).parent.parent.parent
TRAPS = (
    "click",
    "yaml",
    "pip",
    "rich",
    "git",
    "pydantic",
    "pydantic_core",
    "sitecustomize",
    "json",
    "aiohttp",
)


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A folder whose modules and plugin say that they ran."""
    told = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()\n"
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(told)
    (tmp_path / "trap_plugin.py").write_text(told)
    facts = tmp_path / "trap-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: trap\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[pipegraft]\ntrap = trap_plugin\n")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        [str(Path(sys.executable).with_name("pipegraft"))],
        [sys.executable, "-m", "pipegraft"],
        _COMMAND,
    ],
    ids=["program", "module", "demonstration"],
)
def test_neither_modules_nor_plugins_of_the_working_folder_run(command: list[str], trapped: Path) -> None:
    done = subprocess.run([*command, "plugins"], cwd=trapped, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "layer" in done.stdout
    assert "trap" not in done.stdout + done.stderr
    assert not (trapped / "ran").exists()


def test_every_python_that_we_start_is_kept_from_the_working_folder() -> None:
    """In what CI systems run, and in what this program starts itself."""
    templates = [
        *ROOT.glob("ci_templates/**/*"),
        *ROOT.glob("hooks/*"),
        *ROOT.glob("plugin/pipegraft/**/*.j2"),
    ]
    texts = {path: path.read_text() for path in templates if path.is_file()}
    started = [
        (path, line)
        for path, text in texts.items()
        for line in text.splitlines()
        if re.search(r"\bpython3? -", line)
    ]
    assert started
    for path, line in started:
        assert re.search(r"\bpython3 -[IP] ", line), f"{path}: {line}"
    for module in (proxy.__file__, sys.modules["pipegraft.demo.world"].__file__):
        text = Path(str(module)).read_text()
        for found in re.finditer(r"sys\.executable,\s*(\S+)", text):
            assert found[1].startswith('"-P"'), module
