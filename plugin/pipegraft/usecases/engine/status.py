"""What the engine says about an application, as plain JSON values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pipegraft.domain.reconcile import Health, Step
from pipegraft.ports.resources import HostedState
from pipegraft.ports.runtime import Instance
from pipegraft.ports.traffic import Route
from pipegraft.usecases.engine.application import Application

__all__ = ["describe"]


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
        "message": _message(application, step, hosted or {}, in_force=in_force),
        "problems": list(application.problems),
        "trouble": list(trouble),
        "notes": list(desired.plan.notes) if desired else [],
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
    if application.problems:
        kept = f"; {application.desired.revision[:12]} stays" if application.desired else ""
        return f"the spec at {application.observed[:12]} is refused{kept}: {application.problems[0]}"
    if application.desired is None:
        return "nothing has been read yet"
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
