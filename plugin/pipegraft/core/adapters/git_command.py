"""GitPython's command wrapper with a known environment, deadlines, and no secret in what comes back."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipegraft.core.errors import Unreachable, UsageError

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # a machine without git is told by our own error
import git

__all__ = ["BareCommand", "BareRepository", "Finished", "GitCommand", "git_environment", "parse_batch"]

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
    "http.followRedirects": "false",  # our credentials would go along
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

    @property
    def text(self) -> str:
        """What it wrote, without the final line end."""
        return self.output.decode("utf-8", "replace").rstrip("\n")


class GitCommand(git.Git):
    """`git.Git` whose processes have exactly the environment that `use` gives them.

    GitPython adds variables to those of this process; some of these must not reach git, or it works on
    another repository.

    Arguments:
        folder: where git runs; the folder of this process if None.
    """

    __slots__ = ("_limit", "_secrets")

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.set_persistent_git_options(C=folder)
        self._limit = 120.0
        self._secrets: tuple[str, ...] = ()
        self.use(git_environment(os.environ))

    def use(self, environment: Mapping[str, str], secrets: Sequence[str] = (), limit: float = 120.0) -> None:
        """Say how to run git from now on.

        Arguments:
            environment: whole environment of its processes, see `git_environment`.
            secrets: strings that must never be shown.
            limit: seconds after which a command is stopped.
        """
        self.environment().clear()
        self.update_environment(**environment)
        self._secrets, self._limit = tuple(secrets), limit

    def execute(self, command: str | Sequence[Any], *arguments: Any, **options: Any) -> Any:
        """As `git.Git.execute`, without the variables that `use` did not name."""
        words = [command] if isinstance(command, str) else command
        unwanted = sorted(os.environ.keys() - self.environment().keys())
        bare = [word for name in unwanted for word in ("-u", name)]
        return super().execute(["env", *bare, *words] if bare else words, *arguments, **options)

    def run(self, name: str, *arguments: str, stdin: bytes | None = None) -> Finished:
        """Run one command to its end, whatever its exit code.

        Raises:
            Unreachable: it did not end in time.
            UsageError: git is not installed.
        """
        with tempfile.TemporaryFile() as given:
            given.write(stdin or b"")
            given.seek(0)
            try:
                done: Any = self._call_process(
                    name,
                    *arguments,
                    istream=None if stdin is None else given,
                    with_extended_output=True,
                    with_exceptions=False,
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                    kill_after_timeout=self._limit,
                )
            except git.GitCommandNotFound:
                raise _no_git() from None
        code, output, errors = done
        if code == -signal.SIGKILL:
            raise Unreachable(
                f"expected 'git {name}' to end within {self._limit:g} s, it did not",
                fix="check that the server answers, then run this again",
            )
        return Finished(code, output, self.redact(errors))

    def output(self, name: str, *arguments: str, stdin: bytes | None = None) -> str:
        """What a command that cannot fail for outside reasons prints, without the final line end.

        Raises:
            RuntimeError: it failed: a defect, or a broken installation of git.
        """
        done = self.run(name, *arguments, stdin=stdin)
        if done.code:
            raise RuntimeError(f"git {name} {' '.join(arguments)} ended with {done.code}: {done.errors}")
        return done.text

    def redact(self, text: str) -> str:
        """The text without secrets and without user names or passwords in URLs."""
        for secret in self._secrets:
            text = text.replace(secret, "[masked]")
        return _USERINFO.sub("", text)


class BareCommand(GitCommand):
    """Git on a git folder, in the folder of this process: what keys and certificates are relative to."""

    __slots__ = ()

    def __init__(self, git_dir: str | Path) -> None:
        super().__init__()
        self.set_persistent_git_options(git_dir=git_dir)


class BareRepository(git.Repo):
    """A bare repository whose commands are run by `GitCommand`; close it to end its processes."""

    GitCommandWrapperType: type[git.Git] = BareCommand
    git: GitCommand


def _no_git() -> UsageError:
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


def parse_batch(output: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Name, type and content of each object that ``git cat-file --batch`` found; the others are left out."""
    at = 0
    while at < len(output):
        end = output.index(b"\n", at)
        header = output[at:end].split()
        at = end + 1
        if len(header) == 3:  # else "NAME missing"
            size = int(header[2])
            yield header[0].decode(), header[1].decode(), output[at : at + size]
            at += size + 1
