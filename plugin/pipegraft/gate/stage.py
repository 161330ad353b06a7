"""sync-gate: the pipeline goes on once the engine has the new revision live and healthy.

Beside it what the room gives the core: an environment's engine, the check of its keys, and its examination.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from pydantic import Field

from pipegraft.core.delivery import Delivery, Environment, Gate
from pipegraft.core.delivery_file import find_plugin, option_problems
from pipegraft.core.doctor import Diagnosis, Examination, Health, Patient
from pipegraft.core.errors import PipegraftError, Problem, SyncFailed, UsageError
from pipegraft.core.faults import as_far_as_known
from pipegraft.core.foreign_text import json_of, redacted
from pipegraft.core.model import Duration
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import Marked, Route, readable
from pipegraft.core.release import GateResource, GateResult
from pipegraft.core.stage import DeliveryCheck, Opener, Project, Stage, StageContext, StageInputs
from pipegraft.gate.hooks import GITOPS_ENGINES, Objection
from pipegraft.gate.ports import ENGINE, ConnectedEngine, EngineRequest, State, Verdict
from pipegraft.gate.waiting import Patience, Waited, follow_revision
from pipegraft.iac.ports import IAC

__all__ = [
    "SyncGateInputs",
    "junit_xml",
    "pipegraft_delivery_checks",
    "pipegraft_examinations",
    "pipegraft_openers",
    "pipegraft_stages",
    "run",
]


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


_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold; logs may."""
_GOOD = "succeeded"


_MOST_ROWS = 50
"""Resources that the record holds at most."""


class SyncGateInputs(StageInputs):
    """What a pipeline may set."""

    timeout: Duration = Field(default=0.0)
    """How long to wait at most; 0 takes what `delivery.yaml` says."""


def run(context: StageContext, inputs: SyncGateInputs) -> None:
    """Wait for the revision that iac-bump wrote."""
    environment = context.require_environment()
    record = context.releases.load()
    bump = record.environments.get(environment)
    if bump is None or bump.bump is None:
        raise UsageError(
            f"the release record has no commit for '{environment}' to wait for",
            fix="run iac-bump first, or keep .pipegraft/release.json between the jobs",
        )
    target = bump.bump.commit
    gate = context.delivery.environments[environment].gate
    settle = context.open(ENGINE, environment).settle
    patience = Patience(inputs.timeout or gate.timeout, settle, gate.suspended == "wait")
    objections: list[Objection] = context.ask("pipegraft_taken_back", context=context)
    waited = _follow(context, target, patience, objections, bump.bump.images)
    result = _result(waited, target)
    context.update_environment(gate=result)
    _write_reports(context, environment, result)
    if waited.error is None:
        return
    waits_for_a_person = waited.verdict is not None and waited.verdict.state is State.SUSPENDED
    if isinstance(waited.error, SyncFailed) and not waits_for_a_person:
        _take_back(context, waited.error, patience)
    raise waited.error


def _follow(
    context: StageContext,
    target: str,
    patience: Patience,
    objections: Sequence[Objection] = (),
    released: Sequence[str] = (),
) -> Waited:
    engine, rule, _ = context.open(ENGINE, context.require_environment())
    return follow_revision(
        engine,
        rule,
        history=context.open(IAC),
        target=target,
        patience=patience,
        clock=context.clock,
        progress=context.progress,
        objection=lambda revision: next(filter(None, (one(revision) for one in objections)), None),
        released=released,
    )


def _take_back(context: StageContext, refusal: SyncFailed, patience: Patience) -> None:
    """Leave no gray release behind that the engine refused; what goes wrong with that is told beside it."""
    environment = context.require_environment()
    try:
        commits = context.ask("pipegraft_gate_refused", context=context, reason=refusal.problem.message)
    except PipegraftError as error:
        context.report("warning", f"the release was not taken back: {error}", environment)
        return
    for commit in commits:
        said = f"{commit[:12]} takes the release back before its first request"
        context.report("commit", said, environment, commit=commit, step="rollback")
        after = _follow(context, commit, patience)
        if after.error:
            context.report("warning", f"that is not live either: {after.error}", environment)


