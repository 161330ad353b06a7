"""``$[[ inputs.name ]]``: what an included file's `spec:` header declares, filled in.

Source: https://docs.gitlab.com/ci/inputs/ . A value that is nothing but one interpolation takes the input's
type; inside a longer text the input is written out. What nothing gives a value stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipegraft.ci.gitlab.loader import Document, Reference

__all__ = ["interpolate"]

_BLOCK = re.compile(r"\$\[\[\s*inputs\.([A-Za-z0-9_-]+)\s*(?:\|[^\]]*)?\]\]")


def interpolate(document: Document, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The document's values with its inputs filled in.

    Arguments:
        document: a file with or without header.
        inputs: what the including file passes; the header's defaults fill the rest.
    """
    declared = document.header.get("spec")
    wanted = declared.get("inputs") if isinstance(declared, Mapping) else None
    if not isinstance(wanted, Mapping):
        return document.values
    defaults = {
        name: spec["default"]
        for name, spec in wanted.items()
        if isinstance(spec, Mapping) and "default" in spec
    }
    filled: dict[str, Any] = _fill(document.values, {**defaults, **inputs})
    return filled


def _fill(value: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return _fill_text(value, given) if "$[[" in value else value
    if isinstance(value, dict):
        return {_fill(key, given): _fill(item, given) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, given) for item in value]
    if isinstance(value, Reference):
        return Reference(tuple(str(_fill(part, given)) for part in value.path))
    return value


def _fill_text(text: str, given: Mapping[str, Any]) -> Any:
    whole = _BLOCK.fullmatch(text.strip())
    if whole:
        return given.get(whole[1], text)
    return _BLOCK.sub(lambda block: _written(given.get(block[1], block[0])), text)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
