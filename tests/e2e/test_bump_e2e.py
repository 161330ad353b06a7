"""The IaC bump against real servers: git over HTTP with a password behind nginx, and over SSH."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from git_servers import PASSWORD, GitServer, http_server, make_bare, ssh_server
from harness import need, run

from pipegraft.core.errors import AccessDenied
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.ports import IacBranch
from pipegraft.testing.iac_suite import Clients, IacBranchSuite

pytestmark = pytest.mark.e2e

FILES = {
    "app.yaml": "app: shop\ncomponents: {web: {ports: {http: 80}}}\n",
    "environments/production.yaml": "{}\n",
}
DELIVERY = """\
app: shop
registry: oci:registry
components: {web: {path: web, command: [cat]}}
iac: {repository: "URL/iac.git"}
environments: {production: {gate: {engine: embedded, url: "http://127.0.0.1:9", application: shop}}}
"""


@pytest.fixture(scope="module", params=[http_server, ssh_server], ids=["http", "ssh"])
def git_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GitServer]:
    with request.param(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def iac(git_server: GitServer, tmp_path: Path) -> Callable[[Mapping[str, str]], str]:
    """Makes a repository on the server, and answers its URL."""

    def make(files: Mapping[str, str]) -> str:
        folder = git_server.repositories / tmp_path.name
        folder.mkdir()
        make_bare(folder, files)
        return f"{git_server.url}/{tmp_path.name}/iac.git"

    return make


class TestServersAreConformant(IacBranchSuite):
    @pytest.fixture
    def clients(
        self, git_server: GitServer, iac: Callable[[Mapping[str, str]], str], tmp_path: Path
    ) -> Clients:
        def make(files: Mapping[str, str]) -> Callable[[], IacBranch]:
            url = iac(files)
            environment = {**os.environ, **git_server.variables}
            return lambda: open_branch(url, "main", tmp_path, environment=environment)

        return make


def test_a_bump_needs_seven_requests(git_server: GitServer, iac: Callable[[Mapping[str, str]], str]) -> None:
    if git_server.log is None:
        pytest.skip("SSH has connections, not requests")
    url = iac({f"apps/a{number}/app.yaml": "app: a\n" for number in range(100)})
    environment = {**os.environ, **git_server.variables}
    name, log = url.split("/")[-2], git_server.log
    branch = open_branch(url, "main", Path(), folder="apps/a7", environment=environment)
    with branch.turn():
        tip = branch.tip()
        assert branch.read("apps/a7/app.yaml", tip) == "app: a\n"
        branch.commit({"apps/a7/app.yaml": "app: b\n"}, "bump", tip)
    until = time.monotonic() + 60  # nginx writes a line after the answer has gone out
    while log.read_text().count(f"/{name}/") < 7 and time.monotonic() < until:
        time.sleep(0.02)
    assert log.read_text().count(f"/{name}/") == 7


def test_wrong_credentials_are_told(
    git_server: GitServer, iac: Callable[[Mapping[str, str]], str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other)
    wrong = {"PIPEGRAFT_IAC_TOKEN": "wr0ng-t0ken", "PIPEGRAFT_IAC_SSH_KEY": str(other)}
    environment = {**os.environ, **git_server.variables, **wrong}
    with pytest.raises(AccessDenied) as caught:
        open_branch(iac(FILES), "main", tmp_path, environment=environment).tip()
    assert "wr0ng" not in str(caught.value)


def test_an_unknown_host_key_is_told(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as running:
        make_bare(running.repositories, FILES)
        command = f"ssh -o UserKnownHostsFile={tmp_path}/nobody -o GlobalKnownHostsFile=/dev/null"
        environment = {**os.environ, **running.variables, "GIT_SSH_COMMAND": command}
        with pytest.raises(AccessDenied, match="host key"):
            open_branch(f"{running.url}/iac.git", "main", tmp_path, environment=environment).tip()


def test_the_command_line_delivers_and_takes_back_and_shows_no_secret(
    git_server: GitServer, iac: Callable[[Mapping[str, str]], str], tmp_path: Path
) -> None:
    url = iac(FILES)
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "page").write_text("hello\n")
    (tmp_path / "delivery.yaml").write_text(DELIVERY.replace("URL/iac.git", url))
    run("git", "-C", tmp_path, "init", "--quiet")
    run("git", "-C", tmp_path, "add", "web", "delivery.yaml")
    run("git", "-C", tmp_path, "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "v1")
    said = ""

    def pipegraft(*words: str, expected: int = 0, **variables: str) -> None:
        nonlocal said
        environment = {**os.environ, **git_server.variables, "TMPDIR": str(tmp_path / "tmp"), **variables}
        command = [sys.executable, "-m", "pipegraft", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        said += done.stdout + done.stderr
        assert done.returncode == expected, done.stderr

    (tmp_path / "tmp").mkdir()
    bare = git_server.repositories / tmp_path.name / "iac.git"
    with watched_processes() as seen:
        pipegraft("run", "image-build", "iac-bump", PIPEGRAFT_RELEASE_NUMBER="1")
        released = run("git", "-C", bare, "show", "main:environments/production.yaml")
        assert "@sha256:" in released
        pipegraft("run", "iac-bump", PIPEGRAFT_RELEASE_NUMBER="1")
        assert "unchanged" in said
        pipegraft("rollback", "--env", "production")
        assert run("git", "-C", bare, "show", "main:environments/production.yaml") == "{}\n"
        pipegraft("run", "iac-bump", PIPEGRAFT_RELEASE_NUMBER="1")
        assert "rolled back" in said
        pipegraft("run", "iac-bump", expected=3, PIPEGRAFT_IAC_TOKEN="no", PIPEGRAFT_IAC_SSH_KEY="/dev/null")
    assert run("git", "-C", bare, "rev-list", "--count", "main").strip() == "3"
    assert PASSWORD not in said
    assert any("git" in command for command in seen)
    assert [command for command in seen if PASSWORD in command] == []
    kept = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    assert not [path for path in kept if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in run("git", "-C", bare, "log", "-p", "main")


def test_commits_are_signed_with_a_gpg_key(
    git_server: GitServer, iac: Callable[[Mapping[str, str]], str], tmp_path: Path
) -> None:
    need("gpg", "gpgconf")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    environment = {**os.environ, **git_server.variables, "GNUPGHOME": str(home)}
    words = (
        "gpg",
        "--batch",
        "--passphrase",
        "",
        "--quick-gen-key",
        "pipegraft@example.com",
        "ed25519",
        "sign",
    )
    subprocess.run(words, env=environment, check=True, capture_output=True)
    try:
        environment["PIPEGRAFT_SIGNING_KEY"] = "pipegraft@example.com"
        branch = open_branch(iac(FILES), "main", tmp_path, environment=environment)
        with branch.turn():
            made = branch.commit({"app.yaml": "app: signed\n"}, "signed", branch.tip())
        bare = git_server.repositories / tmp_path.name / "iac.git"
        command = ("git", "-C", str(bare), "verify-commit", "--raw", made)
        verified = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert "GOODSIG" in verified.stderr
    finally:
        subprocess.run(("gpgconf", "--kill", "all"), env=environment, check=True)


KILLED = """\
import sys
from pathlib import Path
from pipegraft.iac.adapters.git import open_branch
branch = open_branch(sys.argv[1], "main", Path(), folder="")
number = 0
while True:
    text = f"a: {number}\\n"
    with branch.turn():
        branch.commit({"app.yaml": text, "environments/production.yaml": text}, "bump", branch.tip())
    number += 1
    print(number, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_the_branch_before_or_after(
    git_server: GitServer, iac: Callable[[Mapping[str, str]], str], tmp_path: Path
) -> None:
    url = iac(FILES)
    bare = git_server.repositories / tmp_path.name / "iac.git"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, **git_server.variables, "TMPDIR": str(temporary)}
    rng = random.Random(5)
    written = 0
    for _ in range(4):
        command = [sys.executable, "-c", KILLED, url]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, env=environment, start_new_session=True
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"1\n"
            time.sleep(rng.uniform(0, 0.3))  # the moment of death, not a wait for anything
            os.killpg(writer.pid, signal.SIGKILL)
        run("git", "-C", bare, "fsck", "--strict", "--connectivity-only")
        tip = run("git", "-C", bare, "rev-parse", "main").strip()  # the server may still be at the last one
        held = [run("git", "-C", bare, "show", f"{tip}:{path}") for path in FILES]
        assert held[0] == held[1]
        count = int(run("git", "-C", bare, "rev-list", "--count", tip))
        assert count > written
        written = count
    branch = open_branch(url, "main", tmp_path, environment=environment)
    with branch.turn():
        branch.commit({"app.yaml": "after\n"}, "after", branch.tip())
    assert run("git", "-C", bare, "show", "main:app.yaml") == "after\n"


class watched_processes:  # noqa: N801 - reads as the context manager it is
    """Collects the command line of every process that runs while the block does."""

    def __enter__(self) -> set[str]:
        self._seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self._seen

    def __exit__(self, *_arguments: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            for process in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - a glob looks at what has ended
                try:
                    command = Path("/proc", process, "cmdline").read_bytes()
                except OSError:
                    continue  # it has ended
                self._seen.add(command.replace(b"\0", b" ").decode("utf-8", "replace"))
