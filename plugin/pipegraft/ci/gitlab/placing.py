"""Where delivery's jobs stand in a pipeline, and what of the team's they take over.

The order of stages is merged by the algorithm that GitLab's pipeline execution policies use for
`inject_policy` (https://docs.gitlab.com/user/application_security/policies/pipeline_execution_policies/):
every list says "comes before"; the lists together form a graph; a cycle has no order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

from pipegraft.ci.gitlab.configuration import Layer
from pipegraft.ci.gitlab.eject import edit_file, overlays, place_of, root_of
from pipegraft.ci.gitlab.grafts import add_stages, remove_stages, written_stages
from pipegraft.ci.gitlab.manifest import RUNNER_VARIABLES, Settings, Wiring
from pipegraft.ci.gitlab.pipeline import Pipeline, is_ours, resolve, stage_name
from pipegraft.ci.gitlab.seeds import Event, Seed, seed
from pipegraft.ci.hooks import InjectionRequest
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.core.planning import PlannedStage
from pipegraft.text.yaml.source import parse

__all__ = ["Placement", "Team", "merge_orders", "order_stages", "place", "team_of"]

_LAST = ".post"
_STEERS_THE_RUNNER = ("FF_", "GIT_", "KUBERNETES_", "DOCKER_AUTH_CONFIG")
_LEAVES_NO_SOURCES = {"GIT_STRATEGY": ("none", "empty"), "GIT_CHECKOUT": ("false",)}
_FETCHES = {"GIT_STRATEGY": "fetch", "GIT_CHECKOUT": "true"}


@dataclass(frozen=True, slots=True)
class Team:
    """The team's pipeline without delivery.

    Arguments:
        pipeline: everything in force.
        pushed: what a push to the default branch makes of it.
        places: name of a job or keyword → where it stands.
        overlaid: delivery's jobs on which the team sets something.
    """

    pipeline: Pipeline
    pushed: Seed
    places: Callable[[str], Place]
    overlaid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """Which pipeline stage takes what, and the edits that make room for it.

    Arguments:
        wiring: how the jobs are joined to the pipeline.
        texts: team's files with their list of stages edited: path → text.
        notes: what to tell.
        stages: delivery's stages that stand in the pipeline's list.
        asked: whether somebody chose the place: jobs of the team may then follow delivery.
    """

    wiring: Wiring
    texts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    asked: bool = False


def team_of(request: InjectionRequest, layers: Sequence[Layer], jobs: Sequence[str], push: Event) -> Team:
    """What the team's own files make."""
    laid = {(layer.file, name) for layer, name in overlays(layers, jobs)}
    own = [
        replace(
            layer, values={key: value for key, value in layer.values.items() if (layer.file, key) not in laid}
        )
        for layer in layers
    ]
    pipeline = resolve(own)
    return Team(
        pipeline,
        seed(
            pipeline,
            push,
            lambda pattern: bool(request.find(pattern)) or request.read(pattern) is not None,
        ),
        partial(_place, request, layers),
        tuple(name for _file, name in sorted(laid)),
    )


def _place(request: InjectionRequest, layers: Sequence[Layer], name: str) -> Place:
    layer = next((one for one in reversed(layers) if name in one.values and one.file), None)
    return place_of(layer.file, request.current(layer.file), name) if layer else Place(request.file)


def place(request: InjectionRequest, settings: Settings, layers: Sequence[Layer], team: Team) -> Placement:
    """Find the place of delivery.

    Raises:
        EditRefused: there is none from which it would run.
        UsageError: the stage to follow is unknown.
    """
    chosen = _child(request, settings, layers, team) if settings.mode == "child" else None
    if chosen is None:
        chosen = _included(request, settings, layers, team)
    tags, said = _tags(settings, team)
    variables, forced, warned = _runner_variables(team.pipeline)
    wiring = replace(
        chosen.wiring,
        tags=tags,
        variables=variables,
        forced=forced,
        artifacts=_with_artifacts(team),
    )
    asked = settings.after is not None or any(is_ours(stage) for stage in team.pipeline.stages.stages)
    notes = (*chosen.notes, *said, *warned, *_lost_artifacts(settings, team))
    return replace(chosen, wiring=wiring, notes=notes, asked=asked)


