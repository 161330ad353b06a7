"""Plan the graft of delivery onto a GitLab pipeline, and prove what it leaves alone and when it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pipegraft.ci.gitlab.configuration import (
    Files,
    Layer,
    include_entries,
    layers_of,
    load,
    local_of,
    local_path,
)
from pipegraft.ci.gitlab.eject import (
    carried,
    edit_file,
    is_generated,
    is_overlay,
    overlays,
    place_of,
    ungraft,
)
from pipegraft.ci.gitlab.grafts import MANIFEST, add_include
from pipegraft.ci.gitlab.manifest import (
    CHILD,
    CHILD_TRIGGER,
    Settings,
    generated_files,
    generated_jobs,
    job_name,
    manifest_files,
    settings_for,
)
from pipegraft.ci.gitlab.pipeline import (
    Pipeline,
    complaints,
    is_ours,
    prove_unchanged,
    resolve,
    seconds_of,
    stage_list,
)
from pipegraft.ci.gitlab.placing import Placement, Team, place, team_of
from pipegraft.ci.gitlab.seeds import Event, Seed, events, seed
from pipegraft.ci.gitlab.when import (
    child_delivers,
    event_notes,
    event_rows,
    loose_jobs,
    unawaited,
    unread_notes,
    untimely,
)
from pipegraft.ci.hooks import EventRow, Injection, InjectionRequest, TemplateSource, pattern_of
from pipegraft.core.errors import ConfigError, EditRefused, Place, Problem, UsageError

__all__ = ["file_exists", "inject", "job_names", "refuse"]


def inject(request: InjectionRequest) -> Injection:
    """Add the plan's stages to a pipeline.

    Arguments:
        request: the file, the plan, and what was asked for.

    Returns:
        Every file to write, the root configuration last.

    Raises:
        EditRefused: the graft cannot be made, or could not be undone, exactly; or delivery would never run,
            run in a merge request, twice, or before the team's tests.
        UsageError: names collide, or `after` is unknown.
    """
    settings = settings_for(request)
    files = Files(request.read, request.find)
    layers = _team_layers(request.file, request.text, files)
    jobs = job_names(request, settings)
    _check_names(request, settings, layers, jobs)
    known = events(settings.branch, request.default_branch)
    team = team_of(request, layers, jobs, known[0])
    invalid = _invalid(request, team.pipeline, layers)
    placement = place(request, settings, layers, team)
    laid = carried(layers, [job_name(one) for one in request.plan.stages], request.current)
    draft = _draft(request, settings, replace(placement, wiring=replace(placement.wiring, laid=laid)), files)
    _check_undo(request, draft.texts)
    _check_patterns(request, layers, draft.files.keys() - draft.texts.keys())
    rows = event_rows(draft.whole, jobs, draft.exists, known)
    _check_effect(request, draft, team, known, rows)
    return Injection(
        files=_changes(request, draft.files),
        jobs_unchanged=prove_unchanged(request.file, _without_overlays(layers, jobs), draft.layers),
        jobs_added=_not_in(jobs, generated_jobs(request.read)),
        stages_added=_not_in(placement.stages, stage_list(layers).stages),
        notes=(*placement.notes, *event_notes(rows, team.pipeline), *unread_notes(rows)),
        events=rows,
        invalid=invalid,
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A graft that is not written yet, and what GitLab would make of it.

    Arguments:
        settings: what was asked for, now or before.
        placement: where delivery stands.
        texts: the team's files that are edited: path → text.
        files: every file to write: path → text, the root configuration last.
        layers: the configuration with delivery, as far as its files can be read.
        whole: everything in force; what templates from elsewhere make is told from those at hand.
        child: the same for the child pipeline; None without one.
        exists: whether the repository will have a file that a pattern of `rules:exists` fits.
    """

    settings: Settings
    placement: Placement
    texts: Mapping[str, str]
    files: Mapping[str, str]
    layers: list[Layer]
    whole: Pipeline
    child: Pipeline | None
    exists: Callable[[str], bool]


def _draft(request: InjectionRequest, settings: Settings, placement: Placement, files: Files) -> _Draft:
    root = edit_file(request.file, placement.texts.get(request.file, request.text), add_include)
    beside = {path: text for path, text in placement.texts.items() if path != request.file}
    settings = replace(settings, stages=next(iter(beside), ""))
    generated = manifest_files(request.plan, settings, request.templates, placement.wiring)
    new = {**generated, **beside, request.file: root}
    over = readable = _over(new, files)
    layers = layers_of(request.file, root, over)
    if settings.source.kind != "local":
        at_hand = replace(settings, source=TemplateSource("local"))
        made = manifest_files(request.plan, at_hand, request.templates, placement.wiring)
        readable = _over({**new, **made}, files)
    whole = resolve(layers if readable is over else layers_of(request.file, root, readable))
    child = None
    if settings.mode == "child":
        child = resolve(layers_of(CHILD, readable.read(CHILD) or "", readable))
    texts = {**beside, request.file: root}
    return _Draft(settings, placement, texts, new, layers, whole, child, partial(file_exists, over))