def _result(waited: Waited, target: str) -> GateResult:
    """What the release record keeps; of many resources those that are well need no line."""
    verdict = waited.verdict or Verdict(State.PROGRESSING, "")
    state, evidence = verdict.state, verdict.reason
    if waited.error and state in {State.SUCCEEDED, State.PROGRESSING}:  # the verdict is not what ended it
        state, evidence = State.FAILED, waited.error.problem.message
    told = [row for row in verdict.resources if row.state is not State.SUCCEEDED]
    rows = verdict.resources if len(verdict.resources) <= _MOST_ROWS else told[:_MOST_ROWS]
    return GateResult(
        revision=target,
        verdict=str(state),
        evidence=evidence,
        seconds=round(waited.seconds, 3),
        details=verdict.evidence,
        resources=tuple(
            GateResource(name=row.name, state=str(row.state), message=row.message) for row in rows
        ),
        phases={name: round(seconds, 3) for name, seconds in waited.phases.items()},
    )


def _write_reports(context: StageContext, environment: str, result: GateResult) -> None:
    folder = context.root / ".pipegraft"
    folder.mkdir(exist_ok=True)
    name = f"{context.delivery.app} {environment}"
    (folder / f"sync-gate-{environment}.junit.xml").write_text(junit_xml(result, name), encoding="utf-8")
    (folder / f"sync-gate-{environment}.json").write_text(
        json_of(result.model_dump(mode="json")), encoding="utf-8"
    )


def junit_xml(result: GateResult, name: str) -> str:
    """A test for the gate as a whole, and one for each resource.

    Arguments:
        name: of the suite: app and environment.
    """
    parts = [GateResource(name="live and healthy", state=result.verdict, message=result.evidence)]
    parts += result.resources
    suite = Element(
        "testsuite",
        name=name,
        tests=str(len(parts)),
        failures=str(sum(part.state != _GOOD for part in parts)),
        time=f"{result.seconds:.3f}",
    )
    for index, part in enumerate(parts):
        case = SubElement(suite, "testcase", classname=name, name=_clean(part.name))
        case.set("time", f"{result.seconds:.3f}" if index == 0 else "0")
        if part.state != _GOOD:
            failure = SubElement(case, "failure", type=part.state, message=_clean(part.message))
            lines = (f"{part.state}: {part.message}", *(result.details if index == 0 else ()))
            failure.text = _clean("\n".join(lines))
    root = Element("testsuites")
    root.append(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", redacted(text))


def _applies(delivery: Delivery, environment: str | None) -> bool:
    """Not where a controller takes the release up step by step: gray-release waits for that itself."""
    gray = delivery.environments[environment].gray if environment else None
    return gray is None or gray.rollout is None


@hookimpl
def pipegraft_stages() -> Iterable[Stage]:
    yield Stage(
        name="sync-gate",
        summary="Waits until the GitOps engine has the new revision live and healthy, or says why not.",
        run=run,
        inputs=SyncGateInputs,
        after=("iac-bump",),
        applies=_applies,
        longest=lambda delivery, environment: delivery.environments[environment or ""].gate.timeout,
        deploys=True,
        reports_tests=True,
        description=(
            "Succeeds on the revision that iac-bump wrote or on a commit that contains it, never on the one"
            " before, and never on one that takes the release back. A failure the engine knows ends the wait"
            " at once, with the resource, its condition, its events and its log. A gray release that fails"
            " here, before its first request, is taken back by a commit."
            " `.pipegraft/sync-gate-ENV.junit.xml`"
            " and `.pipegraft/sync-gate-ENV.json` tell what was seen; the release record holds the same."
        ),
    )
