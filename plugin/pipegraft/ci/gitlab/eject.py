"""Plan the removal of delivery from a GitLab pipeline, without any record of its injection."""

from __future__ import annotations

from collections.abc import Callable

from pipegraft.ci.gitlab.include_graft import MANIFEST
from pipegraft.ci.gitlab.layers import Files, layers_of
from pipegraft.ci.gitlab.manifest import generated_files, generated_jobs, read_settings
from pipegraft.ci.gitlab.pipeline import resolve
from pipegraft.ci.gitlab.ungraft import is_generated, ungraft
from pipegraft.ci.model import Injection

__all__ = ["eject"]


def eject(file: str, text: str, read: Callable[[str], str | None]) -> Injection:
    """Take delivery out of a pipeline.

    Arguments:
        file: the root configuration.
        text: its text.
        read: other files of the repository.

    Returns:
        The team's files as they wrote them, the root configuration first, then what is to be deleted.

    Raises:
        EditRefused: a file does not parse.
    """
    layers = layers_of(file, text, Files(lambda path: None if is_generated(path) else read(path)))
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
    generated = generated_files(read)
    team = resolve(layers)
    return Injection(
        files={**changed, **dict.fromkeys(generated)},
        jobs_unchanged=tuple(name for name in team.jobs if not name.startswith(".")),
        jobs_added=generated_jobs(read),
        stages_added=tuple(dict.fromkeys(stage for result in without.values() for stage in result.stages)),
    )