def file_exists(files: Files, pattern: str) -> bool:
    """Whether the repository has a file that a pattern of `rules:exists` fits."""
    path = pattern.lstrip("/")
    if not any(mark in path for mark in "*?[{"):
        return files.read(path) is not None
    return bool(files.find(path) or files.find(path.replace("**/", "")))


def _changes(request: InjectionRequest, new: Mapping[str, str]) -> dict[str, str | None]:
    """What differs from what is there, the root configuration last, and what no longer belongs there."""
    stale = dict.fromkeys(path for path in generated_files(request.read) if path not in new)
    return {path: text for path, text in new.items() if request.current(path) != text} | stale


def _not_in(names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in known)


def _team_layers(file: str, text: str, files: Files) -> list[Layer]:
    visible = Files(
        lambda path: None if is_generated(path) else files.read(path),
        lambda pattern: [path for path in files.find(pattern) if not is_generated(path)],
    )
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


def job_names(request: InjectionRequest, settings: Settings) -> list[str]:
    """Delivery's jobs in the team's own pipeline, in their order."""
    if settings.mode == "child":
        return [CHILD_TRIGGER]
    return [job_name(planned) for planned in request.plan.stages]


def _check_names(
    request: InjectionRequest, settings: Settings, layers: Sequence[Layer], jobs: Sequence[str]
) -> None:
    """No job of the team's has a name of delivery's, or lays something on a job that it cannot reach."""
    found = [
        Problem(
            f"the pipeline already has a job called '{name}'",
            place_of(layer.file, request.current(layer.file), name),
            "give that job another name: GitLab would merge the two; to set something on delivery's "
            "job, name it without 'script', 'run', 'trigger' and 'extends'",
        )
        for layer in layers
        for name in jobs
        if name in layer.values and not is_overlay(layer.values[name])
    ]
    inner = [job_name(planned) for planned in request.plan.stages] if settings.mode == "child" else []
    found += [
        Problem(
            f"what you lay on '{name}' does not reach it: that job is in the child pipeline",
            place_of(layer.file, request.current(layer.file), name),
            f"use --mode include, or name it '.{name}', with a dot: inject carries it along",
        )
        for layer, name in overlays(layers, inner)
    ]
    if found:
        raise ConfigError(found)


def _check_stages(file: str, layers: Sequence[Layer]) -> None:
    """Before delivery comes, no stage may bear a name that its removal goes by."""
    for layer in layers:
        stages = layer.values.get("stages")
        for stage in filter(is_ours, map(str, stages if isinstance(stages, list) else ())):
            raise UsageError(
                f"the pipeline already has a stage called '{stage}'",
                place=Place(layer.file or file),
                fix="give that stage another name: delivery's are called so; "
                "if it was left behind by delivery, take it out of the list",
            )


def _without_overlays(layers: Sequence[Layer], jobs: Sequence[str]) -> list[Layer]:
    """The team's layers without what they lay on delivery's jobs."""
    laid = {(id(layer), name) for layer, name in overlays(layers, jobs)}
    return [
        replace(layer, values={key: one for key, one in layer.values.items() if (id(layer), key) not in laid})
        for layer in layers
    ]


_HARD = ("it has 'rules' beside", "'when' is", "its name")
"""Beginnings of complaints that no other file could mend."""


def _invalid(request: InjectionRequest, team: Pipeline, layers: Sequence[Layer]) -> tuple[str, ...]:
    """What GitLab refuses already; what no further file could mend is refused here, too."""
    found, hard = [], []
    for job, clause in complaints(team):
        layer = next((one for one in layers if job in one.values), None)
        place = place_of(layer.file, request.current(layer.file), job) if layer else Place(request.file)
        if job and clause.startswith(_HARD):
            message = f"GitLab refuses this configuration already: '{job}': {clause}"
            hard.append(Problem(message, place, "mend it first; GitLab's pipeline editor shows the same"))
        found.append(f"{place} '{job}': {clause}" if job else f"{place} {clause}")
    refuse(hard)
    return tuple(found)


def refuse(found: Sequence[Problem]) -> None:
    """Tell all that is in the way at once.

    Raises:
        EditRefused: something is.
    """
    if found:
        first, *further = found
        raise EditRefused(first.message, place=first.place, fix=first.fix, further=further)


def _check_undo(request: InjectionRequest, texts: Mapping[str, str]) -> None:
    """Every edit must come out again exactly, and leave the team's own includes as they are."""
    for path, text in texts.items():
        before = request.current(path)
        own = [entry for entry in include_entries(load(text, path).values) if not _is_ours(entry)]
        team = [entry for entry in include_entries(load(before, path).values) if not _is_ours(entry)]
        if own != team or ungraft(path, text).text != ungraft(path, before).text:
            raise EditRefused(
                "this file is written in a way that could not be restored byte for byte",
                place=Place(path),
                fix="write `include` and `stages` as plain block lists, and end the file with a line break",
            )


