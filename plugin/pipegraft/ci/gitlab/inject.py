"""Plan the graft of delivery onto a GitLab pipeline, and prove what it leaves alone and when it runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
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
    branch_condition,
    generated_files,
    generated_jobs,
    job_name,
    manifest_files,
    settings_for,
)
from pipegraft.ci.gitlab.pipeline import Pipeline, complaints, is_ours, prove_unchanged, resolve, stage_list
from pipegraft.ci.gitlab.placing import Placement, Team, place, team_of
from pipegraft.ci.gitlab.when import Seed, child_delivers, event_rows, events, loose_job, seed
from pipegraft.ci.hooks import EventRow, Injection, InjectionRequest, TemplateSource, pattern_of
from pipegraft.core.errors import EditRefused, Place, UsageError

__all__ = ["inject"]


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
    jobs = _job_names(request, settings)
    _check_names(request, layers, jobs)
    _check_reach(request, settings, layers)
    known = events(settings.branch, request.default_branch)
    team = team_of(request, layers, jobs, known[0])
    invalid = _invalid(request, team.pipeline, layers)
    placement = place(request, settings, layers, team)
    texts = {**placement.texts}
    texts[request.file] = edit_file(request.file, texts.get(request.file, request.text), add_include)
    settings = replace(settings, stages=next((path for path in texts if path != request.file), ""))
    generated = manifest_files(request.plan, settings, request.templates, placement.wiring)
    _check_undo(request, texts)
    _check_patterns(request, layers, generated)
    new = {**generated, **{path: text for path, text in texts.items() if path != request.file}}
    new[request.file] = texts[request.file]
    over = _over(new, files)
    after = layers_of(request.file, texts[request.file], over)
    readable = over
    if settings.source.kind != "local":  # what the templates make is told from those at hand
        at_hand = replace(settings, source=TemplateSource("local"))
        made = manifest_files(request.plan, at_hand, request.templates, placement.wiring)
        readable = _over({**new, **made}, files)
    whole = resolve(after if readable is over else layers_of(request.file, texts[request.file], readable))
    rows = event_rows(whole, jobs, partial(_exists, over), known)
    _check_laid(whole, team)
    _check_when(placement, rows, team, settings.branch)
    _check_chain(request, settings, seed(whole, known[0], partial(_exists, over)), whole, team)
    _check_order(placement, rows[0], team)
    if settings.mode == "child" and not child_delivers(
        resolve(layers_of(CHILD, readable.read(CHILD) or "", readable)), known
    ):
        raise EditRefused(
            "delivery's child pipeline would hold no job of delivery",
            place=Place(CHILD),
            fix="take out what lays other rules on its jobs, or use --mode include",
        )
    return Injection(
        files=_changes(request, new),
        jobs_unchanged=prove_unchanged(request.file, _without_overlays(layers, jobs), after),
        jobs_added=_not_in(jobs, generated_jobs(request.read)),
        stages_added=_not_in(placement.stages, stage_list(layers).stages),
        notes=(*placement.notes, *_said(rows, team.pipeline)),
        events=rows,
        invalid=invalid,
    )


def _exists(files: Files, pattern: str) -> bool:
    """Whether the repository has a file that a pattern of `rules:exists` fits."""
    path = pattern.lstrip("/")
    if not any(mark in path for mark in "*?[{"):
        return files.read(path) is not None
    return bool(files.find(path) or files.find(path.replace("**/", "")))


def _changes(request: InjectionRequest, new: Mapping[str, str]) -> dict[str, str | None]:
    """What differs from what is there, the root configuration last, and what no longer belongs there."""
    changed = {path: text for path, text in new.items() if request.current(path) != text}
    stale = [path for path in generated_files(request.read) if path not in new]
    return {**changed, **dict.fromkeys(stale)}


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


def _job_names(request: InjectionRequest, settings: Settings) -> list[str]:
    if settings.mode == "child":
        return [CHILD_TRIGGER]
    return [job_name(planned) for planned in request.plan.stages]


def _check_names(request: InjectionRequest, layers: Sequence[Layer], jobs: Sequence[str]) -> None:
    for layer in layers:
        taken = [name for name in jobs if name in layer.values and not is_overlay(layer.values[name])]
        if taken:
            text = request.current(layer.file)
            raise UsageError(
                f"the pipeline already has a job called '{taken[0]}'",
                place=place_of(layer.file, text, taken[0]),
                fix="give that job another name: GitLab would merge the two; to set something on delivery's "
                "job, name it without 'script', 'run', 'trigger' and 'extends'",
            )


def _check_reach(request: InjectionRequest, settings: Settings, layers: Sequence[Layer]) -> None:
    """What the team lays on a job of the child pipeline would be a job of its own, without work."""
    inner = [job_name(planned) for planned in request.plan.stages] if settings.mode == "child" else []
    for layer, name in overlays(layers, inner):
        raise UsageError(
            f"what you lay on '{name}' does not reach it: that job is in the child pipeline",
            place=place_of(layer.file, request.current(layer.file), name),
            fix="use --mode include, or take it out; variables reach the child pipeline by the 'variables' "
            f"that you lay on '{CHILD_TRIGGER}'",
        )


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
        replace(
            layer,
            values={name: value for name, value in layer.values.items() if (id(layer), name) not in laid},
        )
        for layer in layers
    ]


_HARD = ("it has 'rules' beside", "'when' is", "its name")
"""Beginnings of complaints that no other file could mend."""


def _invalid(request: InjectionRequest, team: Pipeline, layers: Sequence[Layer]) -> tuple[str, ...]:
    """What GitLab refuses already; what no further file could mend is refused here, too."""
    found = []
    for job, clause in complaints(team):
        layer = next((one for one in layers if job in one.values), None)
        place = place_of(layer.file, request.current(layer.file), job) if layer else Place(request.file)
        if job and clause.startswith(_HARD):
            raise EditRefused(
                f"GitLab refuses this configuration already: '{job}': {clause}",
                place=place,
                fix="mend it first; GitLab's pipeline editor shows the same",
            )
        found.append(f"{place} '{job}': {clause}" if job else f"{place} {clause}")
    return tuple(found)


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


def _check_patterns(request: InjectionRequest, layers: Sequence[Layer], generated: Mapping[str, str]) -> None:
    """No include of the team's may bring delivery's files a second time."""
    named = {layer.file for layer in layers if layer.file}
    for path in sorted(named):
        for entry in include_entries(load(request.current(path), path).values):
            local = local_of(entry)
            if local is None or "*" not in local:
                continue
            found = next((one for one in generated if pattern_of(local).fullmatch(one)), None)
            if found is not None:
                raise EditRefused(
                    f"the include '{local}' would bring delivery's own file {found}: jobs would come twice",
                    place=place_of(path, request.current(path), "include"),
                    fix="let the pattern name the team's folder, such as 'ci/**.yml'",
                )


def _check_laid(whole: Pipeline, team: Team) -> None:
    """What the team lays on a job of delivery's lets GitLab neither refuse, nor end, nor double it."""
    refused = "GitLab refuses beside 'rules'"
    effects = {"only": refused, "except": refused, "parallel": "lets it run many times at once"}
    effects["interruptible"] = "a newer pipeline could then end in its middle"
    for name in team.overlaid:
        job = whole.jobs.get(name, {})
        ends = "resource_group" in job and job.get("interruptible")  # of those that deploy
        for key, effect in effects.items():
            if key in job and (ends or key != "interruptible"):
                raise EditRefused(
                    f"'{key}' is laid on '{name}', which {effect}",
                    place=team.places(name),
                    fix=f"take '{key}' out of it",
                )


