"""No request goes back to the old version once its successor is promoted, whichever router the cluster has.

Everything up to the route is real: the repository, `pipegraft engine`, the API server, its controllers and
scheduler. nginx stands for the router's data plane: it sends by the live route to those versions of the
application whose pods are ready behind the Services that the route names.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster import running_cluster
from harness import free_port, listens, need, run, server, wait_until
from kubernetes_api import KubernetesApi
from test_gray_e2e import NEW, OLD, PATH, SOURCE, instance, load, prepare
from test_nginx_split_e2e import COUNT, RELOADED

from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.delivery import Delivery
from pipegraft.core.ports import RecordingProgress
from pipegraft.core.release import EnvironmentRelease, FakeReleaseStore, IacCommit, Release
from pipegraft.core.stage import StageContext
from pipegraft.engine.adapters import gitops
from pipegraft.gray.adapters.counts import CommandOptions, pipegraft_metric_sources
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.ports import MetricRequest
from pipegraft.gray.stage import GrayReleaseInputs
from pipegraft.gray.stage import run as run_stage
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.ports import IacBranch
from pipegraft.testing.stage_suite import FakeConnections

pytestmark = [pytest.mark.e2e, pytest.mark.engines]

ENTRANCES = {
    "gateway-api": "{hosts: [shop.example.com], router: gateway-api, gateway: infra/public}",
    "istio": "{hosts: [shop.example.com], router: istio, gateway: infra/public}",
    "ingress-nginx": "{hosts: [shop.example.com], router: ingress-nginx, ingress-class: nginx}",
}
ROUTES = {
    "gateway-api": ("/apis/gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute"),
    "istio": ("/apis/networking.istio.io/v1", "virtualservices", "VirtualService"),
    "ingress-nginx": ("/apis/networking.k8s.io/v1", "ingresses", "Ingress"),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    need("nginx", "git")
    with running_cluster(tmp_path_factory.mktemp("cluster")) as found:
        for router in ("gateway-api", "istio"):
            _serve(found, *ROUTES[router])
        yield found


def _serve(api: KubernetesApi, path: str, plural: str, kind: str) -> None:
    """Have a kind of routes served, whatever is in it: other tests hold it against its schema."""
    _, _, group, version = path.split("/")
    fields = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": fields}
    metadata = {
        "name": f"{plural}.{group}",
        "annotations": {"api-approved.kubernetes.io": "https://example.com/unapproved"},
    }
    spec = {
        "group": group,
        "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
        "scope": "Namespaced",
        "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
    }
    api.kubectl("delete", "crd", metadata["name"], "--ignore-not-found")
    item = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    api.apply({**item, "metadata": metadata, "spec": spec})
    api.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{metadata['name']}")


def _repository(folder: Path, router: str, namespace: str) -> IacBranch:
    """An app whose pods take five seconds to be ready, so that an old version lives on for a while."""
    web = (
        f"{{ports: {{http: 8080}}, annotations: {{pipegraft.test/pod: late}}, entrance: {ENTRANCES[router]}}}"
    )
    draft, bare = folder / "draft", folder / "iac.git"
    (draft / "environments").mkdir(parents=True)
    (draft / "app.yaml").write_text(f"app: shop\ncomponents:\n  web: {web}\n")
    (draft / PATH).write_text(
        f"namespace: {namespace}\nrelease: {{number: 12, source: abc}}\n"
        f"components:\n  web: {{image: {OLD}, replicas: 2}}\n"
    )
    identity = ("-c", "user.name=Ops", "-c", "user.email=ops@example.com")
    run("git", "-C", draft, "init", "-q", "-b", "main")
    run("git", "-C", draft, "add", "-A")
    run("git", "-C", draft, *identity, "commit", "-q", "-m", "production")
    run("git", "clone", "-q", "--bare", draft, bare)
    return open_branch(str(bare), "main", folder)


@contextmanager
def _engine(folder: Path, api: KubernetesApi) -> Iterator[Path]:
    """`pipegraft engine` over the cluster; its state folder."""
    state = folder / "state"
    words = ["engine", "--repository", str(folder / "iac.git"), "--env", "production", "--state", str(state)]
    command = [sys.executable, "-m", "pipegraft", *words, "--poll", "200ms", "--runtime", "kubernetes"]
    record = state / "engine.json"
    with server(command, folder / "engine.log", record.exists, KUBECONFIG=str(api.kubeconfig)):
        yield state


class DataPlane:
    """nginx, told every 100 ms where the live route leads.

    Attributes:
        promoting: when the route first led past the stable Service, by the monotonic clock.
    """

    def __init__(
        self, api: KubernetesApi, namespace: str, router: str, folder: Path, versions: Mapping[str, str]
    ) -> None:
        self._api, self._namespace, self._router, self._folder = api, namespace, router, folder
        self._versions = versions
        self.listen = f"127.0.0.1:{free_port()}"
        self.promoting: float | None = None
        self._text = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    @contextmanager
    def running(self) -> Iterator[None]:
        file = self._folder / "nginx.conf"
        wait_until(self._look, "the first route with ready pods")
        port = int(self.listen.rpartition(":")[2])
        command = ["nginx", "-p", str(self._folder), "-c", str(file), "-e", str(self._folder / "error.log")]
        with server(command, self._folder / "nginx.log", lambda: listens(port)):
            self._thread.start()
            try:
                yield
            finally:
                self._ended.set()
                self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(0.1):
            before = self._text
            if self._look() and self._text != before:
                os.kill(int((self._folder / "nginx.pid").read_text()), signal.SIGHUP)

    def _look(self) -> bool:
        """Write what nginx is to do; whether every Service with a weight has a ready pod."""
        weights = self._weights()
        places = {name: self._ready(name) for name, weight in weights.items() if weight}
        if not places or not all(places.values()):
            return False
        if self.promoting is None and set(places) == {"web-gray"}:
            self.promoting = time.monotonic()
        self._text = _configuration(self._folder, self.listen, weights, places)
        (self._folder / "nginx.conf").write_text(self._text)
        return True

    def _weights(self) -> dict[str, int]:
        """Service → share of the requests, as the router's controller reads the route."""
        prefix, plural, _ = ROUTES[self._router]
        found = self._api.request("GET", f"{prefix}/namespaces/{self._namespace}/{plural}")["items"]
        if self._router == "ingress-nginx":
            canary = "nginx.ingress.kubernetes.io/canary"
            gray = sum(
                int(one["metadata"]["annotations"].get(f"{canary}-weight", 0))
                for one in found
                if one["metadata"]["annotations"].get(canary) == "true"
            )
            return {"web": 100 - gray, "web-gray": gray} if found else {}
        told: dict[str, int] = {}
        for one in found:
            for rule in one["spec"].get("rules") or one["spec"].get("http") or ():
                for back in rule.get("backendRefs") or rule.get("route") or ():
                    told[back.get("name") or back["destination"]["host"]] = back.get("weight", 100)
        return told

    def _ready(self, service: str) -> list[str]:
        """Addresses of the versions that the ready pods of a Service run, one for each pod."""
        place = f"/api/v1/namespaces/{self._namespace}"
        selector = self._api.request("GET", f"{place}/services/{service}")["spec"]["selector"]
        found = []
        for pod in self._api.request("GET", f"{place}/pods")["items"]:
            metadata, conditions = pod["metadata"], pod.get("status", {}).get("conditions") or ()
            ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
            mine = selector.items() <= metadata.get("labels", {}).items()
            if mine and ready and not metadata.get("deletionTimestamp"):
                found.append(self._versions[pod["spec"]["containers"][0]["image"]])
        return found


