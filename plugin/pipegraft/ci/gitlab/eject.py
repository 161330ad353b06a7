"""Take delivery out of a GitLab pipeline: recognised by what it says, without a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from yaml.events import MappingStartEvent

from pipegraft.ci.gitlab.additions import Addition, leaning
from pipegraft.ci.gitlab.checks import complaints
from pipegraft.ci.gitlab.configuration import Files, Layer, layers_of
from pipegraft.ci.gitlab.include_graft import MANIFEST, remove_include
from pipegraft.ci.gitlab.manifest import generated_files, generated_jobs, read_settings
from pipegraft.ci.gitlab.pipeline import prove_unchanged, resolve
from pipegraft.ci.gitlab.splicing import splice
from pipegraft.ci.gitlab.stage_graft import is_ours, remove_stages
from pipegraft.ci.model import Injection
from pipegraft.core.errors import EditRefused, Place
from pipegraft.text.yaml.source import Node, Source, parse

__all__ = ["Ungrafted", "eject", "is_generated", "root_of", "ungraft"]


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
    settings = read_settings(read(MANIFEST))
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
