"""The gate before the real Argo CD and the real Flux, scenario by scenario."""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import git_http
import pytest
from cluster import running_cluster
from engine_servers import ArgoCdServer, running_argocd, running_flux
from engine_world import Delivery, Observer, deployment, job
from harness import missing, wait_until
from kubernetes_api import KubernetesApi

from pipegraft.gate.ports import State

pytestmark = [pytest.mark.e2e, pytest.mark.engines]

IMAGE = "registry.example.com/shop/web:"
PASS, FAIL, WAIT, BLOCKED, SUSPENDED = (
    State.SUCCEEDED,
    State.FAILED,
    State.PROGRESSING,
    State.BLOCKED,
    State.SUSPENDED,
)
_SELF = {"prune": True, "selfHeal": True}
_ENDS = int(os.environ.get("PIPEGRAFT_GATE_ENDS", "20"))
_NUMBERS = itertools.count(1)
_WATCHED = (
    "/apis/argoproj.io/v1alpha1/applications",
    "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
    "/apis/source.toolkit.fluxcd.io/v1/gitrepositories",
    "/apis/helm.toolkit.fluxcd.io/v2/helmreleases",
    "/apis/apps/v1/deployments",
    "/apis/batch/v1/jobs",
    "/api/v1/pods",
)


@dataclass
class Place:
    """The servers that all scenarios share."""

    api: KubernetesApi
    argocd: ArgoCdServer
    git: str
    folder: Path
    observer: Observer
    seconds: list[tuple[str, str, float]] = field(default_factory=list)
    beside: list[tuple[str, str, str, int, float, float]] = field(default_factory=list)

    def delivery(self) -> Delivery:
        return Delivery(self.api, self.folder, self.git, f"shop{next(_NUMBERS)}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folders = {name: tmp_path_factory.mktemp(name) for name in ("cluster", "flux", "argocd", "git")}
    with (
        running_cluster(folders["cluster"]) as api,
        running_flux(folders["flux"], api),
        running_argocd(folders["argocd"], api) as argocd,
        git_http.serve(folders["git"]) as git,
    ):
        found = Place(api, argocd, git.url, folders["git"], Observer(api, *_WATCHED))
        yield found
        found.observer.close()
    _write_figures(found)


def _write_figures(place: Place) -> None:
    """How long the gate took from the deciding news to its end, for the documentation."""
    if not (os.environ.get("PIPEGRAFT_GATE_FIGURES") and place.seconds):
        return
    rows = [
        {"engine": engine, "scenario": name, "seconds": seconds} for engine, name, seconds in place.seconds
    ]
    median = statistics.median(seconds for _, _, seconds in place.seconds)
    Path(os.environ["PIPEGRAFT_GATE_FIGURES"]).write_text(
        json.dumps({"median": median, "scenarios": rows, "beside": place.beside}, indent=1)
    )


@dataclass(frozen=True)
class Scenario:
    """What is delivered, and what the gate must say.

    Arguments:
        play: prepares everything and answers the target and what `Delivery.gate` is given beside it.
        state: of the verdict; None: an error instead of one.
        says: part of its reason, its evidence or the error.
        decided: whether the engine's news ends the wait, so that its time is measured.
    """

    name: str
    play: Callable[[Any], tuple[str, dict[str, Any]]]
    state: State | None
    says: str = ""
    decided: bool = True


class Argo:
    """One Application, and the ways to prepare it."""

    engine = "argocd"

    def __init__(self, place: Place, **transport: Any) -> None:
        self.place, self.api = place, place.api
        self.delivery = place.delivery()
        self.name = self.delivery.name
        self._transport = transport

    def release(self, version: int, **how: Any) -> str:
        return self.delivery.commit({"app/web.yaml": deployment("web", f"{IMAGE}{version}", **how)})

    def application(self, name: str = "", namespace: str = "argocd", **spec: Any) -> None:
        automated = spec.pop("automated", _SELF)
        source = {"repoURL": self.delivery.repository, "path": "app", "targetRevision": "main"}
        whole = {
            "project": "default",
            "destination": {"server": "https://kubernetes.default.svc", "namespace": self.name},
            "syncPolicy": {"automated": automated} if automated is not None else {},
            **({} if {"sources", "sourceHydrator"} & spec.keys() else {"source": source}),
            **spec,
        }
        metadata = {"name": name or self.name, "namespace": namespace, **spec.pop("metadata", {})}
        whole.pop("metadata", None)
        self.api.apply(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": metadata,
                "spec": whole,
            }
        )

    def wait(self, target: str, **options: Any) -> Any:
        given = {"application": self.name, "settle": 1.0, "timeout": 30.0, **self._transport, **options}
        return self.delivery.gate("argocd", target, **given)

    def live(self, version: int = 1) -> str:
        """A release that is delivered."""
        target = self.release(version)
        self.application()
        assert self.wait(target).error is None
        return target


def _argo(*steps: Callable[[Argo], str], **options: Any) -> Callable[[Argo], tuple[str, dict[str, Any]]]:
    def play(world: Argo) -> tuple[str, dict[str, Any]]:
        target = ""
        for step in steps:
            target = step(world) or target
        return target, options

    return play


def _failed_before(world: Any) -> None:
    broken = world.delivery.commit({"app/web.yaml": "kind: ["})
    assert world.wait(broken).error


def _two_sources(world: Argo) -> str:
    target = world.delivery.commit(
        {
            "app/web.yaml": deployment("web", f"{IMAGE}1"),
            "more/settings.yaml": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}},
        }
    )
    source = {"repoURL": world.delivery.repository, "targetRevision": "main"}
    world.application(sources=[{**source, "path": "app"}, {**source, "path": "more"}])
    return target


def _children(world: Argo, automated: Any = _SELF, **child: Any) -> str:
    """An Application that declares another one, of the same repository."""
    source = {"repoURL": world.delivery.repository, "path": "child", "targetRevision": "main"}
    below = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": f"{world.name}-child", "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": source,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": world.name},
            "syncPolicy": {"automated": automated} if automated else {},
        },
    }
    target = world.delivery.commit(
        {"app/child.yaml": below, "child/web.yaml": deployment("web", f"{IMAGE}1", **child)}
    )
    world.application()
    return target


def _namesake(world: Argo) -> str:
    """A healthy Application of the same name in Argo CD's own namespace, ours in another one."""
    world.live()
    target = world.release(2, behaviour="crash")
    world.api.kubectl("delete", "application", world.name, "-n", "argocd", "--wait=false")
    other = Argo(world.place)
    other.application(name=world.name, source={**_source(other), "targetRevision": "main"})
    world.application(namespace="teams")
    return target


def _source(world: Argo) -> dict[str, str]:
    return {"repoURL": world.delivery.repository, "path": "app"}


def _window(world: Argo) -> str:
    project = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": world.name, "namespace": "argocd"},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "syncWindows": [
                {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}
            ],
        },
    }
    world.api.apply(project)
    target = world.release(1)
    world.application(project=world.name)
    return target


def _hook(world: Argo, behaviour: str, when: str = "PreSync", **spec: Any) -> str:
    hook = job("migrate", behaviour=behaviour, **spec)
    hook["metadata"]["annotations"] = {"argocd.argoproj.io/hook": when}
    return world.delivery.commit({"app/hook.yaml": hook, "app/web.yaml": deployment("web", f"{IMAGE}2")})


