"""What a user does wrong, or is wrong around them: the message, the place, the exit code, nothing written."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from program import pipegraft

from pipegraft.iac import optimistic_commit

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The example in a git repository, beside its IaC repository."""
    source, draft = tmp_path / "shop", tmp_path / "draft"
    shutil.copytree(SHOP, source, ignore=shutil.ignore_patterns("iac", ".pipegraft", "__pycache__"))
    shutil.copytree(SHOP / "iac", draft)
    for folder in (source, draft):
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", "--bare", str(draft), str(tmp_path / "shop-iac.git"))
    return source


def git(folder: Path, *words: str) -> str:
    identity = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", "-C", folder, *words],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **identity},
    )
    return done.stdout


def call(folder: Path, *words: str, **variables: str) -> tuple[int, str]:
    ours = ("CI", "GIT_", "GITLAB", "JENKINS", "BUILD_", "PIPEGRAFT_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)} | variables
    done = pipegraft(*words, folder=folder, environment=environment)
    assert not done.stdout, "an error leaves standard output alone"
    return done.returncode, done.stderr


def everything(folder: Path) -> dict[str, str]:
    """Path → hash of every file below a folder, git's own included."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "index"
    }


def edit(shop: Path, old: str, new: str) -> None:
    path = shop / "delivery.yaml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


COMMANDS = (["plan"], ["run"], ["run", "iac-bump", "--env", "production"], ["inject", ".gitlab-ci.yml"])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_delivery_yaml(shop: Path, words: list[str]) -> None:
    (shop / "delivery.yaml").unlink()
    before = everything(shop.parent)
    code, said = call(shop, *words)
    assert code == 2
    assert said.startswith("error: ")
    assert "delivery.yaml: the file does not exist\n    fix: run in the folder that holds it" in said
    assert everything(shop.parent) == before


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "intimacy: rpc",
            "intimcy: rpc",
            "delivery.yaml:5:36: unknown key 'components.web.intimcy'\n    fix: write",
        ),
        (
            "branch: main",
            "branch: 5",
            "delivery.yaml:8:44: 'iac.branch': expected text; put quotes around it, found 5",
        ),
        (
            "path: services/web",
            "path: services/wb",
            "delivery.yaml:5:22: component 'web': there is no folder",
        ),
        (
            "path: services/web",
            "path: ../web",
            "delivery.yaml:5:22: 'components.web.path': expected a relative path",
        ),
        (
            "engine: embedded,",
            "engine: embeded,",
            "delivery.yaml:11:20: there is no GitOps engine called 'embeded'",
        ),
        ("application:", "aplication:", "unknown key 'environments.production.gate.aplication'"),
        (
            "engine: embedded,",
            "engine: embedded, timeot: 5m,",
            "unknown key 'environments.production.gate.timeot'\n    fix: write 'timeout'",
        ),
        (
            "intimacy: rpc",
            "intimacy: rpc, needs: [pricing, pricng]",
            "delivery.yaml:5:68: 'components.web.needs[1]': there is no component 'pricng'; there are: web",
        ),
        (
            "registry: oci:",
            "registry: https:",
            "delivery.yaml:3:11: 'registry': expected a registry such as registry.example.com/shop",
        ),
        ("judge: sequential", "judge: coin", "there is no judge called 'coin'"),
        ("source: embedded", "source: guess", "there is no metric source called 'guess'"),
        ("app: shop", "app: [shop", "expected YAML, found: did not find expected"),
    ],
)
def test_a_wrong_delivery_yaml(shop: Path, words: list[str], old: str, new: str, message: str) -> None:
    edit(shop, old, new)
    before = everything(shop.parent)
    code, said = call(shop, *words)
    assert code == 2, said
    assert message in said
    assert said.count("delivery.yaml:") >= 1, "every problem says where"
    assert everything(shop.parent) == before


def test_all_problems_come_at_once(shop: Path) -> None:
    edit(shop, "intimacy: rpc", "intimcy: rpc")
    edit(shop, "path: sidecars/governance", "path: 7")
    edit(shop, "interval: 1s", "interval: often")
    code, said = call(shop, "plan")
    places = [line.split(": ")[1] for line in said.splitlines() if line.startswith("error: ")]
    assert code == 2
    assert [place.split(":")[1] for place in places] == ["5", "7", "14"]


def test_rules_plugins_and_folders_are_checked_beside_wrong_keys(shop: Path) -> None:
    """What is checked after the keys is told in the same run as what is wrong with them."""
    (shop / "delivery.yaml").write_text("""\
app: Shop!
registry: oci:.pipegraft/registry
components:
  web: {path: services/nowhere, intimcy: rpc, needs: [gone]}
  pricing: {path: components/pricing, intimacy: in-process}
iac: {repository: ../shop-iac.git, branch: 5, merge_request: true}
environments:
  staging: {gate: {engine: argo, timeout: true}}
  production:
    gate: {engine: embedded, aplication: shop-production, state: engine}
    gray:
      steps: [50, 5]
      interval: often
      judge: coin
      metrics: [{source: embedded, url: "http://x", state: engine, margin: 0.01}, {source: guess}]
""")
    code, said = call(shop, "plan")
    assert code == 2
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    expected = [
        (1, 6, "text that matches"),
        (4, 15, "there is no folder 'services/nowhere'"),
        (4, 33, "unknown key 'components.web.intimcy'"),
        (4, 55, "there is no component 'gone'"),
        (5, 12, "an in-process component needs 'mount'"),
        (6, 44, "expected text; put quotes around it, found 5"),
        (6, 62, "expected a mapping, found true"),
        (8, 28, "there is no GitOps engine called 'argo'"),
        (8, 43, "expected a duration such as 30s, 5m or 1h30m, found true"),
        (10, 5, "'environments.production.gate.application' is missing"),
        (10, 30, "unknown key 'environments.production.gate.aplication'"),
        (12, 7, "'errors' is there twice"),
        (12, 7, "'steps' must rise"),
        (13, 17, "found 'often'"),
        (14, 14, "there is no judge called 'coin'"),
        (15, 17, "'margin' must be at least 'tolerance', 0.1"),
        (15, 17, "expected either 'url' or 'state'"),
        (15, 92, "there is no metric source called 'guess'"),
    ]
    for line, (row, column, message) in zip(errors, expected, strict=True):
        assert line.startswith(f"error: delivery.yaml:{row}:{column}: ")
        assert message in line


def test_an_unknown_environment_stage_or_input(shop: Path) -> None:
    for words, message in (
        (["run", "--env", "qa"], "there is no environment 'qa'; there are: production"),
        (["run", "deploy"], "the plan has no stage 'deploy'; it has: image-build, iac-bump"),
        (["run", "--set", "speed=fast"], "no stage of this run has the input 'speed'"),
        (["run", "--set", "jobs"], "expected INPUT=VALUE, found 'jobs'"),
        (["run", "image-build", "--set", "jobs=many"], "input 'jobs' of stage 'image-build'"),
    ):
        before = everything(shop.parent)
        code, said = call(shop, *words)
        assert (code, message in said) == (2, True), said
        assert everything(shop.parent) == before


def test_an_unreachable_repository(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(shop, "repository: ../shop-iac.git", "repository: http://127.0.0.1:9/shop.git")
    assert call(shop, "run", "image-build")[0] == 0
    monkeypatch.setitem(optimistic_commit.rewrite.__kwdefaults__, "patience", 0.2)
    code, said = call(shop, "run", "iac-bump", "--env", "production")
    assert code == 3, said
    assert "http://127.0.0.1:9/shop.git" in said
    assert "fix:" in said


def test_a_repository_that_is_none(shop: Path) -> None:
    shutil.rmtree(shop.parent / "shop-iac.git")
    assert call(shop, "run", "image-build")[0] == 0
    code, said = call(shop, "run", "iac-bump", "--env", "production")
    assert code == 2, said
    assert f"expected a git repository at {shop.parent / 'shop-iac.git'}" in said.replace("/shop/..", "")


def test_a_locked_repository(shop: Path) -> None:
    assert call(shop, "run", "image-build")[0] == 0
    iac = shop.parent / "shop-iac.git"
    lock = iac / "refs" / "heads" / "main.lock"
    lock.touch()
    before = git(iac, "rev-parse", "main")
    code, said = call(shop, "run", "iac-bump", "--env", "production", "--set", "deadline=1s")
    assert code == 3, said
    assert str(lock) in said.replace("/shop/..", "").replace("/./", "/")
    assert "delete" in said
    assert git(iac, "rev-parse", "main") == before
    lock.unlink()
    assert call(shop, "run", "iac-bump", "--env", "production")[0] == 0, "safe to run again"


def test_a_damaged_record(shop: Path) -> None:
    record = shop / ".pipegraft" / "release.json"
    record.parent.mkdir()
    record.write_text('{"version": 1, "app": ')
    code, said = call(shop, "run", "image-build")
    assert code == 2
    assert f"error: {record.relative_to(shop)}: expected a release record, found something else" in said
    assert record.read_text() == '{"version": 1, "app": '


def test_no_git_repository(shop: Path) -> None:
    shutil.rmtree(shop / ".git")
    code, said = call(shop, "run", "image-build")
    assert code == 2
    assert "expected a git repository with a commit" in said
    assert not (shop / ".pipegraft").exists()


@pytest.mark.parametrize("name", ["story.txt", "story", "story.html.gz"])
def test_a_report_of_an_unknown_kind(shop: Path, name: str) -> None:
    before = everything(shop.parent)
    code, said = call(shop, "gray", "report", name)
    assert code == 2
    assert f"expected a name that ends in .html or .json, found '{name}'" in said
    assert everything(shop.parent) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["components.web.evn.LIMIT=5", "policies.spread=zone"],
            "error: components.web.evn.LIMIT: unknown key 'components.web.evn'\n    fix: write 'env'\n"
            "error: policies.spread: expected components.NAME.KEY",
        ),
        (["components.web.env.LIMIT=5"], "nothing was released in 'production' yet"),
        (["components.web.env.TEXT=a\nb"], "expected PATH=VALUE on one line"),
    ],
)
def test_configuration_that_cannot_be_released(shop: Path, words: list[str], message: str) -> None:
    before = everything(shop.parent)
    settings = [word for one in words for word in ("--set", one)]
    for dry_run in ([], ["--dry-run"]):
        code, said = call(shop, "gray", "prepare", *settings, *dry_run)
        assert code == 2
        assert message in said
        assert everything(shop.parent) == before
