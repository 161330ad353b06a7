"""Servers that repeat whatever they are shown: no secret leaves the process, by whatever way."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipegraft.cli import run

ROOT = Path(__file__).parent.parent.parent
NAMES = re.compile(r"\b(?:PIPEGRAFT|ARGOCD|CI|PROMETHEUS)_[A-Z_]*(?:TOKEN|PASSWORD|SECRET)\b")


class Echo(BaseHTTPRequestHandler):
    """Refuses everything, in the words of whoever asks."""

    heard: set[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = " ".join(f"{name}={value}" for name, value in self.headers.items())
        self.heard.update(
            value for name, value in self.headers.items() if "uth" in name or "oken" in name.lower()
        )
        body = {"message": f"no, {said}", "error": said, "errors": [{"code": "DENIED", "message": said}]}
        self.send_response(403, said[:60].replace("\n", " "))
        content = json.dumps(body).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - names of the standard library

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[tuple[str, set[str]]]:
    heard: set[str] = set()
    handler = type("Handler", (Echo,), {"heard": heard})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", heard
        server.shutdown()
        thread.join()


def documented() -> set[str]:
    """Variables with the name of a secret that the documentation names."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return {name for page in pages for name in NAMES.findall(page.read_text())}


DELIVERY = """app: shop
registry: HOST/shop
components: {web: {path: web}}
iac: {repository: 'http://HOST/iac.git'}
environments:
  production:
    gate: {engine: argocd, application: shop, server: 'http://HOST', timeout: 1s}
"""


def test_whatever_servers_repeat_no_secret_leaves_the_process(
    echo: tuple[str, set[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    host, heard = echo
    names = documented()
    assert {"PIPEGRAFT_IAC_TOKEN", "PIPEGRAFT_REGISTRY_PASSWORD", "PIPEGRAFT_GITLAB_TOKEN"} <= names
    for name in names:
        monkeypatch.setenv(name, f"mark-{name.lower()}-0123456789")
    for name, value in {
        "PIPEGRAFT_IAC_HOST": host,
        "PIPEGRAFT_REGISTRY": host,
        "PIPEGRAFT_REGISTRY_USER": "me",
        "CI_SERVER_URL": f"http://{host}",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    source = tmp_path / "source"
    (source / "web").mkdir(parents=True)
    (source / "web/a").write_text("a\n")
    (source / "delivery.yaml").write_text(DELIVERY.replace("HOST", host))
    for words in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "a"),
    ):
        subprocess.run(["git", *words], cwd=source, check=True)
    monkeypatch.chdir(source)
    codes = [
        run(words)
        for words in (
            ["run", "image-build"],
            ["run", "iac-bump", "--env", "production"],
            ["run", "sync-gate", "--env", "production"],
            ["audit", "--env", "production"],
            ["audit", f"http://{host}/iac.git", "--json"],
            ["status", f"http://{host}/iac.git"],
            ["doctor"],
            ["doctor", "--json"],
            ["fleet", "status", "--group", "acme"],
        )
    ]
    told = capfd.readouterr()
    assert 70 not in codes, told.err
    written = "".join(path.read_text(errors="replace") for path in source.rglob("*") if path.is_file())
    everything = told.out + told.err + written
    assert codes.count(3) > 3, codes
    assert len(heard) > 2, "too little was shown to the servers"
    assert "mark-" not in everything
    for one in heard:
        assert one.rpartition(" ")[2] not in everything
    assert "[secret]" in everything
