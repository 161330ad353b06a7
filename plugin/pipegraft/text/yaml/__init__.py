"""Byte-exact YAML editing: what an edit does not name stays as it is, to the byte.

    >>> apply("image: web:1  # pinned\\n", [Set(("image",), "web:2")])
    'image: web:2  # pinned\\n'

Texts are ``str``; read and write files as bytes (`decode`, ``text.encode()``), so that line ends and the
byte-order mark stay what they are. What cannot be done exactly is refused with `EditRefused`.
"""

from __future__ import annotations

from pipegraft.text.yaml.edits import (
    Edit,
    Insert,
    Put,
    Remove,
    Set,
    apply,
    changed_scalars,
    marked_names,
    set_marked,
    set_values,
)
from pipegraft.text.yaml.paths import Path, Where, format_path, parse_path, split_assignment
from pipegraft.text.yaml.reading import (
    aliases_of,
    document_with,
    get_text,
    get_value,
    has_path,
    locate,
    read_documents,
)
from pipegraft.text.yaml.source import Span, decode
from pipegraft.text.yaml.values import Scalar

__all__ = [
    "Edit",
    "Insert",
    "Path",
    "Put",
    "Remove",
    "Scalar",
    "Set",
    "Span",
    "Where",
    "aliases_of",
    "apply",
    "changed_scalars",
    "decode",
    "document_with",
    "format_path",
    "get_text",
    "get_value",
    "has_path",
    "locate",
    "marked_names",
    "parse_path",
    "read_documents",
    "set_marked",
    "set_values",
    "split_assignment",
]
