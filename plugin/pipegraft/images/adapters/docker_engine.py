"""The Docker Engine that ``DOCKER_HOST`` names, or this machine's: the way to it, and its errors as ours."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import requests
from docker import APIClient

from pipegraft.core.errors import OutsideError, PipegraftError, Unreachable

__all__ = ["connect", "engine_missing", "translated"]


def engine_missing() -> str | None:
    """Why there is no engine to ask, as a clause; None where one may be."""
    socket = docker.constants.DEFAULT_UNIX_SOCKET.removeprefix("http+unix://")
    if os.environ.get("DOCKER_HOST") or Path(socket).exists():
        return None
    return f"there is no Docker Engine: DOCKER_HOST is not set and {socket} is not there"


def connect(timeout: float) -> APIClient:
    """A client; call it inside of `translated`, and close it.

    Arguments:
        timeout: seconds of silence after which a request is given up.
    """
    return docker.from_env(timeout=timeout).api


@contextlib.contextmanager
def translated(refused: Callable[[str], PipegraftError]) -> Iterator[None]:
    """Turn the SDK's exceptions into ours.

    Arguments:
        refused: makes the error for a request the engine understood and refused, from what it said.

    Raises:
        Unreachable: there is no engine, or it does not answer.
        OutsideError: it failed.
    """
    try:
        yield
    except docker.errors.APIError as error:
        said = str(error.explanation or error)
        if error.status_code is not None and error.status_code < 500:
            raise refused(said) from error
        raise OutsideError(f"the Docker engine failed: {said}") from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        address = os.environ.get("DOCKER_HOST") or docker.constants.DEFAULT_UNIX_SOCKET.removeprefix("http+")
        raise Unreachable(
            f"the Docker engine at {address} cannot be used: {_cause(error)}",
            fix="start it, or set DOCKER_HOST to where one is",
        ) from error


def _cause(error: BaseException) -> str:
    """What the system said, where the SDK wrapped it three times; else what the SDK said."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return str(error)
