"""The Kubernetes API: one client and shared watches for everything that speaks to a cluster."""

from __future__ import annotations

from pipegraft.kubernetes.cluster import Cluster, open_cluster
from pipegraft.kubernetes.kinds import Kind
from pipegraft.kubernetes.kubeconfig import ClusterOptions

__all__ = ["Cluster", "ClusterOptions", "Kind", "open_cluster"]
