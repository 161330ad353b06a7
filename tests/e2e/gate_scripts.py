"""What engines and controllers write, step by step, for the scripts of the gate's tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gate_world import URL, Step, World
from harness import wait_until

from pipegraft.core.errors import SyncFailed
from pipegraft.gate.flux import REQUESTED
from pipegraft.gate.ports import State
from pipegraft.gate.waiting import Waited

PAST, LATER = "2026-01-01T10:00:00Z", "2026-01-01T10:00:30Z"
ANSWERED = "2100-01-01T00:00:00+00:00"
"""By which Flux says that it has looked whenever it was asked."""


def pause(seconds: float) -> Step:
    """Part of a script: what a slow controller does."""
    return lambda _world: time.sleep(seconds)


def outcome(waited: Waited) -> tuple[str, str]:
    """State or class of error, and every word of it."""
    words = str(waited.error or "")
    if waited.verdict:
        words += "\n".join((waited.verdict.reason, *waited.verdict.evidence))
    if waited.error and not isinstance(waited.error, SyncFailed):
        return type(waited.error).__name__, words
    assert waited.verdict
    if waited.error and waited.verdict.state in {State.PROGRESSING, State.SUCCEEDED}:
        return "late" if "was not live within" in words else "taken back", words
    return str(waited.verdict.state), words


def application(world: World, name: str = "shop", **metadata: Any) -> None:
    world.create("app", name, APP_SPEC, **metadata)


APP_SPEC = {
    "project": "default",
    "source": {"repoURL": "git@git.example.com:iac/shop.git", "path": ".", "targetRevision": "main"},
    "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
    "syncPolicy": {"automated": {}},
}


def app_status(revision: str, sync: str = "Synced", health: str = "Healthy", **more: Any) -> dict[str, Any]:
    return {
        "reconciledAt": LATER,
        "sync": {
            "status": sync,
            "revision": revision,
            "comparedTo": {"source": APP_SPEC["source"], "destination": APP_SPEC["destination"]},
        },
        "health": {"status": health},
        **more,
    }


def compared(
    revision: str, sync: str = "Synced", health: str = "Healthy", name: str = "shop", **more: Any
) -> Step:
    """Argo CD writes a status, and takes the request for it away in the same step."""

    def step(world: World) -> None:
        status = app_status(getattr(world, revision, revision), sync, health, **more)
        handled = {"annotations": {"argocd.argoproj.io/refresh": None}}
        world.patch("app", name, {"metadata": handled, "status": status})

    return step


def asked_for(name: str) -> Step:
    """Argo CD does nothing before it is asked to."""

    def step(world: World) -> None:
        def has_come() -> bool:
            annotations = world.api.request("GET", world.path("app", name))["metadata"].get("annotations", {})
            return "argocd.argoproj.io/refresh" in annotations

        wait_until(has_come, f"the request to refresh {name}")

    return step


asked = asked_for("shop")


def operation(
    phase: str, revision: str, message: str = "", resources: Any = (), finished: str = PAST
) -> Callable[[World], dict[str, Any]]:
    return lambda world: {
        "operationState": {
            "phase": phase,
            "message": message,
            "startedAt": PAST,
            "finishedAt": finished,
            "operation": {"sync": {}},
            "syncResult": {
                "revision": getattr(world, revision),
                "source": APP_SPEC["source"],
                "resources": list(resources),
            },
        }
    }


def working(
    revision: str, op: Callable[[World], dict[str, Any]], sync: str = "OutOfSync", health: str = "Progressing"
) -> Step:
    return lambda world: compared(revision, sync, health, **op(world))(world)


HOOK = {
    "group": "batch", "version": "v1", "kind": "Job", "namespace": "shop", "name": "migrate",
    "hookPhase": "Failed", "hookType": "PreSync", "message": "BackoffLimitExceeded",
}  # fmt: skip

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web"}]}}

SELECTOR = {"matchLabels": {"app": "web"}}

COUNTS = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}


def deployment(world: World, **labels: str) -> None:
    """A Deployment that its controller has seen, with the ReplicaSet of its newest template."""
    annotations = {"pipegraft.dev/revision": world.target, "deployment.kubernetes.io/revision": "2"}
    spec = {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}
    made = world.create("deployment", "web", spec, annotations=annotations, labels=labels)
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": made["metadata"]["uid"]}
    for name, revision in (("web-old", "1"), ("web-new", "2")):
        world.create(
            "replicaset",
            name,
            spec,
            annotations={"deployment.kubernetes.io/revision": revision},
            ownerReferences=[owner],
        )


def counted(generation: int = 1, reason: str = "ReplicaSetUpdated", **counts: int) -> Step:
    progressing = {"type": "Progressing", "status": "True", "reason": reason, "message": reason}
    return lambda world: world.status(
        "deployment",
        "web",
        {"observedGeneration": generation, **COUNTS, **counts, "conditions": [progressing]},
    )


def pod(owner: str, name: str = "web-1", waiting: str = "", restarts: int = 0, **status: Any) -> Step:
    """A pod of a ReplicaSet whose container waits, or runs."""

    def step(world: World) -> None:
        above = world.api.request("GET", world.path("replicaset", owner))["metadata"]["uid"]
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": above}
        world.create("pod", name, TEMPLATE["spec"], ownerReferences=[reference], labels={"app": "web"})
        state = {"waiting": {"reason": waiting, "message": f"{waiting} 5m0s"}} if waiting else {"running": {}}
        container = {
            "name": "web", "ready": False, "restartCount": restarts, "image": "web", "imageID": "",
            "state": state,
            **({"lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}} if restarts else {}),
        }  # fmt: skip
        world.status("pod", name, {"phase": "Pending", "containerStatuses": [container], **status})

    return step


UNSCHEDULABLE = {
    "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient cpu.",
}  # fmt: skip

QUOTA = {
    "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
    "message": 'pods "web-x" is forbidden: exceeded quota: compute',
}  # fmt: skip

SHORT = {"readyReplicas": 1, "availableReplicas": 1}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def quota(since: str = "") -> Step:
    def step(world: World) -> None:
        conditions = [{**QUOTA, "lastTransitionTime": since or now()}]
        status = {"observedGeneration": 1, **COUNTS, **SHORT, "conditions": conditions}
        world.status("deployment", "web", status)

    return step


def unschedulable(since: str = "") -> Step:
    def step(world: World) -> None:
        conditions = [{**UNSCHEDULABLE, "lastTransitionTime": since or now()}]
        pod("web-new", conditions=conditions)(world)

    return step


def flux_objects(world: World, **kustomization: Any) -> None:
    world.create("source", "shop", {"url": URL, "interval": "10m", "ref": {"branch": "main"}})
    reference = {"kind": "GitRepository", "name": "shop"}
    spec = {"sourceRef": reference, "interval": "10m", "prune": True, "path": "./", "wait": True}
    world.create("kustomization", "shop", {**spec, **kustomization})


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": PAST}


READY = condition("Ready", "True", "Succeeded")


def fetched(revision: str, *conditions: dict[str, Any], generation: int = 1) -> Step:
    def step(world: World) -> None:
        artifact = {
            "revision": f"main@sha1:{getattr(world, revision)}", "path": "x", "url": "http://x",
            "lastUpdateTime": PAST, "digest": f"sha256:{'0' * 64}",
        }  # fmt: skip
        status = {
            "observedGeneration": generation,
            "lastHandledReconcileAt": ANSWERED,
            "artifact": artifact,
            "conditions": list(conditions or [READY]),
        }
        world.status("source", "shop", status)

    return step


def reconciled(
    applied: str,
    attempted: str = "",
    *conditions: dict[str, Any],
    generation: int = 1,
    entries: Any = (),
    answered: bool = True,
) -> Step:
    """What kustomize-controller writes; `answered`: after it was asked to look."""

    def step(world: World) -> None:
        status = {
            "observedGeneration": generation,
            "lastHandledReconcileAt": ANSWERED if answered else PAST,
            "lastAppliedRevision": f"main@sha1:{getattr(world, applied)}",
            "lastAttemptedRevision": f"main@sha1:{getattr(world, attempted or applied)}",
            "conditions": list(conditions or [READY]),
            "inventory": {"entries": [{"id": one, "v": "v1"} for one in entries]},
        }
        world.status("kustomization", "shop", status)

    return step


CHART = {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "web"}}


def released(*conditions: dict[str, Any], answered: bool = True, chart: str = "") -> Step:
    """What helm-controller writes about the release `web`."""
    status = {
        "observedGeneration": 1,
        "lastHandledReconcileAt": ANSWERED if answered else PAST,
        "conditions": list(conditions),
        **({"helmChart": chart} if chart else {}),
    }
    return lambda world: world.status("release", "web", status)


def asked_by_word(kind: str, called: str) -> Step:
    """Flux does nothing before it is asked to."""

    def step(world: World) -> None:
        def has_come() -> bool:
            metadata = world.api.request("GET", world.path(kind, called))["metadata"]
            return REQUESTED in metadata.get("annotations", {})

        wait_until(has_come, f"the request to reconcile the {kind} {called}")

    return step


def published(world: World, revision: str) -> None:
    annotations = {"app.oam.dev/publishVersion": getattr(world, revision)}
    world.create("vela", "shop", {"components": []}, annotations=annotations)


def rolled(revision: str, phase: str = "running", healthy: bool = True, **workflow: Any) -> Step:
    def step(world: World) -> None:
        flow = {
            "appRevision": getattr(world, revision), "mode": "DAG", "suspend": False, "terminated": False,
            "finished": phase == "running", "status": "executing", **workflow,
        }  # fmt: skip
        services = [{"name": "web", "namespace": world.namespace, "healthy": healthy, "message": "Ready:1/2"}]
        world.status(
            "vela",
            "shop",
            {"observedGeneration": 1, "status": phase, "workflow": flow, "services": services},
        )

    return step


def failed_step(world: World) -> None:
    steps = [
        {"id": "a", "name": "web", "type": "apply-component", "phase": "failed", "message": "no such image"}
    ]
    rolled("target", "workflowFailed", steps=steps)(world)
