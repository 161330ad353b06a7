"""From plain data (mappings, lists, text, numbers) to typed values, and back; every fault is found.

A reader of a type takes data, the route that led there and a list for faults, and answers the value;
what it answers means nothing once there is a fault. Readers are made when a class is first read: a
command pays only for what it reads.
"""

from __future__ import annotations

import functools
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

from pipegraft.core.fields import Check, Converter, Fault, FieldInfo

__all__ = ["Reader", "Writer", "reader_of", "writer_of"]

Route = tuple[str | int, ...]
Reader = Callable[[Any, Route, list[Fault]], Any]
Writer = Callable[[Any], Any]

_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_WHOLE = re.compile(r"[+-]?\d+")


def reader_of(annotation: Any) -> Reader:
    """The reader of a type.

    Raises:
        TypeError: fields cannot have this type.
    """
    if annotation is Any:
        return _as_it_is
    if annotation in _SCALARS:
        return functools.partial(_scalar, *_SCALARS[annotation])
    if hasattr(annotation, "model_read"):
        return typing.cast("Reader", annotation.model_read)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return functools.reduce(_marked, arguments[1:], reader_of(arguments[0]))
    if origin is Literal:
        return functools.partial(_literal, arguments)
    if origin in (Union, types.UnionType):
        return functools.partial(_union, tuple((_takes(one), reader_of(one)) for one in arguments))
    if origin is tuple and arguments[1:] == (...,):
        return functools.partial(_list, reader_of(arguments[0]))
    if origin in (Mapping, dict):
        return functools.partial(_mapping, reader_of(arguments[0]), reader_of(arguments[1]))
    raise TypeError(f"a declared field cannot have the type {annotation}")


def _as_it_is(data: Any, _route: Route, _faults: list[Fault]) -> Any:
    return data


def _scalar(read: Callable[[Any], Any], expected: str, data: Any, route: Route, faults: list[Fault]) -> Any:
    try:
        return read(data)
    except (ValueError, OverflowError) as error:
        faults.append(Fault(route, str(error) or expected, found=data))


def _text(data: Any) -> str:
    if isinstance(data, str):
        return data
    bare = isinstance(data, (bool, int, float))
    raise ValueError("expected text; put quotes around it" if bare else "")


def _whole(data: Any) -> int:
    """Text counts too: variables and the command line have nothing else."""
    whole = isinstance(data, int) and not isinstance(data, bool)
    if whole or (isinstance(data, float) and data.is_integer() and abs(data) <= 2**53):  # exact up to there
        return int(data)
    if isinstance(data, str) and _WHOLE.fullmatch(data.strip()):
        return int(data)
    raise ValueError


def _number(data: Any) -> float:
    """Text counts too; no infinity, which no bound would stop."""
    try:
        number = (
            float(data) if isinstance(data, (int, float, str)) and not isinstance(data, bool) else math.nan
        )
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError
    return number


def _truth(data: Any) -> bool:
    if isinstance(data, bool):
        return data
    if isinstance(data, (str, int)) and (word := str(data).lower()) in _WORDS:
        return _WORDS[word]
    raise ValueError


def _nothing(data: Any) -> None:
    if data is not None:
        raise ValueError


_SCALARS: Mapping[Any, tuple[Callable[[Any], Any], str]] = {
    str: (_text, "expected text"),
    int: (_whole, "expected a whole number"),
    float: (_number, "expected a number"),
    bool: (_truth, "expected true or false"),
    type(None): (_nothing, "expected nothing"),
}


def _marked(read: Reader, mark: Any) -> Reader:
    """The reader of an annotated type, from that of the type and one mark."""
    if isinstance(mark, Converter):
        return functools.partial(_converted, mark.read)
    if isinstance(mark, Check):
        return functools.partial(_checked, read, mark.check)
    if isinstance(mark, FieldInfo) and mark.bounds:
        return functools.partial(_bounded, read, mark)
    return read


