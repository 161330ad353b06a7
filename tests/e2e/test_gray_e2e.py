"""A gray release over a real git repository, a real proxy and Prometheus, under load, with a real fault."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from harness import free_port, need, run, server

from pipegraft.appspec.environment_file import bump, images_of, read_environment
from pipegraft.appspec.traffic_ports import Backend, Route
from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import RolledBack
from pipegraft.core.ports import RecordingProgress
from pipegraft.core.release import (
    EnvironmentRelease,
    FakeReleaseStore,
    IacCommit,
    Release,
    ReleaseMark,
    Source,
)
from pipegraft.core.stage import StageContext
from pipegraft.engine.adapters.proxy import EmbeddedRouter
from pipegraft.gate.ports import State, Status, Verdict
from pipegraft.gray.adapters.prometheus import Options, PrometheusSource
from pipegraft.gray.judging.sequential import sequential
from pipegraft.gray.ports import MetricRequest, MetricSource
from pipegraft.gray.stage import GrayReleaseInputs
from pipegraft.gray.stage import run as run_stage
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.commits import commit_message, release_trailers
from pipegraft.iac.ports import IacBranch
from pipegraft.testing.stage_suite import FakeConnections

pytestmark = pytest.mark.e2e

PATH = "environments/production.yaml"
ROLLOUT = 2.0
"""Seconds until a new stable version has replaced the old one."""
SOURCE = Source(commit="ab" * 20, number=13, pipeline="https://ci.example.com/13")
STABLE = """\
# production
release: {number: 12, source: abc}
components:
  web: {image: registry.example.com/web@sha256:1, replicas: 2}  # ours
