"""Where the IaC repository's token goes: to its own host, encrypted, and nowhere that a server names."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipegraft.core.errors import AccessDenied, PipegraftError, UsageError
from pipegraft.iac.adapters.git import clone_newest, open_branch
from pipegraft.iac.adapters.git.access import iac_token
from pipegraft.iac.adapters.gitlab import GitLabBranch, open_gitlab_project

SECRET = "marked-t0ken-7f3a"


@contextmanager
def serving(location: str = "") -> Iterator[tuple[str, list[str]]]:
    """A server that sends everybody to `location`, or says no, and what it was sent."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path} {dict(self.headers)}")
            self.send_response(302 if location else 404)
            if location:
                self.send_header("Location", f"{location}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the standard library's name

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIPEGRAFT_IAC_TOKEN": SECRET}


def test_git_follows_no_redirect_with_the_token(tmp_path: Path, variables: dict[str, str]) -> None:
    with serving() as (elsewhere, stolen), serving(elsewhere) as (server, asked):
        branch = open_branch(f"{server}/iac.git", "main", tmp_path, environment=variables)
        with pytest.raises(AccessDenied, match="another address") as caught:
            branch.tip()
        with pytest.raises(PipegraftError):
            clone_newest(f"{server}/iac.git", "main", tmp_path / "clone", variables)
    assert asked
    assert not stolen
    assert SECRET not in str(caught.value)
    assert "iac.repository" in caught.value.problem.fix


def test_the_api_follows_no_redirect_with_the_token(variables: dict[str, str]) -> None:
    with serving() as (elsewhere, stolen), serving(elsewhere) as (server, asked):
        branch = GitLabBranch(open_gitlab_project(f"{server}/iac/shop.git", variables), "main")
        with pytest.raises(PipegraftError) as caught:
            branch.tip()
    assert asked
    assert not stolen
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["http://git.example.com/iac.git", "http://10.1.2.3:8080/iac.git"])
def test_no_credentials_travel_in_the_clear_unless_said(
    url: str, tmp_path: Path, variables: dict[str, str]
) -> None:
    with_password = url.replace("://", f"://bot:{SECRET}@")
    del variables["PIPEGRAFT_IAC_TOKEN"]
    for address, more in ((url, {"PIPEGRAFT_IAC_TOKEN": SECRET}), (with_password, {})):
        with pytest.raises(UsageError, match="expected https for credentials") as caught:
            open_branch(address, "main", tmp_path, environment={**variables, **more})
        assert SECRET not in str(caught.value)
        said = {**variables, **more, "PIPEGRAFT_IAC_INSECURE": "true"}
        open_branch(address, "main", tmp_path, environment=said).close()
    with pytest.raises(UsageError, match="expected https"):
        open_gitlab_project(url, {"PIPEGRAFT_IAC_TOKEN": SECRET})


def test_a_token_goes_to_its_own_host_alone() -> None:
    variables = {"PIPEGRAFT_IAC_TOKEN": SECRET, "PIPEGRAFT_IAC_HOST": "git.example.com"}
    assert iac_token("https://GIT.example.com/iac.git", variables) == SECRET
    for url in ("https://git.example.com.evil.org/x.git", "https://git.example.com@evil.org/x.git"):
        with pytest.raises(UsageError, match="PIPEGRAFT_IAC_TOKEN belongs to") as caught:
            iac_token(url, variables)
        assert SECRET not in str(caught.value)
