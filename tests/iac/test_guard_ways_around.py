"""Ways around the guard that somebody could think of, by real pushes to a real server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from guarded import APP, PATH, STABLE, TOKEN, A, B, Git, gray, push, save

BAD = STABLE.replace(A, "r/web:latest")


def stage(git: Git, path: str, mode: str, content: str) -> None:
    """Commit one file with a mode; for a submodule the content is the commit."""
    if mode != "160000":
        Path(git("rev-parse", "--show-toplevel").stdout.strip(), ".git/x").write_text(content)
        content = git("hash-object", "-w", ".git/x").stdout.strip()
    git("update-index", "--add", "--cacheinfo", f"{mode},{content},{path}")
    git("commit", "--quiet", "--message=change")


def refused(git: Git, *refs: str) -> str:
    """What the server says to a push; nothing if it takes it."""
    done = git("push", "origin", *(refs or ("main",)))
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize(
    ("path", "mode", "content", "told"),
    [
        ("environments/eu.yaml", "120000", "../app.yaml", "a symbolic link: what it leads to is not checked"),
        ("environments/sub", "160000", "1" * 40, "a submodule: what it leads to is not checked"),
    ],
)
def test_links_lead_nowhere(git: Git, path: str, mode: str, content: str, told: str) -> None:
    stage(git, path, mode, content)
    assert f"{path}: {told}" in refused(git)


def test_an_encoding_hides_nothing(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for content in (BAD.encode("utf-16"), BAD.encode() + b"# \xff\n"):
        (clone / PATH).write_bytes(content)
        save(git, clone, {})
        assert f"{PATH}: expected text in UTF-8" in refused(git)
        git("reset", "--quiet", "--hard", "origin/main")
    for content in (TOKEN.encode("utf-16"), b"\xff\n" + TOKEN.encode(), b"\0" + TOKEN.encode()):
        (clone / "environments/notes").write_bytes(content)
        save(git, clone, {})
        assert "this looks like a GitLab token" in refused(git)
        git("reset", "--quiet", "--hard", "origin/main")


def test_a_name_that_is_not_utf_8_hides_nothing(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    (clone / os.fsdecode(b"environments/\xff.yaml")).write_text(BAD)
    (clone / "environments/a\nb.yaml").write_text(BAD)
    (clone / "environments/a b missing.yaml").write_text(BAD)
    save(git, clone, {})
    assert refused(git).count("expected an image pinned by digest") == 3


def test_a_line_that_makes_it_look_like_a_manifest_does_not(git: Git, tmp_path: Path) -> None:
    text = BAD.replace("web: {", 'web: {command: ["x\napiVersion: y"], ')
    assert "pinned by digest" in push(git, tmp_path / "clone", {PATH: text})
    git("reset", "--quiet", "--hard", "origin/main")
    assert "unknown key 'apiVersion'" not in push(
        git, tmp_path / "clone", {"environments/t.yaml": "apiVersion: v1\n"}
    )


def test_a_gray_release_is_what_was_judged(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    assert push(git, clone, gray(0), gray(5)) == ""
    other = {PATH: gray(5)[PATH].replace(B, f"r/web@sha256:{'c' * 64}")}
    assert "the new version of gray release 13 was changed in its midst" in push(git, clone, other)
    git("reset", "--quiet", "--hard", "origin/main")
    promoted = {PATH: STABLE.replace(A, B).replace("12", "13")}
    again = {PATH: other[PATH].replace("weight: 5", "weight: 0")}
    assert push(git, clone, again, gray(0), gray(5)) == ""
    assert "expected the weight 25 before the promotion, it was 5" in push(git, clone, promoted)
    git("reset", "--quiet", "--hard", "origin/main")
    assert push(git, clone, {PATH: STABLE}) == ""  # taken back


def test_a_merge_does_not_bring_back_what_was(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    assert push(git, clone, gray(0), gray(5), gray(25)) == ""
    git("checkout", "--quiet", "HEAD~1")
    git("merge", "--quiet", "--strategy=ours", "--message=merge", "main")
    assert "rises, found 5 after 25" in refused(git, "HEAD:main")


def test_a_merge_of_what_others_pushed_is_no_change_of_ours(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    bare = str(tmp_path / "iac.git")
    save(git, clone, {"other/file": "1\n"})
    git("--git-dir", bare, "fetch", "--quiet", str(clone), "main:main")  # by somebody who may
    git("reset", "--quiet", "--hard", "HEAD^")
    save(git, clone, gray(0))
    assert git("pull", "--quiet", "--no-rebase", "--no-edit", "origin", "main").returncode == 0
    assert refused(git) == ""


def test_references_are_no_way_around(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    save(git, clone, {PATH: BAD})
    assert "pinned by digest" in refused(git, "HEAD:refs/tags/v1")
    git("--git-dir", str(tmp_path / "iac.git"), "fetch", "--quiet", str(clone), "HEAD:refs/tags/v1")
    assert "pinned by digest" in refused(git, "HEAD:refs/heads/new")
    assert "tag 'v1' would be moved" in refused(git, "+HEAD^:refs/tags/v1")
    assert "tag 'v1' would be deleted" in refused(git, "--delete", "v1")
    old = git("rev-parse", "HEAD^:environments/production.yaml").stdout.strip()
    assert "objects would be replaced" in refused(git, f"HEAD:refs/replace/{old}")
    assert refused(git, "HEAD^:refs/tags/v2") == ""


def test_branches_of_requests_may_be_rewritten_but_hold_nothing_bad(git: Git, tmp_path: Path) -> None:
    clone, request = tmp_path / "clone", "HEAD:refs/heads/pipegraft/shop/production"
    save(git, clone, gray(0))
    assert refused(git, request) == ""
    git("commit", "--quiet", "--amend", "--message=again")
    assert refused(git, f"+{request}") == ""
    save(git, clone, {PATH: BAD})
    assert "pinned by digest" in refused(git, f"+{request}")
    assert refused(git, "--delete", "pipegraft/shop/production") == ""


def test_an_app_spec_and_its_environments_fit_together(git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    (clone / "app.yaml").unlink()
    assert f"app.yaml: its environments stay without it: {PATH}" in push(git, clone, {})
    git("reset", "--quiet", "--hard", "origin/main")
    other = {"app.yaml": APP.replace("web:", "shop:")}
    assert f"{PATH}:2:" in push(git, clone, other)


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        (
            "environments/secret.yaml",
            "apiVersion: v1\nkind: Secret\ndata: {password: aHVudGVyMg==}\n",
            "a Secret with its",
        ),
        (
            PATH,
            STABLE.replace("web: {", "web: {env: {DB_PASSWORD: hunter2}, "),
            "'DB_PASSWORD' looks like a secret",
        ),
        (".pipegraft/production.yaml", "releases: {}\n", "unknown key 'releases'"),
        (
            "environments/rendered/production/manifests.yaml",
            "kind: Pod\nspec: {containers: [{image: 'a:1'}]}\n",
            "found 'a:1'",
        ),
        (
            "environments/rendered/k.yaml",
            "images: [{name: a, newTag: v1}]\n",
            "expected 'a' with a digest, found 'v1'",
        ),
        ("environments/large", "x" * 16_000_001, "expected at most 16 MB, found 16"),
    ],
    ids=["secret", "variable", "state", "manifest", "kustomize", "large"],
)
def test_odd_places(git: Git, tmp_path: Path, path: str, text: str, told: str) -> None:
    assert told in push(git, tmp_path / "clone", {path: text})


def test_what_is_no_secret_passes(git: Git, tmp_path: Path) -> None:
    env = "DB_PASSWORD: {secret: db, key: password}, MAX_TOKEN: '5', API_KEY: '${KEY}'"
    text = STABLE.replace("web: {", f"web: {{env: {{{env}}}, ")
    named = "components:\n  web:\n    env:\n      PUBLIC_API_KEY: pk-1 # pipegraft:not-secret\n"
    sealed = "apiVersion: v1\nkind: Secret\ndata: {a: 'ENC[AES256_GCM,data:x]'}\nsops: {version: '3'}\n"
    files = {PATH: text, "environments/dev.yaml": named, "environments/sealed.yaml": sealed}
    assert push(git, tmp_path / "clone", files) == ""


def test_a_secret_in_a_message_is_found(git: Git, tmp_path: Path) -> None:
    save(git, tmp_path / "clone", gray(0))
    git("commit", "--quiet", "--amend", "--message=use AKIAABCDEFGHIJKLMNOP for it")
    assert "this looks like an AWS access key" in refused(git)
