"""Classes of values behave as the standard library's frozen dataclasses do, whichever decorator made them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pipegraft import values


def _made(decorator: Callable[..., Any]) -> tuple[type[Any], type[Any]]:
    @decorator(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2
        tags: list[str] = dataclasses.field(default_factory=list)
        note: str = dataclasses.field(default="", compare=False, repr=False)

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("x is negative")

        @property
        def sum(self) -> int:
            return self.x + self.y

    @decorator(frozen=True, slots=True)
    class Solid(Point):
        z: int = 3

    return Point, Solid


KINDS = {"shared": _made(values.dataclass), "standard": _made(dataclasses.dataclass)}


@pytest.fixture(params=KINDS)
def kinds(request: pytest.FixtureRequest) -> tuple[type[Any], type[Any]]:
    return KINDS[request.param]


def test_values_are_made_and_compared(kinds: tuple[type[Any], type[Any]]) -> None:
    point, solid = kinds
    value = point(1, note="n")
    assert (value.x, value.y, value.tags, value.note, value.sum) == (1, 2, [], "n", 3)
    assert value == point(x=1, y=2)
    assert value != point(2)
    assert value != solid(1)
    assert solid(1, 2, [], "", 4).z == 4
    assert repr(value).endswith("Point(x=1, y=2, tags=[])")
    assert point(1).tags is not point(1).tags


def test_equal_values_are_one_key(kinds: tuple[type[Any], type[Any]]) -> None:
    point, _solid = kinds
    assert len({point(1, 2, (), "a"), point(1, 2, (), "b"), point(1, 3, ())}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(point(1))


@pytest.mark.parametrize(
    ("arguments", "named"), [((), {}), ((1, 2, [], "", 5), {}), ((1,), {"x": 1}), ((1,), {"w": 1})]
)
def test_wrong_arguments_are_refused(
    kinds: tuple[type[Any], type[Any]], arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        kinds[0](*arguments, **named)


def test_values_do_not_change(kinds: tuple[type[Any], type[Any]]) -> None:
    value = kinds[0](1)
    for change in (
        lambda: setattr(value, "x", 2),
        lambda: setattr(value, "w", 2),
        lambda: delattr(value, "x"),
    ):
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            change()
    assert not hasattr(value, "__dict__")


def test_the_standard_functions_work(kinds: tuple[type[Any], type[Any]]) -> None:
    value = kinds[1](1)
    assert [one.name for one in dataclasses.fields(value)] == ["x", "y", "tags", "note", "z"]
    assert dataclasses.replace(value, z=9).z == 9
    assert dataclasses.asdict(value) == {"x": 1, "y": 2, "tags": [], "note": "", "z": 3}
    assert copy.deepcopy(value) == value
    with pytest.raises(ValueError, match="x is negative"):
        dataclasses.replace(value, x=-1)


@values.dataclass(frozen=True, slots=True)
class Plain:
    """One that pickle finds by its name."""

    name: str


def test_a_value_survives_pickle() -> None:
    assert pickle.loads(pickle.dumps(Plain("a"))) == Plain("a")  # noqa: S301 - our own bytes


@pytest.mark.parametrize("decorator", [values.dataclass, dataclasses.dataclass])
def test_values_are_sorted_where_that_is_asked_for(decorator: Callable[..., Any]) -> None:
    @decorator(frozen=True, slots=True, order=True)
    class Entry:
        path: str
        size: int = 0

    assert sorted([Entry("b", 1), Entry("b"), Entry("a", 2)]) == [Entry("a", 2), Entry("b"), Entry("b", 1)]
    assert Entry("a") <= Entry("a") < Entry("b")
    assert Entry("b") >= Entry("b") > Entry("a")
    assert Entry.__doc__
    with pytest.raises(TypeError):
        sorted([Entry("a"), "a"])


def test_values_are_not_sorted_where_it_is_not(kinds: tuple[type[Any], type[Any]]) -> None:
    with pytest.raises(TypeError):
        sorted([kinds[0](1), kinds[0](2)])


def test_other_arguments_are_the_standard_librarys() -> None:
    with pytest.raises(TypeError, match="standard library"):
        values.dataclass(frozen=True, slots=False)