def _check_when(
    placement: Placement,
    rows: Sequence[EventRow],
    team: Team,
    branch: str,
) -> None:
    """Delivery runs when it should, and nowhere else.

    Raises:
        EditRefused: it does not.
    """
    push = rows[0]
    if push.delivery == "no":
        raise EditRefused(
            f"delivery would never run: on a {push.name} {push.why or 'its own rules leave it out'}",
            place=team.places("workflow"),
            fix="let the pipeline come into being there: a rule of 'workflow' or of a job with "
            f"`if: {branch_condition(branch)}`",
        )
    for row in rows:
        if row.event in ("merge-request", "merge-train", "push-elsewhere") and row.delivery != "no":
            raise EditRefused(
                f"delivery would run on every {row.name}, before anybody agreed to the change",
                place=team.places(next(iter(placement.overlaid), "")),
                fix="take the rules that are laid on delivery's jobs out",
            )


def _check_order(placement: Placement, push: EventRow, team: Team) -> None:
    """Delivery waits for every job of the team's that can still fail.

    Raises:
        EditRefused: it does not.
    """
    later = [name for name in (*push.beside, *push.after) if team.pipeline.jobs[name].get("stage") != ".post"]
    early = push.passed or (() if placement.asked else later)
    if early:
        raise EditRefused(
            f"delivery would not wait for '{early[0]}', which can still fail",
            place=team.places(early[0]),
            fix="take out what keeps delivery from waiting, or name with --after the stage it is to follow",
        )


