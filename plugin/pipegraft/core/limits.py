"""What texts of strangers may cost: nesting that would exhaust the stack is told like any other fault."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

__all__ = ["MOST_LEVELS", "load_json", "refuse_deep"]

MOST_LEVELS = 100
"""Collections inside of one another; people's files have ten, and a parser's stack holds some hundreds."""

_INDENTED = re.compile(rf"^[ \t?:-]{{{MOST_LEVELS}}}", re.MULTILINE)


def refuse_deep(text: str) -> None:
    """Look whether a YAML text nests reasonably, before anything reads it recursively.

    Only texts that could are looked through: with a hundred brackets, or an indentation as deep.

    Raises:
        yaml.YAMLError: it nests deeper than `MOST_LEVELS`, or is no YAML.
    """
    if text.count("[") + text.count("{") < MOST_LEVELS and not _INDENTED.search(text):
        return
    loader = yaml.CSafeLoader(text)
    levels = 0
    while (event := loader.get_event()) is not None:
        if isinstance(event, yaml.CollectionStartEvent):
            levels += 1
            if levels > MOST_LEVELS:
                told, place = f"more than {MOST_LEVELS} levels", event.start_mark
                raise yaml.MarkedYAMLError(problem=told, problem_mark=place)  # type: ignore[arg-type]
        elif isinstance(event, yaml.CollectionEndEvent):
            levels -= 1


def load_json(text: str | bytes) -> Any:
    """As `json.loads`.

    Raises:
        ValueError: it is no JSON, no UTF-8, or nests deeper than the stack is.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
