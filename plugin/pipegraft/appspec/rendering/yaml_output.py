"""Rendered data as YAML, the same bytes on every run."""

from __future__ import annotations

import io
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

from pipegraft.text.yaml.scalars import typed_somewhere

__all__ = ["dump_documents"]

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
