"""What builders that are programs share: where the Dockerfile is, secrets, and following what they print."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipegraft.core.errors import BuildFailed, UsageError
from pipegraft.images.ports.builders import BuildRequest

__all__ = ["Finished", "dockerfile_missing", "hiding", "refuse", "run_program", "secret_options"]

_MOST_LINES = 1000
_SHORTEST_HIDDEN = 4
"""Characters; to hide a shorter value would spoil the log and tell the value."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Arguments:
        status: its exit code.
        lines: the last of what it printed, secrets hidden.
    """

    status: int
    lines: tuple[str, ...]

    @property
    def last(self) -> str:
        """The last line."""
        return self.lines[-1] if self.lines else "it printed nothing"

    def said(self, *signs: str) -> str | None:
        """The first line with one of these signs."""
        return next((line for line in self.lines if any(sign in line for sign in signs)), None)


def dockerfile_missing(context: Path, dockerfile: str) -> str | None:
    """Why a folder is none for a Dockerfile, as a clause; None if it is one."""
    if not context.is_dir():
        return "it is not a folder"
    return None if (context / dockerfile).is_file() else f"it has no {dockerfile}"


def refuse(request: BuildRequest, reason: str | None) -> None:
    """Raise `BuildFailed` for a reason not to build."""
    if reason:
        raise BuildFailed(f"component '{request.component}': {reason}")


def secret_options(request: BuildRequest) -> list[str]:
    """The options ``--secret`` that docker, BuildKit and buildah take alike."""
    options: list[str] = []
    for name, source in request.extras.secrets.items():
        kind = "src" if isinstance(source, Path) else "env"
        options += ["--secret", f"id={name},{kind}={source}"]
    return options


def hiding(request: BuildRequest, log: Callable[[str], None]) -> Callable[[str], str]:
    """Logs a line without the values of secrets, and answers it as it was logged.

    Raises:
        UsageError: a secret is not there.
    """
    hidden = _secret_values(request)

    def note(line: str) -> str:
        for value in hidden:
            line = line.replace(value, "***")
        log(line)
        return line

    return note


def run_program(
    command: list[str],
    log: Callable[[str], str],
    given: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program to its end and log what it prints.

    Arguments:
        given: file that it reads from its standard input.
        variables: further variables of its environment.
    """
    lines: deque[str] = deque(maxlen=_MOST_LINES)
    with (
        (given or Path(os.devnull)).open("rb") as source,
        subprocess.Popen(
            command,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(variables or {})},
            text=True,
            errors="replace",
        ) as process,
    ):
        lines.extend(log(line.strip()) for line in process.stdout or () if line.strip())
    return Finished(process.returncode, tuple(lines))


def _secret_values(request: BuildRequest) -> list[str]:
    """What secrets hold, to keep it out of logs; the builder itself reads them from where they are."""
    found: list[str] = []
    for name, source in request.extras.secrets.items():
        try:
            value = source.read_text(errors="replace") if isinstance(source, Path) else os.environ[source]
        except (OSError, KeyError) as error:
            lost = isinstance(error, OSError)
            place = f"file '{source}' cannot be read" if lost else f"variable {source} is not set"
            raise UsageError(
                f"component '{request.component}': build secret '{name}': {place}",
                fix="provide it to this job, or remove it from delivery.yaml",
            ) from None
        found += [line.strip() for line in value.splitlines()]
    return sorted((line for line in found if len(line) >= _SHORTEST_HIDDEN), key=len, reverse=True)
