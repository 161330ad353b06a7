"""Plan the graft of delivery onto a GitLab pipeline, and prove what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipegraft.ci.gitlab.configuration import Files, Layer, layers_of
from pipegraft.ci.gitlab.eject import is_generated, root_of, ungraft
from pipegraft.ci.gitlab.include_graft import MANIFEST, add_include
from pipegraft.ci.gitlab.manifest import (
    Settings,
    generated_files,
    generated_jobs,
    job_name,
    manifest_files,
    settings_for,
)
from pipegraft.ci.gitlab.pipeline import prove_unchanged, stage_list
from pipegraft.ci.gitlab.splicing import Splice, splice
from pipegraft.ci.gitlab.stage_graft import (
    add_stages,
    is_ours,
    order_stages,
    remove_stages,
    stage_name,
    written_stages,
)
from pipegraft.ci.model import Injection, InjectionRequest
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.core.plan import PlannedStage
from pipegraft.text.yaml.source import Node, Source, parse

__all__ = ["inject"]


@dataclass(frozen=True, slots=True)
class _Placement:
    """Which pipeline stage takes what, and the edits that make room for it.

    Arguments:
        stage_of: planned stage → pipeline stage.
        texts: team's files with their list of stages edited: path → text.
        extra: what the manifest must say because no file of the team does.
        notes: what to tell.
        stages: delivery's stages that stand in the pipeline's list.
    """

    stage_of: Callable[[PlannedStage], str]
    texts: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


def inject(request: InjectionRequest) -> Injection:
    """Add the plan's stages to a pipeline.

    Arguments:
        request: the file, the plan, and what was asked for.

    Returns:
        Every file to write, the root configuration last.

    Raises:
        EditRefused: the graft cannot be made, or could not be undone, exactly.
        UsageError: names collide, or `after` is unknown.
    """
    settings = settings_for(request)
    files = Files(request.read, request.find)
    layers = _team_layers(request.file, request.text, files)
    jobs = _job_names(request, settings)
    _check_names(request.file, layers, jobs)
    place = _place_child if settings.mode == "child" else _place_include
    placement = place(request, layers)
    texts = {**placement.texts}
    texts[request.file] = _edit(request.file, texts.get(request.file, request.text), add_include)
    settings = replace(settings, stages=next((path for path in texts if path != request.file), ""))
    generated = manifest_files(request.plan, settings, request.templates, placement.stage_of, placement.extra)
    _check_undo(request, texts)
    new = {**generated, **{path: text for path, text in texts.items() if path != request.file}}
    new[request.file] = texts[request.file]
    after = layers_of(request.file, texts[request.file], _over(new, files))
    return Injection(
        files=_changes(request, new),
        jobs_unchanged=prove_unchanged(request.file, layers, after),
        jobs_added=_not_in(jobs, generated_jobs(request.read)),
        stages_added=_not_in(placement.stages, stage_list(layers).stages),
        notes=placement.notes,
    )


def _changes(request: InjectionRequest, new: Mapping[str, str]) -> dict[str, str | None]:
    """What differs from what is there, the root configuration last, and what no longer belongs there."""
    changed = {path: text for path, text in new.items() if _current(request, path) != text}
    stale = [path for path in generated_files(request.read) if path not in new]
    return {**changed, **dict.fromkeys(stale)}


def _not_in(names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in known)


def _team_layers(file: str, text: str, files: Files) -> list[Layer]:
    visible = Files(lambda path: None if is_generated(path) else files.read(path), files.find)
    every = layers_of(file, text, visible)
    found = [layer for layer in every if not is_generated(layer.opaque)]
    if len(found) == len(every) and files.read(MANIFEST) is None:
        _check_stages(file, found)
    if all(layer.opaque or not layer.values for layer in found) and len(found) == 1:
        raise EditRefused(
            "expected a pipeline, found no jobs and no keywords",
            place=Place(file),
            fix="name the pipeline's configuration file, or write its first job",
        )
    return found


def _job_names(request: InjectionRequest, settings: Settings) -> list[str]:
    if settings.mode == "child":
        return ["pipegraft"]
    return [job_name(planned) for planned in request.plan.stages]


def _check_names(file: str, layers: Sequence[Layer], jobs: Sequence[str]) -> None:
    for layer in layers:
        taken = [name for name in jobs if name in layer.values]
        if taken:
            raise UsageError(
                f"the pipeline already has a job called '{taken[0]}'",
                place=Place(layer.file or file),
                fix="give that job another name: GitLab would merge the two",
            )


def _check_stages(file: str, layers: Sequence[Layer]) -> None:
    """Before delivery comes, no stage may bear a name that its removal goes by."""
    for layer in layers:
        for stage in _own_stages(layer):
            raise UsageError(
                f"the pipeline already has a stage called '{stage}'",
                place=Place(layer.file or file),
                fix="give that stage another name: delivery's are called so; "
                "if it was left behind by delivery, take it out of the list",
            )


def _place_child(request: InjectionRequest, layers: Sequence[Layer]) -> _Placement:
    present = stage_list(layers)
    texts = _without_stages(request, layers)
    stage = ".post"
    if request.after is not None:
        team = [name for name in present.stages if not is_ours(name)]
        ordered = order_stages(team, ["pipegraft"], request.after)
        stage = next(iter(ordered[ordered.index("pipegraft") + 1 :]), ".post")
    return _Placement(_own_stage, texts, {"stage": stage})


def _place_include(request: InjectionRequest, layers: Sequence[Layer]) -> _Placement:
    present = stage_list(layers)
    wanted = list(dict.fromkeys(map(_own_stage, request.plan.stages)))
    if present.uncertain:
        return _place_last(request, layers, present.uncertain)
    if present.file is None:
        ordered = order_stages(present.stages, wanted, request.after)
        return _Placement(_own_stage, {}, {"stages": ordered}, stages=tuple(wanted))
    try:
        text = _edit_stages(request, present.file, wanted)
    except EditRefused as refusal:
        return _place_last(request, layers, str(refusal.problem.message))
    return _Placement(_own_stage, {present.file: text}, stages=tuple(wanted))


def _own_stage(planned: PlannedStage) -> str:
    return stage_name(planned.environment)


def _edit_stages(request: InjectionRequest, file: str, wanted: Sequence[str]) -> str:
    text = _current(request, file) or ""
    source = parse(text, file)
    present = written_stages(source, root_of(source))
    ordered = order_stages(present, wanted, request.after)
    kept = [stage for stage in dict.fromkeys(present) if stage in ordered]
    if kept != [stage for stage in ordered if stage in kept]:  # delivery moves: out first, then in again
        text = _edit(file, text, lambda source, root: remove_stages(source, root)[0])
    return _edit(file, text, lambda source, root: add_stages(source, root, ordered))


def _place_last(request: InjectionRequest, layers: Sequence[Layer], why: str) -> _Placement:
    """All jobs in ``.post``, which every pipeline has; `needs` keep their order."""
    if request.after is not None:
        raise UsageError(
            f"the list of stages in force is not known: {why}",
            place=Place(request.file),
            fix="leave out --after: delivery then runs in .post, behind every stage; or use --mode child",
        )
    note = f"The list of stages in force is not known ({why}), so delivery runs in the stage .post."
    return _Placement(lambda _planned: ".post", _without_stages(request, layers), {}, (note,))


def _without_stages(request: InjectionRequest, layers: Sequence[Layer]) -> dict[str, str]:
    names = [layer.file for layer in layers if _own_stages(layer)]
    return {
        name: _edit(name, _current(request, name) or "", lambda source, root: remove_stages(source, root)[0])
        for name in names
    }


def _own_stages(layer: Layer) -> list[str]:
    stages = layer.values.get("stages")
    return [name for name in map(str, stages) if is_ours(name)] if isinstance(stages, list) else []


def _edit(file: str, text: str, edits: Callable[[Source, Node], list[Splice]]) -> str:
    source = parse(text, file)
    return source.bom + splice(source.text, edits(source, root_of(source)))


def _check_undo(request: InjectionRequest, texts: Mapping[str, str]) -> None:
    """Every edit must come out again exactly, whatever the file looked like."""
    for path, text in texts.items():
        if ungraft(path, text).text != ungraft(path, _current(request, path) or "").text:
            raise EditRefused(
                "this file is written in a way that could not be restored byte for byte",
                place=Place(path),
                fix="write `include` and `stages` as plain block lists",
            )


def _over(new: Mapping[str, str], files: Files) -> Files:
    return Files(lambda path: new[path] if path in new else files.read(path), files.find)


def _current(request: InjectionRequest, path: str) -> str | None:
    return request.text if path == request.file else request.read(path)
