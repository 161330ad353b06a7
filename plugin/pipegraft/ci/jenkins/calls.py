"""The calls of the shared library that a pipeline holds: how they are written and read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import UsageError
from pipegraft.core.plan import Plan
from pipegraft.text.groovy import Script, Span

__all__ = ["PREFIX", "Call", "is_step", "literal", "planned_calls", "read_call", "step_name"]

PREFIX = "pipegraft"


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a library step.

    Arguments:
        step: name of the step.
        title: name of the stage around it.
        arguments: name → Groovy source of the value.
    """

    step: str
    title: str
    arguments: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """Two calls with the same key do the same stage."""
        return self.step, self.arguments.get("environment", "")

    def tuned_as(self, other: Call | None) -> Call:
        """This call with the title and the further arguments that people gave the other one."""
        if other is None:
            return self
        return Call(self.step, other.title, {**other.arguments, **self.arguments})

    def __str__(self) -> str:
        return f"{self.step}({', '.join(f'{name}: {value}' for name, value in self.arguments.items())})"


def step_name(stage: str) -> str:
    """The library's step for a stage: ``image-build`` → ``pipegraftImageBuild``."""
    return PREFIX + "".join(part.capitalize() for part in stage.split("-"))


def is_step(word: str) -> bool:
    """Whether a word names a step of the library."""
    rest = word[len(PREFIX) :]
    return word.startswith(PREFIX) and (not rest or rest[0].isupper())


def planned_calls(plan: Plan, *, whole: bool, runner: Mapping[str, str]) -> tuple[Call, ...]:
    """One call a planned stage, or a single one for the whole plan.

    Arguments:
        runner: further arguments of each call: where it runs.
    """
    if not whole:
        return tuple(
            _call(
                step_name(planned.stage),
                planned.id,
                {"environment": planned.environment, "inputs": planned.inputs, **runner},
            )
            for planned in plan.stages
        )
    stages = [planned.id for planned in plan.stages]
    inputs = {planned.id: planned.inputs for planned in plan.stages if planned.inputs}
    return (_call(PREFIX, "delivery", {"stages": stages, "inputs": inputs, **runner}),)


def _call(step: str, title: str, arguments: Mapping[str, Any]) -> Call:
    return Call(step, title, {name: literal(value) for name, value in arguments.items() if value})


_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def literal(value: object) -> str:
    """Groovy source of a value; strings never interpolate.

    Raises:
        UsageError: the value is none of text, number, truth value, list, mapping or nothing.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return "'" + "".join(_escaped(character) for character in value) + "'"
        case Mapping():
            pairs = ", ".join(f"{literal(str(name))}: {literal(item)}" for name, item in value.items())
            return f"[{pairs or ':'}]"
        case Sequence():
            return f"[{', '.join(literal(item) for item in value)}]"
    raise UsageError(
        f"expected text, a number, true or false, a list or a mapping as input, found {type(value).__name__}"
    )


def _escaped(character: str) -> str:
    if character in _ESCAPES:  # Groovy reads \\u000a as a line end, not as one in the text
        return _ESCAPES[character]
    if character < " " or character in "\x7f\u2028\u2029\ufeff":
        return f"\\u{ord(character):04x}"
    return character


def read_call(script: Script, index: int, title: str) -> Call | None:
    """The call of a library step at a token, if there is one with named arguments only."""
    if not is_step(script.word(index)) or script.word(index + 1) != "(" or script.word(index - 1) == ".":
        return None
    arguments: dict[str, str] = {}
    for part in _parts(script, script.inside(index + 1)):
        colon = script.skip_newlines(part.first + 1)
        if script.word(colon) != ":" or colon >= part.last:
            return None
        arguments[script.word(part.first)] = script.source(Span(script.skip_newlines(colon + 1), part.last))
    return Call(script.word(index), title, arguments)


def _parts(script: Script, span: Span) -> Iterator[Span]:
    """What commas separate in a span, newlines around each left out."""
    first = last = script.skip_newlines(span.first)
    for index in script.top_level(Span(first, span.last)):
        if script.word(index) == ",":
            yield Span(first, last)
            first = last = script.skip_newlines(index + 1)
        elif script.code[index].kind != "newline":
            last = index
    if first <= span.last:
        yield Span(first, last)
