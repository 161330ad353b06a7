"""From the text of a declared file to a typed value, or to everything that is wrong with it at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pipegraft.core.base import Declared
from pipegraft.core.errors import ConfigError, Problem
from pipegraft.core.fields import Fault, Invalid
from pipegraft.text.yaml_positions import Marked, Route, load_marked

__all__ = ["parse_document", "parse_marked", "validate"]

M = TypeVar("M", bound=Declared)


def parse_document(text: str, file: str, model: type[M]) -> M:
    """Read one YAML file into a model.

    Arguments:
        text: what the file holds.
        file: name to use in messages.
        model: what it should be.

    Raises:
        ConfigError: every problem with its place, in the order of the file.
    """
    return parse_marked(load_marked(text, file), model)


def parse_marked(marked: Marked, model: type[M]) -> M:
    """Read a document into a model; as `parse_document`."""
    if marked.data is None:
        raise ConfigError([Problem("expected a mapping, found an empty file", marked.place(()))])
    return validate(marked, marked.data, model)


def validate(
    marked: Marked,
    data: Any,  # any YAML value
    model: type[M],
    base: Route = (),
    beside: type[Declared] | None = None,
) -> M:
    """Check part of a document against a model.

    Arguments:
        marked: the whole document, for places.
        data: the part to check.
        model: what it should be.
        base: route of the part in the document.
        beside: has the other keys of the same mapping, which are checked elsewhere: they are proposed too.

    Raises:
        ConfigError: every problem with its place, in the order of the file.
    """
    try:
        return model.model_validate(data)
    except Invalid as error:
        further = [info.key for info in beside.model_fields.values()] if beside else []
        problems = [_problem(marked, base, fault, further) for fault in error.faults]
        raise ConfigError(sorted(problems, key=_order)) from None


def _order(problem: Problem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place else (0, 0)


def _problem(marked: Marked, base: Route, fault: Fault, beside: Iterable[str]) -> Problem:
    """One fault at its place; `beside` are further keys of the mapping at `base`."""
    route = (*base, *fault.route)
    dotted = _dotted(route)
    if fault.kind == "unknown":
        known = sorted({*fault.known, *(beside if len(fault.route) == 1 else ())})
        close = difflib.get_close_matches(str(route[-1]), known, n=1, cutoff=0.65)
        others = f"remove it, or use one of: {', '.join(known)}" if known else "remove it"
        fix = f"write '{close[0]}'" if close else others
        return Problem(f"unknown key '{dotted}'", marked.place(route, key=True), fix)
    if fault.kind == "missing":
        missing = _dotted((*route, fault.found))
        return Problem(f"'{missing}' is missing", marked.place(route, key=True), f"add '{fault.found}'")
    value = "null" if fault.found is None else repr(fault.found)
    found = "" if isinstance(fault.found, (Mapping, list, tuple)) else f", found {value}"
    message = fault.message if ", found " in fault.message else f"{fault.message}{found}"
    place = marked.place(route, key=fault.kind == "key")
    return Problem(f"'{dotted}': {message}" if dotted else message, place)


def _dotted(route: Route) -> str:
    text = ""
    for step in route:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