def _is_ours(entry: object) -> bool:
    local = local_of(entry)
    return local is not None and local_path(local) == MANIFEST


def _check_patterns(request: InjectionRequest, layers: Sequence[Layer], generated: Collection[str]) -> None:
    """No include of the team's may bring delivery's files a second time."""
    named = {layer.file for layer in layers if layer.file}
    for path in sorted(named):
        for entry in include_entries(load(request.current(path), path).values):
            local = local_of(entry)
            if local is None or "*" not in local:
                continue
            found = next((one for one in sorted(generated) if pattern_of(local).fullmatch(one)), None)
            if found is not None:
                raise EditRefused(
                    f"the include '{local}' would bring delivery's own file {found}: jobs would come twice",
                    place=place_of(path, request.current(path), "include"),
                    fix="let the pattern name the team's folder, such as 'ci/**.yml'",
                )


def _check_effect(
    request: InjectionRequest, draft: _Draft, team: Team, known: Sequence[Event], rows: Sequence[EventRow]
) -> None:
    """Delivery runs when it should, in its order, and nowhere else.

    Raises:
        EditRefused: it does not; all that is in the way is told, what GitLab refuses before the rest.
    """
    refuse(sorted(_laid(request, draft, team), key=lambda one: one.place or Place("")))
    pushed = seed(draft.whole, known[0], draft.exists)
    laid = next(iter(team.overlaid), "")
    found = [*untimely(rows, team.places, draft.settings.branch, laid), *_chain(request, draft, pushed, team)]
    if not rows[0].passed and not draft.placement.asked:
        later = (*rows[0].beside, *rows[0].after)
        found += unawaited(
            [name for name in later if team.pipeline.jobs[name].get("stage") != ".post"], team.places
        )
    if draft.child is not None and not child_delivers(draft.child, known):
        found.append(
            Problem(
                "delivery's child pipeline would hold no job of delivery",
                Place(CHILD),
                "take out what lays other rules on its jobs, or use --mode include",
            )
        )
    refuse(found)


def _laid(request: InjectionRequest, draft: _Draft, team: Team) -> Iterator[Problem]:
    """What the team lays on a job of delivery's, and GitLab refuses, ends or doubles the job for."""
    jobs = {**draft.whole.jobs, **(draft.child.jobs if draft.child else {})}
    refused = "GitLab refuses beside 'rules'"
    effects = {"only": refused, "except": refused, "parallel": "lets it run many times at once"}
    effects["interruptible"] = "a newer pipeline could then end in its middle"
    for name in team.overlaid:
        job = jobs.get(name, {})
        ends = "resource_group" in job and job.get("interruptible")  # of those that deploy
        for key, effect in effects.items():
            if key in job and (ends or key != "interruptible"):
                said = f"'{key}' is laid on '{name}', which {effect}"
                yield Problem(said, team.places(name), f"take '{key}' out of it")
    for planned in request.plan.stages:
        name, longest = job_name(planned), planned.longest
        job = jobs.get(name, {})
        hidden = "timeout" in draft.placement.wiring.laid.get(name, ())
        allowed = seconds_of(job.get("timeout", "")) if hidden or name in team.overlaid else None
        if allowed is not None and allowed < longest:
            yield Problem(
                f"'timeout' is laid on '{name}' and ends it after {allowed / 60:.0f} min, "
                f"and by its own limits it may take {longest / 60:.0f} min",
                team.places(f".{name}" if hidden else name),
                "take 'timeout' out of it: inject sets one that is long enough",
            )


def _chain(request: InjectionRequest, draft: _Draft, pushed: Seed, team: Team) -> Iterator[Problem]:
    """Jobs of delivery's that start before their turn, for what the team lays on them."""
    names = {one.id: job_name(one) for one in request.plan.stages}
    chain = {names[one.id]: [names[need] for need in one.needs] for one in request.plan.stages}
    if draft.child is not None:
        chain = {CHILD_TRIGGER: []}
    for name, why in loose_jobs(pushed, chain):
        yield Problem(
            f"'{name}' would not keep its place in the delivery: {why}",
            team.places(name if name in team.overlaid else next(iter(team.overlaid), name)),
            "take 'needs', 'when', 'rules' and 'allow_failure' out of what is laid on delivery's jobs",
        )


def _over(new: Mapping[str, str], files: Files) -> Files:
    def find(pattern: str) -> list[str]:
        wanted = pattern_of(pattern)
        return sorted({*files.find(pattern), *(path for path in new if wanted.fullmatch(path))})

    return Files(lambda path: new[path] if path in new else files.read(path), find)
