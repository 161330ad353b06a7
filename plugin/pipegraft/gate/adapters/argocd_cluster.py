"""Argo CD's Applications by the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipegraft.core.errors import AccessDenied, UsageError
from pipegraft.gate.adapters.cluster_reader import ClusterReader, Reference
from pipegraft.gate.verdicts.argocd import REFRESH
from pipegraft.gate.verdicts.sync_windows import can_sync
from pipegraft.kubernetes.adapters.cluster import Cluster
from pipegraft.kubernetes.kinds import Kind

__all__ = ["APPLICATION", "ClusterApplications"]

APPLICATION = Kind("argoproj.io", "v1alpha1", "Application", "applications")
PROJECT = Kind("argoproj.io", "v1alpha1", "AppProject", "appprojects")
_HERE = {"https://kubernetes.default.svc", "in-cluster"}
"""How a destination says the cluster that Argo CD itself runs in."""

Object = Mapping[str, Any]


class ClusterApplications:
    """`Applications` over a cluster.

    Arguments:
        cluster: the one Argo CD runs in.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._reader = ClusterReader(cluster)
        self._may_read_projects = True

    def begin(self) -> None:
        self._reader.begin()

    def read(self, namespace: str) -> Mapping[tuple[str, str], Object]:
        return self._reader.objects(APPLICATION, namespace)

    def can_sync(self, application: Object) -> bool | None:
        """What the windows of its project say; None where those may not be read."""
        metadata = application["metadata"]
        key = (metadata["namespace"], application["spec"].get("project") or "default")
        if not self._may_read_projects:
            return None
        try:
            project = self._reader.objects(PROJECT, metadata["namespace"]).get(key) or {}
        except (AccessDenied, UsageError):
            self._may_read_projects = False
            return None
        windows = (project.get("spec") or {}).get("syncWindows") or ()
        return can_sync(windows, application, self._cluster.now())

    def refresh(self, application: Object, *, hard: bool) -> None:
        """A normal refresh resolves the branch anew; a hard one forgets cached manifests too."""
        metadata = application["metadata"]
        wanted = {"metadata": {"annotations": {REFRESH: "hard" if hard else "normal"}}}
        changed = self._cluster.merge(APPLICATION, metadata["name"], wanted, metadata["namespace"])
        self._reader.watched(APPLICATION, metadata["namespace"]).take(changed)

    def workloads(self, application: Object, applied: Sequence[Object]) -> Mapping[str, object]:
        destination = application["spec"].get("destination") or {}
        if not {destination.get("server"), destination.get("name")} & _HERE:
            return {}
        own = destination.get("namespace") or ""
        return self._reader.workloads(
            Reference(item["kind"], item.get("namespace") or own, item["name"]) for item in applied
        )

    def wait(self, seconds: float) -> None:
        self._reader.wait(seconds)

    def explain(self) -> Sequence[str]:
        return self._reader.explain()
