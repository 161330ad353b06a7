"""Which cluster, as a user says it."""

from __future__ import annotations

from pipegraft.core.model import Model

__all__ = ["ClusterOptions"]


class ClusterOptions(Model):
    """Keys that say which cluster."""

    kubeconfig: str | None = None
    """Kubeconfig file, relative to `delivery.yaml`; what kubectl would use if absent."""
    context: str | None = None
    """Context of the kubeconfig; the current one if absent."""
