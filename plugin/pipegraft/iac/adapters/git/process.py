"""Runs the git program: a known environment, no prompt, a deadline, and no secret in what comes back.

A thin layer over `subprocess` in place of GitPython: importing GitPython costs 0.1 to 0.2 s, a
third of a whole bump, and its commands know neither a deadline nor redaction.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pipegraft.core.errors import Unreachable, UsageError

__all__ = ["Finished", "Git", "basic_authorization", "git_environment"]

_DROPPED = re.compile(
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE"
    r"|PREFIX|CONFIG|CONFIG_PARAMETERS|EXTERNAL_DIFF|PAGER|EDITOR|QUARANTINE_PATH|PUSH_OPTION_.*|TRACE.*"
    r"|CURL_VERBOSE|REDIRECT_STD.*|SHALLOW_FILE|GRAFT_FILE|REPLACE_REF_BASE|DEFAULT_HASH|PROTOCOL)"
)
"""Variables that would point git at another repository, or print headers; the rest is the user's wish."""

_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "commit.gpgSign": "false",
    "push.gpgSign": "false",
    "push.followTags": "false",
    "push.recurseSubmodules": "no",
    "fetch.recurseSubmodules": "no",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.version": "2",
    "credential.interactive": "false",
    "i18n.commitEncoding": "UTF-8",
    "advice.pushUpdateRejected": "false",
}
"""What must not depend on the machine. Proxies, certificates, credential helpers and SSH stay as they are."""

_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Finished:
    """A git command that has ended.

    Arguments:
        code: its exit code.
        output: what it wrote.
        errors: what it complained about, without secrets.
    """

    code: int
    output: bytes
    errors: str


@dataclass(frozen=True, slots=True)
class Git:
    """One repository folder and how to run git on it.

    Arguments:
        folder: its git folder; None to run outside of any repository.
        environment: whole environment of the process, see `git_environment`.
        secrets: strings that must never be shown.
        timeout: seconds after which a command is stopped.
    """

    folder: Path | None
    environment: Mapping[str, str]
    secrets: tuple[str, ...] = field(default=(), repr=False)
    timeout: float = 120.0

    def run(self, *arguments: str, stdin: bytes = b"") -> Finished:
        """Run one command to its end, whatever its exit code.

        Raises:
            Unreachable: it did not end in time.
        """
        command = ["git", *self._where(), *arguments]
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                env=self.environment,
                cwd=self._cwd(),
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(
                f"expected 'git {arguments[0]}' to end within {self.timeout:g} s, it did not",
                fix="check that the server answers, then run this again",
            ) from None
        except FileNotFoundError:
            raise no_git() from None
        return Finished(done.returncode, done.stdout, self.redact(done.stderr.decode("utf-8", "replace")))

    def output(self, *arguments: str, stdin: bytes = b"") -> str:
        """What a command that cannot fail for outside reasons prints, without the final line end.

        Raises:
            RuntimeError: it failed: a defect, or a broken installation of git.
        """
        done = self.run(*arguments, stdin=stdin)
        if done.code:
            raise RuntimeError(f"git {' '.join(arguments)} ended with {done.code}: {done.errors}")
        return done.output.decode("utf-8", "replace").rstrip("\n")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command to talk to."""
        try:
            return subprocess.Popen(
                ["git", *self._where(), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self.environment,
            )
        except FileNotFoundError:
            raise no_git() from None

    def shallow(self) -> set[str]:
        """Commits whose parents are not in the folder (gitrepository-layout(5), ``shallow``)."""
        try:
            return set(self._file("shallow").read_text().split())
        except FileNotFoundError:
            return set()

    def cut(self, names: Iterable[str]) -> None:
        """Say which commits' parents are not in the folder."""
        self._file("shallow").write_text("".join(f"{name}\n" for name in sorted(names)))

    def index_pack(self, pack: IO[bytes]) -> None:
        """Add the objects of a pack to the folder.

        Raises:
            Unreachable: it was damaged on its way.
        """
        done = subprocess.run(
            ["git", *self._where(), "index-pack", "--stdin"],
            stdin=pack,
            capture_output=True,
            env=self.environment,
            check=False,
        )
        if done.returncode:
            said = self.redact(done.stderr.decode("utf-8", "replace")).strip()
            raise Unreachable(f"what the server sent is not a pack git can read: {said}")

    def _file(self, name: str) -> Path:
        assert self.folder is not None  # noqa: S101 - asked of a repository folder only
        return self.folder / name

    def redact(self, text: str) -> str:
        """The text without secrets and without user names or passwords in URLs."""
        for secret in self.secrets:
            text = text.replace(secret, "[masked]")
        return _USERINFO.sub("", text)

    def _cwd(self) -> str | None:
        """A job runs in a clone, whose own settings and remotes must have no say in ours."""
        return "/" if self.folder is None else None

    def _where(self) -> tuple[str, ...]:
        return () if self.folder is None else (f"--git-dir={self.folder}",)


def no_git() -> UsageError:
    """The error for a machine without git."""
    return UsageError("expected the program 'git', it is not on PATH", fix="install git 2.30 or newer")


def git_environment(
    base: Mapping[str, str],
    settings: Iterable[tuple[str, str]] = (),
    variables: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment git runs in.

    Arguments:
        base: the environment of this process.
        settings: git configuration for these commands alone; it travels in variables
            (``GIT_CONFIG_COUNT``, git-config), never on a command line.
        variables: variables to set.
    """
    environment = {name: value for name, value in base.items() if not _DROPPED.fullmatch(name)}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    environment |= variables or {}
    first = int(environment.get("GIT_CONFIG_COUNT") or 0)
    pairs = [*_SETTINGS.items(), *settings]
    for number, (key, value) in enumerate(pairs, start=first):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    environment["GIT_CONFIG_COUNT"] = str(first + len(pairs))
    return environment


def basic_authorization(user: str, password: str) -> str:
    """An HTTP header that says who we are (RFC 7617)."""
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