def _quota(world: Any) -> None:
    spec = {"hard": {"pods": "0"}}
    metadata = {"name": "none", "namespace": world.name}
    world.api.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec})
    time.sleep(1)


def _removed(world: Any) -> str:
    return world.delivery.commit({"app/extra.yaml": None, "app/web.yaml": deployment("web", f"{IMAGE}2")})


def _with_extra(world: Argo) -> str:
    target = world.delivery.commit(
        {
            "app/web.yaml": deployment("web", f"{IMAGE}1"),
            "app/extra.yaml": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}},
        }
    )
    world.application(automated={"prune": False, "selfHeal": True})
    assert world.wait(target).error is None
    return target


def _object(kind: str, name: str, version: str = "v1", **parts: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **parts}


def _selector_changed(world: Any) -> str:
    item = deployment("web", f"{IMAGE}2")
    item["spec"]["selector"]["matchLabels"]["new"] = "label"
    item["spec"]["template"]["metadata"]["labels"]["new"] = "label"
    return world.delivery.commit({"app/web.yaml": item})


def _workload(kind: str) -> Callable[[Any], str]:
    def step(world: Any) -> str:
        item = deployment("web", f"{IMAGE}1")
        item["kind"] = kind
        if kind == "DaemonSet":
            item["spec"].pop("replicas")
        if kind == "StatefulSet":
            item["spec"]["serviceName"] = "web"
        return world.delivery.commit({"app/web.yaml": item})

    return step


_ONCE = {"automated": {}, "retry": {"limit": 1, "backoff": {"duration": "1s"}}}


def _widget(world: Any) -> str:
    item = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "x"}}
    return world.delivery.commit({"app/x.yaml": item})


def _made(world: Any) -> None:
    world.application()


def _ignoring(world: Argo) -> str:
    """A release whose image Argo CD does not see, and therefore does not bring."""
    paths = [".spec.template.spec.containers[].image"]
    rule = {"group": "apps", "kind": "Deployment", "jqPathExpressions": paths}
    first = world.release(1)
    world.application(ignoreDifferences=[rule])
    assert world.wait(first).error is None  # an object that is not there yet is made as it is declared
    return world.release(2)


def _on_delete(world: Any) -> str:
    """A second release of a StatefulSet whose pods nobody replaces."""
    item = deployment("web", f"{IMAGE}1")
    item["kind"] = "StatefulSet"
    item["spec"] |= {"serviceName": "web", "updateStrategy": {"type": "OnDelete"}}
    first = world.delivery.commit({"app/web.yaml": item})
    world.application()
    assert world.wait(first).error is None
    item["spec"]["template"]["spec"]["containers"][0]["image"] = f"{IMAGE}2"
    return str(world.delivery.commit({"app/web.yaml": item}))


def _stateful(world: Any, version: int, **spec: Any) -> str:
    item = deployment("web", f"{IMAGE}{version}")
    item["kind"] = "StatefulSet"
    item["spec"] |= {"serviceName": "web", **spec}
    return str(world.delivery.commit({"app/web.yaml": item}))


def _partitioned(world: Any) -> str:
    """A second release of a StatefulSet that lets no pod become new."""
    held = {"updateStrategy": {"rollingUpdate": {"partition": 1}}}
    first = _stateful(world, 1, **held)
    world.application()
    assert world.wait(first).error is None
    return _stateful(world, 2, **held)


def _held_back(world: Any) -> str:
    """A second release of a StatefulSet whose old pod somebody keeps from its end."""
    first = _stateful(world, 1)
    world.application()
    assert world.wait(first).error is None
    held = '{"metadata": {"finalizers": ["example.com/hold"]}}'
    world.api.kubectl("patch", "pod", "web-0", "-n", world.name, "--type=merge", "-p", held)
    return _stateful(world, 2)