def _own_stage(planned: PlannedStage) -> str:
    return stage_name(planned.environment)


def _child(
    request: InjectionRequest, settings: Settings, layers: Sequence[Layer], team: Team
) -> Placement | None:
    """The place of the job that starts the child pipeline; None where it needs a stage of its own."""
    stage = _LAST
    if settings.after is not None:
        present = [name for name in team.pipeline.stages.stages if not is_ours(name)]
        ordered = order_stages(present, ["pipegraft"], settings.after)
        stage = next(iter(ordered[ordered.index("pipegraft") + 1 :]), _LAST)
    if stage == _LAST and team.pushed.filled is not True and not _unreadable(team):
        return None
    posts = _post_jobs(team) if stage == _LAST else []
    notes = (_beside_note(posts),) if posts else ()
    return Placement(Wiring(_own_stage, trigger=stage), _without_stages(request, layers), notes)


def _unreadable(team: Team) -> bool:
    """Whether jobs may come from files that cannot be read: then `.post` may well have a pipeline to end."""
    return (bool(team.pipeline.opaque) and team.pushed.filled is not False) or (
        bool(team.pipeline.opaque) and not any(not name.startswith(".") for name in team.pipeline.jobs)
    )


def _included(
    request: InjectionRequest, settings: Settings, layers: Sequence[Layer], team: Team
) -> Placement:
    present = team.pipeline.stages
    child = settings.mode == "child"
    wanted = ["pipegraft"] if child else list(dict.fromkeys(map(_own_stage, request.plan.stages)))
    wiring = Wiring(_own_stage, trigger="pipegraft")
    if present.uncertain:
        return _last(request, layers, team, present.uncertain)
    if not child and _beside_last(settings, team):
        return _beside(request, layers, team)
    if present.file is None:
        ordered = order_stages(present.stages, wanted, settings.after)
        return Placement(replace(wiring, extra={"stages": ordered}), stages=tuple(wanted))
    try:
        text = _edit_stages(request, settings, present.file, wanted)
    except EditRefused as refusal:
        return _last(request, layers, team, str(refusal.problem.message))
    return Placement(wiring, {present.file: text}, stages=tuple(wanted))


def _edit_stages(request: InjectionRequest, settings: Settings, file: str, wanted: Sequence[str]) -> str:
    text = request.current(file)
    source = parse(text, file)
    present = written_stages(source, root_of(source))
    standing = any(map(is_ours, present))
    ordered = order_stages(present, wanted, request.options.after if standing else settings.after)
    kept = [stage for stage in dict.fromkeys(present) if stage in ordered]
    if kept != [stage for stage in ordered if stage in kept]:  # delivery moves: out first, then in again
        text = edit_file(file, text, lambda source, root: remove_stages(source, root)[0])
    return edit_file(file, text, lambda source, root: add_stages(source, root, ordered))


def order_stages(present: Sequence[str], wanted: Sequence[str], after: str | None) -> list[str]:
    """The list of stages with delivery's among them.

    Arguments:
        present: the list in force, perhaps with some of delivery's stages already.
        wanted: delivery's stages in their order.
        after: the team's stage to follow; where delivery already stands, else the last one, if None.

    Raises:
        UsageError: `after` is unknown, or the order contradicts itself.
    """
    team = [stage for stage in present if not is_ours(stage)]
    if after is not None and after not in (*team, ".pre"):
        raise UsageError(
            f"there is no stage '{after}'; there are: {', '.join(team) or 'none'}",
            fix="name one of them with --after",
        )
    kept = (
        team if after is not None else [stage for stage in present if stage in wanted or not is_ours(stage)]
    )
    standing = [stage for stage in wanted if stage in kept]
    at = kept.index(".post") if ".post" in kept else len(kept)
    if standing:
        at = kept.index(standing[0])
    elif after is not None:
        at = team.index(after) + 1 if after in team else 0
    placed = list(kept)
    for stage in wanted:
        if stage not in placed:
            placed.insert(at, stage)
        at = placed.index(stage) + 1
    return merge_orders(
        placed,
        wanted,
        fix="let the list in the file follow the order of the environments in delivery.yaml, or take "
        "delivery's stages out of it and run inject again",
    )


