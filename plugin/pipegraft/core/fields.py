"""What a class of declared values says about its fields, and what can be wrong with a value."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

__all__ = [
    "REQUIRED",
    "Check",
    "Converter",
    "Fault",
    "Field",
    "FieldInfo",
    "Invalid",
    "model_validator",
    "one_of",
]

REQUIRED: Any = type("Required", (), {"__repr__": lambda _self: "required"})()
"""Default of a field that must be given."""

F = TypeVar("F", bound=Callable[..., None])


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

    route: tuple[str | int, ...]
    message: str
    kind: Literal["value", "key", "unknown", "missing"] = "value"
    found: Any = None
    known: tuple[str, ...] = ()


class Invalid(ValueError):
    """Data is not what a class declares.

    Arguments:
        model: name of the class.
        faults: everything that is wrong.
    """

    def __init__(self, model: str, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        lines = (f"{'.'.join(map(str, fault.route)) or 'whole'}: {fault.message}" for fault in self.faults)
        super().__init__(f"{model}: {'; '.join(lines)}")


class FieldInfo:
    """One field, or further bounds of a type within ``Annotated``; see `Field`."""

    def __init__(self, default: Any, key: str | None, description: str, bounds: Mapping[str, Any]) -> None:
        self.default = default
        self.key = key or ""
        self.description = description
        self.bounds = bounds
        self.annotation: Any = None

    def __get__(self, instance: object, _owner: object) -> FieldInfo:
        if instance is not None:
            raise AttributeError("this field was not given")
        return self

    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is REQUIRED

    def fault(self, value: Any) -> str:
        """What was expected instead of a value of the right type; empty if it is within the bounds."""
        return next(
            (said for name, bound in self.bounds.items() if (said := _BOUNDS[name](value, bound))), ""
        )


def Field(  # noqa: N802 - stands where a type's name would
    *,
    default: Any = REQUIRED,
    key: str | None = None,
    description: str = "",
    pattern: str | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """Describe a field beyond its type; ``Annotated[type, Field(...)]`` bounds a type that many fields have.

    Arguments:
        default: its value if it is not given; it must be given without one.
        key: how users write it; the name in kebab-case if None.
        description: what it is; the text below the field in the source if empty.
        pattern: regular expression that text must match; ``^`` and ``$`` stand for its ends.
        min_length, max_length: of text in characters, of lists and mappings in entries.
        ge, gt, le, lt: what a number must be at least, above, at most, below.
    """
    bounds = {
        "pattern": pattern, "min_length": min_length, "max_length": max_length,
        "ge": ge, "gt": gt, "le": le, "lt": lt,
    }  # fmt: skip
    return FieldInfo(
        default, key, description, {name: one for name, one in bounds.items() if one is not None}
    )


class Misplaced(ValueError):
    """What a validator of a whole value raises when one place in it is wrong.

    Arguments:
        route: keys and indices that lead there from the value.
    """

    def __init__(self, message: str, route: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.route = route


class Check:
    """Within ``Annotated``: a further check of a value that has the type.

    Arguments:
        check: answers the value to keep; raises ValueError with what was expected.
        schema: the same in words of JSON Schema, as far as it has them; added to those of the type.
    """

    def __init__(self, check: Callable[[Any], Any], *, schema: Mapping[str, Any] | None = None) -> None:
        self.check = check
        self.schema = schema or {}


class Converter:
    """Within ``Annotated``: reads a type in a way of its own.

    Arguments:
        read: answers the value of what the data holds; raises ValueError with what was expected.
        schema: JSON Schema of what the data holds; that of the type if None.
        write: the value as data again; as it is if None.
    """

    def __init__(
        self,
        read: Callable[[Any], Any],
        *,
        schema: Mapping[str, Any] | None = None,
        write: Callable[[Any], Any] | None = None,
    ) -> None:
        self.read = read
        self.schema = schema
        self.write = write


def model_validator(method: F) -> F:
    """Mark a method that checks a whole value once its fields are right.

    It raises ValueError, or `Misplaced` where one place is to blame.
    """
    method.__validates__ = True  # type: ignore[attr-defined]
    return method


def one_of(*keys: str, or_none: bool = False) -> Mapping[str, Any]:
    """Words of JSON Schema: one of these keys is given, and not null; or none of them, if that is allowed."""
    given = [{"required": [key], "properties": {key: {"not": {"type": "null"}}}} for key in keys]
    none: list[Mapping[str, Any]] = [{"not": {"anyOf": given}}] if or_none else []
    return {"allOf": [{"oneOf": [*given, *none]}]}


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """``$`` is the end, also where a line end follows."""
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _matches(value: str, pattern: str) -> str:
    return "" if _compiled(pattern).search(value) else f"expected text that matches '{pattern}'"


def _at_least_long(value: Any, length: int) -> str:
    if len(value) >= length:
        return ""
    if isinstance(value, str):
        return "expected text, found none" if length == 1 else f"expected at least {length} characters"
    return f"expected {length} or more entries, found {len(value) or 'none'}"


def _at_most_long(value: Any, length: int) -> str:
    what = "characters" if isinstance(value, str) else "entries"
    return "" if len(value) <= length else f"expected at most {length} {what}, found {len(value)}"


_BOUNDS: Mapping[str, Callable[[Any, Any], str]] = {
    "pattern": _matches,
    "min_length": _at_least_long,
    "max_length": _at_most_long,
    "ge": lambda value, bound: "" if value >= bound else f"expected {bound:g} or more",
    "gt": lambda value, bound: "" if value > bound else f"expected more than {bound:g}",
    "le": lambda value, bound: "" if value <= bound else f"expected {bound:g} or less",
    "lt": lambda value, bound: "" if value < bound else f"expected less than {bound:g}",
}
