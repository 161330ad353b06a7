"""What a team's own files say of delivery's jobs: settings laid on them, and jobs that lean on them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.ci.gitlab.configuration import Layer, Reference
from pipegraft.core.errors import Place
from pipegraft.text.yaml.locate import key_text
from pipegraft.text.yaml.source import parse

__all__ = ["Addition", "Texts", "is_overlay", "leaning", "overlays", "place_of"]

Texts = Callable[[str], str]
"""Path → text of one of the team's files."""

_OF_ITS_OWN = frozenset({"script", "run", "trigger", "extends"})


@dataclass(frozen=True, slots=True)
class Addition:
    """Something of the team's that means nothing without delivery.

    Arguments:
        place: where it stands.
        says: what it does, a clause.
    """

    place: Place
    says: str

    def __str__(self) -> str:
        return f"{self.place} {self.says}"


def place_of(file: str, text: str, key: str) -> Place:
    """Where a top-level key of a file stands; the file alone where it cannot be told."""
    source = parse(text, file)
    root = source.documents[-1] + 1 if source.documents else 0
    keys = source.entries(root) if source.documents else []
    found = next((node for node, _value in keys if key_text(source, node) == key), None)
    return Place(file) if found is None else source.place(source.start(found))


def is_overlay(value: Any) -> bool:
    """Whether a job only sets something on a job that is defined elsewhere."""
    return isinstance(value, Mapping) and not _OF_ITS_OWN & value.keys()


def overlays(layers: Sequence[Layer], jobs: Collection[str]) -> list[tuple[Layer, str]]:
    """What the team lays on delivery's jobs: the layer and the job's name."""
    return [
        (layer, name)
        for layer in layers
        for name in jobs
        if name in layer.values and is_overlay(layer.values[name])
    ]


def leaning(
    layers: Sequence[Layer], jobs: Collection[str], stages: Collection[str], texts: Texts
) -> Iterator[Addition]:
    """Everything of the team's that GitLab would refuse without delivery.

    Arguments:
        layers: the team's own.
        jobs: names of delivery's jobs.
        stages: names of delivery's stages.
        texts: the files of the layers.
    """
    for layer in layers:
        for name, value in layer.values.items():
            says = (
                "sets something on a job of delivery"
                if name in jobs and is_overlay(value)
                else _leans(value, jobs, stages)
                if isinstance(value, Mapping)
                else ""
            )
            if says:
                yield Addition(place_of(layer.file, texts(layer.file), name), f"'{name}' {says}")


def _leans(job: Mapping[str, Any], jobs: Collection[str], stages: Collection[str]) -> str:
    for word in ("needs", "dependencies", "extends"):
        named = job.get(word)
        listed = named if isinstance(named, list) else [named]
        for one in listed:
            found = one.get("job") if isinstance(one, Mapping) and "pipeline" not in one else one
            if isinstance(found, str) and found in jobs:
                return f"has '{found}' in its '{word}'"
    if job.get("stage") in stages:
        return f"runs in the stage '{job['stage']}'"
    return next((f"refers to '{name}'" for name in _referred(job) if name in jobs), "")


def _referred(value: Any) -> Iterator[str]:
    if isinstance(value, Reference):
        yield from value.path[:1]
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _referred(item)
    elif isinstance(value, list):
        for item in value:
            yield from _referred(item)
