"""Servers that repeat whatever they are shown: no secret leaves the process, by whatever way."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from git_http import serve

from pipegraft.cli import run
from pipegraft.core.adapters import tracing
from pipegraft.core.release import BuiltImage, Release, Source

ROOT = Path(__file__).parent.parent.parent
NAMES = re.compile(r"\b(?:PIPEGRAFT|ARGOCD|CI|PROMETHEUS)_[A-Z_]*(?:TOKEN|PASSWORD|SECRET)\b")


MARK = "Mark0123456789"
"""What no text holds by chance: in the midst of every secret, and the same in addresses, JSON and pages."""


def marked(name: str) -> str:
    """A secret with characters that each notation writes in its own way."""
    return f'{name.lower()}/+"<{MARK}>&z='


def repeated(value: str) -> str:
    """A text in the forms in which servers repeat it."""
    texts = [value]
    if value.startswith("Basic "):
        texts.append(base64.b64decode(value[6:]).decode())
    forms = [
        form
        for text in texts
        for form in (
            text,
            quote(text),
            quote(text, safe="").lower(),
            base64.b64encode(text.encode()).decode(),
            base64.urlsafe_b64encode(f"x:{text}:yz".encode()).decode(),
            json.dumps(text),
        )
    ]
    return " ".join(forms)


def leaks(content: bytes) -> list[str]:
    """Where a mark stands in what was written: plain, in an address's form, or in base64."""
    text = unquote(content.decode("utf-8", "replace"))
    found = [text[max(at.start() - 60, 0) : at.end() + 20] for at in re.finditer(MARK, text)]
    for word in re.findall(r"[A-Za-z0-9+/_-]{16,}", text):
        for start in range(4):
            part = word[start:].replace("-", "+").replace("_", "/")
            if MARK.encode() in base64.b64decode(part[: len(part) // 4 * 4]):
                found.append(f"base64: {word}")
    return found


class Echo(BaseHTTPRequestHandler):
    """Refuses everything but what `answers` knows, in the words of whoever asks."""

    heard: set[str]
    answers: Mapping[str, object]
    bodies: list[bytes]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        shown = [value for name, value in self.headers.items() if "uth" in name or "oken" in name.lower()]
        self.heard.update(shown)
        said = f"{self.headers} ".replace("\n", " ") + " ".join(map(repeated, shown))
        refusal = {"message": f"no, {said}", "error": said, "errors": [{"code": "DENIED", "message": said}]}
        answer = self.answers.get(self.path.partition("?")[0])
        content = json.dumps(answer or refusal).replace("SAID", json.dumps(said)[1:-1]).encode()
        self.send_response(200 if answer else 403, said[:60].replace("\n", " "))
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Said", quote(said)[:200])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - names of the standard library

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def echoing(answers: Mapping[str, object]) -> Iterator[tuple[str, set[str], list[bytes]]]:
    """A server of that kind: its address, the credentials it was shown, the bodies it was sent."""
    heard: set[str] = set()
    bodies: list[bytes] = []
    handler = type("Handler", (Echo,), {"heard": heard, "answers": answers, "bodies": bodies})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", heard, bodies
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with echoing({}) as (host, heard, _):
        codes, source = refused_everywhere(host, tmp_path, monkeypatch)
    told = capfd.readouterr()
    assert 70 not in codes, told.err
    everything = f"{told.out}{told.err}".encode() + files_of(source)
    assert codes.count(3) > 3, codes
    assert len(heard) > 2, "too little was shown to the servers"
    assert leaks(everything) == []
    assert b"[secret]" in everything


def files_of(folder: Path) -> bytes:
    """All that lies in a folder."""
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def refused_everywhere(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], Path]:
    """What commands end with whose servers refuse everything, and the folder they ran in."""
    names = documented()
    assert {"PIPEGRAFT_IAC_TOKEN", "PIPEGRAFT_REGISTRY_PASSWORD", "PIPEGRAFT_GITLAB_TOKEN"} <= names
    for name in names:
        monkeypatch.setenv(name, marked(name))
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
    return codes, source


COMMITS = """  commit:
    message: |
      {{ subject }} {{ variables.PIPEGRAFT_IAC_TOKEN }} {{ variables.PIPEGRAFT_GITLAB_TOKEN }}
"""
ILL = {"status": "Degraded", "message": "ill: SAID"}


def application(revision: str, address: str) -> object:
    """Argo CD's answer about what runs and is ill."""
    ill = {"group": "apps", "kind": "Deployment", "name": "web", "namespace": "x", "health": ILL}
    return {
        "metadata": {"name": "shop", "namespace": "argocd", "resourceVersion": "1"},
        "spec": {
            "source": {"repoURL": address, "path": "."},
            "destination": {},
            "syncPolicy": {"automated": {}},
        },
        "status": {
            "sync": {"status": "Synced", "revision": revision},
            "health": ILL,
            "reconciledAt": "2026-01-01T00:00:00Z",
            "resources": [{"status": "Synced", **ill}],
            "conditions": [{"type": "SyncError", "message": "SAID"}],
            "operationState": {"phase": "Failed", "message": "SAID", "syncResult": {"revision": revision}},
        },
    }


def test_what_is_delivered_while_servers_repeat_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "served" / "iac.git"
    answers: dict[str, object] = {}
    with serve(bare.parent) as git, echoing(answers) as (host, heard, bodies):
        address = f"{git.url}/iac.git"
        for name in documented():
            monkeypatch.setenv(name, marked(name))
        token = marked("PIPEGRAFT_IAC_TOKEN")
        git.authorization = "Basic " + base64.b64encode(f"oauth2:{token}".encode()).decode()
        for name, value in {
            "PIPEGRAFT_IAC_HOST": git.url.partition("://")[2],
            "CI_SERVER_URL": f"http://{host}",
            "HOME": str(tmp_path),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{quote(marked('otlp'), safe='')}",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(tracing, "_running", None)
        source = delivered(address, host, tmp_path)
        bare.mkdir(parents=True, exist_ok=True)
        words = repeated(git.authorization).replace("'", "")
        (bare / "hooks/pre-receive").write_text(f"#!/bin/sh\necho '{words}' >&2\n")
        (bare / "hooks/pre-receive").chmod(0o755)
        monkeypatch.chdir(source)
        codes = {"bump": run(["run", "iac-bump", "--env", "production", "--set", "verify=false"])}
        tip = subprocess.run(
            ["git", "-C", bare, "rev-parse", "main"], capture_output=True, text=True, check=True
        ).stdout.strip()
        answers["/api/v1/applications/shop"] = application(tip, address)
        answers["/api/v1/applications/shop/syncwindows"] = {"x": "SAID"}
        for name, line in {
            "gate": "run sync-gate --env production",
            "audit": "audit --env production",
            "figures": "audit --dora --env production --html figures.html",
            "board": f"board {address} --output board",
            "status": f"status {address} --json",
            "assess": "assess . --html assess.html",
            "rollback": "rollback --env production",
            "doctor": "doctor --json",
        }.items():
            codes[name] = run(line.split())
        log = subprocess.run(["git", "-C", bare, "log", "main"], capture_output=True, check=True).stdout
    told = capfd.readouterr()
    everything = {
        "terminal": f"{told.out}{told.err}".encode(),
        "files": files_of(source),
        "commits": log,
        "traces": b"\n".join(bodies),
    }
    assert {name: leaks(content) for name, content in everything.items() if leaks(content)} == {}
    assert codes["bump"] == codes["board"] == codes["status"] == 0, told.err
    assert codes["gate"] == 1, told.err
    assert 70 not in codes.values()
    assert any(MARK in unquote(one) for one in heard)
    written = {path.name for path in source.rglob("*") if path.is_file()}
    assert {"sync-gate-production.junit.xml", "index.html", "assess.html"} <= written
    for name in ("terminal", "files", "commits", "traces"):
        assert b"[secret]" in everything[name], f"nothing was repeated in {name}"


def delivered(address: str, host: str, tmp_path: Path) -> Path:
    """A source repository with a release, and the IaC repository that it goes to."""
    source, bare = tmp_path / "source", tmp_path / "served" / "iac.git"
    (source / "web").mkdir(parents=True)
    (source / "web/a").write_text("a\n")
    text = DELIVERY.replace("http://HOST/iac.git'}", f"{address}'}}").replace("HOST", host)
    (source / "delivery.yaml").write_text(
        text.replace(f"{{repository: '{address}'}}", f"\n  repository: '{address}'\n{COMMITS}")
    )
    bare.mkdir(parents=True)
    app = "app: shop\ncomponents: {web: {ports: {http: 80}}}\n"
    stream = "commit refs/heads/main\ncommitter A <a@b.c> 1700000000 +0000\ndata 5\nfirst\n"
    stream += f"M 100644 inline app.yaml\ndata {len(app)}\n{app}\n"
    for folder, words, given in (
        (bare, "init -q --bare --initial-branch=main", ""),
        (bare, "config http.receivepack true", ""),
        (bare, "config uploadpack.allowFilter true", ""),
        (bare, "fast-import --quiet", stream),
        (source, "init -q", ""),
        (source, "add -A", ""),
        (source, "-c user.name=t -c user.email=t@t commit -qm a", ""),
    ):
        subprocess.run(["git", *words.split()], cwd=folder, input=given, text=True, check=True)
    digest = f"sha256:{7:064x}"
    image = BuiltImage(
        reference=f"{host}/shop/web@{digest}",
        digest=digest,
        input_hash=f"ih-{7:064x}",
        builder="fake",
        built=True,
    )
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, check=True
    )
    record = Release(app="shop", source=Source(commit=head.stdout.strip(), number=7), images={"web": image})
    (source / ".pipegraft").mkdir()
    (source / ".pipegraft/release.json").write_text(record.model_dump_json())
    return source
