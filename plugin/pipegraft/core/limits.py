"""What texts of strangers may cost: nesting that would exhaust the stack is told like any other fault."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipegraft.core.errors import Unreachable

__all__ = ["MOST_LEVELS", "UNREADABLE", "load_json", "readable", "refuse_deep"]

MOST_LEVELS = 100
"""Collections inside of one another; people's files have ten, and a parser's stack holds some hundreds."""

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)
"""What reading an answer of another form than its API promises ends in."""

_PLAIN = {
    *("dict", "list", "tuple", "str", "bytes", "int", "float", "bool", "NoneType"),
    *("datetime", "mappingproxy"),
}
"""Names of the types that answers are made of."""
_WRONG_CALL = re.compile(
    r"\(\) (?:takes (?:no|from|exactly|\d)|missing \d|got (?:an unexpected|multiple|some))|is not callable"
)
_TYPE_NAMED = re.compile(r"'(?:\w+\.)*(\w+)'")
_PACKAGE = Path(__file__).parent.parent
_SHOWN = 200
"""Characters of a foreign error."""
_INDENTED = re.compile(rf"^[ \t?:-]{{{MOST_LEVELS}}}", re.MULTILINE)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Read what a system answered; whatever is not as its API promises is that system's failure, not ours.

    A wrong call or a misuse of our own objects in the block stays what it is: a defect.

    Arguments:
        name: the system, for messages.

    Raises:
        Unreachable: the answer has another form; the place in our code stands in the message.
    """
    try:
        yield
    except UNREADABLE as error:
        if _is_ours(error):
            raise
        at = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error}".rstrip(": ")[:_SHOWN]
        where = f"{Path(at.filename).name}:{at.lineno}"
        raise Unreachable(
            f"{name}: expected an answer as its API promises, found something else ({told} in {where})",
            fix="check that the address is that system's; if it is, report this line",
        ) from error


def _is_ours(error: Exception) -> bool:
    """Whether an error is a defect of this package, since no answer can bring it about."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    if not Path(at.filename).is_relative_to(_PACKAGE):
        return False  # what a library does with an answer
    if isinstance(error, AttributeError):
        return type(error.obj).__name__ not in _PLAIN
    if not isinstance(error, TypeError):
        return False
    return bool(_WRONG_CALL.search(str(error)) or set(_TYPE_NAMED.findall(str(error))) - _PLAIN)


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
