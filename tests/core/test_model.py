"""Reading plain data into declared classes: every fault at once, which keys were given, and back to data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from pipegraft.core.faults import Fault, read, read_json
from pipegraft.core.model import Breach, Duration, Model, Name, RelativePath, rule, schema_of


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("expected an even number")
    return value


class Inner(Model):
    """What is inside."""

    kind: Literal["left", "right"]
    """Which side."""
    size: int = Field(default=1, ge=1, le=9)
    """How much."""


class Open(Model, extra="allow"):
    """Keeps what it does not know."""

    name: Name = "some"


class Outer(Model):
    """The whole."""

    inner: Inner
    parts: tuple[Inner, ...] = ()
    by_name: Mapping[Name, Inner | None] = {}
    wait: Duration | None = Field(default=None, gt=0)
    path: RelativePath | None = None
    from_: str = Field(default="", alias="from")
    """Where it is from."""
    even: Annotated[int, AfterValidator(_even)] = 0
    upper: Annotated[str, BeforeValidator(lambda value: str(value).upper())] = ""
    mixed: int | str | Inner | None = None
    open: Open = Open()
    words: Mapping[str, Any] = {}
    truth: bool = False
    share: float = 0.5
    counts: tuple[int, ...] = ()

    @rule
    def _parts_need_a_path(self) -> Iterator[Breach]:
        if self.parts and self.path is None:
            yield Breach("'parts' need 'path'")

    @rule
    def _path_is_short(self) -> Iterator[Breach]:
        if len(self.path or "") > 20:
            yield Breach("'path' is long", ("path",))

    @rule
    def _sides_differ(self) -> Iterator[Breach]:
        for index, part in enumerate(self.parts):
            if part.kind == self.inner.kind:
                yield Breach(f"the part is '{part.kind}' too", ("parts", index, "kind"))


class Child(Outer):
    """Another default for one field."""

    truth: bool = True


LEFT = {"kind": "left"}


def faults(data: Any, model: type[Model] = Outer) -> list[tuple[str, str]]:
    return [(".".join(map(str, fault.route)), fault.message) for fault in read(model, data).faults]


def test_every_fault_is_found_at_once_with_its_route() -> None:
    data = {
        "inner": {"kind": "up", "size": 10},
        "parts": [LEFT, {"size": "many"}, 3],
        "by-name": {"A b": LEFT, "b": {"kind": "left", "sizes": 1}},
        "wait": "soon",
        "even": 3,
        "path": "../up",
        "new": 1,
    }
    assert faults(data) == [
        ("inner.kind", "expected 'left' or 'right'"),
        ("inner.size", "expected 9 or less"),
        ("parts.1", "'kind' is missing"),
        ("parts.1.size", "expected a whole number"),
        ("parts.2", "expected a mapping"),
        ("by-name.A b", "expected text that matches '^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$'"),
        ("by-name.b.sizes", "unknown key"),
        ("wait", "expected a duration such as 30s, 5m or 1h30m"),
        ("path", "expected a relative path inside the repository, without '..'"),
        ("even", "expected an even number"),
        ("new", "unknown key"),
    ]


def test_an_unknown_key_tells_those_that_there_are() -> None:
    assert read(Inner, {"kind": "left", "sise": 1}).faults == (
        Fault(("sise",), "unknown key", "unknown", 1, ("kind", "size")),
    )


def test_rules_tell_everything_together_and_at_their_places() -> None:
    data = {"inner": LEFT, "parts": [LEFT, {"kind": "right"}, LEFT]}
    assert faults(data) == [
        ("", "'parts' need 'path'"),
        ("parts.0.kind", "the part is 'left' too"),
        ("parts.2.kind", "the part is 'left' too"),
    ]
    assert faults({"inner": LEFT, "path": "x" * 21}, Child) == [("path", "'path' is long")]
    with pytest.raises(ValidationError, match=r"(?s)need 'path'.*left' too"):
        Outer.model_validate(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"inner": {}, "parts": [LEFT]}, [("inner", "'kind' is missing"), ("", "'parts' need 'path'")]),
        (
            {"inner": LEFT, "parts": [LEFT], "new": 1, "even": True},
            [
                ("even", "expected a whole number"),
                ("new", "unknown key"),
                ("", "'parts' need 'path'"),
                ("parts.0.kind", "the part is 'left' too"),
            ],
        ),
        (
            {"inner": LEFT, "by-name": {"A b": LEFT, "b": 3}, "path": "x" * 21},
            [
                ("by-name.A b", "expected text that matches '^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$'"),
                ("by-name.b", "expected a mapping"),
                ("path", "'path' is long"),
            ],
        ),
        (
            {"inner": {"kind": "left", "size": 0}, "parts": [LEFT, 7]},
            [
                ("inner.size", "expected 1 or more"),
                ("parts.1", "expected a mapping"),
                ("", "'parts' need 'path'"),
                ("parts.0.kind", "the part is 'left' too"),
            ],
        ),
    ],
)
def test_rules_are_checked_as_far_as_the_fields_are_right(data: Any, expected: list[tuple[str, str]]) -> None:
    assert faults(data) == expected


def test_a_rule_says_nothing_of_what_is_wrong_already() -> None:
    assert faults({"inner": {"kind": "up"}, "path": "../x", "parts": [LEFT]}) == [
        ("inner.kind", "expected 'left' or 'right'"),
        ("path", "expected a relative path inside the repository, without '..'"),
    ]


def test_what_is_no_mapping_is_nothing_further() -> None:
    assert read(Outer, [1]) == read(Outer, [1])
    assert (read(Outer, 3).known, faults(3)) == (None, [("", "expected a mapping")])


class Foreign(Model):
    """Checked the way that pydantic's users know."""

    low: int = 0
    high: int = 9

    @model_validator(mode="after")
    def _rise(self) -> Foreign:
        if self.low > self.high:
            raise ValueError("'low' is above 'high'")
        return self


