"""Take delivery out of a GitLab pipeline: recognised by what it says, without a record.

What the team's own files say of delivery's jobs, settings laid on them and jobs that lean on them, is found
here, too: it means nothing without delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from yaml.events import MappingStartEvent

from pipegraft.ci.gitlab.configuration import Files, Layer, Reference, layers_of
from pipegraft.ci.gitlab.grafts import MANIFEST, remove_include, remove_stages
from pipegraft.ci.gitlab.manifest import generated_files, generated_jobs, read_settings
from pipegraft.ci.gitlab.pipeline import complaints, is_ours, prove_unchanged, resolve, written_out
from pipegraft.ci.hooks import Injection
from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.yaml.changes import Replaced
from pipegraft.text.yaml.paths import key_text
from pipegraft.text.yaml.source import Node, Source, parse

__all__ = [
    "Addition",
    "Texts",
    "Ungrafted",
    "carried",
    "edit_file",
    "eject",
    "is_generated",
    "is_overlay",
    "leaning",
    "overlays",
    "place_of",
    "root_of",
    "splice",
    "ungraft",
]


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


def splice(text: str, edits: Iterable[Replaced]) -> str:
    """Apply edits that do not overlap, from the end; of two at one place the one given first comes first."""
    in_order = sorted(edits, key=lambda edit: (edit.start, edit.end))
    for edit in reversed(in_order):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def ungraft(file: str, text: str) -> Ungrafted:
    """Take the include line and delivery's stages out of a file.

    Raises:
        EditRefused: it does not parse.
    """
    source = parse(text, file)
    root = root_of(source)
    edits, stages = remove_stages(source, root)
    return Ungrafted(source.bom + splice(source.text, [*edits, *remove_include(source, root)]), stages)


def edit_file(file: str, text: str, edits: Callable[[Source, Node], list[Replaced]]) -> str:
    """A file's text with the edits that its source and its root mapping call for."""
    source = parse(text, file)
    return source.bom + splice(source.text, edits(source, root_of(source)))


def eject(file: str, text: str, read: Callable[[str], str | None]) -> Injection:
    """Take delivery out of a pipeline.

    Arguments:
        file: the root configuration.
        text: its text.
        read: other files of the repository.

    Returns:
        The team's files as they wrote them, the root configuration first, then what is to be deleted.

    Raises:
        EditRefused: a file does not parse, or something of the team's means nothing without delivery.
    """
    files = Files(lambda path: None if is_generated(path) else read(path))
    layers = layers_of(file, text, files)
    if read(MANIFEST) is None and not any(is_generated(layer.opaque) for layer in layers):
        return Injection(files={})  # a stage that is called as delivery's are is the team's
    named = [layer.file for layer in layers if layer.file]
    settings = read_settings(read)
    names = [file, *named, *([settings.stages] if settings and settings.stages else ())]
    texts = {name: text if name == file else read(name) or "" for name in dict.fromkeys(names)}
    without = {name: ungraft(name, content) for name, content in texts.items() if "pipegraft" in content}
    changed: dict[str, str | None] = {
        name: result.text for name, result in without.items() if result.text != texts[name]
    }
    jobs = generated_jobs(read)
    stages = tuple(dict.fromkeys(stage for result in without.values() for stage in result.stages))
    own = [layer for layer in layers if not is_generated(layer.opaque)]
    _check_nothing_leans(list(leaning(own, jobs, stages, texts.__getitem__)))
    left = layers_of(
        file,
        changed.get(file) or text,
        Files(lambda path: changed[path] if path in changed else files.read(path), files.find),
    )
    return Injection(
        files={**changed, **dict.fromkeys(generated_files(read))},
        jobs_unchanged=prove_unchanged(file, [_without_stages(layer) for layer in own], left),
        jobs_added=jobs,
        stages_added=stages,
        invalid=tuple(f"'{job}': {clause}" if job else clause for job, clause in complaints(resolve(left))),
    )


def _check_nothing_leans(found: Sequence[Addition]) -> None:
    if found:
        raise EditRefused(
            "without delivery GitLab would refuse what leans on it: " + "; ".join(map(str, found)),
            place=found[0].place,
            fix="take this out first, then run eject again",
        )


def _without_stages(layer: Layer) -> Layer:
    """A layer without delivery's stages: the state that the removal leads to."""
    stages = layer.values.get("stages")
    if not isinstance(stages, list):
        return layer
    return replace(layer, values={**layer.values, "stages": [one for one in stages if not is_ours(str(one))]})


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


_CARRIED = ("cache", "hooks", "id_tokens", "image", "secrets", "services", "tags", "timeout", "variables")


def carried(layers: Sequence[Layer], jobs: Collection[str], texts: Texts) -> dict[str, dict[str, Any]]:
    """What the team's hidden jobs lay on the jobs of delivery that bear their name without the dot.

    Delivery's files repeat it, so that it reaches a child pipeline, too.

    Raises:
        EditRefused: it is more than where and with what a job runs.
    """
    found = {name: written_out(layers, f".{name}") for name in jobs}
    for name, laid in found.items():
        wrong = [key for key in laid if key not in _CARRIED]
        if wrong:
            layer = next(one for one in layers if f".{name}" in one.values)
            raise EditRefused(
                f"'{wrong[0]}' is laid on delivery's job by '.{name}'; expected {', '.join(_CARRIED)}",
                place=place_of(layer.file, texts(layer.file), f".{name}"),
                fix=f"take '{wrong[0]}' out of it",
            )
    return {name: laid for name, laid in found.items() if laid}


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
