"""A grafted configuration as one text, for a server that does not have the new files yet."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from pipegraft.ci.gitlab.include_graft import MANIFEST, remove_include
from pipegraft.ci.gitlab.interpolation import interpolate
from pipegraft.ci.gitlab.layers import include_entries
from pipegraft.ci.gitlab.loader import load
from pipegraft.ci.gitlab.manifest import CHILD
from pipegraft.ci.gitlab.splicing import Splice, line_start, newline_of, splice
from pipegraft.ci.gitlab.ungraft import root_of
from pipegraft.ci.gitlab.writing import dump_yaml
from pipegraft.text.yaml.source import parse

__all__ = ["standalone_child", "standalone_root"]


def standalone_root(
    file: str, text: str, read: Callable[[str], str | None], templates: Mapping[str, str]
) -> str:
    """The root configuration with delivery's jobs written out in place of the include line.

    Arguments:
        file: its path.
        text: the grafted text.
        read: the generated files.
        templates: template file name → text.
    """
    source = parse(text, file)
    root = root_of(source)
    first = source.start(source.children(root)[0])
    at = line_start(source.text, first)
    jobs = _written_out(read(MANIFEST) or "", templates)
    lines = [f"{' ' * (first - at)}{line}" for line in dump_yaml(jobs).splitlines()]
    newline = newline_of(source.text, at)
    added = Splice(at, at, "".join(line + newline for line in lines))
    return splice(source.text, [added, *remove_include(source, root)])


def standalone_child(read: Callable[[str], str | None], templates: Mapping[str, str]) -> str | None:
    """The child pipeline with its jobs written out; None if there is none."""
    child = read(CHILD)
    return None if child is None else dump_yaml(_written_out(child, templates))


def _written_out(manifest: str, templates: Mapping[str, str]) -> dict[str, Any]:
    values = load(manifest, MANIFEST).values
    jobs: dict[str, Any] = {}
    for entry in include_entries(values):
        path = str(entry.get("local") or entry.get("file") or entry.get("remote"))
        jobs |= interpolate(load(templates[posixpath.basename(path)], path), entry.get("inputs") or {})
    own = {key: value for key, value in values.items() if key != "include"}
    return {
        **jobs,
        **{key: {**jobs.get(key, {}), **value} if key in jobs else value for key, value in own.items()},
    }
