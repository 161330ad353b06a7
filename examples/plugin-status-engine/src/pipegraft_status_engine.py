"""Waits for a deployer that tells its revision and its state on a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from pydantic import Field

from pipegraft.core.adapters.http import Http
from pipegraft.core.errors import Unreachable
from pipegraft.core.model import Model
from pipegraft.core.plugins import hookimpl
from pipegraft.gate.hooks import GitOpsEnginePlugin
from pipegraft.gate.ports import EngineRequest, State, Status, Verdict

PIPEGRAFT_HOOKS = "2"


class Options(Model):
    """Keys of `gate:` with ``engine: status``."""

    url: str = Field(pattern=r"^https?://")
    """The page that tells what runs."""


class StatusEngine:
    """`GitOpsEngine` that asks the page anew at each look.

    Arguments:
        options: where the page is.
    """

    def __init__(self, options: Options) -> None:
        self._url = options.url

    def observe(self, *, anew: bool = False) -> Status:
        del anew  # each look asks the page itself
        with Http("the deployer") as http:
            status = http.ask("GET", self._url, what=f"asking {self._url}").json()
        if not isinstance(status, dict):
            raise Unreachable(f"expected an object at {self._url}, found {type(status).__name__}")
        return status

    def request_sync(self) -> None:
        """It looks at the repository by itself."""

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def explain(self) -> Sequence[str]:
        return ()  # the page has it all


def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    """Read the page: only a state that is known, about our revision, decides."""
    revision, state = str(status.get("revision", "")), status.get("state")
    message = str(status.get("message", "")) or f"the deployer is {state}"
    if not revision or not at_target(revision):
        return Verdict(State.PROGRESSING, f"the deployer is at {revision[:12] or 'no revision'} still")
    if state == "running":
        return Verdict(State.SUCCEEDED, f"{revision[:12]} runs: {message}")
    if state == "failed":
        return Verdict(State.FAILED, f"{revision[:12]} failed: {message}")
    return Verdict(State.PROGRESSING, message)


def _connect(options: Options, _request: EngineRequest) -> StatusEngine:
    return StatusEngine(options)


@hookimpl
def pipegraft_gitops_engines() -> Iterator[GitOpsEnginePlugin]:
    """The engine `status`."""
    yield GitOpsEnginePlugin("status", Options, _connect, verdict)
