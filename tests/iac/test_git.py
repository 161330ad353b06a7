from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from git_http import HttpGit, serve
from git_repositories import FILES, FILTERING, git, make_repository, serve_repository
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipegraft.core.adapters.vcs_info import SourceLog
from pipegraft.core.errors import AccessDenied, Locked, TipMoved, Unreachable, UsageError, Vetoed
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.adapters.git.access import _forget, _keyring, trusting
from pipegraft.iac.adapters.git.pre_receive import open_received
from pipegraft.iac.ports import FakeIacRepository, IacBranch
from pipegraft.testing.iac_suite import Clients, IacBranchSuite


class TestFakeIsConformant(IacBranchSuite):
    @pytest.fixture
    def clients(self) -> Clients:
        def make(files: Mapping[str, str]) -> Callable[[], IacBranch]:
            fake = FakeIacRepository(files)
            return lambda: fake

        return make


class TestLocalIsConformant(IacBranchSuite):
    @pytest.fixture
    def clients(self, tmp_path: Path) -> Clients:
        def make(files: Mapping[str, str]) -> Callable[[], IacBranch]:
            make_repository(tmp_path, files)
            return lambda: open_branch("iac.git", "main", tmp_path)

        return make


class TestFetchedIsConformant(IacBranchSuite):
    """A repository git fetches from: here through a helper of git's own that runs the server as a program."""

    @pytest.fixture
    def clients(self, tmp_path: Path) -> Clients:
        def make(files: Mapping[str, str]) -> Callable[[], IacBranch]:
            bare = make_repository(tmp_path, files)
            git(bare, "config", "uploadpack.allowFilter", "true")
            git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
            environment = {**os.environ, "GIT_ALLOW_PROTOCOL": "ext", "GIT_CONFIG_GLOBAL": os.devnull}
            return lambda: open_branch(f"ext::git %s {bare}", "main", tmp_path, environment=environment)

        return make


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpGit]:
    with serve(tmp_path) as running:
        yield running


class TestHttpIsConformant(IacBranchSuite):
    """A server that speaks version 2 of the protocol and filters by tree depth."""

    @pytest.fixture
    def clients(self, tmp_path: Path, server: HttpGit) -> Clients:
        def make(files: Mapping[str, str]) -> Callable[[], IacBranch]:
            serve_repository(tmp_path, files)
            return lambda: open_branch(f"{server.url}/iac.git", "main", tmp_path)

        return make


@pytest.mark.parametrize(
    ("settings", "speaks_version_2"),
    [
        ({**FILTERING, "uploadpackfilter.tree.allow": "false"}, True),
        ({}, True),
        ({**FILTERING, "uploadpack.allowAnySHA1InWant": "true"}, False),
        ({"uploadpack.allowReachableSHA1InWant": "true"}, False),
    ],
    ids=["no filter by tree", "no filter", "version 0", "version 0 without filter"],
)
def test_servers_that_can_do_less(
    tmp_path: Path, server: HttpGit, settings: dict[str, str], speaks_version_2: bool
) -> None:
    files = {
        "apps/shop/app.yaml": "app: shop\n",
        "apps/shop/environments/p.yaml": "1\n",
        "apps/cart/x": "1\n",
    }
    serve_repository(tmp_path, files, settings)
    server.speaks_version_2 = speaks_version_2
    branch = open_branch(f"{server.url}/iac.git", "main", tmp_path)
    first = branch.tip()
    assert branch.read("apps/shop/app.yaml", first) == "app: shop\n"
    second = branch.commit({"apps/shop/environments/p.yaml": "2\n"}, "change", first)
    seen = open_branch(f"{server.url}/iac.git", "main", tmp_path)
    assert {path: seen.read(path, second) for path in files} == files | {
        "apps/shop/environments/p.yaml": "2\n"
    }
    assert [commit.id for commit in seen.log("apps/shop/environments/p.yaml")] == [second, first]
    assert [commit.id for commit in seen.log("apps/cart/x")] == [first]
    assert seen.contains(first, second)
    assert not seen.contains(second, first)


