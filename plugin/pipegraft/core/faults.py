"""From plain data to a declared value, or to everything that is wrong with it at once, each at its place.

pydantic stops at a value's fields if one of them is wrong, and so does what is checked after it: rules over
several fields, the keys of plugins, whether a folder exists. Here the wrong parts are taken out and the
rest is read again, so that all of that is checked as far as what is right allows.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipegraft.core.model import FIELDS_ONLY, UNKNOWN, Model, Route, UnknownValue, keys_of
from pipegraft.core.reading import load_json

__all__ = ["Fault", "Reading", "as_far_as_known", "read", "read_json"]

M = TypeVar("M", bound=Model)
T = TypeVar("T")
_ALIKE = 0.65


class Fault(NamedTuple):
    """One thing that is wrong with data.

    Arguments:
        route: keys and indices that lead to it.
        message: what was expected.
        kind: `value`: it is not what was expected; `key`: the last key of the route is not; `unknown`:
            there is no such key; `missing`: the mapping at the route lacks the key `found`.
        found: what is there.
        known: for an unknown key: those that there are.
    """

    route: Route
    message: str
    kind: Literal["value", "key", "unknown", "missing"] = "value"
    found: Any = None
    known: tuple[str, ...] = ()

    @property
    def meant(self) -> list[str]:
        """The known key that an unknown one is most like, if it is like any."""
        return difflib.get_close_matches(str(self.route[-1]), self.known, n=1, cutoff=_ALIKE)


@dataclass(frozen=True, slots=True)
class Reading(Generic[M]):
    """What was read.

    Arguments:
        known: the value. If there are faults it is for further checks alone: whatever is wrong in it raises
            `UnknownValue` when it is used. None if nothing can be said of it.
        faults: everything that is wrong, in the order of the data.
    """

    known: M | None
    faults: tuple[Fault, ...]


def read(model: type[M], data: Any) -> Reading[M]:
    """Read plain data.

    Arguments:
        model: what it should be.
        data: what a YAML or JSON file holds.
    """
    try:
        value: M | None = model.model_validate(data, context=FIELDS_ONLY)
        faults: list[Fault] = []
    except ValidationError as error:
        faults = [one.fault for one in _found(error, model, data)]
        value = _without_faults(model, data, error)
    if value is not None:
        for route, part in _models(value, ()):
            for breach in part.breaches():
                faults.append(Fault((*route, *breach.route), breach.message, found=()))  # it says itself what
    return Reading(value, tuple(faults))


def read_json(model: type[M], text: str | bytes) -> Reading[M]:
    """Read JSON; text that is none is a fault like others."""
    try:
        data = load_json(text)
    except ValueError as error:
        return Reading(None, (Fault((), f"expected JSON: {error}"),))
    return read(model, data)


def as_far_as_known(found: Iterable[T]) -> Iterator[T]:
    """What a check of a value with faults finds, up to where it needs one of the faulty parts."""
    with suppress(UnknownValue):
        yield from found


def _found(error: ValidationError, model: type[Model], data: Any) -> Iterator[_Found]:
    """What pydantic found, in our words; of a union what its members say together."""
    found = [_Found.of(one, model, data) for one in error.errors(include_url=False)]
    for fork, group in groupby(found, key=lambda one: one.fork):
        members = list(group)
        yield from members if fork is None else _together(members)


class _Found(NamedTuple):
    """One error of pydantic.

    Arguments:
        code: its name there.
        fork: route of the union it belongs to, None if it belongs to none.
        member: which member of the union said it.
    """

    fault: Fault
    code: str
    fork: Route | None = None
    member: str | int = ""

    @classmethod
    def of(cls, error: ErrorDetails, model: type[Model], data: Any) -> _Found:
        """Find the place of an error. Steps of its location that lead nowhere are names of union members."""
        route: list[str | int] = []
        fork: Route | None = None
        member: str | int = ""
        at_key = False
        location = error["loc"][:-1] if error["type"] == "missing" else error["loc"]
        for step in location:
            if step == "[key]":
                at_key = True
            elif _leads(data, step):
                data = data[step]
                route.append(step)
            elif fork is None:
                fork, member = tuple(route), step
        return cls(_fault(tuple(route), error, data, model, at_key=at_key), error["type"], fork, member)


def _leads(data: Any, step: str | int) -> bool:
    if isinstance(data, Mapping):
        return step in data
    return isinstance(data, (list, tuple)) and isinstance(step, int) and step < len(data)


def _together(members: Sequence[_Found]) -> Iterator[_Found]:
    """What is wrong for a union: what the member of the data's form says; all forms if there is none."""
    fits = next((one for one in members if one.fault.route != one.fork or one.code not in _FORMS), None)
    if fits:
        yield from (one for one in members if one.member == fits.member)
        return
    bare = not isinstance(members[0].fault.found, (Mapping, list))
    said = dict.fromkeys(one.fault.message.removeprefix("expected ") for one in members)
    *most, last = [one for one in said if not (bare and one in ("a mapping", "a list"))] or list(said)
    forms = f"{', '.join(most)} or {last}" if most else last
    yield members[0]._replace(fault=members[0].fault._replace(message=f"expected {forms}"))


