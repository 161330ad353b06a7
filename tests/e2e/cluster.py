"""A cluster whose controllers and scheduler are the real ones; its pods run in name only.

kwok stands for the kubelets: it gives pods the states that `kwok_stages.yaml` says, so that Deployments, Jobs
and quotas behave as anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import free_port, missing, server, wait_until
from kubernetes_api import KubernetesApi, running_api

__all__ = ["BEHAVIOUR", "LISTS", "running_cluster"]

BEHAVIOUR = "pipegraft.test/pod"
"""Annotation of a pod that says how it behaves, see `kwok_stages.yaml`."""
LISTS = {"KUBE_FEATURE_WatchListClient": "false"}
"""Environment of a client of client-go: it lists as Debian's etcd understands it."""
_STAGES = Path(__file__).with_name("kwok_stages.yaml")


@contextmanager
def running_cluster(folder: Path) -> Iterator[KubernetesApi]:
    """An API server with controllers, a scheduler and one node."""
    with running_api(folder) as api, ExitStack() as running:
        access = f"--kubeconfig={api.kubeconfig}"
        unguarded = (access, "--leader-elect=false", "--secure-port=0")
        port = free_port()
        commands = {
            "kube-controller-manager": [
                *unguarded,
                f"--service-account-private-key-file={folder}/accounts.key",
                f"--root-ca-file={folder}/serving/apiserver.crt",
                "--use-service-account-credentials=false",
                "--concurrent-deployment-syncs=5",
            ],
            "kube-scheduler": [*unguarded],
            "kwok": [
                access,
                f"--config={_STAGES}",
                "--manage-all-nodes=true",
                "--node-lease-duration-seconds=40",
                "--node-ip=127.0.0.1",
                f"--node-port={port}",
                f"--server-address=127.0.0.1:{port}",
            ],
        }
        for name, options in commands.items():
            program = api.program.with_name(name)
            if not program.exists():
                missing(name)
            log = folder / f"{name}.log"
            running.enter_context(server([str(program), *options], log, lambda: True, **LISTS))
        api.request("POST", "/api/v1/nodes", {"metadata": {"name": "node"}})

        def is_ready() -> bool:
            conditions = api.request("GET", "/api/v1/nodes/node").get("status", {}).get("conditions") or ()
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

        wait_until(is_ready, "the node to be ready")
        yield api
