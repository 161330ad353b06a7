"""The API server that the other end-to-end tests rely on does what a cluster's would."""

from __future__ import annotations

import pytest
from kubernetes_api import KubernetesApi

pytestmark = pytest.mark.e2e

READER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "reader"},
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
}


def test_a_user_may_do_what_its_role_says_and_is_audited(kubernetes: KubernetesApi) -> None:
    namespace = kubernetes.namespace()
    role = {**READER, "metadata": {"name": "reader", "namespace": namespace}}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "ci", "namespace": namespace}],
    }
    config = kubernetes.user(namespace, "ci", role, binding)
    kubernetes.kubectl("create", "configmap", "seen", "--namespace", namespace)
    kubernetes.kubectl("get", "configmap", "seen", kubeconfig=config)
    refused = kubernetes.kubectl_process("get", "pods", kubeconfig=config)
    assert "cannot list resource" in refused.stderr
    verbs = {
        (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
        for event in kubernetes.audited(f"system:serviceaccount:{namespace}:ci")
        if "objectRef" in event
    }
    assert verbs == {("get", "configmaps", 200), ("list", "pods", 403)}


def test_objects_outlive_a_restart(kubernetes: KubernetesApi) -> None:
    namespace = kubernetes.namespace()
    kubernetes.kubectl("create", "configmap", "kept", "--namespace", namespace)
    kubernetes.stop()
    kubernetes.start()
    assert "kept" in kubernetes.kubectl("get", "configmaps", "--namespace", namespace)


def test_the_engines_kinds_are_known(kubernetes: KubernetesApi) -> None:
    if not kubernetes.crds:
        pytest.skip("no schemas here (PIPEGRAFT_SCHEMAS)")
    namespace = kubernetes.namespace()
    application = {
        "apiVersion": "core.oam.dev/v1beta1",
        "kind": "Application",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {"components": []},
    }
    kubernetes.apply(application)
    assert "shop" in kubernetes.kubectl("get", "applications.core.oam.dev", "--namespace", namespace)
