"""The gate against a real API server: every engine's statuses, played by a scripted controller."""

from __future__ import annotations

import pytest
from gate_scripts import (
    APP_SPEC,
    CHART,
    HOOK,
    PAST,
    READY,
    SHORT,
    app_status,
    application,
    asked,
    asked_for,
    compared,
    condition,
    counted,
    deployment,
    failed_step,
    fetched,
    flux_objects,
    operation,
    outcome,
    pause,
    pod,
    published,
    quota,
    reconciled,
    released,
    rolled,
    unschedulable,
    working,
)
from gate_world import Step, World
from kubernetes_api import KubernetesApi

from pipegraft.core.errors import AccessDenied, PipegraftError, UsageError

pytestmark = pytest.mark.e2e


# Argo CD


LONG = 30.0
"""Seconds a gate takes at most that waits for nothing but the controller's script; half of its patience."""


def patience(state: str) -> float:
    """Seconds to give a gate: few only if it is to end for want of them."""
    return 1.5 if state == "late" else 2 * LONG


ARGO_CD: dict[str, tuple[list[Step], str, str]] = {
    "target live": ([compared("before"), compared("target")], "succeeded", "Synced and Healthy"),
    "old revision still healthy": ([compared("before")], "late", "has compared"),
    "newer commit synced": ([compared("before"), compared("after")], "succeeded", ""),
    "commit without a diff": ([compared("target")], "succeeded", ""),
    "hook fails": (
        [
            working(
                "target", operation("Failed", "target", "one or more synchronization tasks failed", [HOOK])
            )
        ],
        "failed",
        "Job shop/migrate: BackoffLimitExceeded",
    ),
    "an older sync failed": (
        [working("before", operation("Failed", "before", "quota")), compared("target")],
        "succeeded",
        "",
    ),
    "degraded": ([compared("target", "Synced", "Degraded")], "failed", "health Degraded"),
    "degraded before ours": (
        [compared("before", "Synced", "Degraded"), pause(0.2), compared("target")],
        "succeeded",
        "",
    ),
    "suspended": ([compared("target", "Synced", "Suspended")], "suspended", "Suspended"),
    "comparison error": (
        [
            compared(
                "target",
                "Unknown",
                "Healthy",
                conditions=[{"type": "ComparisonError", "message": "app path does not exist"}],
            )
        ],
        "failed",
        "app path does not exist",
    ),
    "flapping": (
        [compared("target"), compared("target", "OutOfSync"), pause(0.3), compared("target")],
        "succeeded",
        "",
    ),
    "never comes": ([compared("target", "OutOfSync", "Missing")], "late", "OutOfSync"),
}


@pytest.mark.parametrize("name", ARGO_CD)
def test_argo_cd(world: World, name: str) -> None:
    application(world)
    steps, state, says = ARGO_CD[name]
    waited = world.gate(
        "argocd",
        [asked, *steps],
        application="shop",
        timeout=patience(state),
        settle=0.4 if name == "flapping" else 0.0,
    )
    assert (outcome(waited)[0], says in outcome(waited)[1]) == (state, True), outcome(waited)
    assert waited.seconds < LONG


def test_argo_cd_is_asked_to_look_and_a_stale_status_does_not_count(world: World) -> None:
    """The annotation is there until Argo CD has compared, so what stands beside it is older than it."""
    application(world)
    compared("target")(world)
    waited = world.gate("argocd", [pause(0.5)], application="shop", timeout=0.8)
    assert outcome(waited)[0] == "late"
    found = world.api.request("GET", world.path("app", "shop"))
    assert found["metadata"]["annotations"] == {"argocd.argoproj.io/refresh": "normal"}


def test_argo_cd_with_automation_off_is_told_at_once(world: World) -> None:
    world.create("app", "shop", {**APP_SPEC, "syncPolicy": {}})
    waited = world.gate("argocd", [asked, compared("target", "OutOfSync")], application="shop")
    assert outcome(waited)[0] == "blocked"
    assert "automated sync is off" in outcome(waited)[1]
    assert waited.seconds < LONG


def test_argo_cd_with_a_closed_sync_window_is_told_at_once(world: World, projects: None) -> None:
    always = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}
    world.create("project", "default", {"syncWindows": [always]})
    application(world)
    waited = world.gate("argocd", [asked, compared("target", "OutOfSync")], application="shop")
    assert outcome(waited)[0] == "blocked"
    assert "sync window" in outcome(waited)[1]
    assert waited.seconds < LONG


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            {"repoURL": "https://git.example.com/other.git"},
            "no source of the Application is the IaC repository",
        ),
        ({"targetRevision": "v1.2"}, "follows 'v1.2', not the branch 'main'"),
    ],
)
def test_argo_cd_of_another_cluster_or_branch_is_told_at_once(
    world: World, source: dict[str, str], says: str
) -> None:
    world.create("app", "shop", {**APP_SPEC, "source": {**APP_SPEC["source"], **source}})  # type: ignore[dict-item]
    waited = world.gate("argocd", application="shop")
    assert outcome(waited)[0] == "failed"
    assert says in outcome(waited)[1]
    assert waited.seconds < LONG


