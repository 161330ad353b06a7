"""A configuration as GitLab reads it: YAML, `spec:` headers and inputs, and what includes bring.

Sources: https://docs.gitlab.com/ci/yaml/includes/ (includes are merged in their order, a later one wins, the
including file wins last; mappings merge deeply, everything else is replaced) and
https://docs.gitlab.com/ci/inputs/ (a value that is nothing but one interpolation takes the input's type;
inside a longer text the input is written out; what nothing gives a value stays as it is written).
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipegraft.core.errors import EditRefused, Place
from pipegraft.core.reading import refuse_deep

__all__ = [
    "Document",
    "Files",
    "Layer",
    "Reference",
    "deep_merge",
    "dump_yaml",
    "include_entries",
    "interpolate",
    "layers_of",
    "load",
    "local_of",
    "local_path",
]


@dataclass(frozen=True, slots=True)
class Reference:
    """``!reference [job, key, …]``: the value found there takes its place."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"!reference [{', '.join(self.path)}]"


@dataclass(frozen=True, slots=True)
class Document:
    """One configuration file.

    Arguments:
        values: its content, header aside.
        header: what its `spec:` document declares; empty if there is none.
        index: number of the YAML document that holds the content.
    """

    values: dict[str, Any]
    header: dict[str, Any] = field(default_factory=dict)
    index: int = 0


class _Loader(yaml.CSafeLoader):
    """Safe values only; a tag that means nothing to GitLab is ignored, as it does."""