def _again(world: Any, **how: Any) -> str:
    """A Job that has run, and is to run once more by the same name with another image."""
    item = job("migrate")
    first = world.delivery.commit({"app/job.yaml": item})
    world.application(**how)
    assert world.wait(first).error is None
    item["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/job:2"
    return str(world.delivery.commit({"app/job.yaml": item}))


def _admission(world: Any) -> None:
    """Nothing of the second version is let in."""
    name, group = world.name, "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}
    chosen = {"matchLabels": {"kubernetes.io/metadata.name": name}}
    test = f"!object.spec.template.spec.containers.exists(c, c.image == '{IMAGE}2')"
    policy = {
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": chosen},
        "validations": [{"expression": test, "message": "not this one"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    world.api.apply(
        _object("ValidatingAdmissionPolicy", name, group, spec=policy),
        _object("ValidatingAdmissionPolicyBinding", name, group, spec=binding),
    )
    tried = ("create", "deployment", "x", f"--image={IMAGE}2", "-n", name, "--dry-run=server")
    wait_until(lambda: world.api.kubectl_process(*tried).returncode != 0, "the policy to be in force")


def _out_of_time(world: Any) -> None:
    world.live()
    failing = world.release(2, behaviour="hang", progressDeadlineSeconds=2)
    assert world.wait(failing).error


_SECOND = [f"{IMAGE}2@sha256:{'2' * 64}"]

COMMON = [
    Scenario(
        "its image compared",
        _argo(lambda w: w.live(), lambda w: w.release(2), released=_SECOND),
        PASS,
    ),
    Scenario(
        "another image than that of the release",
        _argo(lambda w: w.live(), released=_SECOND),
        BLOCKED,
        "Deployment SPACE/web still runs",
        decided=False,
    ),
    Scenario(
        "pods that are replaced once they are deleted",
        _argo(_on_delete, released=_SECOND),
        BLOCKED,
        "OnDelete",
    ),
    Scenario(
        "a partition that lets no pod be new",
        _argo(_partitioned, released=_SECOND),
        BLOCKED,
        "its partition, 1, keeps",
    ),
    Scenario("a Job that is to run again by its name", _argo(_again), FAIL, "immutable"),
    Scenario(
        "what admission denies",
        _argo(lambda w: w.live(), _admission, lambda w: w.release(2)),
        FAIL,
        "denied request: not this one",
    ),
    Scenario("a first release", _argo(lambda w: w.release(1), _made), PASS),
    Scenario("a second release", _argo(lambda w: w.live(), lambda w: w.release(2)), PASS),
    Scenario(
        "pods that start late", _argo(lambda w: w.live(), lambda w: w.release(2, behaviour="late")), PASS
    ),
    Scenario(
        "a commit that changes nothing there",
        _argo(lambda w: w.live(), lambda w: w.delivery.commit({})),
        PASS,
    ),
    Scenario("asked again about what is live", _argo(lambda w: w.live()), PASS),
    Scenario(
        "crashing pods",
        _argo(lambda w: w.live(), lambda w: w.release(2, behaviour="crash")),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario(
        "no image",
        _argo(lambda w: w.live(), lambda w: w.release(2, behaviour="pull")),
        FAIL,
        "ImagePullBackOff",
    ),
    Scenario(
        "a first release that crashes",
        _argo(lambda w: w.release(1, behaviour="crash"), _made),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario(
        "repaired after a crash",
        _argo(
            lambda w: w.live(),
            lambda w: w.release(2, behaviour="crash"),
            lambda w: time.sleep(2),
            lambda w: w.release(3),
        ),
        PASS,
    ),
    Scenario(
        "pods that never are ready",
        _argo(lambda w: w.live(), lambda w: w.release(2, behaviour="hang"), timeout=5.0),
        WAIT,
        "",
        decided=False,
    ),
    Scenario(
        "its deadline exceeded",
        _argo(lambda w: w.live(), lambda w: w.release(2, behaviour="hang", progressDeadlineSeconds=3)),
        FAIL,
        "web",
    ),
    Scenario(
        "a failing Job",
        _argo(
            lambda w: w.live(),
            lambda w: w.delivery.commit({"app/job.yaml": job("migrate", behaviour="fail")}),
        ),
        FAIL,
        "migrate",
    ),
    Scenario(
        "a Job",
        _argo(lambda w: w.live(), lambda w: w.delivery.commit({"app/job.yaml": job("migrate")})),
        PASS,
    ),
    Scenario(
        "a Job that does not end",
        _argo(
            lambda w: w.live(),
            lambda w: w.delivery.commit({"app/job.yaml": job("migrate", behaviour="run")}),
            timeout=5.0,
        ),
        WAIT,
        "",
        decided=False,
    ),
    Scenario("a StatefulSet", _argo(_workload("StatefulSet"), _made), PASS),
    Scenario("a DaemonSet", _argo(_workload("DaemonSet"), _made), PASS),
    Scenario(
        "an invalid manifest",
        _argo(lambda w: w.live(), lambda w: w.release(2, replicas=-1)),
        FAIL,
        "is invalid",
    ),
    Scenario("an immutable field", _argo(lambda w: w.live(), _selector_changed), FAIL, "immutable"),
    Scenario(
        "a file that is not YAML",
        _argo(lambda w: w.live(), lambda w: w.delivery.commit({"app/web.yaml": "kind: ["})),
        FAIL,
    ),
    Scenario(
        "an error that this release repairs",
        _argo(lambda w: w.live(), _failed_before, lambda w: w.release(2)),
        PASS,
    ),
    Scenario(
        "a path that does not exist",
        _argo(lambda w: w.delivery.commit({"else/where": "x"}), _made),
        FAIL,
        "app",
    ),
    Scenario(
        "a path that comes with this release",
        _argo(
            lambda w: w.delivery.commit({"else/where": "x"}),
            _made,
            lambda w: time.sleep(2),
            lambda w: w.release(1),
        ),
        PASS,
    ),
    Scenario(
        "repaired and scaled after its deadline was exceeded",
        _argo(_out_of_time, lambda w: w.release(3, replicas=2)),
        PASS,
    ),
    Scenario(
        "a quota that is used up",
        _argo(lambda w: w.live(), _quota, lambda w: w.release(2), timeout=10.0),
        WAIT,
        "quota",
        decided=False,
    ),
    Scenario(
        "a commit on top",
        _argo(
            lambda w: w.live(),
            lambda w: w.release(2),
            lambda w: (
                w.delivery.commit(
                    {"app/more.yaml": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}}}
                ),
                "",
            )[1],
        ),
        PASS,
    ),
]
ARGO = [
    Scenario(
        "a kind that is not installed, tried again",
        _argo(lambda w: w.live(), _widget, timeout=5.0),
        WAIT,
        "example.com/v1",
        decided=False,
    ),
    Scenario(
        "a kind that is not installed",
        _argo(_widget, lambda w: w.application(syncPolicy=_ONCE)),
        FAIL,
        "example.com/v1",
    ),
    Scenario(
        "a wrong name", _argo(lambda w: w.live(), application="nosuch"), None, "no Application 'nosuch'"
    ),
    Scenario(
        "another repository",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application(source={"repoURL": "https://git.example.com/x.git", "path": "app"}),
        ),
        FAIL,
        "no source of the Application",
    ),
    Scenario(
        "another branch",
        _argo(
            lambda w: w.release(1), lambda w: w.application(source={**_source(w), "targetRevision": "stable"})
        ),
        FAIL,
        "not the branch",
    ),
    Scenario("two sources", _argo(_two_sources), PASS),
    Scenario(
        "automation off",
        _argo(lambda w: w.release(1), lambda w: w.application(automated=None)),
        BLOCKED,
        "automated sync is off",
    ),
    Scenario(
        "automation disabled",
        _argo(lambda w: w.release(1), lambda w: w.application(automated={"enabled": False})),
        BLOCKED,
        "automated sync is off",
    ),
    Scenario("pruning off", _argo(_with_extra, _removed), BLOCKED, "must be pruned"),
    Scenario("a closed sync window", _argo(_window), BLOCKED, "sync window"),
    Scenario(
        "reconciliation switched off",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application(metadata={"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}),
        ),
        BLOCKED,
        "switched off",
    ),
    Scenario("a failing hook", _argo(lambda w: w.live(), lambda w: _hook(w, "fail")), FAIL, "migrate"),
    Scenario(
        "a hook that does not end",
        _argo(lambda w: w.live(), lambda w: _hook(w, "run"), timeout=5.0),
        WAIT,
        "migrate",
        decided=False,
    ),
    Scenario(
        "a namespace that is not there",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application(
                destination={"server": "https://kubernetes.default.svc", "namespace": "nowhere"},
                syncPolicy=_ONCE,
            ),
        ),
        FAIL,
        "nowhere",
    ),
    Scenario("an app of apps", _argo(_children, children=True), PASS),
    Scenario(
        "an app of apps whose child crashes",
        _argo(lambda w: _children(w, behaviour="crash"), children=True),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario(
        "a namesake in another namespace",
        _argo(_namesake, namespace="teams", timeout=20.0),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario(
        "a paused Deployment",
        _argo(lambda w: w.live(), lambda w: w.release(2, paused=True)),
        SUSPENDED,
        "Suspended",
    ),
    Scenario(
        "an image that it is told to ignore",
        _argo(_ignoring, released=_SECOND),
        BLOCKED,
        "ignores differences there (.spec.template.spec.containers[].image)",
        decided=False,
    ),
    Scenario(
        "the wrong project named", _argo(lambda w: w.live(), project="other"), None, "of project 'other'"
    ),
]


def _beside(*items: dict[str, Any]) -> Callable[[Any], str]:
    """A first release with other objects beside it."""

    def step(world: Any) -> str:
        files = {f"app/{item['kind']}.yaml".lower(): item for item in items}
        return str(world.delivery.commit({"app/web.yaml": deployment("web", f"{IMAGE}1"), **files}))

    return step


_CLAIM = _object(
    "PersistentVolumeClaim",
    "data",
    spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
)
_BALANCED = _object(
    "Service", "front", spec={"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]}
)
_SCALER = _object(
    "HorizontalPodAutoscaler",
    "web",
    "autoscaling/v2",
    spec={
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 3,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
            }
        ],
    },
)


def _nightly(*, suspend: bool) -> dict[str, Any]:
    template = {"spec": job("x")["spec"]}
    spec = {"schedule": "0 3 * * *", "suspend": suspend, "jobTemplate": template}
    return _object("CronJob", "nightly", "batch/v1", spec=spec)


def _set_of(world: Argo, *names: str, behaviour: str = "", steps: bool = False) -> str:
    """Applications that an ApplicationSet makes, one for each name."""
    files = {f"{name}/web.yaml": deployment(name, f"{IMAGE}1", behaviour=behaviour) for name in names}
    target = world.delivery.commit(files)
    source = {"repoURL": world.delivery.repository, "path": "{{name}}", "targetRevision": "main"}
    template = {
        "metadata": {"name": f"{world.name}-{{{{name}}}}", "labels": {"step": "{{name}}"}},
        "spec": {
            "project": "default",
            "source": source,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": world.name},
            "syncPolicy": {"automated": {}},
        },
    }
    elements = [{"name": name} for name in names]
    item = _object(
        "ApplicationSet",
        world.name,
        "argoproj.io/v1alpha1",
        spec={
            "generators": [{"list": {"elements": elements}}],
            "template": template,
            **({"strategy": _step_by_step(*names)} if steps else {}),
        },
    )
    item["metadata"]["namespace"] = "argocd"
    world.api.apply(item)
    return target


def _by_hand(world: Argo) -> str:
    """What is delivered, and changed since by somebody."""
    target = world.release(1)
    world.application(automated={"prune": True})
    assert world.wait(target).error is None
    world.api.kubectl("scale", "deployment", "web", "-n", world.name, "--replicas=2")
    return target


def _step_by_step(*names: str) -> dict[str, Any]:
    chosen = [{"key": "step", "operator": "In", "values": [name]} for name in names]
    return {"type": "RollingSync", "rollingSync": {"steps": [{"matchExpressions": [one]} for one in chosen]}}


def _set(world: Argo, *names: str, **how: Any) -> tuple[str, dict[str, Any]]:
    target = _set_of(world, *names, **how)
    return target, {"application": None, "application_set": world.name, "expect": len(names)}


def _with_notes(world: Argo) -> None:
    target = world.delivery.commit({"app/web.yaml": deployment("web", f"{IMAGE}1"), "app/notes.txt": "x"})
    world.application()
    assert world.wait(target).error is None


def _with_confirmed(world: Argo, option: str = "Prune=confirm") -> None:
    extra = _object("ConfigMap", "extra")
    extra["metadata"]["annotations"] = {"argocd.argoproj.io/sync-options": option}
    target = world.delivery.commit({"app/web.yaml": deployment("web", f"{IMAGE}1"), "app/extra.yaml": extra})
    world.application()
    assert world.wait(target).error is None


_CHART = {
    "apiVersion": "v2",
    "name": "web",
    "version": "0.1.0",
}
_TEMPLATE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {{ toJson .Values.annotations }}
    spec: {containers: [{name: web, image: {{ .Values.image | quote }}}]}
"""


def _values(world: Argo) -> str:
    """A chart of one source, its values from another one of the same repository."""
    chart = {"app/Chart.yaml": _CHART, "app/templates/web.yaml": _TEMPLATE}
    values = {"image": f"{IMAGE}1", "annotations": {}}
    target = world.delivery.commit({**chart, "settings/production.yaml": values})
    source = {"repoURL": world.delivery.repository, "targetRevision": "main"}
    helm = {"valueFiles": ["$settings/settings/production.yaml"]}
    world.application(sources=[{**source, "path": "app", "helm": helm}, {**source, "ref": "settings"}])
    return target


def _barred(world: Argo) -> str:
    """A project that does not permit Deployments."""
    spec = {
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": "*"}],
        "namespaceResourceBlacklist": [{"group": "apps", "kind": "Deployment"}],
    }
    item = _object("AppProject", world.name, "argoproj.io/v1alpha1", spec=spec)
    item["metadata"]["namespace"] = "argocd"
    world.api.apply(item)
    target = world.release(1)
    world.application(project=world.name)
    return target


def _wave(world: Argo) -> str:
    first = job("first", behaviour="fail")
    first["metadata"]["annotations"] = {"argocd.argoproj.io/sync-wave": "-1"}
    return world.delivery.commit({"app/first.yaml": first, "app/web.yaml": deployment("web", f"{IMAGE}2")})


def _elsewhere(world: Argo) -> str:
    """A release into a namespace that Argo CD makes itself."""
    target = world.release(1)
    destination = {"server": "https://kubernetes.default.svc", "namespace": f"{world.name}-new"}
    making = {"automated": {}, "syncOptions": ["CreateNamespace=true"]}
    world.application(destination=destination, syncPolicy=making)
    return target


def _pruned_and_held(world: Argo) -> str:
    """What is removed waits for a finalizer."""
    extra = _object("ConfigMap", "extra")
    extra["metadata"]["finalizers"] = ["example.com/hold"]
    target = world.delivery.commit({"app/web.yaml": deployment("web", f"{IMAGE}1"), "app/extra.yaml": extra})
    world.application()
    assert world.wait(target).error is None
    return _removed(world)


def _made_anew(world: Argo) -> str:
    """Objects that are replaced, not changed."""
    world.release(1)
    world.application(syncPolicy={"automated": _SELF, "syncOptions": ["Replace=true"]})
    assert world.wait(world.release(2)).error is None
    return world.release(3, behaviour="crash")


def _contested(world: Argo) -> str:
    """A field that somebody else owns too, by server-side apply."""
    first = world.release(1)
    world.application(syncPolicy={"automated": {}, "syncOptions": ["ServerSideApply=true"]})
    assert world.wait(first).error is None
    world.api.apply(
        {
            **deployment("web", f"{IMAGE}1"),
            "metadata": {"name": "web", "namespace": world.name},
        }
    )
    return world.release(2)


def _values_again(world: Argo) -> str:
    """A second release of the source of values alone."""
    assert world.wait(_values(world)).error is None
    values = {"image": f"{IMAGE}2", "annotations": {"pipegraft.test/pod": "crash"}}
    return world.delivery.commit({"settings/production.yaml": values})


def _tagged(world: Any) -> Delivery:
    """Another repository, with a good version 1 and a version 2 whose pods crash."""
    other: Delivery = world.place.delivery()
    for version, behaviour in ((1, ""), (2, "crash")):
        other.commit({"app/web.yaml": deployment("web", f"{IMAGE}{version}", behaviour=behaviour)})
        other.tag(f"v{version}")
    return other


def _child_of_a_tag(world: Argo) -> str:
    """A child that follows a tag of another repository, and a release that names the next tag."""
    other = _tagged(world)

    def declared(tag: str) -> str:
        source = {"repoURL": other.repository, "path": "app", "targetRevision": tag}
        spec = {
            "project": "default",
            "source": source,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": world.name},
            "syncPolicy": {"automated": {}},
        }
        item = _object("Application", f"{world.name}-child", "argoproj.io/v1alpha1", spec=spec)
        item["metadata"]["namespace"] = "argocd"
        return world.delivery.commit({"app/child.yaml": item})

    first = declared("v1")
    world.application()
    assert world.wait(first, children=True).error is None
    return declared("v2")


def _hydrated(world: Argo) -> str:
    target = world.release(1)
    dry = {"repoURL": world.delivery.repository, "path": "app", "targetRevision": "main"}
    hydrator = {"drySource": dry, "syncSource": {"targetBranch": "live", "path": "app"}}
    world.application(sourceHydrator=hydrator)
    return target


def _being_deleted(world: Argo) -> str:
    world.live()
    target = world.release(2, behaviour="hang")
    held = '{"metadata": {"finalizers": ["example.com/hold"]}}'
    place = ("application", world.name, "-n", "argocd")
    world.api.kubectl("patch", *place, "--type=merge", "-p", held)
    world.api.kubectl("delete", *place, "--wait=false")
    return target


MORE_ARGO = [
    Scenario("objects that are replaced", _argo(_made_anew), FAIL, "CrashLoopBackOff"),
    Scenario("a field that somebody else owns", _argo(_contested, released=_SECOND), PASS),
    Scenario("values from a second source, changed alone", _argo(_values_again), FAIL, "CrashLoopBackOff"),
    Scenario(
        "a child that follows another tag",
        _argo(_child_of_a_tag, children=True),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario("hydrated manifests", _argo(_hydrated), FAIL, "hydrate"),
    Scenario("an Application that is being deleted", _argo(_being_deleted), FAIL, "being deleted"),
    Scenario("values from a second source", _argo(_values), PASS),
    Scenario("kinds that its project does not permit", _argo(_barred), FAIL, "is not permitted in project"),
    Scenario("a wave that fails", _argo(lambda w: w.live(), _wave), FAIL, "Job SPACE/first"),
    Scenario("a namespace that Argo CD makes", _argo(_elsewhere), PASS),
    Scenario(
        "a hook after the sync that fails",
        _argo(lambda w: w.live(), lambda w: _hook(w, "fail", "PostSync")),
        FAIL,
        "migrate",
    ),
    Scenario(
        "an app of apps whose child is not automated",
        _argo(lambda w: _children(w, automated=None), children=True),
        BLOCKED,
        "automated sync is off",
    ),
    Scenario(
        "what is pruned waits for a finalizer",
        _argo(_pruned_and_held, timeout=60.0),
        BLOCKED,
        "waits for its finalizers",
        decided=False,
    ),
    Scenario(
        "a claim that nobody serves",
        _argo(_beside(_CLAIM), _made, timeout=15.0),
        WAIT,
        "PersistentVolumeClaim SPACE/data",
        decided=False,
    ),
    Scenario(
        "a Service without an address",
        _argo(_beside(_BALANCED), _made, timeout=15.0),
        WAIT,
        "Service SPACE/front",
        decided=False,
    ),
    Scenario(
        "an autoscaler without metrics",
        _argo(_beside(_SCALER), _made, timeout=60.0),
        FAIL,
        "HorizontalPodAutoscaler SPACE/web",
        decided=False,
    ),
    Scenario("a CronJob", _argo(_beside(_nightly(suspend=False)), _made), PASS),
    Scenario("a suspended CronJob", _argo(_beside(_nightly(suspend=True)), _made), PASS),
    Scenario(
        "a suspended Job", _argo(_beside(job("later", suspend=True)), _made), SUSPENDED, "Job SPACE/later"
    ),
    Scenario("an ApplicationSet", lambda w: _set(w, "one", "two"), PASS),
    Scenario(
        "an ApplicationSet that goes step by step",
        lambda w: _set(w, "one", "two", steps=True),
        PASS,
    ),
    Scenario(
        "an ApplicationSet whose pods crash",
        lambda w: _set(w, "one", "two", behaviour="crash"),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario(
        "a second source without its path",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application(
                sources=[
                    {"repoURL": w.delivery.repository, "targetRevision": "main", "path": path}
                    for path in ("app", "no")
                ]
            ),
        ),
        FAIL,
        "no: app path does not exist",
    ),
    Scenario(
        "a project that does not allow the repository",
        _argo(
            lambda w: w.release(1),
            lambda w: w.api.apply(
                {
                    **_object(
                        "AppProject",
                        w.name,
                        "argoproj.io/v1alpha1",
                        spec={
                            "sourceRepos": ["https://git.example.com/*"],
                            "destinations": [{"server": "*", "namespace": "*"}],
                        },
                    ),
                    "metadata": {"name": w.name, "namespace": "argocd"},
                }
            ),
            lambda w: w.application(project=w.name),
        ),
        FAIL,
        "is not permitted",
    ),
    Scenario(
        "a project that is not there",
        _argo(lambda w: w.release(1), lambda w: w.application(project="nosuch")),
        FAIL,
        "nosuch",
    ),
    Scenario(
        "a cluster that is not known",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application(
                destination={"server": "https://nowhere.example.com", "namespace": w.name}
            ),
        ),
        FAIL,
        "nowhere.example.com",
    ),
    Scenario(
        "changed by hand, without self-healing",
        _argo(_by_hand, timeout=40.0),
        BLOCKED,
        "selfHeal is off",
        decided=False,
    ),
    Scenario("pruning to be confirmed", _argo(_with_confirmed, _removed), BLOCKED, "confirm"),
    Scenario(
        "what must not be pruned",
        _argo(lambda w: _with_confirmed(w, "Prune=false"), _removed),
        BLOCKED,
        "told not to be pruned",
        decided=False,
    ),
    Scenario(
        "a commit that takes everything away",
        _argo(_with_notes, lambda w: w.delivery.commit({"app/web.yaml": None})),
        FAIL,
        "wipe out",
    ),
]


def _check(place: Place, world: Any, scenario: Scenario, engine: str, **waiting: Any) -> None:
    target, options = scenario.play(world)
    waited = world.wait(target, **options)
    ended = time.monotonic()
    found = waited.verdict.state if waited.verdict else None
    said = " ".join((str(waited.error or ""), *(waited.verdict.evidence if waited.verdict else ())))
    said += waited.verdict.reason if waited.verdict else ""
    says = scenario.says.replace("SPACE", world.name)
    assert (found, says in said) == (scenario.state, True), said
    assert (waited.error is None) is (scenario.state is PASS)
    _record(world.delivery, scenario, engine)
    news = place.observer.last_change(world.name, ended)
    if scenario.decided and news and scenario.state is not None:
        settled = options.get("settle", waiting.get("settle", 0.0)) if scenario.state is PASS else 0.0
        place.seconds.append((engine, scenario.name, max(0.0, ended - news - settled)))


def _record(delivery: Delivery, scenario: Scenario, engine: str) -> None:
    """What the real controllers said, for `tests/gate/recorded`, where a folder is named for it."""
    folder = os.environ.get("PIPEGRAFT_GATE_RECORD")
    if folder and scenario.state is not None and delivery.last["status"]:
        told = {"scenario": scenario.name, "engine": engine, "state": scenario.state, "says": scenario.says}
        text = json.dumps({**told, **delivery.last}).replace(str(delivery.folder.parent), "/srv")
        text = re.sub(rf"\b{delivery.name}\b", "shop", text.replace("SPACE", delivery.name))
        Path(folder, f"{engine} {scenario.name}.json").write_text(text)


@pytest.mark.parametrize("scenario", COMMON + ARGO + MORE_ARGO, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("transport", ["kubernetes", "rest"])
def test_argo_cd(scenario: Scenario, transport: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", place.argocd.token)
    world = Argo(place, **({"server": place.argocd.url} if transport == "rest" else {}))
    _check(place, world, scenario, f"argocd {transport}", settle=1.0)


_PEER = 20
"""Seconds after which Argo CD's command line gives up; it knows no failure but that."""
BESIDE = [
    "a first release",
    "a second release",
    "pods that start late",
    "crashing pods",
    "an invalid manifest",
    "a path that does not exist",
    "an error that this release repairs",
    "automation off",
    "two sources",
    "a failing hook",
]


@pytest.mark.parametrize("name", BESIDE)
def test_argo_cds_own_command_line_is_neither_faster_nor_more_often_right(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``argocd app get --refresh && argocd app wait`` and the gate, asked at the same moment."""
    monkeypatch.setenv("ARGOCD_AUTH_TOKEN", place.argocd.token)
    world = Argo(place, server=place.argocd.url)
    argocd, server = str(place.argocd.program), place.argocd.url.removeprefix("http://")
    asked = f'"{argocd}" app get {world.name} --refresh && "{argocd}" app wait {world.name} --timeout {_PEER}'
    variables = {
        "ARGOCD_BINARY_NAME": "argocd",
        "ARGOCD_SERVER": server,
        "ARGOCD_OPTS": "--plaintext",
        "HOME": str(place.folder),
    }
    scenario = next(one for one in COMMON + ARGO if one.name == name)
    _compare(place, world, scenario, asked, **variables)


def _compare(
    place: Place,
    world: Any,
    scenario: Scenario,
    asked: str,
    early: Collection[str] = (),
    **variables: str,
) -> None:
    """A peer and the gate, which holds no success for longer than the peer does.

    Arguments:
        early: scenarios in which the peer says success before it is one.
    """
    target, options = scenario.play(world)
    began = time.monotonic()
    with ThreadPoolExecutor(1) as beside:
        peer = beside.submit(_peer, asked, {**os.environ, **variables})
        waited = world.wait(target, **{**options, "timeout": 60.0, "settle": 0.0})
        code, ended = peer.result()
    assert waited.verdict
    place.beside.append(
        (world.engine, scenario.name, str(scenario.state), code, ended - began, waited.seconds)
    )
    assert waited.verdict.state is scenario.state
    if (code == 0) is (scenario.state is PASS) and scenario.name not in early:  # it is right, too
        assert waited.seconds <= ended - began + 1.0  # of a machine under load


def _peer(command: str, variables: dict[str, str]) -> tuple[int, float]:
    done = subprocess.run(["bash", "-c", command], env=variables, capture_output=True, check=False)
    return done.returncode, time.monotonic()


class FluxWorld:
    """One Kustomization of one GitRepository, and the ways to prepare them."""

    engine = "flux"

    def __init__(self, place: Place) -> None:
        self.place, self.api = place, place.api
        self.delivery = place.delivery()
        self.name = self.delivery.name

    def release(self, version: int, **how: Any) -> str:
        return self.delivery.commit({"app/web.yaml": deployment("web", f"{IMAGE}{version}", **how)})

    def application(self, source: Any = None, **spec: Any) -> None:
        reference = {"kind": "GitRepository", "name": self.name}
        whole = {"interval": "10m", "path": "./app", "prune": True, "targetNamespace": self.name}
        git = {
            "url": self.delivery.repository,
            "interval": "10m",
            "ref": {"branch": "main"},
            **(source or {}),
        }
        self.api.apply(
            _flux("source.toolkit.fluxcd.io/v1", "GitRepository", self.name, git),
            _flux(
                "kustomize.toolkit.fluxcd.io/v1",
                "Kustomization",
                self.name,
                {key: it for key, it in {**whole, "sourceRef": reference, **spec}.items() if it is not None},
            ),
        )

    def wait(self, target: str, **options: Any) -> Any:
        return self.delivery.gate("flux", target, **{"kustomization": self.name, "timeout": 30.0, **options})

    def live(self, version: int = 1, **spec: Any) -> str:
        """A release that is delivered."""
        target = self.release(version)
        self.application(**spec)
        assert self.wait(target).error is None
        return target


def _flux(version: str, kind: str, name: str, spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "flux-system"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _mended(world: FluxWorld) -> str:
    """A release that failed for want of its namespace, which somebody then makes."""
    target = world.release(1)
    world.application(targetNamespace=f"{world.name}-late")
    assert world.wait(target).error
    metadata = {"name": f"{world.name}-late"}
    world.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    return target


def _git_back(world: FluxWorld) -> str:
    """A release while the git server is away, which then comes back."""
    world.live()
    target, away = world.release(2), world.delivery.bare.with_suffix(".away")
    world.delivery.bare.rename(away)
    assert world.wait(target, timeout=3.0).error
    away.rename(world.delivery.bare)
    return target


def _switched_off(world: FluxWorld) -> str:
    """A release of an object that somebody has told Flux not to touch."""
    world.live()
    off = "kustomize.toolkit.fluxcd.io/reconcile=disabled"
    world.api.kubectl("annotate", "deployment", "web", "-n", world.name, off)
    return world.release(2)


def _below(world: FluxWorld, **spec: Any) -> str:
    """A Kustomization that declares another one, of the same repository."""
    reference = {"kind": "GitRepository", "name": world.name, "namespace": "flux-system"}
    whole = {"interval": "10m", "path": "./below", "prune": True, "sourceRef": reference, **spec}
    child = _object("Kustomization", "below", "kustomize.toolkit.fluxcd.io/v1", spec=whole)
    files = {"app/below.yaml": child, "below/web.yaml": deployment("web", f"{IMAGE}1")}
    target = world.delivery.commit(files)
    world.application()
    return target


def _elsewhere_below(world: FluxWorld) -> str:
    """A child in another namespace, whose path a release changes."""
    reference = {"kind": "GitRepository", "name": world.name, "namespace": "flux-system"}

    def declared(path: str) -> str:
        spec = {"interval": "10m", "path": path, "prune": True, "sourceRef": reference}
        spec["targetNamespace"] = world.name
        child = _object("Kustomization", "below", "kustomize.toolkit.fluxcd.io/v1", spec=spec)
        child["metadata"]["namespace"] = world.name
        return world.delivery.commit({"app/below.yaml": child})

    world.delivery.commit(
        {
            "one/web.yaml": deployment("web", f"{IMAGE}1"),
            "two/web.yaml": deployment("web", f"{IMAGE}2", behaviour="crash"),
        }
    )
    first = declared("./one")
    world.application(targetNamespace=None)
    assert world.wait(first).error is None
    return declared("./two")


def _below_of_a_tag(world: FluxWorld) -> str:
    """A child of a tag of another repository, and a release that names the next tag."""
    other = _tagged(world)

    def declared(tag: str) -> str:
        git = {"url": other.repository, "interval": "10m", "ref": {"tag": tag}}
        whole = {"interval": "10m", "path": "./app", "prune": True, "targetNamespace": world.name}
        whole["sourceRef"] = {"kind": "GitRepository", "name": other.name}
        files = {
            "app/source.yaml": _flux("source.toolkit.fluxcd.io/v1", "GitRepository", other.name, git),
            "app/below.yaml": _flux("kustomize.toolkit.fluxcd.io/v1", "Kustomization", other.name, whole),
        }
        return world.delivery.commit(files)

    first = declared("v1")
    world.application(targetNamespace=None)
    assert world.wait(first).error is None
    return declared("v2")


def _unverified(world: FluxWorld) -> str:
    """Commits must be signed, and are not."""
    target = world.release(1)
    keys = _object("Secret", f"{world.name}-keys", stringData={"author.asc": "no key"})
    keys["metadata"]["namespace"] = "flux-system"
    world.api.apply(keys)
    world.application({"verify": {"mode": "HEAD", "secretRef": {"name": f"{world.name}-keys"}}})
    return target


def _resumed(world: FluxWorld) -> str:
    world.live()
    place = ("kustomization", world.name, "-n", "flux-system", "--type=merge", "-p")
    world.api.kubectl("patch", *place, '{"spec": {"suspend": true}}')
    target = world.release(2)
    world.api.kubectl("patch", *place, '{"spec": {"suspend": false}}')
    return target


def _expressed(world: FluxWorld) -> str:
    settings = {**_object("ConfigMap", "settings"), "data": {"state": "bad"}}
    target = world.delivery.commit({"app/settings.yaml": settings})
    known = {"apiVersion": "v1", "kind": "ConfigMap"}
    known |= {"current": "data.state == 'good'", "failed": "data.state == 'bad'"}
    world.application(wait=True, timeout="20s", healthCheckExprs=[known])
    return target


def _unsubstituted(world: FluxWorld) -> str:
    world.live(postBuild={"substitute": {"other": "x"}})
    return world.delivery.commit({"app/web.yaml": deployment("web", f"{IMAGE}${{TAG}}")})


def _held_and_pruned(world: FluxWorld) -> str:
    """What is no longer declared waits for its finalizers."""
    extra = _object("ConfigMap", "extra")
    extra["metadata"]["finalizers"] = ["example.com/hold"]
    first = world.delivery.commit({"app/web.yaml": deployment("web", f"{IMAGE}1"), "app/extra.yaml": extra})
    world.application()
    assert world.wait(first).error is None
    return _removed(world)


FLUX = [
    Scenario(
        "a Kustomization below in another namespace, of another path",
        _argo(_elsewhere_below, timeout=60.0),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario(
        "a Kustomization below that follows another tag",
        _argo(_below_of_a_tag, timeout=60.0),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario("commits that are not signed", _argo(_unverified), FAIL, "verif"),
    Scenario("suspended, and resumed", _argo(_resumed), PASS),
    Scenario("a health check by an expression", _argo(_expressed, timeout=60.0), FAIL, "HealthCheckFailed"),
    Scenario(
        "a variable that is not there",
        _argo(_unsubstituted),
        FAIL,
        "variable not set (strict mode)",
    ),
    Scenario("what is pruned waits for a finalizer", _argo(_held_and_pruned), PASS),
    Scenario(
        "a tag instead of the branch",
        _argo(lambda w: w.release(1), lambda w: w.application({"ref": {"tag": "v1"}})),
        FAIL,
        "follows 'v1', not the branch",
    ),
    Scenario(
        "an old pod that waits for its finalizers",
        _argo(_held_back, timeout=90.0),
        BLOCKED,
        "Pod SPACE/web-0 is being deleted, and waits for its finalizers: example.com/hold",
        decided=False,
    ),
    Scenario(
        "a Kustomization below",
        _argo(lambda w: _below(w, targetNamespace=w.name), timeout=60.0),
        PASS,
    ),
    Scenario(
        "a Kustomization below that is suspended",
        _argo(lambda w: _below(w, suspend=True)),
        BLOCKED,
        "flux resume kustomization below -n SPACE",
    ),
    Scenario(
        "a Job that is made anew by force",
        _argo(lambda w: _again(w, force=True)),
        PASS,
    ),
    Scenario(
        "a cluster whose kubeconfig is not there",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application(kubeConfig={"secretRef": {"name": "nosuch"}}),
        ),
        FAIL,
        "nosuch",
    ),
    Scenario(
        "an account that may not",
        _argo(
            lambda w: w.release(1),
            lambda w: w.api.apply(
                {
                    **_object("ServiceAccount", "weak"),
                    "metadata": {"name": "weak", "namespace": "flux-system"},
                }
            ),
            lambda w: w.application(serviceAccountName="weak"),
        ),
        FAIL,
        "forbidden",
    ),
    Scenario(
        "an object that it is told not to touch",
        _argo(_switched_off, released=_SECOND),
        BLOCKED,
        "annotation kustomize.toolkit.fluxcd.io/reconcile is disabled",
        decided=False,
    ),
    Scenario(
        "health checks of another workload",
        _argo(
            lambda w: w.live(
                healthChecks=[
                    {"apiVersion": "v1", "kind": "Namespace", "name": w.name},
                ]
            ),
            lambda w: w.release(2, behaviour="crash"),
        ),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario("a kind that is not installed", _argo(lambda w: w.live(), _widget), FAIL, "Widget"),
    Scenario("a wrong name", _argo(lambda w: w.live(), kustomization="nosuch"), None, "no Kustomization"),
    Scenario(
        "another repository",
        _argo(lambda w: w.release(1), lambda w: w.application({"url": "https://git.example.com/x"})),
        FAIL,
        "not the IaC repository",
    ),
    Scenario(
        "another branch",
        _argo(lambda w: w.release(1), lambda w: w.application({"ref": {"branch": "stable"}})),
        FAIL,
        "not the branch",
    ),
    Scenario(
        "a suspended Kustomization",
        _argo(lambda w: w.release(1), lambda w: w.application(suspend=True)),
        BLOCKED,
        "flux resume",
    ),
    Scenario(
        "a suspended source",
        _argo(lambda w: w.release(1), lambda w: w.application({"suspend": True})),
        BLOCKED,
        "flux resume",
    ),
    Scenario(
        "a namespace that is not there",
        _argo(lambda w: w.release(1), lambda w: w.application(targetNamespace="nowhere")),
        FAIL,
        "nowhere",
    ),
    Scenario(
        "an account that is not there",
        _argo(lambda w: w.release(1), lambda w: w.application(serviceAccountName="nosuch")),
        FAIL,
        "nosuch",
    ),
    Scenario(
        "substitutes that are not there",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application(postBuild={"substituteFrom": [{"kind": "ConfigMap", "name": "nosuch"}]}),
        ),
        FAIL,
        "nosuch",
    ),
    Scenario(
        "a source whose secret is not there",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application({"secretRef": {"name": "nosuch"}}),
            timeout=5.0,
        ),
        WAIT,
        "nosuch",
        decided=False,
    ),
    Scenario(
        "a health check of what is not there",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application(
                timeout="5s",
                healthChecks=[
                    {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nosuch", "namespace": w.name}
                ],
            ),
            timeout=60.0,
        ),
        FAIL,
        "nosuch",
    ),
    Scenario("tried again after the namespace was made", _argo(_mended), PASS),
    Scenario("tried again after the git server came back", _argo(_git_back), PASS),
    Scenario("with wait", _argo(lambda w: w.live(wait=True), lambda w: w.release(2)), PASS),
    Scenario(
        "with wait, and pods that never are ready",
        _argo(
            lambda w: w.live(wait=True, timeout="5s"),
            lambda w: w.release(2, behaviour="hang"),
            timeout=60.0,
        ),
        FAIL,
        "HealthCheckFailed",
    ),
    Scenario(
        "with wait, and crashing pods",
        _argo(lambda w: w.live(wait=True, timeout="1m"), lambda w: w.release(2, behaviour="crash")),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario(
        "a dependency that is not there",
        _argo(
            lambda w: w.release(1),
            lambda w: w.application(dependsOn=[{"name": "nowhere"}]),
            timeout=5.0,
        ),
        WAIT,
        "nowhere",
        decided=False,
    ),
]


_TESTED = """\
apiVersion: v1
kind: Pod
metadata:
  name: try
  annotations: {helm.sh/hook: test, pipegraft.test/pod: fail}
spec: {restartPolicy: Never, containers: [{name: try, image: "registry.example.com/try:1"}]}
"""


def _helm(world: FluxWorld, version: int, *, behaviour: str = "", files: Any = None, **spec: Any) -> str:
    """A HelmRelease of a chart in the same repository, and the Kustomization that applies it."""
    source = {"kind": "GitRepository", "name": world.name, "namespace": "flux-system"}
    chart = {"chart": "./chart", "reconcileStrategy": "Revision", "sourceRef": source}
    annotations = {"pipegraft.test/pod": behaviour} if behaviour else {}
    whole = {
        "interval": "10m",
        "timeout": "8s",
        "chart": {"spec": {**chart, **spec.pop("chart", {})}},
        "values": {"image": f"{IMAGE}{version}", "annotations": annotations},
        **spec,
    }
    item = _object("HelmRelease", "web", "helm.toolkit.fluxcd.io/v2", spec=whole)
    declared = {"app/web.yaml": item, "chart/Chart.yaml": _CHART, "chart/templates/web.yaml": _TEMPLATE}
    return world.delivery.commit({**declared, **(files or {})})


def _helm_live(world: FluxWorld, **how: Any) -> None:
    target = _helm(world, 1, **how)
    world.application()
    assert world.wait(target, timeout=60.0).error is None


HELM = [
    Scenario("a HelmRelease", _argo(lambda w: _helm(w, 1), _made, timeout=60.0), PASS),
    Scenario("a HelmRelease again", _argo(_helm_live, lambda w: _helm(w, 2), timeout=60.0), PASS),
    Scenario(
        "a HelmRelease that cannot be installed",
        _argo(lambda w: _helm(w, 1, behaviour="hang"), _made, timeout=60.0),
        FAIL,
        "HelmRelease SPACE/web",
    ),
    Scenario(
        "a HelmRelease whose pods crash",
        _argo(_helm_live, lambda w: _helm(w, 2, behaviour="crash", timeout="60s"), timeout=50.0),
        FAIL,
        "CrashLoopBackOff",
    ),
    Scenario(
        "a HelmRelease that is rolled back",
        _argo(
            _helm_live,
            lambda w: _helm(
                w, 2, behaviour="hang", upgrade={"remediation": {"retries": 1, "remediateLastFailure": True}}
            ),
            timeout=90.0,
        ),
        FAIL,
        "HelmRelease SPACE/web",
    ),
    Scenario(
        "a HelmRelease whose upgrade is not tried again",
        _argo(_helm_live, lambda w: _helm(w, 2, behaviour="hang"), timeout=60.0),
        FAIL,
        "HelmRelease SPACE/web",
    ),
    Scenario(
        "a HelmRelease whose tests fail",
        _argo(
            lambda w: _helm(w, 1, test={"enable": True}, files={"chart/templates/try.yaml": _TESTED}),
            _made,
            timeout=60.0,
        ),
        FAIL,
        "HelmRelease SPACE/web",
    ),
    Scenario(
        "a suspended HelmRelease",
        _argo(_helm_live, lambda w: _helm(w, 2, suspend=True), timeout=60.0),
        BLOCKED,
        "flux resume helmrelease web -n SPACE",
    ),
    Scenario(
        "a chart that is not there",
        _argo(lambda w: _helm(w, 1, chart={"chart": "./nowhere"}), _made, timeout=20.0),
        FAIL,
        "nowhere",
    ),
    Scenario(
        "a chart that cannot be rendered",
        _argo(
            _helm_live,
            lambda w: _helm(w, 2, files={"chart/templates/bad.yaml": '{{ fail "no such thing" }}'}),
            timeout=60.0,
        ),
        FAIL,
        "no such thing",
    ),
    Scenario(
        "a HelmRelease that depends on another",
        _argo(
            lambda w: _helm(w, 1, dependsOn=[{"name": "nowhere"}]),
            _made,
            timeout=8.0,
        ),
        WAIT,
        "nowhere",
        decided=False,
    ),
    Scenario(
        "a chart that alone has changed",
        _argo(
            _helm_live,
            lambda w: w.delivery.commit(
                {"chart/templates/web.yaml": f"{_TEMPLATE}# again\n{{{{ fail `no such` }}}}"}
            ),
            timeout=60.0,
        ),
        FAIL,
        "no such",
    ),
    Scenario(
        "values that are not there",
        _argo(
            lambda w: _helm(w, 1, valuesFrom=[{"kind": "Secret", "name": "nosuch"}]),
            _made,
            timeout=20.0,
        ),
        WAIT,
        "nosuch",
        decided=False,
    ),
    Scenario("a claim that no pod waits for", _argo(_beside(_CLAIM), _made), PASS),
    Scenario(
        "an autoscaler without metrics",
        _argo(_beside(_SCALER), _made),
        PASS,
    ),
    Scenario("a suspended CronJob", _argo(_beside(_nightly(suspend=True)), _made), PASS),
    Scenario(
        "a suspended Job",
        _argo(_beside(job("later", suspend=True)), _made),
        SUSPENDED,
        "Job SPACE/later",
    ),
    Scenario(
        "a paused Deployment",
        _argo(lambda w: w.live(), lambda w: w.release(2, paused=True)),
        SUSPENDED,
        "paused",
    ),
]


@pytest.mark.parametrize("scenario", COMMON + FLUX + HELM, ids=lambda scenario: scenario.name)
def test_flux(scenario: Scenario, place: Place) -> None:
    _check(place, FluxWorld(place), scenario, "flux")


_FLUX = "pipegraft-e2e/flux-cli-v2.9.5/flux"
BESIDE_FLUX = [
    "a first release",
    "a second release",
    "pods that start late",
    "with wait",
    "an error that this release repairs",
    "crashing pods",
    "with wait, and crashing pods",
    "an invalid manifest",
    "a path that does not exist",
    "a suspended Kustomization",
    "a HelmRelease whose pods crash",
    "commits that are not signed",
]


@pytest.mark.parametrize("name", BESIDE_FLUX)
def test_flux_own_command_line_is_neither_faster_nor_more_often_right(name: str, place: Place) -> None:
    """``flux reconcile kustomization --with-source`` and the gate, asked at the same moment."""
    program = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / _FLUX
    if not program.exists():
        missing("flux")
    world = FluxWorld(place)
    asked = f'"{program}" reconcile kustomization {world.name} --with-source --timeout={_PEER}s'
    scenario = next(one for one in COMMON + FLUX + HELM if one.name == name)
    _compare(place, world, scenario, asked, {"pods that start late"}, KUBECONFIG=str(place.api.kubeconfig))


_ONE_GATE = """
import json, sys
from pathlib import Path
from pipegraft.gate.adapters import argocd
from pipegraft.gate.ports import EngineRequest
plugin = next(iter(argocd.pipegraft_gitops_engines()))
options = plugin.options.model_validate(json.loads(sys.argv[1]))
engine = plugin.connect(options, EngineRequest(Path(), sys.argv[2]))
engine.request_sync()
engine.observe()
engine.wait(0.01)
"""


@pytest.mark.parametrize("transport", ["kubernetes", "rest"])
def test_a_gate_ends_without_a_crash_however_soon(transport: str, place: Place) -> None:
    """Threads that are inside of TLS or of a C extension's first use when the interpreter ends crash it."""
    world = Argo(place)
    world.live()
    given = {"kubeconfig": str(place.api.kubeconfig), "application": world.name}
    if transport == "rest":
        given["server"] = place.argocd.url
    command = [sys.executable, "-c", _ONE_GATE, json.dumps(given), world.delivery.repository]
    variables = {**os.environ, "ARGOCD_AUTH_TOKEN": place.argocd.token}
    for _ in range(_ENDS // 2):
        pair = [subprocess.Popen(command, env=variables) for _ in range(2)]
        assert [process.wait(60) for process in pair] == [0, 0]
