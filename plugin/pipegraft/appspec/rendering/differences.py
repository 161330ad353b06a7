"""What differs between two renderings: object by object, field by field, items of lists by their names.

For people, one object is a block, and one field a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from rich.text import Text

from pipegraft.appspec.rendering.common import Manifest

__all__ = ["FieldChange", "ObjectChange", "compare", "objects_in", "rendered_changes", "summary_of"]

_MISSING: Any = object()
_NAMES = ("name", "mountPath", "path", "containerPort", "port", "key", "target", "type")
"""Keys that tell the items of a list apart, the best first."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field.

    Arguments:
        path: where: ``spec.template.spec.containers[web].image``.
        kind: `added`, `removed` or `changed`.
        before, after: what stood there, and stands there now; None where there is nothing.
    """

    path: str
    kind: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object.

    Arguments:
        name: kind and name: ``Deployment web``.
        kind: `added`, `removed` or `changed`.
        fields: of a changed object, what differs.
        content: of an added or removed object, the whole of it.
    """

    name: str
    kind: Literal["added", "removed", "changed"]
    fields: tuple[FieldChange, ...] = ()
    content: Manifest | None = None


def objects_in(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    """What people think of as one thing, by kind and name.

    Kubernetes objects as they are; of an Application each component and each object in one; of a Compose
    file each service.
    """
    return dict(_named(manifests))


def _named(manifests: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for item in manifests:
        if item.get("kind") == "Application":
            yield from _application(item)
        elif "services" in item:
            for name, service in item["services"].items():
                yield f"service {name}", service
            yield f"compose {item['name']}", {key: item[key] for key in item if key != "services"}
        else:
            yield f"{item['kind']} {item['metadata']['name']}", item


def _application(item: Manifest) -> Iterator[tuple[str, Manifest]]:
    spec = item["spec"]
    rest = {key: value for key, value in spec.items() if key != "components"}
    yield f"Application {item['metadata']['name']}", {**item, "spec": rest}
    for component in spec["components"]:
        if component["type"] == "k8s-objects":
            yield from _named(component["properties"]["objects"])
        else:
            yield f"component {component['name']}", component


def compare(before: Mapping[str, Manifest], after: Mapping[str, Manifest]) -> list[ObjectChange]:
    """What is added, changed and removed, in the order of the new rendering, the removed ones last.

    Arguments:
        before, after: objects by name, as `objects_in` gives them.
    """
    changes = []
    for name, item in after.items():
        if name not in before:
            changes.append(ObjectChange(name, "added", content=item))
        elif fields := tuple(_fields(before[name], item, "")):
            changes.append(ObjectChange(name, "changed", fields))
    changes += [
        ObjectChange(name, "removed", content=item) for name, item in before.items() if name not in after
    ]
    return changes


def _fields(before: Any, after: Any, path: str) -> Iterator[FieldChange]:
    if before is _MISSING:
        yield FieldChange(path, "added", after=after)
    elif after is _MISSING:
        yield FieldChange(path, "removed", before=before)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _entries(before, after, path)
    elif (old := _by_name(before)) and (new := _by_name(after)):
        yield from _entries(old, new, path)
        kept = [key for key in old if key in new]
        if kept != [key for key in new if key in old]:
            yield FieldChange(f"{path} (order)", "changed", list(old), list(new))
    elif before != after or type(before) is not type(after):
        yield FieldChange(path, "changed", before, after)


def _entries(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[FieldChange]:
    for key in (*before, *(key for key in after if key not in before)):
        below = f"{path}{key}" if key.startswith("[") else f"{path}.{_step(key)}".lstrip(".")
        yield from _fields(before.get(key, _MISSING), after.get(key, _MISSING), below)


def _step(key: str) -> str:
    return f'["{key}"]' if "." in key or "/" in key else key


def _by_name(items: Any) -> dict[str, Any] | None:
    """A list as a mapping by what tells its items apart; None if nothing does."""
    if not isinstance(items, Sequence) or isinstance(items, str):
        return None
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    if all("type" in item and "properties" in item for item in items):
        traits = {f"[{_trait(item)}]": item for item in items}
        if len(traits) == len(items):
            return traits
    for key in _NAMES:
        named = {f"[{item.get(key)}]": item for item in items}
        if len(named) == len(items) and all(key in item for item in items):
            return named
    return None


def _trait(item: Mapping[str, Any]) -> str:
    name = item["properties"].get("name")
    return f"{item['type']} {name}" if name else str(item["type"])


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