def _reference(loader: _Loader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return Reference(tuple(str(part) for part in loader.construct_sequence(node)))
    return _untagged(loader, "", node)


def _untagged(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


def _text(_loader: _Loader, node: yaml.Node) -> Any:
    return node.value


_Loader.add_constructor("!reference", _reference)
_Loader.add_multi_constructor("", _untagged)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
_Loader.add_constructor("tag:yaml.org,2002:value", _text)


@functools.lru_cache(maxsize=64)
def load(text: str, file: str) -> Document:
    """Read one configuration file; what it answers is shared, and nobody changes it.

    Arguments:
        text: the file; an empty one has no keys.
        file: name for messages.

    Raises:
        EditRefused: it is not YAML, not a mapping, or has more documents than a header and a content.
    """
    try:
        refuse_deep(text)
        documents = list(yaml.load_all(text.removeprefix("\ufeff"), Loader=_Loader))
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(error, file) from None
    index = 1 if len(documents) > 1 and _is_header(documents[0]) else 0
    extra = [other for other in documents[index + 1 :] if other is not None]
    values = documents[index] if documents else None
    if extra or not isinstance(values, dict | None):
        found = "several documents" if extra else f"a {type(values).__name__}"
        raise EditRefused(
            f"expected one mapping of jobs and keywords, found {found}",
            place=Place(file),
            fix="name the pipeline's configuration file",
        )
    return Document(_with_text_keys(values or {}), documents[0] if index else {}, index)


def _is_header(document: Any) -> bool:
    return isinstance(document, dict) and set(document) == {"spec"}


def _with_text_keys(values: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in values.items()}


def _unreadable(error: Exception, file: str) -> EditRefused:
    mark = getattr(error, "problem_mark", None)
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
    problem = getattr(error, "problem", None) or str(error)
    return EditRefused(f"this is not YAML: {problem}", place=place, fix="mend the file at this place")


_BLOCK = re.compile(r"\$\[\[\s*inputs\.([A-Za-z0-9_-]+)\s*(?:\|[^\]]*)?\]\]")


def interpolate(document: Document, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The document's values with its inputs filled in.

    Arguments:
        document: a file with or without header.
        inputs: what the including file passes; the header's defaults fill the rest.
    """
    declared = document.header.get("spec")
    wanted = declared.get("inputs") if isinstance(declared, Mapping) else None
    if not isinstance(wanted, Mapping):
        return document.values
    defaults = {
        name: spec["default"]
        for name, spec in wanted.items()
        if isinstance(spec, Mapping) and "default" in spec
    }
    filled: dict[str, Any] = _fill(document.values, {**defaults, **inputs})
    return filled


def _fill(value: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return _fill_text(value, given) if "$[[" in value else value
    if isinstance(value, dict):
        return {_fill(key, given): _fill(item, given) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, given) for item in value]
    if isinstance(value, Reference):
        return Reference(tuple(str(_fill(part, given)) for part in value.path))
    return value


def _fill_text(text: str, given: Mapping[str, Any]) -> Any:
    whole = _BLOCK.fullmatch(text.strip())
    if whole:
        return given.get(whole[1], text)
    return _BLOCK.sub(lambda block: _written(given.get(block[1], block[0])), text)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_MOST_INCLUDES = 150  # GitLab's own limit


@dataclass(frozen=True, slots=True)
class Files:
    """The other files of the repository.

    Arguments:
        read: path → text, None if there is no such file.
        find: pattern with ``*`` and ``**`` → paths.
    """

    read: Callable[[str], str | None] = lambda _path: None
    find: Callable[[str], Sequence[str]] = lambda _pattern: ()


@dataclass(frozen=True, slots=True)
class Layer:
    """One file's share of the configuration.

    Arguments:
        file: its path; empty if it is not in this repository.
        values: its own keys, without `include`.
        opaque: how it is included, for a layer that cannot be read; empty if it was.
        rules: the `rules` of the includes that bring it, the outermost first: it may be absent.
    """

    file: str
    values: Mapping[str, Any] = field(default_factory=dict)
    opaque: str = ""
    rules: tuple[Any, ...] = ()


def layers_of(file: str, text: str, files: Files) -> list[Layer]:
    """Everything a root configuration consists of, the weakest layer first, the root itself last.

    Raises:
        EditRefused: a file does not parse, includes itself, or there are too many.
    """
    walk = _Walk(files)
    return list(walk.expand(file, load(text, file), {}, (local_path(file),), ()))


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings merge, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = deep_merge(below, value)
        else:
            merged[key] = value
    return merged


def include_entries(values: Mapping[str, Any]) -> list[Any]:
    """The entries of `include`, however it is written."""
    include = values.get("include")
    if include is None:
        return []
    return list(include) if isinstance(include, list) else [include]


def local_path(path: str) -> str:
    """A path of GitLab, from the repository's root, without its leading slash."""
    return posixpath.normpath(path.lstrip("/"))


def local_of(entry: Any) -> str | None:
    """The path a local include names, None for every other include."""
    if isinstance(entry, str):
        return None if re.match(r"https?://", entry) else entry
    if isinstance(entry, Mapping) and isinstance(entry.get("local"), str):
        return str(entry["local"])
    return None


class _Walk:
    """Follows includes and counts them."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._count = 0

    def expand(
        self,
        file: str,
        document: Document,
        inputs: Mapping[str, Any],
        path: tuple[str, ...],
        rules: tuple[Any, ...],
    ) -> Iterator[Layer]:
        values = interpolate(document, inputs)
        for entry in include_entries(values):
            own_rules = (entry["rules"],) if isinstance(entry, Mapping) and "rules" in entry else ()
            yield from self._include(entry, path, (*rules, *own_rules))
        own = {key: value for key, value in values.items() if key != "include"}
        yield Layer(file, own, rules=rules)

    def _include(self, entry: Any, path: tuple[str, ...], rules: tuple[Any, ...]) -> Iterator[Layer]:
        self._count += 1
        if self._count > _MOST_INCLUDES:
            raise EditRefused(
                f"expected at most {_MOST_INCLUDES} includes, which is GitLab's limit, found more",
                place=Place(path[0]),
                fix="include fewer files",
            )
        named = local_of(entry)
        found = _shipped(entry) if named is None else [] if "$" in named else self._find(named)
        if not found:
            yield Layer("", opaque=_describe(entry), rules=rules)
        given = entry.get("inputs") if isinstance(entry, Mapping) else None
        inputs = given if isinstance(given, Mapping) else {}
        for name, text in found:
            if name in path:
                yield Layer("", opaque=f"{name}, which includes itself", rules=rules)
                continue
            yield from self.expand(name, load(text, name), inputs, (*path, name), rules)

    def _find(self, named: str) -> list[tuple[str, str]]:
        path = local_path(named)
        names = sorted(self._files.find(path)) if "*" in path else [path]
        texts = [(name, self._files.read(name)) for name in names]
        return [(name, text) for name, text in texts if text is not None]


_IF_TAG, _MAIN = {"if": "$CI_COMMIT_TAG"}, {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}
_WORKFLOWS = {
    "Branch-Pipelines": [_IF_TAG, {"if": "$CI_COMMIT_BRANCH"}],
    "MergeRequest-Pipelines": [{"if": "$CI_MERGE_REQUEST_IID"}, _IF_TAG, _MAIN],
}
"""What GitLab's own templates of this name say in `workflow:rules`, and nothing else.

Source: https://docs.gitlab.com/ci/yaml/workflow/#workflowrules-templates
"""


def _shipped(entry: Any) -> list[tuple[str, str]]:
    """The name and text of an included template that GitLab ships and that is known here."""
    named = str(entry.get("template", "")) if isinstance(entry, Mapping) else ""
    known = re.fullmatch(r"Workflows/([\w-]+)\.gitlab-ci\.yml", named)
    rules = _WORKFLOWS.get(known[1]) if known else None
    return [(f"template {named}", dump_yaml({"workflow": {"rules": rules}}))] if rules else []


def _describe(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    kind = next(
        (kind for kind in ("local", "project", "component", "template", "remote") if kind in entry), ""
    )
    return f"{kind} {entry[kind]}" if kind else str(dict(entry))


class _Dumper(yaml.CSafeDumper):
    """Writes what stands twice twice: an alias reads worse in a file that people review."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Write a mapping of mappings, lists, texts, numbers, booleans and None in block style."""
    text: str = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text
