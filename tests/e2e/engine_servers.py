"""Flux, Argo CD and Argo Rollouts on a real cluster, built from their own source, on the loopback."""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cluster import LISTS
from harness import free_port, listens, missing, need, run, server, wait_until
from kubernetes_api import KubernetesApi

__all__ = ["ArgoCdServer", "running_argocd", "running_flux", "running_rollouts"]

_HERE = Path(__file__).parent
_ACCOUNT = "ci"


def programs(module: str, *names: str) -> list[Path]:
    """Programs of a module that `make engines` has built, and the folder of their definitions last."""
    folder = Path(run(_HERE / module / "folder").strip())
    found = [folder / name for name in names]
    absent = [file.name for file in found if not file.exists()]
    if absent:
        missing(*absent)
    return [*found, folder / "crds"]


def install_definitions(api: KubernetesApi, folder: Path) -> None:
    """Apply every custom resource definition of a folder."""
    files = [word for file in sorted(folder.glob("*.yaml")) for word in ("-f", str(file))]
    api.kubectl("apply", "--server-side", "--force-conflicts", *files)
    waiting = ("wait", "--for=condition=Established", "--timeout=60s", *files)
    wait_until(lambda: api.kubectl_process(*waiting).returncode == 0, f"{folder} to be served")


@contextmanager
def running_flux(folder: Path, api: KubernetesApi) -> Iterator[None]:
    """source-controller, kustomize-controller and helm-controller."""
    source, kustomize, crds = programs("flux", "source-controller", "kustomize-controller")
    helm, helm_crds = programs("helm-controller", "helm-controller")
    for definitions in (crds, helm_crds):
        install_definitions(api, definitions)
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}})
    storage = f"127.0.0.1:{free_port()}"
    variables = {
        **LISTS,
        "KUBECONFIG": str(api.kubeconfig),
        "RUNTIME_NAMESPACE": "flux-system",
        "TMPDIR": str(folder),
    }
    with ExitStack() as running:
        for program, options in (
            (
                source,
                [f"--storage-path={folder}", f"--storage-addr={storage}", f"--storage-adv-addr={storage}"],
            ),
            (kustomize, ["--requeue-dependency=2s"]),
            (helm, ["--requeue-dependency=2s"]),
        ):
            health = free_port()
            command = [
                str(program), *options, "--metrics-addr=0", f"--health-addr=127.0.0.1:{health}",
                "--watch-all-namespaces=true", "--log-level=info",
            ]  # fmt: skip
            log = folder / f"{program.name}.log"
            running.enter_context(server(command, log, lambda port=health: listens(port), **variables))
        yield


@contextmanager
def running_rollouts(folder: Path, api: KubernetesApi) -> Iterator[None]:
    """The controller of Argo Rollouts."""
    program, crds = programs("argo-rollouts", "rollouts-controller")
    install_definitions(api, crds)
    health = free_port()
    command = [
        str(program), f"--kubeconfig={api.kubeconfig}", "--leader-elect=false",
        f"--healthzPort={health}", f"--metricsPort={free_port()}",
    ]  # fmt: skip
    log = folder / "rollouts-controller.log"
    with server(command, log, lambda: listens(health), **LISTS):
        yield


@dataclass(frozen=True)
class ArgoCdServer:
    """A running Argo CD.

    Arguments:
        url: of its own API.
        token: of an account that may read and sync everything.
        program: argocd, for its command line.
    """

    url: str
    token: str
    program: Path


