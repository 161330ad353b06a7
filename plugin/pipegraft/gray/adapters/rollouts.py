"""Argo Rollouts, Flagger and OpenKruise Rollout, over the Kubernetes API: observed, let go on, or aborted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from pipegraft.core.errors import UsageError
from pipegraft.core.model import Name
from pipegraft.core.plugins import hookimpl
from pipegraft.gray.hooks import ObservedRouter
from pipegraft.gray.ports import RolloutSeen
from pipegraft.gray.rollout_verdicts import argo_rollouts, flagger, kruise_rollout
from pipegraft.kubernetes.adapters.cluster import Cluster, open_cluster
from pipegraft.kubernetes.model import DAEMON_SET, DEPLOYMENT, STATEFUL_SET, ClusterOptions, Kind

__all__ = ["ArgoRollout", "FlaggerCanary", "KruiseRollout", "RolloutOptions", "pipegraft_traffic_routers"]

ARGO = Kind("argoproj.io", "v1alpha1", "Rollout", "rollouts")
FLAGGER = Kind("flagger.app", "v1beta1", "Canary", "canaries")
KRUISE = Kind("rollouts.kruise.io", "v1beta1", "Rollout", "rollouts")

_WORKLOADS = {kind.kind: kind for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)}


class RolloutOptions(ClusterOptions):
    """Keys of ``gray.rollout``: which object."""

    name: Name
    """Name of the Rollout or Canary."""
    namespace: Name | None = Field(default=None)
    """Its namespace; the kubeconfig's own if absent."""


class _Observed:
    """What the three have in common.

    Arguments:
        options: which object.
        root: folder that a relative kubeconfig counts from.
    """

    kind: Kind

    def __init__(self, options: RolloutOptions, root: Path) -> None:
        self._name = options.name
        self._namespace = options.namespace
        self._cluster: Cluster = open_cluster(options, root)

    def _rollout(self) -> Mapping[str, Any] | None:
        return self._cluster.get(self.kind, self._name, self._namespace)

    def _workload(self, reference: Mapping[str, Any], suffix: str = "") -> Mapping[str, Any] | None:
        kind = _WORKLOADS.get(reference.get("kind", ""))
        if kind is None:
            raise UsageError(
                f"{self.kind.kind} '{self._name}' refers to a '{reference.get('kind')}'; known workloads are "
                f"{', '.join(_WORKLOADS)}"
            )
        return self._cluster.get(kind, reference["name"] + suffix, self._namespace)

    def _tell(self, patch: Mapping[str, Any], part: str = "") -> None:
        self._cluster.merge(self.kind, self._name, patch, self._namespace, part=part)


class ArgoRollout(_Observed):
    """A Rollout of Argo Rollouts; told as its kubectl plugin tells it."""

    kind = ARGO

    def observe(self) -> RolloutSeen:
        """The Rollout, and the Deployment it refers to if it has no pod template of its own."""
        rollout = self._rollout()
        reference = (rollout or {}).get("spec", {}).get("workloadRef")
        return RolloutSeen(rollout, self._workload(reference) if reference else rollout)

    def go_on(self) -> None:
        """End the present pause."""
        rollout = self._rollout() or {}
        if rollout.get("spec", {}).get("paused"):
            self._tell({"spec": {"paused": False}})
        self._tell({"status": {"pauseConditions": None}}, "status")

    def abort(self) -> None:
        """Send all requests to the stable ReplicaSet."""
        self._tell({"status": {"abort": True}}, "status")


class FlaggerCanary(_Observed):
    """A Canary of Flagger."""

    kind = FLAGGER

    def observe(self) -> RolloutSeen:
        """The Canary, its target, and the primary that serves."""
        canary = self._rollout()
        if canary is None:
            return RolloutSeen(None)
        reference = canary["spec"]["targetRef"]
        return RolloutSeen(canary, self._workload(reference), self._workload(reference, "-primary"))

    def go_on(self) -> None:
        """Flagger has no word for that."""
        raise UsageError(
            f"Flagger lets Canary '{self._name}' go on by its webhook alone",
            fix="open the gate that its webhook 'confirm-rollout' or 'confirm-promotion' asks",
        )

    def abort(self) -> None:
        """It takes the target's old pod template for the next release: the commit is all it needs."""


class KruiseRollout(_Observed):
    """A Rollout of OpenKruise."""

    kind = KRUISE

    def observe(self) -> RolloutSeen:
        """The Rollout and the workload it refers to."""
        rollout = self._rollout()
        if rollout is None:
            return RolloutSeen(None)
        return RolloutSeen(rollout, self._workload(rollout["spec"]["workloadRef"]))

    def go_on(self) -> None:
        """Approve the present step."""
        status = (self._rollout() or {}).get("status") or {}
        part = "blueGreenStatus" if status.get("blueGreenStatus") else "canaryStatus"
        self._tell({"status": {part: {"currentStepState": "StepReady"}}}, "status")

    def abort(self) -> None:
        """It rolls back by itself once the workload has its stable pod template again."""


_ROUTERS: Mapping[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "argo-rollouts": ("Observed: the steps of an Argo Rollouts Rollout.", ArgoRollout, argo_rollouts),
    "flagger": ("Observed: the analysis of a Flagger Canary.", FlaggerCanary, flagger),
    "kruise-rollout": ("Observed: the steps of an OpenKruise Rollout.", KruiseRollout, kruise_rollout),
}


@hookimpl
def pipegraft_traffic_routers() -> Iterable[ObservedRouter]:
    for name, (summary, observe, verdict) in _ROUTERS.items():
        yield ObservedRouter(name, summary, options=RolloutOptions, observe=observe, verdict=verdict)
