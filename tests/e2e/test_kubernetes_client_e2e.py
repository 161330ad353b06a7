"""The Kubernetes client against a real API server: rights, expiry, restarts, watches."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import wait_until
from kubernetes_api import ADMIN, KubernetesApi

from pipegraft.core.errors import AccessDenied, Locked, PipegraftError, Unreachable, UsageError
from pipegraft.kubernetes.adapters.cluster import Cluster
from pipegraft.kubernetes.model import CONFIG_MAP, DEPLOYMENT, POD, ClusterOptions, Kind

pytestmark = pytest.mark.e2e

UNKNOWN = Kind("example.com", "v1", "Widget", "widgets")


@pytest.fixture
def namespace(kubernetes: KubernetesApi) -> str:
    return kubernetes.namespace("client")


@pytest.fixture
def cluster(kubernetes: KubernetesApi) -> Iterator[Cluster]:
    yield from opened(kubernetes.kubeconfig)


def opened(kubeconfig: Path) -> Iterator[Cluster]:
    cluster = Cluster(ClusterOptions(kubeconfig=str(kubeconfig)), Path())
    yield cluster
    cluster.close()


def config_map(namespace: str, name: str = "one", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "data": data,
    }


def test_objects_come_back_as_they_are(cluster: Cluster, namespace: str) -> None:
    applied = cluster.apply(config_map(namespace, count="1"), CONFIG_MAP, manager="tester")
    found = cluster.get(CONFIG_MAP, "one", namespace)
    assert found == applied
    assert json.loads(json.dumps(found))["data"] == {"count": "1"}
    assert cluster.get(CONFIG_MAP, "none", namespace) is None
    cluster.merge(CONFIG_MAP, "one", {"data": {"more": "2"}}, namespace)
    cluster.apply(config_map(namespace, "two"), CONFIG_MAP, manager="tester")
    named = cluster.find(CONFIG_MAP, namespace, {"app": "one"})
    assert [item["data"] for item in named] == [{"count": "1", "more": "2"}]
    cluster.delete(CONFIG_MAP, "one", namespace)
    cluster.delete(CONFIG_MAP, "one", namespace)
    assert [item["metadata"]["name"] for item in cluster.find(CONFIG_MAP, namespace)] == ["two"]


def test_fields_of_another_manager_are_taken_by_force_only(cluster: Cluster, namespace: str) -> None:
    cluster.apply(config_map(namespace, count="1"), CONFIG_MAP, manager="first")
    with pytest.raises(Locked, match="first"):
        cluster.apply(config_map(namespace, count="2"), CONFIG_MAP, manager="second", force=False)
    cluster.apply(config_map(namespace, count="2"), CONFIG_MAP, manager="second")
    found = cluster.get(CONFIG_MAP, "one", namespace)
    assert found
    assert found["data"] == {"count": "2"}


def test_what_the_api_finds_invalid_is_told(cluster: Cluster, namespace: str) -> None:
    wrong = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "c"}}}},
    }
    with pytest.raises(UsageError, match=r"refused with 422.*spec\.template\.metadata\.labels"):
        cluster.apply(wrong, DEPLOYMENT, manager="tester", dry_run=True)


def test_a_kind_without_definition_is_named(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(UsageError, match=r"has no widgets\.example\.com of v1"):
        cluster.watched(UNKNOWN, namespace).objects()
    with pytest.raises(UsageError, match=r"has no widgets\.example\.com of v1"):
        cluster.get(UNKNOWN, "one", namespace)


def test_a_watch_tells_what_happens(cluster: Cluster, kubernetes: KubernetesApi, namespace: str) -> None:
    watched = cluster.watched(CONFIG_MAP, namespace)
    assert watched is cluster.watched(CONFIG_MAP, namespace)
    assert watched.objects() == {}
    told: list[float] = []
    watched.listen(lambda: told.append(time.monotonic()))
    kubernetes.apply(config_map(namespace, count="1"))
    wait_until(lambda: (namespace, "one") in watched.objects(), "the new object")
    kubernetes.kubectl("delete", "configmap", "one", "--namespace", namespace)
    wait_until(lambda: not watched.objects(), "its end")
    assert len(told) == 2


def test_a_watch_goes_on_after_the_server_was_away(
    cluster: Cluster, kubernetes: KubernetesApi, namespace: str
) -> None:
    watched = cluster.watched(CONFIG_MAP, namespace)
    kubernetes.apply(config_map(namespace, count="1"))
    watched.objects()
    kubernetes.stop()

    def is_told() -> bool:
        try:
            watched.objects()
        except Unreachable:
            return True
        return False

    wait_until(is_told, "that nothing is known while the server is away")
    kubernetes.start()
    kubernetes.apply(config_map(namespace, count="2"))

    def is_back() -> bool:
        try:
            found: Any = watched.objects()
        except PipegraftError:
            return False
        return bool(found[namespace, "one"]["data"]["count"] == "2")

    wait_until(is_back, "the change after the restart")


def test_a_missing_right_is_named(kubernetes: KubernetesApi, namespace: str) -> None:
    for cluster in opened(kubernetes.user(namespace, "nobody")):
        with pytest.raises(AccessDenied, match='cannot list resource "pods"'):
            cluster.watched(POD, namespace).objects()


def test_a_token_that_ends_is_renewed_by_its_plugin(
    kubernetes: KubernetesApi, namespace: str, tmp_path: Path
) -> None:
    """The first token is of no use, as one that has expired; the plugin is asked again."""
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"""#!/bin/sh
echo "$KUBERNETES_EXEC_INFO" >> {tmp_path}/asked
token=expired
[ "$(wc -l < {tmp_path}/asked)" -gt 1 ] && token={ADMIN}
echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
  "status": {{"token": "'$token'"}}}}'