def _converted(read: Callable[[Any], Any], data: Any, route: Route, faults: list[Fault]) -> Any:
    try:
        return read(data)
    except ValueError as error:
        faults.append(Fault(route, str(error), found=data))


def _checked(read: Reader, check: Callable[[Any], Any], data: Any, route: Route, faults: list[Fault]) -> Any:
    before = len(faults)
    value = read(data, route, faults)
    if len(faults) > before:
        return None
    return _converted(check, value, route, faults)


def _bounded(read: Reader, info: FieldInfo, data: Any, route: Route, faults: list[Fault]) -> Any:
    before = len(faults)
    value = read(data, route, faults)
    if len(faults) == before and value is not None and (said := info.fault(value)):
        faults.append(Fault(route, said, found=data))
    return value


def _literal(allowed: tuple[Any, ...], data: Any, route: Route, faults: list[Fault]) -> Any:
    if not any(data == one and type(data) is type(one) for one in allowed):
        *most, last = (f"'{one}'" if isinstance(one, str) else str(one).lower() for one in allowed)
        expected = f"{', '.join(most)} or {last}" if most else last
        faults.append(Fault(route, f"expected {expected}", found=data))
    return data


def _takes(annotation: Any) -> Callable[[Any], bool]:
    """Whether data has the form of one member of a union."""
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if annotation is type(None):
        return lambda data: data is None
    if hasattr(annotation, "model_read"):
        return lambda data: isinstance(data, (Mapping, annotation))
    origin = typing.get_origin(annotation)
    if origin in (Mapping, dict):
        return lambda data: isinstance(data, Mapping)
    if origin is tuple:
        return lambda data: isinstance(data, (list, tuple))
    return lambda data: data is not None and not isinstance(data, (Mapping, list, tuple))


def _union(
    members: tuple[tuple[Callable[[Any], bool], Reader], ...], data: Any, route: Route, faults: list[Fault]
) -> Any:
    """The first member of the data's form that reads it; else what is wrong for all of them."""
    refusals: list[list[Fault]] = []
    for read in [read for takes, read in members if takes(data)] or [read for _takes, read in members]:
        found: list[Fault] = []
        value = read(data, route, found)
        if not found:
            return value
        refusals.append(found)
    faults.extend(_either(refusals, route))
    return None


def _either(refusals: list[list[Fault]], route: Route) -> list[Fault]:
    """One fault for members that each want something else here; the first member's if they look deeper."""
    if any(fault.route != route or fault.kind != "value" for refusal in refusals for fault in refusal):
        return refusals[0]
    said = dict.fromkeys(refusal[0].message.removeprefix("expected ") for refusal in refusals)
    *most, last = [one for one in said if one != "nothing"]
    wanted = f"{', '.join(most)} or {last}" if most else last
    return [refusals[0][0]._replace(message=f"expected {wanted}")]


def _list(read: Reader, data: Any, route: Route, faults: list[Fault]) -> Any:
    if not isinstance(data, (list, tuple)):
        faults.append(Fault(route, "expected a list", found=data))
        return ()
    return tuple([read(item, (*route, index), faults) for index, item in enumerate(data)])


def _mapping(read_key: Reader, read: Reader, data: Any, route: Route, faults: list[Fault]) -> Any:
    if not isinstance(data, Mapping):
        faults.append(Fault(route, "expected a mapping", found=data))
        return {}
    found = {}
    for key, value in data.items():
        below = (*route, key)
        wrong: list[Fault] = []
        found[read_key(key, below, wrong)] = read(value, below, faults)
        faults.extend(fault._replace(kind="key") for fault in wrong)
    return found


def writer_of(annotation: Any) -> Writer:
    """What makes data of a value of a type again; models in it write themselves."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        own = next((mark.write for mark in arguments if isinstance(mark, Converter) and mark.write), None)
        return own or writer_of(arguments[0])
    if origin in (Union, types.UnionType):
        writers = [write for one in arguments if (write := writer_of(one)) is not _plain]
        return (lambda value: None if value is None else writers[0](value)) if writers else _plain
    return _plain


def _plain(value: Any) -> Any:
    return value
