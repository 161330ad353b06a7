"""Traffic router of one machine: keeps a proxy process running and tells it the routes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipegraft.appspec.hooks import TrafficRouterPlugin
from pipegraft.appspec.traffic_ports import Route
from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.adapters.http import Http
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import OutsideError, Unreachable
from pipegraft.core.plugins import hookimpl
from pipegraft.engine.adapters.proxy.config import ProxyConfig, ProxyFiles, fingerprint
from pipegraft.engine.adapters.proxy.metrics import REQUESTS, samples_of

__all__ = ["EmbeddedRouter", "pipegraft_traffic_routers"]

_POLL = 0.01


class EmbeddedRouter:
    """Starts the proxy where none runs, and takes over the one that does.

    The proxy outlives its owner: when this process is killed the traffic flows on, and the next one that
    opens the same folder finds the proxy by its lock file.

    Arguments:
        state_dir: folder for the configuration, lock, status and log of the proxy; made if absent.
        admin: ``host:port`` of ``/metrics``; port 0 lets the system choose, `metrics_url` tells which.
        deadline: seconds the proxy may take to start, to reload or to end.
    """

    def __init__(self, state_dir: Path, *, admin: str = "127.0.0.1:0", deadline: float = 15.0) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._files = ProxyFiles(state_dir.resolve() / "proxy.json")
        self._admin = admin
        self._deadline = deadline

    def apply(self, routes: Sequence[Route]) -> None:
        """Make these the only routes; starts the proxy if it does not run.

        Raises:
            Unreachable: an address cannot be listened on, or the proxy does not answer.
        """
        text = ProxyConfig.of(tuple(routes), self._admin).model_dump_json(indent=2) + "\n"
        if not self._files.config.exists() or self._files.config.read_text("utf-8") != text:
            write_atomically(self._files.config, text.encode())
        wanted = fingerprint(text)
        told: int | None = None

        def taken_over() -> bool:
            nonlocal told
            process = self._files.running()
            if process is None:
                self._start()
            elif process != told and self._status().get("config") != wanted:
                _signal(process, signal.SIGHUP)
                told = process
            return self._status().get("config") == wanted

        self._wait(taken_over, "take over its configuration")
        if error := self._status().get("error"):
            raise Unreachable(f"the proxy refused its new routes: {error}")

    def observe(self) -> Mapping[str, Mapping[str, int]]:
        """Requests served since the proxy started: route → backend → count; empty if it does not run."""
        counts: dict[str, dict[str, int]] = {}
        for sample in samples_of(self.metrics()):
            if sample.name == REQUESTS:
                route = counts.setdefault(sample.labels["route"], {})
                backend = sample.labels["backend"]
                route[backend] = route.get(backend, 0) + int(sample.value)
        return counts

    def metrics(self) -> str:
        """The proxy's counters, in the Prometheus text format; empty if it does not run."""
        process = self._files.running()
        if process is None:
            return ""
        patience = Patience(attempts=2, silence=self._deadline)
        try:
            with Http("the proxy", patience=patience, proxies=False) as http:
                return http.ask("GET", self.metrics_url, what=f"asking {self.metrics_url}").text
        except OutsideError:
            if self._files.running() != process:
                return ""
            raise

    @property
    def metrics_url(self) -> str:
        """Where the counters are."""
        return f"http://{self._status().get('admin', self._admin)}/metrics"

    @property
    def listening(self) -> Mapping[str, str]:
        """Route → ``host:port``, as opened."""
        return dict(self._status().get("listening", {}))

    def stop(self) -> None:
        """End the proxy; requests under way are answered first. Does nothing if it does not run."""
        process = self._files.running()
        if process is not None:
            _signal(process, signal.SIGTERM)
            self._wait(lambda: self._files.running() != process, "end")

    def _status(self) -> dict[str, Any]:
        try:
            status = json.loads(self._files.status.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return dict(status) if status["process"] == self._files.running() else {}

    def _start(self) -> None:
        command = [
            sys.executable,
            "-P",  # whatever lies in the working folder
            "-m",
            "pipegraft",
            "proxy",
            "--background",
            "--config",
            str(self._files.config),
        ]
        with self._files.log.open("wb") as log:
            started = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if started.returncode and self._files.running() is None:
            raise Unreachable(f"the proxy did not start: {self._last_words()}")

    def _wait(self, reached: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + self._deadline
        while not reached():
            if time.monotonic() > end:
                raise Unreachable(
                    f"the proxy did not {what} within {self._deadline:g} s: {self._last_words()}",
                    fix=f"look into {self._files.log}",
                )
            time.sleep(_POLL)

    def _last_words(self) -> str:
        try:
            lines = self._files.log.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return "it printed nothing"
        return "; ".join(line.strip() for line in lines[-3:]) or "it printed nothing"


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return  # it ended by itself in the meantime; the caller waits for what should hold


@hookimpl
def pipegraft_traffic_routers() -> Iterable[TrafficRouterPlugin]:
    yield TrafficRouterPlugin("embedded", "The proxy of the embedded engine.", EmbeddedRouter)
