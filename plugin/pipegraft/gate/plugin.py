"""What the room gives to the core: an environment's engine, the check of its keys, and its examination."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipegraft.core.delivery import Environment, Gate
from pipegraft.core.delivery_file import find_plugin, option_problems
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.errors import Problem
from pipegraft.core.faults import as_far_as_known
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import Marked, Route, readable
from pipegraft.core.stage import DeliveryCheck, Opener, Project
from pipegraft.gate.hooks import GITOPS_ENGINES
from pipegraft.gate.ports import ENGINE, ConnectedEngine, EngineRequest, State

__all__ = ["pipegraft_delivery_checks", "pipegraft_examinations", "pipegraft_openers"]


def _engine(project: Project, environment: str) -> ConnectedEngine:
    gate = project.delivery.environments[environment].gate
    plugin = project.plugins.get(GITOPS_ENGINES, gate.engine)
    options = plugin.options.model_validate(dict(gate.options))
    iac = project.delivery.iac
    request = EngineRequest(project.root, iac.repository, iac.branch, environment)
    settle = plugin.settle if gate.settle is None else gate.settle
    return ConnectedEngine(plugin.connect(options, request), plugin.verdict, settle)


def _problems(project: Project, marked: Marked) -> Iterator[Problem]:
    for name, environment in project.delivery.environments.items():
        yield from as_far_as_known(
            _gate_problems(project, marked, environment, ("environments", name, "gate"))
        )


def _gate_problems(
    project: Project, marked: Marked, environment: Environment, route: Route
) -> Iterator[Problem]:
    gate = environment.gate
    found = find_plugin(project.plugins, GITOPS_ENGINES, gate.engine, marked, (*route, "engine"))
    plugin = yield from found
    if plugin:
        yield from option_problems(plugin.options, gate.options, marked, route, Gate)
        rendered = project.delivery.iac.rendered
        if plugin.names_commit and rendered:
            yield Problem(
                f"'{gate.engine}' would wait in vain: what 'iac.rendered' commits cannot name its commit",
                marked.place((*route, "engine")),
                "gate by the engine that applies those manifests; or remove 'iac.rendered', and apply what"
                f" 'pipegraft render --target {rendered} --revision COMMIT' prints",
            )


def _environments(patient: Patient) -> Sequence[str]:
    return tuple(patient.delivery.environments)


def _examine(patient: Patient, environment: str) -> Iterator[Diagnosis]:
    """Look at an environment as sync-gate does, once."""
    declared = patient.delivery.environments[environment].gate
    engine, rule, _ = patient.open(ENGINE, environment)
    with readable("the GitOps engine"):
        verdict = rule(engine.observe(), lambda _revision: True)
    subject = f"{declared.engine} for {environment}"
    if verdict.state in (State.FAILED, State.BLOCKED):
        mend = "look at what the engine says before the next release: sync-gate will stop at it"
        yield Diagnosis(subject, Health.NOTE, f"answers, and says '{verdict.state}': {verdict.reason}", mend)
    else:
        yield Diagnosis(subject, Health.GOOD, f"answers: {verdict.reason}")


@hookimpl
def pipegraft_openers() -> Iterable[Opener[..., Any]]:
    yield Opener(ENGINE, _engine)


@hookimpl
def pipegraft_delivery_checks() -> Iterable[DeliveryCheck]:
    yield DeliveryCheck("gate", _problems)


@hookimpl
def pipegraft_examinations() -> Iterable[Examination]:
    yield Examination("gate", "The engine of every environment answers.", _examine, _environments)
