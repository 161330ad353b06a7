"""Races and failures of Argo CD, Flux, KubeVela and plain workloads: no wrong pass, no wrong fail."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipegraft.core.errors import AccessDenied, PipegraftError, UsageError
from pipegraft.gate import argocd, flux, workloads
from pipegraft.gate.adapters import kubevela
from pipegraft.gate.adapters.argocd import ArgoCd
from pipegraft.gate.adapters.flux import Flux
from pipegraft.gate.adapters.workloads import ClusterReader, Reference
from pipegraft.gate.conditions import expected_count
from pipegraft.gate.model import ArgoCdOptions, FluxOptions
from pipegraft.gate.ports import EngineRequest, RunImage, State, Verdict
from pipegraft.kubernetes.model import Kind

OLD, TARGET, NEWER = "0" * 40, "1" * 40, "2" * 40
PASS, WAIT, BLOCKED, SUSPENDED, FAIL = (
    State.SUCCEEDED,
    State.PROGRESSING,
    State.BLOCKED,
    State.SUSPENDED,
    State.FAILED,
)
Change = Callable[[dict[str, Any]], object]


def at_target(revision: str) -> bool:
    return revision in (TARGET, NEWER)


def put(data: Any, path: str, value: Any) -> None:
    """Set ``a.b.0.c``; ``~`` as value takes the key away."""
    *above, last = path.split(".")
    for key in above:
        data = data[int(key)] if isinstance(data, list) else data.setdefault(key, {})
    if value == "~":
        data.pop(last, None)
    elif isinstance(data, list):
        data[int(last)] = value
    else:
        data[last] = value


def changed(status: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    copied = copy.deepcopy(status)
    for path, value in changes.items():
        put(copied, path, value)
    return copied


def judge(rule: Callable[..., Verdict], status: dict[str, Any], changes: dict[str, Any]) -> tuple[State, str]:
    found = rule(changed(status, changes), at_target)
    return found.state, "\n".join((found.reason, *found.evidence))


def _with(item: dict[str, Any], part: str, **changes: Any) -> dict[str, Any]:
    return {**item, part: {**item[part], **changes}}


ARGOCD: dict[str, Any] = {
    "answered": True,
    "repository": "https://git.example.com/iac/shop.git",
    "application": {
        "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"},
        "spec": {
            "source": {"repoURL": "https://git.example.com/iac/shop", "path": "."},
            "destination": {"namespace": "shop"},
            "syncPolicy": {"automated": {"prune": True}},
        },
        "status": {
            "reconciledAt": "2026-01-01T10:00:20Z",
            "sync": {
                "status": "Synced",
                "revision": TARGET,
                "comparedTo": {
                    "source": {"repoURL": "https://git.example.com/iac/shop", "path": "."},
                    "destination": {"namespace": "shop"},
                },
            },
            "operationState": {
                "phase": "Succeeded",
                "finishedAt": "2026-01-01T10:00:10Z",
                "syncResult": {"revision": TARGET, "resources": []},
            },
            "health": {"status": "Healthy"},
            "resources": [{"kind": "Deployment", "namespace": "shop", "name": "web", "status": "Synced"}],
        },
    },
}
A = "application.status"
OUT_OF_TIME = {
    f"{A}.health.status": "Degraded",
    f"{A}.resources.0.health": {
        "status": "Degraded", "message": 'Deployment "web" exceeded its progress deadline'
    },
}  # fmt: skip
OUT = {f"{A}.sync.status": "OutOfSync", "application.spec.syncPolicy": {"automated": {}}}
KEPT = {
    "application.spec.syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
    f"{A}.resources": [{"kind": "Service", "name": "a", "status": "OutOfSync", "requiresPruning": True}],
}
SOURCES = [
    {"repoURL": "https://git.example.com/iac/shop", "ref": "values"},
    {"repoURL": "https://charts.example.com", "chart": "web"},
]


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({}, PASS, "Synced and Healthy"),
        ({f"{A}.sync.revision": NEWER}, PASS, ""),
        ({f"{A}.operationState": "~"}, PASS, ""),
        ({f"{A}.sync.revision": OLD, f"{A}.operationState.syncResult.revision": OLD}, WAIT, OLD[:12]),
        ({f"{A}.sync.revision": TARGET, f"{A}.operationState.syncResult.revision": OLD}, PASS, ""),
        ({f"{A}": {}}, WAIT, "compared nothing"),
        ({"application.operation": {"sync": {}}}, WAIT, "about to start"),
        (
            {f"{A}.operationState.phase": "Running", f"{A}.operationState.message": "hook migrate"},
            WAIT,
            "migrate",
        ),
        ({f"{A}.operationState.phase": "Terminating"}, WAIT, "Terminating"),
        (
            {
                f"{A}.operationState.phase": "Failed",
                f"{A}.operationState.message": "one or more objects failed",
                f"{A}.operationState.syncResult.resources": [
                    {
                        "kind": "Job",
                        "name": "migrate",
                        "hookType": "PreSync",
                        "hookPhase": "Failed",
                        "message": "BackoffLimitExceeded",
                    }
                ],
            },
            FAIL,
            "Job migrate: BackoffLimitExceeded",
        ),
        (  # it is tried again, and the Job of the hook has failed for good
            {
                f"{A}.operationState.phase": "Running",
                f"{A}.operationState.message": "Retrying attempt #2",
                f"{A}.operationState.syncResult.resources": [
                    {
                        "kind": "Job",
                        "name": "m",
                        "hookType": "Sync",
                        "hookPhase": "Failed",
                        "message": "limit",
                    }
                ],
            },
            FAIL,
            "sync Running: Job m: limit",
        ),
        (
            {
                f"{A}.operationState.phase": "Running",
                f"{A}.operationState.message": "Retrying attempt #2",
                f"{A}.operationState.syncResult.resources": [
                    {
                        "kind": "Role",
                        "name": "m",
                        "status": "SyncFailed",
                        "hookPhase": "Failed",
                        "message": "x",
                    }
                ],
            },
            WAIT,
            "Role m: x",
        ),
        (
            {
                f"{A}.operationState.phase": "Failed",
                f"{A}.operationState.syncResult.revision": OLD,
                f"{A}.sync.revision": OLD,
            },
            WAIT,
            "compared",
        ),
        ({f"{A}.operationState.phase": "Error", f"{A}.operationState.message": "quota"}, FAIL, "quota"),
        ({f"{A}.conditions": [{"type": "ComparisonError", "message": "app path"}]}, FAIL, "app path"),
        (  # Argo CD could not read the target, so that it knows of no commit
            {
                f"{A}.sync": {"status": "Unknown", "revision": "main"},
                f"{A}.conditions": [{"type": "ComparisonError", "message": "app path does not exist"}],
            },
            FAIL,
            "app path does not exist",
        ),
        ({f"{A}.conditions": [{"type": "InvalidSpecError", "message": "no project"}]}, FAIL, "no project"),
        ({f"{A}.conditions": [{"type": "SyncError", "message": "retried 5 times"}]}, FAIL, "retried 5 times"),
        ({f"{A}.conditions": [{"type": "OrphanedResourceWarning", "message": "x"}]}, PASS, ""),
        (  # the commit that takes a failed one back makes no operation
            {f"{A}.operationState.phase": "Failed", f"{A}.operationState.syncResult.revision": OLD},
            PASS,
            "",
        ),
        (
            {
                f"{A}.conditions": [{"type": "ComparisonError", "message": "of the commit before"}],
                "answered": False,
            },
            WAIT,
            "older",
        ),
        ({f"{A}.reconciledAt": "2026-01-01T10:00:05Z"}, WAIT, "older than the last sync"),
        ({f"{A}.sync.comparedTo.source.path": "elsewhere"}, WAIT, "spec has changed"),
        ({f"{A}.sync.status": "OutOfSync"}, WAIT, "OutOfSync"),
        ({f"{A}.sync.status": "Unknown"}, WAIT, "Unknown"),
        ({**OUT, "application.spec.syncPolicy": {}}, BLOCKED, "automated sync is off"),
        ({**OUT, "application.spec.syncPolicy": {"automated": {"enabled": False}}}, BLOCKED, "off"),
        ({**OUT, "can-sync": False}, BLOCKED, "sync window"),
        (
            {
                **OUT,
                f"{A}.resources": [
                    {"kind": "Service", "name": "a", "status": "OutOfSync", "requiresPruning": 1}
                ],
            },
            BLOCKED,
            "Service a",
        ),
        ({**OUT, **KEPT, "now": "2026-01-01T10:00:25Z"}, BLOCKED, "told not to be pruned"),
        ({**OUT, "application.spec.syncPolicy": {}, "rolling": False}, BLOCKED, "automated sync is off"),
        ({**OUT, "application.spec.syncPolicy": {}, "rolling": True}, WAIT, "when its turn comes"),
        ({**OUT, "application.spec.syncPolicy": {}, "rolling": None}, WAIT, "when its turn comes"),
        ({**OUT, **KEPT, "now": "2026-01-01T10:00:12Z"}, WAIT, "OutOfSync"),
        ({**OUT, "now": "2026-01-01T10:00:25Z"}, BLOCKED, "selfHeal is off"),
        ({**OUT, "application.spec.syncPolicy": {}, f"{A}.sync.revision": OLD}, WAIT, "compared"),
        ({f"{A}.health.status": "Progressing"}, WAIT, "Progressing"),
        ({f"{A}.health.status": "Missing"}, WAIT, "Missing"),
        ({f"{A}.health.status": "Unknown"}, WAIT, "Unknown"),
        ({f"{A}.health": "~"}, WAIT, "health unknown"),
        ({f"{A}.health.status": "Suspended"}, SUSPENDED, "Suspended"),
        (
            {
                f"{A}.health.status": "Degraded",
                f"{A}.resources.0.health": {"status": "Degraded", "message": "CrashLoopBackOff"},
            },
            FAIL,
            "Deployment shop/web Degraded: CrashLoopBackOff",
        ),
        ({**OUT_OF_TIME, "now": "2026-01-01T10:00:15Z"}, WAIT, "exceeded its progress deadline"),
        ({**OUT_OF_TIME, "now": "2026-01-01T10:00:25Z"}, FAIL, "exceeded its progress deadline"),
        ({f"{A}.health.status": "Degraded", f"{A}.reconciledAt": "2026-01-01T09:00:00Z"}, WAIT, "older"),
        ({"application.metadata.deletionTimestamp": "2026-01-01T10:00:00Z"}, FAIL, "deleted"),
        ({"repository": "https://git.example.com/iac/other"}, FAIL, "no source of the Application"),
        (
            {
                "application.spec.sources": SOURCES,
                f"{A}.sync.revisions": [TARGET, "1.2.3"],
                f"{A}.sync.comparedTo": {},
            },
            PASS,
            "",
        ),
        (
            {
                "application.spec.sources": [*SOURCES, SOURCES[0]],
                f"{A}.sync.revisions": [TARGET, "1.2.3", OLD],
                f"{A}.sync.comparedTo": {},
            },
            WAIT,
            OLD[:12],
        ),
        (
            {
                "application.spec.sources": SOURCES,
                f"{A}.sync.revisions": [OLD, "1.2.3"],
                f"{A}.sync.comparedTo": {},
            },
            WAIT,
            OLD[:12],
        ),
    ],
)
def test_argo_cd(changes: dict[str, Any], state: State, says: str) -> None:
    found, words = judge(argocd.verdict, ARGOCD, changes)
    assert (found, says in words) == (state, True), words


def ready(status: str, reason: str = "", message: str = "", kind: str = "Ready") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


FLUX: dict[str, Any] = {
    "now": "2026-01-01T10:05:00Z",
    "source": {
        "kind": "GitRepository",
        "metadata": {"name": "shop", "namespace": "flux", "generation": 2},
        "spec": {},
        "status": {
            "observedGeneration": 2,
            "conditions": [ready("True")],
            "artifact": {"revision": f"main@sha1:{TARGET}"},
        },
    },
    "kustomization": {
        "kind": "Kustomization",
        "metadata": {"name": "shop", "namespace": "flux", "generation": 3},
        "spec": {"wait": True},
        "status": {
            "observedGeneration": 3,
            "conditions": [ready("True", "ReconciliationSucceeded")],
            "lastAppliedRevision": f"main@sha1:{TARGET}",
            "lastAttemptedRevision": f"main@sha1:{TARGET}",
        },
    },
}
RELEASE: dict[str, Any] = {
    "kind": "HelmRelease",
    "metadata": {"name": "web", "namespace": "shop", "generation": 1},
    "spec": {},
    "status": {"observedGeneration": 1, "conditions": [ready("True")]},
}
S, K = "source.status", "kustomization.status"
STUCK = {
    "type": "FetchFailed",
    "status": "True",
    "reason": "GitOperationFailed",
    "lastTransitionTime": "2026-01-01T10:00:00Z",
}


def release(*conditions: dict[str, str], **status: Any) -> list[dict[str, Any]]:
    changed = copy.deepcopy(RELEASE)
    changed["status"] |= {"conditions": list(conditions), **status}
    return [changed]


def failing(reason: str, why: str = "why") -> dict[str, Any]:
    return {f"{K}.conditions": [ready("False", reason, why), ready("True", kind="Reconciling")]}


FAILED_AT = {"lastTransitionTime": "2026-01-01T10:00:00Z", "observedGeneration": 3}
BEHIND = {
    # kustomize-controller 1.9 says this of a path that does not exist; its generations stay behind
    f"{K}.observedGeneration": -1,
    f"{K}.lastAttemptedRevision": None,
    f"{K}.conditions": [
        {**ready("False", "ArtifactFailed", "kustomization path not found: stat app"), **FAILED_AT},
        {
            **ready(
                "True", "Progressing", f"Fetching manifests for revision main@sha1:{TARGET}", "Reconciling"
            ),
            **FAILED_AT,
        },
    ],
}
ASKED = {
    "asked": {"Kustomization flux/shop": "2026-01-01T11:00:00+00:00"},
    "began": "2026-01-01T11:00:00+00:00",
    "now": "2026-01-01T11:00:05+00:00",
}


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({}, PASS, "applied and healthy"),
        ({"kustomization": None}, PASS, "has fetched"),
        ({f"{S}.artifact.revision": f"main@sha1:{OLD}"}, WAIT, OLD[:12]),
        ({f"{S}.artifact.revision": f"main/{TARGET}"}, PASS, ""),
        ({f"{S}.artifact": "~"}, WAIT, "fetched nothing"),
        ({f"{S}.observedGeneration": 1}, WAIT, "has changed"),
        ({f"{S}.conditions": [ready("False", "Failed", "auth")]}, WAIT, "auth"),
        ({f"{S}.conditions": [STUCK]}, FAIL, "cannot fetch: GitOperationFailed"),
        (
            {f"{S}.conditions": [{**STUCK, "lastTransitionTime": "2026-01-01T10:04:50Z"}]},
            WAIT,
            "cannot fetch",
        ),
        ({f"{S}.conditions": [ready("True", "URLInvalid", "no", "Stalled")]}, FAIL, "stalled: URLInvalid"),
        ({"source.spec.suspend": True}, BLOCKED, "GitRepository flux/shop is suspended"),
        ({"kustomization.spec.suspend": True}, BLOCKED, "Kustomization flux/shop is suspended"),
        ({f"{K}.lastAppliedRevision": f"main@sha1:{OLD}"}, WAIT, "applied 000000000000"),
        ({f"{K}.lastAppliedRevision": f"main@sha1:{NEWER}"}, PASS, ""),
        ({f"{K}.observedGeneration": 2}, WAIT, "has changed"),
        ({f"{K}.conditions": [ready("Unknown", "Progressing")]}, WAIT, "Progressing"),
        (failing("HealthCheckFailed"), FAIL, "HealthCheckFailed: why"),
        (failing("BuildFailed"), FAIL, "BuildFailed"),
        (failing("PruneFailed"), FAIL, "PruneFailed"),
        (failing("ReconciliationFailed"), FAIL, "ReconciliationFailed"),
        ({**failing("BuildFailed"), f"{K}.lastAttemptedRevision": f"main@sha1:{OLD}"}, WAIT, "BuildFailed"),
        ({**failing("ArtifactFailed"), "now": None}, WAIT, "ArtifactFailed"),
        (failing("ArtifactFailed"), FAIL, "ArtifactFailed"),
        ({**failing("ArtifactFailed", "kustomization path not found"), "now": None}, FAIL, "path not found"),
        (BEHIND, FAIL, "path not found"),
        ({**BEHIND, **ASKED}, WAIT, "waiting for a new attempt"),
        ({**BEHIND, **ASKED, f"{K}.lastHandledReconcileAt": "2026-01-01T10:59:00+00:00"}, WAIT, "attempt"),
        ({**BEHIND, **ASKED, f"{K}.lastHandledReconcileAt": "2026-01-01T11:00:00+00:00"}, FAIL, "not found"),
        ({**BEHIND, **ASKED, "asked": {}}, WAIT, "waiting for a new attempt"),
        ({**BEHIND, **ASKED, "asked": {}, "refused": ["Kustomization flux/shop"]}, WAIT, "new attempt"),
        (
            {
                **BEHIND,
                **ASKED,
                "asked": {},
                "refused": ["Kustomization flux/shop"],
                "now": "2026-01-01T11:02:00+00:00",
            },
            FAIL,
            "path not found",
        ),
        (failing("DependencyNotReady"), WAIT, "DependencyNotReady"),
        ({**failing("AccessDenied"), f"{K}.lastAttemptedRevision": "~"}, FAIL, "AccessDenied: why"),
        (
            {
                **failing("AccessDenied"),
                f"{K}.lastAttemptedRevision": "~",
                "began": "2026-01-01T11:00:00+00:00",
                "now": "2026-01-01T11:00:05+00:00",
            },
            WAIT,
            "AccessDenied: why",
        ),
        ({"helm-releases": release(ready("False", "AccessDenied", "no"))}, FAIL, "AccessDenied: no"),
        ({f"{K}.conditions": [ready("True", "x", "y", "Stalled")]}, FAIL, "stalled"),
        ({"kustomization.spec.wait": False}, PASS, "health was not asked for"),
        (
            {"kustomization.spec.wait": False, "kustomization.spec.healthChecks": [{"kind": "Deployment"}]},
            PASS,
            "its health checks are well",
        ),
        ({"kustomization.spec.wait": False, "workloads": []}, PASS, "0 workloads"),
        ({"helm-releases": release(ready("True"))}, PASS, ""),
        ({"helm-releases": release(ready("True"), observedGeneration=0)}, WAIT, "has changed"),
        (
            {
                "helm-releases": release(
                    ready("True"), ready("True", "Progressing", "running upgrade", "Reconciling")
                )
            },
            WAIT,
            "running upgrade",
        ),
        ({"helm-releases": release(ready("False", "InstallFailed", "timeout"))}, WAIT, "timeout"),
        (
            {"helm-releases": release(ready("True", "RetriesExceeded", "", "Stalled"))},
            FAIL,
            "RetriesExceeded",
        ),
        (
            {"helm-releases": release(ready("True", "MissingRollbackTarget", "", "Stalled"))},
            FAIL,
            "MissingRollbackTarget",
        ),
        (
            {"helm-releases": release(ready("True")), "helm-releases.0.spec.suspend": True},
            BLOCKED,
            "suspended",
        ),
        (
            {"helm-releases": release(ready("True", "RollbackSucceeded", "", "Remediated"))},
            FAIL,
            "Remediated",
        ),
        (
            {"helm-releases": release(ready("True"), ready("False", "x", "", "TestSuccess"))},
            FAIL,
            "tests failed",
        ),
    ],
)
def test_flux(changes: dict[str, Any], state: State, says: str) -> None:
    found, words = judge(flux.verdict, FLUX, changes)
    assert (found, says in words) == (state, True), words


VELA: dict[str, Any] = {
    "application": {
        "kind": "Application",
        "metadata": {
            "name": "shop",
            "namespace": "space",
            "generation": 4,
            "annotations": {"app.oam.dev/publishVersion": TARGET},
        },
        "spec": {},
        "status": {
            "observedGeneration": 4,
            "status": "running",
            "workflow": {
                "appRevision": TARGET,
                "finished": True,
                "steps": [{"name": "web", "phase": "succeeded"}],
            },
            "services": [{"name": "web", "healthy": True, "traits": [{"type": "scaler", "healthy": True}]}],
        },
    }
}
LEFT_ALONE = {"application.metadata.labels": {"controller.core.oam.dev/pause": "true"}}
BEGAN = {"began": "2026-01-01T10:00:00+00:00", "now": "2026-01-01T10:00:05+00:00"}


def _suspended(duration: str | None) -> dict[str, Any]:
    """A workflow at a step that waits for a person, or for a while."""
    step = {"name": "pause", "type": "suspend", "phase": "suspending"}
    properties = {"duration": duration} if duration else {}
    return {
        "application.spec.workflow": {"steps": [{**step, "properties": properties}]},
        f"{A}.status": "workflowSuspending",
        f"{A}.workflow.suspend": True,
        f"{A}.workflow.steps": [step],
    }


def _refused_by(stage: str, why: str, since: str = "2026-01-01T10:00:01Z") -> dict[str, Any]:
    """What the Application's controller writes where a stage fails; it tries again for ever."""
    entry = {**ready("False", "ReconcileError", why, stage), "lastTransitionTime": since}
    return {f"{A}.conditions": [entry]}


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({}, PASS, "every service is healthy"),
        ({"application.metadata.annotations": {}}, WAIT, "no revision"),
        ({"application.metadata.annotations": {"app.oam.dev/publishVersion": OLD}}, WAIT, OLD[:12]),
        ({f"{A}.workflow.appRevision": OLD}, WAIT, OLD[:12]),
        ({f"{A}.observedGeneration": 3}, WAIT, "still at version"),
        ({f"{A}.status": "runningWorkflow", f"{A}.workflow.finished": False}, WAIT, "runningWorkflow"),
        ({f"{A}.status": "unhealthy"}, WAIT, "unhealthy"),
        ({f"{A}.status": "rendering", f"{A}.workflow": {"appRevision": TARGET}}, WAIT, "rendering"),
        ({f"{A}.status": "starting", f"{A}.workflow.finished": False}, WAIT, "starting"),
        ({f"{A}.status": "generatingPolicy", f"{A}.workflow.finished": False}, WAIT, "generatingPolicy"),
        ({f"{A}.workflow.finished": False}, WAIT, "running"),
        ({f"{A}.status": "workflowSuspending"}, SUSPENDED, "suspended"),
        ({f"{A}.workflow.suspend": True}, SUSPENDED, "vela workflow resume shop -n space"),
        (_suspended("30s"), WAIT, "step pause suspending"),
        (_suspended(None), SUSPENDED, "step pause suspending"),
        (
            {
                f"{A}.status": "workflowSuspending",
                f"{A}.workflow.message": "The workflow suspends automatically because"
                " the failed times of steps have reached the limit",
                f"{A}.workflow.steps.0": {"name": "web", "phase": "failed", "message": "cue"},
            },
            FAIL,
            "step web failed: cue",
        ),
        ({f"{A}.observedGeneration": 3, **LEFT_ALONE}, BLOCKED, "remove the Application's label"),
        (LEFT_ALONE, PASS, ""),
        (
            _refused_by("Parsed", "fail to parse application, err: no such component"),
            FAIL,
            "no such component",
        ),
        ({**_refused_by("Render", "x", "2025-12-31T23:00:00Z"), **BEGAN}, WAIT, "Render: ReconcileError: x"),
        (_refused_by("StateKeep", "x"), PASS, ""),
        (
            {
                f"{A}.status": "workflowFailed",
                f"{A}.workflow.steps.0": {"name": "web", "phase": "failed", "message": "cue"},
            },
            FAIL,
            "step web failed: cue",
        ),
        ({f"{A}.status": "workflowTerminated", f"{A}.workflow.message": "by hand"}, FAIL, "by hand"),
        ({f"{A}.status": "deleting"}, FAIL, "deleting"),
        ({"application.metadata.deletionTimestamp": "2026-01-01T10:00:00Z"}, FAIL, "being deleted"),
        ({f"{A}.services": []}, WAIT, "no service"),
        ({f"{A}.services.0.healthy": False, f"{A}.services.0.message": "0/2"}, WAIT, "service web: 0/2"),
        ({f"{A}.services.0.traits.0.healthy": False}, WAIT, "trait scaler of web"),
        ({f"{A}.services.0.traits.0": {"type": "gateway", "healthy": False, "pending": True}}, PASS, ""),
    ],
)
def test_kubevela(changes: dict[str, Any], state: State, says: str) -> None:
    found, words = judge(kubevela.verdict, VELA, changes)
    assert (found, says in words) == (state, True), words


