"""What the status of Argo Rollouts, Flagger and OpenKruise says, and when it is of another release."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipegraft.gray.adapters.rollouts import argo_rollouts, flagger, kruise_rollout
from pipegraft.gray.observed_rollout import runs_release
from pipegraft.gray.ports import RolloutPhase, RolloutSeen, RolloutVerdict

RECORDED = Path(__file__).parent / "recorded"
NEW, OLD = "registry/web@sha256:" + "2" * 64, "registry/web@sha256:" + "1" * 64
PROGRESSING, WAITING = RolloutPhase.PROGRESSING, RolloutPhase.WAITING
PROMOTED, FAILED = RolloutPhase.PROMOTED, RolloutPhase.FAILED


def ours(workload: Any) -> bool:
    return runs_release(workload, ["@sha256:" + "2" * 64])


def template(image: str) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}


def deployment(image: str, generation: int = 4, name: str = "web") -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "generation": generation},
        "spec": template(image),
    }


STEPS = [{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}, {"pause": {"duration": "1m"}}]


def argo(image: str = NEW, observed: str = "3", steps: Any = STEPS, **status: Any) -> RolloutVerdict:
    spec = {**template(image), "strategy": {"canary": {"steps": steps}}}
    rollout = {
        "kind": "Rollout",
        "metadata": {"name": "web", "generation": 3},
        "spec": spec,
        "status": {"observedGeneration": observed, **status},
    }
    working = {"kind": "ReplicaSet", "spec": template(image)}
    return argo_rollouts(RolloutSeen(rollout, rollout, working=working), ours, 0)


def weights(canary: int) -> dict[str, Any]:
    return {"canary": {"weights": {"canary": {"weight": canary}, "stable": {"weight": 100 - canary}}}}


@pytest.mark.parametrize(
    ("status", "phase", "reason"),
    [
        ({"phase": "Healthy"}, PROMOTED, "the new version is stable"),
        ({"phase": "Healthy", "image": OLD}, PROGRESSING, "does not run the new version yet"),
        ({"phase": "Healthy", "observed": "2"}, PROGRESSING, "has not seen the new version yet"),
        ({"phase": "Degraded", "message": "aborted: metric errors"}, FAILED, "aborted: metric errors"),
        ({"phase": "Progressing", "abort": True}, FAILED, "was aborted"),
        (
            {"phase": "Paused", "currentStepIndex": 1, "pauseConditions": [{"reason": "CanaryPauseStep"}]},
            WAITING,
            "step 1 of 4: waits to be promoted",
        ),
        (
            {"phase": "Paused", "currentStepIndex": 3, "pauseConditions": [{"reason": "CanaryPauseStep"}]},
            PROGRESSING,
            "step 3 of 4",
        ),
        (
            {"phase": "Paused", "steps": [], "pauseConditions": [{"reason": "Other"}]},
            WAITING,
            "no steps: waits",
        ),
        ({"phase": "Paused", "currentStepIndex": 1, "controllerPause": True}, WAITING, "told to go on"),
        (
            {"phase": "Progressing", "currentStepIndex": 0, "message": "more replicas need to be updated"},
            PROGRESSING,
            "step 0 of 4: more replicas",
        ),
    ],
)
def test_argo_rollouts(status: dict[str, Any], phase: RolloutPhase, reason: str) -> None:
    verdict = argo(**status)
    assert verdict.phase is phase
    assert reason in verdict.reason


def test_argo_rollouts_tells_the_weight_of_the_requests() -> None:
    assert argo(phase="Progressing", currentStepIndex=0, **weights(5)).weight == 5


def test_argo_rollouts_of_a_deployment_must_have_seen_the_deployment_s_generation() -> None:
    for observed, phase in (("3", PROGRESSING), ("4", PROMOTED)):
        status = {"observedGeneration": "1", "workloadObservedGeneration": observed, "phase": "Healthy"}
        rollout = {
            "kind": "Rollout",
            "metadata": {"name": "web", "generation": 1},
            "spec": {"workloadRef": {"kind": "Deployment", "name": "web"}},
            "status": status,
        }
        seen = RolloutSeen(rollout, deployment(NEW), working=deployment(NEW))
        assert argo_rollouts(seen, ours, 0).phase is phase


def recorded() -> Iterator[Any]:
    for case in json.loads((RECORDED / "argo-rollouts-1.9-answers.json").read_text()):
        for number, look in enumerate(case["looks"]):
            yield pytest.param(case["image"], look, id=f"{case['scenario']}, {number}")


@pytest.mark.parametrize(("image", "look"), list(recorded()))
def test_what_the_real_argo_rollouts_said_is_read_as_it_was_meant(image: str, look: dict[str, Any]) -> None:
    """By ``PIPEGRAFT_GATE_RECORD=FOLDER make e2e-engines``."""
    seen = RolloutSeen(look["rollout"], look.get("workload") or look["rollout"], working=look["working"])
    found = argo_rollouts(seen, lambda item: runs_release(item, [image]), 0)
    assert [found.phase, found.weight, found.step, found.reason] == look["says"]
    assert argo_rollouts(seen, lambda _item: False, 0).phase is PROGRESSING
    of_another = RolloutSeen(seen.rollout, seen.workload, working=deployment(OLD))
    found = argo_rollouts(of_another, lambda item: item is seen.workload, 0)
    assert found.phase is (FAILED if "InvalidSpec" in found.reason else PROGRESSING)


def canary(
    target: str, primary: str, promoted: dict[str, Any] | None = None, **status: Any
) -> RolloutVerdict:
    conditions = [{"type": "Promoted", **promoted}] if promoted else []
    item = {
        "kind": "Canary",
        "metadata": {"name": "web"},
        "spec": {"targetRef": {"kind": "Deployment", "name": "web"}},
        "status": {"conditions": conditions, **status},
    }
    seen = RolloutSeen(item, deployment(target), deployment(primary, name="web-primary"))
    return flagger(seen, ours, 1_700_000_000)


BEFORE, AFTER = "2023-11-14T22:13:19Z", "2023-11-14T22:14:00Z"  # one second before the commit, and after it


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        (canary(NEW, NEW, phase="Succeeded", lastAppliedSpec="b", lastPromotedSpec="b"), PROMOTED),
        (canary(NEW, OLD, phase="Succeeded", lastAppliedSpec="a", lastPromotedSpec="a"), PROGRESSING),
        (canary(OLD, OLD, phase="Succeeded", lastAppliedSpec="a", lastPromotedSpec="a"), PROGRESSING),
        (canary(NEW, NEW, phase="Finalising", lastAppliedSpec="b", lastPromotedSpec="b"), PROGRESSING),
        (canary(NEW, OLD, {"lastUpdateTime": BEFORE}, phase="Failed"), PROGRESSING),
        (canary(NEW, OLD, {"lastUpdateTime": AFTER, "reason": "Failed"}, phase="Failed"), FAILED),
        (canary(NEW, OLD, phase="Progressing", canaryWeight=10, failedChecks=2), PROGRESSING),
        (canary(NEW, OLD, phase="WaitingPromotion"), WAITING),
        (canary(NEW, OLD, phase="Terminating"), FAILED),
    ],
)
def test_flagger(seen: RolloutVerdict, phase: RolloutPhase) -> None:
    assert seen.phase is phase


def test_flagger_tells_weight_and_failed_checks() -> None:
    seen = canary(NEW, OLD, phase="Progressing", canaryWeight=10, failedChecks=2)
    assert (seen.weight, seen.reason) == (10, "Progressing, 2 failed checks")


KRUISE_STEPS = [{"traffic": "5%", "pause": {}}, {"traffic": "50%", "pause": {"duration": 60}}]


def kruise(image: str = NEW, generation: int = 4, progressing: Any = None, **status: Any) -> RolloutVerdict:
    steps = {"observedWorkloadGeneration": generation, **status.pop("steps", {})}
    conditions = [{"type": "Progressing", **progressing}] if progressing else []
    rollout = {
        "kind": "Rollout",
        "metadata": {"name": "web", "generation": 1},
        "spec": {"strategy": {"canary": {"steps": KRUISE_STEPS}}},
        "status": {"observedGeneration": 1, "canaryStatus": steps, "conditions": conditions, **status},
    }
    return kruise_rollout(RolloutSeen(rollout, deployment(image)), ours, 0)


@pytest.mark.parametrize(
    ("seen", "phase", "weight"),
    [
        (kruise(phase="Healthy", steps={"currentStepState": "Completed"}), PROMOTED, 100),
        (kruise(phase="Healthy", steps={"currentStepState": "Completed"}, generation=3), PROGRESSING, None),
        (kruise(OLD, phase="Healthy", steps={"currentStepState": "Completed"}), PROGRESSING, None),
        (
            kruise(phase="Progressing", steps={"currentStepIndex": 1, "currentStepState": "StepPaused"}),
            WAITING,
            5,
        ),
        (
            kruise(phase="Progressing", steps={"currentStepIndex": 2, "currentStepState": "StepPaused"}),
            PROGRESSING,
            50,
        ),
        (kruise(phase="Progressing", progressing={"reason": "Cancelling"}), FAILED, 0),
        (kruise(phase="Disabled"), FAILED, None),
    ],
)
def test_kruise(seen: RolloutVerdict, phase: RolloutPhase, weight: int | None) -> None:
    assert (seen.phase, seen.weight) == (phase, weight)


@pytest.mark.parametrize("rule", [argo_rollouts, flagger, kruise_rollout])
def test_an_object_that_is_not_there_yet_is_waited_for(rule: Any) -> None:
    verdict = rule(RolloutSeen(None), ours, 0)
    assert verdict.phase is PROGRESSING
    assert "there is no" in verdict.reason


def test_a_status_that_is_not_there_yet_is_no_success() -> None:
    bare = {"kind": "Rollout", "metadata": {"name": "web", "generation": 1}, "spec": template(NEW)}
    assert argo_rollouts(RolloutSeen(bare, bare), ours, 0).phase is PROGRESSING
    bare = {**bare, "spec": {"strategy": {}}}
    assert kruise_rollout(RolloutSeen(bare, deployment(NEW)), ours, 0).phase is PROGRESSING
    bare = {**bare, "kind": "Canary", "spec": {}}
    assert flagger(RolloutSeen(bare, deployment(NEW), deployment(OLD)), ours, 0).phase is PROGRESSING


def test_a_release_is_known_by_digest_or_tag_in_any_container_or_image_volume() -> None:
    pins = ["@sha256:" + "2" * 64, ":ih-7"]
    assert runs_release({"spec": template(NEW)}, pins)
    assert runs_release({"spec": template("registry/web:ih-7")}, pins)
    assert not runs_release({"spec": template("registry/web:ih-77")}, pins)
    volume = {"spec": {"template": {"spec": {"volumes": [{"image": {"reference": NEW}}]}}}}
    assert runs_release(volume, pins)
    assert not runs_release({}, pins)


def test_pods_alone_divide_the_requests_where_nothing_routes() -> None:
    """As Argo Rollouts 1.9 says of a canary without `trafficRouting`: it writes no weights."""
    found = argo(replicas=5, updatedReplicas=1, currentStepIndex=1, phase="Paused")
    assert (found.weight, found.step) == (20, 1)
    routed = {"canary": {"steps": STEPS, "trafficRouting": {"nginx": {}}}}
    rollout = {
        "metadata": {"name": "web", "generation": 3},
        "spec": {**template(NEW), "strategy": routed},
        "status": {"observedGeneration": "3", "replicas": 5, "updatedReplicas": 1},
    }
    assert argo_rollouts(RolloutSeen(rollout, rollout, working=rollout), ours, 0).weight is None
