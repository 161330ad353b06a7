"""A stage from outside of Pipegraft: after the gate, before the gray release, ask the application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx2
from pydantic import Field

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import DeliveryRefused, UsageError
from pipegraft.core.model import Duration
from pipegraft.core.plugins import hookimpl
from pipegraft.core.ports import Clock
from pipegraft.core.stage import Stage, StageContext, StageInputs

PIPEGRAFT_HOOKS = "2"


class SmokeTestInputs(StageInputs):
    """What a pipeline may set."""

    url: str = ""
    """Where the application answers, without the path; no questions are asked if empty."""
    paths: tuple[str, ...] = ("/",)
    """What to ask for."""
    expect: int = 200
    """Status code that counts as an answer."""
    attempts: int = Field(default=3, ge=1)
    """How often to ask for each path before giving up."""
    pause: Duration = 2.0
    """How long to wait between two attempts."""
    timeout: Duration = Field(default=5.0, gt=0)
    """How long an answer may take in all, however slowly it comes."""


def run(context: StageContext, inputs: SmokeTestInputs) -> None:
    """Ask for every path; the first that never answers as expected stops the delivery."""
    if not inputs.url:
        context.report("warning", "smoke-test.url is not set, so nothing was asked")
        return
    try:
        address = httpx2.URL(inputs.url)
    except httpx2.InvalidURL as error:
        raise UsageError(f"smoke-test.url: {error}") from None
    shown = str(address.copy_with(userinfo=b""))  # a password in it is nobody's business
    if address.scheme not in {"http", "https"}:
        raise UsageError(f"smoke-test.url: expected http:// or https://, found {shown!r}")
    wrong = [path for path in inputs.paths if not path.startswith("/")]
    if wrong:
        raise UsageError(f"smoke-test.paths: expected a path that begins with '/', found {wrong[0]!r}")
    for path in inputs.paths:
        seen = _ask(context.clock, inputs, path)
        if seen != str(inputs.expect):
            raise DeliveryRefused(f"{shown.rstrip('/')}{path}: expected {inputs.expect}, found {seen}")
        context.report("progress", f"answered {inputs.expect}", path)


def _ask(clock: Clock, inputs: SmokeTestInputs, path: str) -> str:
    seen = ""
    for attempt in range(inputs.attempts):
        if attempt:
            clock.sleep(inputs.pause)
        try:
            seen = str(asyncio.run(_status(inputs.url.rstrip("/") + path, inputs.timeout)))
        except TimeoutError:
            seen = f"no answer within {inputs.timeout:g} s"
        except httpx2.HTTPError as error:
            seen = f"no answer ({error})"
        if seen == str(inputs.expect):
            break
    return seen


async def _status(url: str, seconds: float) -> int:
    """The status code; no body is read."""
    async with (
        asyncio.timeout(seconds),  # in all: httpx2's own limit is one for each read
        httpx2.AsyncClient(timeout=seconds) as client,
        client.stream("GET", url) as answer,
    ):
        return answer.status_code


def longest(_delivery: Delivery, _environment: str | None) -> float:
    """Seconds until the last question is given up, with the inputs as they are declared."""
    inputs = SmokeTestInputs()
    return len(inputs.paths) * inputs.attempts * (inputs.timeout + inputs.pause)


STAGE = Stage(
    name="smoke-test",
    summary="Ask the released application a few questions before traffic moves to it.",
    run=run,
    inputs=SmokeTestInputs,
    after=("sync-gate",),
    before=("gray-release",),
    longest=longest,
    description="Asks for each path and compares the status code. Put it behind the gate.",
)


@hookimpl
def pipegraft_stages() -> Iterator[Stage]:
    """The stages of this package."""
    yield STAGE