def merge_orders(*orders: Sequence[str], fix: str = "") -> list[str]:
    """One order that respects all; where they leave a choice, what was named first stays first.

    Arguments:
        orders: lists of stage names, the one to stay closest to first; a name counts where it first stands.
        fix: what to do about a cycle.

    Raises:
        UsageError: they contradict each other; the cycle is named.
    """
    names = list(dict.fromkeys(name for order in orders for name in order))
    before: dict[str, set[str]] = {name: set() for name in names}
    for order in orders:
        for earlier, later in pairwise(dict.fromkeys(order)):
            before[later].add(earlier)
    done: dict[str, None] = {}
    while len(done) < len(names):
        ready = next((name for name in names if name not in done and before[name] <= done.keys()), None)
        if ready is None:
            left = {name: needs - done.keys() for name, needs in before.items() if name not in done}
            path = " → ".join(_cycle(left))
            raise UsageError(
                f"the stages cannot be put in order, each must precede the next: {path}", fix=fix
            )
        done[ready] = None
    return list(done)


def _cycle(before: Mapping[str, set[str]]) -> list[str]:
    """A cycle in a graph in which every node has a predecessor, from earlier to later."""
    path = [next(iter(before))]
    while True:
        earlier = min(before[path[-1]])
        if earlier in path:
            return [earlier, *reversed(path[path.index(earlier) :])]
        path.append(earlier)


def _beside_last(settings: Settings, team: Team) -> bool:
    """Whether the team's own `.post` jobs would wait for delivery, though nobody asked for it."""
    standing = any(map(is_ours, team.pipeline.stages.stages))
    return settings.after is None and not standing and team.pushed.filled is True and bool(_post_jobs(team))


def _post_jobs(team: Team) -> list[str]:
    return [name for name in team.pushed.jobs if team.pipeline.jobs[name].get("stage") == _LAST]


def _beside(request: InjectionRequest, layers: Sequence[Layer], team: Team) -> Placement:
    note = _beside_note(_post_jobs(team))
    return Placement(Wiring(lambda _planned: _LAST), _without_stages(request, layers), (note,))


def _beside_note(jobs: Sequence[str]) -> str:
    return (
        f"Your jobs in .post ({', '.join(jobs)}) neither wait for delivery nor hang on it: "
        "delivery runs beside them in .post; --after STAGE puts it before them."
    )


def _last(request: InjectionRequest, layers: Sequence[Layer], team: Team, why: str) -> Placement:
    """All jobs in ``.post``; `needs` keep their order.

    GitLab makes no pipeline of ``.post`` alone, so there must be another job.
    """
    if request.options.after is not None:
        raise UsageError(
            f"the list of stages in force is not known: {why}",
            place=Place(request.file),
            fix="leave out --after: delivery then runs in .post, behind every stage; or use --mode child",
        )
    if team.pushed.filled is not True and not team.pipeline.opaque:
        raise EditRefused(
            f"delivery would have to run in .post, since {why}; but on a {team.pushed.event.name} "
            f"{team.pushed.why or 'no job runs for certain'}, and GitLab makes no pipeline of .post alone",
            place=team.places("stages"),
            fix="write the list of stages out in this file, or let a job run on the default branch",
        )
    note = f"The list of stages in force is not known ({why}), so delivery runs in the stage .post."
    if team.pushed.filled is not True:
        note += (
            " GitLab makes no pipeline of .post alone: whether another job runs cannot be known from here."
        )
    return Placement(Wiring(lambda _planned: _LAST), _without_stages(request, layers), (note,))


