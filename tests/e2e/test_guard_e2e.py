"""The guard on servers that are set up as docs/security.md says, and random histories by real pushes."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from git_histories import ZERO, grow, play
from git_servers import GitServer, http_server, make_bare, ssh_server
from guarded import APP, PATH, STABLE, A

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
BAD = STABLE.replace(A, "r/web:latest")
FILES = {"app.yaml": APP, PATH: STABLE, ".pipegraft/guard.yaml": "pushers: {ann: ['*'], '*': ['app.yaml']}\n"}
GITALY = """\
#!/bin/sh
# as Gitaly and Gitea do: everything executable there, one after another, with what is pushed on its input
given=$(cat)
export GL_USERNAME=ann
for hook in custom_hooks/pre-receive.d/*; do
  if [ -x "$hook" ]; then printf '%s\\n' "$given" | "$hook" || exit 1; fi
done
"""
GITEA = (
    GITALY.replace("Gitaly", "Gitea")
    .replace("custom_hooks", "hooks")
    .replace("GL_USERNAME", "GITEA_PUSHER_NAME")
)


def set_up(kind: str, bare: Path) -> None:
    """Run the page's commands in the repository's folder."""
    found = re.search(rf"<!-- set-up: {kind} -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    assert found
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", found[1]], cwd=bare, env={**os.environ, "PATH": path}, check=True)


def pushed(url: str, folder: Path, files: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """Clone, commit and push; answers what the server said if it refused."""
    person = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **person, **variables}

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-C", str(folder), *words], env=environment, capture_output=True, text=True, check=False
        )

    if not folder.exists():
        done = subprocess.run(["git", "clone", "--quiet", url, str(folder)], env=environment, check=True)
        assert done.returncode == 0
    git("reset", "--quiet", "--hard", "origin/main")
    for path, text in files.items():
        (folder / path).write_text(text)
    git("commit", "--quiet", "--all", "--message=change")
    done = git("push", "--quiet", "origin", "HEAD:main")
    return done.stderr if done.returncode else ""


def is_guarded(url: str, folder: Path, variables: Mapping[str, str]) -> None:
    assert "pinned by digest" in pushed(url, folder, {PATH: BAD}, variables)
    assert pushed(url, folder, {PATH: STABLE.replace("12", "13")}, variables) == ""


def person_of(server: GitServer) -> dict[str, str]:
    """What git itself needs to reach the server."""
    if "PIPEGRAFT_IAC_SSH_KEY" in server.variables:
        key = server.variables["PIPEGRAFT_IAC_SSH_KEY"]
        return {"GIT_SSH_COMMAND": f"{server.variables['GIT_SSH_COMMAND']} -i {key} -o IdentitiesOnly=yes"}
    return {}


def test_a_server_that_is_set_up_as_the_page_says_is_guarded(tmp_path: Path) -> None:
    with http_server(tmp_path / "http") as server:
        set_up("plain", make_bare(server.repositories, FILES))
        user, password = server.variables["PIPEGRAFT_IAC_USER"], server.variables["PIPEGRAFT_IAC_TOKEN"]
        url = server.url.replace("://", f"://{user}:{password}@")
        assert "may not change this file" in pushed(
            f"{url}/iac.git", tmp_path / "http-clone", {PATH: BAD}, {}
        )
    for kind, runner in (("gitlab", GITALY), ("gitea", GITEA)):
        (tmp_path / kind).mkdir()
        bare = make_bare(tmp_path / kind, FILES)
        (bare / "hooks" / "pre-receive.d").mkdir()
        (bare / "hooks" / "pre-receive").write_text(runner)
        (bare / "hooks" / "pre-receive").chmod(0o755)
        set_up(kind, bare)
        is_guarded(str(bare), tmp_path / f"{kind}-clone", {})


def test_over_ssh_each_key_is_somebody(tmp_path: Path) -> None:
    line = re.search(r"<!-- set-up: ssh -->\n```text\n(.*)\n```", PAGE)
    assert line
    with ssh_server(tmp_path / "ssh") as server:
        set_up("plain", make_bare(server.repositories, FILES))
        keys = tmp_path / "ssh" / "key.pub"
        bare_key, url = keys.read_text().strip(), f"{server.url}/iac.git"
        told = pushed(url, tmp_path / "clone", {PATH: STABLE.replace("12", "13")}, person_of(server))
        assert "may not change this file" in told
        keys.write_text(line[1].replace("KEY", bare_key) + "\n")
        is_guarded(url, tmp_path / "clone", person_of(server))


@pytest.mark.parametrize("seed", range(4))
def test_the_hooks_verdict_on_any_history_is_the_oracles(seed: int, tmp_path: Path) -> None:
    """Pushes of commits, merges, reverts, cherry-picks, new roots and odd references, from odd clones too."""
    chance = random.Random(1000 + seed)
    world = grow(chance, tmp_path / "client", 16)
    bare = tmp_path / "iac.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True)

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PIPEGRAFT_PUSHER": "tester"}
        words = ("git", "-C", str(world.client), *words)
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    assert git("push", "--quiet", str(bare), f"{world.names[0]}:refs/heads/main").returncode == 0
    set_up("plain", bare)
    world.held = {"refs/heads/main": 0}
    if chance.random() < 0.5:  # what the client takes for other objects is no matter of the server
        git("replace", "--force", world.names[1], world.names[2])
        git("update-ref", "refs/replace/x", world.names[2])

    def verdict(updates: Sequence[tuple[str, str, str]]) -> bool:
        words = [f":{ref}" if new == ZERO else f"+{new}:{ref}" for _, new, ref in updates]
        done = git("push", "--quiet", str(bare), *words)
        assert "Traceback" not in done.stderr
        assert "defect" not in done.stderr
        return done.returncode != 0

    play(world, chance, 10, verdict)
