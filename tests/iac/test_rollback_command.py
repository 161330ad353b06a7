"""`pipegraft rollback` on a real repository, waiting for an engine over HTTP."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from program import pipegraft

SHOP = Path(__file__).parents[2] / "examples" / "shop"
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shop with two releases in production."""
    shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns(".pipegraft", "iac"))
    shutil.copytree(SHOP / "iac", tmp_path / "draft")
    for folder in (tmp_path / "shop", tmp_path / "draft"):
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
            subprocess.run([*GIT, "-C", str(folder), *words], check=True)
    bare = str(tmp_path / "shop-iac.git")
    subprocess.run([*GIT, "clone", "-q", "--bare", str(tmp_path / "draft"), bare], check=True)
    shop = tmp_path / "shop"
    for number, change in (("1", ""), ("2", "# another version\n")):
        with (shop / "services" / "web" / "web.py").open("a") as source:
            source.write(change)
        subprocess.run([*GIT, "-C", str(shop), "commit", "-qam", "next", "--allow-empty"], check=True)
        for stage in (["image-build"], ["iac-bump", "--env", "production"]):
            done = call(shop, "run", *stage, PIPEGRAFT_RELEASE_NUMBER=number)
            assert done.returncode == 0, done.stderr
    return shop


def call(shop: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CI", "PIPEGRAFT_"))}
    return pipegraft(*words, folder=shop, environment={**kept, **variables})


def tip(shop: Path) -> str:
    words = [*GIT, "-C", str(shop.parent / "shop-iac.git"), "rev-parse", "main"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def engine(shop: Path) -> Iterator[Callable[[str], None]]:
    """An engine that has the newest commit; the function says how well it is."""
    health = ["healthy"]

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            now = tip(shop)
            degraded = {"kind": "workload", "name": "web", "health": "degraded", "message": "exits at once"}
            status = {
                "revision": {"observed": now, "desired": now, "live": now},
                "health": health[0],
                "message": "",
                "problems": [],
                "trouble": [],
                "resources": [{**degraded, "evidence": []}] if health[0] == "degraded" else [],
            }
            content = json.dumps(status).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the name is the HTTP method's

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        (shop.parent / "engine").mkdir()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        (shop.parent / "engine" / "engine.json").write_text(json.dumps({"url": url}))
        yield lambda word: health.__setitem__(0, word)
        server.shutdown()
        thread.join()


def test_a_rollback_ends_when_the_engine_has_it(shop: Path, engine: Callable[[str], None]) -> None:
    done = call(shop, "rollback", "--env", "production", "--wait")
    assert done.returncode == 0, done.stderr
    assert "took back release 2 in production" in done.stdout
    assert f"commit {tip(shop)}" in done.stdout


def test_one_that_the_engine_does_not_take_is_exit_code_1(shop: Path, engine: Callable[[str], None]) -> None:
    engine("degraded")
    done = call(shop, "rollback", "--env", "production", "--wait")
    assert done.returncode == 1, done.stderr
    assert f"commit {tip(shop)}" in done.stdout
    assert "web exits at once" in done.stderr


def test_a_dry_run_has_nothing_to_wait_for(shop: Path) -> None:
    before = tip(shop)
    done = call(shop, "rollback", "--env", "production", "--wait", "--dry-run")
    assert (done.returncode, tip(shop)) == (2, before)
    assert "--wait has nothing to wait for" in done.stderr


def test_another_number_releases_the_same_commit_again(shop: Path) -> None:
    def bump(stages: str, number: str | None = None) -> str:
        numbered = {"PIPEGRAFT_RELEASE_NUMBER": number} if number else {}
        for stage in stages.split():
            words = [stage] if stage == "image-build" else [stage, "--env", "production"]
            done = call(shop, "run", *words, **numbered)
            assert done.returncode == 0, done.stderr
        return done.stderr

    assert call(shop, "rollback", "--env", "production").returncode == 0
    assert "superseded: release 2 was rolled back, and 2 is not newer" in bump("iac-bump")
    assert "release 3 in production" in bump("iac-bump", "3")
    assert "unchanged" in bump("iac-bump")  # the record goes on with the number that it was given
    assert call(shop, "rollback", "--env", "production").returncode == 0
    assert "release 4 in production" in bump("image-build iac-bump", "4")
