"""KubeVela: an Application whose published version is a commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipegraft.core.errors import UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.gate.adapters.workloads import ClusterReader, Reference
from pipegraft.gate.hooks import GitOpsEnginePlugin
from pipegraft.gate.model import KubeVelaOptions
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, Status
from pipegraft.gate.verdicts.kubevela import verdicts
from pipegraft.gate.verdicts.workloads import KINDS
from pipegraft.kubernetes.adapters.cluster import Cluster, open_cluster
from pipegraft.kubernetes.model import Kind

__all__ = ["KubeVela", "pipegraft_gitops_engines"]

APPLICATION = Kind("core.oam.dev", "v1beta1", "Application", "applications")
_HERE = {"", "local"}
"""How KubeVela names the cluster it runs in."""


class KubeVela:
    """`GitOpsEngine` over Applications of the Open Application Model.

    Arguments:
        options: which ones.
        cluster: where KubeVela runs.
    """

    def __init__(self, options: KubeVelaOptions, cluster: Cluster) -> None:
        self._options = options
        self._cluster = cluster
        self._reader = ClusterReader(cluster)
        self._began: str | None = None

    def observe(self, *, anew: bool = False) -> Status:
        self._reader.begin(anew=anew)
        self._began = self._began or self._cluster.now().isoformat()
        known = self._reader.objects(APPLICATION, self._options.namespace)
        entries = []
        for name in self._options.names:
            app = known.get((self._options.namespace, name))
            if app is None:
                there = ", ".join(sorted(one for _, one in known)[:20]) or "none"
                raise UsageError(
                    f"KubeVela has no Application '{name}' in namespace '{self._options.namespace}';"
                    f" there are: {there}",
                    fix="check 'gate.application', 'gate.namespace' and the cluster that is asked",
                )
            told = {"began": self._began, "now": self._cluster.now().isoformat()}
            entries.append({"application": app, **told, **self._workloads(app)})
        return {"applications": entries, "expected": len(self._options.names)}

    def request_sync(self) -> None:
        """Nothing to ask for: it sees a new version when it is applied."""

    def wait(self, seconds: float) -> None:
        self._reader.wait(seconds)

    def explain(self) -> Sequence[str]:
        return self._reader.explain()

    def _workloads(self, app: Mapping[str, Any]) -> Mapping[str, object]:
        status = app.get("status") or {}
        applied = [
            item
            for item in status.get("appliedResources") or ()
            if item.get("kind") in KINDS and (item.get("cluster") or "") in _HERE
        ]
        if not self._options.workloads or not applied:
            return {}
        return self._reader.workloads(
            Reference(item["kind"], item.get("namespace") or self._options.namespace, item["name"])
            for item in applied
        )


def _connect(options: KubeVelaOptions, request: EngineRequest) -> GitOpsEngine:
    return KubeVela(options, open_cluster(options, request.root))


@hookimpl
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    yield GitOpsEnginePlugin("kubevela", KubeVelaOptions, _connect, verdicts, names_commit=True)
