"""Access to a real API server: restarts, kinds that are missing, the documented rights, tokens that end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from gate_scripts import (
    APP_SPEC,
    CHART,
    READY,
    SHORT,
    app_status,
    application,
    asked,
    asked_by_word,
    compared,
    condition,
    counted,
    deployment,
    fetched,
    flux_objects,
    outcome,
    pause,
    pod,
    published,
    reconciled,
    released,
    rolled,
)
from gate_world import Step, World
from harness import wait_until
from kubernetes_api import KubernetesApi

from pipegraft.core.errors import AccessDenied, UsageError
from pipegraft.gate import waiting as wait

pytestmark = pytest.mark.e2e


# The API itself


def test_the_api_server_is_restarted_meanwhile(kubernetes: KubernetesApi, world: World) -> None:
    deployment(world)

    def restart(world: World) -> None:
        kubernetes.stop()
        pause(1.0)(world)
        kubernetes.start()

    steps = [counted(**SHORT), restart, counted(reason="NewReplicaSetAvailable")]
    waited = world.gate("workloads", steps, objects=["Deployment/web"], timeout=180)
    assert outcome(waited)[0] == "succeeded"
    assert any(event.kind == "warning" for event in world.progress.events)


def test_the_api_server_is_restarted_under_a_gate_of_custom_resources(
    kubernetes: KubernetesApi, world: World
) -> None:
    """A server that starts knows custom resources and rights later than it answers: no verdict of that."""
    world.kubeconfig, _rights = granted(world, "gate-argocd.yaml")
    application(world)

    def restart(world: World) -> None:
        kubernetes.stop()
        kubernetes.start()

    steps = [asked, compared("before"), restart, pause(0.5), restart, compared("target")]
    waited = world.gate("argocd", steps, application="shop", timeout=180)
    assert outcome(waited)[0] == "succeeded", outcome(waited)


def test_a_kind_that_is_not_installed_is_told_at_once(kubernetes: KubernetesApi, world: World) -> None:
    name = "kustomizations.kustomize.toolkit.fluxcd.io"
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    definition = kubernetes.request("GET", path)
    kubernetes.kubectl("delete", "crd", name)
    try:
        waited = world.gate("flux", kustomization="shop")
        assert isinstance(waited.error, UsageError)
        assert f"has no {name} of v1" in str(waited.error)
        assert waited.seconds < 30.0
    finally:
        body = {
            "apiVersion": definition["apiVersion"],
            "kind": definition["kind"],
            "metadata": {"name": name, "annotations": definition["metadata"].get("annotations", {})},
            "spec": definition["spec"],
        }
        kubernetes.kubectl("create", "-f", "-", given=body)
        kubernetes.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{name}")


# Rights

RBAC = Path(__file__).parents[2] / "docs" / "rbac"


def granted(world: World, *files: str) -> tuple[Path, set[tuple[str, str, str]]]:
    """A kubeconfig with the rights of the documented manifests, and what those are."""
    text = "\n---\n".join((RBAC / file).read_text() for file in files)
    for placeholder in ("argocd", "flux-system", "shop", "ci"):
        text = text.replace(f"namespace: {placeholder}}}", f"namespace: {world.namespace}}}")
    manifests = [entry for entry in yaml.safe_load_all(text) if entry]
    rights = {
        (verb, group, resource)
        for entry in manifests
        for rule in entry.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    return world.api.user(world.namespace, "pipegraft-gate", *manifests), rights


def used(world: World) -> set[tuple[str, str, str]]:
    """What the gate's account did; nothing of it may have been refused."""
    found = set()
    for event in world.api.audited(f"system:serviceaccount:{world.namespace}:pipegraft-gate"):
        told = event["objectRef"]
        assert event["responseStatus"]["code"] != 403, event
        resource = "/".join(filter(None, (told["resource"], told.get("subresource"))))
        found.add((event["verb"], told.get("apiGroup", ""), resource))
    return found


