"""The embedded engine, asked over HTTP."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import httpx2

from pipegraft.core.base import Declared
from pipegraft.core.errors import PipegraftError, Unreachable, UsageError
from pipegraft.core.fields import Field, model_validator
from pipegraft.core.hookspecs import hookimpl
from pipegraft.core.plugin_values import GitOpsEnginePlugin
from pipegraft.engine.verdict import verdict
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, Status

__all__ = ["EmbeddedEngine", "EmbeddedOptions", "pipegraft_gitops_engines"]

_TIMEOUT = 5.0
"""Seconds an answer may take; the engine answers from memory."""


class EmbeddedOptions(Declared):
    """Keys of `gate:` for the embedded engine."""

    application: str = Field(min_length=1)
    """``APP-ENVIRONMENT``, as the engine calls it."""
    url: str | None = Field(default=None, pattern=r"^https?://")
    """Where the engine listens."""
    state: str | None = None
    """Its state folder, relative to `delivery.yaml`, which says where it listens."""

    @model_validator
    def _one_address(self) -> None:
        if (self.url is None) == (self.state is None):
            raise ValueError("expected either 'url' or 'state' to say where the engine is")


class EmbeddedEngine:
    """`GitOpsEngine` over the status server of `pipegraft engine`.

    Arguments:
        options: which engine and application.
        root: folder that a relative state folder counts from.
    """

    def __init__(self, options: EmbeddedOptions, root: Path) -> None:
        self._options = options
        self._root = root
        self._seen = ""
        self._client: httpx2.Client | None = None

    def observe(self) -> Status:
        answer = self._ask("GET", self._page)
        self._seen = answer.headers.get("ETag", "")
        found: Status = answer.json()
        return found

    def request_sync(self) -> None:
        self._ask("POST", "/sync")

    def wait(self, seconds: float) -> None:
        end, whole = time.monotonic() + seconds, math.ceil(seconds)
        try:
            self._ask("GET", self._page, {"If-None-Match": self._seen, "Prefer": f"wait={whole}"}, whole)
        except PipegraftError:  # `observe` will find the same, and say so
            time.sleep(max(0.0, end - time.monotonic()))

    def explain(self) -> Sequence[str]:
        return ()  # the status has it all

    @property
    def _page(self) -> str:
        return f"/applications/{self._options.application}"

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, patience: float = 0.0
    ) -> httpx2.Response:
        url = self._url()
        if self._client is None:
            alone = httpx2.Limits(max_keepalive_connections=0)  # nothing is left open that nobody closes
            self._client = httpx2.Client(trust_env=False, limits=alone)
        try:
            answer = self._client.request(
                method, f"{url}{path}", headers=headers, timeout=patience + _TIMEOUT
            )
            said = answer.json().get("error") if answer.is_error else ""
        except (httpx2.HTTPError, ValueError) as error:
            raise Unreachable(
                f"the engine at {url} does not answer: {error}", fix="start it with 'pipegraft engine'"
            ) from error
        if answer.status_code == 404:
            raise UsageError(f"the engine at {url} says: {said}", fix="check 'gate.application'")
        if answer.is_error:
            raise Unreachable(f"the engine at {url} answered {answer.status_code}: {said}")
        return answer

    def _url(self) -> str:
        if self._options.url:
            return self._options.url.rstrip("/")
        record = self._root / (self._options.state or "") / "engine.json"
        try:
            return str(json.loads(record.read_bytes())["url"])
        except (OSError, ValueError, KeyError):
            raise Unreachable(
                f"expected {record} to say where the engine listens", fix="start it with 'pipegraft engine'"
            ) from None


def _connect(options: EmbeddedOptions, request: EngineRequest) -> GitOpsEngine:
    return EmbeddedEngine(options, request.root)


@hookimpl
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    yield GitOpsEnginePlugin("embedded", EmbeddedOptions, _connect, verdict)
