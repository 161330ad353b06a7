"""Many bumps at once: a commit each, one push together, and one that is refused stops no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from git_http import HttpGit, serve

from pipegraft.app.bump import Bumped, BumpOrder, bump_all, worst
from pipegraft.app.plugins import installed_plugins
from pipegraft.cli import run
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import UsageError, Vetoed
from pipegraft.core.ports import RecordingProgress
from pipegraft.core.release import BuiltImage, Release, Source
from pipegraft.core.stage import Project

APPS = ("cart", "shop", "till")
ENVIRONMENTS = ("staging", "production")
DELIVERY = """\
app: APP
registry: registry.example.com/APP
components: {web: {path: web, command: [cat]}}
iac: {repository: "URL", path: apps/APP}
environments:
  staging: {gate: {engine: embedded, application: APP, state: .engine}}
  production: {gate: {engine: embedded, application: APP, state: .engine}}
"""


def git(folder: Path, *words: str, stdin: str = "") -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        input=stdin,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpGit]:
    bare = tmp_path / "iac.git"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main")
    git(bare, "config", "http.receivepack", "true")
    git(bare, "config", "uploadpack.allowFilter", "true")
    stream = "commit refs/heads/main\ncommitter Ada <ada@example.com> 1700000000 +0000\ndata 5\nfirst\n"
    for app in APPS:
        text = f"app: {app}\ncomponents: {{web: {{ports: {{http: 80}}}}}}\n"
        stream += f"M 100644 inline apps/{app}/app.yaml\ndata {len(text)}\n{text}\n"
    git(bare, "fast-import", "--quiet", stdin=stream)
    with serve(tmp_path) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, server: HttpGit) -> Callable[[str, int], Project]:
    """Makes the source repository of an application that has built a release."""

    def make(app: str, number: int) -> Project:
        folder = tmp_path / app
        (folder / "web").mkdir(parents=True, exist_ok=True)
        text = DELIVERY.replace("APP", app).replace("URL", f"{server.url}/iac.git")
        (folder / "delivery.yaml").write_text(text)
        if not (folder / ".git").exists():
            git(folder, "init", "--quiet")
            git(folder, "add", "delivery.yaml")
            git(folder, "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "v1")
        digest = f"sha256:{number:064x}"
        image = BuiltImage(
            reference=f"registry.example.com/{app}/web@{digest}",
            digest=digest,
            input_hash=f"ih-{number:064x}",
            builder="fake",
            built=True,
        )
        source = Source(commit=git(folder, "rev-parse", "HEAD"), number=number)
        record = Release(app=app, source=source, images={"web": image})
        (folder / ".pipegraft").mkdir(exist_ok=True)
        (folder / ".pipegraft" / "release.json").write_text(record.model_dump_json())
        return open_project(folder, installed_plugins())

    return make


def outcomes(results: list[Bumped]) -> list[tuple[str, str, str]]:
    return [
        (one.app, one.environment, one.commit.outcome if one.commit else type(one.error).__name__)
        for one in results
    ]


def test_each_release_is_a_commit_and_all_are_one_push(
    tmp_path: Path, server: HttpGit, project: Callable[[str, int], Project]
) -> None:
    projects = [project(app, 7) for app in APPS]
    progress = RecordingProgress()
    results = bump_all(BumpOrder(projects, ENVIRONMENTS, verify=False), progress)
    assert outcomes(results) == [(app, env, "written") for app in APPS for env in ENVIRONMENTS]
    assert worst(results) == 0
    assert [one for one in server.requests if one.startswith("POST") and "receive-pack" in one] == [
        "POST /iac.git/git-receive-pack"
    ]
    assert len(server.requests) <= 7
    bare = tmp_path / "iac.git"
    names = git(bare, "log", "--reverse", "--format=%H", "main").split()[1:]
    assert [one.commit.commit for one in results if one.commit] == names
    for name, one in zip(names, results, strict=True):
        path = f"apps/{one.app}/environments/{one.environment}.yaml"
        assert git(bare, "diff-tree", "-r", "--no-commit-id", "--name-only", name) == path
        assert f"Pipegraft-App: {one.app}" in git(bare, "log", "-1", "--format=%B", name)
    git(bare, "fsck", "--strict")
    held = json.loads((tmp_path / "till" / ".pipegraft" / "release.json").read_text())
    assert {env: held["environments"][env]["bump"]["commit"] for env in ENVIRONMENTS} == dict(
        zip(ENVIRONMENTS, names[-2:], strict=True)
    )
    again = bump_all(BumpOrder(projects, ENVIRONMENTS, verify=False), progress)
    assert {outcome for _, _, outcome in outcomes(again)} == {"unchanged"}
    assert [one.commit.commit for one in again if one.commit] == names


def test_what_is_refused_does_not_stop_the_others(
    tmp_path: Path, project: Callable[[str, int], Project]
) -> None:
    first = [project(app, 7) for app in APPS]
    bump_all(BumpOrder(first[:1], ["production"], verify=False), RecordingProgress())
    delivery = tmp_path / "shop" / "delivery.yaml"
    delivery.write_text(delivery.read_text().replace("apps/shop", "apps/till"))  # another one's folder
    mixed = [project("cart", 6), open_project(tmp_path / "shop", installed_plugins()), first[2]]
    results = bump_all(BumpOrder(mixed, ["production", "nowhere"], verify=False), RecordingProgress())
    assert outcomes(results) == [
        ("cart", "production", "superseded"),
        ("cart", "nowhere", "UsageError"),
        ("shop", "production", "ConfigError"),
        ("shop", "nowhere", "UsageError"),
        ("till", "production", "written"),
        ("till", "nowhere", "UsageError"),
    ]
    assert worst(results) == UsageError.exit_code


def test_others_commit_between_and_nothing_is_lost(
    tmp_path: Path, server: HttpGit, project: Callable[[str, int], Project]
) -> None:
    bare = tmp_path / "iac.git"
    raced: list[str] = []

    def race(method: str, path: str) -> None:
        if method == "POST" and path.endswith("receive-pack") and not raced:
            tree = git(bare, "rev-parse", "main^{tree}")
            commit = ("-c", "user.name=B", "-c", "user.email=b@b.c", "commit-tree", "-p", "main", tree)
            raced.append(git(bare, *commit, stdin="theirs"))
            git(bare, "update-ref", "refs/heads/main", raced[0])

    server.before = race
    results = bump_all(
        BumpOrder([project(app, 7) for app in APPS], ENVIRONMENTS, verify=False), RecordingProgress()
    )
    assert {outcome for _, _, outcome in outcomes(results)} == {"written"}
    assert git(bare, "rev-list", "--count", "main") == str(1 + 1 + len(results))
    assert git(bare, "merge-base", raced[0], "main") == raced[0]


def test_an_outside_failure_is_everybodys(server: HttpGit, project: Callable[[str, int], Project]) -> None:
    projects = [project(app, 7) for app in APPS[:2]]
    server.before = lambda _method, _path: 403
    results = bump_all(BumpOrder(projects, ["staging"], verify=False), RecordingProgress())
    assert outcomes(results) == [(app, "staging", "AccessDenied") for app in APPS[:2]]
    assert worst(results) == 3


def test_the_command_shows_and_refuses(
    tmp_path: Path, project: Callable[[str, int], Project], capsys: pytest.CaptureFixture[str]
) -> None:
    for app in APPS[:2]:
        project(app, 7)
        delivery = tmp_path / app / "delivery.yaml"
        delivery.write_text(delivery.read_text().replace("registry.example.com", "oci:registry"))
    words = ["bump", str(tmp_path / "cart"), str(tmp_path / "shop"), "--env", "staging"]
    assert run([*words, "--json"]) == 2
    shown = capsys.readouterr()
    assert [(one["app"], one["outcome"]) for one in json.loads(shown.out)] == [
        ("cart", "refused"),
        ("shop", "refused"),
    ]
    assert "shop in staging: expected the registry to hold the image of 'web'" in shown.err


PUSH_RULES = """\
#!/bin/sh
while read old new ref; do
  for commit in $(git rev-list $old..$new); do
    said=$(git log -1 --format='%an <%ae> %cn <%ce>' $commit)
    git log -1 --format=%s $commit | grep -qE '^(feat|fix)\\([a-z]+\\): OPS-[0-9]+ ' \\
      || { echo 'no ticket' >&2; exit 1; }
    [ "$said" = 'Ada Lovelace <ada@b.cc> Bot <bot@b.cc>' ] || { echo "who is $said?" >&2; exit 1; }
  done
