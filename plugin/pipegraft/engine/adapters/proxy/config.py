"""What the proxy serves: the file that `pipegraft proxy --config FILE` reads, and the files beside it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from filelock import FileLock, Timeout
from pydantic import Field

from pipegraft.appspec.traffic_ports import Backend, Choice, Route
from pipegraft.core.errors import Locked
from pipegraft.core.model import Breach, Duration, Model, rule

__all__ = ["Address", "ProxyConfig", "ProxyFiles", "fingerprint", "host_and_port"]

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