MANY = {f"apps/a{app}/{name}": "1\n" for app in range(50) for name in ("app.yaml", "environments/p.yaml")}


def test_a_bump_over_http_needs_seven_requests(tmp_path: Path, server: HttpGit) -> None:
    serve_repository(tmp_path, {**MANY, "README": "1\n"})
    elsewhere = open_branch(f"{server.url}/iac.git", "main", tmp_path)
    for path in ("apps/a8/app.yaml", "README"):  # what the newest commit changed must not matter
        elsewhere.commit({path: "2\n"}, "elsewhere", elsewhere.tip())
        server.requests.clear()
        branch = open_branch(f"{server.url}/iac.git", "main", tmp_path, folder="apps/a7")
        with branch.turn():
            tip = branch.tip()
            held = branch.read("apps/a7/environments/p.yaml", tip)
            assert branch.read("apps/a7/app.yaml", tip) == "1\n"
            branch.commit({"apps/a7/environments/p.yaml": f"{held}2\n"}, "change", tip)
        assert len(server.requests) == 7


@pytest.mark.parametrize("folder", ["", "apps/a7", "apps/a7/environments", "absent/app"])
def test_others_commit_between_two_looks(tmp_path: Path, server: HttpGit, folder: str) -> None:
    bare = serve_repository(tmp_path, {**MANY, "README": "1\n"})
    ours = open_branch(f"{server.url}/iac.git", "main", tmp_path, folder=folder)
    theirs = open_branch(str(bare), "main", tmp_path)
    path, expected = "apps/a7/environments/p.yaml", "1\n"
    ours.read(path, ours.tip())
    moves: list[dict[str, str | None]] = [
        {"apps/a8/app.yaml": "2\n"},
        {"README": "2\n"},
        {path: "theirs\n"},
        {path: "1\n", "apps/a8/app.yaml": "1\n", "README": "1\n"},  # all as it was at first
        {"apps/a7/app.yaml": None},
    ]
    for number, move in enumerate(moves):
        theirs.commit(move, "theirs", theirs.tip())
        with ours.turn():
            tip = ours.tip()
            expected = move.get(path) or expected
            assert ours.read(path, tip) == expected
            expected = f"ours {number}\n"
            ours.commit({path: expected}, "ours", tip)
        assert git(bare, "diff-tree", "-r", "--no-commit-id", "--name-only", "main") == path
    assert git(bare, "rev-list", "--count", "main") == str(1 + 2 * len(moves))
    git(bare, "fsck", "--strict")


def test_a_lost_race_over_http_is_told_and_little_is_asked_again(tmp_path: Path, server: HttpGit) -> None:
    bare = serve_repository(tmp_path, MANY)
    first, second = (
        open_branch(f"{server.url}/iac.git", "main", tmp_path, folder=f"apps/a{app}") for app in (1, 2)
    )
    with first.turn():
        tip = first.tip()
        assert first.read("apps/a1/app.yaml", tip) == "1\n"
        second.commit({"apps/a2/app.yaml": "2\n"}, "faster", second.tip())
        with pytest.raises(TipMoved, match="'main'"):
            first.commit({"apps/a1/app.yaml": "2\n"}, "change", tip)
        server.requests.clear()
        tip = first.tip()
        assert first.read("apps/a1/app.yaml", tip) == "1\n"
        made = first.commit({"apps/a1/app.yaml": "2\n"}, "change", tip)
    assert len(server.requests) == 5  # the tip with its folders, and the push
    assert git(bare, "rev-parse", "main") == made
    assert git(bare, "show", "main:apps/a2/app.yaml") == "2"


def test_who_has_lost_a_race_looks_again_before_it_sends(tmp_path: Path, server: HttpGit) -> None:
    serve_repository(tmp_path, MANY)
    first, second = (
        open_branch(f"{server.url}/iac.git", "main", tmp_path, folder=f"apps/a{app}") for app in (1, 2)
    )
    for race in range(2):
        with first.turn():
            tip = first.tip()
        second.commit({"apps/a2/app.yaml": f"{race}\n"}, "faster", second.tip())
        server.requests.clear()
        with pytest.raises(TipMoved, match="'main'"):
            first.commit({"apps/a1/app.yaml": "2\n"}, "change", tip)
    assert not [request for request in server.requests if request.startswith("POST /iac.git/git-receive")]