def test_a_wrong_name_is_told_at_once_with_the_right_one(world: World) -> None:
    application(world)
    waited = world.gate("argocd", application="shp")
    assert isinstance(waited.error, UsageError)
    assert "did you mean 'shop'?" in str(waited.error)
    assert waited.seconds < LONG


def test_several_applications_need_the_expected_count(world: World) -> None:
    """The third one of an ApplicationSet is made while the gate waits already, and asked to look then."""
    labels = {"team": "shop"}
    for name in ("one", "two"):
        application(world, name, labels=labels)
        compared("target", name=name)(world)

    def third(world: World) -> None:
        application(world, "three", labels=labels)

    handled = [step for name in ("one", "two") for step in (asked_for(name), compared("target", name=name))]
    early = world.gate("argocd", handled, selector=labels, expect=3, timeout=1.0)
    assert outcome(early)[0] == "late"
    assert "2 of 3 applications are there" in outcome(early)[1]
    handled += [third, asked_for("three"), compared("target", name="three")]
    waited = world.gate("argocd", handled, selector=labels, expect=3)
    assert outcome(waited)[0] == "succeeded", outcome(waited)


def test_children_of_an_app_of_apps_count(world: World) -> None:
    application(world)
    application(world, "child")
    child = {
        "group": "argoproj.io",
        "version": "v1alpha1",
        "kind": "Application",
        "namespace": world.namespace,
        "name": "child",
        "status": "Synced",
    }
    compared("target", "Synced", "Degraded", name="child")(world)
    steps = [asked, compared("target", resources=[child])]
    alone = world.gate("argocd", steps, application="shop")
    assert outcome(alone)[0] == "succeeded", outcome(alone)
    steps += [asked_for("child"), compared("target", "Synced", "Degraded", name="child")]
    waited = world.gate("argocd", steps, application="shop", children=True)
    assert outcome(waited)[0] == "failed"
    assert "child: health Degraded" in outcome(waited)[1]


def test_missing_rights_end_the_gate_at_once_and_name_the_right(
    kubernetes: KubernetesApi, world: World
) -> None:
    world.kubeconfig = kubernetes.user(world.namespace, "nobody")
    waited = world.gate("argocd", application="shop")
    assert isinstance(waited.error, AccessDenied)
    assert 'cannot list resource "applications" in API group "argoproj.io"' in str(waited.error)
    assert waited.seconds < LONG


def test_a_deleted_application_is_told(world: World) -> None:
    application(world)
    waited = world.gate("argocd", [pause(0.3), lambda world: world.delete("app", "shop")], application="shop")
    assert isinstance(waited.error, PipegraftError)
    assert "no Application 'shop'" in str(waited.error)


# Workloads and their pods, behind an engine and by themselves


