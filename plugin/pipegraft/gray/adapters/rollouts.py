"""Argo Rollouts, Flagger and OpenKruise Rollout, over the Kubernetes API: read, let go on, or aborted.

Each rule first makes sure that the status is about our release: a status that was written before the
controller saw the new pod template looks just like success.
Sources: the CRDs argoproj.io/v1alpha1, flagger.app/v1beta1 and rollouts.kruise.io/v1beta1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from pipegraft.core.errors import UsageError
from pipegraft.core.model import Name
from pipegraft.core.plugins import hookimpl
from pipegraft.gate.conditions import condition, is_observed, said, time_of
from pipegraft.gray.hooks import ObservedRouter
from pipegraft.gray.ports import RolloutPhase, RolloutSeen, RolloutVerdict
from pipegraft.kubernetes.adapters.cluster import Cluster, open_cluster
from pipegraft.kubernetes.model import DAEMON_SET, DEPLOYMENT, REPLICA_SET, STATEFUL_SET, ClusterOptions, Kind

__all__ = [
    "ArgoRollout",
    "FlaggerCanary",
    "KruiseRollout",
    "RolloutOptions",
    "argo_rollouts",
    "flagger",
    "kruise_rollout",
    "pipegraft_traffic_routers",
]


Object = Mapping[str, Any]


def argo_rollouts(seen: RolloutSeen, ours: Callable[[Object], bool], _since: float) -> RolloutVerdict:
    """Argo Rollouts: ``status.phase``, once ``observedGeneration`` (text there) is the generation.

    When a pause begins or ends, the controller writes the new generation into a status that is else of the
    template before: what it works on tells the ReplicaSet of ``currentPodHash`` alone.
    """
    rollout, workload = seen.rollout, seen.workload
    if rollout is None or workload is None or not ours(workload):
        return _not_there("Rollout", rollout)
    status = rollout.get("status") or {}
    observed = is_observed(rollout) and (
        workload is rollout
        or int(status.get("workloadObservedGeneration") or 0) >= int(workload["metadata"]["generation"])
    )
    invalid = condition(rollout, "InvalidSpec")  # then it works on nothing new
    if observed and invalid.get("status") == "True":
        return RolloutVerdict(RolloutPhase.FAILED, said(invalid))
    if not observed or seen.working is None or not ours(seen.working):
        return RolloutVerdict(RolloutPhase.PROGRESSING, "Argo Rollouts has not seen the new version yet")
    weight = _argo_weight(rollout, status)
    phase, message = status.get("phase"), status.get("message") or ""
    steps = list(_argo_strategy(rollout, "canary").get("steps") or ())
    index = status.get("currentStepIndex")
    place = f"step {index} of {len(steps)}" if steps and index is not None else "no steps"
    if phase == "Degraded" or status.get("abort"):
        reason = message if message and phase == "Degraded" else "the rollout was aborted"
        return RolloutVerdict(RolloutPhase.FAILED, reason, weight)
    if phase == "Healthy":
        return RolloutVerdict(RolloutPhase.PROMOTED, "the new version is stable", 100)
    by_hand = bool(rollout["spec"].get("paused"))
    waits = _argo_pause(rollout, steps[index or 0 :]) if phase == "Paused" else ""
    if by_hand or waits:
        reason = f"{place}: {'paused by hand' if by_hand else waits}"
        return RolloutVerdict(RolloutPhase.WAITING, reason, weight, index, by_hand)
    reason = f"{place}: {message or phase or 'begins'}"
    return RolloutVerdict(RolloutPhase.PROGRESSING, reason, weight, index)


def _argo_strategy(rollout: Object, name: str) -> Mapping[str, Any]:
    return rollout["spec"].get("strategy", {}).get(name) or {}


def _argo_weight(rollout: Object, status: Mapping[str, Any]) -> int | None:
    """Percent of the requests: as a router divides them, as the Service is switched, or as pods are many."""
    if _argo_strategy(rollout, "blueGreen"):
        active = (status.get("blueGreen") or {}).get("activeSelector")
        return 100 if active and active == status.get("currentPodHash") else 0
    told = ((status.get("canary") or {}).get("weights") or {}).get("canary") or {}
    if told or _argo_strategy(rollout, "canary").get("trafficRouting"):
        return _weight(told.get("weight"))
    return _share(status.get("updatedReplicas"), status.get("replicas"))


def _argo_pause(rollout: Object, steps: Sequence[Mapping[str, Any]]) -> str:
    """What a pause that ends only by somebody's word waits for; empty if it ends by itself.

    Arguments:
        steps: the present one, and those that follow.
    """
    status = rollout.get("status") or {}
    reasons = {str(entry.get("reason")) for entry in status.get("pauseConditions") or ()}
    if not reasons:  # its controller now and then misses the word that ends a pause
        return "told to go on, and has not begun to" if status.get("controllerPause") else ""
    if reasons == {"CanaryPauseStep"} and steps and "duration" in (steps[0].get("pause") or {}):
        return ""
    if reasons == {"BlueGreenPause"}:
        by_itself = _argo_strategy(rollout, "blueGreen").get("autoPromotionEnabled") is not False
        return "" if by_itself else "waits to be promoted"
    return f"waits to be promoted ({', '.join(sorted(reasons))})"


def _share(new: Any, whole: Any) -> int | None:
    """Percent of the requests that new pods get where nothing but their number divides them."""
    return round(100 * int(new or 0) / int(whole)) if whole else None


def flagger(seen: RolloutSeen, ours: Callable[[Object], bool], since: float) -> RolloutVerdict:
    """Flagger: it knows no generation, so the primary must run the release for success, and a failure counts
    only from the time of our commit on."""
    canary, target, primary = seen.rollout, seen.workload, seen.primary
    if canary is None or target is None or not ours(target):
        return _not_there("Canary", canary)
    status = canary.get("status") or {}
    phase = status.get("phase") or "Initializing"
    weight = _weight(status.get("canaryWeight"))
    promoted = condition(canary, "Promoted")
    applied, made = status.get("lastAppliedSpec"), status.get("lastPromotedSpec")
    if phase in ("Succeeded", "Initialized") and primary is not None and ours(primary) and applied == made:
        return RolloutVerdict(RolloutPhase.PROMOTED, said(promoted) or "promoted", 100)
    when = promoted.get("lastUpdateTime") or status.get("lastTransitionTime")
    if phase == "Failed" and time_of(when).timestamp() >= since:
        return RolloutVerdict(RolloutPhase.FAILED, said(promoted) or "the analysis failed", 0)
    if phase in ("Terminating", "Terminated"):
        return RolloutVerdict(RolloutPhase.FAILED, f"the Canary is {phase.lower()}", weight)
    if phase in ("Waiting", "WaitingPromotion"):
        return RolloutVerdict(RolloutPhase.WAITING, f"{phase}: waits for its webhook", weight)
    if phase in ("Succeeded", "Initialized", "Failed"):
        return RolloutVerdict(RolloutPhase.PROGRESSING, "Flagger has not seen the new version yet")
    failed = status.get("failedChecks") or 0
    return RolloutVerdict(RolloutPhase.PROGRESSING, f"{phase}, {failed:g} failed checks", weight)


def kruise_rollout(seen: RolloutSeen, ours: Callable[[Object], bool], _since: float) -> RolloutVerdict:
    """OpenKruise Rollout: ``currentStepState``, once it has observed the workload's generation."""
    rollout, workload = seen.rollout, seen.workload
    if rollout is None or workload is None or not ours(workload):
        return _not_there("Rollout", rollout)
    status = rollout.get("status") or {}
    steps = status.get("canaryStatus") or status.get("blueGreenStatus") or {}
    observed = int(steps.get("observedWorkloadGeneration") or 0) >= int(workload["metadata"]["generation"])
    phase, message = status.get("phase"), status.get("message") or ""
    if phase in ("Disabled", "Disabling", "Terminating"):
        return RolloutVerdict(RolloutPhase.FAILED, f"the Rollout is {phase.lower()}")
    progressing = condition(rollout, "Progressing")
    if progressing.get("reason") == "Cancelling":
        return RolloutVerdict(RolloutPhase.FAILED, said(progressing), 0)
    if not (is_observed(rollout) and observed):
        return RolloutVerdict(RolloutPhase.PROGRESSING, "OpenKruise has not seen the new version yet")
    if phase == "Healthy" and steps.get("currentStepState") == "Completed":
        return RolloutVerdict(RolloutPhase.PROMOTED, "all steps are completed", 100)
    if phase == "Healthy" and not steps:
        return RolloutVerdict(RolloutPhase.PROGRESSING, "OpenKruise has not seen the new version yet")
    declared = _kruise_steps(rollout)
    index = int(steps.get("currentStepIndex") or 0)
    present = declared[index - 1] if 0 < index <= len(declared) else {}
    weight = _weight(str(present.get("traffic", "")).removesuffix("%") or None)
    if weight is None and status.get("canaryStatus"):
        ready = steps.get("canaryReadyReplicas")
        weight = None if ready is None else _share(ready, workload["spec"].get("replicas", 1))
    place = f"step {index} of {len(declared)}"
    state = steps.get("currentStepState") or phase or "begins"
    if state == "StepPaused" and "duration" not in (present.get("pause") or {}):
        return RolloutVerdict(RolloutPhase.WAITING, f"{place}: waits to be approved", weight, index)
    return RolloutVerdict(RolloutPhase.PROGRESSING, f"{place}: {message or state}", weight, index)