def test_what_others_changed_meanwhile_comes_with_one_fetch(tmp_path: Path, server: HttpGit) -> None:
    bare = serve_repository(tmp_path, MANY)
    ours, others = (
        open_branch(f"{server.url}/iac.git", "main", tmp_path, folder=f"apps/a{app}") for app in (1, 2)
    )
    assert ours.read("apps/a1/app.yaml", ours.tip()) == "1\n"
    others.commit(
        {"apps/a1/environments/live.yaml": "a: 1\n", "apps/a1/app.yaml": "2\n"}, "one", others.tip()
    )
    others.commit({"apps/a2/app.yaml": "3\n"}, "two", others.tip())
    server.requests.clear()
    assert ours.read("apps/a1/app.yaml", ours.tip()) == "2\n"
    assert len(server.requests) == 6  # the tip, what changed, and the folder that somebody changed too
    assert ours.read("apps/a1/environments/live.yaml", ours.tip()) == "a: 1\n"
    git(bare, "fsck", "--strict")


def test_a_hook_of_an_http_server_that_declines_is_quoted(tmp_path: Path, server: HttpGit) -> None:
    bare = serve_repository(tmp_path, FILES)
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'no images on Fridays' >&2\nexit 1\n")
    hook.chmod(0o755)
    branch = open_branch(f"{server.url}/iac.git", "main", tmp_path)
    with branch.turn(), pytest.raises(Vetoed, match="no images on Fridays"):
        branch.commit({"app.yaml": "x: 1\n"}, "change", branch.tip())


def test_a_branch_that_an_http_server_lacks_is_named(tmp_path: Path, server: HttpGit) -> None:
    serve_repository(tmp_path, FILES)
    branch = open_branch(f"{server.url}/iac.git", "live", tmp_path)
    with branch.turn(), pytest.raises(UsageError, match="'live'"):
        branch.tip()


def test_credentials_travel_in_a_header_alone(tmp_path: Path, server: HttpGit) -> None:
    serve_repository(tmp_path, FILES)
    server.authorization = f"Basic {base64.b64encode(b'bot:s3cr3t').decode()}"
    settings = tmp_path / "gitconfig"
    for repository, variables in [
        (f"{server.url}/iac.git", {"PIPEGRAFT_IAC_USER": "bot", "PIPEGRAFT_IAC_TOKEN": "s3cr3t"}),
        (f"{server.url.replace('://', '://bot:s3cr3t@')}/iac.git", {}),
        (
            f"{server.url}/iac.git",
            {"CI_SERVER_HOST": "127.0.0.1", "CI_DEPLOY_USER": "bot", "CI_DEPLOY_PASSWORD": "s3cr3t"},
        ),
        ("iac:iac.git", {"GIT_CONFIG_GLOBAL": str(settings)}),
    ]:
        settings.write_text(f'[url "{server.url.replace("://", "://bot:s3cr3t@")}/"]\ninsteadOf = iac:\n')
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables}
        branch = open_branch(repository, "main", tmp_path, environment=environment)
        tip = branch.tip()
        branch.commit({"app.yaml": f"app: {len(server.requests)}\n"}, "change", tip)
    assert set(server.authorizations) == {server.authorization}
    server.authorization = "Basic another"
    with pytest.raises(AccessDenied) as caught:
        branch.tip()
    assert "s3cr3t" not in str(caught.value)