done
"""


def test_a_server_with_push_rules_takes_every_commit_in_the_words_of_the_delivery(
    tmp_path: Path,
    server: HttpGit,
    project: Callable[[str, int], Project],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = tmp_path / "iac.git"
    (bare / "hooks").mkdir(exist_ok=True)
    (bare / "hooks" / "pre-receive").write_text(PUSH_RULES)
    (bare / "hooks" / "pre-receive").chmod(0o755)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    (refused,) = bump_all(BumpOrder([project("shop", 7)], ["staging"], verify=False), RecordingProgress())
    assert isinstance(refused.error, Vetoed)
    assert "no ticket" in str(refused.error)
    assert "'iac.commit'" in refused.error.problem.fix

    words = (
        "commit: {message: 'feat({{ app }}): {{ variables.TICKET }} {{ subject }}', "
        "author: Ada Lovelace <ada@b.cc>, committer: Bot <bot@b.cc>}"
    )
    text = DELIVERY.replace("path: apps/APP}", f"path: apps/APP, {words}}}")
    monkeypatch.setattr(sys.modules[__name__], "DELIVERY", text)
    projects = [project(app, 7) for app in ("shop", "till")]
    (unsaid, _) = bump_all(BumpOrder(projects, ["staging"], verify=False), RecordingProgress())
    assert "TICKET" in str(unsaid.error)
    assert f"{tmp_path}/shop/delivery.yaml:4:" in str(unsaid.error)

    monkeypatch.setenv("TICKET", "OPS-12")
    pushes = len(server.requests)
    results = bump_all(BumpOrder(projects, ["staging"], verify=False), RecordingProgress())
    assert outcomes(results) == [("shop", "staging", "written"), ("till", "staging", "written")], results
    assert len([one for one in server.requests[pushes:] if "git-receive-pack" in one and "POST" in one]) == 1
    promotion = BumpOrder(projects[:1], ["production"], origin="staging", verify=False)
    assert outcomes(bump_all(promotion, RecordingProgress())) == [("shop", "production", "written")]
    newer = BumpOrder([project("shop", 8)], ["staging"], verify=False)
    assert outcomes(bump_all(newer, RecordingProgress())) == [("shop", "staging", "written")]
    assert run(["rollback", "--directory", str(tmp_path / "shop"), "--env", "staging"]) == 0
    capsys.readouterr()
    assert git(bare, "log", "--format=%s", "-5", "main").splitlines() == [
        "feat(shop): OPS-12 shop: take back release 8 in staging",
        "feat(shop): OPS-12 shop: release 8 in staging",
        "feat(shop): OPS-12 shop: release 7 in production",
        "feat(till): OPS-12 till: release 7 in staging",
        "feat(shop): OPS-12 shop: release 7 in staging",
    ]
    assert "Pipegraft-Step: rollback" in git(bare, "log", "--format=%(trailers)", "-1", "main")
