"""Placeholders, ``${resources.NAME.OUTPUT}``: where a component uses what a resource tells.

In `env`, `command` and `args` every output can stand. One that is kept elsewhere becomes a reference; inside
a longer text it becomes a variable of its own, which the text names as ``$(VARIABLE)``: Kubernetes puts the
value in when the container starts (core/v1 Container, `env` and `args`), and so do the other targets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipegraft.appspec.model.spec import AppComponent, EnvValue, Reference
from pipegraft.appspec.pod_checks import Report
from pipegraft.appspec.resources.types import close_fix
from pipegraft.core.model import Model, kebab

__all__ = ["Outputs", "fill_component"]

Outputs = Mapping[str, Mapping[str, str | Reference] | None]
"""Resource → output → its value; None for a resource that something is wrong with."""

_PLACEHOLDER = re.compile(r"\$(?P<escaped>\$)?\{resources?\b(?P<path>[^}]*)(?P<end>\}?)")
_PATH = re.compile(r"\.(?P<name>[^.]+)\.(?P<output>[^.]+)")
_ANYWHERE = ("env", "command", "args")
"""Where a value may be a reference."""


def fill_component(
    component: AppComponent, outputs: Outputs, route: tuple[str, ...], report: Report
) -> AppComponent:
    """A component with its placeholders filled in.

    Arguments:
        route: of the component, for messages.
        report: takes what is wrong: message, route, fix.
    """
    filling = _Filling(outputs, report)
    values = {
        name: filling.field(name, getattr(component, name), (*route, kebab(name)))
        for name in component.model_fields_set
    }
    if filling.variables:
        values["env"] = {**filling.variables, **(values.get("env") or {})}
    return type(component).model_construct(**values)


@dataclass(slots=True)
class _Filling:
    outputs: Outputs
    report: Report
    variables: dict[str, EnvValue] = field(default_factory=dict)
    """Added to the component, before its own: outputs that a longer text contains."""

    def field(self, name: str, value: Any, route: tuple[str, ...]) -> Any:
        return self._walk(value, route, anywhere=name in _ANYWHERE, variable=name == "env")

    def _walk(self, value: Any, route: tuple[str, ...], *, anywhere: bool, variable: bool = False) -> Any:
        def inside(part: Any, key: str) -> Any:
            return self._walk(part, (*route, key), anywhere=anywhere, variable=variable)

        if isinstance(value, str):
            return self._text(value, route, anywhere=anywhere, variable=variable)
        if isinstance(value, Mapping):
            return {key: inside(part, str(key)) for key, part in value.items()}
        if isinstance(value, tuple):
            return tuple(self._walk(part, route, anywhere=anywhere) for part in value)
        if isinstance(value, Model):
            filled = {name: inside(getattr(value, name), kebab(name)) for name in value.model_fields_set}
            return type(value).model_construct(**filled)
        return value

    def _text(
        self, text: str, route: tuple[str, ...], *, anywhere: bool, variable: bool
    ) -> str | Reference | None:
        parts: list[str] = []
        end = 0
        for found in _PLACEHOLDER.finditer(text):
            parts.append(text[end : found.start()])
            end = found.end()
            if found["escaped"]:
                parts.append(found[0][1:])
                continue
            value = self._value(found, route)
            if not isinstance(value, Reference):
                parts.append(value)
            elif not anywhere:
                self.report(
                    f"{found[0]} is kept in a secret and known only where the container runs",
                    route,
                    "use it in 'env', 'command' or 'args'",
                )
            elif variable and found[0] == text:
                return value
            else:
                parts.append(self._variable(found, value))
        return "".join((*parts, text[end:]))

    def _variable(self, found: re.Match[str], value: Reference) -> str:
        words = found["path"].strip(".").replace(".", "_").replace("-", "_").upper()
        name = f"PIPEGRAFT_RESOURCE_{words}"
        self.variables[name] = value
        return f"$({name})"

    def _value(self, found: re.Match[str], route: tuple[str, ...]) -> str | Reference:
        path = _PATH.fullmatch(found["path"])
        if path is None or not found["end"] or not found[0].startswith("${resources."):
            self.report(f"expected ${{resources.NAME.OUTPUT}}, found {found[0]}", route)
            return ""
        name, output = path["name"], path["output"]
        if name not in self.outputs:
            self.report(
                f"there is no resource '{name}'; there are: {', '.join(self.outputs) or 'none'}",
                route,
                close_fix(name, self.outputs) or "declare it below 'resources' in app.yaml",
            )
            return ""
        told = self.outputs[name]
        if told is not None and output not in told:
            self.report(
                f"resource '{name}' has no output '{output}'; it has: {', '.join(told)}",
                route,
                close_fix(output, told),
            )
            return ""
        return told[output] if told else ""
