"""Routers and observed rollouts against a real Kubernetes API server and its schemas.

No controller runs: what one would do, the tests write into the status.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_api import KubernetesApi

from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.spec import resolve
from pipegraft.gray.adapters.rollouts import (
    ArgoRollout,
    FlaggerCanary,
    KruiseRollout,
    RolloutOptions,
    argo_rollouts,
    flagger,
    kruise_rollout,
)
from pipegraft.gray.observed_rollout import runs_release
from pipegraft.gray.ports import RolloutPhase

pytestmark = pytest.mark.e2e

DIGEST = "sha256:" + "2" * 64
NEW, OLD = f"registry/web@{DIGEST}", "registry/web@sha256:" + "1" * 64
APP = """\
app: shop
components:
  web:
    image: registry/web@sha256:1
    ports: {http: 8080}
    entrance:
      hosts: [shop.example.com]
      gray-for: {headers: {X-Team: shop}, cookies: {beta: always}}
      affinity: {cookie: version, lifetime: 1h}
"""
GATEWAY = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: httproutes.gateway.networking.k8s.io
  annotations: {api-approved.kubernetes.io: "https://github.com/kubernetes-sigs/gateway-api/pull/1"}
spec:
  group: gateway.networking.k8s.io
  names: {kind: HTTPRoute, plural: httproutes, singular: httproute}
  scope: Namespaced
  versions: []
"""


def environment(weight: int) -> str:
    block = {
        "release": {"number": 13, "source": "b"},
        "weight": weight,
        "phase": "step",
        "components": {"web": {"image": NEW}},
    }
    return yaml.safe_dump({"namespace": "default", "release": {"number": 12, "source": "a"}, "gray": block})


def rendered(weight: int, namespace: str, router: str = "gateway-api") -> list[dict[str, Any]]:
    gateway = "\n      gateway: infra/public" if router == "gateway-api" else ""
    app = APP.replace("    entrance:", f"    entrance:\n      router: {router}{gateway}")
    text = environment(weight).replace("namespace: default", f"namespace: {namespace}")
    return render_kubernetes(resolve(app, text, "production"), "4be1")


def test_every_router_s_objects_are_taken_as_they_are_and_weights_change_in_place(
    kubernetes: KubernetesApi,
) -> None:
    namespace = kubernetes.namespace("split")
    for router in ("ingress-nginx", "gateway-api"):
        if router == "gateway-api" and not serve_http_routes(kubernetes):
            continue
        for weight in (0, 5, 50):
            objects = rendered(weight, namespace, router)
            kubernetes.apply(*objects)
            for item in objects:
                stored = yaml.safe_load(
                    kubernetes.kubectl(
                        "get", item["kind"], item["metadata"]["name"], "-n", namespace, "-o", "yaml"
                    )
                )
                if item["kind"] in ("HTTPRoute", "Ingress"):
                    assert covers(stored["spec"], item["spec"]), (stored["spec"], item["spec"])
                    assert item["metadata"].get("annotations", {}).items() <= (
                        stored["metadata"]["annotations"].items()
                    )


def covers(stored: Any, sent: Any) -> bool:
    """Whether everything that was sent is stored, whatever defaults the server added."""
    if isinstance(sent, dict):
        return all(key in stored and covers(stored[key], value) for key, value in sent.items())
    if isinstance(sent, list):
        return len(stored) == len(sent) and all(map(covers, stored, sent))
    return bool(stored == sent)


def serve_http_routes(kubernetes: KubernetesApi) -> bool:
    """Let the server know HTTPRoutes of v1 by the schema of the beta at hand; False if none is at hand."""
    import kubernetes_api

    path = kubernetes_api._SCHEMAS / "gateway-httproute-crd.yaml"
    if not path.exists():
        return False
    beta = yaml.safe_load(path.read_text())["spec"]["versions"][-1]
    definition = yaml.safe_load(GATEWAY)
    definition["spec"]["versions"] = [
        {"name": name, "served": True, "storage": name == "v1", "schema": beta["schema"]}
        for name in ("v1", "v1beta1")
    ]
    kubernetes.kubectl("delete", "crd", definition["metadata"]["name"], "--ignore-not-found")
    kubernetes.apply(definition)
    kubernetes.kubectl("wait", "--for=condition=Established", f"crd/{definition['metadata']['name']}")
    return True


def ours(workload: Any) -> bool:
    return runs_release(workload, [f"@{DIGEST}"])


def pod(image: str) -> dict[str, Any]:
    return {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": image}]},
        },
    }


def deployment(name: str, namespace: str, image: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": pod(image),
    }


def say(kubernetes: KubernetesApi, path: str, status: dict[str, Any]) -> None:
    """What a controller writes."""
    kind = "application/merge-patch+json"
    kubernetes.request("PATCH", f"{path}/status", {"status": status}, kind=kind)


def options(kubernetes: KubernetesApi, namespace: str) -> RolloutOptions:
    return RolloutOptions(name="web", namespace=namespace, kubeconfig=str(kubernetes.kubeconfig))


