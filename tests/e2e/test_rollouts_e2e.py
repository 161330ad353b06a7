"""What is observed of the real Argo Rollouts, from the first look to the last, rollout by rollout."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cluster import running_cluster
from engine_servers import running_rollouts
from harness import wait_until
from kubernetes_api import KubernetesApi

from pipegraft.gray.adapters.rollouts import ArgoRollout, RolloutOptions, argo_rollouts
from pipegraft.gray.observed_rollout import runs_release
from pipegraft.gray.ports import RolloutPhase, RolloutSeen, RolloutVerdict

pytestmark = [pytest.mark.e2e, pytest.mark.engines]

IMAGE = "registry.example.com/shop/web:"
PROGRESSING, WAITING = RolloutPhase.PROGRESSING, RolloutPhase.WAITING
PROMOTED, FAILED = RolloutPhase.PROMOTED, RolloutPhase.FAILED
_VERSION = "argoproj.io/v1alpha1"
_NUMBERS = itertools.count(1)


class _Reading(BaseHTTPRequestHandler):
    """A metric that a test sets."""

    value = 0

    def do_GET(self) -> None:
        body = json.dumps({"value": type(self).value}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Nothing."""


@dataclass
class Place:
    """The servers that all rollouts share."""

    api: KubernetesApi
    metric: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("rollouts")
    with (
        running_cluster(tmp_path_factory.mktemp("cluster")) as api,
        running_rollouts(folder, api),
        ThreadingHTTPServer(("127.0.0.1", 0), _Reading) as metrics,
        ExitStack() as ends,
    ):
        threading.Thread(target=metrics.serve_forever, daemon=True).start()
        ends.callback(metrics.shutdown)
        yield Place(api, f"http://127.0.0.1:{metrics.server_port}")


@dataclass
class World:
    """One Rollout in a namespace of its own.

    Attributes:
        seen: what each look that told something new saw, and what it was taken for.
        failed: images that were meant to fail.
    """

    place: Place
    seen: list[tuple[RolloutSeen, RolloutVerdict]] = field(default_factory=list)

    def __post_init__(self) -> None:
        _Reading.value = 0
        self.api = self.place.api
        self.name = f"rollout{next(_NUMBERS)}"
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})
        options = RolloutOptions(name="web", namespace=self.name, kubeconfig=str(self.api.kubeconfig))
        self.rollout = ArgoRollout(options, Path())
        self.spec: dict[str, Any] = {}
        self.failed: set[str] = set()
        self._version = 0

    def apply(self, kind: str, name: str, spec: Any, version: str = _VERSION) -> None:
        metadata = {"name": name, "namespace": self.name}
        self.api.apply({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})

    def release(self, version: int, *, behaviour: str = "", **spec: Any) -> None:
        """Apply a version; what `spec` says stays for those that follow."""
        self.spec |= spec
        self._version = version
        template = _template(version, behaviour)
        selector = {"matchLabels": {"app": "web"}}
        if "workloadRef" in self.spec:
            given = {"replicas": 1, "selector": selector, "template": template}
            self.apply("Deployment", "web", given, "apps/v1")
            self.apply("Rollout", "web", {"selector": selector, **self.spec})
        else:
            self.apply("Rollout", "web", {"selector": selector, "template": template, **self.spec})

    def look(self) -> RolloutVerdict:
        """What the gray release is told now; never of another release, and never promoted too early."""
        seen = self.rollout.observe()
        found = argo_rollouts(seen, lambda item: runs_release(item, [f":{self._version}"]), 0)
        if not self.seen or self.seen[-1][1] != found:
            self.seen.append((seen, found))
        return found

    def until(self, phase: RolloutPhase, says: str = "", timeout: float = 60.0) -> RolloutVerdict:
        """Look until this is said; any end before it is another one."""
        began = time.monotonic()
        while True:
            found = self.look()
            if found.phase is phase and says in found.reason:
                self.failed |= {f"{IMAGE}{self._version}"} if phase is FAILED else set()
                return found
            assert found.phase not in {PROMOTED, FAILED}, found
            assert time.monotonic() - began < timeout, found
            time.sleep(0.02)

    def go_on(self) -> None:
        """Say so, as a stage does: again where it was not heard, which happens within moments of a pause."""
        waits = self.look()
        for _ in range(3):
            self.rollout.go_on()
            heard = time.monotonic() + 3
            while time.monotonic() < heard:
                now = self.look()
                if (now.phase, now.step) != (waits.phase, waits.step):
                    return
                time.sleep(0.02)
        pytest.fail(f"it does not go on: {now}")

    def live(self, **spec: Any) -> None:
        """A first version that runs."""
        self.release(1, **{"replicas": 5, **spec})
        self.until(PROMOTED)
        self.seen.clear()

    def service(self, name: str) -> None:
        self.apply("Service", name, {"selector": {"app": "web"}, "ports": [{"port": 80}]}, "v1")

    def weights(self) -> list[int]:
        """The weights that were told, one after the other."""
        told = [found.weight for _, found in self.seen if found.weight is not None]
        return [weight for weight, _ in itertools.groupby(told)]


