"""From the text of a declared file to a typed value, or to everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pipegraft.core.errors import ConfigError, Problem
from pipegraft.core.faults import Fault, read
from pipegraft.core.model import Model, keys_of
from pipegraft.core.yaml_positions import Marked, Route, load_marked

__all__ = ["check", "parse_document", "validate"]

M = TypeVar("M", bound=Model)


def parse_document(text: str, file: str, model: type[M]) -> M:
    """Read one YAML file into a model.

    Arguments:
        text: what the file holds.
        file: name to use in messages.
        model: what it should be.

    Raises:
        ConfigError: every problem with its place, in the order of the file.
    """
    marked = load_marked(text, file)
    return validate(marked, marked.data, model)


def validate(marked: Marked, data: Any, model: type[M], base: Route = ()) -> M:
    """Read part of a document into a model.

    Arguments:
        marked: the whole document, for places.
        data: the part to read, any YAML value.
        model: what it should be.
        base: route of the part in the document.

    Raises:
        ConfigError: every problem with its place, in the order of the file.
    """
    value, problems = check(marked, data, model, base)
    if value is None or problems:
        raise ConfigError(problems)
    return value


def check(
    marked: Marked, data: Any, model: type[M], base: Route = (), beside: type[Model] | None = None
) -> tuple[M | None, list[Problem]]:
    """Read part of a document into a model as far as it can be read.

    Arguments:
        beside: has the other keys of the same mapping, which are checked elsewhere: they are proposed too.

    Returns: the value, as `pipegraft.core.faults.Reading` has it, and every problem with its place, in the
    order of the file.
    """
    if data is None and not base:
        return None, [Problem("expected a mapping, found an empty file", marked.place(()))]
    found = read(model, data)
    further = tuple(keys_of(beside).values()) if beside else ()
    problems = [_problem(marked, base, fault, further) for fault in found.faults]
    return found.known, sorted(problems, key=_order)


def _order(problem: Problem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place else (0, 0)


def _problem(marked: Marked, base: Route, fault: Fault, beside: Iterable[str]) -> Problem:
    """One fault at its place; `beside` are further keys of the mapping at `base`."""
    route = (*base, *fault.route)
    dotted = _dotted(route)
    if fault.kind == "unknown":
        known = sorted({*fault.known, *(beside if len(fault.route) == 1 else ())})
        close = fault._replace(known=tuple(known)).meant
        others = f"remove it, or use one of: {', '.join(known)}" if known else "remove it"
        fix = f"write '{close[0]}'" if close else others
        return Problem(f"unknown key '{dotted}'", marked.place(route, key=True), fix)
    if fault.kind == "missing":
        missing = _dotted((*route, fault.found))
        return Problem(f"'{missing}' is missing", marked.place(route, key=True), f"add '{fault.found}'")
    found = "" if isinstance(fault.found, (Mapping, list, tuple)) else f", found {_shown(fault.found)}"
    message = fault.message if ", found " in fault.message else f"{fault.message}{found}"
    place = marked.place(route, key=fault.kind == "key")
    return Problem(f"'{dotted}': {message}" if dotted else message, place)


def _shown(value: Any) -> str:
    """A scalar as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, str) else str(value)


def _dotted(route: Route) -> str:
    text = ""
    for step in route:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
