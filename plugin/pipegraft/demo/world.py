"""Where the demonstration happens: a folder with two repositories, and an engine that runs beside it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pipegraft.core.adapters.http import Answer, Http
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import OutsideError, SyncFailed, UsageError

__all__ = ["Traffic", "World", "answer_of", "ask", "example"]


_PATH = "/price?item=tea&quantity=12"


def _client() -> Http:
    return Http("the demonstration's shop", patience=Patience(attempts=1, silence=5), proxies=False)


def answer_of(url: str) -> Answer:
    """One request to the demonstration's engine.

    Raises:
        OutsideError: it does not answer, or refuses.
    """
    with _client() as http:
        return http.ask("GET", url)


def ask(url: str, path: str = _PATH) -> tuple[int, str]:
    """One request: status code and the version that answered; status 0 if nobody did."""
    with _client() as http:
        return _request(http, url + path)


def _request(http: Http, url: str) -> tuple[int, str]:
    try:
        answer = http.ask("GET", url, good=range(600))
        return answer.status, str(answer.json().get("version", "nobody"))
    except OutsideError:
        return 0, "nobody"


class Traffic:
    """Requests at a steady rate while the context is open.

    Arguments:
        url: the entrance.
        rate: requests a second.
        clients: connections kept open.
    """

    def __init__(self, url: str, rate: float = 250.0, clients: int = 4) -> None:
        self._url = url
        self._pause = clients / rate
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]
        self.answers: Counter[tuple[str, int]] = Counter()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def summary(self) -> dict[str, dict[str, int]]:
        """Version → status code → requests, so far."""
        with self._lock:
            counted = dict(self.answers)
        found: dict[str, dict[str, int]] = {}
        for (version, status), count in sorted(counted.items()):
            found.setdefault(version, {})[str(status)] = count
        return found

    def _client(self) -> None:
        due = time.monotonic()
        with _client() as http:
            while not self._stop.is_set():
                status, version = _request(http, self._url + _PATH)
                with self._lock:
                    self.answers[version, status] += 1
                due = max(due + self._pause, time.monotonic() - 1.0)  # a stall is not made up for in a burst
                self._stop.wait(max(0.0, due - time.monotonic()))


_IDENTITY = {
    "GIT_AUTHOR_NAME": "Shop Team",
    "GIT_AUTHOR_EMAIL": "shop@example.com",
    "GIT_COMMITTER_NAME": "Shop Team",
    "GIT_COMMITTER_EMAIL": "shop@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
_PATIENCE = 60.0
"""Seconds an engine may take to start, or to end with all it runs."""
_COMMAND = [sys.executable, "-P", "-m", "pipegraft"]
_MARK = ".pipegraft-demo"
_RECORD = "engine.json"
_CI_VARIABLES = ("CI_", "GITLAB_", "BUILD_", "JENKINS_", "GIT_", "PIPEGRAFT_")


def example() -> Path:
    """The example application, as installed or in the source tree.

    Raises:
        UsageError: this installation came without it.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "examples" / "shop", package.parents[1] / "examples" / "shop"):
        if (folder / "delivery.yaml").is_file():
            return folder
    raise UsageError(
        "this installation lacks the example application", fix="install the wheel or clone the project"
    )


