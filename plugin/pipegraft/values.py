"""`@dataclass(frozen=True, slots=True)` for modules that every command imports.

The standard library compiles six methods for each class, which takes 0.6 ms; fifty classes are a good part
of a command's time. Here all classes share the methods, and the rest is the standard library's: `fields`,
`replace` and `asdict` work, and type checkers see its own decorator. Making an object takes a few times
longer, so what is made by the thousand stays with the standard library.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

_SET = object.__setattr__


def _init(self: Any, /, *args: Any, **named: Any) -> None:
    names = self.__match_args__
    if len(args) > len(names):
        raise TypeError(f"{type(self).__name__}() takes {len(names)} arguments, {len(args)} were given")
    values = dict(zip(names, args, strict=False))
    if twice := values.keys() & named.keys():
        raise TypeError(f"{type(self).__name__}() got '{min(twice)}' twice")
    values |= named
    for name, field in self.__dataclass_fields__.items():
        if name in values:
            _SET(self, name, values.pop(name))
        elif field.default is not dataclasses.MISSING:
            _SET(self, name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            _SET(self, name, field.default_factory())
        else:
            raise TypeError(f"{type(self).__name__}() lacks '{name}'")
    if values:
        raise TypeError(f"{type(self).__name__}() has no '{min(values)}'")
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name, one in self.__dataclass_fields__.items() if one.compare)


def _eq(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


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
        _SET(self, name, value)


_SHARED = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen, slots):
        """As `dataclasses.dataclass` with both arguments true; others are the standard library's."""
        if not (frozen and slots):
            raise TypeError("expected frozen=True, slots=True; others are made by the standard library")

        def make(cls):
            made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
            for name, method in _SHARED.items():
                if name not in cls.__dict__:
                    setattr(made, name, method)
            return made

        return make