def thing(kind: str, spec: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "generation": 2,
            "uid": "u1",
            "annotations": {workloads.REVISION: TARGET, "deployment.kubernetes.io/revision": "5"},
        },
        "spec": spec,
        "status": {"observedGeneration": 2, **status},
    }


def pod(owner: str, waiting: str = "", **status: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": waiting, "message": "back-off"}} if waiting else {"running": {}}
    last = {"terminated": {"exitCode": 3, "message": "boom"}} if waiting == "CrashLoopBackOff" else {}
    return {
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": [{"uid": owner}], "labels": {}},
        "spec": {},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "web", "state": state, "lastState": last}],
            **status,
        },
    }


def replica_set(uid: str, revision: str) -> dict[str, Any]:
    annotations = {"deployment.kubernetes.io/revision": revision}
    metadata = {"name": uid, "uid": uid, "ownerReferences": [{"uid": "u1"}], "annotations": annotations}
    return {"kind": "ReplicaSet", "metadata": metadata}


COUNTS = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
DEPLOYMENT = thing(
    "Deployment",
    {"replicas": 2},
    {**COUNTS, "conditions": [ready("True", "NewReplicaSetAvailable", "", "Progressing")]},
)
STATEFUL = thing(
    "StatefulSet",
    {"replicas": 2},
    {"readyReplicas": 2, "updatedReplicas": 2, "currentRevision": "b", "updateRevision": "b"},
)
DAEMON = thing(
    "DaemonSet",
    {},
    {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3, "numberAvailable": 3},
)
NEW, BEFORE = replica_set("new", "5"), replica_set("before", "4")
ON_DELETE = {
    "objects.0.spec.updateStrategy": {"type": "OnDelete"},
    "objects.0.status.replicas": 2,
    "objects.0.status.currentRevision": "a",
}