"""


OLD, NEW = "registry.example.com/web@sha256:1", "registry.example.com/web@sha256:2"


@contextmanager
def instance(version: str, failing: float) -> Iterator[str]:
    """One version of the application, which names itself; this share of its requests fails."""
    fate = random.Random(7)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            self.send_response(500 if fate.random() < failing else 200)
            self.send_header("Content-Length", "0")
            self.send_header("X-Version", version)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@contextmanager
def load(address: str) -> Iterator[list[tuple[float, str | None]]]:
    """About two hundred requests a second while the block lasts; yields when each began, and who answered."""
    stop = threading.Event()
    served: list[tuple[float, str | None]] = []

    def client() -> None:
        connection = http.client.HTTPConnection(address, timeout=5)
        while not stop.wait(0.02):
            began = time.monotonic()
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                served.append((began, answer.headers["X-Version"]))
            except (OSError, http.client.HTTPException):
                connection.close()
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield served
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus that scrapes the proxy every second; yields its address."""
    port = free_port()
    scrape = {"job_name": "proxy", "static_configs": [{"targets": [target]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]

    def scraped() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/api/v1/query?query=pipegraft_proxy_requests_total")
            return bool(json.load(connection.getresponse())["data"]["result"])
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    with server(command, folder / "prometheus.log", scraped):
        yield f"http://127.0.0.1:{port}"


class Engine:
    """Programs the proxy with the weight that is committed, at once; a new stable version takes a while."""

    def __init__(self, branch: IacBranch, apply: Callable[[int, str], None]) -> None:
        self._branch = branch
        self._apply = apply
        self._runs = OLD
        self._rolled_at: float | None = None
        self.promoting: float | None = None
        """When the promotion had begun: gray's weight came into force."""

    def observe(self, *, anew: bool = False) -> Status:
        del anew
        tip = self._branch.tip()
        environment = read_environment(self._branch.read(PATH, tip) or "", PATH)
        declared = images_of(environment)["web"]
        now = time.monotonic()
        if declared == self._runs:
            self._rolled_at = None
        elif self._rolled_at is None:
            self._rolled_at = now + ROLLOUT
        elif now >= self._rolled_at:
            self._runs = declared
        self._apply(environment.gray.weight if environment.gray else 0, self._runs)
        if self.promoting is None and declared == NEW:
            self.promoting = time.monotonic()
        return {"revision": tip, "settled": self._runs == declared}

    def request_sync(self) -> None:
        """It always looks."""

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def explain(self) -> Sequence[str]:
        return ()


def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    reached = at_target(status["revision"]) and status["settled"]
    return Verdict(State.SUCCEEDED if reached else State.PROGRESSING, "as committed")


def connected(branch: IacBranch, engine: Engine, source: MetricSource) -> FakeConnections:
    """The engine and the source are real, the judge is the one that ships."""
    return FakeConnections(
        branch=branch, deployed=engine, rule=verdict, decides=sequential, sources={"errors": source}
    )


def delivery(url: str) -> Delivery:
    requests = 'sum(increase(pipegraft_proxy_requests_total{backend="web{suffix}"}[{window}]))'
    errors = requests.replace('"}[', '",code=~"5.."}[')
    metric = {"source": "prometheus", "url": url, "requests": requests, "errors": errors, "floor": 0.05}
    gray = {
        "steps": [20, 50],
        "interval": "3s",
        "warm-up": "0s",
        "deadline": "60s",
        "metrics": [{**metric, "lag": "1s"}],
    }
    return Delivery.model_validate(
        {
            "app": "shop",
            "registry": "registry.example.com/shop",
            "components": {"web": {"path": "web"}},
            "iac": {"repository": "iac.git"},
            "environments": {"production": {"gate": {"engine": "fake", "timeout": "30s"}, "gray": gray}},
        }
    )


def repository(folder: Path) -> IacBranch:
    """An IaC repository with a stable release, opened."""
    draft, bare = folder / "draft", folder / "iac.git"
    (draft / "environments").mkdir(parents=True)
    (draft / PATH).write_text(STABLE)
    identity = ("-c", "user.name=Ops", "-c", "user.email=ops@example.com")
    run("git", "-C", draft, "init", "-q", "-b", "main")
    run("git", "-C", draft, "add", "-A")
    run("git", "-C", draft, *identity, "commit", "-q", "-m", "production")
    run("git", "clone", "-q", "--bare", draft, bare)
    return open_branch(str(bare), "main", folder)


def prepare(branch: IacBranch) -> str:
    """What iac-bump commits."""
    tip = branch.tip()
    image = {"web": NEW}
    mark = ReleaseMark(number=SOURCE.number, source=SOURCE.commit)
    made = bump(branch.read(PATH, tip), image, mark, gray=True, file=PATH)
    trailers = release_trailers("shop", "production", SOURCE, made.step)
    return branch.commit({PATH: made.text}, commit_message("shop: prepare", [], trailers), tip)


@pytest.mark.parametrize("failing", [0.0, 0.2])
def test_a_version_is_promoted_or_taken_back_by_what_prometheus_saw(tmp_path: Path, failing: float) -> None:
    need("prometheus", "git")
    branch = repository(tmp_path)
    router = EmbeddedRouter(tmp_path / "proxy", admin=f"127.0.0.1:{free_port()}")
    listen = f"127.0.0.1:{free_port()}"
    with instance("old", 0.0) as stable, instance("new", failing) as gray:

        def apply(weight: int, runs: str = OLD) -> None:
            first = (gray if runs == NEW else stable,)
            backends = (Backend("web", first, 100 - weight), Backend("web-gray", (gray,), weight))
            router.apply([Route("shop-production/web", listen, backends)])

        apply(0)
        try:
            target = router.admin_url.removeprefix("http://")
            with prometheus(tmp_path, target) as url, load(listen) as served:
                engine = Engine(branch, apply)
                _release(branch, engine, url, failing=failing)
            if not failing:
                assert engine.promoting
                after = [version for began, version in served if began > engine.promoting]
                assert len(after) > 10 * ROLLOUT
                assert set(after) == {"new"}, f"{after.count('old')} of {len(after)} went back"
        finally:
            router.stop()


def _release(branch: IacBranch, engine: Engine, url: str, *, failing: float) -> None:
    declared = delivery(url)
    metric = declared.environments["production"].gray.metrics[0]  # type: ignore[union-attr]
    request = MetricRequest("shop", "production", metric, Path())
    source = PrometheusSource(Options.model_validate(dict(metric.options)), request)
    bumped = IacCommit(commit=prepare(branch), path=PATH, outcome="written")
    record = Release(app="shop", source=SOURCE, environments={"production": EnvironmentRelease(bump=bumped)})
    store = FakeReleaseStore(record)
    context = StageContext(
        declared,
        Path(),
        "production",
        connected(branch, engine, source),
        store,
        SystemClock(),
        RecordingProgress(),
    )
    if failing:
        with pytest.raises(RolledBack, match="gray is worse"):
            run_stage(context, GrayReleaseInputs())
        assert branch.read(PATH, branch.tip()) == STABLE
    else:
        run_stage(context, GrayReleaseInputs())
        text = branch.read(PATH, branch.tip()) or ""
        assert "image: registry.example.com/web@sha256:2, replicas: 2}  # ours" in text
        assert "gray:" not in text
    steps = store.release.environments["production"].gray
    assert [step.phase for step in steps][-1] == ("rolled-back" if failing else "promoted")
