"""The builders without an engine: how they read what BuildKit and buildah say; it was recorded."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pipegraft.core.errors import BuildFailed, Unreachable, UsageError
from pipegraft.images.adapters.daemonless import BuildahBuilder, BuildkitBuilder
from pipegraft.images.build_context import read_context
from pipegraft.images.hooks import BuildRequest
from pipegraft.images.ports import FakeRegistry

SECCOMP_BUILDAH = "Error during unshare(CLONE_NEWUSER): Operation not permitted"
SECCOMP_BUILDKIT = (
    "could not connect to unix:///run/user/1000/buildkit/buildkitd.sock after 10 trials\n"
    "========== log ==========\n"
    "[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: operation not permitted"
)
NO_SUBUID = (
    "[rootlesskit:parent] error: failed to setup UID/GID map: failed to compute uid/gid map: "
    "No subuid ranges found for user 1000"
)


NO_HOME = (
    "could not connect to unix:///run/user/1000/buildkit/buildkitd.sock after 10 trials\n"
    "buildkitd: mkdir /var/lib: permission denied\n"
    "[rootlesskit:child ] error: command [buildkitd] exited: exit status 1"
)


AS_ROOT = (
    "error: failed to solve: failed to read dockerfile: failed to mount /tmp/buildkit-mount2905720779: "
    "[{Type:bind Source:/var/lib/buildkit/runc-native}]: mount, err: operation not permitted"
)

STEP_FAILED = """\
#7 [2/2] RUN ./test connection error: desc = EOF
#7 0.213 rpc error: code = Unavailable desc = connection error: desc = "transport: connection refused"
#7 ERROR: process "/bin/sh -c ./test connection error: desc = EOF" did not complete successfully: exit code: 1
------
 > [2/2] RUN ./test connection error: desc = EOF:
0.213 rpc error: code = Unavailable desc = connection error: desc = "transport: connection refused"
------
error: failed to solve: process "/bin/sh -c ./test connection error: desc = EOF" did not complete\
"""
REGISTRY_AWAY = (
    "error: failed to solve: r.example/a:1: failed to resolve source metadata for r.example/a:1: failed "
    'to do request: Head "https://r.example/v2/a/manifests/1": '
    "dial tcp 192.0.2.1:443: connect: connection refused"
)


@pytest.fixture
def request_(tmp_path: Path) -> BuildRequest:
    context = tmp_path / "web"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return BuildRequest("web", context, read_context(context).entries, "web", ("v1",))


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str, status: int = 1) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "said").write_text(said + "\n")
    (programs / name).write_text(
        f'#!/bin/sh\necho "flags: $BUILDKITD_FLAGS"\ncat {programs}/said\nexit {status}\n'
    )
    (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    for variable in ("BUILDKIT_HOST", "BUILDKITD_FLAGS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("buildah", SECCOMP_BUILDAH),
        ("buildctl-daemonless.sh", SECCOMP_BUILDKIT),
        ("buildctl-daemonless.sh", NO_SUBUID),
    ],
)
def test_a_container_that_bars_user_namespaces_is_no_failed_build_and_none_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: BuildRequest, name: str, said: str
) -> None:
    program(tmp_path, monkeypatch, name, said)
    builder = BuildahBuilder() if name == "buildah" else BuildkitBuilder()
    with pytest.raises(UsageError, match="may not have a user namespace here") as refused:
        builder.build(request_, FakeRegistry(), lambda _line: None)
    assert said.splitlines()[-1] in refused.value.problem.message
    assert "seccomp=unconfined" in refused.value.problem.fix


def test_a_daemon_of_ours_that_does_not_come_up_is_nothing_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: BuildRequest
) -> None:
    program(tmp_path, monkeypatch, "buildctl-daemonless.sh", NO_HOME)
    with pytest.raises(UsageError, match="did not come up: buildkitd: mkdir /var/lib: permission denied"):
        BuildkitBuilder().build(request_, FakeRegistry(), lambda _line: None)


def test_a_daemon_of_root_in_a_container_without_rights_is_told_from_a_failed_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: BuildRequest
) -> None:
    program(tmp_path, monkeypatch, "buildctl-daemonless.sh", AS_ROOT)
    with pytest.raises(UsageError, match="may not mount anything here") as refused:
        BuildkitBuilder().build(request_, FakeRegistry(), lambda _line: None)
    assert "not root" in refused.value.problem.fix


@pytest.mark.parametrize(
    ("name", "said", "kind"),
    [
        ("buildah", "Error: building at STEP: no such file", BuildFailed),
        ("buildctl", "error: failed to solve: no such file", BuildFailed),
        ("buildctl", "could not connect to tcp://buildkitd:1234: connection refused", Unreachable),
        ("buildctl", 'connection error: desc = "error reading server preface: EOF"', Unreachable),
        ("buildctl", f"#1 [internal] load\n{REGISTRY_AWAY}", Unreachable),
        ("buildctl", STEP_FAILED, BuildFailed),
        ("buildctl-daemonless.sh", STEP_FAILED, BuildFailed),
        ("buildctl-daemonless.sh", f"#1 [internal] load\n{REGISTRY_AWAY}", Unreachable),
        ("buildah", f'STEP 1/2: FROM a\n{SECCOMP_BUILDAH}\nError: building at STEP "RUN x"', BuildFailed),
    ],
)
def test_other_failures_are_what_they_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request_: BuildRequest,
    *,
    name: str,
    said: str,
    kind: type[Exception],
) -> None:
    program(tmp_path, monkeypatch, name, said)
    if name == "buildctl":
        monkeypatch.setenv("BUILDKIT_HOST", "tcp://buildkitd:1234")
    builder = BuildahBuilder() if name == "buildah" else BuildkitBuilder()
    with pytest.raises(kind, match=re.escape(said.splitlines()[-1].partition(": ")[0])):
        builder.build(request_, FakeRegistry(), lambda _line: None)


def test_a_folder_that_lacks_a_certificate_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: BuildRequest
) -> None:
    program(tmp_path, monkeypatch, "buildctl", "")
    monkeypatch.setenv("BUILDKIT_HOST", "tcp://buildkitd:1234")
    monkeypatch.setenv("PIPEGRAFT_BUILDKIT_TLS", "missing")
    said = BuildkitBuilder().accepts(request_.context)
    assert said == "PIPEGRAFT_BUILDKIT_TLS: 'missing' holds neither ca.pem nor ca.crt"
    for name in ("ca.pem", "tls.crt", "tls.key"):
        assert BuildkitBuilder().accepts(request_.context) is not None
        (tmp_path / name).touch()
        monkeypatch.setenv("PIPEGRAFT_BUILDKIT_TLS", str(tmp_path))
    assert BuildkitBuilder().accepts(request_.context) is None


@pytest.mark.parametrize(
    ("user", "given", "flags"),
    [
        (0, None, ""),
        (1000, None, "--oci-worker-no-process-sandbox"),
        (1000, "--debug", "--debug"),
    ],
)
def test_a_daemon_without_rights_gets_the_flag_that_it_needs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request_: BuildRequest,
    *,
    user: int,
    given: str | None,
    flags: str,
) -> None:
    program(tmp_path, monkeypatch, "buildctl-daemonless.sh", "failed to solve")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if given is not None:
        monkeypatch.setenv("BUILDKITD_FLAGS", given)
    lines: list[str] = []
    with pytest.raises(BuildFailed):
        BuildkitBuilder().build(request_, FakeRegistry(), lines.append)
    assert lines[0] == f"flags: {flags}".strip()