def test_the_clone_a_job_stands_in_has_no_say(
    tmp_path: Path, server: HttpGit, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_repository(tmp_path, FILES)
    work = tmp_path / "work"
    git(work, "remote", "add", "origin", "http://127.0.0.1:9/elsewhere.git")
    git(work, "config", "http.extraHeader", "Authorization: Basic of-the-clone")
    git(work, "config", "remote.origin.proxy", "http://127.0.0.1:9")
    monkeypatch.chdir(work)
    branch = open_branch(f"{server.url}/iac.git", "main", tmp_path)
    branch.commit({"app.yaml": "app: cart\n"}, "change", branch.tip())
    assert set(server.authorizations) == {None}


def test_a_server_that_breaks_off_is_asked_anew(tmp_path: Path, server: HttpGit) -> None:
    serve_repository(tmp_path, FILES)
    branch = open_branch(f"{server.url}/iac.git", "main", tmp_path)
    failures = [500]
    server.before = lambda method, _path: failures.pop() if method == "POST" and failures else None
    with pytest.raises(Unreachable, match=re.escape(server.url)):
        branch.tip()
    assert branch.read("app.yaml", branch.tip()) == FILES["app.yaml"]


def test_commits_carry_author_and_committer(tmp_path: Path) -> None:
    bare = make_repository(tmp_path, FILES)
    environment = {
        "PATH": os.environ["PATH"],
        "GITLAB_USER_NAME": "Ada L",
        "GITLAB_USER_EMAIL": "ada@example.com",
    }
    branch = open_branch(str(bare), "main", tmp_path, environment=environment)
    branch.commit({"app.yaml": "app: cart\n"}, "change", branch.tip())
    written = git(bare, "log", "-1", "--format=%an <%ae> by %cn", "main")
    assert written == "Ada L <ada@example.com> by Pipegraft"


def test_commits_are_signed_with_an_ssh_key(tmp_path: Path) -> None:
    bare = make_repository(tmp_path, FILES)
    key, signers = tmp_path / "key", tmp_path / "signers"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers.write_text(f"pipegraft@noreply.invalid {(tmp_path / 'key.pub').read_text()}")
    environment = {**os.environ, "PIPEGRAFT_SIGNING_KEY": str(key)}
    branch = open_branch(str(bare), "main", tmp_path, environment=environment)
    branch.commit({"app.yaml": "app: cart\n"}, "change", branch.tip())
    git(bare, "-c", f"gpg.ssh.allowedSignersFile={signers}", "verify-commit", "main")
    broken = {**os.environ, "PIPEGRAFT_SIGNING_KEY": str(tmp_path / "absent")}
    branch = open_branch(str(bare), "main", tmp_path, environment=broken)
    tip = branch.tip()
    with pytest.raises(UsageError, match="could not be signed"):
        branch.commit({"app.yaml": "app: till\n"}, "change", tip)
    assert branch.tip() == tip


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
@pytest.mark.parametrize("password", ["", "open sesame"])
def test_commits_are_signed_and_verified_with_openpgp_keys_of_files(tmp_path: Path, password: str) -> None:
    bare = make_repository(tmp_path, FILES)
    home = Path(tempfile.mkdtemp(prefix="gpg-"))  # an agent's socket has no long path

    def gpg(*words: str) -> bytes:
        command = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback"]
        command += ["--passphrase", password, *words]
        return subprocess.run(command, capture_output=True, check=True).stdout

    try:
        for name in ("ours", "theirs"):
            gpg("--quick-generate-key", f"{name}@example.com", "ed25519", "sign", "never")
            (tmp_path / f"{name}.asc").write_bytes(gpg("--armor", "--export", f"{name}@example.com"))
        (tmp_path / "key.asc").write_bytes(gpg("--armor", "--export-secret-keys", "ours@example.com"))
        (tmp_path / "ours.gpg").write_bytes(gpg("--export", "ours@example.com"))
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
        shutil.rmtree(home, ignore_errors=True)  # an agent that ends removes its sockets itself
    environment = {**os.environ, "PIPEGRAFT_SIGNING_KEY": str(tmp_path / "key.asc")}
    environment["PIPEGRAFT_SIGNING_PASSWORD"] = password
    branch = open_branch(str(bare), "main", tmp_path, environment=environment)
    branch.commit({"app.yaml": "app: cart\n"}, "change", branch.tip())
    variables = {"PATH": os.environ["PATH"]}
    signed = {
        name: open_received(bare, variables, tmp_path / name).is_signed("main")
        for name in ("ours.asc", "ours.gpg", "theirs.asc")
    }
    assert signed == {"ours.asc": True, "ours.gpg": True, "theirs.asc": False}
    source = SourceLog(bare, trusting(tmp_path / "ours.asc", variables))
    assert source.commit(git(bare, "rev-parse", "main")).signature == ("G", "ours@example.com")
    (tmp_path / "signers").write_text("* ssh-ed25519 AAAA\n")
    assert not open_received(bare, variables, tmp_path / "signers").is_signed("main")
    (tmp_path / "none.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n")
    with pytest.raises(UsageError, match=r"expected OpenPGP keys in .*none\.asc, gpg takes none"):
        open_received(bare, variables, tmp_path / "none.asc")
    _forget(_keyring(tmp_path / "key.asc", password).home)  # workers of tests end without their last words


def test_file_modes_and_other_files_stay(tmp_path: Path) -> None:
    bare = make_repository(tmp_path, FILES)
    work = tmp_path / "work"
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message=a script")
    git(work, "push", "--quiet", str(bare), "main")
    before = git(bare, "ls-tree", "-r", "main").splitlines()
    branch = open_branch(str(bare), "main", tmp_path)
    branch.commit({"run.sh": "#!/bin/bash\n"}, "change", branch.tip())
    after = git(bare, "ls-tree", "-r", "main").splitlines()
    assert [line.split()[0] for line in after] == [line.split()[0] for line in before]
    assert [line for line in after if line not in before] == [
        next(line for line in after if "run.sh" in line)
    ]
    git(bare, "fsck", "--strict")


names = st.sampled_from(["a", "b", "ä c", "-d"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
changes = st.dictionaries(
    paths, st.none() | st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=4
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(changes, min_size=1, max_size=3))
def test_any_changes_end_as_in_the_model(tmp_path: Path, steps: list[dict[str, str | None]]) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    bare = make_repository(folder, {"keep/me": "1\n"})
    model, branch = FakeIacRepository({"keep/me": "1\n"}), open_branch(str(bare), "main", folder)
    for step in steps:
        kept = {
            path: text for path, text in step.items() if text is not None or model.read(path, model.tip())
        }
        try:
            model.commit(kept, "step", model.tip())
        except UsageError:
            continue  # a path that is a file and a folder: see the suite
        branch.commit(kept, "step", branch.tip())
        held = set(
            git(bare, "-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", "main").splitlines()
        )
        assert held == {
            path for path in {*held, *kept, "keep/me"} if model.read(path, model.tip()) is not None
        }
        assert all(branch.read(path, branch.tip()) == model.read(path, model.tip()) for path in held)
    git(bare, "fsck", "--strict")


def test_a_path_without_a_repository_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found nothing") as caught:
        open_branch("absent.git", "main", tmp_path)
    assert caught.value.exit_code == 2
    assert "delivery.yaml" in caught.value.problem.fix


def test_a_folder_inside_of_another_repository_is_not_taken_for_it(tmp_path: Path) -> None:
    make_repository(tmp_path, FILES)
    inner = tmp_path / "work" / "environments"
    with pytest.raises(UsageError, match="something else"):
        open_branch(str(inner), "main", tmp_path)


def test_a_missing_branch_is_named(tmp_path: Path) -> None:
    make_repository(tmp_path, FILES)
    with pytest.raises(UsageError, match="branch 'release'"):
        open_branch("iac.git", "release", tmp_path).tip()


def test_a_lock_on_the_branch_is_named(tmp_path: Path) -> None:
    bare = make_repository(tmp_path, FILES)
    branch = open_branch(str(bare), "main", tmp_path)
    tip = branch.tip()
    lock = bare / "refs" / "heads" / "main.lock"
    lock.touch()
    with pytest.raises(Locked, match=r"main\.lock") as caught:
        branch.commit({"app.yaml": "app: cart\n"}, "change", tip)
    assert caught.value.exit_code == 3
    assert "delete" in caught.value.problem.fix
    assert branch.tip() == tip
    lock.unlink()
    branch.commit({"app.yaml": "app: cart\n"}, "change", tip)


def test_a_hook_of_the_server_that_declines_is_quoted(tmp_path: Path) -> None:
    bare = make_repository(tmp_path, FILES)
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'images must be pinned' >&2\nexit 1\n")
    hook.chmod(0o755)
    branch = open_branch(str(bare), "main", tmp_path)
    tip = branch.tip()
    with pytest.raises(Vetoed, match="images must be pinned"):
        branch.commit({"app.yaml": "app: cart\n"}, "change", tip)
    assert branch.tip() == tip


def test_hooks_and_settings_of_the_user_do_not_matter(tmp_path: Path) -> None:
    bare = make_repository(tmp_path, FILES)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-push").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-push").chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f"[core]\nhooksPath = {hooks}\nautocrlf = true\n[commit]\ngpgSign = true\n[push]\ngpgSign = true\n"
    )
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": str(settings),
        "GIT_DIR": "/nonexistent",
        "LC_ALL": "de_DE",
    }
    branch = open_branch(str(bare), "main", tmp_path, environment=environment)
    made = branch.commit({"app.yaml": "app: cart\r\n"}, "change", branch.tip())
    assert branch.read("app.yaml", made) == "app: cart\r\n"


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    make_repository(tmp_path, FILES)
    work = tmp_path / "work"
    (work / "app.yaml").write_bytes(b"app: \xff\n")
    git(work, "commit", "--quiet", "--all", "--message=latin")
    git(work, "push", "--quiet", "../iac.git", "main")
    branch = open_branch("iac.git", "main", tmp_path)
    with pytest.raises(UsageError, match=r"app\.yaml .*0xff"):
        branch.read("app.yaml", branch.tip())


