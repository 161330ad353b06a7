"""What a change does to rendered objects, for people: one object a block, one field a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml
from rich.text import Text

from pipegraft.appspec.rendering.differences import FieldChange, ObjectChange

__all__ = ["rendered_changes", "summary_of"]

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
_SHORT = 72


def rendered_changes(changes: Iterable[ObjectChange]) -> Iterator[Text]:
    """The lines of one environment."""
    for change in changes:
        sign, style = _SIGNS[change.kind]
        yield Text.assemble((f"{sign} ", style), (change.name, f"bold {style}"))
        for field in change.fields:
            yield from _field(field)
        if change.content is not None:
            yield from _block(change.content, sign, style, "    ")


def summary_of(changes: Sequence[ObjectChange]) -> str:
    """How many there are: ``1 changed, 2 added``."""
    counts = {
        kind: sum(change.kind == kind for change in changes) for kind in ("changed", "added", "removed")
    }
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no difference"


def _field(field: FieldChange) -> Iterator[Text]:
    if field.kind == "changed" and _is_short(field.before) and _is_short(field.after):
        old, new = _plain(field.before), _plain(field.after)
        if len(old) + len(new) < _SHORT:
            yield Text.assemble(f"    {field.path}: ", (old, "red"), " → ", (new, "green"))
            return
    yield Text(f"    {field.path}:")
    for kind, value in (("removed", field.before), ("added", field.after)):
        if field.kind in (kind, "changed"):
            sign, style = _SIGNS[kind]
            yield from _block(value, sign, style, "      ")


def _is_short(value: Any) -> bool:
    return not isinstance(value, (dict, list))


def _block(value: Any, sign: str, style: str, indent: str) -> Iterator[Text]:
    for line in _lines(value):
        yield Text(f"{indent}{sign} {line}", style)


def _lines(value: Any) -> list[str]:
    if _is_short(value):
        return [_plain(value)]
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=4096)
    return text.splitlines()


def _plain(value: Any) -> str:
    """A scalar on one line, as YAML."""
    text: str = yaml.safe_dump(value, allow_unicode=True, width=4096, default_style=None)
    return text.removesuffix("\n").removesuffix("\n...")