def _template(version: int, behaviour: str = "") -> dict[str, Any]:
    annotations = {"annotations": {"pipegraft.test/pod": behaviour}} if behaviour else {}
    return {
        "metadata": {"labels": {"app": "web"}, **annotations},
        "spec": {"containers": [{"name": "web", "image": f"{IMAGE}{version}"}]},
    }


def _canary(*steps: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"strategy": {"canary": {"steps": list(steps), **more}}}


def _weight(percent: int) -> dict[str, Any]:
    return {"setWeight": percent}


_PAUSE: dict[str, Any] = {"pause": {}}
_WHILE = {"pause": {"duration": "3s"}}
_ANALYSIS = {"analysis": {"templates": [{"templateName": "reading"}]}}


def _reads(world: World, **metric: Any) -> None:
    """A template whose metric is what the test sets: 0 is well, above 9 is bad, else it is not known."""
    provider = {"web": {"url": world.place.metric, "jsonPath": "{$.value}"}}
    reading = {
        "name": "reading",
        "successCondition": "result < 1",
        "failureCondition": "result > 9",
        "interval": "1s",
        "count": 1,
        "provider": provider,
        **metric,
    }
    world.apply("AnalysisTemplate", "reading", {"metrics": [reading]})


def _routed(world: World) -> dict[str, Any]:
    """An Ingress whose weights Argo Rollouts writes."""
    for name in ("stable", "canary"):
        world.service(name)
    backend = {"service": {"name": "stable", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    rule = {"host": "shop.example.com", "http": {"paths": [path]}}
    world.apply("Ingress", "web", {"ingressClassName": "nginx", "rules": [rule]}, "networking.k8s.io/v1")
    routing = {"nginx": {"stableIngress": "web"}}
    return {"stableService": "stable", "canaryService": "canary", "trafficRouting": routing}


def _by_replicas(world: World) -> None:
    world.live(**_canary(_weight(20), _PAUSE, _weight(60), _PAUSE))
    world.release(2)
    assert world.until(WAITING).weight == 20
    world.go_on()
    found = world.until(WAITING, "step 3 of 4")
    assert (found.weight, found.step) == (60, 3)
    world.go_on()
    world.until(PROMOTED)
    assert world.weights()[-1] == 100


def _by_weights(world: World) -> None:
    world.live(**_canary(_weight(10), _PAUSE, _weight(50), _PAUSE, **_routed(world)))
    world.release(2)
    assert world.until(WAITING).weight == 10
    world.go_on()
    assert world.until(WAITING, "step 3 of 4").weight == 50
    world.go_on()
    world.until(PROMOTED)
    assert {10, 50} <= set(world.weights())


def _timed(world: World) -> None:
    world.live(**_canary(_weight(20), _WHILE, _weight(80), _WHILE))
    world.release(2)
    world.until(PROMOTED)
    assert all(found.phase is not WAITING for _, found in world.seen)


def _analysis_fails(world: World) -> None:
    _reads(world)
    world.live(**_canary(_weight(20), _ANALYSIS, _PAUSE))
    _Reading.value = 10
    world.release(2)
    world.until(FAILED, "reading")


def _analysis_passes(world: World) -> None:
    _reads(world)
    world.live(**_canary(_weight(20), _ANALYSIS))
    world.release(2)
    world.until(PROMOTED)


def _inconclusive(world: World) -> None:
    """A person, or a judge, decides what an analysis could not; the step after it is a pause of its own."""
    _reads(world)
    world.live(**_canary(_weight(20), _ANALYSIS, _PAUSE, _weight(60)))
    _Reading.value = 5
    world.release(2)
    found = world.until(WAITING, "Inconclusive")
    assert found.step == 1
    world.go_on()
    assert world.until(WAITING, "step 2 of 4").step == 2
    world.go_on()
    world.until(PROMOTED)


def _background(world: World) -> None:
    """A metric that turns bad later on."""
    _reads(world, count=1000)
    analysis = {"templates": [{"templateName": "reading"}], "startingStep": 1}
    world.live(**_canary(_weight(20), _PAUSE, _weight(60), _PAUSE, analysis=analysis))
    world.release(2)
    world.until(WAITING)
    _Reading.value = 10
    world.until(FAILED, "reading")


def _job_fails(world: World) -> None:
    template = {
        "metadata": {"annotations": {"pipegraft.test/pod": "fail"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "try", "image": f"{IMAGE}try"}]},
    }
    metric = {"name": "smoke", "provider": {"job": {"spec": {"backoffLimit": 0, "template": template}}}}
    world.apply("AnalysisTemplate", "reading", {"metrics": [metric]})
    world.live(**_canary(_weight(20), _ANALYSIS))
    world.release(2)
    world.until(FAILED, "smoke")


def _aborted(world: World) -> None:
    world.live(**_canary(_weight(20), _PAUSE))
    world.release(2)
    world.until(WAITING)
    world.rollout.abort()
    world.until(FAILED, "abort")


def _taken_back(world: World) -> None:
    """The release before, committed again after an abort, is promoted as that one, at once."""
    _aborted(world)
    world.release(1)
    world.until(PROMOTED)


def _again(world: World) -> None:
    """What was aborted before says nothing of the release that follows."""
    _aborted(world)
    world.seen.clear()
    world.release(3)
    assert world.until(WAITING).weight == 20
    world.go_on()
    world.until(PROMOTED)


def _never_ready(world: World) -> None:
    world.live(progressDeadlineSeconds=3, **_canary(_weight(20)))
    world.release(2, behaviour="hang")
    world.until(FAILED, "ProgressDeadlineExceeded")


def _deadline_aborts(world: World) -> None:
    world.live(progressDeadlineSeconds=3, progressDeadlineAbort=True, **_canary(_weight(20)))
    world.release(2, behaviour="hang")
    world.until(FAILED)


def _repaired(world: World) -> None:
    _never_ready(world)
    world.seen.clear()
    world.release(3)
    world.until(PROMOTED)


def _invalid(world: World) -> None:
    world.live(**_canary(_weight(20)))
    world.release(2, **_canary(_weight(120)))
    world.until(FAILED, "InvalidSpec")


def _by_hand(world: World) -> None:
    world.live(**_canary(_weight(20), _WHILE, _weight(60), _WHILE))
    world.release(2)
    world.until(PROGRESSING, "step 1 of 4")
    paused = '{"spec":{"paused":true}}'
    place = ("rollout.argoproj.io", "web", "-n", world.name)
    world.api.kubectl("patch", *place, "--type=merge", "-p", paused)
    world.until(WAITING, "paused by hand")
    world.spec["paused"] = False
    world.release(2)
    world.until(PROMOTED)


def _blue_green(world: World) -> None:
    for name in ("active", "preview"):
        world.service(name)
    switch = {"activeService": "active", "previewService": "preview", "autoPromotionEnabled": False}
    world.live(strategy={"blueGreen": switch})
    world.release(2)
    assert world.until(WAITING).weight == 0
    world.go_on()
    world.until(PROMOTED)
    assert world.weights() == [0, 100]


def _blue_green_by_itself(world: World) -> None:
    world.service("active")
    world.live(strategy={"blueGreen": {"activeService": "active"}})
    world.release(2)
    world.until(PROMOTED)
    assert set(world.weights()) <= {0, 100}


def _blue_green_fails_after(world: World) -> None:
    """An analysis after the switch sends the requests back."""
    world.service("active")
    _reads(world)
    after = {"templates": [{"templateName": "reading"}]}
    world.live(strategy={"blueGreen": {"activeService": "active", "postPromotionAnalysis": after}})
    _Reading.value = 10
    world.release(2)
    world.until(FAILED, "reading")


def _referred(world: World) -> None:
    """The pod template is a Deployment's."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "scaleDown": "onsuccess"}
    world.live(workloadRef=reference, **_canary(_weight(20), _PAUSE))
    world.release(2)
    assert world.until(WAITING).weight == 20
    world.go_on()
    world.until(PROMOTED)


def _without_steps(world: World) -> None:
    world.live(strategy={"canary": {}})
    world.release(2)
    world.until(PROMOTED)


def _late(world: World) -> None:
    world.live(strategy={"canary": {}})
    world.release(2, behaviour="late")
    world.until(PROMOTED)


def _first_crashes(world: World) -> None:
    world.release(1, behaviour="hang", replicas=1, progressDeadlineSeconds=3, **_canary(_weight(20), _PAUSE))
    world.until(FAILED)


def _overtaken(world: World) -> None:
    """A newer release while one waits: it begins anew, and what is said of the one before is not of it."""
    world.live(**_canary(_weight(20), _PAUSE, _weight(60), _PAUSE))
    world.release(2)
    world.until(WAITING)
    world.go_on()
    world.until(WAITING, "step 3 of 4")
    world.seen.clear()
    world.release(3)
    assert world.until(WAITING).step == 1


def _unpaused(world: World) -> None:
    """A commit ends a pause and brings a version; the status of that moment is of the one before."""
    world.live(**_canary(_weight(20), _PAUSE))
    world.release(1, paused=True)
    world.until(WAITING, "paused by hand")
    world.release(2, paused=False)
    world.until(WAITING, "step 1 of 2")


def _scaled(world: World) -> None:
    """A commit that brings a version and another number of pods."""
    world.live(**_canary(_weight(50), _PAUSE))
    world.release(2, replicas=2)
    assert world.until(WAITING).weight in {33, 50}
    world.go_on()
    world.until(PROMOTED)


def _nothing_new(world: World) -> None:
    world.live(**_canary(_weight(20), _PAUSE))
    world.release(1, revisionHistoryLimit=3)
    world.until(PROMOTED)


SCENARIOS: dict[str, Callable[[World], None]] = {
    "a canary by replicas": _by_replicas,
    "a canary by weights": _by_weights,
    "timed pauses": _timed,
    "an analysis that fails": _analysis_fails,
    "an analysis that passes": _analysis_passes,
    "an analysis without an answer": _inconclusive,
    "an analysis that runs beside and turns bad": _background,
    "an analysis by a Job that fails": _job_fails,
    "aborted": _aborted,
    "aborted, and the one before committed again": _taken_back,
    "a release after one that was aborted": _again,
    "pods that never are ready": _never_ready,
    "a deadline that aborts": _deadline_aborts,
    "a release that repairs": _repaired,
    "an invalid specification": _invalid,
    "paused by hand": _by_hand,
    "blue-green": _blue_green,
    "blue-green by itself": _blue_green_by_itself,
    "blue-green, an analysis after it that fails": _blue_green_fails_after,
    "a Deployment's template": _referred,
    "no steps": _without_steps,
    "pods that start late": _late,
    "a first release that never is ready": _first_crashes,
    "a newer release": _overtaken,
    "unpaused with a newer version": _unpaused,
    "scaled with a newer version": _scaled,
    "nothing new": _nothing_new,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_argo_rollouts(name: str, place: Place) -> None:
    world = World(place)
    events = _Events(place.api, world.name)
    SCENARIOS[name](world)
    wait_until(lambda: events.caught_up(world.seen[-1][0].rollout), "its events")
    sets = json.loads(place.api.kubectl("get", "replicasets", "-n", world.name, "-o", "json"))["items"]
    by_hash = {one["metadata"]["labels"].get("rollouts-pod-template-hash"): one for one in sets}
    for rollout in events.rollouts if "workloadRef" not in world.spec else ():
        _check_moment(rollout, by_hash, world.failed)
    _record(name, world)


def _check_moment(rollout: Mapping[str, Any], sets: Mapping[str, Any], failed: Collection[str]) -> None:
    """Whatever moment a look falls on, it says neither too early that it is promoted nor that it failed."""
    status = rollout.get("status") or {}
    image = rollout["spec"]["template"]["spec"]["containers"][0]["image"]
    working = sets.get(status.get("currentPodHash"))
    found = argo_rollouts(
        RolloutSeen(rollout, rollout, working=working), lambda item: runs_release(item, [image]), 0
    )
    if found.phase is PROMOTED:
        assert working
        assert working["spec"]["template"]["spec"]["containers"][0]["image"] == image
        assert status["stableRS"] == status["currentPodHash"]
        assert status["updatedReplicas"] == rollout["spec"]["replicas"]
    assert found.phase is not FAILED or image in failed


class _Events:
    """Every state of the Rollouts of a namespace."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self._api = api
        self._path = f"/apis/{_VERSION}/namespaces/{namespace}/rollouts"
        self.rollouts: list[Mapping[str, Any]] = []
        threading.Thread(target=self._follow, daemon=True).start()

    def caught_up(self, last: Mapping[str, Any] | None) -> bool:
        """Whether a state, or one after it, was told."""
        version = int((last or {})["metadata"]["resourceVersion"])
        return any(int(one["metadata"]["resourceVersion"]) >= version for one in list(self.rollouts))

    def _follow(self) -> None:
        with suppress(OSError, ValueError):
            for event in self._api.watch(self._path):
                self.rollouts.append(event["object"])


def _record(name: str, world: World) -> None:
    """What the real controller said, for `tests/gray/recorded`, where a folder is named for it."""
    folder = os.environ.get("PIPEGRAFT_GATE_RECORD")
    if not folder:
        return
    looks = [
        {
            "rollout": _kept(seen.rollout),
            "working": _kept(seen.working),
            "workload": None if seen.workload is seen.rollout else _kept(seen.workload),
            "says": [found.phase, found.weight, found.step, found.reason],
        }
        for seen, found in world.seen
    ]
    told = {"scenario": name, "looks": looks}
    Path(folder, f"argo-rollouts {name}.json").write_text(json.dumps(told).replace(world.name, "shop"))


def _kept(item: Mapping[str, Any] | None) -> Any:
    """What a rule may read of an object."""
    if item is None:
        return None
    metadata = {key: item["metadata"].get(key) for key in ("name", "namespace", "generation")}
    return {**item, "metadata": metadata}
