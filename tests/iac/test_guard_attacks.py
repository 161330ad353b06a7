"""Attacks on the guard by real pushes: strange objects, odd references, other ways to production."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from guarded import APP, PATH, STABLE, TOKEN, A, B, Git, gray, push, save

from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git import open_branch

C = f"r/web@sha256:{'c' * 64}"
BAD = STABLE.replace(A, "r/web:latest")


@pytest.fixture
def relaxed(git: Git, tmp_path: Path) -> Git:
    """A server whose git takes strange folders, as some are set up to: the guard looks by itself."""
    for fault in ("duplicateEntries", "treeNotSorted", "hasDotdot", "hasDotgit", "fullPathname"):
        git("--git-dir", str(tmp_path / "iac.git"), "config", f"receive.fsck.{fault}", "ignore")
    return git


def commit_tree(clone: Path, entries: list[tuple[str, bytes, str]]) -> str:
    """A commit on the branch whose root holds exactly these entries, in this order."""
    content = b"".join(b"%b %b\0%b" % (m.encode(), name, bytes.fromhex(one)) for m, name, one in entries)
    words = ["git", "hash-object", "-w", "--literally", "-t", "tree", "--stdin"]
    tree = subprocess.run(words, cwd=clone, input=content, capture_output=True, check=True).stdout.decode()
    return tree.strip()


@pytest.mark.parametrize("trick", ["twice", "unsorted", "dotdot"])
def test_a_strange_folder_hides_nothing(trick: str, relaxed: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"

    def stored(text: str) -> str:
        (clone / ".git/x").write_text(text)
        return relaxed("hash-object", "-w", ".git/x").stdout.strip()

    good, bad = (stored(text) for text in (APP, f"{APP}# {TOKEN}\n"))
    folder = relaxed("rev-parse", "HEAD:environments").stdout.strip()
    rules = relaxed("rev-parse", "HEAD:.pipegraft").stdout.strip()
    root = [
        ("40000", b".pipegraft", rules),
        ("100644", b"app.yaml", good),
        ("40000", b"environments", folder),
    ]
    entries = {
        "twice": [*root[:2], ("100644", b"app.yaml", bad), root[2]],
        "unsorted": [root[2], root[0], ("100644", b"app.yaml", bad)],
        "dotdot": [("40000", b"..", folder), *root],
    }[trick]
    tree = commit_tree(clone, entries)
    made = relaxed("commit-tree", "-p", "HEAD", "-m", "x", tree).stdout.strip()
    refused = relaxed("push", "origin", f"{made}:refs/heads/main")
    assert refused.returncode
    assert "expected folders as git writes them" in refused.stderr
    bare = ("--git-dir", str(tmp_path / "iac.git"))
    relaxed(*bare, "fetch", "--quiet", str(clone), f"{made}:refs/heads/side")  # by somebody who may
    branch = open_branch(str(tmp_path / "iac.git"), "side", tmp_path)
    with pytest.raises(UsageError, match="expected folders as git writes them"):
        branch.read("app.yaml", branch.tip())


def test_a_server_whose_git_does_not_look_takes_nothing(git: Git, tmp_path: Path) -> None:
    git("--git-dir", str(tmp_path / "iac.git"), "config", "receive.fsckObjects", "false")
    told = push(git, tmp_path / "clone", gray(0))
    assert "receive.fsckObjects is not set" in told
    assert "git config receive.fsckObjects true" in told


@pytest.mark.parametrize("reference", ["refs/notes/x", "refs/secret/x", "refs/meta/config", "refs/for/main"])
def test_no_reference_is_a_hiding_place(reference: str, git: Git, tmp_path: Path) -> None:
    save(git, tmp_path / "clone", {"environments/notes": f"{TOKEN}\n"})
    refused = git("push", "origin", f"HEAD:{reference}")
    assert refused.returncode
    assert f"{reference}: expected a branch or a tag" in refused.stderr


def test_tags_authors_and_names_are_searched(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git("tag", "-a", "v1", "-m", f"use {TOKEN}")
    git("tag", "-a", "v2", "-m", "around it", "v1")
    for name in ("v1", "v2"):
        assert "this looks like a GitLab token" in git("push", "origin", f"refs/tags/{name}").stderr
    save(git, clone, {f"environments/{TOKEN}": "1\n"})
    assert "this looks like a GitLab token" in git("push", "origin", "main").stderr
    git("reset", "--quiet", "--hard", "origin/main")
    save(git, clone, gray(0))
    git("commit", "--quiet", "--amend", "--no-edit", f"--author={TOKEN} <a@b.c>")
    assert "this looks like a GitLab token" in git("push", "origin", "main").stderr


def test_a_message_hides_nothing_behind_a_nul_or_an_encoding(git: Git, tmp_path: Path) -> None:
    clone, bare = tmp_path / "clone", tmp_path / "iac.git"
    git("--git-dir", str(bare), "config", "receive.fsck.nulInCommit", "ignore")
    head = subprocess.run(
        ["git", "cat-file", "commit", "HEAD"], cwd=clone, capture_output=True, check=True
    ).stdout
    parent = git("rev-parse", "HEAD").stdout.strip().encode()
    tree, _, rest = head.partition(b"\n")
    for message in (b"\n\nx\0" + TOKEN.encode(), b"\nencoding UTF-7\n\nchange"):
        changed = rest.replace(b"\n\nchange", message)
        words = ["git", "hash-object", "-w", "--literally", "-t", "commit", "--stdin"]
        content = tree + b"\nparent " + parent + b"\n" + changed
        made = (
            subprocess.run(words, cwd=clone, input=content, capture_output=True, check=True)
            .stdout.decode()
            .strip()
        )
        assert "as git writes it" in git("push", "origin", f"{made}:refs/heads/side").stderr


FOREIGN = {PATH: "apiVersion: v1\nkind: ConfigMap\n"}
TAKEN_BACK = {PATH: STABLE}
STRAIGHT = {PATH: STABLE.replace(A, B).replace("12", "13")}


@pytest.mark.parametrize(
    "steps",
    [
        [STRAIGHT],
        [{PATH: STABLE.replace(A, f"mirror.example.com/{B}").replace("12", "13")}],
        [FOREIGN, STRAIGHT],
        [{PATH: STABLE.replace(A, "r/web@sha256:" + "d" * 64)}],
        [TAKEN_BACK, STRAIGHT],
        [TAKEN_BACK, FOREIGN, STRAIGHT],
    ],
    ids=[
        "promoted",
        "spelled otherwise",
        "a manifest between",
        "another",
        "taken back",
        "taken back and between",
    ],
)
def test_where_gray_releases_go_there_is_no_other_way(
    steps: list[dict[str, str]], git: Git, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    assert push(git, clone, gray(0), gray(5)) == ""
    told = push(git, clone, *steps)
    assert "to change by a gray release" in told or "before the promotion" in told


def test_a_file_that_was_away_is_no_first_release(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    assert push(git, clone, gray(0), TAKEN_BACK) == ""
    (clone / PATH).unlink()
    assert push(git, clone, {}) == ""
    assert "to change by a gray release" in push(git, clone, STRAIGHT)


def test_what_served_before_may_come_back_and_what_was_judged_be_promoted(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    assert push(git, clone, gray(0), gray(5), gray(25), STRAIGHT) == ""
    assert push(git, clone, {PATH: STABLE.replace("12", "14")}) == ""


def test_where_no_gray_release_ever_was_images_change_at_once(git: Git, tmp_path: Path) -> None:
    staging = {"environments/staging.yaml": STABLE}
    newer = {"environments/staging.yaml": STABLE.replace(A, C)}
    assert push(git, tmp_path / "clone", staging, newer) == ""


def test_no_reference_stands_in_the_place_of_another(git: Git) -> None:
    for reference in ("refs/tags/main", "refs/tags/HEAD", f"refs/tags/{'a' * 40}"):
        refused = git("push", "origin", f"HEAD:{reference}")
        assert "would be taken for something else" in refused.stderr, reference


def test_the_app_spec_is_no_way_around_a_gray_release(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    assert push(git, clone, gray(0), TAKEN_BACK) == ""
    app = {"app.yaml": APP.replace("{ports", f"{{image: '{B}', ports")}
    without = {PATH: STABLE.replace(f"image: '{A}'", "replicas: 2")}
    assert "to change by a gray release" in push(git, clone, {**app, **without})
    git("reset", "--quiet", "--hard", "origin/main")
    assert push(git, clone, {"app.yaml": APP.replace("{ports", f"{{image: '{A}', ports")}, without) == ""
    assert "to change by a gray release" in push(git, clone, app)


def test_the_app_spec_may_get_components_and_take_images_back(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    worker = {"app.yaml": f"{APP}  worker: {{image: '{A}'}}\n"}
    newer = {"app.yaml": worker["app.yaml"].replace(A, C)}
    assert push(git, clone, worker) == ""
    assert push(git, clone, newer, gray(0), TAKEN_BACK, {"app.yaml": APP}) == ""
    assert push(git, clone, newer, worker) == ""
    other = {"app.yaml": worker["app.yaml"].replace(A, B)}
    assert "image of 'worker' to change by a gray release" in push(git, clone, {"app.yaml": APP}, other)
    git("reset", "--quiet", "--hard", "origin/main")
    assert push(git, clone, {"app.yaml": f"{APP}  batch: {{image: '{A}'}}\n"}) == ""


def test_a_component_that_takes_the_place_of_another_replaces_it(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    assert push(git, clone, gray(0), TAKEN_BACK) == ""
    renamed = {
        "app.yaml": APP.replace("  web:", "  site:"),
        PATH: STABLE.replace("web:", "site:").replace(A, B),
    }
    assert "image of 'site' to change by a gray release" in push(git, clone, renamed)


def test_what_the_app_spec_said_for_others_did_not_serve(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    app = {"app.yaml": APP.replace("{ports", f"{{image: '{B}', ports")}
    without = {PATH: STABLE.replace(f"image: '{A}'", "replicas: 2")}
    assert push(git, clone, gray(0), TAKEN_BACK, app) == ""
    assert "to change by a gray release" in push(git, clone, without)


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_a_file_that_was_emptied_is_no_first_release(text: str, git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    assert push(git, clone, gray(0), {PATH: text}) == ""
    assert "before the promotion" in push(git, clone, STRAIGHT)
