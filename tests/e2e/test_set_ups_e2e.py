"""The set-ups of docs/images.md that build from a Dockerfile, each in a job's container by gitlab-ci-local.

The container is made of this machine's ``/usr`` and has no rights. Its runner lets `unshare` pass where a
rootless builder needs that, as ``security_opt`` does in the configuration of GitLab's runner.
"""

from __future__ import annotations

import json
import os
import shutil
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
from pipegraft.images.adapters.registry import LayoutRegistry
from pipegraft.images.layers import unpack

pytestmark = pytest.mark.e2e

SOURCES = Path(__file__).parents[2]
IMAGE = "pipegraft-ci:latest"
PROGRAMS = "/caps:/usr/bin:/bin:/usr/sbin:/tools"
ROOTLESS = "pipegraft-ci-rootless:latest"
DELIVERY = """\
app: shop
registry: oci:/images
components: {web: {path: web}}
iac: {repository: /nowhere, branch: main}
environments: {production: {gate: {engine: embedded, application: shop, state: /nowhere}}}
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An engine with an image of links into ``/usr``, which jobs mount."""
    need("docker", "busybox")
    root = tmp_path_factory.mktemp("root")
    for name in ("usr", "etc/containers", "tmp", "var/tmp", "root", "proc", "sys", "dev", "run"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nbuilder:x:1000:1000::/home:/bin/sh\n")
    shutil.copytree("/etc/alternatives", root / "etc/alternatives", symlinks=True)
    (root / "etc/group").write_text("root:x:0:\nbuilder:x:1000:\n")
    for name in ("subuid", "subgid"):
        (root / "etc" / name).write_text("builder:100000:65536\n")
    for name in ("home/builder", "run/user/1000"):
        (root / name).mkdir(parents=True)
        os.chown(root / name, 1000, 1000)
    _map_users(root / "caps")
    (root / "etc/containers/policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    root.chmod(0o755)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    with running_engine("base=10.214.0.0/16,size=24") as address:
        for folder, name, changes in (
            (root, IMAGE, ()),
            (root, ROOTLESS, ("USER 1000", "ENV HOME=/home/builder XDG_RUNTIME_DIR=/run/user/1000")),
        ):
            run("tar", "-C", folder, "--xattrs", "--xattrs-include=security.*", "-cf", f"{folder}.tar", ".")
            words = [word for change in changes for word in ("--change", change)]
            run("docker", "--host", address, "import", *words, f"{folder}.tar", name)
        yield address


def _map_users(folder: Path) -> None:
    """What gives a user's namespace its range of users: by capabilities of the files, not as root."""
    need("newuidmap", "setcap")
    folder.mkdir()
    for name, right in (("newuidmap", "cap_setuid"), ("newgidmap", "cap_setgid")):
        (folder / name).write_bytes(Path("/usr/bin", name).read_bytes())
        (folder / name).chmod(0o755)
        run("setcap", f"{right}+ep", folder / name)


@dataclass(frozen=True)
class Job:
    """A project, the folder that its images go to, and the engine that its jobs run in."""

    project: Project
    images: Path
    engine: str

    def run(
        self,
        inputs: Mapping[str, Any],
        *volumes: str,
        unshare: bool = False,
        privileged: bool = False,
        code: int = 0,
    ) -> str:
        """Run image-build by its template, and answer what it said.

        Arguments:
            volumes: what the runner mounts.
            unshare: whether the runner lets a job have user namespaces.
            privileged: whether jobs and their services have what an engine needs of those rights, and a
                network of their own. All of them not even a machine within another may have to give.
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
                str(self._executable(unshare=unshare, privileged=privileged)),
                "--pull-policy",
                "if-not-present",
            ),
            *("--helper-image", IMAGE),
            *(word for mount in mounts for word in ("--volume", mount)),
            f"--umask={str(inputs.get('job-image') != ROOTLESS).lower()}",  # true runs it as root
            *(() if privileged else ("--network", "host")),
            *("--variable", f"PATH={Path(sys.executable).parent}:{PROGRAMS}"),
        )
        said = done.stdout + done.stderr
        assert (done.returncode == 0) if code == 0 else (f"FAIL {code} " in said), said[-3000:]
        return said

    def _executable(self, *, unshare: bool, privileged: bool) -> Path:
        """docker's command, as a runner would use it."""
        path = self.images.parent / "docker"
        allowed = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined" if unshare else ""
        if privileged:
            allowed = (
                "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --cgroupns host"
                " --volume /sys/fs/cgroup:/sys/fs/cgroup --cap-add SYS_ADMIN --cap-add NET_ADMIN"
            )
        path.write_text(
            f"#!/bin/sh\nexport DOCKER_HOST={self.engine}\nverb=$1\nshift\n"
            f'[ "$verb" != create ] || set -- {allowed} "$@"\n'
            'case "$verb $*" in *:/usr:ro*) ;; run*|create*) set -- --volume /usr:/usr:ro "$@" ;; esac\n'
            'exec docker "$verb" "$@"\n'
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


def test_an_engine_of_the_jobs_own_as_a_service(job: Job) -> None:
    """docker-in-docker: the image `docker:dind` is this machine's engine here."""
    flags = ("--host=tcp://0.0.0.0:2375", "--storage-driver=vfs", "--iptables=false", "--bip=10.215.0.1/24")
    service = {"name": IMAGE, "alias": "docker", "entrypoint": ["/usr/sbin/dockerd"], "command": list(flags)}
    inputs = {"job-services": [service], "job-docker-host": "tcp://docker:2375"}
    said = job.run(inputs, privileged=True)
    assert "web: building with docker" in said
    assert job.made(said) == "made\n"


def test_a_cache_that_the_runner_keeps(job: Job, tmp_path: Path) -> None:
    tools = buildkit_tool("buildctl").parent
    cached = DELIVERY.replace(
        "{path: web}",
        '{path: web, cache: {from: ["type=local,src=.cache/web"],'
        ' to: ["type=local,dest=.cache/web,mode=max"]}}',
    )
    (job.project.folder / "delivery.yaml").write_text(cached)
    inputs = {"job-cache": [{"key": "image-build", "paths": [".cache"]}]}
    (tmp_path / "bk").mkdir()
    with running_buildkit(tmp_path / "bk") as address:
        socket = address.removeprefix("unix://")
        (job.project.folder / ".gitlab-ci-local-variables.yml").write_text("BUILDKIT_HOST: unix:///bk.sock\n")
        volumes = (f"{socket}:/bk.sock", f"{tools}:/tools:ro")
        assert "CACHED" not in job.run(inputs, *volumes)
        run(str(buildkit_tool("buildctl")), "--addr", address, "prune", "--all")
        (job.project.folder / "web/added").write_text("not copied\n")
        said = job.run(inputs, *volumes)
    assert "importing cache manifest from local" in said
    assert "CACHED" in said
    assert job.made(said) == "made\n"


def test_buildah_without_rights(job: Job) -> None:
    said = job.run({}, unshare=True)
    assert job.made(said) == "made\n"


def test_a_runner_that_bars_user_namespaces_is_told_from_a_failed_build(job: Job) -> None:
    said = job.run({}, code=2)
    assert "buildah may not have a user namespace here" in said
    assert "seccomp=unconfined" in said


def test_a_rootless_buildkit_for_one_build(job: Job) -> None:
    need("rootlesskit", "runc")
    job.images.chmod(0o777)
    tools = buildkit_tool("buildctl").parent
    said = job.run({"job-image": ROOTLESS}, f"{tools}:/tools:ro", unshare=True)
    assert "web: building with buildkit" in said
    assert job.made(said) == "made\n"


def test_a_buildkit_that_runs_elsewhere(job: Job, tmp_path: Path) -> None:
    tools = buildkit_tool("buildctl").parent
    (tmp_path / "bk").mkdir()
    with running_buildkit(tmp_path / "bk") as address:
        socket = address.removeprefix("unix://")
        (job.project.folder / ".gitlab-ci-local-variables.yml").write_text("BUILDKIT_HOST: unix:///bk.sock\n")
        said = job.run({}, f"{socket}:/bk.sock", f"{tools}:/tools:ro")
    assert job.made(said) == "made\n"
