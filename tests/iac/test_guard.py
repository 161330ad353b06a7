"""The guard of IaC repositories, by real pushes to a real server with `hooks/pre-receive`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from guarded import APP, PATH, ROOT, STABLE, TOKEN, A, B, Git, gray, push, save

from pipegraft.appspec.environment_file import (
    bump,
    promote,
    read_environment,
    set_phase,
    set_weight,
    take_over,
)
from pipegraft.appspec.model import AppEnvironment
from pipegraft.appspec.resource_binding import UNBOUND
from pipegraft.cli import run
from pipegraft.core.errors import Vetoed
from pipegraft.core.release import ReleaseMark
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.guard import GuardRules, checks
from pipegraft.iac.guard.checks import check_files, gray_in_order
from pipegraft.iac.guard.documents import ChangedFile, Files


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
    assert run(["guard", "--", "app.yaml", "absent.yaml"]) == 2
    assert "expected a file, found none: absent.yaml" in capsys.readouterr().err
    assert run(["guard", "--staged"]) == 2
    assert "expected a git repository" in capsys.readouterr().err


def test_the_pre_commit_hook_sees_what_is_staged(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copy(ROOT / "hooks" / "pre-commit", clone / ".git" / "hooks" / "pre-commit")
    (clone / PATH).write_text(STABLE.replace(A, "r/web:latest"))
    git("add", "--all")
    (clone / PATH).write_text(STABLE.replace(A, B))  # mended, but not staged
    refused = git("commit", "--message=change")
    assert refused.returncode
    assert "pinned by digest" in refused.stderr
    git("add", "--all")
    assert git("commit", "--message=change").returncode == 0
    git("mv", PATH, "environments/eu.yaml")
    (clone / "environments/eu.yaml").write_text(STABLE + "compnents: {}\n")
    git("add", "--all")
    assert "environments/eu.yaml:3:1: unknown key 'compnents'" in git("commit", "--message=rename").stderr
    (clone / "environments/eu.yaml").write_text(gray(25)["environments/production.yaml"])
    git("add", "--all")
    assert "starts at weight 0, found 25" in git("commit", "--message=rename").stderr


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text, ""),
        (
            lambda text: text.replace("weight: 100", "weight: 60"),
            "expected the weight 100 after 50, found 60",
        ),
        (lambda text: text.replace("sha256:" + "b" * 64, "sha256:" + "c" * 64), "was changed in its midst"),
    ],
)
def test_a_promotion_goes_its_two_commits(edit: Callable[[str], str], message: str) -> None:
    stable = f"release: {{number: 1, source: a}}\ncomponents:\n  web: {{image: r/web@sha256:{'a' * 64}}}\n"
    mark = ReleaseMark(number=2, source="b")
    file, steps = "environments/production.yaml", (10, 50)
    image = {"web": f"r/web@sha256:{'b' * 64}"}
    prepared = bump(stable, image, mark, gray=True, file=file).text
    judged = set_weight(prepared, 50, file=file)
    taken_over = edit(take_over(judged, None, file=file))
    found = [one.message for one in gray_in_order(file, judged, taken_over, steps)]
    assert bool(found) == bool(message)
    assert all(message in one for one in found[:1])
    if not message:
        assert not list(gray_in_order(file, taken_over, promote(taken_over, file=file), steps))


def test_a_line_of_weights_may_be_pushed_at_once(git: Git, tmp_path: Path) -> None:
    assert push(git, tmp_path / "clone", gray(0), gray(5), gray(25)) == ""


def test_an_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def counted(text: str, file: str) -> AppEnvironment:
        reads.append(text)
        return read_environment(text, file)

    monkeypatch.setattr(checks, "read_environment", counted)
    (old, new) = ({PATH: text.encode(), "app.yaml": APP.encode()} for text in (STABLE, gray(0)[PATH]))
    before, after = (Files(there.get, lambda _: ()) for there in (old, new))
    assert not check_files([ChangedFile(PATH, "100644")], before, after, GuardRules(), UNBOUND)
    assert reads.count(gray(0)[PATH]) == 1


@pytest.mark.parametrize("weight", [0, 10])
def test_a_promotion_that_skips_steps_is_refused(weight: int) -> None:
    stable = f"release: {{number: 1, source: a}}\ncomponents:\n  web: {{image: r/web@sha256:{'a' * 64}}}\n"
    file, steps = "environments/production.yaml", (10, 50)
    image = {"web": f"r/web@sha256:{'b' * 64}"}
    prepared = bump(stable, image, ReleaseMark(number=2, source="b"), gray=True, file=file).text
    early = set_weight(prepared, weight, file=file)
    (first, *_) = gray_in_order(file, early, take_over(early, None, file=file), steps)
    assert first.message == f"expected the weight 50 before the promotion, it was {weight}"
    begun = set_phase(prepared, "promoting", file=file)
    (first, *_) = gray_in_order(file, stable, begun, steps)
    assert first.message == "a gray release starts at weight 0, found 0, promoting"