@contextmanager
def running_argocd(
    folder: Path, api: KubernetesApi, namespaces: str = "argocd,teams"
) -> Iterator[ArgoCdServer]:
    """The controllers of Applications and of ApplicationSets, the repo server, the API server, and redis.

    Arguments:
        namespaces: in which Applications may live.
    """
    need("redis-server", "git")
    program, crds = programs("argocd", "cmd")
    helm, _ = programs("manifests", "helm")
    install_definitions(api, crds)
    api.apply(*_settings(namespaces.split(",")))
    (folder / ".kube").mkdir()
    (folder / ".kube" / "config").write_bytes(api.kubeconfig.read_bytes())
    for name in ("tls", "ssh", "tmp", "bin"):
        (folder / name).mkdir()
    verify = folder / "bin" / "git-verify-wrapper.sh"  # Argo CD's image has one; our commits are not signed
    verify.write_text('#!/bin/sh\ngit verify-commit "$1" 2>&1 || true\n')
    verify.chmod(0o755)
    redis, repo, url = free_port(), free_port(), free_port()
    variables = {
        **LISTS,
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_TLS_DATA_PATH": str(folder / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(folder / "ssh"),
        "ARGOCD_CONTROLLER_REPLICAS": "1",
        "POD_NAMESPACE": "argocd",
        "REDIS_PASSWORD": "",
        "PATH": f"{folder}/bin:{helm.parent}:{os.environ['PATH']}",
    }
    cache, repository = f"--redis=127.0.0.1:{redis}", f"--repo-server=127.0.0.1:{repo}"
    access = [f"--kubeconfig={api.kubeconfig}", "--namespace=argocd"]
    parts = {
        "argocd-repo-server": (
            repo,
            [
                cache, f"--port={repo}", "--address=127.0.0.1", "--metrics-address=127.0.0.1",
                f"--metrics-port={free_port()}", "--disable-tls", "--client-ca-path=",
                "--revision-cache-expiration=10s",
            ],
        ),
        "argocd-application-controller": (
            None,
            [
                *access, cache, repository, "--repo-server-plaintext", f"--metrics-port={free_port()}",
                f"--application-namespaces={namespaces}",
            ],
        ),
        "argocd-applicationset-controller": (
            None,
            [
                *access, f"--argocd-repo-server=127.0.0.1:{repo}", "--repo-server-plaintext",
                f"--metrics-addr=127.0.0.1:{free_port()}", f"--probe-addr=127.0.0.1:{free_port()}",
                f"--webhook-addr=127.0.0.1:{free_port()}", "--enable-progressive-syncs",
            ],
        ),
        "argocd-server": (
            url,
            [
                *access, cache, repository, "--repo-server-plaintext", f"--port={url}", "--address=127.0.0.1",
                "--metrics-address=127.0.0.1", f"--metrics-port={free_port()}", "--insecure",
                f"--application-namespaces={namespaces}",
            ],
        ),
    }  # fmt: skip
    with ExitStack() as running:
        data = [
            "redis-server",
            "--port",
            str(redis),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        running.enter_context(server(data, folder / "redis.log", lambda: listens(redis)))
        for name, (port, options) in parts.items():
            ready = (lambda port=port: listens(port)) if port else (lambda: True)
            command, log = [str(program), *options], folder / f"{name}.log"
            running.enter_context(server(command, log, ready, **variables, ARGOCD_BINARY_NAME=name))
        yield ArgoCdServer(f"http://127.0.0.1:{url}", _token(api, f"http://127.0.0.1:{url}"), program)


def _settings(namespaces: list[str]) -> list[Mapping[str, Any]]:
    """What Argo CD's own manifests bring beside its programs."""
    labels = {"app.kubernetes.io/part-of": "argocd"}

    def named(kind: str, name: str, **rest: Any) -> Mapping[str, Any]:
        metadata = {"name": name, "namespace": "argocd", "labels": labels}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **rest}

    return [
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces),
        named(
            "ConfigMap",
            "argocd-cm",
            data={f"accounts.{_ACCOUNT}": "apiKey", "timeout.reconciliation": "120s"},
        ),
        named("ConfigMap", "argocd-rbac-cm", data={"policy.csv": f"g, {_ACCOUNT}, role:admin\n"}),
        named("ConfigMap", "argocd-cmd-params-cm", data={}),
        named("ConfigMap", "argocd-tls-certs-cm", data={}),
        named("ConfigMap", "argocd-ssh-known-hosts-cm", data={}),
        named("ConfigMap", "argocd-gpg-keys-cm", data={}),
        named("Secret", "argocd-secret", type="Opaque"),
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "default", "namespace": "argocd"},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"server": "*", "namespace": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
                "sourceNamespaces": ["*"],
            },
        },
    ]


def _token(api: KubernetesApi, url: str) -> str:
    """A token for the pipeline's account, made as the administrator."""
    secret: dict[str, Any] = {}

    def has_password() -> bool:
        done = api.kubectl_process(
            "get", "secret", "argocd-initial-admin-secret", "-n", "argocd", "-o", "json"
        )
        secret.update(json.loads(done.stdout) if done.returncode == 0 else {})
        return bool(secret)

    wait_until(has_password, "Argo CD to make its administrator's password")
    password = base64.b64decode(secret["data"]["password"]).decode()
    session = _post(f"{url}/api/v1/session", {"username": "admin", "password": password})["token"]
    return str(_post(f"{url}/api/v1/account/{_ACCOUNT}/token", {"id": "tests"}, session)["token"])


def _post(url: str, body: Mapping[str, Any], token: str = "") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.loads(answer.read())


def manifests(**objects: Mapping[str, Any]) -> dict[str, str]:
    """Files of an IaC repository, one for each object."""
    return {f"app/{name}.yaml": yaml.safe_dump(dict(item)) for name, item in objects.items()}
