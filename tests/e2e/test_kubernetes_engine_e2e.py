"""`pipegraft engine --runtime kubernetes` against a real API server; the test plays its controllers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import run, wait_until
from kubelet import running_kubelet
from kubernetes_api import KubernetesApi
from test_routers_e2e import serve_http_routes

pytestmark = pytest.mark.e2e

WEB = "  web: {ports: {http: 8080}, replicas: 2}\n"
TILL = "  till: {ports: {http: 8080}}\n"
EVERY_KIND = """\
  web:
    {ports: {http: 8080}, cpu: 100m, autoscaling: {min: 2, max: 4, cpu: 80}, disruption: {min-available: 1},
     volumes: {data: {path: /data, persistent: {size: 1Gi, access: many}}},
     entrance: {hosts: [shop.example.com], gateway: infra/public}}
  admin:
    {ports: {http: 8080},
     entrance: {hosts: [admin.example.com], router: ingress-nginx, ingress-class: nginx}}
  migrate: {job: {}}
  nightly: {job: {schedule: "0 3 * * *"}}
"""
RIGHTS = Path(__file__).parents[2] / "docs" / "rbac" / "engine.yaml"
IDENTITY = {
    **{f"GIT_{who}_NAME": "Team" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "team@example.com" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": os.devnull,
}


class World:
    """A repository, a namespace, and an engine that a test kills."""

    def __init__(self, root: Path, api: KubernetesApi) -> None:
        self.root, self.state, self.draft = root, root / "state", root / "draft"
        self.api, self.namespace = api, api.namespace("engine")
        self.kubeconfig = api.kubeconfig
        self.engines: list[subprocess.Popen[bytes]] = []
        (self.draft / "environments").mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        return run("git", "-C", self.draft, *words, **IDENTITY).strip()

    def release(self, version: str, components: str = WEB + TILL) -> str:
        names = yaml.safe_load(components)
        images = "".join(f'  {name}: {{image: "registry.example.com/{name}:{version}"}}\n' for name in names)
        (self.draft / "app.yaml").write_text(f"app: shop\ncomponents:\n{components}")
        (self.draft / "environments/production.yaml").write_text(
            f"namespace: {self.namespace}\ncomponents:\n{images}"
        )
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", version)
        return self.git("rev-parse", "HEAD")

    def start(self) -> None:
        (self.state / "engine.json").unlink(missing_ok=True)
        words = ["engine", "--repository", str(self.draft), "--env", "production", "--state", str(self.state)]
        command = [sys.executable, "-m", "pipegraft", *words, "--poll", "200ms", "--runtime", "kubernetes"]
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        with (self.root / "engine.log").open("ab") as log:
            engine = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.engines.append(engine)
        wait_until(lambda: (self.state / "engine.json").exists() or engine.poll() is not None, "the engine")
        assert engine.poll() is None, (self.root / "engine.log").read_text()

    def kill(self) -> None:
        self.engines[-1].kill()
        self.engines[-1].wait()

    def status(self) -> dict[str, Any]:
        url = json.loads((self.state / "engine.json").read_text())["url"]
        try:
            with urllib.request.urlopen(f"{url}/applications/shop-production", timeout=60) as answer:
                return dict(json.loads(answer.read()))
        except (urllib.error.HTTPError, OSError):
            return {"revision": {}, "health": "", "sync": "", "message": "", "resources": []}

    def live(self, revision: str) -> dict[str, Any]:
        wait_until(
            lambda: self.status()["revision"].get("live") == revision,
            f"{revision} to be live: {self.status()}",
        )
        return self.status()

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        found = self.api.kubectl(
            "get",
            kind,
            name,
            "-n",
            self.namespace,
            "-o",
            "json",
            "--show-managed-fields",
            "--ignore-not-found",
        )
        return dict(json.loads(found)) if found.strip() else None

    def image(self, name: str) -> str:
        found = self.get("deployment", name)
        return str(found and found["spec"]["template"]["spec"]["containers"][0]["image"])

    def crash(self, name: str, node: str) -> None:
        """A pod of a Deployment that was started again and again, on a node."""
        wait_until(lambda: self.get("deployment", name) is not None, f"the deployment {name}")
        found = self.get("deployment", name)
        assert found
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}/status"
        seen = {"status": {"observedGeneration": found["metadata"]["generation"], "replicas": 1}}
        self.api.request("PATCH", path, seen, kind="application/merge-patch+json")
        above = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": found["metadata"]["uid"]}
        pods = found["spec"]["template"]
        replicas = {
            "metadata": {"name": f"{name}-1", "ownerReferences": [above]},
            "spec": {"selector": found["spec"]["selector"], "template": pods},
        }
        made = self.api.request("POST", f"/apis/apps/v1/namespaces/{self.namespace}/replicasets", replicas)
        owner = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": f"{name}-1",
            "uid": made["metadata"]["uid"],
        }
        metadata = {"name": f"{name}-1-a", "ownerReferences": [owner]}
        place = f"/api/v1/namespaces/{self.namespace}/pods"
        self.api.request("POST", place, {"metadata": metadata, "spec": {**pods["spec"], "nodeName": node}})
        container = {
            "name": name,
            "image": "x",
            "imageID": "x",
            "ready": False,
            "restartCount": 5,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
        }
        status = {"status": {"phase": "Running", "containerStatuses": [container]}}
        self.api.request("PATCH", f"{place}/{name}-1-a/status", status, kind="application/merge-patch+json")

    def roll_out(self, name: str, image: str) -> None:
        """What the deployment controller says once all pods of the newest template are ready."""
        wait_until(lambda: self.image(name) == f"registry.example.com/{name}:{image}", f"{name}:{image}")
        found = self.get("deployment", name)
        assert found
        count = found["spec"]["replicas"]
        said = {
            "observedGeneration": found["metadata"]["generation"],
            **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count),
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "x"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "x"},
            ],
        }
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}/status"
        self.api.request("PATCH", path, {"status": said}, kind="application/merge-patch+json")


@pytest.fixture
def world(tmp_path: Path, kubernetes: KubernetesApi) -> Iterator[World]:
    world = World(tmp_path, kubernetes)
    yield world
    for engine in world.engines:
        engine.kill()
        engine.wait()


def test_a_revision_is_live_once_the_cluster_runs_it_and_nothing_else_is_left(world: World) -> None:
    first = world.release("v1")
    world.start()
    wait_until(lambda: world.image("web").endswith("web:v1"), "the objects")
    assert world.status()["revision"]["live"] == ""
    for name in ("web", "till"):
        world.roll_out(name, "v1")
    status = world.live(first)
    assert (status["sync"], status["health"]) == ("synced", "healthy")
    web = world.get("deployment", "web")
    assert web
    assert "pipegraft-engine" in {entry["manager"] for entry in web["metadata"]["managedFields"]}
    world.api.kubectl("create", "configmap", "foreign", "-n", world.namespace)
    second = world.release("v2", WEB)
    wait_until(lambda: world.image("web").endswith("web:v2"), "the second release")
    assert world.get("deployment", "till"), "nothing is deleted before what replaces it runs"
    world.roll_out("web", "v2")
    world.live(second)
    assert world.get("deployment", "till") is None
    assert world.get("service", "till") is None
    assert world.get("configmap", "foreign")


def test_drift_is_corrected(world: World) -> None:
    revision = world.release("v1", WEB)
    world.start()
    world.roll_out("web", "v1")
    world.live(revision)
    world.api.kubectl("scale", "deployment/web", "--replicas=7", "-n", world.namespace)
    wait_until(
        lambda: (world.get("deployment", "web") or {})["spec"]["replicas"] == 2, "the replicas to be 2 again"
    )
    world.api.kubectl("delete", "service", "web", "-n", world.namespace)
    wait_until(lambda: world.get("service", "web") is not None, "the service to be there again")


def test_what_somebody_else_manages_is_refused_by_name(world: World) -> None:
    world.release("v1", WEB)
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": world.namespace},
        "spec": {
            "replicas": 5,
            "selector": {"matchLabels": {"app": "theirs"}},
            "template": {
                "metadata": {"labels": {"app": "theirs"}},
                "spec": {"containers": [{"name": "web", "image": "theirs"}]},
            },
        },
    }
    world.api.apply(theirs)
    world.start()
    wait_until(lambda: world.status()["health"] == "degraded", "the conflict to be told")
    message = world.status()["message"]
    assert message.startswith("Deployment web: somebody else manages it: ")
    assert "kubectl" in message
    assert world.image("web") == "theirs"
    world.api.kubectl("delete", "deployment", "web", "-n", world.namespace)
    world.roll_out("web", "v1")
    world.live(world.git("rev-parse", "HEAD"))


def test_the_next_engine_goes_on_where_a_killed_one_was(world: World) -> None:
    revision = world.release("v1")
    world.start()
    for name in ("web", "till"):
        world.roll_out(name, "v1")
    world.live(revision)
    world.kill()
    versions = [
        (world.get("deployment", name) or {})["metadata"]["resourceVersion"] for name in ("web", "till")
    ]
    world.start()
    world.live(revision)
    wait_until(lambda: world.status()["health"] == "healthy", "the next engine to look")
    again = [(world.get("deployment", name) or {})["metadata"]["resourceVersion"] for name in ("web", "till")]
    assert again == versions, "nothing was written again"
    target = world.release("v2", WEB)
    wait_until(lambda: world.image("web").endswith("web:v2"), "the second release")
    world.kill()
    world.roll_out("web", "v2")
    world.start()
    world.live(target)
    assert world.get("deployment", "till") is None, "the record of the set outlives the engine"


def test_a_kind_that_the_cluster_lacks_is_named_and_forgotten_with_its_release(world: World) -> None:
    entrance = "{hosts: [shop.example.com], router: istio, gateway: infra/public}"
    world.release("v1", f"  web: {{ports: {{http: 8080}}, entrance: {entrance}}}\n")
    world.start()
    wait_until(lambda: "has no virtualservices" in world.status()["message"], "the missing kind to be told")
    target = world.release("v2", WEB)
    world.roll_out("web", "v2")
    assert world.live(target)["trouble"] == []


def test_a_crash_is_told_with_the_last_lines_of_the_log(world: World) -> None:
    log = f"{world.namespace}/till-1-a/till?previous=true&tailLines=10"
    with running_kubelet(world.root, world.api, f"node-{world.namespace}", {log: "starting\nboom\n"}):
        world.release("v1", TILL)
        world.start()
        world.crash("till", f"node-{world.namespace}")
        wait_until(lambda: world.status()["health"] == "degraded", "the crash to be seen")
        till, service = world.status()["resources"]
    assert till["evidence"][-3:] == ["log of pod till-1-a, container till:", "    starting", "    boom"]
    assert (till["kind"], service["kind"], service["health"]) == ("workload", "object", "healthy")


def test_it_needs_the_documented_rights_and_no_more(world: World) -> None:
    text = RIGHTS.read_text()
    for placeholder in ("shop", "engine"):
        text = text.replace(f"namespace: {placeholder}}}", f"namespace: {world.namespace}}}")
    if not serve_http_routes(world.api):
        pytest.skip("no schemas here (PIPEGRAFT_SCHEMAS)")
    manifests = [entry for entry in yaml.safe_load_all(text) if entry]
    world.kubeconfig = world.api.user(world.namespace, "pipegraft-engine", *manifests)
    world.release("v1", EVERY_KIND)
    world.start()
    wait_until(lambda: world.get("ingress", "admin") is not None, "all objects of the first release")
    world.crash("web", "no-such-node")
    wait_until(lambda: world.status()["health"] == "degraded", "the crash to be seen")
    target = world.release("v2", TILL)
    world.roll_out("till", "v2")
    world.live(target)
    wait_until(lambda: world.get("ingress", "admin") is None, "the first release to be gone")
    allowed = {
        (verb, group, resource)
        for rule in manifests[0]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # Applying what is not there yet is recorded as a patch, and refused to who may not create it.
    told = {right for right in allowed if right[0] != "create"}

    def used() -> set[tuple[str, str, str]]:
        events = world.api.audited(f"system:serviceaccount:{world.namespace}:pipegraft-engine")
        assert not [event for event in events if event["responseStatus"]["code"] == 403]
        asked = [(event["verb"], event["objectRef"]) for event in events]
        return {(verb, place.get("apiGroup", ""), _resource(place)) for verb, place in asked}

    wait_until(lambda: used() == told, "the rights to be used, all and no other")


def _resource(place: dict[str, str]) -> str:
    part = f"/{place['subresource']}" if "subresource" in place else ""
    return f"{place['resource']}{part}"


def test_a_namespace_that_is_not_there_is_named(world: World) -> None:
    world.namespace = "nowhere"
    world.release("v1", WEB)
    world.start()
    wait_until(lambda: bool(world.status().get("trouble")), "the trouble to be told")
    (told,) = world.status()["trouble"]
    assert "the namespace 'nowhere' cannot be used" in told
    assert "kubectl create namespace nowhere" in told
