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
        platform: ``os/architecture``; several with commas between.
        dockerfile_path: where in the context the Dockerfile is, empty for the usual place.
        stage: stage of the Dockerfile that is built, empty for the last.
        contexts: further contexts by name; an image stands among `bases`.
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
    dockerfile_path: str = ""
    stage: str = ""
    contexts: Mapping[str, Sequence[ContextEntry]] = field(default_factory=dict)

    def tag(self) -> str:
        """``ih-`` and 64 hex digits: the same inputs, the same tag, on any machine."""
        described = {
            **{name: getattr(self, name) for name in _PLAIN},
            "scheme": _SCHEME,
            "entries": _shown(self.entries),
            "build_args": dict(self.build_args),
            "bases": dict(self.bases),
            "upstream": dict(self.upstream),
            "command": list(self.command),
            **self._rarely_set(),
        }
        return f"ih-{hashlib.sha256(canonical_json(described)).hexdigest()}"

    def _rarely_set(self) -> dict[str, object]:
        """What is left out where it is not set: it came later, and unchanged images keep their tag."""
        described: dict[str, object] = {
            "secrets": sorted(self.secrets),
            "dockerfile_path": self.dockerfile_path,
            "stage": self.stage,
            "contexts": {name: _shown(entries) for name, entries in self.contexts.items()},
        }
        return {name: value for name, value in described.items() if value}


def _shown(entries: Sequence[ContextEntry]) -> list[dict[str, object]]:
    return [dict(zip(_ENTRY, entry.facts, strict=True)) for entry in sorted(entries)]


_ENTRY = tuple(each.name for each in fields(ContextEntry))
_PLAIN = ("builder", "builder_version", "dockerfile", "target", "platform")
