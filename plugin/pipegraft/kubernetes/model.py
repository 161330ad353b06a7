"""Which cluster, as a user says it, and the kinds of objects that are asked for there."""

from __future__ import annotations

from dataclasses import dataclass

from pipegraft.core.model import Model

__all__ = [
    "CONFIG_MAP",
    "CRON_JOB",
    "DAEMON_SET",
    "DEPLOYMENT",
    "EVENT",
    "HORIZONTAL_POD_AUTOSCALER",
    "INGRESS",
    "JOB",
    "PERSISTENT_VOLUME_CLAIM",
    "POD",
    "REPLICA_SET",
    "SERVICE",
    "STATEFUL_SET",
    "WORKLOADS",
    "ClusterOptions",
    "Kind",
]


class ClusterOptions(Model):
    """Keys that say which cluster."""

    kubeconfig: str | None = None
    """Kubeconfig file, relative to `delivery.yaml`; what kubectl would use if absent."""
    context: str | None = None
    """Context of the kubeconfig; the current one if absent."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects.

    Arguments:
        group: API group; empty for the core.
        plural: how a URL names it.
        namespaced: whether its objects live in namespaces.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone for the core."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """``plural.group``, as kubectl and RBAC name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


POD = Kind("", "v1", "Pod", "pods")
EVENT = Kind("", "v1", "Event", "events")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets")
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets")
DAEMON_SET = Kind("apps", "v1", "DaemonSet", "daemonsets")
JOB = Kind("batch", "v1", "Job", "jobs")
CRON_JOB = Kind("batch", "v1", "CronJob", "cronjobs")
PERSISTENT_VOLUME_CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
HORIZONTAL_POD_AUTOSCALER = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
SERVICE = Kind("", "v1", "Service", "services")
INGRESS = Kind("networking.k8s.io", "v1", "Ingress", "ingresses")
WORKLOADS = {kind.kind: kind for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, JOB)}
"""Kinds whose pods tell how they are."""