def _remove(folder: Path) -> None:
    """Remove a folder that a killed demonstration's last git process may still be writing into."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:  # of what git itself removed meanwhile
            if not folder.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or time.monotonic() > deadline:
                raise
        else:
            return


class World:
    """The demonstration's folder.

    Arguments:
        root: a folder; see `claim`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "shop"
        self.iac = root / "shop-iac.git"
        self.state = root / "engine"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_CI_VARIABLES)}
        self.environment = {**inherited, **_IDENTITY, "PYTHONDONTWRITEBYTECODE": "1"}

    def claim(self) -> None:
        """Make the folder this demonstration's own.

        What an earlier one that was killed left running here is ended, and what it left lying is removed.

        Raises:
            UsageError: the folder holds files that are no demonstration's.
        """
        mark = self.root / _MARK
        if not mark.exists() and any(self.root.iterdir()):
            raise UsageError(
                f"expected an empty folder, found files in {self.root}",
                fix="name a folder that does not exist yet",
            )
        self._end_commands()
        self._end_engine()
        for entry in self.root.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                _remove(entry)
            else:
                entry.unlink()
        mark.touch()

    def _end_commands(self) -> None:
        """Kill the commands that a killed demonstration left behind; without ``/proc`` none are found."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
                words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if words[1:4] == _COMMAND[1:] and (process / "cwd").readlink() == self.source.resolve():
                    os.kill(int(process.name), signal.SIGKILL)

    def _end_engine(self) -> None:
        record = self.state / _RECORD
        if not record.exists():
            return
        left = json.loads(record.read_text())
        with contextlib.suppress(OSError, OutsideError):  # it does not answer: it is not there any more
            answer_of(f"{left['url']}/healthz")
            os.kill(left["process"], signal.SIGTERM)
        record.unlink()
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with self.engine():
                    return  # it took over what a dead engine left running, and ends it
            except SyncFailed:  # the one before is still on its way out
                if time.monotonic() > deadline:
                    raise

    def prepare(self) -> None:
        """Lay out the team's source repository and its IaC repository, each with one commit."""
        shutil.copytree(
            example(), self.source, ignore=shutil.ignore_patterns("iac", "__pycache__", ".pipegraft")
        )
        self.git(self.source, "init", "-q", "-b", "main")
        self.commit("shop: the application as it is today")
        draft = self.root / "iac-draft"
        shutil.copytree(example() / "iac", draft)
        self.git(draft, "init", "-q", "-b", "main")
        self.git(draft, "add", "-A")
        self.git(draft, "commit", "-q", "-m", "shop: app spec and production")
        self.git(self.root, "clone", "-q", "--bare", str(draft), str(self.iac))
        shutil.rmtree(draft)

    def git(self, folder: Path, *words: str) -> str:
        """Output of a git command that must succeed."""
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def commit(self, message: str) -> str:
        """Commit everything in the source repository and answer the commit."""
        self.git(self.source, "add", "-A")
        self.git(self.source, "commit", "-q", "-m", message)
        return self.git(self.source, "rev-parse", "HEAD").strip()

    def change(self, file: str, edits: Sequence[tuple[str, str]]) -> None:
        """Replace text in a source file, each exactly once."""
        path = self.source / file
        text = path.read_text()
        for old, new in edits:
            before, found, after = text.partition(old)
            assert found, f"{file} lost {old!r}"  # noqa: S101 - the example and this story belong together
            text = before + new + after
        path.write_text(text)

    def pipegraft(self, *words: str, show: bool = True) -> int:
        """Run a command as a person or a CI job would, in the source repository; its output is shown."""
        output = None if show else subprocess.DEVNULL
        command = [*_COMMAND, *words]
        done = subprocess.run(
            command, cwd=self.source, env=self.environment, stdout=2 if show else output, check=False
        )
        return done.returncode

    def iac_file(self, path: str) -> bytes:
        """A file of the IaC repository at the tip of main."""
        return self.git(self.iac, "show", f"main:{path}").encode()

    @contextmanager
    def engine(self) -> Iterator[str]:
        """The GitOps engine, stopped with all it runs at the end; yields its URL."""
        words = ["engine", "--repository", str(self.iac), "--env", "production", "--state", str(self.state)]
        command = [*_COMMAND, *words, "--listen", "127.0.0.1:0", "--poll", "250ms"]
        command.append("--until-stdin-closes")  # it ends with this process, however that ends
        with (self.root / "engine.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.PIPE
            )
        try:
            yield self._engine_url(process)
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin  # noqa: S101 - it is a pipe
            process.stdin.close()

    def _engine_url(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + _PATIENCE
        record = self.state / _RECORD
        while time.monotonic() < deadline and process.poll() is None:
            if record.exists():
                found: dict[str, Any] = json.loads(record.read_text())
                return str(found["url"])
            time.sleep(0.02)
        said = (self.root / "engine.log").read_text(errors="replace").strip()
        raise SyncFailed(f"the engine did not start; it said: {said[-2000:] or 'nothing'}")
