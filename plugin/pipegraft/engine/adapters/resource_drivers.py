"""How each type of resource runs on this machine: which program, with which files, telling what."""

from __future__ import annotations

import functools
import os
import pwd
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipegraft.core.errors import UsageError

__all__ = ["DRIVERS", "Driver", "Running", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A resource to run.

    Arguments:
        folder: of its files; exists, and is its own.
        port: where it must listen.
        password: that it must ask for.
    """

    folder: Path
    port: int
    password: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Running:
    """How to run it.

    Arguments:
        outputs: what it tells once it runs.
        words: the server's program and arguments; none for a resource that is only files.
        env: variables of the server.
    """

    outputs: Mapping[str, str]
    words: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None


Driver = Callable[[Wanted], Running]
"""Prepares the files of a resource. Raises UsageError if it cannot run on this machine."""


def _sqlite(wanted: Wanted) -> Running:
    path = wanted.folder / "app.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode={wanted.params['journal']}")
    return Running({"path": str(path)})


def _redis(wanted: Wanted) -> Running:
    program = _program(("redis-server", "valkey-server"), "redis")
    _check_version("redis", wanted, _version(program))
    keeping = "appendonly yes" if wanted.params["persistent"] else 'save ""'
    configuration = wanted.folder / "redis.conf"
    _write_secret(
        configuration,
        f"bind 127.0.0.1\nport {wanted.port}\ndir {_quoted(wanted.folder)}\n"
        f"requirepass {wanted.password}\nmaxmemory {_bytes(wanted.params['memory'])}\n{keeping}\n",
    )
    return Running(
        {"host": "127.0.0.1", "port": str(wanted.port), "password": wanted.password},
        (program, str(configuration)),
    )


_DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps PostgreSQL's programs, a folder for each version and none of them on the PATH."""
_POSTGRES = """\
set -eu
if [ ! -f data/PG_VERSION ]; then
    rm -rf data.new
    "$PROGRAMS/initdb" --pgdata=data.new --username=app --pwfile=password --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C
    mv data.new data
fi
if [ ! -f "database-$DATABASE" ]; then
    echo "CREATE DATABASE $DATABASE" | "$PROGRAMS/postgres" --single -D data postgres
    : > "database-$DATABASE"
fi
exec "$PROGRAMS/postgres" -D data -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories=
"""


def _postgres(wanted: Wanted) -> Running:
    programs = _postgres_programs(wanted)
    _write_secret(wanted.folder / "password", wanted.password)
    words: tuple[str, ...] = ("/bin/sh", "-c", _POSTGRES)
    if os.geteuid() == 0:  # the server refuses to run as root
        user = _other_user("postgres", "nobody")
        for path in (wanted.folder, wanted.folder / "password"):
            os.chown(path, user.pw_uid, user.pw_gid)
        words = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *words)
    return Running(
        {
            "host": "127.0.0.1",
            "port": str(wanted.port),
            "database": wanted.params["database"],
            "username": "app",
            "password": wanted.password,
        },
        words,
        {"PROGRAMS": str(programs), "DATABASE": wanted.params["database"], "PORT": str(wanted.port)},
    )


def _postgres_programs(wanted: Wanted) -> Path:
    """Folder of the server's programs: of the version that is wanted, the newest if none is."""
    debian = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: _numbers(str(path)))
    found = [str(path) for path in reversed(debian)]
    if on_path := shutil.which("postgres"):
        found.append(str(Path(on_path).resolve()))
    if not found:
        raise _not_installed(("postgres",), "postgres")
    versions = {path: _version(path) for path in found}
    fitting = next((path for path in found if _fits(wanted, versions[path])), None)
    if fitting is None:
        _check_version("postgres", wanted, versions[found[0]])
        raise AssertionError  # the check has refused it
    return Path(fitting).parent


def _program(names: tuple[str, ...], kind: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise _not_installed(names, kind)


def _not_installed(names: tuple[str, ...], kind: str) -> UsageError:
    return UsageError(
        f"{' or '.join(names)} is not installed on this machine",
        fix=f"install it, or name another provider of {kind} under 'providers' of the environment",
    )


@functools.cache
def _version(program: str) -> str:
    """What a program says its version is: the first number with a dot that it prints."""
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False, timeout=10
    ).stdout
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found[0] if found else ""


def _fits(wanted: Wanted, version: str) -> bool:
    declared = wanted.params.get("version")
    return declared is None or f"{version}.".startswith(f"{declared}.")


def _check_version(kind: str, wanted: Wanted, version: str) -> None:
    if not _fits(wanted, version):
        raise UsageError(
            f"{kind} {wanted.params['version']} is wanted, this machine has {version}",
            fix="install that version, or set 'version' to this one in the environment",
        )


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _other_user(*names: str) -> pwd.struct_passwd:
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise UsageError(f"postgres does not run as root, and this machine has no user {' or '.join(names)}")


def _write_secret(path: Path, text: str) -> None:
    """A file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _bytes(quantity: str) -> int:
    number = int(re.match(r"\d+", quantity)[0])  # type: ignore[index] # the type's schema has checked it
    return number << {"K": 10, "M": 20, "G": 30, "T": 40}.get(quantity.removesuffix("i")[-1], 0)


DRIVERS: Mapping[str, Driver] = {"sqlite": _sqlite, "redis": _redis, "postgres": _postgres}
"""Type → how it runs here."""