def ending(owner: str = "u1") -> dict[str, Any]:
    """A pod of the template before that somebody holds back from its end."""
    held = {"deletionTimestamp": "2026-01-01T10:00:00Z", "finalizers": ["example.com/hold"]}
    metadata = {
        "name": "web-0",
        "namespace": "shop",
        "uid": "p0",
        "ownerReferences": [{"uid": owner}],
        **held,
    }
    return {"kind": "Pod", "metadata": metadata, "spec": {}, "status": {"phase": "Running"}}


UNSCHEDULABLE = [ready("False", "Unschedulable", "0/3 nodes", "PodScheduled")]
SHORT = {"objects.0.status.readyReplicas": 1}


@pytest.mark.parametrize(
    ("item", "changes", "state", "says"),
    [
        (DEPLOYMENT, {}, PASS, "1 workloads are ready"),
        (DEPLOYMENT, {"expected": 2}, WAIT, "1 of 2 workloads"),
        (DEPLOYMENT, {"objects": []}, WAIT, "0 of 1"),
        (DEPLOYMENT, {"objects.0.metadata.annotations": {workloads.REVISION: OLD}}, WAIT, OLD[:12]),
        (DEPLOYMENT, {"objects.0.metadata.annotations": {}}, WAIT, "no revision"),
        (DEPLOYMENT, {"objects.0.status.observedGeneration": 1}, WAIT, "has changed"),
        (DEPLOYMENT, {"objects.0.status.updatedReplicas": 1}, WAIT, "1 of 2 updated"),
        (DEPLOYMENT, {"objects.0.status.availableReplicas": 0}, WAIT, "0 of 2 available"),
        (DEPLOYMENT, {"objects.0.status.replicas": 3}, WAIT, "old replicas"),
        (DEPLOYMENT, {"objects.0.spec.paused": True}, SUSPENDED, "paused"),
        (DEPLOYMENT, {"objects.0.status.conditions.0.reason": "ProgressDeadlineExceeded"}, FAIL, "Deadline"),
        (
            DEPLOYMENT,
            {"objects.0.status.conditions.0.reason": "ReplicaSetUpdated"},
            WAIT,
            "ReplicaSetUpdated",
        ),
        (DEPLOYMENT, {**SHORT, "owned": [NEW, pod("new", "CrashLoopBackOff")]}, FAIL, "exit status 3: boom"),
        (DEPLOYMENT, {**SHORT, "owned": [NEW, pod("new", "ImagePullBackOff")]}, FAIL, "ImagePullBackOff"),
        (DEPLOYMENT, {**SHORT, "owned": [NEW, pod("new", "ContainerCreating")]}, WAIT, "1 of 2 ready"),
        (DEPLOYMENT, {**SHORT, "owned": [NEW, BEFORE, pod("before", "CrashLoopBackOff")]}, WAIT, "1 of 2"),
        (DEPLOYMENT, {**SHORT, "owned": [pod("stranger", "CrashLoopBackOff")]}, WAIT, "1 of 2"),
        (DEPLOYMENT, {**SHORT, "owned": [NEW, pod("new", conditions=UNSCHEDULABLE)]}, FAIL, "0/3 nodes"),
        (
            DEPLOYMENT,
            {**SHORT, "owned": [NEW, pod("new", phase="Failed", reason="Evicted")]},
            WAIT,  # another pod takes its place
            "Evicted",
        ),
        (STATEFUL, {}, PASS, ""),
        (STATEFUL, {"objects.0.status.currentRevision": "a"}, WAIT, "not current yet"),
        (STATEFUL, {"objects.0.status.updatedReplicas": 1}, WAIT, "1 of 2 updated"),
        (
            STATEFUL,
            {
                "objects.0.spec.updateStrategy": {"rollingUpdate": {"partition": 1}},
                "objects.0.status.updatedReplicas": 1,
                "objects.0.status.currentRevision": "a",
            },
            PASS,
            "",
        ),
        (
            STATEFUL,
            {
                "objects.0.spec.updateStrategy": {"rollingUpdate": {"partition": 2}},
                "objects.0.status.updatedReplicas": 0,
                "objects.0.status.currentRevision": "a",
            },
            PASS,  # whether it is the release's, its image tells
            "1 workloads are ready",
        ),
        (STATEFUL, {**SHORT, "owned": [ending()], "now": "2026-01-01T10:00:10Z"}, WAIT, "example.com/hold"),
        (
            STATEFUL,
            {**SHORT, "owned": [ending()], "now": "2026-01-01T10:01:00Z"},
            BLOCKED,
            "Pod shop/web-0 is being deleted, and waits for its finalizers: example.com/hold",
        ),
        (
            DEPLOYMENT,  # it makes the new pods meanwhile
            {**SHORT, "owned": [NEW, BEFORE, ending("before")], "now": "2026-01-01T10:01:00Z"},
            WAIT,
            "example.com/hold",
        ),
        (
            DEPLOYMENT,
            {
                **SHORT,
                "objects.0.spec.strategy": {"type": "Recreate"},
                "owned": [NEW, BEFORE, ending("before")],
                "now": "2026-01-01T10:01:00Z",
            },
            BLOCKED,
            "example.com/hold",
        ),
        (
            DAEMON,
            {"objects.0.status.numberReady": 2, "owned": [ending()], "now": "2026-01-01T10:01:00Z"},
            BLOCKED,
            "example.com/hold",
        ),
        (
            DAEMON,  # what has ended leaves its node to another
            {
                "objects.0.status.numberReady": 2,
                "owned": [{**ending(), "status": {"phase": "Succeeded"}}],
                "now": "2026-01-01T10:01:00Z",
            },
            WAIT,
            "example.com/hold",
        ),
        (
            STATEFUL,
            {**ON_DELETE, "objects.0.status.updatedReplicas": 0},
            PASS,
            "1 workloads are ready",
        ),
        (STATEFUL, ON_DELETE, PASS, ""),  # its current revision never becomes the new one
        (STATEFUL, {**SHORT, "owned": [pod("u1", "CrashLoopBackOff")]}, FAIL, "CrashLoopBackOff"),
        (STATEFUL, {"objects.0.status.observedGeneration": 1}, WAIT, "has changed"),
        (DAEMON, {}, PASS, ""),
        (DAEMON, {"objects.0.status.updatedNumberScheduled": 2}, WAIT, "2 of 3"),
        (DAEMON, {"objects.0.status.numberAvailable": 2}, WAIT, "2 of 3 numberAvailable"),
        (
            DAEMON,
            {"objects.0.status.numberReady": 2, "owned": [pod("u1", "ErrImagePull")]},
            WAIT,  # the first attempt; ImagePullBackOff follows if the next one fails too
            "ErrImagePull",
        ),
        (DAEMON, {"objects.0.status.observedGeneration": 1}, WAIT, "has changed"),
        (thing("Job", {}, {}), {}, WAIT, "is running"),
        (thing("Job", {}, {"conditions": [ready("True", kind="Complete")]}), {}, PASS, ""),
        (
            thing("Job", {}, {"conditions": [ready("True", "BackoffLimitExceeded", kind="Failed")]}),
            {},
            FAIL,
            "Backoff",
        ),
        (thing("Job", {"suspend": True}, {}), {}, SUSPENDED, "suspended"),
        (thing("Pod", {}, {"phase": "Running", "conditions": [ready("True")]}), {}, PASS, ""),
        (thing("Pod", {}, {"phase": "Running"}), {}, WAIT, "is Running"),
        (thing("Pod", {}, {"phase": "Failed", "reason": "OOMKilled"}), {}, FAIL, "OOMKilled"),
    ],
)
def test_workloads(item: dict[str, Any], changes: dict[str, Any], state: State, says: str) -> None:
    found, words = judge(workloads.verdict, {"objects": [item]}, changes)
    assert (found, says in words) == (state, True), words