def _fault(
    route: Route, error: ErrorDetails, found: Any, model: type[Model], *, at_key: bool = False
) -> Fault:
    if error["type"] == "missing":
        key = str(error["loc"][-1])
        return Fault(route, f"'{key}' is missing", "missing", key)
    if error["type"] == "extra_forbidden":
        owner = _class_at(model, route[:-1])
        return Fault(route, "unknown key", "unknown", found, tuple(keys_of(owner).values()) if owner else ())
    return Fault(route, _message(error), "key" if at_key else "value", route[-1] if at_key else found)


def _class_at(annotation: Any, route: Route) -> type[Model] | None:
    """The class of the value at a route, None if it is none of ours."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        if not route:
            return annotation
        fields = {key: name for name, key in keys_of(annotation).items()}
        name = fields.get(str(route[0]))
        return _class_at(annotation.model_fields[name].annotation, route[1:]) if name else None
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _class_at(arguments[0], route)
    if isinstance(origin, type) and issubclass(origin, (Mapping, Sequence)):
        inner = arguments[-1] if issubclass(origin, Mapping) else arguments[0]
        return _class_at(inner, route[1:]) if route else None
    return next((found for one in arguments if (found := _class_at(one, route))), None)


_FORMS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "none_required": "nothing",
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a mapping"),
}
"""pydantic's names of errors → what was expected; the value has another form."""
_EXPECTED = {
    **_FORMS,
    **dict.fromkeys(("int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_parsing", "finite_number"), "a number"),
    "bool_parsing": "true or false",
    "greater_than_equal": "{ge:g} or more",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "{le:g} or less",
    "less_than": "less than {lt:g}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text that matches '{pattern}'",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "{min_length} or more entries",
    "too_long": "at most {max_length} entries",
    "invalid_key": "text as a key",
}
"""pydantic's names of errors → what was expected, with what pydantic tells beside."""


def _message(error: ErrorDetails) -> str:
    told, found = error.get("ctx", {}), error["input"]
    if "error" in told:  # what a validator raised
        return str(told["error"])
    if error["type"] == "string_type" and isinstance(found, (bool, int, float)):
        return "expected text; put quotes around it"
    if error["type"] == "string_too_short" and not found:
        return "expected text, found none"
    if error["type"] in ("too_short", "too_long", "string_too_long"):
        return f"expected {_EXPECTED[error['type']].format(**told)}, found {len(found) or 'none'}"
    if error["type"] in _EXPECTED:
        return f"expected {_EXPECTED[error['type']].format(**told)}"
    return error["msg"].replace("Input should be", "expected")


def _without_faults(model: type[M], data: Any, error: ValidationError) -> M | None:
    """The value with what is wrong in it unknown; None if that is all of it."""
    data = copy.deepcopy(data)
    while True:
        for one in tuple(_found(error, model, data)):
            if not _take_out(one, data):
                return None
        try:
            return model.model_validate(data, context=FIELDS_ONLY)
        except ValidationError as again:
            error = again
        except UnknownValue:  # a validator of pydantic's own kind needs what is unknown
            return None


def _take_out(wrong: _Found, data: Any) -> bool:
    """Make what is wrong unknown, or what holds it if that cannot be; false if that is everything."""
    route, kind = wrong.fault.route, wrong.fault.kind
    holder: Any = _follow(data, route if kind == "missing" else route[:-1])
    if (kind == "missing" and not isinstance(holder, dict)) or (
        kind != "missing" and route and not _leads(holder, route[-1])
    ):
        return True  # it is taken out already, or what holds it is
    if kind == "missing":
        holder[wrong.fault.found] = UNKNOWN
    elif not route:
        return False
    elif kind == "unknown":
        holder.pop(route[-1])
        for meant in wrong.fault.meant:
            holder.setdefault(meant, UNKNOWN)
    elif kind == "key":
        holder.pop(route[-1])
    elif holder[route[-1]] is UNKNOWN:
        return _take_out(wrong._replace(fault=Fault(route[:-1], "")), data)
    else:
        holder[route[-1]] = {} if wrong.code == "model_type" else UNKNOWN
    return True


def _models(value: Any, route: Route) -> Iterator[tuple[Route, Model]]:
    """Every declared value in one, and the route to it; what is there by default breaks no rule."""
    if value is None or isinstance(value, (str, int, float)):
        return
    if isinstance(value, Model):
        yield route, value
        for name, key in keys_of(type(value)).items():
            if name in value.model_fields_set:
                yield from _models(value.__dict__.get(name), (*route, key))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _models(one, (*route, key))
    elif isinstance(value, tuple):
        for index, one in enumerate(value):
            yield from _models(one, (*route, index))


def _follow(data: Any, route: Route) -> Any:
    """What stands at a route, None where it ends before."""
    for step in route:
        if not _leads(data, step):
            return None
        data = data[step]
    return data
