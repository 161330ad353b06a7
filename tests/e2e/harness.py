"""What the end-to-end tests share: finding programs, running servers, waiting for them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

_START = 180.0


def need(*programs: str) -> None:
    """Skip the test without these programs; in CI their absence is a failure."""
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        missing(*absent)


def missing(*programs: str) -> NoReturn:
    """Skip the test for want of these programs; in CI that is a failure."""
    message = f"not installed: {', '.join(programs)} (tests/e2e/install installs it)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(done: Callable[[], bool], what: str, timeout: float = _START) -> None:
    """Wait for a condition, and fail saying for what when it does not come true."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {timeout:g} s")
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def server(
    command: list[str], log: Path, ready: Callable[[], bool], **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for as long as the block lasts.

    Arguments:
        log: file that takes what it prints; shown when it does not start.
        ready: whether it can be used.
        variables: of its environment, beside ours.
    """
    environment = os.environ | variables
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            wait_until(lambda: ready() or process.poll() is not None, command[0])
            if process.poll() is not None:
                pytest.fail(f"{command[0]} ended at once:\n{log.read_text(errors='replace')[-3000:]}")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def run(*command: str | Path, **variables: str) -> str:
    """Run a program to its end and answer what it printed; its failure fails the test."""
    done = subprocess.run(
        [str(word) for word in command],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
