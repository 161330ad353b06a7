"""What Argo Rollouts, Flagger and OpenKruise Rollout say of a release that they drive themselves.

Each rule first makes sure that the status is about our release: a status that was written before the
controller saw the new pod template looks just like success.
Sources: the CRDs argoproj.io/v1alpha1, flagger.app/v1beta1 and rollouts.kruise.io/v1beta1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pipegraft.gate.verdicts.conditions import condition, is_observed, said, time_of
from pipegraft.gray.ports import RolloutPhase, RolloutSeen, RolloutVerdict

__all__ = ["argo_rollouts", "flagger", "images_in", "kruise_rollout", "runs_release"]

Object = Mapping[str, Any]


def images_in(workload: Object) -> Iterator[str]:
    """Images of a workload's pod template."""
    pod = workload.get("spec", {}).get("template", {}).get("spec", {})
    for kind in ("initContainers", "containers"):
        for container in pod.get(kind) or ():
            yield str(container.get("image", ""))
    for volume in pod.get("volumes") or ():
        if "image" in volume:
            yield str(volume["image"].get("reference", ""))


def runs_release(workload: Object, pins: Iterable[str]) -> bool:
    """Whether a workload's pod template has an image of the release.

    Arguments:
        pins: digests, and the tags that stand for them, of every image of the release.
    """
    known = tuple(pins)
    return any(image.endswith(known) for image in images_in(workload))


def argo_rollouts(seen: RolloutSeen, ours: Callable[[Object], bool], _since: float) -> RolloutVerdict:
    """Argo Rollouts: ``status.phase``, once ``observedGeneration`` (text there) is the generation."""
    rollout, workload = seen.rollout, seen.workload
    if rollout is None or workload is None or not ours(workload):
        return _not_there("Rollout", rollout)
    status = rollout.get("status") or {}
    weight = _weight((status.get("canary") or {}).get("weights", {}).get("canary", {}).get("weight"))
    if weight is None and not _argo_canary(rollout).get("trafficRouting"):
        weight = _share(status.get("updatedReplicas"), status.get("replicas"))
    current = is_observed(rollout) and (
        workload is rollout
        or int(status.get("workloadObservedGeneration") or 0) >= int(workload["metadata"]["generation"])
    )
    if not current:
        return RolloutVerdict(RolloutPhase.PROGRESSING, "Argo Rollouts has not seen the new version yet")
    phase, message = status.get("phase"), status.get("message") or ""
    steps = _argo_steps(rollout)
    index = status.get("currentStepIndex")
    place = f"step {index} of {len(steps)}" if steps and index is not None else "no steps"
    if status.get("abort") or phase == "Degraded":
        return RolloutVerdict(RolloutPhase.FAILED, message or "the rollout was aborted", weight)
    if phase == "Healthy":
        return RolloutVerdict(RolloutPhase.PROMOTED, "the new version is stable", 100)
    if phase == "Paused" and _waits_for_ever(steps, index, status):
        return RolloutVerdict(RolloutPhase.WAITING, f"{place}: waits to be promoted", weight, index)
    reason = f"{place}: {message or phase or 'begins'}"
    return RolloutVerdict(RolloutPhase.PROGRESSING, reason, weight, index)


def _argo_canary(rollout: Object) -> Mapping[str, Any]:
    return rollout["spec"].get("strategy", {}).get("canary") or {}


def _argo_steps(rollout: Object) -> list[Mapping[str, Any]]:
    return list(_argo_canary(rollout).get("steps") or ())


def _share(new: Any, whole: Any) -> int | None:
    """Percent of the requests that new pods get where nothing but their number divides them."""
    return round(100 * int(new or 0) / int(whole)) if whole else None


def _waits_for_ever(steps: list[Mapping[str, Any]], index: int | None, status: Mapping[str, Any]) -> bool:
    """Whether a pause ends only by a person's word; blue-green without auto-promotion waits so, too."""
    reasons = {entry.get("reason") for entry in status.get("pauseConditions") or ()}
    if "CanaryPauseStep" in reasons and index is not None and index < len(steps):
        return "duration" not in (steps[index].get("pause") or {})
    return bool(reasons) or not steps


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