def _without_stages(request: InjectionRequest, layers: Sequence[Layer]) -> dict[str, str]:
    names = [layer.file for layer in layers if _own_stages(layer)]
    return {
        name: edit_file(name, request.current(name), lambda source, root: remove_stages(source, root)[0])
        for name in names
    }


def _own_stages(layer: Layer) -> list[str]:
    stages = layer.values.get("stages")
    return [name for name in map(str, stages) if is_ours(name)] if isinstance(stages, list) else []


def _tags(settings: Settings, team: Team) -> tuple[tuple[str, ...], list[str]]:
    """The runner tags of delivery's jobs, and what to say of them.

    Where every job of the team names tags, there may be no runner that takes untagged jobs.
    """
    if settings.tags is not None:
        return settings.tags, []
    jobs = [
        job for name, job in team.pipeline.jobs.items() if not name.startswith(".") and "trigger" not in job
    ]
    named = [_plain_tags(job) for job in jobs]
    if not jobs or not all(named):
        return (), []
    shared = set.intersection(*map(set, named))
    chosen = tuple(tag for tag in named[0] if tag in shared) or Counter(named).most_common(1)[0][0]
    if any("$" in tag for tag in chosen):
        held = f"Every job of yours names runner tags, and these hold variables ({', '.join(chosen)}): "
        return (), [held + "say with --tag which runners take delivery's jobs."]
    whose = "that all your jobs have" if shared else "that most of your jobs have"
    return chosen, [f"Delivery's jobs take the runner tags {whose}: {', '.join(chosen)}; --tag names others."]


def _plain_tags(job: Mapping[str, Any]) -> tuple[str, ...]:
    tags = job.get("tags")
    return tuple(map(str, tags)) if isinstance(tags, list) else ()


def _runner_variables(pipeline: Pipeline) -> tuple[tuple[str, ...], dict[str, str], list[str]]:
    """Global variables that reach delivery's jobs, those that must not, and what to say of them."""
    given = pipeline.settings.get("variables")
    values = given if isinstance(given, Mapping) else {}
    passed = tuple(
        str(name) for name in values if name in RUNNER_VARIABLES or str(name).startswith(_STEERS_THE_RUNNER)
    )
    barred = {
        name: _FETCHES[name]
        for name, bad in _LEAVES_NO_SOURCES.items()
        if str(values.get(name, "")).lower() in bad
    }
    notes = [
        f"{name} is {str(values[name]).lower()} for your jobs; delivery's read the sources and set {value}."
        for name, value in barred.items()
    ]
    return passed, barred, notes


_MOST_NEEDS = 50  # GitLab's own limit


def _with_artifacts(team: Team) -> tuple[str, ...]:
    """The team's jobs whose artifacts a child pipeline can take: they run for certain, and once."""
    return tuple(
        name
        for name in team.pushed.jobs
        if team.pushed.has(name)
        and _keeps_artifacts(team.pipeline.jobs[name])
        and "parallel" not in team.pipeline.jobs[name]
        and not any(way.when in ("manual", "on_failure") for way in team.pushed.jobs[name])
    )[:_MOST_NEEDS]


def _keeps_artifacts(job: Mapping[str, Any]) -> bool:
    artifacts = job.get("artifacts")
    return isinstance(artifacts, Mapping) and "paths" in artifacts and job.get("stage") != _LAST


def _lost_artifacts(settings: Settings, team: Team) -> list[str]:
    if settings.mode != "child":
        return []
    taken = _with_artifacts(team)
    lost = [
        name for name in team.pushed.jobs if name not in taken and _keeps_artifacts(team.pipeline.jobs[name])
    ]
    if not lost:
        return []
    return [
        f"The child pipeline lacks the artifacts of {', '.join(lost)}, which may not run, or run many times."
    ]
