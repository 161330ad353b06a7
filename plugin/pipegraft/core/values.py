"""`@dataclass(frozen=True, slots=True)` for modules that every command imports.

The standard library compiles six methods for each class, which takes 0.6 ms; fifty classes are a good part
of a command's time. Here a class gets functions that were compiled before and know its fields, and the rest
is the standard library's: `fields`, `replace` and `asdict` work, and type checkers see its own decorator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter, eq, ge, gt, le, lt
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

_Fields = tuple[dataclasses.Field[Any], ...]


def _initializer(cls: type[Any], fields: _Fields) -> Callable[..., None]:
    setters = [getattr(cls, field.name).__set__ for field in fields]  # a slot's own, which refuses nothing
    completes = hasattr(cls, "__post_init__")

    def init(self: Any, /, *args: Any, **named: Any) -> None:
        if named or len(args) != len(setters):
            args = _completed(cls.__name__, fields, args, named)
        for put, value in zip(setters, args, strict=True):
            put(self, value)
        if completes:
            self.__post_init__()

    return init


def _completed(name: str, fields: _Fields, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """A value for every field: given by place, by name, or its default."""
    if len(args) > len(fields):
        raise TypeError(f"{name}() takes {len(fields)} arguments, {len(args)} were given")
    values = list(args)
    for field in fields[len(args) :]:
        if field.name in named:
            values.append(named.pop(field.name))
        elif field.default is not dataclasses.MISSING:
            values.append(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            values.append(field.default_factory())
        else:
            raise TypeError(f"{name}() lacks '{field.name}'")
    if named:
        raise TypeError(f"{name}() has no '{min(named)}', or got it twice")
    return tuple(values)


def _comparison(compared: Callable[[Any], Any], answer: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def compare(self: Any, other: object) -> bool:
        return answer(compared(self), compared(other)) if type(self) is type(other) else NotImplemented

    return compare


def _getter(fields: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*fields) if fields else lambda _self: ()


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, one in self.__dataclass_fields__.items() if one.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _setattr(_self: Any, name: str, _value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field '{name}'")


def _delattr(_self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field '{name}'")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__dataclass_fields__]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, value)


_SHARED: dict[str, Callable[..., Any]] = {
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
_ORDER = {"__lt__": lt, "__le__": le, "__gt__": gt, "__ge__": ge}


def _methods(cls: type[Any], *, order: bool) -> dict[str, Callable[..., Any]]:
    fields = dataclasses.fields(cls)
    compared = _getter([field.name for field in fields if field.compare])
    return {
        **_SHARED,
        "__init__": _initializer(cls, fields),
        "__eq__": _comparison(compared, eq),
        "__hash__": lambda self: hash(compared(self)),
        **({name: _comparison(compared, answer) for name, answer in _ORDER.items()} if order else {}),
    }


if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen, slots, order=False):
        """As `dataclasses.dataclass` with the first two true; others are the standard library's."""
        if not (frozen and slots):
            raise TypeError("expected frozen=True, slots=True; others are made by the standard library")

        def make(cls):
            own = set(cls.__dict__)
            cls.__doc__ = cls.__doc__ or cls.__name__  # or the signature is looked up to stand there
            made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
            for name, method in _methods(made, order=order).items():
                if name not in own:
                    setattr(made, name, method)
            return made

        return make