class Holder(Model):
    """Holds others' values."""

    range: Foreign = Foreign()
    parts: tuple[Inner, ...] = ()

    @rule
    def _not_many(self) -> Iterator[Breach]:
        if len(self.parts) > 1:
            yield Breach("there are too many 'parts'")


def test_validators_of_pydantics_own_kind_count_too() -> None:
    many = [LEFT, LEFT]
    assert faults({"range": {"low": 10}, "parts": many}, Holder) == [
        ("range", "'low' is above 'high'"),
        ("", "there are too many 'parts'"),
    ]
    assert faults({"range": {"low": "x"}, "parts": many}, Holder) == [
        ("range.low", "expected a whole number")
    ]


@pytest.mark.parametrize(
    ("key", "data", "value"),
    [
        ("even", "4", 4),
        ("even", 4.0, 4),
        ("share", "0.25", 0.25),
        ("share", 1, 1.0),
        ("truth", "yes", True),
        ("truth", "FALSE", False),
        ("truth", 1, True),
        ("wait", "1h30m", 5400.0),
        ("wait", 90, 90.0),
        ("wait", None, None),
        ("upper", "a", "A"),
        ("mixed", 3, 3),
        ("mixed", "3", "3"),
        ("mixed", "three", "three"),
        ("mixed", {"kind": "left"}, Inner(kind="left")),
        ("mixed", None, None),
    ],
)
def test_values_are_read_as_their_type(key: str, data: Any, value: Any) -> None:
    read = getattr(Outer.model_validate({"inner": LEFT, key: data}), key)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("key", "data", "message"),
    [
        ("from", 5, "expected text; put quotes around it"),
        ("from", None, "expected text"),
        ("even", True, "expected a whole number"),
        ("share", True, "expected a number"),
        ("counts", [1, False], "expected a whole number"),
        ("even", 0.5, "expected a whole number"),
        ("even", 1e300, "expected a whole number"),
        ("share", math.inf, "expected a number"),
        ("share", math.nan, "expected a number"),
        ("share", "much", "expected a number"),
        ("wait", math.inf, "expected a duration such as 30s, 5m or 1h30m"),
        ("wait", 0, "expected more than 0"),
        ("truth", "perhaps", "expected true or false"),
        ("truth", 2, "expected true or false"),
        ("parts", {"a": 1}, "expected a list"),
        ("by-name", [], "expected a mapping"),
        ("inner", "text", "expected a mapping"),
        ("path", "", "expected text, found none"),
        ("mixed", [1], "expected a whole number, text or a mapping"),
        ("mixed", True, "expected a whole number or text; put quotes around it"),
        ("mixed", {"kind": "up"}, "expected 'left' or 'right'"),
        ("path", [], "expected text"),
        ("open", {"name": "a\n"}, "expected text that matches '^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$'"),
    ],
)
def test_values_of_another_type_are_refused(key: str, data: Any, message: str) -> None:
    assert [said for _route, said in faults({"inner": LEFT, key: data})] == [message]


def test_python_names_and_files_keys_mean_the_same() -> None:
    assert Outer(inner=Inner(kind="left"), from_="x") == Outer.model_validate({"inner": LEFT, "from": "x"})
    with pytest.raises(ValidationError, match="kind"):
        Inner()  # type: ignore[call-arg]


def test_it_remembers_what_was_given() -> None:
    assert Outer.model_validate({"inner": LEFT, "wait": None}).model_fields_set == {"inner", "wait"}
    assert Inner(kind="left").model_copy(update={"size": 2}).model_fields_set == {"kind", "size"}
    assert Inner.model_construct(kind="left").model_fields_set == {"kind"}


