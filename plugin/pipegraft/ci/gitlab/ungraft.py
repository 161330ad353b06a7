"""Take delivery out of a configuration file: everything of it is recognised by what it says."""

from __future__ import annotations

from dataclasses import dataclass

from yaml.events import MappingStartEvent

from pipegraft.ci.gitlab.include_graft import MANIFEST, remove_include
from pipegraft.ci.gitlab.splicing import splice
from pipegraft.ci.gitlab.stage_graft import remove_stages
from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.yaml.source import Node, Source, parse

__all__ = ["Ungrafted", "is_generated", "root_of", "ungraft"]


@dataclass(frozen=True, slots=True)
class Ungrafted:
    """A file without delivery.

    Arguments:
        text: what the team wrote, byte for byte.
        stages: delivery's stages that were in it.
    """

    text: str
    stages: tuple[str, ...] = ()


def is_generated(path: str) -> bool:
    """Whether a path names one of delivery's own files."""
    return path.removeprefix("local ") == MANIFEST or path.startswith(".pipegraft/gitlab")


def root_of(source: Source) -> Node:
    """The mapping of jobs and keywords: the last document's.

    Raises:
        EditRefused: there is none.
    """
    root = source.documents[-1] + 1 if source.documents else None
    if root is None or not isinstance(source.events[root], MappingStartEvent):
        raise EditRefused(
            "expected a mapping of jobs and keywords, found none",
            place=Place(source.file),
            fix="name the pipeline's configuration file, or write its first job",
        )
    return root


def ungraft(file: str, text: str) -> Ungrafted:
    """Take the include line and delivery's stages out of a file.

    Raises:
        EditRefused: it does not parse.
    """
    source = parse(text, file)
    root = root_of(source)
    edits, stages = remove_stages(source, root)
    return Ungrafted(source.bom + splice(source.text, [*edits, *remove_include(source, root)]), stages)