def settled(world: World, rights: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """What it did once the last watch, which may be a moment behind the gate's end, was begun and told."""
    deadline = time.monotonic() + 60
    while used(world) != rights and time.monotonic() < deadline:
        time.sleep(0.05)
    return used(world)


def ran_and_crashed(world: World) -> None:
    pod("web-new", waiting="CrashLoopBackOff", restarts=4)(world)


ALL_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
GROUPS = {"Job": "batch", "CronJob": "batch"}


def test_argo_cd_needs_the_documented_rights_and_no_more(world: World, projects: None) -> None:
    world.kubeconfig, rights = granted(world, "gate-argocd.yaml", "gate-workloads.yaml")
    deployment(world)
    counted(**SHORT)(world)
    spec = {**APP_SPEC, "destination": {**APP_SPEC["destination"], "namespace": world.namespace}}  # type: ignore[dict-item]
    world.create("app", "shop", spec)
    resources = [
        {"group": GROUPS.get(kind, "apps"), "kind": kind, "namespace": world.namespace, "name": "web"}
        for kind in ALL_KINDS
    ]

    def progressing(world: World) -> None:
        status = app_status(world.target, "Synced", "Progressing", resources=resources)
        status["sync"]["comparedTo"]["destination"] = spec["destination"]
        handled = {"annotations": {"argocd.argoproj.io/refresh": None}}
        world.patch("app", "shop", {"metadata": handled, "status": status})

    waited = world.gate(
        "argocd",
        [asked, compared("target", "OutOfSync"), pause(0.5), progressing, ran_and_crashed],
        application="shop",
    )
    assert outcome(waited)[0] == "failed"
    assert settled(world, rights) == rights


def test_flux_needs_the_documented_rights_and_no_more(world: World, charts: None) -> None:
    """What failed before the gate came, Kustomization and HelmRelease, is asked for a new attempt."""
    world.kubeconfig, rights = granted(world, "gate-flux.yaml", "gate-workloads.yaml")
    flux_objects(world, wait=False)
    deployment(world)
    counted(**SHORT)(world)
    world.create("release", "web", {"chart": {"spec": CHART}, "interval": "10m"})
    world.create("release", "other", {"chartRef": {"kind": "OCIRepository", "name": "x"}, "interval": "10m"})
    entries = [
        *(
            f"{world.namespace}_web_{'batch' if kind.endswith('Job') else 'apps'}_{kind}"
            for kind in ALL_KINDS
        ),
        *(f"{world.namespace}_{name}_helm.toolkit.fluxcd.io_HelmRelease" for name in ("web", "other")),
    ]
    stalled = condition("Stalled", "True", "RetriesExceeded", "install retries exhausted")
    refused = condition("Ready", "False", "BuildFailed", "no kustomization.yaml")
    steps = [
        released(stalled, answered=False, chart=f"{world.namespace}/web"),
        reconciled("before", "target", refused, entries=entries, answered=False),
        fetched("target"),
        asked_by_word("kustomization", "shop"),
        asked_by_word("release", "web"),
        released(READY, chart=f"{world.namespace}/web"),
        reconciled("target", entries=entries),
        ran_and_crashed,
    ]
    waited = world.gate("flux", steps, kustomization="shop")
    assert outcome(waited)[0] == "failed"
    assert "CrashLoopBackOff" in outcome(waited)[1]
    assert settled(world, rights) == rights


def test_kubevela_needs_the_documented_rights_and_no_more(world: World) -> None:
    world.kubeconfig, rights = granted(world, "gate-kubevela.yaml")
    published(world, "target")
    assert outcome(world.gate("kubevela", [rolled("target")], application="shop"))[0] == "succeeded"
    assert settled(world, rights) == rights


def test_workloads_need_the_documented_rights_and_no_more(world: World) -> None:
    world.kubeconfig, rights = granted(world, "gate-workloads.yaml")
    deployment(world)
    counted(**SHORT)(world)
    objects = [f"{kind}/web" for kind in ALL_KINDS]
    waited = world.gate("workloads", [ran_and_crashed], objects=objects, timeout=2)
    assert outcome(waited)[0] == "late"  # the other four are not there
    assert settled(world, rights) == rights


@pytest.mark.parametrize(("wait", "state"), [(True, "succeeded"), (False, "AccessDenied")])
def test_rights_to_workloads_are_needed_where_nothing_else_tells_their_health(
    world: World, wait: bool, state: str
) -> None:
    world.kubeconfig, _rights = granted(world, "gate-flux.yaml")
    flux_objects(world, wait=wait)
    entries = [f"{world.namespace}_web_apps_Deployment"]
    fetched("target")(world)
    reconciled("target", entries=entries)(world)
    assert outcome(world.gate("flux", kustomization="shop"))[0] == state


# Credentials that end meanwhile


class Token:
    """A token of the account of `granted`, which is of no use once the Secret it is bound to is gone."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._secret = world.path("secret")
        self.file = world.api.folder / f"{world.namespace}.token"
        self.renew("one")

    def renew(self, name: str) -> None:
        """Put a new one into the file, which is bound to a Secret of that name."""
        world = self._world
        world.api.request("POST", self._secret, {"metadata": {"name": name}})
        bound = ("--bound-object-kind", "Secret", "--bound-object-name", name)
        words = ("create", "token", "pipegraft-gate", "--namespace", world.namespace)
        self.file.write_text(world.api.kubectl(*words, *bound))

    def revoke(self, name: str) -> None:
        """End one; the server is restarted, lest it remembers for some seconds that it was good."""
        api = self._world.api
        api.request("DELETE", f"{self._secret}/{name}")
        api.stop()
        api.start()


def refused(world: World) -> None:
    """The gate has been told that its token is of no use any more."""
    wait_until(
        lambda: any("does not accept our credentials" in event.message for event in world.progress.events),
        "the refusal",
    )


@pytest.mark.parametrize("way", ["plugin", "file"])
def test_the_gate_goes_on_with_a_token_that_is_renewed(world: World, tmp_path: Path, way: str) -> None:
    granted(world, "gate-argocd.yaml")
    application(world)
    token = Token(world)
    plugin = tmp_path / "plugin"
    answer = '{"apiVersion": "%s", "kind": "ExecCredential", "status": {"token": "%s"}}'
    version = "client.authentication.k8s.io/v1"
    plugin.write_text(f"#!/bin/sh\nprintf '{answer}' {version} \"$(cat {token.file})\"\n")
    plugin.chmod(0o755)
    run = {"apiVersion": version, "command": str(plugin), "interactiveMode": "Never"}
    user = {"exec": run} if way == "plugin" else {"tokenFile": str(token.file)}
    world.kubeconfig = world.api.write_kubeconfig(f"{world.namespace}-{way}", user, world.namespace)
    steps: list[Step] = [
        asked,
        compared("before"),
        lambda _world: token.revoke("one"),
        refused,
        lambda _world: token.renew("two"),
        compared("target"),
    ]
    waited = world.gate("argocd", steps, application="shop", timeout=180)
    assert outcome(waited)[0] == "succeeded", outcome(waited)


def test_a_token_that_ends_for_good_ends_the_gate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before its timeout, once the refusal has lasted longer than the start of a server may take."""
    monkeypatch.setattr(wait, "_DENIED_LATER", 3.0)
    granted(world, "gate-argocd.yaml")
    application(world)
    token = Token(world)
    user = {"token": token.file.read_text().strip()}
    world.kubeconfig = world.api.write_kubeconfig(f"{world.namespace}-token", user, world.namespace)
    steps: list[Step] = [asked, compared("before"), lambda _world: token.revoke("one"), compared("target")]
    waited = world.gate("argocd", steps, application="shop", timeout=300)
    assert isinstance(waited.error, AccessDenied)
    assert "does not accept our credentials" in str(waited.error)
    assert user["token"] not in outcome(waited)[1]
    assert waited.seconds < 180
