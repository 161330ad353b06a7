"""The board of 500 applications from 500 bare repositories, cold and warm, as a user starts it."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import program, seconds_of

APPLICATIONS = 500
START = 1_790_000_000
ENVIRONMENTS = ("staging", "production")


def main() -> None:
    """Print how long the board takes with nothing remembered, and again when nothing changed."""
    with tempfile.TemporaryDirectory(prefix="bench-board-") as name:
        folder = Path(name)
        for number in range(APPLICATIONS):
            make_repository(folder / "iac" / f"app-{number:03}.git", number)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        board = [program(), "board", str(folder / "iac"), "--output", str(folder / "board")]
        forgetful = ["sh", "-c", f'rm -rf "$XDG_CACHE_HOME" && {shlex.join(board)}']
        for title, command, bar in (("cold", forgetful, 10.0), ("warm", board, 2.0)):
            wall, busy = seconds_of(command)
            took = f"{wall:7.2f} s {busy:6.2f} s of processor"
            print(f"{APPLICATIONS} applications, {title:<8}{took}   bar {bar:.2f} s")


def make_repository(folder: Path, number: int) -> None:
    """An application with two environments, a few releases in each, and now and then a gray release."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(folder)], check=True)
    stream = b"".join(history(number))
    subprocess.run(["git", "-C", str(folder), "fast-import", "--quiet"], input=stream, check=True)


def history(number: int) -> Iterator[bytes]:
    """The commits for git-fast-import(1)."""
    app = f"app-{number:03}"
    yield commit(
        0, f"{app}: first", {"app.yaml": f"app: {app}\ncomponents: {{web: {{ports: {{http: 80}}}}}}\n"}
    )
    at = 1
    for release in range(1, 4 + number % 4):
        for environment in ENVIRONMENTS:
            yield commit(at, told(app, release, "bump", environment), {environment: text(app, release)})
            at += 1
    if number % 10 == 0:
        release += 1
        held = text(app, release - 1) + gray(app, release)
        yield commit(at, told(app, release, "1/3 weight=5", "production"), {"production": held})


def text(app: str, release: int) -> str:
    """An environment's file."""
    mark = f"release: {{number: {release}, source: {source(app, release)}}}\n"
    return f"{mark}components:\n  web: {{image: {image(app, release)}}}\n"


def gray(app: str, release: int) -> str:
    """The block of a gray release at its first weight."""
    return (
        f"gray:\n  release: {{number: {release}, source: {source(app, release)}}}\n"
        f"  weight: 5\n  phase: step\n"
        f"  components:\n    web: {{image: {image(app, release)}}}\n"
    )


def image(app: str, release: int) -> str:
    """Pinned by a digest of its own."""
    return f"registry.example.com/{app}/web@sha256:{source(app, release)}{'0' * 24}"


def source(app: str, release: int) -> str:
    """A commit of forty digits."""
    return f"{int(app[4:]):03}{release:03}".ljust(40, "a")


def told(app: str, release: int, step: str, environment: str) -> str:
    """A commit's message, as the stages write it."""
    trailers = {
        "App": app,
        "Environment": environment,
        "Release": str(release),
        "Source-Commit": source(app, release),
        "Step": step,
    }
    ending = "\n".join(f"Pipegraft-{key}: {value}" for key, value in trailers.items())
    return f"{app}: {step} release {release} in {environment}\n\n{ending}\n"


def commit(at: int, message: str, files: dict[str, str]) -> bytes:
    """One commit, an hour after the one before it."""
    parts = [b"commit refs/heads/main\n", f"committer a <a@b> {START + 3600 * at} +0000\n".encode()]
    parts.append(data(message))
    for name, content in files.items():
        path = name if name.endswith(".yaml") else f"environments/{name}.yaml"
        parts += [f"M 100644 inline {path}\n".encode(), data(content)]
    return b"".join(parts)


def data(content: str) -> bytes:
    """A block of text for fast-import."""
    held = content.encode()
    return b"data %d\n%s\n" % (len(held), held)
