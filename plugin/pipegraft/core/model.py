"""What every declared value shares: pydantic's models, frozen, strict, kebab-case in files.

A class says what is wrong with a whole value by `rule` methods. Unlike pydantic's own validators they also
run where some of the fields are wrong, so that a user sees every mistake of a file at once (see
`pipegraft.core.faults`).
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticKnownError, core_schema

__all__ = [
    "FIELDS_ONLY",
    "REGISTRY_HOST",
    "UNKNOWN",
    "Breach",
    "DottedPath",
    "Duration",
    "Model",
    "Name",
    "Percent",
    "RegistryAddress",
    "RelativePath",
    "Route",
    "SchemaWords",
    "Share",
    "UnknownValue",
    "kebab",
    "keys_of",
    "one_of",
    "parse_duration",
    "read_duration",
    "rule",
    "schema_of",
]


Route = tuple[str | int, ...]
"""Keys and indices that lead from a value to a part of it."""

R = TypeVar("R", bound=Callable[[Any], Iterator["Breach"]])


class Breach(NamedTuple):
    """What a `rule` finds wrong.

    Arguments:
        message: one sentence without a final stop.
        route: where, from the value that has the rule; itself if empty.
    """

    message: str
    route: Route = ()


def rule(method: R) -> R:
    """Mark a method of a `Model` that yields a `Breach` for each thing that is wrong with the whole value."""
    method.__is_rule__ = True  # type: ignore[attr-defined]
    return method


class UnknownValue(AttributeError):
    """A field was asked for whose value is wrong, which the user is told already."""


UNKNOWN: Any = object()
"""Stands in data for a value that is wrong: its field is left out."""
FIELDS_ONLY = object()
"""Context of a validation that leaves the rules to who asks for it."""


def kebab(name: str) -> str:
    """The key a user writes for the attribute `name`: ``on_inconclusive`` → ``on-inconclusive``."""
    return name.replace("_", "-")


class _Schema(GenerateJsonSchema):
    """JSON Schema (2020-12) that says what is accepted and no more than a reader needs."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the key says it
        return False

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """pydantic writes its own words for the bounds of what a function reads: ``ge`` for ``minimum``."""
        made = super().generate_inner(schema)
        return {self.ValidationsMapping.numeric.get(word, word): value for word, value in made.items()}

    def encode_default(self, dft: Any) -> Any:
        """Without what is itself a default."""
        return (
            dft.model_dump(mode="json", exclude_defaults=True)
            if isinstance(dft, Model)
            else super().encode_default(dft)
        )

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Patterns of keys as ``propertyNames``: by ``patternProperties`` any other key is allowed too."""
        made = super().dict_schema(schema)
        if patterns := made.pop("patternProperties", None):
            names, values = next(iter(patterns.items()))
            made |= {"propertyNames": {"type": "string", "pattern": names}, "additionalProperties": values}
        return made


class Model(BaseModel):
    """Base of everything a user declares in a file; the text below an attribute describes it.

    Keys that are no fields are refused, unless the class says ``extra="allow"``.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=kebab,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler, /
    ) -> core_schema.CoreSchema:
        """pydantic's, except that ``true`` is no number."""
        strict: core_schema.CoreSchema = _without_truth(handler(source), cls)
        return strict

    if not TYPE_CHECKING:  # or type checkers would believe in any attribute

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise UnknownValue(f"'{name}' of {type(self).__name__} is not known")
            return super().__getattr__(name)

    @field_validator("*", mode="wrap")
    @classmethod
    def _leave_unknown(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        return value if value is UNKNOWN else read(value)

    @model_validator(mode="after")
    def _keep_rules(self, info: ValidationInfo) -> Self:
        if info.context is FIELDS_ONLY:
            for name in [name for name, value in self.__dict__.items() if value is UNKNOWN]:
                del self.__dict__[name]
        elif breaches := list(self.breaches()):
            raise ValidationError.from_exception_data(
                type(self).__name__,
                [
                    InitErrorDetails(
                        type=PydanticCustomError("rule", "{said}", {"said": one.message}),
                        loc=one.route,
                        input=self,
                    )
                    for one in breaches
                ],
            )
        return self

    def breaches(self) -> Iterator[Breach]:
        """What the rules of the class find; a rule that needs an unknown value finds nothing further."""
        for check in _rules(type(self)):
            try:
                yield from check(self)
            except UnknownValue:
                continue


@dataclass(frozen=True, slots=True, eq=False)
class SchemaWords:
    """Within ``Annotated``: words of JSON Schema that stand in place of the type's own, or beside them."""

    words: Mapping[str, Any]

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        return {**handler(schema), **self.words}


def schema_of(model: type[Model]) -> dict[str, Any]:
    """JSON Schema (2020-12) of what a file may hold."""
    return model.model_json_schema(schema_generator=_Schema)


@functools.cache
def _rules(model: type[Model]) -> tuple[Callable[[Any], Iterator[Breach]], ...]:
    found: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        methods = filter(inspect.isfunction, vars(base).values())
        found |= {one.__name__: one for one in methods if hasattr(one, "__is_rule__")}
    return tuple(found.values())


def keys_of(model: type[Model]) -> Mapping[str, str]:
    """Attribute → the key that users write for it."""
    return {name: info.alias or kebab(name) for name, info in model.__pydantic_fields__.items()}


def one_of(*keys: str, or_none: bool = False) -> dict[str, Any]:
    """Words of JSON Schema: one of these keys is given, and not null; or none of them, if that is allowed."""
    given = [{"required": [key], "properties": {key: {"not": {"type": "null"}}}} for key in keys]
    none: list[dict[str, Any]] = [{"not": {"anyOf": given}}] if or_none else []
    return {"allOf": [{"oneOf": [*given, *none]}]}


def _without_truth(schema: Any, model: type[Model]) -> Any:
    """A core schema whose numbers refuse booleans, which Python takes for 0 and 1."""
    if isinstance(schema, list):
        return [_without_truth(one, model) for one in schema]
    if not isinstance(schema, dict) or (schema.get("type") == "model" and schema["cls"] is not model):
        return schema
    if schema.get("type") in ("int", "float"):
        said: Literal["int_type", "float_type"] = "int_type" if schema["type"] == "int" else "float_type"
        return core_schema.no_info_before_validator_function(partial(_number, said), schema)
    if isinstance(check := schema.get("function"), Mapping) and isinstance(check.get("function"), partial):
        return schema
    kept = ("default", "metadata", "serialization")
    return {key: one if key in kept else _without_truth(one, model) for key, one in schema.items()}


def _number(said: Literal["int_type", "float_type"], value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticKnownError(said)
    return value


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


def read_duration(value: object) -> float:
    """Seconds of a duration as a file has it: as text, or a number of seconds.

    Raises:
        ValueError: it is no duration.
    """
    if isinstance(value, str) and re.fullmatch(_DURATION, value):
        return parse_duration(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError("expected a duration such as 30s, 5m or 1h30m")


Duration = Annotated[
    float,
    BeforeValidator(read_duration),
    PlainSerializer(lambda seconds: f"{seconds:.12g}s", return_type=str),
    SchemaWords({"type": ["string", "number"], "pattern": f"^{_DURATION}$", "examples": ["30s", "5m"]}),
]
"""Seconds, written as ``30s``, ``5m``, ``1h30m`` or a bare number of seconds."""


_PERCENT = r"[0-9]+(?:\.[0-9]+)?%"


def _read_percent(value: object) -> object:
    """The number before a percent sign; anything else as it is."""
    is_percent = isinstance(value, str) and re.fullmatch(_PERCENT, value)
    return Decimal(str(value)[:-1]) if is_percent else value


def _read_share(value: object) -> object:
    found = _read_percent(value)
    return float(found / 100) if isinstance(found, Decimal) else value


Share = Annotated[
    float,
    BeforeValidator(_read_share),
    SchemaWords({"type": ["string", "number"], "pattern": f"^{_PERCENT}$", "examples": [0.05, "5%"]}),
]
"""A part of one, written as ``0.05`` or ``5%``."""

Percent = Annotated[
    int,
    BeforeValidator(_read_percent),
    SchemaWords({"type": ["string", "integer"], "pattern": f"^{_PERCENT}$", "examples": [5, "5%"]}),
]
"""Whole percents, written as ``5`` or ``5%``."""


def _inside(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/") or "\\" in value:
        raise ValueError("expected a relative path inside the repository, without '..'")
    return value


RelativePath = Annotated[str, Field(min_length=1), AfterValidator(_inside)]
"""A POSIX path relative to the repository's root that cannot leave it."""

DottedPath = Annotated[str, Field(min_length=1)]
"""A place in a YAML file: dotted keys, ``[n]`` for items, ``["key.with.dots"]``."""


def _registry_address(value: str) -> str:
    host, slash, path = value.partition("/")
    if path != path.lower() and re.fullmatch(_REGISTRY, host + slash + path.lower()):
        raise ValueError(f"expected lower-case letters in a registry's path: {host}/{path.lower()}")
    if not re.fullmatch(_REGISTRY, value):
        raise ValueError("expected a registry such as registry.example.com/shop or oci:FOLDER")
    return value


REGISTRY_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
"""``host[:port]``."""
_REGISTRY = rf"oci:.+|{REGISTRY_HOST}(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*/?"
RegistryAddress = Annotated[
    str,
    AfterValidator(_registry_address),
    Field(json_schema_extra={"pattern": rf"^(?:{_REGISTRY})$", "minLength": 1}),
]
"""Where images are kept: a registry with the first part of its repositories, or a folder."""