def test_a_deadline_of_the_template_before_fails_no_release() -> None:
    """A commit that also scales is first seen as a scaling, beside the condition of the template before."""
    said = {"message": 'ReplicaSet "web-1" has timed out progressing.', "reason": "ProgressDeadlineExceeded"}
    item = copy.deepcopy(DEPLOYMENT)
    item["status"]["conditions"][0] |= said
    item["spec"]["template"] = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"image": "2"}]},
    }
    named = replica_set("web-1", "5")
    named["spec"] = copy.deepcopy({"template": item["spec"]["template"]})
    named["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = "1"
    assert workloads.health([item], [named]).state is FAIL
    named["spec"]["template"]["spec"]["containers"][0]["image"] = "1"
    assert workloads.health([item], [named]).state is WAIT


def test_the_worst_of_several_is_told_first_and_the_others_beside_it() -> None:
    failed = copy.deepcopy(DEPLOYMENT)
    failed["status"]["conditions"][0]["reason"] = "ProgressDeadlineExceeded"
    waiting = copy.deepcopy(STATEFUL)
    waiting["status"]["readyReplicas"] = 0
    found = workloads.verdict({"objects": [waiting, failed, DAEMON], "expected": 3}, at_target)
    assert found.state is FAIL
    assert "ProgressDeadlineExceeded" in found.reason
    assert found.evidence == ("progressing: StatefulSet shop/web: 0 of 2 ready",)


WEB = {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web", "status": "Synced"}


def crashing(**changes: Any) -> dict[str, Any]:
    """A Deployment whose newest pod crashes for the third time, and what belongs to it."""
    item = copy.deepcopy(DEPLOYMENT)
    item["status"] |= {"readyReplicas": 1, **changes}
    crashed = pod("new", "CrashLoopBackOff")
    return {"workloads": [item], "owned": [NEW, crashed], "now": "2026-01-01T10:00:00Z"}


def child(**source: str) -> dict[str, Any]:
    return {"child": True, "branch": "main", "application.spec.source": {"repoURL": "x", **source}}


RUNNING = {f"{A}.operationState.phase": "Running"}


def failed_job(made: str) -> dict[str, Any]:
    """A sync that runs, and a Job of its resource tree that has failed."""
    health = {"status": "Degraded", "message": "reached the specified backoff limit"}
    node = {"kind": "Job", "namespace": "shop", "name": "first", "createdAt": made, "health": health}
    return {**RUNNING, f"{A}.operationState.startedAt": "2026-01-01T10:00:00Z", "tree": [node]}


def failed_run() -> dict[str, Any]:
    """A run of a CronJob that has failed since the sync, and its pod."""
    given = failed_job("2026-01-01T10:00:05Z")
    cron, run = {"kind": "CronJob", "uid": "c"}, {"kind": "Job", "uid": "r"}
    given["tree"][0] |= {"uid": "r", "parentRefs": [cron]}
    info = [{"name": "Status Reason", "value": "ImagePullBackOff"}]
    made = {"createdAt": "2026-01-01T10:00:06Z", "info": info}
    given["tree"].append({"kind": "Pod", "name": "first-1", "parentRefs": [run], **made})
    return given


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        (failed_run(), WAIT, "sync Running"),
        (
            {
                **failed_run(),
                f"{A}.operationState.phase": "Succeeded",
                f"{A}.health": {"status": "Degraded", "lastTransitionTime": "2026-01-01T10:00:20Z"},
                "now": "2026-01-01T10:00:25Z",
            },
            WAIT,
            "Degraded",
        ),
        ({"repository": "ssh://git@git.example.com:22/iac/shop.git"}, PASS, ""),
        ({"repository": "git@GIT.example.com:iac/shop"}, PASS, ""),
        ({"repository": "https://git.example.com/iac/shop-2"}, FAIL, "set 'gate.repository'"),
        (
            {"branch": "main", "application.spec.source.targetRevision": "main", f"{A}.sync.comparedTo": {}},
            PASS,
            "",
        ),
        (
            {"branch": "main", "application.spec.source.targetRevision": "HEAD", f"{A}.sync.comparedTo": {}},
            PASS,
            "",
        ),
        (
            {
                "branch": "main",
                "application.spec.source.targetRevision": "refs/heads/main",
                f"{A}.sync.comparedTo": {},
            },
            PASS,
            "",
        ),
        ({"branch": "main", "application.spec.source.targetRevision": "release"}, FAIL, "follows 'release'"),
        ({"application.metadata.annotations": {argocd.REFRESH: "normal"}}, WAIT, "older"),
        (
            {
                "application.metadata.annotations": {argocd.REFRESH: "normal"},
                f"{A}.health.status": "Degraded",
            },
            WAIT,
            "older",
        ),
        (crashing(), PASS, ""),  # what Argo CD calls healthy is; the pods explain what it does not
        ({**crashing(), f"{A}.health.status": "Progressing"}, FAIL, "CrashLoopBackOff"),
        ({**crashing(), f"{A}.health.status": "Degraded"}, FAIL, "exit status 3: boom"),
        ({**crashing(), f"{A}.health.status": "Progressing", f"{A}.sync.revision": OLD}, WAIT, OLD[:12]),
        ({**crashing(), **RUNNING}, FAIL, "CrashLoopBackOff"),
        (failed_job("2026-01-01T10:00:00Z"), FAIL, "Job shop/first Degraded: reached the specified backoff"),
        (failed_job("2026-01-01T09:59:59Z"), WAIT, "sync Running"),  # of a release before
        ({**crashing(), **RUNNING, f"{A}.operationState.syncResult.revision": OLD}, WAIT, "sync Running"),
        ({**crashing(observedGeneration=1), f"{A}.health.status": "Progressing"}, WAIT, "Progressing"),
        (
            {f"{A}.health.status": "Suspended", "workloads": [thing("Job", {"suspend": True}, {})]},
            SUSPENDED,
            "Job shop/web is suspended",
        ),
    ],
)
def test_argo_cd_and_what_is_behind_it(changes: dict[str, Any], state: State, says: str) -> None:
    found, words = judge(argocd.verdict, ARGOCD, changes)
    assert (found, says in words) == (state, True), words


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"child": True}, PASS),
        ({"child": True, f"{A}.sync.revision": OLD}, WAIT),
        ({**child(), f"{A}.sync.revision": "9" * 40, f"{A}.sync.comparedTo": {}}, PASS),
        ({**child(), f"{A}.health.status": "Degraded", f"{A}.sync.comparedTo": {}}, FAIL),
        (
            {
                **child(repoURL="https://git.example.com/iac/shop", targetRevision="v1"),
                f"{A}.sync.revision": OLD,
                f"{A}.sync.comparedTo": {},
            },
            PASS,  # it stays at its tag
        ),
    ],
)
def test_argo_cd_child_of_another_repository_or_tag(changes: dict[str, Any], state: State) -> None:
    assert judge(argocd.verdict, ARGOCD, changes)[0] is state


