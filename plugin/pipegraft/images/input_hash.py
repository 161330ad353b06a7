"""The input hash: everything an image follows from, in one tag."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from pipegraft.images.documents import canonical_json
from pipegraft.images.ports.builders import ContextEntry

__all__ = ["BuildInputs"]

_SCHEME = 1


@dataclass(frozen=True, slots=True)
class BuildInputs:
    """What an image follows from; no time, commit, machine or folder is among it.

    Arguments:
        builder: name of the builder.
        builder_version: its version.
        entries: the build context, ignore rules applied.
        dockerfile: content of the Dockerfile, None without one; it counts even where it is ignored.
        build_args: arguments of the build.
        bases: image that it is built on, as it is named → digest; empty where nobody knows it.
        upstream: component that this one needs → digest of its image.
        command: what the image runs.
        secrets: ids of build secrets; never what they hold.
        target: where in the image the context goes.
        platform: ``os/architecture``.
    """

    builder: str
    builder_version: str
    entries: Sequence[ContextEntry]
    dockerfile: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    secrets: Sequence[str] = ()
    target: str = "/"
    platform: str = "linux/amd64"

    def tag(self) -> str:
        """``ih-`` and 64 hex digits: the same inputs, the same tag, on any machine."""
        described = {
            **{name: getattr(self, name) for name in _PLAIN},
            "scheme": _SCHEME,
            "entries": [dict(zip(_ENTRY, entry.facts, strict=True)) for entry in sorted(self.entries)],
            "build_args": dict(self.build_args),
            "bases": dict(self.bases),
            "upstream": dict(self.upstream),
            "command": list(self.command),
            **({"secrets": sorted(self.secrets)} if self.secrets else {}),
        }
        return f"ih-{hashlib.sha256(canonical_json(described)).hexdigest()}"


_ENTRY = tuple(each.name for each in fields(ContextEntry))
_PLAIN = ("builder", "builder_version", "dockerfile", "target", "platform")
