"""Runtime: what runs says when it is well, how much it needs, and how it grows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pipegraft.appspec.model import AppComponent, AppEnvironment
from pipegraft.appspec.pods import merge
from pipegraft.core.errors import Place
from pipegraft.core.plugins import hookimpl
from pipegraft.maturity.model import (
    Dimension,
    Evidence,
    Finding,
    Iac,
    Repository,
    Signal,
    Tree,
    no,
    unseen,
    yes,
)
from pipegraft.maturity.signals import NO_DELIVERY, NO_IAC, Container, aside, each, manifests

__all__ = ["SIGNALS", "pipegraft_maturity_signals"]


@dataclass(frozen=True, slots=True)
class _Declared:
    """A component of the app spec as one environment has it."""

    evidence: Evidence
    component: AppComponent


def _declared(iac: Iac) -> Iterator[_Declared]:
    """Components with a process of their own, in the environment that is delivered to last."""
    if iac.app is None:
        return
    names = list(iac.environments)
    last = iac.environments[names[-1]] if names else AppEnvironment()
    text = (iac.tree.read(f"{iac.folder}app.yaml") or "").splitlines()
    for name, one in iac.app.components.items():
        if one.intimacy == "in-process" or one.job is not None or name in last.without:
            continue
        merged = merge(one, last.components[name]) if name in last.components else one
        line = next(
            (at for at, line in enumerate(text, 1) if re.match(rf"\s+{re.escape(name)}\s*:", line)), 0
        )
        yield _Declared(Evidence(Place(f"{iac.folder}app.yaml", line), name), merged)


def _trees(repository: Repository) -> list[Tree]:
    return [repository, *([repository.iac.tree] if repository.iac else [])]


def _looking(
    wrong: str,
    spec: Callable[[AppComponent], bool],
    manifest: Callable[[Container], bool],
    *,
    rpc_only: bool = False,
) -> Callable[[Repository], Finding]:
    """Looks at the app spec where there is one, else at plain manifests."""

    def look(repository: Repository) -> Finding:
        iac = repository.iac
        if iac is not None and iac.app is not None:
            there = [one for one in _declared(iac) if not rpc_only or one.component.intimacy in (None, "rpc")]
            bad = [one.evidence for one in there if not spec(one.component)]
            return each(wrong, [one.evidence for one in there], bad, "nothing runs")
        held = [one for tree in _trees(repository) for one in manifests(tree).images]
        if not held:
            return unseen(NO_IAC) if repository.delivery else no(f"{NO_DELIVERY}, and no manifests are here")
        evidence = [(Evidence(one.place, one.workload), manifest(one)) for one in held]
        return each(
            wrong, [one for one, _ in evidence], [one for one, good in evidence if not good], "nothing runs"
        )

    return look


_readiness = _looking(
    "without a readiness probe",
    lambda one: one.readiness is not None or bool(one.ports),  # a port alone is connected to
    lambda one: "readinessProbe" in one.spec,
)
_liveness = _looking(
    "without a liveness probe", lambda one: one.liveness is not None, lambda one: "livenessProbe" in one.spec
)
_limits = _looking(
    "without limits of CPU and memory",
    lambda one: bool((one.cpu and one.memory) or one.limits),
    lambda one: (
        {"cpu", "memory"}
        <= (
            {
                *((one.spec.get("resources") or {}).get("limits") or {}),
                *((one.spec.get("resources") or {}).get("requests") or {}),
            }
        )
    ),
)
_replicas = _looking(
    "with one instance alone",
    lambda one: (one.replicas or 1) > 1 or one.autoscaling is not None,
    lambda one: (one.replicas or 1) > 1,
    rpc_only=True,
)
_grace = _looking(
    "that say nothing of the time they need to end",
    lambda one: one.grace is not None,
    lambda one: "terminationGracePeriodSeconds" in one.pod,
    rpc_only=True,
)


_SETTINGS = (
    r"os\.environ|os\.getenv|process\.env|System\.getenv|Getenv\(|std::env::var|ENV\[|\$\{[A-Z_]+(:[^}]*)?\}"
)
_SOURCES = ("*.py", "*.js", "*.ts", "*.java", "*.kt", "*.go", "*.rs", "*.rb", "*.cs", "*.php")


def _configured(repository: Repository) -> Finding:
    """Whether what differs between environments is in variables, not in the code."""
    settings = ("application*.yml", "application*.yaml", "application*.properties", "appsettings*.json")
    lines = repository.search(_SETTINGS, *_SOURCES, *settings, limit=40)
    found = [one for one in lines if not aside(one.place.file)]
    if not found:
        return no("no setting comes from the environment")
    return yes("settings come from the environment", *found[:3])


def _autoscaling(repository: Repository) -> Finding:
    for tree in _trees(repository):
        kinds = manifests(tree).kinds
        for kind in ("HorizontalPodAutoscaler", "ScaledObject", "VerticalPodAutoscaler"):
            if kind in kinds:
                return yes(f"a {kind} grows it", Evidence(kinds[kind], kind))
    iac = repository.iac
    if iac is None:
        return unseen(NO_IAC) if repository.delivery else no(NO_DELIVERY)
    scaled = [one.evidence for one in _declared(iac) if one.component.autoscaling is not None]
    return yes("it grows with its load", *scaled) if scaled else no("somebody must see that it is too small")


def _alerts(repository: Repository) -> Finding:
    for tree in _trees(repository):
        kinds = manifests(tree).kinds
        for kind in ("PrometheusRule", "SLO", "PrometheusServiceLevel", "ServiceLevelObjective", "VMRule"):
            if kind in kinds:
                return yes(f"a {kind} watches it", Evidence(kinds[kind], kind))
        lines = tree.search(r"^\s*-?\s*alert:\s*\S+", "*.yaml", "*.yml")
        rules = [one for one in lines if not aside(one.place.file)]
        if rules:
            return yes("alert rules watch it", *rules)
    return (
        no("no objective and no alert is written down")
        if repository.delivery or repository.iac
        else no("no objective and no alert is written down here")
    )


def _disruption(repository: Repository) -> Finding:
    for tree in _trees(repository):
        if place := manifests(tree).kinds.get("PodDisruptionBudget"):
            return yes("a budget keeps enough of it", Evidence(place, "PodDisruptionBudget"))
    iac = repository.iac
    if iac is None:
        return unseen(NO_IAC) if repository.delivery else no(NO_DELIVERY)
    kept = [one.evidence for one in _declared(iac) if one.component.disruption is not None]
    if iac.app is not None and iac.app.policies.disruption is not None:
        kept.append(Evidence(Place(f"{iac.folder}app.yaml", 1), "policies"))
    return (
        yes("a budget keeps enough of it", *kept)
        if kept
        else no("a node's upgrade may end every instance at once")
    )


def _signal(name: str, stage: int, claim: str, look: object, step: str) -> Signal:
    return Signal(name, Dimension.RUNTIME, stage, claim, look, step)  # type: ignore[arg-type]


SIGNALS: tuple[Signal, ...] = (
    _signal(
        "settings-outside",
        2,
        "settings come from the environment",
        _configured,
        "read what differs between environments from variables",
    ),
    _signal(
        "readiness",
        3,
        "everything says when it is ready",
        _readiness,
        "add `readiness: {path: …}` to the component in app.yaml",
    ),
    _signal(
        "liveness",
        3,
        "everything says when it must be started anew",
        _liveness,
        "add `liveness: {path: …}` to the component in app.yaml",
    ),
    _signal(
        "resource-limits",
        3,
        "everything says how much CPU and memory it needs",
        _limits,
        "add `cpu` and `memory` to the component in app.yaml",
    ),
    _signal(
        "two-instances",
        4,
        "what takes requests runs twice at least",
        _replicas,
        "set `replicas: 2` in environments/NAME.yaml",
    ),
    _signal(
        "graceful-end",
        4,
        "what takes requests says how long it needs to end",
        _grace,
        "add `grace: 30s` to the component in app.yaml",
    ),
    _signal(
        "disruption-budget",
        4,
        "a budget keeps enough of it while nodes change",
        _disruption,
        "add `disruption` to the component in app.yaml",
    ),
    _signal(
        "autoscaling",
        5,
        "it grows with its load",
        _autoscaling,
        "add `autoscaling` to the component in app.yaml",
    ),
    _signal(
        "objectives",
        5,
        "objectives and alerts are written down",
        _alerts,
        "write alert rules beside the app spec",
    ),
)
"""The signals of what runs."""


@hookimpl
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """All of them."""
    return SIGNALS
