"""`pipegraft run sync-gate` as a pipeline runs it, against a real API server and a real IaC repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from gate_scripts import APP_SPEC, SHORT, asked, compared, counted, deployment, pod, published, rolled
from gate_world import URL, World
from git_servers import make_bare
from harness import run
from kubernetes_api import KubernetesApi

from pipegraft.core.release import EnvironmentRelease, IacCommit, Release, Source

pytestmark = pytest.mark.e2e

MARK = "release: {{number: {number}, source: {source}}}\n"


class Job:
    """A source repository with its delivery, a bare IaC repository, and a release record."""

    def __init__(self, folder: Path, world: World) -> None:
        self.world = world
        self.root = folder / "shop"
        (self.root / "web").mkdir(parents=True)
        (self.root / ".gitignore").write_text("*\n")
        run("git", "init", "-q", self.root)
        run("git", "-C", self.root, "add", "-f", ".gitignore")
        author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        run("git", "-C", self.root, *author, "commit", "-qm", "first")
        self.source = run("git", "-C", self.root, "rev-parse", "HEAD").strip()
        self.iac = make_bare(folder, {"environments/production.yaml": self.mark(6)})
        world.before = run("git", "-C", self.iac, "rev-parse", "main").strip()
        world.target = self.commit(self.mark(7))

    @staticmethod
    def mark(number: int) -> str:
        return MARK.format(number=number, source="a" * 40)

    def commit(self, text: str) -> str:
        """A commit on top of the branch."""
        stream = (
            "commit refs/heads/main\ncommitter Ada <ada@example.com> 1700000100 +0000\ndata 1\nx\n"
            "from refs/heads/main^0\nM 100644 inline environments/production.yaml\n"
            f"data {len(text)}\n{text}\n"
        )
        subprocess.run(["git", "-C", self.iac, "fast-import", "--quiet"], input=stream.encode(), check=True)
        return run("git", "-C", self.iac, "rev-parse", "main").strip()

    def start(self, kubeconfig: Path | None = None, **gate: object) -> subprocess.Popen[str]:
        """Begin the job."""
        told = {
            "namespace": self.world.namespace,
            "kubeconfig": str(kubeconfig or self.world.kubeconfig),
            "timeout": "20s",
            "settle": "0s",
            **gate,
        }
        delivery = {
            "app": "shop",
            "registry": "oci:registry",
            "components": {"web": {"path": "web", "command": ["cat"]}},
            "iac": {"repository": str(self.iac)},
            "environments": {"production": {"gate": told}},
        }
        (self.root / "delivery.yaml").write_text(json.dumps(delivery))
        record = Release(
            app="shop",
            source=Source(commit=self.source, number=7),
            environments={
                "production": EnvironmentRelease(
                    bump=IacCommit(
                        commit=self.world.target, path="environments/production.yaml", outcome="written"
                    )
                )
            },
        )
        (self.root / ".pipegraft").mkdir(exist_ok=True)
        (self.root / ".pipegraft" / "release.json").write_text(record.model_dump_json())
        variables = {key: value for key, value in os.environ.items() if not key.startswith("CI")}
        return subprocess.Popen(
            [sys.executable, "-m", "pipegraft", "run", "sync-gate", "--env", "production"],
            cwd=self.root,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str], *steps: Callable[[World], object]) -> tuple[int, str]:
        """Play the controller's part; answers exit code and output."""
        player = threading.Thread(target=lambda: [step(self.world) for step in steps])
        player.start()
        said, _ = process.communicate(timeout=120)
        player.join()
        return process.returncode, said

    @property
    def record(self) -> EnvironmentRelease:
        text = (self.root / ".pipegraft" / "release.json").read_text()
        return Release.model_validate_json(text).environments["production"]


@pytest.fixture
def job(kubernetes: KubernetesApi, tmp_path: Path) -> Job:
    if not kubernetes.crds:
        pytest.skip("no schemas here (PIPEGRAFT_SCHEMAS)")
    world = World(kubernetes)
    return Job(tmp_path, world)


def test_a_release_that_is_live_ends_with_0_and_is_recorded(job: Job) -> None:
    job.world.create("app", "shop", APP_SPEC)
    process = job.start(engine="argocd", application="shop", repository=URL)
    code, said = job.finish(process, asked, compared("before"), compared("target"))
    assert code == 0, said
    gate = job.record.gate
    assert gate is not None
    assert (gate.verdict, gate.revision) == ("succeeded", job.world.target)
    assert set(gate.phases) == {"seen", "live", "ended"}
    suite = ET.parse(job.root / ".pipegraft" / "sync-gate-production.junit.xml").getroot()[0]  # noqa: S314 - our own file
    assert (suite.get("name"), suite.get("failures")) == ("shop production", "0")


def test_a_commit_of_somebody_else_on_top_is_as_good(job: Job) -> None:
    job.world.after = job.commit(job.mark(7) + "# by hand\n")
    job.world.create("app", "shop", APP_SPEC)
    process = job.start(engine="argocd", application="shop", repository=URL)
    assert job.finish(process, asked, compared("after"))[0] == 0


def test_a_commit_on_top_that_takes_the_release_back_is_not(job: Job) -> None:
    job.world.after = job.commit(job.mark(6))
    job.world.create("app", "shop", APP_SPEC)
    process = job.start(engine="argocd", application="shop", repository=URL)
    code, said = job.finish(process, asked, compared("after"))
    assert code == 1, said
    assert f"{job.world.after[:12]} takes release 7 back: it has release 6" in " ".join(said.split())


def test_a_failure_ends_with_1_and_shows_why(job: Job) -> None:
    deployment(job.world)
    process = job.start(engine="workloads", objects=["Deployment/web"])
    crash = pod("web-new", waiting="CrashLoopBackOff", restarts=4)
    code, said = job.finish(process, counted(**SHORT), crash)
    assert code == 1, said
    assert "container web: CrashLoopBackOff" in said
    assert "exit status 3" in said
    whole = json.loads((job.root / ".pipegraft" / "sync-gate-production.json").read_text())
    assert whole["verdict"] == "failed"
    assert [row["state"] for row in whole["resources"]] == ["failed"]
    suite = ET.parse(job.root / ".pipegraft" / "sync-gate-production.junit.xml").getroot()[0]  # noqa: S314 - our own file
    failure = suite[0].find("failure")
    assert failure is not None
    assert "CrashLoopBackOff" in (failure.text or "")


def test_wrong_usage_ends_with_2_and_missing_rights_with_3(job: Job) -> None:
    published(job.world, "target")
    rolled("target")(job.world)
    code, said = job.finish(job.start(engine="kubevela", application="shp"))
    assert code == 2, said
    assert "KubeVela has no Application 'shp'" in said
    nobody = job.world.api.user(job.world.namespace, "nobody")
    code, said = job.finish(job.start(nobody, engine="kubevela", application="shop"))
    assert code == 3, said
    assert 'cannot list resource "applications" in API group "core.oam.dev"' in " ".join(said.split())
    assert job.finish(job.start(engine="kubevela", application="shop"))[0] == 0
