"""What every declared value shares: frozen, unknown keys refused, kebab-case in files.

The interface is that of pydantic's models as far as it is needed; the reader is our own. Importing pydantic
and building our classes takes longer than a whole run in which nothing changed, and a reader that stops at
the first fault, or forgets which keys were given, could not replace it.
"""

from __future__ import annotations

import json
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, ClassVar, Self, dataclass_transform

from pipegraft.core import schema
from pipegraft.core.fields import REQUIRED, Check, Converter, Fault, Field, FieldInfo, Invalid, Misplaced
from pipegraft.core.reading import Reader, Route, Writer, reader_of, writer_of
from pipegraft.core.schema import schema_of

__all__ = [
    "Declared",
    "DottedPath",
    "Duration",
    "Name",
    "RelativePath",
    "descriptions",
    "kebab",
    "parse_duration",
]


def kebab(name: str) -> str:
    """The key a user writes for the attribute `name`: ``on_inconclusive`` → ``on-inconclusive``."""
    return name.replace("_", "-")


class _Shape(typing.NamedTuple):
    """What is known about a class once its annotations are read."""

    fields: Mapping[str, FieldInfo]
    readers: Mapping[str, tuple[str, Reader]]
    """Key, and name → name and reader."""
    defaults: Mapping[str, Any]
    required: Mapping[str, str]
    """Name → key."""
    writers: Mapping[str, Writer]
    validators: tuple[Callable[[Any], None], ...]


_SHAPES: dict[type, _Shape] = {}


def _shape(model: type[Declared]) -> _Shape:
    found = _SHAPES.get(model)
    if found is None:
        found = _SHAPES[model] = _read_annotations(model)
    return found


def _read_annotations(model: type[Declared]) -> _Shape:
    fields, readers, writers = {}, {}, {}
    for name, hint in typing.get_type_hints(model, include_extras=True).items():
        if typing.get_origin(hint) is ClassVar:
            continue
        said = getattr(model, name, REQUIRED)
        said = said if isinstance(said, FieldInfo) else Field(default=said)
        annotation = Annotated[hint, said] if said.bounds else hint
        info = FieldInfo(said.default, said.key or kebab(name), said.description, said.bounds)
        info.annotation = annotation
        fields[name] = info
        readers[info.key] = readers[name] = (name, reader_of(annotation))
        writers[name] = writer_of(annotation)
    checks: dict[str, Callable[[Any], None]] = {}
    for base in reversed(model.__mro__):
        checks |= {name: one for name, one in vars(base).items() if hasattr(one, "__validates__")}
    return _Shape(
        fields,
        readers,
        {name: info.default for name, info in fields.items() if not info.is_required()},
        {name: info.key for name, info in fields.items() if info.is_required()},
        writers,
        tuple(checks.values()),
    )


