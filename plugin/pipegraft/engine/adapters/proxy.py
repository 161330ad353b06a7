"""The embedded traffic router: what the proxy serves, the files beside it, and who keeps it running."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import Field

from pipegraft.appspec.hooks import TrafficRouterPlugin
from pipegraft.appspec.traffic_ports import Backend, Choice, Route
from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.adapters.http import Http
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import Locked, OutsideError, Unreachable
from pipegraft.core.model import Breach, Duration, Model, rule
from pipegraft.core.plugins import hookimpl
from pipegraft.engine.adapters.metrics import REQUESTS, samples_of

__all__ = [
    "Address",
    "EmbeddedRouter",
    "ProxyConfig",
    "ProxyFiles",
    "fingerprint",
    "host_and_port",
    "pipegraft_traffic_routers",
]


Address = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\[\]/\s]*):\d{1,5}$")]
"""``host:port``; without a host, this machine only; port 0 lets the system choose one."""

Label = Annotated[str, Field(min_length=1)]

_LOOKED_AT = 0.2
"""Seconds in which those who only look whether a proxy runs have let go of its lock."""


class BackendConfig(Model):
    """One version behind a route; see `Backend`."""

    name: Label
    addresses: tuple[Address, ...] = ()
    weight: int = Field(ge=0)


class ChoiceConfig(Model):
    """Requests that go to one backend whatever the weights; see `Choice`."""

    header: Label
    value: str
    backend: Label
    regex: bool = False

    @rule
    def _can_be_read(self) -> Iterator[Breach]:
        if self.regex:
            try:
                re.compile(self.value)
            except re.error as error:
                yield Breach(f"expected a regular expression, found {self.value!r}: {error}")


class RouteConfig(Model):
    """One entrance; see `Route`."""

    name: Label
    listen: Address
    backends: tuple[BackendConfig, ...] = ()
    choices: tuple[ChoiceConfig, ...] = ()

    @rule
    def _choices_lead_somewhere(self) -> Iterator[Breach]:
        known = {backend.name for backend in self.backends}
        for choice in self.choices:
            if choice.backend not in known:
                yield Breach(f"expected a choice of {', '.join(sorted(known))}, found '{choice.backend}'")


class ProxyConfig(Model):
    """The whole file."""

    admin: Address = "127.0.0.1:0"
    """Where ``/metrics`` and ``/healthz`` are."""
    routes: tuple[RouteConfig, ...] = ()
    connect_timeout: Duration = 2.0
    """How long one instance may take to accept a connection."""
    response_timeout: Duration = 60.0
    """How long an instance may be silent while its answer is awaited."""
    client_timeout: Duration = 75.0
    """How long a client may be silent, within a request or between two."""
    grace: Duration = 10.0
    """How long requests under way may take to end when the proxy is told to stop."""

    @rule
    def _unique(self) -> Iterator[Breach]:
        for what, values in (
            ("name", [route.name for route in self.routes]),
            ("listen", [route.listen for route in self.routes if not route.listen.endswith(":0")]),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                yield Breach(f"expected each route to have its own '{what}', found '{twice[0]}' twice")

    @classmethod
    def of(cls, routes: tuple[Route, ...], admin: str) -> ProxyConfig:
        """The configuration that serves these routes."""
        return cls(
            admin=admin,
            routes=tuple(
                RouteConfig(
                    name=route.name,
                    listen=route.listen,
                    backends=tuple(
                        BackendConfig(name=backend.name, addresses=backend.addresses, weight=backend.weight)
                        for backend in route.backends
                    ),
                    choices=tuple(ChoiceConfig(**asdict(choice)) for choice in route.choices),
                )
                for route in routes
            ),
        )

    def as_routes(self) -> tuple[Route, ...]:
        """What is served."""
        return tuple(
            Route(
                route.name,
                route.listen,
                tuple(Backend(backend.name, backend.addresses, backend.weight) for backend in route.backends),
                tuple(Choice(**choice.model_dump()) for choice in route.choices),
            )
            for route in self.routes
        )


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of an `Address`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


class ProxyFiles:
    """The files of one proxy process, all named after its configuration.

    Arguments:
        config: the configuration file.
    """

    def __init__(self, config: Path) -> None:
        self.config = config
        self._lock = config.with_suffix(".lock")
        self._process = config.with_suffix(".pid")
        self.status = config.with_suffix(".status.json")
        """What the process serves: fingerprint of the configuration, addresses as opened, last error."""
        self.log = config.with_suffix(".log")
        """What the process prints."""

    def running(self) -> int | None:
        """Process id of the proxy that serves this file, None if none does."""
        try:
            with FileLock(self._lock, blocking=False):
                return None
        except Timeout:
            return int(self._process.read_text("ascii") or 0) or None
        except FileNotFoundError:
            return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one that serves this file.

        Raises:
            Locked: another process is.
        """
        try:
            with FileLock(self._lock, timeout=_LOOKED_AT, poll_interval=0.01):
                self._process.write_text(str(os.getpid()), "ascii")
                yield
        except Timeout:
            raise Locked(
                f"another proxy serves {self.config} (process {self.running() or 'unknown'})",
                fix="send it SIGHUP to have it read the file again, or SIGTERM to end it",
            ) from None


def fingerprint(text: str) -> str:
    """Tells one configuration from another."""
    return hashlib.sha256(text.encode()).hexdigest()


_POLL = 0.01


class EmbeddedRouter:
    """Starts the proxy where none runs, and takes over the one that does.

    The proxy outlives its owner: when this process is killed the traffic flows on, and the next one that
    opens the same folder finds the proxy by its lock file.

    Arguments:
        state_dir: folder for the configuration, lock, status and log of the proxy; made if absent.
        admin: ``host:port`` of ``/metrics``; port 0 lets the system choose, `admin_url` tells which.
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
                return http.ask("GET", f"{self.admin_url}/metrics", what="asking it what it counted").text
        except OutsideError:
            if self._files.running() != process:
                return ""
            raise

    @property
    def admin_url(self) -> str:
        """Where the counters are: ``/metrics`` and ``/instances``."""
        return f"http://{self._status().get('admin', self._admin)}"

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
    yield TrafficRouterPlugin("embedded", "The proxy of the embedded engine.", EmbeddedRouter, baseline=True)