def _check_chain(
    request: InjectionRequest, settings: Settings, found: Seed, whole: Pipeline, team: Team
) -> None:
    """What the team lays on delivery's jobs lets none start before its turn."""
    names = {one.id: job_name(one) for one in request.plan.stages}
    chain = {names[one.id]: [names[need] for need in one.needs] for one in request.plan.stages}
    if settings.mode == "child":
        chain = {CHILD_TRIGGER: []}
    broken = loose_job(found, whole, chain)
    if broken:
        name, why = broken
        raise EditRefused(
            f"'{name}' would not keep its place in the delivery: {why}",
            place=team.places(name if name in team.overlaid else next(iter(team.overlaid), name)),
            fix="take 'needs', 'when', 'rules' and 'allow_failure' out of what is laid on delivery's jobs",
        )


def _said(rows: Sequence[EventRow], team: Pipeline) -> list[str]:
    """What a careful person should know of the events."""
    push, notes = rows[0], []
    if push.delivery == "maybe":
        notes.append(f"Perhaps a {push.name} does not deliver: {push.why or 'that is not known'}.")
    if not push.behind:
        notes.append(
            f"No job of yours runs on a {push.name} before delivery: nothing there tests what it ships."
        )
    if push.waits_for:
        notes.append(f"Delivery waits until somebody starts {', '.join(push.waits_for)}.")
    unawaited = [name for name in push.behind if _starts_and_leaves(team.jobs[name])]
    if unawaited:
        notes.append(
            f"{', '.join(unawaited)} starts another pipeline and does not wait for its end: delivery does "
            "not, either; `strategy: depend` lets both wait."
        )
    beside = [name for name in push.beside if team.jobs[name].get("stage") != ".post"]
    if beside:
        notes.append(f"Delivery does not wait for {', '.join(beside)}, which may fail while it runs.")
    if push.beside and _cancels_all(team.settings.get("workflow")):
        named = " or ".join(push.beside)
        notes.append(f"'auto_cancel: on_job_failure' ends delivery in its middle where {named} fails.")
    if push.after:
        notes.append(f"These jobs of yours wait for delivery: {', '.join(push.after)}.")
    if team.opaque:
        notes.append(
            f"{', '.join(team.opaque[:3])} cannot be read from here and may hold further rules and jobs: "
            "--verify lets the server compare."
        )
    return notes


def _cancels_all(workflow: object) -> bool:
    """Whether the first failed job of a pipeline ends all others."""
    rules = workflow.get("rules") if isinstance(workflow, Mapping) else None
    said = [workflow, *(rules if isinstance(rules, list) else ())]
    found = [one.get("auto_cancel") for one in said if isinstance(one, Mapping)]
    return any(isinstance(one, Mapping) and one.get("on_job_failure") == "all" for one in found)


def _starts_and_leaves(job: Mapping[str, object]) -> bool:
    """Whether a job starts a pipeline whose end it does not wait for."""
    trigger = job.get("trigger")
    waits = isinstance(trigger, Mapping) and trigger.get("strategy") in ("depend", "mirror")
    return trigger is not None and not waits


def _over(new: Mapping[str, str], files: Files) -> Files:
    def find(pattern: str) -> list[str]:
        wanted = pattern_of(pattern)
        return sorted({*files.find(pattern), *(path for path in new if wanted.fullmatch(path))})

    return Files(lambda path: new[path] if path in new else files.read(path), find)