class Family:
    """Argo CD with a root and its two children, one of which another root may have made."""

    def __init__(self, destination: dict[str, str], tracked: str) -> None:
        def made(name: str, *below: str, **annotations: str) -> dict[str, Any]:
            app = copy.deepcopy(ARGOCD["application"])
            app["metadata"] |= {"name": name, "annotations": annotations}
            declared = {"group": "argoproj.io", "kind": "Application", "namespace": "argocd"}
            app["status"]["resources"] = [{**declared, "name": one} for one in below]
            return app

        root = made("root", "one", "two")
        root["spec"]["destination"] = destination
        two = made(
            "two", **{"argocd.argoproj.io/tracking-id": f"{tracked}:argoproj.io/Application:argocd/two"}
        )
        self.apps = {("argocd", app["metadata"]["name"]): app for app in (root, made("one"), two)}

    def begin(self, *, anew: bool) -> None: ...

    def read(self, _namespace: str | None) -> Any:
        return self.apps

    def ask(self, _application: Any, *, hard: bool) -> None: ...

    def is_answered(self, _application: Any) -> bool:
        return True

    def templates(self, _application: Any, _applied: Any) -> Any:
        return ()


@pytest.mark.parametrize(
    ("destination", "tracked", "given", "expected", "unseen"),
    [
        ({"name": "in-cluster"}, "root", {}, 3, []),
        ({"name": "in-cluster"}, "root", {"expect": 3}, 3, []),
        ({"name": "in-cluster"}, "root", {"expect": 4}, 4, []),
        ({"name": "main"}, "root", {}, 3, []),  # this cluster, by another name
        ({"name": "main"}, "other", {}, 3, ["argocd/two"]),  # of the same name, in another cluster
    ],
)
def test_an_app_of_apps_counts_and_sees_its_children(
    destination: dict[str, str], tracked: str, given: dict[str, Any], expected: int, unseen: list[str]
) -> None:
    options = ArgoCdOptions.model_validate({"application": "root", "children": True, **given})
    family: Any = Family(destination, tracked)
    seen = ArgoCd(options, EngineRequest(Path()), family).observe()
    assert (seen["expected"], seen["unseen"]) == (expected, unseen)
    assert len(seen["applications"]) == 3 - len(unseen)


