"""Rendered data as YAML, the same bytes on every run, and the file beside the app spec that holds it."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from typing import Any

import yaml
from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from pipegraft.text.yaml.values import typed_somewhere

__all__ = ["dump_documents", "environment_of", "rendered_path", "with_own_version"]

_MAPPING, _MAPPING_END = (
    MappingStartEvent(None, "tag:yaml.org,2002:map", True, flow_style=False),
    MappingEndEvent(),
)
_SEQUENCE, _SEQUENCE_END = (
    SequenceStartEvent(None, "tag:yaml.org,2002:seq", True, flow_style=False),
    SequenceEndEvent(),
)


def dump_documents(documents: Iterable[Any]) -> str:
    """Write documents in the order of their keys, separated by ``---``.

    The same as ``yaml.dump_all`` with every value in full (aliases are not what people expect in manifests),
    without its tree of nodes: the same keys and names come again and again, and each is looked at once.
    """
    stream = io.StringIO()
    writer = _Writer(stream)
    writer.emit(StreamStartEvent())
    for document in documents:
        writer.emit(DocumentStartEvent(explicit=True))
        writer.write(document)
        writer.emit(DocumentEndEvent(explicit=False))
    writer.emit(StreamEndEvent())
    return stream.getvalue()


class _Writer:
    """Writes plain data as events.

    Arguments:
        stream: where to.
    """

    def __init__(self, stream: io.StringIO) -> None:
        self._dumper = yaml.CSafeDumper(stream, allow_unicode=True, width=4096)
        self.emit = self._dumper.emit
        self._scalars: dict[tuple[type, Any], Event] = {}

    def write(self, value: Any) -> None:
        """Write a value and what is below it."""
        if isinstance(value, dict):
            self.emit(_MAPPING)
            for key, item in value.items():
                self.write(key)
                self.write(item)
            self.emit(_MAPPING_END)
        elif isinstance(value, (list, tuple)):
            self.emit(_SEQUENCE)
            for item in value:
                self.write(item)
            self.emit(_SEQUENCE_END)
        elif isinstance(value, float):  # 0.0 and -0.0 are equal, and written otherwise
            self.emit(self._scalar(value))
        else:
            event = self._scalars.get((type(value), value))
            if event is None:
                event = self._scalars[type(value), value] = self._scalar(value)
            self.emit(event)

    def _scalar(self, value: Any) -> Event:
        """As PyYAML's serializer does: plain where every reader would take it for the same."""
        node: Any = self._dumper.represent_data(value)
        resolve: Any = self._dumper.resolve
        implicit = tuple(
            node.tag == resolve(yaml.ScalarNode, node.value, asked)
            for asked in ((True, False), (False, True))
        )
        style = node.style
        if isinstance(value, str) and style is None and typed_somewhere(value):
            style = "'"  # Kubernetes and Compose read YAML as Go does, where 1e5, y and 08 are no strings
        return ScalarEvent(None, node.tag, implicit, node.value, style=style)


_ENVIRONMENT = re.compile(r"(?P<folder>(?:.+/)?)environments/(?P<name>[^/]+)\.yaml")


def rendered_path(folder: str, environment: str) -> str:
    """Path of an environment's manifests; a folder of its own, so that engines can be pointed at it.

    Arguments:
        folder: the app's folder in the repository, empty for the root.
    """
    path = f"rendered/{environment}/manifests.yaml"
    return f"{folder}/{path}" if folder else path


def environment_of(path: str) -> tuple[str, str] | None:
    """Folder and name of the environment that a path is the file of; None for other paths."""
    found = _ENVIRONMENT.fullmatch(path)
    return (found["folder"].rstrip("/"), found["name"]) if found else None


_VERSION = re.compile(r"^(?P<key>[ ]+app\.oam\.dev/publishVersion: )(?P<version>\S+)$", re.MULTILINE)


def with_own_version(rendered: str, before: str | None) -> str:
    """Manifests whose `publishVersion` no earlier ones had, unless they are the same as those before them.

    KubeVela applies a version once: a release that is restored byte for byte would be one that it has
    applied already, and the version that it was to replace would stay.

    Arguments:
        rendered: manifests with a version that follows from their content alone.
        before: the file as it is, None if there is none.
    """
    new, old = _VERSION.search(rendered), _VERSION.search(before or "")
    if new is None or old is None:
        return rendered
    if _VERSION.sub(r"\g<key>", rendered) == _VERSION.sub(r"\g<key>", before or ""):
        return before or rendered
    own = hashlib.sha256(f"{new['version']} after {old['version']}".encode()).hexdigest()[:40]
    return _VERSION.sub(rf"\g<key>{own}", rendered)
