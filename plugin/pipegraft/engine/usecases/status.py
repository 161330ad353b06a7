"""What the engine says about an application, as plain JSON values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.appspec.resource_ports import HostedState
from pipegraft.appspec.traffic_ports import Route
from pipegraft.engine.ports import Instance
from pipegraft.engine.reconcile import Health, Step
from pipegraft.engine.usecases.application import Application
from pipegraft.gate.ports import State, Verdict
from pipegraft.kubernetes.model import WORKLOADS

__all__ = ["Outcome", "describe", "describe_cluster"]

_HEALTH = {
    State.SUCCEEDED: Health.HEALTHY,
    State.PROGRESSING: Health.PROGRESSING,
    State.BLOCKED: Health.PROGRESSING,
    State.SUSPENDED: Health.PROGRESSING,
    State.FAILED: Health.DEGRADED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of applying a spec.

    Arguments:
        refused: objects that the cluster, or their owner, did not let us apply.
        verdict: how the workloads are; None before anybody could look.
        trouble: why the cluster could not be worked with.
    """

    revision: str
    refused: tuple[str, ...] = ()
    verdict: Verdict | None = None
    trouble: str = ""

    @property
    def done(self) -> bool:
        """Whether everything declared runs and nothing else is left."""
        ready = self.verdict is not None and self.verdict.state is State.SUCCEEDED
        return ready and not self.refused and not self.trouble


def describe(
    application: Application,
    step: Step,
    instances: Sequence[Instance],
    routes: Sequence[Route],
    *,
    trouble: Sequence[str] = (),
    hosted: Mapping[str, HostedState] | None = None,
    fetching: Collection[str] = (),
) -> dict[str, Any]:
    """One application's status.

    Arguments:
        step: the decision that was just carried out.
        instances: its instances.
        routes: its routes, as they are in force.
        trouble: what the engine could not do: repository, images, proxy.
        hosted: its resources on this machine.
        fetching: workloads whose images are on their way.
    """
    desired = application.desired
    resources = {name: _health_of(state) for name, state in (hosted or {}).items()}
    health = _worst(step, resources.values())
    in_force = desired is not None and application.routed == desired.plan.routes
    return {
        **_frame(application, health, in_force=in_force),
        "message": _message(application, step, hosted or {}, in_force=in_force),
        "trouble": list(trouble),
        "entrances": {_short(route.name): f"http://{route.listen}" for route in routes},
        "routes": {
            _short(route.name): {backend.name: backend.weight for backend in route.backends}
            for route in routes
        },
        "resources": [
            *(_resource(name, state) for name, state in (hosted or {}).items()),
            *(
                {
                    "kind": "workload",
                    "name": entry.workload,
                    "health": str(entry.health),
                    "message": entry.message + ("; fetching images" if entry.workload in fetching else ""),
                    "evidence": list(entry.evidence),
                    "replicas": {"desired": entry.replicas, "ready": entry.ready},
                }
                for entry in step.health
            ),
        ],
        "instances": [_instance(one) for one in instances],
    }


def describe_cluster(application: Application, outcome: Outcome) -> dict[str, Any]:
    """The status of an application that a cluster runs.

    Arguments:
        outcome: what came of applying it last.
    """
    desired = application.desired
    verdict = outcome.verdict
    current = desired is not None and outcome.revision == desired.revision
    health = _HEALTH[verdict.state] if verdict and current else Health.PROGRESSING
    if outcome.refused:
        health = Health.DEGRADED
    rows = [
        {
            "kind": "workload" if one.kind in WORKLOADS else "object",
            "name": one.name,
            "health": str(_HEALTH[one.state]),
            "message": one.message,
        }
        for one in (verdict.resources if verdict else ())
    ]
    rows += [
        {"kind": "object", "name": what, "health": str(Health.DEGRADED), "message": why}
        for what, _, why in (refusal.partition(": ") for refusal in outcome.refused)
    ]
    evidence = list(verdict.evidence) if verdict else []
    return {
        **_frame(application, health, in_force=True),
        "message": _cluster_message(application, outcome),
        "trouble": [outcome.trouble] if outcome.trouble else [],
        "entrances": {},
        "routes": {},
        "resources": [
            {**row, "evidence": evidence if row["health"] != str(Health.HEALTHY) else []} for row in rows
        ],
        "instances": [],
    }


def _cluster_message(application: Application, outcome: Outcome) -> str:
    if application.problems or application.desired is None:
        return _said_of_spec(application)
    if outcome.refused:
        return outcome.refused[0]
    if outcome.revision != application.desired.revision or outcome.verdict is None:
        return "being applied"
    if application.live == application.desired.revision:
        return f"{application.live[:12]} is live"
    return outcome.verdict.reason


def _frame(application: Application, health: Health, *, in_force: bool) -> dict[str, Any]:
    """What is said of every application.

    Arguments:
        in_force: whether requests go where they should.
    """
    desired = application.desired
    live = desired is not None and application.live == desired.revision
    refused = bool(application.problems)
    sync = (
        "refused" if refused else "synced" if live and in_force else "progressing" if desired else "waiting"
    )
    return {
        "application": application.name,
        "environment": application.place.environment,
        "revision": {
            "observed": application.observed,
            "desired": desired.revision if desired else "",
            "live": application.live,
        },
        "sync": sync,
        "health": str(health),
        "problems": list(application.problems),
        "notes": list(desired.plan.notes) if desired else [],
    }


def _said_of_spec(application: Application) -> str:
    if not application.problems:
        return "nothing has been read yet"
    kept = f"; {application.desired.revision[:12]} stays" if application.desired else ""
    return f"the spec at {application.observed[:12]} is refused{kept}: {application.problems[0]}"


def _short(route: str) -> str:
    return route.rpartition("/")[2]


def _health_of(state: HostedState) -> Health:
    return Health.HEALTHY if state.ready else Health.DEGRADED if state.failed else Health.PROGRESSING


def _resource(name: str, state: HostedState) -> dict[str, Any]:
    return {
        "kind": "resource",
        "name": name,
        "health": str(_health_of(state)),
        "message": state.message,
        "evidence": list(state.evidence),
    }


def _worst(step: Step, resources: Iterable[Health]) -> Health:
    order = list(Health)
    found = (*(entry.health for entry in step.health), *resources)
    return max(found, key=order.index, default=Health.PROGRESSING)


def _message(
    application: Application, step: Step, hosted: Mapping[str, HostedState], *, in_force: bool
) -> str:
    if application.problems or application.desired is None:
        return _said_of_spec(application)
    missing = next((f"{name}: {state.message}" for name, state in hosted.items() if not state.ready), None)
    if missing:
        return missing
    worst = max(step.health, key=lambda entry: list(Health).index(entry.health), default=None)
    if worst and worst.health is not Health.HEALTHY:
        return f"{worst.workload}: {worst.message}"
    if not in_force:
        return "routes are about to change"
    if application.live != application.desired.revision:
        return "old instances are about to end"
    return f"{application.live[:12]} is live"


def _instance(instance: Instance) -> Mapping[str, Any]:
    return {
        "id": instance.id,
        "workload": instance.workload,
        "phase": str(instance.phase),
        "since": instance.since,
        "addresses": {str(port): address for port, address in instance.addresses.items()},
        "reason": instance.reason,
    }