def test_argo_rollouts_is_observed_let_go_on_and_aborted(kubernetes: KubernetesApi) -> None:
    if "Rollout" not in kubernetes.crds:
        pytest.skip("no definition of Rollout at hand")
    namespace = kubernetes.namespace("argo")
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/web"
    steps = [{"setWeight": 5}, {"pause": {}}]
    spec = {**pod(NEW), "strategy": {"canary": {"steps": steps}}}
    item = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": spec}
    kubernetes.apply({**item, "metadata": {"name": "web", "namespace": namespace}})
    rollout = ArgoRollout(options(kubernetes, namespace), Path())
    assert argo_rollouts(rollout.observe(), ours, 0).phase is RolloutPhase.PROGRESSING
    generation = str(kubernetes.request("GET", path)["metadata"]["generation"])
    pause = {"reason": "CanaryPauseStep", "startTime": "2026-01-01T00:00:00Z"}
    paused = {"phase": "Paused", "currentStepIndex": 1, "pauseConditions": [pause], "currentPodHash": "4be1"}
    say(kubernetes, path, {"observedGeneration": generation, **paused})
    assert argo_rollouts(rollout.observe(), ours, 0).phase is RolloutPhase.PROGRESSING  # of which template?
    working = {**deployment("web-4be1", namespace, NEW), "kind": "ReplicaSet"}
    kubernetes.apply(working)
    assert argo_rollouts(rollout.observe(), ours, 0).phase is RolloutPhase.WAITING
    rollout.go_on()
    assert not kubernetes.request("GET", path)["status"].get("pauseConditions")
    rollout.abort()
    assert kubernetes.request("GET", path)["status"]["abort"] is True
    assert argo_rollouts(rollout.observe(), ours, 0).phase is RolloutPhase.FAILED


def test_flagger_is_observed_with_its_primary(kubernetes: KubernetesApi) -> None:
    if "Canary" not in kubernetes.crds:
        pytest.skip("no definition of Canary at hand")
    namespace = kubernetes.namespace("flagger")
    path = f"/apis/flagger.app/v1beta1/namespaces/{namespace}/canaries/web"
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    analysis = {"interval": "1m", "threshold": 5, "iterations": 10}
    spec = {"targetRef": reference, "service": {"port": 80}, "analysis": analysis}
    canary = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "spec": spec}
    kubernetes.apply(
        {**canary, "metadata": {"name": "web", "namespace": namespace}},
        deployment("web", namespace, NEW),
        deployment("web-primary", namespace, OLD),
    )
    rollout = FlaggerCanary(options(kubernetes, namespace), Path())
    done = {"phase": "Succeeded", "lastAppliedSpec": "1", "lastPromotedSpec": "1", "canaryWeight": 0}
    status = {**done, "failedChecks": 0, "iterations": 0, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    say(kubernetes, path, status)
    assert flagger(rollout.observe(), ours, 0).phase is RolloutPhase.PROGRESSING
    kubernetes.apply(deployment("web-primary", namespace, NEW))
    assert flagger(rollout.observe(), ours, 0).phase is RolloutPhase.PROMOTED


def test_openkruise_is_observed_and_approved(kubernetes: KubernetesApi) -> None:
    names = kubernetes.kubectl("get", "crd", "-o", "name")
    if "rollouts.rollouts.kruise.io" not in names:
        pytest.skip("no definition of OpenKruise's Rollout at hand")
    namespace = kubernetes.namespace("kruise")
    path = f"/apis/rollouts.kruise.io/v1beta1/namespaces/{namespace}/rollouts/web"
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    strategy = {"canary": {"steps": [{"traffic": "5%", "replicas": 1, "pause": {}}]}}
    item = {
        "apiVersion": "rollouts.kruise.io/v1beta1",
        "kind": "Rollout",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"workloadRef": reference, "strategy": strategy},
    }
    kubernetes.apply(item, deployment("web", namespace, NEW))
    rollout = KruiseRollout(options(kubernetes, namespace), Path())
    made = kubernetes.request("GET", path)["metadata"]["generation"]
    steps = {
        "observedWorkloadGeneration": 1,
        "currentStepIndex": 1,
        "currentStepState": "StepPaused",
        "canaryReplicas": 1,
        "canaryReadyReplicas": 1,
        "podTemplateHash": "x",
        "finalisingStep": "",
        "canaryRevision": "y",
        "nextStepIndex": 2,
    }
    present = {"currentStepIndex": 1, "currentStepState": "StepPaused"}
    seen = {"observedGeneration": made, "phase": "Progressing"}
    say(kubernetes, path, {**seen, **present, "canaryStatus": steps})
    verdict = kruise_rollout(rollout.observe(), ours, 0)
    assert (verdict.phase, verdict.weight) == (RolloutPhase.WAITING, 5)
    rollout.go_on()
    assert kubernetes.request("GET", path)["status"]["canaryStatus"]["currentStepState"] == "StepReady"