@pytest.mark.parametrize(("open_ended", "expected"), [(False, 4), (True, 6)])
def test_children_do_not_stand_in_for_one_that_a_label_should_find(open_ended: bool, expected: int) -> None:
    names = () if open_ended else ("root",)
    assert expected_count(names, 3, 3, open_ended=open_ended) == expected


def test_while_a_sync_runs_only_what_it_has_applied_counts() -> None:
    app = copy.deepcopy(ARGOCD["application"])
    assert [item["name"] for item in argocd.applied(app)] == ["web"]
    app["status"]["operationState"] |= {
        "phase": "Running",
        "syncResult": {"resources": [{**WEB, "name": "db"}, {**WEB, "name": "later", "status": ""}]},
    }
    assert [item["name"] for item in argocd.applied(app)] == ["db"]


def packaged(revision: str = TARGET, *conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    """The chart of the release, as source-controller 1.9 makes it of the repository's own folder."""
    where = {"kind": "GitRepository", "name": "shop"}
    return {
        "kind": "HelmChart",
        "metadata": {"name": "flux-web", "namespace": "flux", "generation": 1},
        "spec": {"chart": "./chart", "sourceRef": where},
        "status": {
            "observedGeneration": 1,
            "observedSourceArtifactRevision": f"main@sha1:{revision}",
            "artifact": {"revision": "0.1.0+2"},
            "conditions": list(conditions),
            **status,
        },
    }


TRIED = release(ready("True"), lastAttemptedRevision="0.1.0+2")
NO_CHART = ready("True", "InvalidChartReference", "no such file", "Stalled")
UNFETCHED = {**ready("True", "ChartPullError", "timeout", "FetchFailed"), "observedGeneration": 1}
BROKEN = (
    "Helm upgrade failed for release shop/web: execution error at (web/templates/x.yaml:1:3): no such thing"
)


@pytest.mark.parametrize(
    ("releases", "chart", "state", "says"),
    [
        (TRIED, packaged(), PASS, ""),
        (  # it gave up the version before
            release(ready("True", "RetriesExceeded", "", "Stalled"), lastAttemptedRevision="0.1.0+1"),
            packaged(),
            WAIT,
            "not tried version",
        ),
        (TRIED, packaged(OLD), WAIT, "HelmChart flux/flux-web is of 000000000000 so far"),
        (
            release(ready("True"), lastAttemptedRevision="0.1.0+1"),
            packaged(),
            WAIT,
            "not tried version 0.1.0+2",
        ),
        (TRIED, packaged(TARGET, NO_CHART), FAIL, "InvalidChartReference: no such file"),
        (TRIED, packaged(OLD, NO_CHART), WAIT, "so far"),
        (
            TRIED,
            packaged(TARGET, {**UNFETCHED, "lastTransitionTime": "2026-01-01T10:00:00Z"}),
            FAIL,
            "timeout",
        ),
        (
            TRIED,
            packaged(TARGET, {**UNFETCHED, "lastTransitionTime": "2026-01-01T10:04:50Z"}),
            WAIT,
            "timeout",
        ),
        (
            release(
                ready("False", "UpgradeFailed", BROKEN), ready("False", "UpgradeFailed", BROKEN, "Released")
            ),
            None,
            FAIL,
            "no such thing",
        ),
        (
            release(
                ready("False", "UpgradeFailed", "timed out"), ready("False", "x", "timed out", "Released")
            ),
            None,
            WAIT,  # it is tried again
            "timed out",
        ),
        (
            release(
                {**ready("False", "SourceNotReady", "no chart"), "observedGeneration": 1},
                observedGeneration=-1,
            ),
            None,
            WAIT,
            "SourceNotReady: no chart",
        ),
    ],
)
def test_a_release_is_of_the_chart_of_the_target(
    releases: list[dict[str, Any]], chart: Any, state: State, says: str
) -> None:
    charts = {"HelmRelease shop/web": chart} if chart else {}
    found, words = judge(flux.verdict, FLUX, {"helm-releases": releases, "helm-charts": charts})
    assert (found, says in words) == (state, True), words


def oci(digest: str, **metadata: Any) -> dict[str, Any]:
    status = {"observedGeneration": 1, "artifact": {"revision": f"1.0.0@sha256:{digest}"}}
    return {
        "kind": "OCIRepository",
        "metadata": {"name": "chart", "namespace": "shop", "generation": 1, **metadata},
        "spec": {"url": "oci://registry.example.com/charts/web"},
        "status": {**status, "conditions": [ready("True")]},
    }


@pytest.mark.parametrize(
    ("chart", "state", "says"),
    [
        (oci("a" * 64), PASS, "applied"),
        (oci("b" * 64), WAIT, "has not tried version 1.0.0@sha256:bbb"),
        (oci("a" * 64, generation=2), WAIT, "OCIRepository shop/chart has changed"),
    ],
)
def test_a_chart_of_a_registry_is_the_one_that_the_release_has_tried(
    chart: Any, state: State, says: str
) -> None:
    """A release that is ready is so with the chart before, until it hears of the one that was fetched."""
    releases = release(ready("True"), lastAttemptedRevisionDigest=f"sha256:{'a' * 64}")
    charts = {"HelmRelease shop/web": chart}
    found, words = judge(flux.verdict, FLUX, {"helm-releases": releases, "helm-charts": charts})
    assert (found, says in words) == (state, True), words


class FluxCluster:
    """Has what Flux reconciles; of OCIRepositories in some versions alone, whatever it is asked."""

    def __init__(self, *served: str, refusal: PipegraftError) -> None:
        kustomization = changed(
            FLUX["kustomization"],
            {
                "spec.sourceRef": {"kind": "GitRepository", "name": "shop"},
                "status.inventory.entries": [{"id": "shop_web_helm.toolkit.fluxcd.io_HelmRelease"}],
            },
        )
        released = release(ready("True"), lastAttemptedRevisionDigest=f"sha256:{'a' * 64}")[0]
        released["spec"] = {"chartRef": {"kind": "OCIRepository", "name": "chart"}}
        self.items = [FLUX["source"], kustomization, released, oci("b" * 64)]
        self.served, self.refusal = served, refusal

    def watched(self, kind: Kind, _namespace: str) -> Any:
        def objects(*, anew: bool = False) -> dict[tuple[str, str], Any]:
            del anew
            if kind.kind == "OCIRepository" and kind.version not in self.served:
                raise self.refusal
            found = [item for item in self.items if item["kind"] == kind.kind]
            return {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in found}

        return SimpleNamespace(objects=objects, listen=lambda _told: None, take=lambda _item: None)

    def now(self) -> datetime:
        return datetime(2026, 1, 1, 10, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("served", "refusal", "state", "says"),
    [
        ("v1", UsageError("has none"), WAIT, "has not tried version 1.0.0@sha256:bbb"),
        ("v1beta2", UsageError("has none"), WAIT, "has not tried version 1.0.0@sha256:bbb"),
        ("", UsageError("has none"), PASS, "HelmRelease shop/web: its chart could not be looked at"),
        ("", AccessDenied("may not"), PASS, "HelmRelease shop/web: its chart could not be looked at"),
    ],
)
def test_a_chart_of_a_registry_is_looked_at_in_the_version_that_is_served_or_that_is_said(
    served: str, refusal: PipegraftError, state: State, says: str
) -> None:
    options = FluxOptions(kustomization="shop", namespace="flux", workloads=False)
    cluster: Any = FluxCluster(served, refusal=refusal)
    engine = Flux(options, EngineRequest(Path(), branch="master"), cluster)
    for _ in range(2):
        found = flux.verdicts(engine.observe(), at_target)
        told = "\n".join((found.reason, *found.evidence))
        assert (found.state, says in told) == (state, True), told


@pytest.mark.parametrize(
    ("source", "state"),
    [
        (None, PASS),
        (oci(TARGET), PASS),
        (oci(OLD), WAIT),
        (_with(FLUX["source"], "spec", ref={"tag": "v1"}), PASS),
        (_with(_with(FLUX["source"], "spec", ref={"tag": "v2"}), "status", artifact={"revision": OLD}), WAIT),
    ],
)
def test_a_child_of_something_else_has_applied_what_its_source_has_now(source: Any, state: State) -> None:
    changes = {"child": True, "branch": "main", "source": source}
    assert judge(flux.verdict, FLUX, changes)[0] is state


def test_a_commit_whose_signature_is_refused_is_never_fetched() -> None:
    refused = ready("False", "InvalidCommitSignature", f"verification of commit '{TARGET}' failed")
    conditions = [refused, {**refused, "type": "SourceVerified"}]
    found, words = judge(flux.verdict, FLUX, {f"{S}.conditions": conditions})
    assert (found, "does not accept the commit" in words) == (FAIL, True)
    older = [{**one, "message": f"verification of commit '{OLD}' failed"} for one in conditions]
    assert judge(flux.verdict, FLUX, {f"{S}.conditions": older})[0] is WAIT


def test_an_application_that_takes_hydrated_manifests_cannot_be_gated_by_commits() -> None:
    changes = {"application.spec": {"sourceHydrator": {"drySource": {}}}, "repository": "x"}
    found, words = judge(argocd.verdict, ARGOCD, changes)
    assert (found, "hydrated" in words) == (FAIL, True)


def _running(image: str, **annotations: str) -> dict[str, Any]:
    """The Deployment with an image."""
    template = {"spec": {"containers": [{"name": "web", "image": image}]}}
    item = _with(DEPLOYMENT, "spec", template=template)
    return _with(item, "metadata", annotations={**item["metadata"]["annotations"], **annotations})


IGNORING = {"group": "apps", "kind": "Deployment", "jqPathExpressions": [".spec.template"]}


@pytest.mark.parametrize(
    ("rule", "good", "changes", "skipped"),
    [
        (argocd.verdict, ARGOCD, {"templates": [_running("r/web:1")]}, ""),
        (
            argocd.verdict,
            ARGOCD,
            {"templates": [_running("r/web:1")], "application.spec.ignoreDifferences": [IGNORING]},
            "the Application ignores differences there (.spec.template)",
        ),
        (
            argocd.verdict,
            ARGOCD,
            {
                "templates": [_running("r/web:1")],
                "application.spec.ignoreDifferences": [{**IGNORING, "name": "other"}],
            },
            "",
        ),
        (flux.verdict, FLUX, {"workloads": [_running("r/web:1")]}, ""),
        (
            flux.verdict,
            {**FLUX, "kustomization": _with(FLUX["kustomization"], "spec", wait=False)},
            {"workloads": [_running("r/web:1", **{"kustomize.toolkit.fluxcd.io/reconcile": "disabled"})]},
            "Flux leaves it as it is, for its annotation kustomize.toolkit.fluxcd.io/reconcile is disabled",
        ),
        (kubevela.verdict, VELA, {"workloads": [_running("r/web:1")]}, ""),
        (workloads.verdict, {"objects": [_running("r/web:1")]}, {}, ""),
    ],
)
def test_what_runs_is_told_with_what_the_engine_skips(
    rule: Any, good: dict[str, Any], changes: dict[str, Any], skipped: str
) -> None:
    found = rule(changed(good, changes), at_target)
    assert (found.state, found.images) == (PASS, (RunImage("Deployment shop/web", "r/web:1", skipped),))


def test_a_label_does_not_find_the_runs_of_a_cron_job() -> None:
    """What a CronJob's template gives its Jobs is the label of all, and no commit."""

    def made(name: str, **metadata: Any) -> dict[str, Any]:
        item = thing("Job", {}, {})
        item["metadata"] |= {"name": name, "labels": {"app": "web"}, **metadata}
        return item

    jobs = [made("migrate"), made("nightly-1", ownerReferences=[{"kind": "CronJob", "uid": "c"}])]
    there = {"Job": {("shop", job["metadata"]["name"]): job for job in jobs}}

    def watched(kind: Any, _namespace: str) -> Any:
        return SimpleNamespace(listen=lambda _told: None, objects=lambda anew: there.get(kind.kind, {}))

    cluster: Any = SimpleNamespace(watched=watched, now=lambda: datetime.now(UTC))
    by_label = ClusterReader(cluster).read_workloads(set(), {("shop", "app", "web")})
    assert [one["metadata"]["name"] for one in by_label["workloads"]] == ["migrate"]
    by_name = ClusterReader(cluster).read_workloads({Reference("Job", "shop", "nightly-1")}, set())
    assert [one["metadata"]["name"] for one in by_name["workloads"]] == ["nightly-1"]


NIGHTLY = {
    "kind": "CronJob",
    "metadata": {"name": "nightly", "namespace": "shop"},
    "spec": {"schedule": "0 3 * * *", "jobTemplate": {}},
    "status": {"lastScheduleTime": "2026-01-01T03:00:00Z", "lastSuccessfulTime": "2025-12-31T03:01:00Z"},
}


@pytest.mark.parametrize(
    ("active", "tells"), [(None, True), ([{"name": "nightly-2"}], False)], ids=["failed", "runs"]
)
def test_a_run_that_makes_argo_cd_call_all_degraded_is_named_with_the_way_out(
    active: Any, tells: bool
) -> None:
    given = {f"{A}.health.status": "Degraded", "workloads": [changed(NIGHTLY, {"status.active": active})]}
    state, words = judge(argocd.verdict, ARGOCD, given)
    assert state is FAIL
    assert ("CronJob shop/nightly: its last run has not succeeded" in words) is tells
    assert ("ignore-healthcheck" in words) is tells


PARKED: dict[str, Any] = {
    "status.currentRevision": "a",
    "status.replicas": 2,
    "status.updatedReplicas": 0,
    "spec.template": {"spec": {"containers": [{"name": "q", "image": "r/queue:1"}]}},
}


@pytest.mark.parametrize(
    ("strategy", "held"),
    [
        ({"rollingUpdate": {"partition": 2}}, "its partition, 2, keeps each of its 2 pods old; lower spec"),
        ({"type": "OnDelete"}, "2 of 2 pods are old, and its updateStrategy is OnDelete; delete them"),
        ({"rollingUpdate": {"partition": 1}}, ""),
    ],
)
def test_what_keeps_its_old_pods_is_told_with_its_image(strategy: dict[str, Any], held: str) -> None:
    parked = changed(STATEFUL, {**PARKED, "spec.updateStrategy": strategy})
    found = argocd.verdict(changed(ARGOCD, {"templates": [parked]}), at_target)
    assert found.images is not None
    assert (found.state, [one.image for one in found.images]) == (PASS, ["r/queue:1"])
    assert (held in found.images[0].held, bool(found.images[0].held)) == (True, bool(held))


@pytest.mark.parametrize(("group", "skips"), [("batch", True), ("*", True), ("apps", False)])
def test_what_argo_cd_ignores_of_jobs_is_told_by_their_group(group: str, skips: bool) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "x", "image": "r/migrate:1"}]}}}
    cron = {"kind": "CronJob", "metadata": {"name": "n"}, "spec": {"jobTemplate": {"spec": spec}}}
    ignoring = {"group": group, "kind": "CronJob", "jsonPointers": ["/spec/jobTemplate"]}
    given = {"templates": [cron], "application.spec.ignoreDifferences": [ignoring]}
    images = argocd.verdict(changed(ARGOCD, given), at_target).images
    assert images is not None
    assert ["/spec/jobTemplate" in one.skipped for one in images] == [skips]


