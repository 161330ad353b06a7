"""A gate against a real API server, and a controller that plays a script: delays, drops and lies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes_api import KubernetesApi

from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.ports import RecordingProgress
from pipegraft.gate.adapters import argocd, flux, kubevela, workloads
from pipegraft.gate.ports import EngineRequest
from pipegraft.gate.waiting import Patience, Waited, follow_revision
from pipegraft.iac.ports import FakeIacRepository
from pipegraft.kubernetes.model import DAEMON_SET, DEPLOYMENT, JOB, POD, REPLICA_SET, STATEFUL_SET, Kind

__all__ = ["URL", "Step", "World"]

URL = "https://git.example.com/iac/shop.git"
_PLUGINS = {
    plugin.name: plugin
    for module in (argocd, flux, kubevela, workloads)
    for plugin in module.pipegraft_gitops_engines()
}
KINDS = {
    "app": Kind("argoproj.io", "v1alpha1", "Application", "applications"),
    "project": Kind("argoproj.io", "v1alpha1", "AppProject", "appprojects"),
    "vela": Kind("core.oam.dev", "v1beta1", "Application", "applications"),
    "source": Kind("source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories"),
    "kustomization": Kind("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations"),
    "release": Kind("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
    "event": Kind("", "v1", "Event", "events"),
    "secret": Kind("", "v1", "Secret", "secrets"),
    **{kind.kind.lower(): kind for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, JOB, POD, REPLICA_SET)},
}
_WITHOUT_SUBRESOURCE = {"app"}

Step = Callable[["World"], object]


class World:
    """A namespace of a cluster, an IaC branch with three commits, and what a controller does there.

    Arguments:
        api: the cluster.
        kubeconfig: whose rights the gate has; the administrator's if None.
    """

    def __init__(self, api: KubernetesApi, kubeconfig: Path | None = None) -> None:
        self.api = api
        self.namespace = api.namespace("gate")
        self.kubeconfig = kubeconfig or api.kubeconfig
        self.iac = FakeIacRepository({"count": "0"})
        self.before = self.iac.tip()
        self.target = self.iac.commit({"count": "1"}, "ours", self.before)
        self.after = self.iac.commit({"count": "2"}, "theirs", self.target)
        self.progress = RecordingProgress()
        self.shown = self.ended = 0.0

    def path(self, kind: str, name: str = "", part: str = "") -> str:
        """URL of a collection, an object or its subresource."""
        known = KINDS[kind]
        base = f"/apis/{known.group}/{known.version}" if known.group else f"/api/{known.version}"
        return "/".join(filter(None, (base, "namespaces", self.namespace, known.plural, name, part)))

    def create(self, kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> Mapping[str, Any]:
        """Make an object; answers it as it is then."""
        known = KINDS[kind]
        body = {
            "apiVersion": known.api_version,
            "kind": known.kind,
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": spec,
        }
        made: Mapping[str, Any] = self.api.request("POST", self.path(kind), body)
        return made

    def patch(self, kind: str, name: str, patch: Mapping[str, Any], part: str = "") -> None:
        """Merge something into an object; `shown` is when the last one began."""
        self.shown = time.monotonic()
        self.api.request("PATCH", self.path(kind, name, part), patch, kind="application/merge-patch+json")

    def status(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        """What a controller writes."""
        self.patch(kind, name, {"status": status}, "" if kind in _WITHOUT_SUBRESOURCE else "status")

    def delete(self, kind: str, name: str) -> None:
        """Delete an object."""
        self.api.request("DELETE", self.path(kind, name))

    def gate(
        self,
        engine: str,
        steps: Sequence[Step] = (),
        *,
        timeout: float = 60.0,
        settle: float = 0.0,
        **options: Any,
    ) -> Waited:
        """Wait as the stage does, while the steps are played one after the other."""
        plugin = _PLUGINS[engine]
        given = {"kubeconfig": str(self.kubeconfig), "namespace": self.namespace, **options}
        parsed = plugin.options.model_validate(given)
        connected = plugin.connect(parsed, EngineRequest(Path(), URL, "main", "production"))
        failures: list[BaseException] = []

        def play() -> None:
            try:
                for step in steps:
                    step(self)
            except BaseException as error:  # noqa: BLE001 - told by the test's own thread
                failures.append(error)

        controller = threading.Thread(target=play)
        controller.start()
        try:
            waited = follow_revision(
                connected,
                plugin.verdict,
                history=self.iac,
                target=self.target,
                patience=Patience(timeout, settle),
                clock=SystemClock(),
                progress=self.progress,
            )
            self.ended = time.monotonic()
            return waited
        finally:
            controller.join()
            if failures:
                raise failures[0]
