"""The guard of IaC repositories, by real pushes to a real server with `hooks/pre-receive`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pipegraft.adapters.git import open_branch
from pipegraft.cli import run
from pipegraft.errors import Vetoed
from pipegraft.testing.git_http import serve

ROOT = Path(__file__).parent.parent.parent
A, B = f"r/web@sha256:{'a' * 64}", f"r/web@sha256:{'b' * 64}"
APP = "app: shop\ncomponents:\n  web: {ports: {http: 80}}\n"
PATH = "environments/production.yaml"
STABLE = f"release: {{number: 12, source: x}}\ncomponents: {{web: {{image: '{A}'}}}}\n"
GRAY = f"""{STABLE}\
gray: {{release: {{number: 13, source: y}}, weight: W, phase: step, components: {{web: {{image: '{B}'}}}}}}
"""
TOKEN = "glpat-" + "x" * 20
RULES = "pushers: {tester: ['environments/*', 'app.yaml', '.pipegraft/*'], '*': []}\ngray-steps: [5, 25]\n"

Git = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Git]:
    """A clone of a guarded repository; its remote is served over HTTP to the user `tester`."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    bare, clone = tmp_path / "iac.git", tmp_path / "clone"
    clone.mkdir()
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *words], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )

    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git("--git-dir", str(bare), "config", "http.receivepack", "true")
    git("init", "--quiet", "--initial-branch=main")
    with serve(tmp_path) as server:
        git("remote", "add", "origin", f"{server.url}/iac.git")
        save(git, clone, {"app.yaml": APP, PATH: STABLE, ".pipegraft/guard.yaml": RULES})
        assert git("push", "origin", "main").returncode == 0
        shutil.copy(ROOT / "hooks" / "pre-receive", bare / "hooks" / "pre-receive")
        yield git


def save(git: Git, clone: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(text)
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message=change")


def push(git: Git, clone: Path, *steps: Mapping[str, str], force: bool = False) -> str:
    """Commit each step, push them together; answers what the server said if it refused, else nothing."""
    for files in steps:
        save(git, clone, files)
    done = git("push", *(["--force"] if force else []), "origin", "main")
    return done.stderr if done.returncode else ""


def gray(weight: int, number: int = 13) -> dict[str, str]:
    return {PATH: GRAY.replace("W", str(weight)).replace("13", str(number))}


def test_a_gray_release_in_order_may_pass(git: Git, tmp_path: Path) -> None:
    promoted = {PATH: STABLE.replace(A, B).replace("12", "13")}
    assert push(git, tmp_path / "clone", gray(0), gray(5), gray(25), promoted) == ""


REFUSED: list[tuple[list[dict[str, str]], str]] = [
    ([gray(5)], f"{PATH}:3:50: a gray release starts at weight 0, found 5"),
    ([gray(0), gray(25)], "expected the weight 5 after 0, found 25"),
    ([gray(0), gray(5), gray(0)], "rises, found 0 after 5"),
    ([gray(0), gray(0, number=12)], "a gray release of 13 stands there, 12 is older"),
    ([{PATH: STABLE.replace(A, "r/web:latest")}], f"{PATH}:2:27: expected an image pinned by digest"),
    ([{PATH: STABLE + "compnents: {}\n"}], f"{PATH}:3:1: unknown key 'compnents'"),
    ([{"app.yaml": "app: shop\n"}], "app.yaml:1:1: 'components' is missing"),
    ([{"app.yaml": f"{APP}# {TOKEN}\n"}], "app.yaml:4:3: this looks like a GitLab token"),
    ([{"app.yaml": f"{APP}# {TOKEN}\n"}, {"app.yaml": APP}], "a GitLab token"),
    ([{"README.md": "hello\n"}], "README.md: 'tester' may not change this file"),
    ([{".pipegraft/guard.yaml": "pushers: {}\n"}, {"README.md": "hi\n"}], "README.md: 'tester' may not"),
    ([{".pipegraft/guard.yaml": "pusher: {}\n"}], "write 'pushers'"),
]


def test_what_is_refused_is_named_and_nothing_moves(git: Git, tmp_path: Path) -> None:
    before = git("ls-remote", "origin").stdout
    for steps, message in REFUSED:
        assert message in push(git, tmp_path / "clone", *steps)
        assert git("ls-remote", "origin").stdout == before
        git("reset", "--quiet", "--hard", "origin/main")


def test_files_of_other_tools_may_have_our_names(git: Git, tmp_path: Path) -> None:
    files = {"app.yaml": "apiVersion: core.oam.dev/v1beta1\nspec: {components: [{image: a:b}]}\n"}
    assert push(git, tmp_path / "clone", files) == ""


def test_another_branch_is_no_way_around(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    save(git, clone, {"other/file": "1\n"})
    refused = git("push", "origin", "main:refs/heads/side")
    assert "'tester' may not change this file" in refused.stderr
    bare = ("git", "--git-dir", str(tmp_path / "iac.git"))
    subprocess.run([*bare, "fetch", "--quiet", str(clone), "main:side"], check=True)  # by somebody who may
    refused = git("push", "origin", "main")
    assert "'tester' may not change this file" in refused.stderr
    git("reset", "--quiet", "--hard", "HEAD^")
    assert push(git, clone, gray(0)) == ""
    assert git("push", "origin", "main:refs/heads/mine").returncode == 0


def test_history_stays(git: Git, tmp_path: Path) -> None:
    assert push(git, tmp_path / "clone", gray(0)) == ""
    git("reset", "--quiet", "--hard", "HEAD^")
    assert "would be rewritten" in push(git, tmp_path / "clone", {"app.yaml": APP + "# x\n"}, force=True)
    assert "would be deleted" in git("push", "origin", "--delete", "main").stderr


def test_pipegraft_itself_is_told_why(git: Git, tmp_path: Path) -> None:
    url = git("remote", "get-url", "origin").stdout.strip()
    branch = open_branch(url, "main", tmp_path)
    with pytest.raises(Vetoed, match="starts at weight 0, found 50"):
        branch.commit(gray(50), "bump", branch.tip())


def test_files_are_checked_before_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "environments").mkdir()
    (tmp_path / "app.yaml").write_text(APP)
    (tmp_path / PATH).write_text(gray(25)[PATH])
    assert run(["guard", "--", "app.yaml", PATH]) == 0
    (tmp_path / PATH).write_text(STABLE.replace(A, "r/web:latest"))
    assert run(["guard", "--", "app.yaml", PATH]) == 1
    assert f"refused: {PATH}:2:27: expected an image pinned by digest" in capsys.readouterr().err
    assert run(["guard"]) == 2


def test_the_pre_commit_hook_sees_what_is_staged(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copy(ROOT / "hooks" / "pre-commit", clone / ".git" / "hooks" / "pre-commit")
    (clone / PATH).write_text(STABLE.replace(A, "r/web:latest"))
    git("add", "--all")
    refused = git("commit", "--message=change")
    assert refused.returncode
    assert "pinned by digest" in refused.stderr
    (clone / PATH).write_text(STABLE.replace(A, B))
    git("add", "--all")
    assert git("commit", "--message=change").returncode == 0