def test_jobs_and_cron_jobs_are_compared_by_their_templates() -> None:
    spec = {"template": {"spec": {"containers": [{"name": "x", "image": "r/migrate:1"}]}}}
    job = {"kind": "Job", "metadata": {"name": "migrate", "namespace": "shop"}, "spec": spec}
    nightly = {"schedule": "0 3 * * *", "jobTemplate": {"spec": spec}}
    cron = {"kind": "CronJob", "metadata": {"name": "nightly", "namespace": "shop"}, "spec": nightly}
    done = {**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    found = workloads.health([done, cron], ())
    assert found.state is PASS
    assert found.images is not None
    assert [one.workload for one in found.images] == ["Job shop/migrate", "CronJob shop/nightly"]
    assert [(row.kind, row.message) for row in found.resources] == [
        ("Job", "Job shop/migrate is complete"),
        ("CronJob", "runs at 0 3 * * *"),
    ]


CHECKING = {
    f"{K}.conditions": [
        ready("Unknown", "Progressing", "Reconciliation in progress"),
        ready(
            "True", "Progressing", f"Running health checks for revision main@sha1:{TARGET} …", "Reconciling"
        ),
    ],
    f"{K}.lastAppliedRevision": f"main@sha1:{OLD}",
    f"{K}.lastAttemptedRevision": f"main@sha1:{OLD}",
}
OF_OLD = {
    **CHECKING,
    f"{K}.conditions": [
        ready("True", "Progressing", f"Running health checks for revision main@sha1:{OLD} …", "Reconciling")
    ],
}


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        (
            {
                "repository": "https://git.example.com/iac/shop",
                "source.spec.url": "ssh://git@git.example.com/iac/shop",
            },
            PASS,
            "",
        ),
        (
            {"repository": "https://git.example.com/iac/shop", "source.spec.url": "https://x/y"},
            FAIL,
            "follows https://x/y",
        ),
        ({"branch": "main", "source.spec.ref": {"branch": "main"}}, PASS, ""),
        ({"branch": "main"}, FAIL, "follows 'master'"),
        ({"branch": "main", "source.spec.ref": {"semver": ">1"}}, FAIL, "follows '>1'"),
        (
            {
                "branch": "main",
                "child": True,
                "source.spec.ref": {"tag": "v1"},
                f"{S}.artifact.revision": "v1@sha1:abc",
                f"{K}.lastAppliedRevision": "v1@sha1:abc",
            },
            PASS,
            "",
        ),
        ({**CHECKING, **crashing()}, FAIL, "CrashLoopBackOff"),
        ({**OF_OLD, **crashing()}, WAIT, "has applied"),
        ({**crashing(), "kustomization.spec.wait": False}, FAIL, "CrashLoopBackOff"),
        (
            {
                **crashing(),
                "kustomization.spec.wait": False,
                "kustomization.spec.healthChecks": [{"kind": "Deployment", "name": "other"}],
            },
            FAIL,
            "CrashLoopBackOff",
        ),
        ({"workloads": [_with(DEPLOYMENT, "spec", paused=True)]}, SUSPENDED, "is paused"),
        (
            {**crashing(), "helm-releases": release(ready("Unknown", "Progressing", "running install"))},
            FAIL,
            "CrashLoopBackOff",
        ),
    ],
)
def test_flux_and_what_is_behind_it(changes: dict[str, Any], state: State, says: str) -> None:
    found, words = judge(flux.verdict, FLUX, changes)
    assert (found, says in words) == (state, True), words


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({f"{A}.status": "unhealthy", **crashing()}, FAIL),
        (
            {
                f"{A}.status": "unhealthy",
                "workloads": [changed(STATEFUL, {"status.readyReplicas": 1})],
                "owned": [ending()],
                "now": "2026-01-01T10:01:00Z",
            },
            BLOCKED,
        ),
        ({f"{A}.status": "unhealthy", f"{A}.workflow.appRevision": OLD, **crashing()}, WAIT),
    ],
)
def test_kubevela_and_what_is_behind_it(changes: dict[str, Any], state: State) -> None:
    assert judge(kubevela.verdict, VELA, changes)[0] is state