"""
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "provideClusterInfo": True,
            "interactiveMode": "Never",
        }
    }
    for cluster in opened(kubernetes.write_kubeconfig("plugin", user, namespace)):
        assert cluster.find(CONFIG_MAP) == []
        assert cluster.find(CONFIG_MAP) == []
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert [entry["spec"]["cluster"]["server"] for entry in asked] == [kubernetes.url] * 2


def test_a_token_file_that_is_replaced_is_read_again(
    kubernetes: KubernetesApi, namespace: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("expired")
    config = kubernetes.write_kubeconfig("file", {"tokenFile": str(token)}, namespace)
    for cluster in opened(config):
        with pytest.raises(AccessDenied, match="does not accept our credentials"):
            cluster.find(CONFIG_MAP)
        token.write_text(ADMIN + "\n")
        assert cluster.find(CONFIG_MAP) == []


def test_a_client_certificate_proves_who_we_are(kubernetes: KubernetesApi, namespace: str) -> None:
    for cluster in opened(kubernetes.certificate_user("ada", "system:masters")):
        assert cluster.find(CONFIG_MAP, namespace) == []
    for cluster in opened(kubernetes.certificate_user("eve", "nobodies")):
        with pytest.raises(AccessDenied, match='User "eve" cannot list'):
            cluster.find(CONFIG_MAP, namespace)


@pytest.mark.parametrize(
    ("change", "works"),
    [
        ({"tls-server-name": "kubernetes.default.svc"}, True),
        ({"tls-server-name": "other.example.com"}, False),
        ({"certificate-authority": ""}, False),
        ({"certificate-authority": "", "insecure-skip-tls-verify": True}, True),
    ],
)
def test_the_servers_certificate_is_checked(
    kubernetes: KubernetesApi, namespace: str, change: dict[str, Any], works: bool
) -> None:
    file = kubernetes.write_kubeconfig("changed", {"token": ADMIN}, namespace)
    config = yaml.safe_load(file.read_text())
    config["clusters"][0]["cluster"] |= change
    file.write_text(yaml.safe_dump(config))
    for cluster in opened(file):
        if works:
            assert cluster.find(CONFIG_MAP) == []
        else:
            with pytest.raises(UsageError, match="is not trusted"):
                cluster.find(CONFIG_MAP)
