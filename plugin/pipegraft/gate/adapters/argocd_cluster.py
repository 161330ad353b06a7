"""Argo CD's Applications by the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipegraft.core.errors import AccessDenied, UsageError
from pipegraft.gate.adapters.cluster_reader import ClusterReader, Reference
from pipegraft.gate.verdicts.argocd import REFRESH
from pipegraft.gate.verdicts.conditions import time_of
from pipegraft.gate.verdicts.sync_windows import can_sync
from pipegraft.kubernetes.adapters.cluster import Cluster
from pipegraft.kubernetes.kinds import Kind

__all__ = ["APPLICATION", "ClusterApplications"]

APPLICATION = Kind("argoproj.io", "v1alpha1", "Application", "applications")
PROJECT = Kind("argoproj.io", "v1alpha1", "AppProject", "appprojects")
_OWN = "argocd"
"""Namespace of Argo CD where none is named."""
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
        self._asked_at: dict[tuple[str, str], datetime] = {}
        self._annotated: set[tuple[str, str]] = set()

    def begin(self, *, anew: bool) -> None:
        self._reader.begin(anew=anew)

    def read(self, namespace: str | None) -> Mapping[tuple[str, str], Object]:
        return self._reader.objects(APPLICATION, namespace or _OWN)

    def ask(self, application: Object, *, hard: bool) -> None:
        """A normal refresh resolves the branch anew; a hard one forgets cached manifests too."""
        metadata = application["metadata"]
        self._asked_at.setdefault(_key(application), self._cluster.now())
        wanted = {"metadata": {"annotations": {REFRESH: "hard" if hard else "normal"}}}
        changed = self._cluster.merge(APPLICATION, metadata["name"], wanted, metadata["namespace"])
        self._annotated.add(_key(application))
        self._reader.watched(APPLICATION, metadata["namespace"]).take(changed)

    def is_answered(self, application: Object) -> bool:
        """Argo CD takes the annotation away with what it found; who may not write it goes by the time."""
        if REFRESH in (application["metadata"].get("annotations") or {}):
            return False
        key = _key(application)
        if key in self._annotated:
            return True
        looked = time_of((application.get("status") or {}).get("reconciledAt"))
        return key in self._asked_at and looked >= self._asked_at[key]

    def evidence(self, application: Object, applied: Sequence[Object]) -> Mapping[str, object]:
        found: dict[str, object] = {"now": self._cluster.now().isoformat()}
        if ((application.get("status") or {}).get("sync") or {}).get("status") == "OutOfSync":
            found["can-sync"] = self._can_sync(application)
        destination = application["spec"].get("destination") or {}
        if not applied or not {destination.get("server"), destination.get("name")} & _HERE:
            return found
        own = destination.get("namespace") or ""
        named = (Reference(it["kind"], it.get("namespace") or own, it["name"]) for it in applied)
        return {**found, **self._reader.workloads(named)}

    def wait(self, seconds: float) -> None:
        self._reader.wait(seconds)

    def explain(self, applications: Sequence[Object]) -> Sequence[str]:
        del applications  # only workloads of those that are not well were looked at
        return self._reader.explain()

    def _can_sync(self, application: Object) -> bool | None:
        """What the windows of its project say now; None where those may not be read."""
        name = application["spec"].get("project") or "default"
        if not self._may_read_projects:
            return None
        try:
            projects = self._reader.objects(PROJECT, _controller(application))
        except (AccessDenied, UsageError):
            self._may_read_projects = False
            return None
        project = projects.get((_controller(application), name)) or {}
        windows = (project.get("spec") or {}).get("syncWindows") or ()
        return can_sync(windows, application, self._cluster.now())


def _key(application: Object) -> tuple[str, str]:
    return application["metadata"]["namespace"], application["metadata"]["name"]


def _controller(application: Object) -> str:
    """Namespace of the Argo CD that looks after an Application; its project is there."""
    told = (application.get("status") or {}).get("controllerNamespace")
    return str(told or application["metadata"]["namespace"])
