"""The embedded engine, asked over HTTP, and the verdict on what it answers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pydantic import Field

from pipegraft.core.adapters.http import Answer, Http
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import OutsideError, PipegraftError, Unreachable, UsageError
from pipegraft.core.model import Breach, Model, rule
from pipegraft.core.plugins import hookimpl
from pipegraft.gate.hooks import GitOpsEnginePlugin
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, State, Status, Verdict

__all__ = ["EmbeddedEngine", "EmbeddedOptions", "pipegraft_gitops_engines", "verdict"]

_TIMEOUT = 5.0
"""Seconds an answer may take; the engine answers from memory."""


def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    """Succeeded once the target or a descendant is live and healthy; failed once it is known not to be.

    Arguments:
        status: see `pipegraft.engine.usecases.status.describe`.
        at_target: whether a revision is the target or a descendant of it.
    """
    revision = status["revision"]
    live, desired, observed = revision["live"], revision["desired"], revision["observed"]
    evidence = _evidence(status)
    if live and live == desired and status["health"] == "healthy" and at_target(live):
        return Verdict(State.SUCCEEDED, f"{live[:12]} is live and healthy", evidence, images=None)
    if desired and at_target(desired):
        if status["health"] == "degraded":
            return Verdict(State.FAILED, f"{desired[:12]} is degraded: {_worst(status)}", evidence)
        return Verdict(State.PROGRESSING, status["message"], evidence)
    if status["problems"] and at_target(observed):
        problems = tuple(status["problems"])
        return Verdict(State.FAILED, f"the spec at {observed[:12]} is refused: {problems[0]}", problems)
    trouble = status["trouble"]
    if trouble:
        return Verdict(State.PROGRESSING, trouble[0], tuple(trouble))
    seen = observed[:12] or "nothing"
    return Verdict(State.PROGRESSING, f"the engine has not seen the target yet; it has seen {seen}")


def _bad(status: Status) -> list[Mapping[str, Any]]:
    return [one for one in status["resources"] if one["health"] != "healthy"]


def _worst(status: Status) -> str:
    degraded = next(one for one in status["resources"] if one["health"] == "degraded")
    return f"{degraded['kind']} {degraded['name']} {degraded['message']}"


def _evidence(status: Status) -> tuple[str, ...]:
    lines = []
    for resource in _bad(status):
        lines.append(f"{resource['kind']} {resource['name']}: {resource['message']}")
        lines += [f"    {line}" for line in resource["evidence"]]
    return (*lines, *status["trouble"])


class EmbeddedOptions(Model):
    """Keys of `gate:` for the embedded engine."""

    application: str = Field(min_length=1)
    """``APP-ENVIRONMENT``, as the engine calls it."""
    url: str | None = Field(default=None, pattern=r"^https?://")
    """Where the engine listens."""
    state: str | None = None
    """Its state folder, relative to `delivery.yaml`, which says where it listens."""

    @rule
    def _one_address(self) -> Iterator[Breach]:
        if (self.url is None) == (self.state is None):
            yield Breach("expected either 'url' or 'state' to say where the engine is")


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

    def observe(self, *, anew: bool = False) -> Status:
        del anew  # each look asks the engine itself
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
    ) -> Answer:
        url = self._url()
        limits = Patience(attempts=1, silence=patience + _TIMEOUT)
        try:
            with Http(f"the engine at {url}", patience=limits, proxies=False) as http:
                answer = http.ask(
                    method, f"{url}{path}", what=f"asking for {path}", good=range(600), headers=headers
                )
        except OutsideError as error:
            raise Unreachable(error.problem.message, fix="start it with 'pipegraft engine'") from error
        if answer.status < HTTPStatus.BAD_REQUEST:
            return answer
        said = f"the engine at {url} answered {answer.status}: {answer.json().get('error')}"
        if answer.status == HTTPStatus.NOT_FOUND:
            raise UsageError(said, fix="check 'gate.application'")
        raise Unreachable(said)

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
