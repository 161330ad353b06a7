"""What is kept between runs to save time: small JSON files that may be lost, damaged or old at any time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipegraft import __version__

__all__ = ["CACHE", "load_kept", "save_kept"]

CACHE = ".pipegraft/cache"
"""Folder of everything that is kept, relative to the source repository."""

_DIGEST = hashlib.sha256().digest_size


def load_kept(path: Path) -> dict[str, Any]:
    """What `save_kept` wrote; empty if there is none, if it is damaged, or if another version wrote it."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]:
            version, kept = json.loads(content[_DIGEST:])
            return dict(kept) if version == __version__ else {}
    except (OSError, ValueError, TypeError):
        pass
    return {}


def save_kept(path: Path, kept: Mapping[str, Any]) -> None:
    """Keep something, whole or not at all; where that is not possible nothing is kept, and no one minds."""
    content = json.dumps([__version__, kept], separators=(",", ":")).encode()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _hide_from_git(path.parent)
        name = f"{path.parent}/.{path.name}.{os.urandom(6).hex()}"
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(hashlib.sha256(content).digest() + content)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)


def _hide_from_git(folder: Path) -> None:
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
