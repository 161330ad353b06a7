"""`pipegraft init` on varied repositories, and that everything works afterwards as it is."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from program import pipegraft

TREES: dict[str, dict[str, str]] = {
    "compose": {
        "compose.yaml": """\
services:
  web:
    build: ./web
    ports: ["8080:80"]
    environment: {DATABASE_URL: "postgres://a:b@db:5432/orders", API_TOKEN: x}
  db: {image: "postgres:15"}
""",
        "web/Dockerfile": "FROM scratch\n",
        ".gitlab-ci.yml": "test:\n  script: [make]\n",
    },
    "dockerfiles": {
        "Dockerfile": "FROM scratch\nEXPOSE 8080\n",
        "worker/Dockerfile": "FROM scratch\n",
        "Jenkinsfile": "pipeline { agent any\n stages { stage('Test') { steps { sh 'make' } } } }\n",
    },
    "python": {
        "app.py": "print('hello')\n",
        "requirements.txt": "",
        ".gitlab-ci.yml": "test:\n  script: [make]\n",
    },
    "services": {
        "services/web/package.json": "{}",
        "services/pay/go.mod": "module pay\n",
        "Jenkinsfile": "node { sh 'make' }\n",
    },
    "hostile": {
        "compose.yaml": '"services": {"Web # a: [b\\n": '
        '{"build": "we b", "environment": ["A=: # {", "B=*x"]}}\n',
        "we b/Dockerfile": "FROM scratch\n",
    },
}


_OURS = ("CI_", "GIT_", "PIPEGRAFT_")


def run(folder: Path, *words: str, code: int = 0) -> str:
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith(_OURS)},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    done = pipegraft(*words, folder=folder, environment=env)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def repository(tmp_path: Path, files: dict[str, str]) -> Path:
    root = tmp_path / "shop"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    identity = ("-c", "user.name=t", "-c", "user.email=t")
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    return root


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("tree", TREES)
def test_everything_works_afterwards_as_it_is(tmp_path: Path, tree: str) -> None:
    root = repository(tmp_path, TREES[tree])
    said = run(root, "init", "--yes")
    commands = [line.strip() for line in said.splitlines() if line.startswith("  pipegraft ")]
    assert [line.split()[1] for line in commands] == ["plan", "render", "engine", "run", "inject"]
    del commands[2:4]  # these are delivered where real ones are
    for command in commands:
        if not command.endswith("PIPELINE"):
            run(root, *shlex.split(command)[1:])
    paths = ["app.yaml", "environments/production.yaml"]
    run(tmp_path / "shop-iac", "guard", *paths)


def test_a_release_gets_into_the_new_repository_and_its_folder(tmp_path: Path) -> None:
    root = repository(tmp_path, TREES["python"])
    run(root, "init", "--yes", "--env", "staging", "--env", "production")
    run(root, "run", "image-build")
    run(root, "run", "iac-bump", "--env", "staging")
    text = (tmp_path / "shop-iac" / "environments" / "staging.yaml").read_text()
    assert "0" * 64 not in text
    assert "release:" in text
    assert "0" * 64 in (tmp_path / "shop-iac" / "environments" / "production.yaml").read_text()


def test_what_is_given_is_taken(tmp_path: Path) -> None:
    root = repository(tmp_path, TREES["dockerfiles"])
    words = [
        "--app",
        "store",
        "--registry",
        "registry.example.com/store",
        "--iac",
        "iac",
        "--engine",
        "embedded",
    ]
    more = [
        "--env",
        "home",
        "--iac-url",
        "https://git.example.com/iac/store.git",
        "--gate",
        "url=http://127.0.0.1:1",
    ]
    data = json.loads(run(root, "init", *words, *more, "--gate", "application={app}-{env}", "--json"))
    assert data["app"] == "store"
    assert data["components"]["worker"] == {"path": "worker", "why": "worker/Dockerfile"}
    assert data["pipelines"] == ["Jenkinsfile"]
    delivery = (root / "delivery.yaml").read_text()
    assert "https://git.example.com/iac/store.git" in delivery
    assert "application: store-home" in delivery
    assert (root / "iac" / "environments" / "home.yaml").exists()


def test_without_a_terminal_it_says_what_to_pass(tmp_path: Path) -> None:
    root = repository(tmp_path, TREES["python"])
    before = everything(tmp_path)
    said = run(root, "init", "--engine", "embedded", code=2)
    assert "there is no terminal to ask on for: --app, --registry, --iac, --env" in said
    assert (
        "pass --yes to take the defaults, or pass --app shop --registry oci:.pipegraft/registry "
        "--iac ../shop-iac --env production" in said
    )
    assert everything(tmp_path) == before


@pytest.mark.parametrize("there", ["shop/delivery.yaml", "shop-iac/anything"])
def test_nothing_is_written_over(tmp_path: Path, there: str) -> None:
    root = repository(tmp_path, TREES["python"])
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    before = everything(tmp_path)
    said = run(root, "init", "--yes", code=2)
    assert "it exists, and nothing is written over" in said
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--app", "No Name"], "--app"),
        (["--engine", "argo"], "there is no GitOps engine called 'argo'"),
        (["--gate", "nonsense"], "expected KEY=VALUE"),
        (["--gate", "applicaton=shop"], "the engine 'embedded' wants other keys"),
        (["--env", ","], "environments"),
    ],
)
def test_answers_that_make_no_sense(tmp_path: Path, words: list[str], message: str) -> None:
    root = repository(tmp_path, TREES["python"])
    before = everything(tmp_path)
    assert message in run(root, "init", "--yes", *words, code=2)
    assert everything(tmp_path) == before


def test_a_repository_with_nothing_to_deliver(tmp_path: Path) -> None:
    root = repository(tmp_path, {"README.md": "hello"})
    assert "expected a Dockerfile, sources of a known language or" in run(root, "init", "--yes", code=2)


def test_the_remote_tells_name_and_registry(tmp_path: Path) -> None:
    root = repository(tmp_path, TREES["python"])
    remote = ["remote", "add", "origin", "git@gitlab.com:Team/My_Store.git"]
    subprocess.run(["git", "-C", str(root), *remote], check=True)
    run(root, "init", "--yes")
    delivery = (root / "delivery.yaml").read_text()
    assert "app: my-store" in delivery
    assert "registry: registry.gitlab.com/team/my_store" in delivery


def test_at_a_terminal_it_asks_and_enter_takes_the_default(tmp_path: Path) -> None:
    root = repository(tmp_path, TREES["python"])
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pipegraft", "init", "--engine", "embedded"]
    with subprocess.Popen(
        command, cwd=root, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as asking:
        os.write(ours, b"store\n\n\nhome,production\n")
        said, asked = asking.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert asking.returncode == 0, said + asked
    assert "Name of the application [shop]:" in asked
    assert "Registry for its images [oci:.pipegraft/registry]:" in asked
    assert "GitOps engine" not in asked, "it was given"
    assert (tmp_path / "shop-iac" / "environments" / "home.yaml").exists()
    assert (root / "delivery.yaml").read_text().splitlines()[1] == "app: store"


@pytest.mark.parametrize(
    ("engine", "image", "providers"),
    [
        ("embedded", "mysql:8", "crossplane or kubevela-terraform"),
        ("embedded", "postgres:16", ""),
        ("kubevela", "postgres:16", "crossplane or kubevela-terraform"),
    ],
)
def test_a_resource_that_nobody_runs_for_the_engine_is_still_to_be_provided(
    tmp_path: Path, engine: str, image: str, providers: str
) -> None:
    compose = f"services:\n  web: {{build: ., environment: {{DB_HOST: db}}}}\n  db: {{image: '{image}'}}\n"
    root = repository(tmp_path, {"compose.yaml": compose, "Dockerfile": "FROM scratch\n"})
    gate = ("--gate", "application={app}") if engine == "kubevela" else ()
    done = json.loads(run(root, "init", "--yes", "--json", "--engine", engine, *gate))
    kind = "mysql" if "mysql" in image else "postgres"
    line = f"resource db ({kind}): name who provides it under `providers` in environments/*.yaml: {providers}"
    assert done["without-provider"] == ([line] if providers else [])


def test_the_end_says_how_it_is_delivered_here_for_the_first_time(tmp_path: Path) -> None:
    root = repository(tmp_path, {"app/requirements.txt": "", "app/Dockerfile": "FROM scratch\n"})
    said = run(root, "init", "--yes", "--env", "staging", "--env", "production")
    engine = "pipegraft engine --repository ../shop-iac --env staging --state ../shop-engine --runtime docker"
    assert engine in said
    assert "pipegraft run --env staging" in said
    assert "No file tells a port of shop: if requests come to it, write into ../shop-iac/app.yaml" in said


def test_what_is_no_name_and_what_is_no_compose_file_is_told(tmp_path: Path) -> None:
    root = repository(tmp_path, {"compose.yaml": "services: {web: {build: .}\n"})
    assert "--app: expected lower-case letters" in run(root, "init", "--yes", "--app", "Shop App!", code=2)
    assert "pass --env qa-2" in run(root, "init", "--yes", "--env", "QA 2", code=2)
    assert "found none; compose.yaml:2:1: expected YAML" in run(root, "init", "--yes", code=2)
    assert not (root / "delivery.yaml").exists()


def test_folders_that_a_compose_file_builds_from_and_that_are_not_there_are_told_at_once(
    tmp_path: Path,
) -> None:
    compose = "services:\n  web: {build: ./vendor/web}\n  work: {build: ./work}\n"
    root = repository(tmp_path, {"compose.yaml": compose})
    said = run(root, "init", "--yes", code=2)
    assert "found none: 'vendor/web' of 'web', 'work' of 'work'" in said
    assert "fix: install the dependencies where they bring it" in said
    assert not (root / "delivery.yaml").exists()
