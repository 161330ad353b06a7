"""What the documentation says is true: its commands run, its files exist, its YAML is valid.

A fenced ``console`` block is run line by line (``$ command``); what it shows below a command must be
part of what the command prints, ``…`` standing for anything. The comment before the block says where:

- ``<!-- run: shop -->``: in a fresh copy of ``examples/shop``, a git repository, beside ``shop-iac.git``;
- ``<!-- run: released -->``: there too, after its images were built and pinned once;
- ``<!-- run: releases -->``: in ``examples/releases``, which holds recorded releases;
- ``<!-- run: fleet -->``: where a GitLab server has a group ``acme`` with three projects and a bare one;
- ``<!-- run: board -->``: in a folder that holds ``shop-iac.git``;
- ``<!-- run: empty -->``: in an empty folder; an engine that is started there is ended;
- ``<!-- run: shop exit=2 -->``: the last command ends with that exit code;
- ``<!-- run by: PLACE -->``: not here, but in the named file of this project, which must hold the command.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from fleet_files import PIPELINE, delivery
from group_double import TOKEN, serve_group
from program import pipegraft

from pipegraft.app.plugins import HOOKS
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import parse_document

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"(?:<!-- (?P<how>run[^>]*?) -->\n+)?^```(?P<kind>[\w-]*)[^\n]*\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    how: str
    kind: str
    body: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in FENCE.finditer(text):
            line = text.count("\n", 0, found.start("kind")) + 1
            yield Block(str(page.relative_to(ROOT)), line, found["how"] or "", found["kind"], found["body"])


CONSOLE = [block for block in blocks() if block.kind == "console"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    source = tmp_path / "shop"
    shutil.copytree(ROOT / "examples" / "shop", source, ignore=shutil.ignore_patterns("iac", ".pipegraft"))
    shutil.copytree(ROOT / "examples" / "shop" / "iac", tmp_path / "draft")
    for folder in (source, tmp_path / "draft"):
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "draft"), str(tmp_path / "shop-iac.git"))
    return source


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", folder, *words], check=True, env=environment())


def environment() -> dict[str, str]:
    return {
        **{
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("CI_", "GIT_", "PIPEGRAFT_"))
        },
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@example.com",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@example.com",
        "COLUMNS": "120",
    }


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A group on a server, and the variables that lead to it."""
    with serve_group(tmp_path / "group") as lab:
        for name in ("app-one", "app-two", "shop"):
            lab.add(name, {".gitlab-ci.yml": PIPELINE, "delivery.yaml": delivery(name)})
        lab.add("docs", {"README.md": "nothing to deliver\n"})
        yield {"CI_SERVER_URL": lab.url, "PIPEGRAFT_GITLAB_TOKEN": TOKEN}


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[None]:
    """Ends every engine that a page leaves running below the test's folder; what it runs ends with it."""
    yield
    for process in running_in(tmp_path):
        if "engine" in words_of(process):
            os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while left := running_in(tmp_path):
        assert time.monotonic() < deadline, f"still running: {[words_of(process) for process in left]}"
        time.sleep(0.1)


def running_in(folder: Path) -> list[int]:
    """Processes whose working folder is below a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
    return found


def words_of(process: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text().rstrip("\0").split("\0")
    return []


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize("block", CONSOLE, ids=str)
def test_commands_do_what_the_page_shows(
    block: Block, shop: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert block.how, f"{block}: say how this block is run (see the top of this file)"
    if block.how.startswith("run by: "):
        named = (ROOT / block.how.removeprefix("run by: ")).read_text()
        for command, _shown in commands(block.body):
            assert command in named, f"{block}: {command!r} is not in {block.how.removeprefix('run by: ')}"
        return
    where, _, expected = block.how.removeprefix("run: ").partition(" exit=")
    folder = {
        "shop": shop,
        "released": shop,
        "board": tmp_path,
        "empty": tmp_path / "empty",
        "fleet": tmp_path / "empty",
        "releases": ROOT / "examples" / "releases",
    }[where]
    if where == "released":
        for stage in (["image-build"], ["iac-bump", "--env", "production"]):
            pipegraft("run", *stage, folder=shop, environment=environment()).check_returncode()
    folder.mkdir(exist_ok=True)
    variables = environment() | (request.getfixturevalue("fleet") if where == "fleet" else {})
    todo = list(commands(block.body))
    for index, (command, shown) in enumerate(todo):
        done = call(command, folder, variables)
        wanted = int(expected or 0) if index == len(todo) - 1 else 0
        assert done.returncode == wanted, f"{block}: {command}\n{done.stdout}{done.stderr}"
        for line in shown:
            assert appears(line, done.stdout + done.stderr), (
                f"{block}: {line!r} is not in:\n{done.stdout}{done.stderr}"
            )


def call(command: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What a reader would paste; without a shell where it is the program alone."""
    if re.fullmatch(r"pipegraft [\w ./:=,@-]+", command):
        return pipegraft(*shlex.split(command)[1:], folder=folder, environment=variables)
    return subprocess.run(  # noqa: S602 - the project's own pages
        command,
        shell=True,
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


def commands(body: str) -> Iterator[tuple[str, list[str]]]:
    """Each command with the lines shown below it."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *shown = part.rstrip().splitlines()
        yield command, [line for line in shown if line.strip() not in ("", "…")]


def appears(line: str, said: str) -> bool:
    pattern = ".*".join(re.escape(piece) for piece in line.rstrip().split("…"))
    return any(re.fullmatch(pattern, one.rstrip()) for one in said.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_named_exists(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    folders = "plugin|ci_templates|hooks|tests|examples|docs|benchmarks|requirements"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", text)
    missing += [name for name in named if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize(
    "block",
    [
        block
        for block in blocks()
        if block.kind == "yaml" and re.search(r"^registry:", block.body, re.MULTILINE)
    ],
    ids=str,
)
def test_every_delivery_shown_is_valid(block: Block) -> None:
    assert parse_document(block.body, str(block), Delivery).components


@pytest.mark.parametrize(
    "block",
    [block for block in blocks() if block.kind == "yaml" and block.body.startswith("include:")],
    ids=str,
)
def test_every_input_shown_is_of_the_type_that_its_template_asks_for(block: Block) -> None:
    types = {"string": str, "array": list}
    for entry in yaml.safe_load(block.body)["include"]:
        if not entry.get("file", "").startswith("/ci_templates/"):
            continue
        declared = next(yaml.safe_load_all((ROOT / entry["file"].lstrip("/")).read_text()))["spec"]["inputs"]
        for name, value in entry["inputs"].items():
            assert isinstance(value, types[declared[name].get("type", "string")]), name
            assert value in declared[name].get("options", [value]), name


def test_the_page_on_plugins_names_every_hook_and_every_suite() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    hooks = {name for module in HOOKS for name in vars(module) if name.startswith("pipegraft_")}
    suites = {
        f"{path.stem}.{name}"
        for path in (ROOT / "plugin" / "pipegraft" / "testing").glob("*_suite.py")
        for name in re.findall(r"^class (\w+Suite)\b", path.read_text(), re.MULTILINE)
    }
    assert hooks
    assert suites
    assert {name for name in hooks | suites if f"`{name}`" not in page} == set()