WORKLOADS: dict[str, tuple[list[Step], str, str]] = {
    "ready": (
        [counted(**SHORT), counted(reason="NewReplicaSetAvailable")],
        "succeeded",
        "1 workloads are ready",
    ),
    "status of the spec before": ([counted(0, reason="NewReplicaSetAvailable")], "late", "has changed"),
    "rollout over its deadline": (
        [counted(reason="ProgressDeadlineExceeded", **SHORT)],
        "failed",
        "Deadline",
    ),
    "crash loop": (
        [counted(**SHORT), pod("web-new", waiting="CrashLoopBackOff", restarts=3)],
        "failed",
        "exit status 3",
    ),
    "a first crash": (
        [counted(**SHORT), pod("web-new", waiting="CrashLoopBackOff", restarts=1)],
        "late",
        "CrashLoopBackOff",
    ),
    "crash loop of the version before": (
        [counted(**SHORT), pod("web-old", waiting="CrashLoopBackOff", restarts=9)],
        "late",
        "1 of 2 ready",
    ),
    "crash loop before the controller looked": (
        [counted(0, **SHORT), pod("web-new", waiting="CrashLoopBackOff", restarts=9)],
        "late",
        "has changed",
    ),
    "image cannot be pulled": (
        [counted(**SHORT), pod("web-new", waiting="ImagePullBackOff")],
        "failed",
        "ImagePullBackOff",
    ),
    "first attempt to pull": (
        [counted(**SHORT), pod("web-new", waiting="ErrImagePull")],
        "late",
        "ErrImagePull",
    ),
    "no node for long": (
        [counted(**SHORT), unschedulable(PAST)],
        "failed",
        "Insufficient cpu",
    ),
    "no node yet": (
        [counted(**SHORT), unschedulable()],
        "late",
        "Insufficient cpu",
    ),
    "quota used up for long": ([quota(PAST)], "failed", "exceeded quota"),
    "quota used up for a moment": ([quota()], "late", "exceeded quota"),
    "evicted": (
        [counted(**SHORT), pod("web-new", phase="Failed", reason="Evicted", message="disk")],
        "late",
        "Evicted",
    ),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads(world: World, name: str) -> None:
    deployment(world)
    steps, state, says = WORKLOADS[name]
    waited = world.gate("workloads", steps, objects=["Deployment/web"], timeout=patience(state))
    assert (outcome(waited)[0], says in outcome(waited)[1]) == (state, True), outcome(waited)
    assert waited.seconds < LONG


def test_a_workload_that_is_not_there_is_named_with_its_namespace(world: World) -> None:
    """A wrong name or namespace, or one that nobody has applied yet: only the person can tell."""
    deployment(world)
    waited = world.gate("workloads", objects=["Deployment/web", "Deployment/wbe"], timeout=0.5)
    assert outcome(waited)[0] == "late"
    said = f"1 of 2 workloads are there; there is no Deployment {world.namespace}/wbe"
    assert said in outcome(waited)[1]


def test_events_are_told_with_the_failure(world: World) -> None:
    deployment(world)
    event = {
        "metadata": {"name": "web-1.1", "namespace": world.namespace},
        "involvedObject": {"kind": "Pod", "name": "web-1", "namespace": world.namespace},
        "type": "Warning",
        "reason": "Failed",
        "message": 'Failed to pull image "web": not found',
    }
    world.api.request("POST", f"/api/v1/namespaces/{world.namespace}/events", event)
    steps = [counted(**SHORT), pod("web-new", waiting="ImagePullBackOff")]
    waited = world.gate("workloads", steps, objects=["Deployment/web"])
    assert 'event of Pod web-1: Failed: Failed to pull image "web": not found' in outcome(waited)[1]


def test_argo_cd_calls_it_progress_while_the_pods_show_a_failure(world: World) -> None:
    deployment(world)
    spec = {**APP_SPEC, "destination": {**APP_SPEC["destination"], "namespace": world.namespace}}  # type: ignore[dict-item]
    world.create("app", "shop", spec)
    web = {
        "group": "apps",
        "kind": "Deployment",
        "namespace": world.namespace,
        "name": "web",
        "status": "Synced",
    }

    def progressing(world: World) -> None:
        status = app_status(world.target, "Synced", "Progressing", resources=[web])
        status["sync"]["comparedTo"]["destination"] = spec["destination"]
        handled = {"annotations": {"argocd.argoproj.io/refresh": None}}
        world.patch("app", "shop", {"metadata": handled, "status": status})

    counted(**SHORT)(world)
    steps = [asked, progressing, pod("web-new", waiting="CrashLoopBackOff", restarts=4)]
    waited = world.gate("argocd", steps, application="shop")
    assert outcome(waited)[0] == "failed"
    assert "Deployment" in outcome(waited)[1]
    assert "CrashLoopBackOff" in outcome(waited)[1]
    assert waited.seconds < LONG


# Flux


UNREADY = condition("Ready", "False", "HealthCheckFailed", "timeout waiting for: Deployment/shop/web")
RETRYING = condition("Reconciling", "True", "ProgressingWithRetry", "again")

FLUX: dict[str, tuple[list[Step], str, str]] = {
    "target live": (
        [fetched("before"), reconciled("before"), fetched("target"), reconciled("target")],
        "succeeded",
        "",
    ),
    "newer commit": ([fetched("after"), reconciled("after")], "succeeded", ""),
    "old revision still ready": ([fetched("before"), reconciled("before")], "late", "has fetched"),
    "fetched and not applied": ([fetched("target"), reconciled("before")], "late", "has applied"),
    "health check fails and is retried for ever": (
        [fetched("target"), reconciled("before", "target", UNREADY, RETRYING)],
        "failed",
        "HealthCheckFailed",
    ),
    "the attempt before failed": (
        [fetched("target"), reconciled("before", "before", UNREADY, RETRYING)],
        "late",
        "has applied",
    ),
    "build fails": (
        [
            fetched("target"),
            reconciled(
                "before", "target", condition("Ready", "False", "BuildFailed", "no kustomization.yaml")
            ),
        ],
        "failed",
        "no kustomization.yaml",
    ),
    "a dependency is not ready": (
        [
            fetched("target"),
            reconciled("before", "target", condition("Ready", "False", "DependencyNotReady", "db")),
        ],
        "late",
        "DependencyNotReady",
    ),
    "stalled": (
        [
            fetched("target"),
            reconciled("before", "before", condition("Stalled", "True", "InvalidPath", "no such path")),
        ],
        "failed",
        "no such path",
    ),
    "fetching fails for long": (
        [
            fetched(
                "before", condition("FetchFailed", "True", "GitOperationFailed", "authentication required")
            )
        ],
        "failed",
        "authentication required",
    ),
    "stale status of the source": (
        [fetched("target", generation=0), reconciled("target")],
        "late",
        "not looked at since",
    ),
    "stale status": ([fetched("target"), reconciled("target", generation=0)], "late", "not looked at since"),
}


@pytest.mark.parametrize("name", FLUX)
def test_flux(world: World, name: str) -> None:
    flux_objects(world)
    steps, state, says = FLUX[name]
    waited = world.gate("flux", steps, kustomization="shop", timeout=patience(state))
    assert (outcome(waited)[0], says in outcome(waited)[1]) == (state, True), outcome(waited)
    assert waited.seconds < LONG
    source = world.api.request("GET", world.path("source", "shop"))
    assert "reconcile.fluxcd.io/requestedAt" in source["metadata"]["annotations"]


def test_flux_suspended_is_told_at_once(world: World) -> None:
    flux_objects(world, suspend=True)
    waited = world.gate("flux", [fetched("target")], kustomization="shop")
    assert outcome(waited)[0] == "blocked"
    assert "Kustomization" in outcome(waited)[1]
    assert waited.seconds < LONG


def test_flux_without_health_checks_looks_at_the_workloads(world: World) -> None:
    """Ready means applied only: the gate finds the crash loop, or the readiness, behind it."""
    flux_objects(world, wait=False)
    deployment(world)
    entries = [f"{world.namespace}_web_apps_Deployment"]
    steps = [fetched("target"), reconciled("target", entries=entries), counted(**SHORT)]
    waited = world.gate("flux", steps, kustomization="shop", timeout=1.5)
    assert outcome(waited)[0] == "late"
    assert "1 of 2 ready" in outcome(waited)[1]
    steps = [counted(reason="NewReplicaSetAvailable")]
    assert outcome(world.gate("flux", steps, kustomization="shop"))[0] == "succeeded"


def test_flux_waits_for_the_helm_releases_it_declares(world: World) -> None:
    flux_objects(world)
    world.create("release", "web", {"chart": {"spec": CHART}, "interval": "10m"})
    stalled = condition("Stalled", "True", "RetriesExceeded", "install retries exhausted")
    entries = [f"{world.namespace}_web_helm.toolkit.fluxcd.io_HelmRelease"]
    steps = [fetched("target"), reconciled("target", entries=entries), released(stalled)]
    waited = world.gate("flux", steps, kustomization="shop")
    assert outcome(waited)[0] == "failed"
    assert "install retries exhausted" in outcome(waited)[1]
    released(READY)(world)
    assert outcome(world.gate("flux", kustomization="shop"))[0] == "succeeded"


# KubeVela


KUBEVELA: dict[str, tuple[list[Step], str, str]] = {
    "target live": ([rolled("before"), rolled("target")], "succeeded", "every service is healthy"),
    "still at the version before": ([rolled("before")], "late", "still at version"),
    "running the workflow": ([rolled("target", "runningWorkflow")], "late", "runningWorkflow"),
    "unhealthy": ([rolled("target", "unhealthy", healthy=False)], "late", "Ready:1/2"),
    "suspended": ([rolled("target", "workflowSuspending", suspend=True)], "suspended", "suspended"),
    "workflow failed": ([failed_step], "failed", "step web failed: no such image"),
    "workflow of the version before failed": (
        [rolled("before", "workflowFailed"), rolled("target")],
        "succeeded",
        "",
    ),
}


@pytest.mark.parametrize("name", KUBEVELA)
def test_kubevela(world: World, name: str) -> None:
    published(world, "target")
    steps, state, says = KUBEVELA[name]
    waited = world.gate("kubevela", steps, application="shop", timeout=patience(state))
    assert (outcome(waited)[0], says in outcome(waited)[1]) == (state, True), outcome(waited)
    assert waited.seconds < LONG


@pytest.mark.parametrize(("revision", "state"), [("before", "late"), ("after", "succeeded")])
def test_kubevela_by_published_version(world: World, revision: str, state: str) -> None:
    published(world, revision)
    waited = world.gate("kubevela", [rolled(revision)], application="shop", timeout=patience(state))
    assert outcome(waited)[0] == state
