"""Release: a new version gets requests step by step, is judged, and goes back by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pipegraft.core.delivery import Gray
from pipegraft.core.errors import Place
from pipegraft.core.plugins import hookimpl
from pipegraft.maturity.model import Dimension, Evidence, Finding, Repository, Signal, no, unseen, yes
from pipegraft.maturity.signals import (
    DELIVERY,
    NO_DELIVERY,
    NO_IAC,
    at_job,
    in_delivery,
    nothing_delivered,
    put,
    stage_jobs,
)

__all__ = ["SIGNALS", "pipegraft_maturity_signals"]


def _last(repository: Repository) -> str:
    """The environment that is delivered to last."""
    return list(repository.delivery.environments)[-1] if repository.delivery else ""


def _gray(repository: Repository) -> Gray | None:
    return repository.delivery.environments[_last(repository)].gray if repository.delivery else None


def _versioned(repository: Repository) -> Finding:
    changes = [
        path
        for path in repository.find("CHANGELOG*", "changelog*", "CHANGES*", "HISTORY*", "NEWS*")
        if "/" not in path
    ]
    if changes:
        return yes("changes are written down", Evidence(Place(changes[0], 1), changes[0]))
    undelivered = nothing_delivered(repository)
    if undelivered is None:
        return yes("every release has a number and a source commit", in_delivery(repository, "app"))
    return no("nothing tells one release from the next") if repository.delivery is None else undelivered


def _undoable(repository: Repository) -> Finding:
    return nothing_delivered(repository) or yes(
        "pipegraft rollback restores the files of any release", in_delivery(repository, "iac")
    )


def _with(test: Callable[[Gray], bool], good: str, bad: str, *key: str) -> Callable[[Repository], Finding]:
    """A look at the gray release of the last environment."""

    def look(repository: Repository) -> Finding:
        if repository.delivery is None:
            return no(NO_DELIVERY)
        gray = _gray(repository)
        name = _last(repository)
        if gray is None:
            if repository.delivery.environments[name].targets:
                return unseen("with targets the engine's own tool moves traffic")
            return no(
                f"{name} gives every change all requests at once",
                in_delivery(repository, "environments", name),
            )
        evidence = in_delivery(repository, "environments", name, "gray", *key)
        if not test(gray):
            return no(bad, evidence)
        return _no_gray_release(repository) or yes(good, evidence)

    return look


def _no_gray_release(repository: Repository) -> Finding | None:
    """Why a gray release that is declared counts for nothing yet."""
    undelivered = nothing_delivered(repository)
    if undelivered is None and not (repository.iac and repository.iac.pace and repository.iac.pace.weights):
        return no("it is declared; no release that moved requests step by step is in the history")
    return undelivered


def _set(key: str, value: str) -> Callable[[Repository], Mapping[str, str]]:
    def mend(repository: Repository) -> Mapping[str, str]:
        if _gray(repository) is None:
            return {}
        return put(repository, DELIVERY, {("environments", _last(repository), "gray", key): value})

    return mend


def _in_pipeline(repository: Repository) -> Finding:
    if _gray(repository) is None:
        return no("no gray release is declared") if repository.delivery else no(NO_DELIVERY)
    stage = stage_jobs(repository, "gray-release")
    if not stage:
        return no("the pipeline does not drive it")
    return _no_gray_release(repository) or yes("gray-release runs after the gate", at_job(stage[0]))


def _seen(repository: Repository) -> Finding:
    iac = repository.iac
    if repository.delivery is None:
        return no(NO_DELIVERY)
    if iac is None or iac.pace is None:
        return unseen(NO_IAC if iac is None else "no deployment is in the history")
    if iac.pace.rollbacks:
        return yes(f"{iac.pace.rollbacks} releases were taken back by a commit")
    return no("no release was ever taken back: nobody knows whether it works")


def _metric_kinds(gray: Gray) -> bool:
    return {"errors", "latency"} <= {metric.kind for metric in gray.metrics}


def _signal(name: str, stage: int, claim: str, look: object, step: str, **more: object) -> Signal:
    return Signal(name, Dimension.RELEASE, stage, claim, look, step, **more)  # type: ignore[arg-type]


_ADD = (
    "add `gray: {steps: [5, 25, 50], metrics: [{source: prometheus, …}]}` to the environment "
    "(docs/gray-release.md)"
)

SIGNALS: tuple[Signal, ...] = (
    _signal(
        "release-told-apart",
        2,
        "one release can be told from the next",
        _versioned,
        "keep CHANGELOG.md, or describe the delivery in delivery.yaml",
    ),
    _signal(
        "release-undoable",
        3,
        "a release can be taken back by one command",
        _undoable,
        "write delivery.yaml: `pipegraft rollback` needs nothing else",
    ),
    _signal(
        "gray-steps",
        4,
        "production is released in two or more steps",
        _with(
            lambda gray: len(gray.steps) > 1, "requests move step by step", "there is one step alone", "steps"
        ),
        _ADD,
    ),
    _signal(
        "gray-metrics",
        4,
        "a metric judges every step",
        _with(lambda gray: bool(gray.metrics), "every step is judged", "nothing is measured", "metrics"),
        _ADD,
    ),
    _signal(
        "gray-in-pipeline",
        4,
        "the pipeline drives the gray release",
        _in_pipeline,
        "pipegraft assess --fix --signal ci-delivers, then deliver once",
    ),
    _signal(
        "gray-goes-back",
        4,
        "what points to harm does not go on by itself",
        _with(
            lambda gray: gray.on_suspicion != "promote",
            "what points to harm stays or goes back",
            "what points to harm goes on",
            "on-suspicion",
        ),
        "pipegraft assess --fix --signal gray-goes-back",
        mend=_set("on-suspicion", "hold"),
    ),
    _signal(
        "gray-errors-and-latency",
        5,
        "errors and latency are judged",
        _with(_metric_kinds, "both are judged", "only one of them is", "metrics"),
        "add a metric of kind `latency` beside `errors` (docs/judging.md)",
    ),
    _signal(
        "gray-bake",
        5,
        "a release is watched after its promotion",
        _with(lambda gray: gray.bake > 0, "it is watched", "nobody looks after the promotion"),
        "pipegraft assess --fix --signal gray-bake",
        mend=_set("bake", "10m"),
    ),
    _signal(
        "rollback-seen",
        5,
        "a release was taken back by itself, in earnest or rehearsed",
        _seen,
        "rehearse it: deliver a version that fails, or `pipegraft demo` to see how it goes",
    ),
)
"""The signals of releasing."""


@hookimpl
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """All of them."""
    return SIGNALS
