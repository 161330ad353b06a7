"""A repository read in one conversation with its server: tip, commit, and the objects on the way to a file.

Over HTTP a bump so needs six requests: two greetings, of which the one for the push tells the tip, the
commit with the trees above the application's folder, the last of those, that folder, and the push.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pipegraft.core.errors import TipMoved, UsageError
from pipegraft.iac.adapters.git.failures import explain, explain_rejection
from pipegraft.iac.adapters.git.objects import Objects, parse_tree
from pipegraft.iac.adapters.git.pipe import Silent
from pipegraft.iac.adapters.git.process import Git
from pipegraft.iac.adapters.git.remotes import FetchedRemote, missing_branch, push_by_git
from pipegraft.iac.adapters.git.sending import Sending
from pipegraft.iac.adapters.git.wire import Refused, TooOld, Wire

__all__ = ["Connection", "SessionRemote", "connection"]


@dataclass(frozen=True, slots=True)
class Connection:
    """How to talk to a server.

    Arguments:
        read: starts a conversation that reads.
        write: starts one that pushes; None if `git push` is to do that.
    """

    read: Callable[[], Wire]
    write: Callable[[], Sending] | None = None


_FRESH = 1.0
"""Seconds for which a look at the branch is good enough to push by; reading takes less where nobody races."""

_INFINITE = 0x7FFFFFFF
"""The depth that means all of it (git's ``INFINITE_DEPTH``)."""

_SCP = re.compile(r"(?P<host>[^/:\s]+):(?!:)(?P<path>\S.*)")


class SessionRemote:
    """A server that speaks version 2 of git's protocol; any other is left to `git fetch`.

    Arguments:
        git: our own folder.
        objects: what it holds.
        name: the repository, for messages.
        connection: how to talk to it.
    """

    partial = True

    def __init__(self, git: Git, objects: Objects, name: str, connection: Connection) -> None:
        self.name = name
        self._git = git
        self._objects = objects
        self._connection = connection
        self._wire: Wire | None = None
        self._sending: Sending | None = None
        self._contended = False
        """Whether a race was lost: from then on the branch is looked at right before a push once more."""
        self._asked = 0.0
        """When the branch was looked at in order to push to it, by the monotonic clock."""
        self._fetched: FetchedRemote | None = None
        self._filters = ["tree", "blob:none", ""]
        self._newest = ""  # the commit brought last, and one before it that spares the server:
        self._before = ""  # what both have in common it neither reads nor sends
        self._whole = ""
        self._looked = False

    def tip(self, branch: str, *, to_push: bool = False) -> str:
        reference = f"refs/heads/{branch}"
        if to_push and self._connection.write and not self._contended:
            found = self._heads(self._connection.write).get(reference)
        elif self._open() is None:
            return self._by_fetching().tip(branch)
        else:
            found = self._look(reference)
        if found is None:
            raise missing_branch(self.name, branch)
        return found

    def push(self, made: str, branch: str, parent: str) -> None:
        if self._connection.write is None:
            push_by_git(self._git, self.name, made, branch, parent)
            return
        reference = f"refs/heads/{branch}"
        try:
            if time.monotonic() - self._asked > _FRESH:
                self._stop_sending()  # a push that comes too late costs the server as much as one that holds
            if self._sending is None and self._heads(self._connection.write).get(reference) != parent:
                raise explain_rejection("stale info", "", self.name, branch)
            assert self._sending is not None  # noqa: S101 - just opened, or by `tip`
            with self._explained():
                refused, said = self._sending.send(made, reference, parent)
            if refused:
                raise explain_rejection(refused, self._git.redact(said), self.name, branch)
        except TipMoved:
            self._contended = True
            raise
        finally:
            self._stop_sending()

    def _heads(self, connect: Callable[[], Sending]) -> Mapping[str, str]:
        """What the server's branches are at; a push may follow, which goes out from there."""
        self._stop_sending()
        with self._explained():
            self._sending = connect()
            self._asked = time.monotonic()
            return self._sending.heads()

    def _look(self, reference: str) -> str | None:
        if self._looked and self._wire and not self._wire.stateless:
            self._hang_up()  # one process of the server looks at its branches once
        with self._explained():
            wire = self._open()
            assert wire is not None  # noqa: S101 - asked before
            self._looked = True
            wire.command("ls-refs", [f"ref-prefix {reference}"])
            lines = [line.split(" ") for line in wire.lines()]
        return next((name for name, found, *_ in lines if found == reference), None)

    def bring_commit(self, commit: str, depth: int) -> None:
        if self._open() is None:
            self._by_fetching().bring_commit(commit, depth)
            return
        if self._newest:  # all that has changed since but files: it is little, and spares further requests
            self._fetch("blob:none", [f"have {self._newest}"], [commit])
        else:
            self._fetch(f"tree:{depth}", ["deepen 2"], [commit])
        self._before = self._newest or next(iter(self._parents(commit)), "")
        self._newest = commit

    def bring_objects(self, names: Sequence[str], *, below: bool) -> None:
        if self._open() is None:
            self._by_fetching().bring_objects(names, below=below)
        elif self._filters[0]:
            if not below and self._before and not self._holds(self._tree_of(self._before), set(names)):
                self._fetch("tree:0", [f"have {self._before}"], [self._newest, *names])
                names = [name for name in names if self._objects.get(name) is None]
            if names:
                self._fetch("" if below else "tree:0", [], names)

    def _tree_of(self, commit: str) -> str:
        held = self._objects.get(commit)
        return held[1].partition(b"\n")[0].removeprefix(b"tree ").decode() if held else ""

    def _holds(self, tree: str, names: set[str]) -> bool:
        """Whether a tree leads to one of the objects, as far as its folders are here."""
        held = self._objects.get(tree) if tree else None
        entries = parse_tree(held[1], len(tree) // 2).values() if held else ()
        return any(
            entry.name in names or (entry.kind == "tree" and self._holds(entry.name, names))
            for entry in entries
        )

    def bring_history(self, branch: str, depth: int | None) -> bool:
        if self._open() is None:
            return self._by_fetching().bring_history(branch, depth)
        tip = self.tip(branch)
        if self._whole:
            if tip != self._whole:
                self._fetch("tree:0", [f"have {self._whole}"], [tip])
        else:
            self._fetch("tree:0", [f"deepen {depth or _INFINITE}"], [tip])
        if self._whole or not self._git.shallow():
            self._whole = tip
        return bool(self._whole)

    def _open(self) -> Wire | None:
        """The conversation, None if this server does not hold one."""
        if self._wire is None and self._fetched is None:
            with self._explained():
                try:
                    self._wire = self._connection.read()
                    if "filter" not in self._wire.capabilities.get("fetch", "").split():
                        del self._filters[:-1]
                except TooOld:
                    self._fetched = FetchedRemote(self._git, self.name)
        return self._wire

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns a conversation that broke off into an error for people; the next one starts anew."""
        try:
            yield
        except Silent as silent:
            self._hang_up()
            self._stop_sending()
            raise explain(self._git.redact(str(silent)), self.name) from None

    def _hang_up(self) -> None:
        if self._wire:
            self._wire.close()
            self._wire = None

    def _stop_sending(self) -> None:
        if self._sending:
            self._sending.close()
            self._sending = None

    def _by_fetching(self) -> FetchedRemote:
        assert self._fetched is not None  # noqa: S101 - `_open` answered None
        return self._fetched

    def _fetch(self, trees: str, options: Sequence[str], wanted: Sequence[str]) -> None:
        """Fetch objects; a filter the server refuses is not tried again.

        Arguments:
            trees: the tree filter wished for; none if empty.
        """
        while True:
            kept = trees if self._filters[0] == "tree" or not trees else self._filters[0]
            arguments = ["no-progress", "ofs-delta", *options, *([f"filter {kept}"] if kept else [])]
            try:
                self._fetch_once([*arguments, *(f"want {name}" for name in wanted), "done"])
            except Refused as refused:
                if "filter" not in str(refused) or len(self._filters) == 1:
                    raise UsageError(f"{self.name} refused what was asked of it: {refused}") from None
                del self._filters[0]
            else:
                return

    def _fetch_once(self, arguments: Sequence[str]) -> None:
        wire = self._open()
        assert wire is not None  # noqa: S101 - asked before
        with tempfile.TemporaryFile() as pack:
            with self._explained():
                wire.command("fetch", arguments)
                told = wire.pack(pack)
            pack.seek(0)
            self._git.index_pack(pack)
        self._note_cut({line.split()[1] for line in told if line.startswith("shallow ")})

    def _note_cut(self, added: set[str]) -> None:
        """Keep the list of commits whose parents are not here, so that git's own commands stop at them."""
        known = self._git.shallow()
        if known or added:
            self._git.cut(name for name in known | added if not self._parents_here(name))

    def _parents_here(self, name: str) -> bool:
        return all(self._objects.get(parent) for parent in self._parents(name))

    def _parents(self, name: str) -> list[str]:
        held = self._objects.get(name)
        header = held[1].partition(b"\n\n")[0] if held else b""
        return [line[7:].decode() for line in header.split(b"\n") if line.startswith(b"parent ")]


def connection(url: str, git: Git) -> Connection | None:
    """How to start a conversation with the server of a URL; None if only `git fetch` knows.

    Arguments:
        url: without user name or password if it is HTTP.
        git: our own folder, with the environment to use.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme in {"http", "https"}:
        command = ["git", f"remote-{scheme}", "origin", url]
        ours = {**git.environment, "GIT_DIR": str(git.folder)}  # else the clone we stand in has a say
        return Connection(
            lambda: Wire(command, ours, helper=True, timeout=git.timeout),
            lambda: Sending(command, ours, timeout=git.timeout),
        )
    ssh = _ssh(url, git) if scheme in {"ssh", ""} else None
    if ssh is None:
        return None
    environment = {**git.environment, "GIT_PROTOCOL": "version=2"}
    return Connection(lambda: Wire(ssh, environment, helper=False, timeout=git.timeout))


def _ssh(url: str, git: Git) -> list[str] | None:
    """The command that runs ``git-upload-pack`` on the server, None unless it is OpenSSH that connects."""
    chosen = (
        git.environment.get("GIT_SSH_COMMAND") or git.run("config", "core.sshCommand").output.decode().strip()
    )
    program = shlex.split(chosen or "ssh")
    if program[0].rpartition("/")[2] != "ssh" or "GIT_SSH" in git.environment:
        return None
    if "://" in url:
        parts = urlsplit(url)
        host, path, port = parts.netloc.rpartition(":")[0] or parts.netloc, unquote(parts.path), parts.port
        host = host if parts.port else parts.netloc
        path = path[1:] if path.startswith("/~") else path
    elif scp := _SCP.fullmatch(url):
        host, path, port = scp["host"], scp["path"], None
    else:
        return None
    if host.startswith("-") or path.startswith("-"):
        return None  # git refuses these with an explanation of its own
    at = ["-p", str(port)] if port else []
    return [*program, "-o", "SendEnv=GIT_PROTOCOL", *at, host, f"git-upload-pack {shlex.quote(path)}"]
