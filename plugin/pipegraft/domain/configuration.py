"""From the text of a declared file to a typed value, or to everything that is wrong with it at once."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipegraft.errors import ConfigError, Problem
from pipegraft.text.marked import Marked, Route, load_marked

__all__ = ["existing_route", "parse_document", "parse_marked", "validate"]

M = TypeVar("M", bound=BaseModel)
_KINDS = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "expected a mapping"),
    **dict.fromkeys(("list_type", "tuple_type"), "expected a list"),
}
"""What pydantic says in terms of Python, in those of YAML."""


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
    beside: type[BaseModel] | None = None,
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
    except ValidationError as error:
        models = (model, beside) if beside else (model,)
        problems = [_problem(marked, data, models, base, dict(entry)) for entry in error.errors()]
        raise ConfigError(sorted(problems, key=_order)) from None


def _order(problem: Problem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place else (0, 0)


def _problem(
    marked: Marked, data: Any, models: Sequence[type[BaseModel]], base: Route, entry: Mapping[str, Any]
) -> Problem:
    """One problem that pydantic found; models after the first one have other keys of the same mapping."""
    local = existing_route(data, entry["loc"])
    route = (*base, *local)
    kind = entry["type"]
    dotted = _dotted(route)
    if kind == "extra_forbidden":
        models = models if len(local) == 1 else models[:1]
        known = sorted({key for model in models for key in _known_keys(model, local[:-1])})
        close = difflib.get_close_matches(str(local[-1]), known, n=1)
        others = f"remove it, or use one of: {', '.join(known)}" if known else "remove it"
        fix = f"write '{close[0]}'" if close else others
        return Problem(f"unknown key '{dotted}'", marked.place(route, key=True), fix)
    if kind == "missing":
        missing = str(entry["loc"][-1])
        return Problem(
            f"'{_dotted((*route, missing))}' is missing", marked.place(route, key=True), f"add '{missing}'"
        )
    message = str(entry["msg"]).removeprefix("Value error, ")
    message = _KINDS.get(kind, message[:1].lower() + message[1:])
    found = "" if isinstance(entry["input"], (dict, list, BaseModel)) else f", found {entry['input']!r}"
    return Problem(f"'{dotted}': {message}{found}" if dotted else message, marked.place(route))


def existing_route(data: Any, location: tuple[str | int, ...]) -> Route:
    """The part of pydantic's location that exists in the data: it also names union members and key checks."""
    route: list[str | int] = []
    for step in location:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            continue
        route.append(step)
    return tuple(route)


def _known_keys(model: type[BaseModel], route: Route) -> Iterator[str]:
    """Keys that the mapping at `route` may have."""
    current: Any = model
    for step in route:
        current = _step_into(current, step)
    for part in _models(current):
        for name, info in part.model_fields.items():
            yield info.alias or name


def _step_into(annotation: Any, step: str | int) -> Any:
    for model in _models(annotation):
        for name, info in model.model_fields.items():
            if step in (name, info.alias):
                return info.annotation
    arguments = typing.get_args(annotation)
    return arguments[-1] if arguments and arguments[-1] is not Ellipsis else (arguments or (annotation,))[0]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, type(int | None)):
        for argument in typing.get_args(annotation):
            yield from _models(argument)


def _dotted(route: Route) -> str:
    text = ""
    for step in route:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
