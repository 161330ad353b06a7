"""The set-ups of docs/images.md that build from a Dockerfile, each in a job's container by gitlab-ci-local.

The container is made of this machine's ``/usr`` and has no rights. Its runner lets `unshare` pass where a
rootless builder needs that, as ``security_opt`` does in the configuration of GitLab's runner.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gitlab_runner import Project, need_runner
from harness import need, run
from image_servers import buildkit_tool, running_buildkit, running_engine

from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.gitlab.system import make_templates
from pipegraft.core.hooks import STAGES
from pipegraft.images.adapters.registry.oci_layout import LayoutRegistry
from pipegraft.images.layers import unpack

pytestmark = pytest.mark.e2e

SOURCES = Path(__file__).parents[2]
IMAGE = "pipegraft-ci:latest"
DELIVERY = """\
app: shop
registry: oci:/images
components: {web: {path: web}}
iac: {repository: /nowhere, branch: main}
environments: {production: {gate: {engine: embedded, application: shop, state: /nowhere}}}
"""
HELPER = "docker.io/firecow/gitlab-ci-local-util:latest"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An engine with an image of links into ``/usr``, which jobs mount."""
    need("docker", "busybox")
    root = tmp_path_factory.mktemp("root")
    for name in ("usr", "etc/containers", "tmp", "var/tmp", "root", "proc", "sys", "dev", "run"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in ("passwd", "group"):
        (root / "etc" / name).write_bytes(Path("/etc", name).read_bytes())
    (root / "etc/containers/policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (root / "tmp").chmod(0o1777)
    helper = tmp_path_factory.mktemp("helper")
    (helper / "bin").mkdir()
    (helper / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (helper / "bin/busybox").chmod(0o755)
    for name in run("/bin/busybox", "--list").split():
        if name != "busybox":
            (helper / "bin" / name).symlink_to("busybox")
    (helper / "bin/bash").write_text('#!/bin/sh\nexec sh "$@"\n')
    (helper / "bin/bash").chmod(0o755)
    with running_engine("base=10.214.0.0/16,size=24") as address:
        for folder, name in ((root, IMAGE), (helper, HELPER)):
            run("tar", "-C", str(folder), "-cf", f"{folder}.tar", ".")
            run("docker", "--host", address, "import", f"{folder}.tar", name)
        yield address


@dataclass(frozen=True)
class Job:
    """A project, the folder that its images go to, and the engine that its jobs run in."""

    project: Project
    images: Path
    engine: str

    def run(self, inputs: Mapping[str, Any], *volumes: str, unshare: bool = False, code: int = 0) -> str:
        """Run image-build by its template, and answer what it said.

        Arguments:
            volumes: what the runner mounts.
            unshare: whether the runner lets a job have user namespaces.
            code: the exit code that the job must have.
        """
        include = {
            "local": "delivery/image-build.yml",
            "inputs": {"job-image": IMAGE, "job-stage": "build", **inputs},
        }
        root = self.project.folder
        (root / ".gitlab-ci.yml").write_text(json.dumps({"stages": ["build"], "include": [include]}))
        self.project.commit()
        read = dict.fromkeys(["/usr", str(SOURCES), sys.prefix, sys.base_prefix])
        mounts = [*(f"{folder}:{folder}:ro" for folder in read), f"{self.images}:/images", *volumes]
        done = self.project.ci(
            *(
                "--container-executable",
                str(self._executable(unshare=unshare)),
                "--pull-policy",
                "if-not-present",
            ),
            *(word for mount in mounts for word in ("--volume", mount)),
            *("--network", "host", "--variable", f"PATH={Path(sys.executable).parent}:/usr/bin:/bin:/tools"),
        )
        said = done.stdout + done.stderr
        assert ("FAIL" not in said) if code == 0 else (f"FAIL {code} " in said), said[-3000:]
        return said

    def _executable(self, *, unshare: bool) -> Path:
        """docker's command, as a runner would use it."""
        path = self.images.parent / "docker"
        allowed = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined" if unshare else ""
        path.write_text(
            f"#!/bin/sh\nexport DOCKER_HOST={self.engine}\nverb=$1\nshift\n"
            f'[ "$verb" != create ] || set -- {allowed} "$@"\nexec docker "$verb" "$@"\n'
        )
        path.chmod(0o755)
        return path

    def made(self, said: str) -> str:
        """What RUN wrote in the image that a job says it has built."""
        listed = json.loads((self.images / "web/index.json").read_text())["manifests"]
        (digest,) = {one["digest"] for one in listed if f"web: built, {one['digest'][:19]}" in said}
        unpack(LayoutRegistry(self.images), "web", digest, self.images.parent / "unpacked")
        return (self.images.parent / "unpacked/made").read_text()


@pytest.fixture
def job(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    need_runner(monkeypatch)
    (tmp_path / "images").mkdir()
    templates = make_templates(tuple(shipped_plugins().all(STAGES).values()))
    files = {
        "delivery.yaml": DELIVERY.encode(),
        "web/Dockerfile": b'FROM scratch\nCOPY busybox /bin/sh\nRUN ["/bin/sh", "-c", "echo made > /made"]\n',
        "web/busybox": Path("/bin/busybox").read_bytes(),
        "delivery/image-build.yml": templates["image-build.yml"].encode(),
    }
    project = Project.create(tmp_path / "shop", files)
    (project.folder / "web/busybox").chmod(0o755)
    return Job(project, tmp_path / "images", engine)


def test_the_socket_of_an_engine(job: Job) -> None:
    said = job.run({}, f"{job.engine.removeprefix('unix://')}:/var/run/docker.sock")
    assert job.made(said) == "made\n"


def test_an_engine_elsewhere(job: Job) -> None:
    said = job.run(
        {"job-docker-host": "unix:///engine.sock"}, f"{job.engine.removeprefix('unix://')}:/engine.sock"
    )
    assert job.made(said) == "made\n"


def test_buildah_without_rights(job: Job) -> None:
    said = job.run({}, unshare=True)
    assert job.made(said) == "made\n"


def test_a_runner_that_bars_user_namespaces_is_told_from_a_failed_build(job: Job) -> None:
    said = job.run({}, code=2)
    assert "buildah may not have a user namespace here" in said
    assert "seccomp=unconfined" in said


def test_a_buildkit_that_runs_elsewhere(job: Job, tmp_path: Path) -> None:
    tools = buildkit_tool("buildctl").parent
    (tmp_path / "bk").mkdir()
    with running_buildkit(tmp_path / "bk") as address:
        socket = address.removeprefix("unix://")
        (job.project.folder / ".gitlab-ci-local-variables.yml").write_text("BUILDKIT_HOST: unix:///bk.sock\n")
        said = job.run({}, f"{socket}:/bk.sock", f"{tools}:/tools:ro")
    assert job.made(said) == "made\n"