NOW = "2026-01-01T10:01:00Z"
SINCE = {"conditions": [{**UNSCHEDULABLE[0], "lastTransitionTime": "2026-01-01T10:00:30Z"}]}
JOB = thing("Job", {}, {})
GENERATION = {"deprecated.daemonset.template.generation": "7", workloads.REVISION: TARGET}
QUOTA = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}


def labelled(item: dict[str, Any], **labels: str) -> dict[str, Any]:
    item["metadata"]["labels"] = {key.replace("_", "-"): value for key, value in labels.items()}
    return item


@pytest.mark.parametrize(
    ("item", "changes", "state", "says"),
    [
        (DEPLOYMENT, {**SHORT, "owned": [NEW, pod("new", **SINCE)], "now": NOW}, WAIT, "0/3 nodes"),
        (
            DEPLOYMENT,
            {**SHORT, "owned": [NEW, pod("new", **SINCE)], "now": "2026-01-01T10:02:00Z"},
            FAIL,
            "0/3 nodes",
        ),
        (
            DEPLOYMENT,
            {**SHORT, "objects.0.status.conditions": [{**QUOTA, "lastTransitionTime": NOW}], "now": NOW},
            WAIT,
            "quota",
        ),
        (DEPLOYMENT, {**SHORT, "objects.0.status.conditions": [QUOTA]}, FAIL, "exceeded quota"),
        (
            DEPLOYMENT,
            {
                **SHORT,
                "objects.0.status.observedGeneration": 1,
                "owned": [NEW, pod("new", "ImagePullBackOff")],
            },
            WAIT,
            "has changed",
        ),
        (JOB, {"owned": [pod("u1", phase="Failed", reason="Error")]}, WAIT, "is running"),
        (JOB, {"owned": [pod("u1", "ImagePullBackOff")]}, FAIL, "ImagePullBackOff"),
        (
            DAEMON,
            {
                "objects.0.status.numberReady": 1,
                "objects.0.metadata.annotations": GENERATION,
                "owned": [labelled(pod("u1", "CrashLoopBackOff"), pod_template_generation="6")],
            },
            WAIT,
            "1 of 3",
        ),
        (
            DAEMON,
            {
                "objects.0.status.numberReady": 1,
                "objects.0.metadata.annotations": GENERATION,
                "owned": [labelled(pod("u1", "CrashLoopBackOff"), pod_template_generation="7")],
            },
            FAIL,
            "Crash",
        ),
        (
            STATEFUL,
            {**SHORT, "owned": [labelled(pod("u1", "CrashLoopBackOff"), controller_revision_hash="a")]},
            WAIT,
            "1 of 2",
        ),
        (
            STATEFUL,
            {**SHORT, "owned": [labelled(pod("u1", "CrashLoopBackOff"), controller_revision_hash="b")]},
            FAIL,
            "Crash",
        ),
    ],
)
def test_workloads_forgive_what_mends_itself(
    item: dict[str, Any], changes: dict[str, Any], state: State, says: str
) -> None:
    found, words = judge(workloads.verdict, {"objects": [item]}, changes)
    assert (found, says in words) == (state, True), words


def test_several_applications_are_named_and_counted() -> None:
    def entry(name: str, **changes: Any) -> dict[str, Any]:
        found = copy.deepcopy(ARGOCD)
        put(found, "application.metadata.name", name)
        for path, value in changes.items():
            put(found, path.replace("__", "."), value)
        return found

    good, bad = entry("one"), entry("two", application__status__health={"status": "Degraded"})
    found = argocd.verdicts({"applications": [good, bad], "expected": 2}, at_target)
    assert (found.state, found.reason) == (FAIL, "Application argocd/two: health Degraded")
    named = ["Application argocd/one", "Application argocd/two", "Deployment shop/web"]
    assert [row.name for row in found.resources] == named
    assert (found.resources[2].state, "its health is not told" in found.resources[2].message) == (WAIT, True)
    few = argocd.verdicts({"applications": [good], "expected": 2}, at_target)
    assert (few.state, few.reason) == (WAIT, "1 of 2 applications are there")
    assert argocd.verdicts({"applications": [good, entry("two")], "expected": 2}, at_target).state is PASS
    many = [entry(f"a{number}", application__status__health={"status": "Missing"}) for number in range(30)]
    assert argocd.verdicts({"applications": many}, at_target).evidence[-1] == "and 9 more"


@pytest.mark.parametrize("server", ["https://kubernetes.default.svc", "https://far.example.com"])
def test_what_another_cluster_runs_is_told_to_be_argo_cds_word_alone(server: str) -> None:
    destination = {"server": server, "namespace": "shop"}
    spec = {**ARGOCD["application"]["spec"], "destination": destination}
    compared = {"source": spec.get("source"), "destination": destination}
    changes = {"application.spec": spec, f"{A}.sync.comparedTo": compared}
    status = changed(ARGOCD, changes)
    found = argocd.verdicts({"applications": [status]}, at_target)
    assert found.state is PASS
    told = "another cluster, which was not looked at" in "\n".join(found.evidence)
    assert told is (server == "https://far.example.com")