def test_two_writers_meet_and_one_is_told(tmp_path: Path) -> None:
    make_repository(tmp_path, FILES)
    first, second = (open_branch("iac.git", "main", tmp_path) for _ in range(2))
    tip = first.tip()
    first.commit({"app.yaml": "app: cart\n"}, "change", tip)
    with pytest.raises(TipMoved, match="'main'"):
        second.commit({"app.yaml": "app: till\n"}, "change", tip)


def test_an_unreachable_server_is_told_without_secrets(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIPEGRAFT_IAC_TOKEN": "s3cr3t-token"}
    branch = open_branch("http://me:pa55word@127.0.0.1:9/x.git", "main", tmp_path, environment=environment)
    with pytest.raises(Unreachable) as caught:
        branch.tip()
    assert "127.0.0.1:9/x.git" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    assert "pa55word" not in str(caught.value)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path)}
    with pytest.raises(UsageError, match="'git'"):
        open_branch("http://127.0.0.1:9/x.git", "main", tmp_path, environment=environment)


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ("fatal: Authentication failed for 'http://h/x.git/'", AccessDenied),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", AccessDenied),
        ("git@h: Permission denied (publickey).", AccessDenied),
        ("Host key verification failed.", AccessDenied),
        ("fatal: repository 'https://h/x.git/' not found", AccessDenied),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", Unreachable),
        ("ssh: connect to host h port 22: Connection refused", Unreachable),
        ("error: RPC failed; HTTP 502", Unreachable),
        (
            "fatal: unable to access 'https://h/': SSL certificate problem: self-signed certificate",
            AccessDenied,
        ),
        (
            "fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none",
            AccessDenied,
        ),
        ("fatal: Unable to create '/x/shallow.lock': File exists.", Locked),
        ("error: RPC failed; HTTP 400 curl 22 The requested URL returned error: 400", UsageError),
    ],
)
def test_what_git_says_is_translated(errors: str, kind: type[Exception]) -> None:
    from pipegraft.iac.adapters.failures import explain

    assert type(explain(errors, "h/x.git")) is kind


def test_the_clone_we_run_in_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["init", "-q"], ["remote", "add", "origin", "https://elsewhere.example.com/team/app.git"]):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    monkeypatch.chdir(tmp_path)
    branch = open_branch("http://127.0.0.1:9/iac.git", "main", tmp_path)
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9/iac\.git"):
        branch.tip()
