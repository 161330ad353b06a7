"""`pipegraft inject` and `eject` as a person uses them: what they print, write and answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pipegraft.cli import run
from pipegraft.core.adapters import files

PIPELINE = b"\xef\xbb\xbf# ours\r\nstages: [build]\r\nbuild:\r\n  script: make"
DELIVERY = """\
app: shop
registry: oci:registry
components: {web: {path: web}}
iac: {repository: iac.git}
environments: {production: {gate: {engine: embedded, state: state, application: shop}}}
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    (tmp_path / "web").mkdir()
    (tmp_path / "delivery.yaml").write_text(DELIVERY)
    (tmp_path / ".gitlab-ci.yml").write_bytes(PIPELINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def test_there_and_back(repository, capsys):
    before = _tree(repository)
    assert run(["inject"]) == 0
    told = capsys.readouterr().out
    assert "1 job unchanged" in told
    assert "jobs added: pipegraft:image-build, pipegraft:iac-bump:production" in told
    assert "+stages: [build, pipegraft, pipegraft:production]" in told
    assert "git add -A .gitlab-ci.yml .pipegraft/gitlab .pipegraft/gitlab.yml delivery.yaml &&" in told
    grafted = (repository / ".gitlab-ci.yml").read_bytes()
    assert grafted.startswith(b"\xef\xbb\xbf# ours\r\ninclude: .pipegraft/gitlab.yml\r\n")
    assert run(["inject"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert run(["eject", str(repository)]) == 0
    assert "stages removed: pipegraft, pipegraft:production" in capsys.readouterr().out
    assert _tree(repository) == before
    assert not (repository / ".pipegraft").exists()
    assert run(["eject"]) == 0
    assert "carries no delivery: nothing to do" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(repository, capsys):
    before = _tree(repository)
    assert run(["inject", "--dry-run"]) == 0
    assert "Would graft delivery" in capsys.readouterr().out
    assert _tree(repository) == before


def test_check_tells_drift_by_its_exit_code(repository):
    before = _tree(repository)
    assert run(["inject", "--check"]) == 1
    assert _tree(repository) == before
    assert run(["inject"]) == 0
    assert run(["inject", "--check"]) == 0
    (repository / ".pipegraft" / "gitlab" / "iac-bump.yml").write_text("mine: {script: x}\n")
    assert run(["inject", "--check"]) == 1


def test_json_for_machines(repository, capsys):
    assert run(["inject", "--json", "--mode", "child"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ci"] == "gitlab"
    assert told["written"] is True
    assert told["jobs-unchanged"] == ["build"]
    assert told["jobs-added"] == ["pipegraft"]
    assert told["files"][".gitlab-ci.yml"] == (repository / ".gitlab-ci.yml").read_bytes().decode()


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({".gitlab-ci.yml": None}, [], "expected .gitlab-ci.yml or Jenkinsfile"),
        ({"Jenkinsfile": "node { }"}, [], "choose: --ci gitlab or --ci jenkins"),
        ({"delivery.yaml": None}, [], "delivery.yaml: the file does not exist"),
        ({"delivery.yaml": "app: shop\ncolour: red\n"}, [], "delivery.yaml:2:1"),
        ({".gitlab-ci.yml": "a: [\n"}, [], ".gitlab-ci.yml:2:1: this is not YAML"),
        ({".gitlab-ci.yml": b"a: \xff\n"}, [], "expected UTF-8, found byte 0xff"),
        ({}, ["--after", "biuld"], "there is no stage 'biuld'; there are: build"),
        ({}, ["--ci", "gitlba"], "write 'gitlab'"),
        (
            {},
            ["--local", "--from-project", "a/b"],
            "give one of --from-project, --from-component, --from-url, --local",
        ),
        ({}, ["--from-project", "a b"], "write --from-project GROUP/PROJECT"),
        ({}, ["--from-url", "ftp//x"], "write --from-url https://"),
        ({}, ["--ref", "v1.0.0"], "leave out --ref, or take the templates --from-project"),
        ({".gitlab-ci.yml": "pipegraft:image-build: {script: x}\n"}, [], "already has a job called"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(repository, capsys, change, words, message):
    for name, content in change.items():
        if content is None:
            (repository / name).unlink()
        else:
            (repository / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = _tree(repository)
    assert run(["inject", *words]) == 2
    assert message in capsys.readouterr().err
    assert _tree(repository) == before


def test_what_git_would_hide_is_said(repository, capsys):
    subprocess.run(["git", "init", "-q"], check=True)
    (repository / ".gitignore").write_text(".pipegraft/\n")
    assert run(["inject"]) == 0
    told = capsys.readouterr().out
    assert "Git is told to ignore .pipegraft/" in told
    assert "git add -A -f " in told


def test_a_file_that_cannot_be_written_leaves_all_as_they_were(repository, capsys, monkeypatch):
    before = _tree(repository)
    write = files.write_atomically

    def fail_on_the_last(path, content):
        if path.name == ".gitlab-ci.yml":
            raise OSError(28, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(files, "write_atomically", fail_on_the_last)
    assert run(["inject"]) == 2
    assert "No space left on device; every file is as it was" in capsys.readouterr().err
    assert _tree(repository) == before


def test_a_file_in_a_folder_of_its_own_is_named(repository, capsys):
    other = repository / "ci" / "pipeline.yml"
    other.parent.mkdir()
    other.write_text("stages: [build]\nbuild: {stage: build, script: make}\n")
    assert run(["inject", str(other)]) == 0
    assert other.read_text().startswith("include: .pipegraft/gitlab.yml\n")
    assert (repository / ".gitlab-ci.yml").read_bytes() == PIPELINE


def test_an_include_cannot_lead_out_of_the_repository(repository, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.yml"
    outside.write_text("pipegraft:image-build: {script: x}\n")
    text = f"include: {{local: ../../../../../../../..{outside}}}\nbuild: {{script: make}}\n"
    (repository / ".gitlab-ci.yml").write_text(text)
    assert run(["inject"]) == 0  # had it been read, the job's name would be taken
