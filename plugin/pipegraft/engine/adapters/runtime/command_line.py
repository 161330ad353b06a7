"""What a container becomes as a plain process: its words, its variables, its folder.

There is no root file system to change into, so paths are mapped: the working folder, and every word
of the command that is an absolute path inside the image, lead into the folder it was unpacked to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipegraft.appspec.notation import expand
from pipegraft.core.errors import UsageError
from pipegraft.engine.ports import Container, SecretKey, Workload

__all__ = ["CommandLine", "command_line"]

_INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")
"""What a process of this machine needs from it; everything else comes from the image and the spec."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """How to start one container."""

    words: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path


def command_line(
    workload: Workload,
    container: Container,
    *,
    roots: Mapping[str, Path],
    config: Mapping[str, Any],
    ports: Mapping[int, int],
    secret: Callable[[SecretKey], str],
) -> CommandLine:
    """Build it.

    Arguments:
        roots: image reference → folder it is unpacked to.
        config: `config` of the container's image (OCI image-spec, config.md).
        ports: declared port → the one to listen on.
        secret: looks up a value kept outside of the repository.

    Raises:
        UsageError: there is nothing to run, or a secret is missing.
    """
    root = roots[container.image]
    local = _local_ports(container, ports) | _local_mounts(workload, roots)
    declared = _declared(container, local, secret)
    command = tuple(expand(word, declared) for word in container.command)
    args = tuple(expand(word, declared) for word in container.args)
    entrypoint = command or tuple(config.get("Entrypoint") or ())
    words = (*entrypoint, *(args or (() if command else tuple(config.get("Cmd") or ()))))
    if not words:
        raise UsageError(
            f"the image of '{container.name}' says no command to run",
            fix=f"add 'command' to component '{container.name}'",
        )
    folder = _inside(root, config.get("WorkingDir") or "/")
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    for entry in config.get("Env") or ():
        name, _, value = entry.partition("=")
        env[name] = f"{env[name]}:{value}" if name == "PATH" and "PATH" in env else value
    env |= declared
    return CommandLine(tuple(_mapped(root, word) for word in words), env, folder if folder.is_dir() else root)


def _declared(
    container: Container, local: Mapping[str, str], secret: Callable[[SecretKey], str]
) -> dict[str, str]:
    """The spec's variables with those before them put in, and what is different on this machine."""
    known: dict[str, str] = dict(local)
    for name, value in container.env:
        if name not in local:
            known[name] = secret(value) if isinstance(value, SecretKey) else expand(value, known)
    return known


def _local_ports(container: Container, ports: Mapping[int, int]) -> dict[str, str]:
    return {
        name: str(ports[int(value)])
        for name, value in container.env
        if name.startswith("PIPEGRAFT_PORT_") and isinstance(value, str)
    }


def _local_mounts(workload: Workload, roots: Mapping[str, Path]) -> dict[str, str]:
    """Where mounted components are: the mount path inside their image, or the image's root."""
    found = {}
    for mount in workload.mounts:
        inside = _inside(roots[mount.image], mount.path)
        name = mount.name.upper().replace("-", "_")
        found[f"PIPEGRAFT_MOUNT_{name}"] = str(inside if inside.exists() else roots[mount.image])
    return found


def _mapped(root: Path, word: str) -> str:
    inside = _inside(root, word)
    return str(inside) if word.startswith("/") and word != "/" and inside.exists() else word


def _inside(root: Path, path: str) -> Path:
    """An absolute path of the image; ``..`` cannot lead out of it."""
    return root / os.path.normpath(f"/{path}").lstrip("/")
