"""The embedded engine: how soon a gate knows of news, and what fifty applications cost."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipegraft.engine.adapters.gitops import EmbeddedEngine, EmbeddedOptions
from pipegraft.engine.adapters.server import StatusServer
from pipegraft.images.adapters.layer import LayerBuilder
from pipegraft.images.adapters.registry import LayoutRegistry
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildRequest

CHANGES = 100
APPLICATIONS = 50
IDLE = 10.0
"""Seconds over which the engine's use of the processor is measured."""


class News:
    """An engine whose status changes when it is told to."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._number = 0

    def names(self) -> Sequence[str]:
        return ["shop-production"]

    def status(self, name: str) -> dict[str, Any]:
        return {"application": name, "number": self._number}

    def sync(self, _push: object = None) -> Sequence[str]:
        return []

    def wait(self, seconds: float) -> None:
        with self._condition:
            self._condition.wait(seconds)

    def change(self) -> float:
        with self._condition:
            self._number += 1
            self._condition.notify_all()
        return time.perf_counter()


def latency() -> None:
    """From a change of the status to a gate that has read it, beside an ordinary question."""
    news = News()
    late, asked = [], []
    with StatusServer("127.0.0.1", 0, news, str) as server:
        gate = EmbeddedEngine(EmbeddedOptions(application="shop-production", url=server.url), Path())
        for _ in range(CHANGES):
            began = time.perf_counter()
            gate.observe()
            asked.append(time.perf_counter() - began)
            changed: list[float] = []
            timer = threading.Timer(0.02, lambda into=changed: into.append(news.change()))
            timer.start()
            gate.wait(30)
            gate.observe()
            read = time.perf_counter()
            timer.join()
            late.append(read - changed[0])
    median, question = statistics.median(late) * 1000, statistics.median(asked) * 1000
    print(f"news to the gate: {median:.1f} ms median, {max(late) * 1000:.0f} ms at most")
    print(f"one question: {question:.1f} ms median")
    print(f"ratio: {median / question:.1f}")


def memory() -> None:
    """The engine's memory and use of the processor with one application and with fifty, all running."""
    found = {count: _measure(count) for count in (1, APPLICATIONS)}
    for count, (size, share, seconds) in found.items():
        print(f"{count} applications: {size:.0f} MB, {share:.1%} of a core idle, live after {seconds:.1f} s")
    print(f"ratio of memory: {found[APPLICATIONS][0] / found[1][0]:.2f}")


def _measure(count: int) -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        image = _build(root)
        names = [f"app{number:02}" for number in range(count)]
        for app in names:
            folder = root / "iac" / app / "environments"
            folder.mkdir(parents=True)
            (folder.parent / "app.yaml").write_text(f"app: {app}\ncomponents:\n  web: {{}}\n")
            (folder / "production.yaml").write_text(f'components: {{web: {{image: "{image}"}}}}\n')
        for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "all")):
            identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
            subprocess.run(["git", *identity, *words], cwd=root / "iac", check=True)
        entries = "".join(
            f"  - {{repository: iac, path: {app}, environments: [production]}}\n" for app in names
        )
        (root / "engine.yaml").write_text(f"applications:\n{entries}")
        words = ["--applications", str(root / "engine.yaml"), "--state", str(root / "state")]
        command = [sys.executable, "-m", "pipegraft", "engine", *words]
        began = time.monotonic()
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as engine:
            try:
                _wait_until_live(root / "state" / "engine.json", names)
                seconds = time.monotonic() - began
                before = _processor(engine.pid)
                time.sleep(IDLE)
                share = (_processor(engine.pid) - before) / IDLE
                return _memory(engine.pid), share, seconds
            finally:
                engine.terminate()


def _build(root: Path) -> str:
    context = root / "context"
    context.mkdir()
    (context / "run.sh").write_text("exec sleep 1000\n")
    request = BuildRequest(
        "web", context, read_context(context).entries, "web", ("v1",), "/", ("/bin/sh", "/run.sh")
    )
    digest = LayerBuilder().build(request, LayoutRegistry(root / "registry"), lambda _line: None).digest
    return f"oci:{root}/registry/web@{digest}"


def _wait_until_live(record: Path, names: Sequence[str]) -> None:
    while not record.exists():
        time.sleep(0.05)
    url = json.loads(record.read_text())["url"]
    for name in names:
        while _sync(f"{url}/applications/{name}-production") != "synced":
            time.sleep(0.05)


def _sync(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http
            return str(json.loads(answer.read())["sync"])
    except OSError:
        return ""


def _memory(process: int) -> float:
    """Resident memory in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def _processor(process: int) -> float:
    """Seconds of the processor it has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run both."""
    latency()
    memory()