def _kruise_steps(rollout: Object) -> list[Mapping[str, Any]]:
    strategy = rollout["spec"].get("strategy", {})
    kind = strategy.get("canary") or strategy.get("blueGreen") or {}
    return list(kind.get("steps") or ())


def _weight(number: Any) -> int | None:
    try:
        return round(float(number))
    except (TypeError, ValueError):
        return None


def _not_there(kind: str, found: Object | None) -> RolloutVerdict:
    reason = f"there is no {kind} yet" if found is None else "its workload does not run the new version yet"
    return RolloutVerdict(RolloutPhase.PROGRESSING, reason)


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
        """The Rollout, the Deployment that has its pod template if it has none, and its ReplicaSet."""
        rollout = self._rollout() or {}
        reference = rollout.get("spec", {}).get("workloadRef")
        working = (rollout.get("status") or {}).get("currentPodHash")
        return RolloutSeen(
            rollout or None,
            self._workload(reference) if reference else rollout,
            working=self._cluster.get(REPLICA_SET, f"{self._name}-{working}", self._namespace)
            if working
            else None,
        )

    def go_on(self) -> None:
        """End the present pause; each time with other words, for a change is what the controller hears of."""
        rollout = self._rollout() or {}
        status = rollout.get("status") or {}
        if rollout.get("spec", {}).get("paused"):
            self._tell({"spec": {"paused": False}})
        told: dict[str, Any] = {"pauseConditions": None, "message": f"told to go on at {self._cluster.now()}"}
        step = (status.get("canary") or {}).get("currentStepAnalysisRunStatus") or {}
        if step.get("status") == "Inconclusive" and status.get("pauseConditions"):
            told |= {
                "controllerPause": False,
                "currentStepIndex": int(status.get("currentStepIndex") or 0) + 1,
            }
        self._tell({"status": told}, "status")

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