def _configuration(
    folder: Path, listen: str, weights: Mapping[str, int], places: Mapping[str, list[str]]
) -> str:
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    arms = {"web": "stable", "web-gray": "gray"}
    chosen = list(places)
    shares = "".join(f"{weights[name]}% {arms[name]}; " for name in chosen[:-1]) + f"* {arms[chosen[-1]]};"
    upstreams = "\n".join(
        f"upstream {arms[name]} {{ {''.join(f'server {one};' for one in sorted(set(found)))} keepalive 8; }}"
        for name, found in places.items()
    )
    return f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  {temporary}
  split_clients "$request_id" $arm {{ {shares} }}
  {upstreams}
  log_format split '$arm $status';
  access_log {folder}/access.log split;
  server {{
    listen {listen};
    location / {{ proxy_pass http://$arm; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@pytest.mark.parametrize("router", list(ENTRANCES))
def test_no_request_goes_back_to_the_old_version(router: str, api: KubernetesApi, tmp_path: Path) -> None:
    namespace = api.namespace("promotion")
    branch = _repository(tmp_path, router, namespace)
    (tmp_path / "count.py").write_text(COUNT)
    command = [sys.executable, str(tmp_path / "count.py"), str(tmp_path / "access.log")]
    metric: dict[str, Any] = {"source": "command", "command": command, "floor": 0.03}
    gray = {
        "steps": [20, 50],
        "interval": "2s",
        "warm-up": "0s",
        "deadline": "90s",
        "router": router,
        "metrics": [metric],
    }
    declared = Delivery.model_validate(
        {
            "app": "shop",
            "registry": "registry.example.com",
            "components": {"web": {"path": "web"}},
            "iac": {"repository": "iac.git"},
            "environments": {"production": {"gate": {"engine": "embedded", "timeout": "90s"}, "gray": gray}},
        }
    )
    plugin = next(one for one in pipegraft_metric_sources() if one.name == "command")
    asked = declared.environments["production"].gray.metrics[0]  # type: ignore[union-attr]
    request = MetricRequest("shop", "production", asked, tmp_path)
    source = plugin.connect(CommandOptions.model_validate(dict(asked.options)), request)
    with ExitStack() as running:
        versions = {
            OLD: running.enter_context(instance("v1", 0.0)),
            NEW: running.enter_context(instance("v2", 0.0)),
        }
        state = running.enter_context(_engine(tmp_path, api))
        plane = DataPlane(api, namespace, router, tmp_path, versions)
        running.enter_context(plane.running())
        served = running.enter_context(load(plane.listen))
        options = gitops.EmbeddedOptions(application="shop-production", state=str(state))
        engine: Any = gitops.EmbeddedEngine(options, tmp_path)
        connections = FakeConnections(
            branch=branch,
            deployed=engine,
            rule=gitops.verdict,
            decides=sequential,
            sources={"errors": source},
        )
        bumped = IacCommit(commit=prepare(branch), path=PATH, outcome="written")
        record = Release(
            app="shop", source=SOURCE, environments={"production": EnvironmentRelease(bump=bumped)}
        )
        store, progress = FakeReleaseStore(record), RecordingProgress()
        run_stage(
            StageContext(declared, tmp_path, "production", connections, store, SystemClock(), progress),
            GrayReleaseInputs(),
        )
        time.sleep(1.0)
    assert "gray:" not in (branch.read(PATH, branch.tip()) or "")
    assert plane.promoting
    after = [version for at, version in served if at > plane.promoting + RELOADED]
    before = {version for at, version in served if at < plane.promoting}
    assert before == {"v1", "v2"}
    assert len(after) > 100
    assert set(after) == {"v2"}, f"{len(after) - after.count('v2')} of {len(after)} went back"
    if os.environ.get("PIPEGRAFT_PROMOTION_FIGURES"):
        told = {"router": router, "requests": len(after), "back": len(after) - after.count("v2")}
        with Path(os.environ["PIPEGRAFT_PROMOTION_FIGURES"]).open("a") as file:
            file.write(json.dumps(told) + "\n")