class _Fields:
    """`model_fields`: known once somebody asks."""

    def __get__(self, _instance: object, owner: type[Declared]) -> Mapping[str, FieldInfo]:
        return _shape(owner).fields


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
class Declared:
    """Base of everything a user declares in a file; the text below an attribute describes it.

    Raises:
        Invalid: everything that is wrong with the values given.
    """

    __slots__ = ("__dict__", "model_extra", "model_fields_set")

    further_keys: ClassVar[bool] = False
    """Whether keys that are no fields are kept in `model_extra`; they are refused otherwise."""
    further_schema: ClassVar[Mapping[str, Any]] = {}
    """What validators of the class check, in words of JSON Schema, as far as it has them."""
    model_fields: ClassVar[_Fields] = _Fields()
    """Name → field, in the order of the source."""
    if typing.TYPE_CHECKING:
        model_extra: ClassVar[Mapping[str, Any]]
        model_fields_set: ClassVar[AbstractSet[str]]

    def __init_subclass__(cls, *, further_keys: bool | None = None) -> None:
        if further_keys is not None:
            cls.further_keys = further_keys

    def __init__(self, /, **values: Any) -> None:
        faults: list[Fault] = []
        _fill(self, values, (), faults)
        if faults:
            raise Invalid(type(self).__name__, faults)

    @classmethod
    def model_read(cls, data: Any, route: Route, faults: list[Fault]) -> Any:
        """The reader of this class, see `pipegraft.core.reading`."""
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping):
            faults.append(Fault(route, "expected a mapping", found=data))
            return None
        made = cls.__new__(cls)
        _fill(made, data, route, faults)
        return made

    @classmethod
    def model_validate(cls, data: Any) -> Self:
        """Read plain data.

        Raises:
            Invalid: everything that is wrong with it.
        """
        faults: list[Fault] = []
        made = cls.model_read(data, (), faults)
        if faults:
            raise Invalid(cls.__name__, faults)
        return typing.cast("Self", made)

    @classmethod
    def model_validate_json(cls, text: str | bytes) -> Self:
        """Read JSON.

        Raises:
            Invalid: it is no JSON, or everything that is wrong with it.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise Invalid(cls.__name__, [Fault((), f"expected JSON: {error}")]) from None
        return cls.model_validate(data)

    @classmethod
    def model_construct(cls, **values: Any) -> Self:
        """A value of values that were checked before; it is not checked again."""
        made = cls.__new__(cls)
        _keep(made, _shape(cls), values, values.keys(), {})
        return made

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """The same with other values for some fields, which are not checked."""
        made = type(self).__new__(type(self))
        given = self.model_fields_set | update.keys()
        _keep(made, _shape(type(self)), {**self.__dict__, **update}, given, self.model_extra)
        return made

    def model_dump(
        self,
        *,
        exclude_none: bool = False,
        exclude_defaults: bool = False,
        include: AbstractSet[str] | None = None,
    ) -> dict[str, Any]:
        """Plain data as a file holds it, durations as text.

        Arguments:
            exclude_none: without keys that hold nothing.
            exclude_defaults: without keys that hold their default.
            include: names of the fields to write; all if None.
        """
        shape = _shape(type(self))

        def plain(value: Any) -> Any:
            if isinstance(value, Declared):
                return value.model_dump(exclude_none=exclude_none, exclude_defaults=exclude_defaults)
            if isinstance(value, Mapping):
                return {key: plain(one) for key, one in value.items() if one is not None or not exclude_none}
            return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value

        def written() -> Iterator[tuple[str, Any]]:
            for name, value in self.__dict__.items():
                default = exclude_defaults and shape.defaults.get(name, REQUIRED) == value
                if (
                    not default
                    and (include is None or name in include)
                    and not (exclude_none and value is None)
                ):
                    yield shape.fields[name].key, plain(shape.writers[name](value))

        return {**dict(written()), **{key: plain(value) for key, value in self.model_extra.items()}}

    def model_dump_json(self, *, indent: int | None = None) -> str:
        """JSON of `model_dump`."""
        separators = (",", ":") if indent is None else None
        return json.dumps(self.model_dump(), indent=indent, separators=separators, ensure_ascii=False)

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """JSON Schema (2020-12) of what a file may hold."""
        return schema_of(cls)

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(f"a declared value does not change: '{name}' cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a declared value does not change: '{name}' cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.__dict__ == other.__dict__ and self.model_extra == typing.cast("Any", other).model_extra

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        shown = {**self.__dict__, **self.model_extra}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self


def _fill(made: Declared, data: Mapping[str, Any], route: Route, faults: list[Fault]) -> None:
    """Give a new value its fields. It is no value yet if there are faults."""
    shape, values, extra, before = _shape(type(made)), {}, {}, len(faults)
    for key, value in data.items():
        if known := shape.readers.get(key):
            values[known[0]] = known[1](value, (*route, key), faults)
        elif made.further_keys and isinstance(key, str):
            extra[key] = value
        else:
            keys = tuple(info.key for info in shape.fields.values())
            faults.append(Fault((*route, key), "unknown key", "unknown", value, keys))
    for name, key in shape.required.items():
        if name not in values:
            faults.append(Fault(route, f"'{key}' is missing", "missing", key))
    if len(faults) > before:
        return
    _keep(made, shape, values, values.keys(), extra)
    try:
        for check in shape.validators:  # up to the first that refuses: a later one may rely on it
            check(made)
    except Misplaced as error:
        faults.append(Fault((*route, *error.route), str(error), found=data))
    except ValueError as error:
        faults.append(Fault(route, str(error), found=data))


def _keep(
    made: Declared,
    shape: _Shape,
    values: Mapping[str, Any],
    given: AbstractSet[str],
    extra: Mapping[str, Any],
) -> None:
    """Store the fields in the order of the source, with the defaults of those that are absent."""
    object.__setattr__(made, "model_fields_set", frozenset(given))
    object.__setattr__(made, "model_extra", extra)
    for name in shape.fields:
        if name in values:
            made.__dict__[name] = values[name]
        elif name in shape.defaults:
            made.__dict__[name] = shape.defaults[name]


def descriptions(model: type[Declared]) -> Mapping[str, str]:
    """Attribute → what describes it; see `pipegraft.core.schema`."""
    return schema.descriptions(model)


Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""An RFC 1123 label that starts with a letter: apps, components, environments, resources, stages."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+"
_DURATION_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"


def parse_duration(text: str) -> float:
    """Seconds of ``30s``, ``5m`` or ``1h30m``.

    Raises:
        ValueError: it is no duration.
    """
    if not re.fullmatch(_DURATION, text):
        raise ValueError(f"expected a duration such as 30s, 5m or 1h30m, found '{text}'")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_DURATION_PART, text))


def _seconds(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(_DURATION, value):
        return parse_duration(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError("expected a duration such as 30s, 5m or 1h30m")


Duration = Annotated[
    float,
    Converter(
        _seconds,
        write=lambda seconds: f"{seconds:.12g}s",
        schema={"type": ["string", "number"], "pattern": f"^{_DURATION}$", "examples": ["30s", "5m"]},
    ),
]
"""Seconds, written as ``30s``, ``5m``, ``1h30m`` or a bare number of seconds."""


def _inside(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/") or "\\" in value:
        raise ValueError("expected a relative path inside the repository, without '..'")
    return value


RelativePath = Annotated[str, Check(_inside), Field(min_length=1)]
"""A POSIX path relative to the repository's root that cannot leave it."""

DottedPath = Annotated[str, Field(min_length=1)]
"""A place in a YAML file: dotted keys, ``[n]`` for items, ``["key.with.dots"]``."""