def test_further_keys_are_kept_only_where_the_class_says_so() -> None:
    read = Open.model_validate({"name": "a", "query": "up"})
    assert read.model_extra == {"query": "up"}
    assert read.model_copy(update={"name": "b"}).model_dump() == {"name": "b", "query": "up"}
    assert read != Open(name="a")


def test_it_does_not_change() -> None:
    value = Inner(kind="left")
    with pytest.raises(ValidationError, match="frozen"):
        value.size = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        del value.size
    assert {value: 1}[Inner(kind="left")] == 1


def test_a_field_left_out_by_construction_is_missed_where_it_is_used() -> None:
    made = Bounded.model_construct()
    with pytest.raises(AttributeError, match="text"):
        _ = made.text


def test_data_comes_out_as_files_hold_it() -> None:
    value = Outer(inner=Inner(kind="left"), wait=1_234_567.5, by_name={"a": Inner(kind="right"), "b": None})
    shown = value.model_dump()
    assert (shown["wait"], shown["by-name"]["a"]) == ("1234567.5s", {"kind": "right", "size": 1})
    assert value.model_dump(exclude_defaults=True) == {
        "inner": {"kind": "left"}, "by-name": {"a": {"kind": "right"}, "b": None}, "wait": "1234567.5s",
    }  # fmt: skip
    assert value.model_dump(exclude_none=True, include={"by_name", "path"}) == {
        "by-name": {"a": {"kind": "right", "size": 1}, "b": None}
    }
    assert list(shown)[:4] == ["inner", "parts", "by-name", "wait"]
    assert Outer.model_validate_json(value.model_dump_json()) == value


def test_text_that_is_no_json_is_refused_as_such() -> None:
    (fault,) = read_json(Inner, "{").faults
    assert fault.message.startswith("expected JSON")
    assert read_json(Inner, '{"kind": "left"}').known == Inner(kind="left")


class Bounded(Model):
    """Bounds of everything."""

    text: str = Field(min_length=2, max_length=3)
    list: tuple[int, ...] = Field(default=(1,), min_length=1, max_length=2)
    map: Mapping[str, int] = Field(default={}, max_length=1)
    number: float = Field(default=1, gt=0, lt=2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text": "a"}, "expected at least 2 characters"),
        ({"text": "abcd"}, "expected at most 3 characters, found 4"),
        ({"text": "ab", "list": []}, "expected 1 or more entries, found none"),
        ({"text": "ab", "list": [1, 2, 3]}, "expected at most 2 entries, found 3"),
        ({"text": "ab", "map": {"a": 1, "b": 2}}, "expected at most 1 entries, found 2"),
        ({"text": "ab", "number": 0}, "expected more than 0"),
        ({"text": "ab", "number": 2}, "expected less than 2"),
    ],
)
def test_bounds(data: Any, message: str) -> None:
    assert [said for _route, said in faults(data, Bounded)] == [message]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema_of(Bounded))


def test_the_schema_describes_every_key() -> None:
    schema = schema_of(Outer)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["inner"]
    assert schema["properties"]["from"] == {
        "type": "string", "default": "", "description": "Where it is from.",
    }  # fmt: skip
    assert schema["$defs"]["Inner"]["properties"]["size"]["maximum"] == 9
    assert schema["$defs"]["Open"]["additionalProperties"] is True
    assert Child.model_fields["from_"].description == "Where it is from."


SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 12) | st.sampled_from(["left", "a", "B c", "", "5m", "../x"])
)
DATA = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "size", "inner", "a", "B c", "name"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ["inner", "parts", "by-name", "path", "from", "mixed", "open", "words", "even"]


@given(st.dictionaries(st.sampled_from(KEYS), DATA, max_size=5), st.sampled_from([Outer, Child]))
def test_what_is_read_is_what_the_schema_allows_and_comes_out_the_same(data: Any, model: type[Outer]) -> None:
    """Whatever is accepted survives its own output; whatever is refused has a place that exists."""
    found = read(model, data)
    for fault in found.faults:
        _follow(data, fault.route)
    if found.faults:
        with pytest.raises(ValidationError):
            model.model_validate(data)
        return
    value = model.model_validate(data)
    assert value == found.known
    again = model.model_validate(json.loads(value.model_dump_json()))
    assert again == value
    jsonschema.validate(value.model_dump(mode="json", exclude_none=True), schema_of(model))


def _follow(data: Any, route: tuple[str | int, ...]) -> None:
    for step in route:
        data = data[step]


def test_what_lacks_a_key_under_a_wrong_name_is_told_with_the_name() -> None:
    reading = read(Outer, {"inner": {"kind": "left"}, "by_name": {"B ad": {}}, "wait": "never"})
    assert [(one.route, one.kind) for one in reading.faults] == [
        (("by_name", "B ad"), "key"),
        (("by_name", "B ad"), "missing"),
        (("wait",), "value"),
    ]
    assert reading.known is not None
    assert reading.known.inner.kind == "left"
