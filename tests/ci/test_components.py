"""A project of components, and what templates and provisions say."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipegraft import __version__
from pipegraft.ci.gitlab import system
from pipegraft.ci.gitlab.configuration import load
from pipegraft.ci.hooks import InjectionRequest, TemplateSource, fixed_folder, pattern_of, provision
from pipegraft.ci.jenkins.injection import inject as inject_jenkins
from pipegraft.ci.usecases import check_packages, choose_source
from pipegraft.core.errors import UsageError
from pipegraft.core.planning import Plan, PlannedStage
from pipegraft.core.stage import Stage

STAGES = (
    Stage(name="image-build", summary="Builds.", run=lambda _context, _inputs: None, scope="app"),
    Stage(name="iac-bump", summary="Bumps.", run=lambda _context, _inputs: None, deploys=True),
)
MANIFEST = ".pipegraft/gitlab.yml"
CHILD = ".pipegraft/gitlab/child.yml"


@pytest.fixture
def project() -> dict[str, str]:
    (gitlab,) = system.pipegraft_ci_systems()
    assert gitlab.components is not None
    return dict(gitlab.components(STAGES))


def test_the_project_is_one_that_the_catalog_takes(project: dict[str, str]) -> None:
    assert set(project) == {
        *("README.md", ".gitlab-ci.yml", "templates/image-build/template.yml"),
        "templates/iac-bump/template.yml",
    }
    templates = system.make_templates(STAGES)
    assert project["templates/iac-bump/template.yml"] == templates["iac-bump.yml"]


def test_its_pipeline_tries_every_component_and_releases_versions(project: dict[str, str]) -> None:
    pipeline = yaml.safe_load(project[".gitlab-ci.yml"])
    tried = [entry["component"] for entry in pipeline["include"]]
    assert tried == [f"$CI_SERVER_FQDN/$CI_PROJECT_PATH/{one.name}@$CI_COMMIT_SHA" for one in STAGES]
    for entry, stage in zip(pipeline["include"], STAGES, strict=True):
        declared = load(project[f"templates/{stage.name}/template.yml"], "x").header["spec"]["inputs"]
        assert entry["inputs"].keys() <= declared.keys()
    (rule,) = pipeline["release"]["rules"]
    pattern = re.search(r"/(.*)/", rule["if"])[1]  # type: ignore[index]
    assert re.search(pattern, "1.2.3")
    assert not re.search(pattern, "v1.2.3-rc")


def test_its_readme_names_every_input(project: dict[str, str]) -> None:
    for stage in STAGES:
        for name in load(project[f"templates/{stage.name}/template.yml"], "x").header["spec"]["inputs"]:
            assert f"| `{name}` |" in project["README.md"]


@pytest.mark.parametrize(
    ("written", "ref", "expected"),
    [
        ("gitlab.example.com/a/b@1.2.3", None, ("gitlab.example.com/a/b", "1.2.3")),
        ("gitlab.example.com:8443/a/b/c", None, ("gitlab.example.com:8443/a/b/c", __version__)),
        ("$CI_SERVER_FQDN/a/b", "~latest", ("$CI_SERVER_FQDN/a/b", "~latest")),
    ],
)
def test_where_components_are(written: str, ref: str | None, expected: tuple[str, str]) -> None:
    source = choose_source(component=written, ref=ref)
    assert source == TemplateSource("component", *expected)


@pytest.mark.parametrize("written", ["", "nothing", "https://gitlab.example.com/a/b", "a b/c"])
def test_what_is_no_project_of_components(written: str) -> None:
    with pytest.raises(UsageError, match="address of a project of components"):
        choose_source(component=written)


def test_a_graft_takes_components_and_follows_their_versions(repository: Callable[..., object]) -> None:
    tree = repository("stages: [test]\ntest: {stage: test, script: x}\n")
    tree.inject(source=TemplateSource("component", "gitlab.example.com/p/d", "1.0.0"))  # type: ignore[attr-defined]
    first = yaml.safe_load(tree.files[MANIFEST])["include"][0]  # type: ignore[attr-defined]
    assert first["component"] == "gitlab.example.com/p/d/image-build@1.0.0"
    update = tree.inject(version="v1.1.0")  # type: ignore[attr-defined]
    assert update.jobs_added == ()
    assert "/image-build@1.1.0" in tree.files[MANIFEST]  # type: ignore[attr-defined]
    tree.inject(ref="1.2.0")  # type: ignore[attr-defined]
    assert "/image-build@1.2.0" in tree.files[MANIFEST]  # type: ignore[attr-defined]
    tree.eject()  # type: ignore[attr-defined]
    assert list(tree.files) == [".gitlab-ci.yml"]  # type: ignore[attr-defined]


# Programs that raise versions


SOURCES = {
    "project": (TemplateSource("project", "platform/pipegraft", "v1.0.0"), "v1.0.0", "v1.1.0"),
    "component": (TemplateSource("component", "gitlab.example.com/p/d", "1.0.0"), "1.0.0", "1.1.0"),
}


@pytest.mark.parametrize("mode", ["include", "child"])
@pytest.mark.parametrize("kind", SOURCES)
def test_a_version_that_a_program_raised_in_the_includes_is_the_version(
    repository: Callable[..., Any], kind: str, mode: str
) -> None:
    source, old, new = SOURCES[kind]
    tree = repository("test: {script: x}\n")
    tree.inject(source=source, mode=mode)
    before = dict(tree.files)
    for name in (MANIFEST, CHILD):
        lines = tree.files.get(name, "").splitlines(keepends=True)
        raised = [re.sub(rf"(ref: |@){old}$", rf"\g<1>{new}", line) for line in lines]
        tree.files |= {name: "".join(raised)} if lines else {}
    assert tree.files != before
    (gitlab,) = system.pipegraft_ci_systems()
    assert gitlab.pinned(".gitlab-ci.yml", tree.root, tree.files.get) == new
    assert tree.inject(version="v1.1.0").files == {}, "nothing else holds the version"


@pytest.mark.parametrize(
    ("ref", "wanted", "becomes"),
    [
        ("1.0.0", "v1.2.0", "1.2.0"),
        ("1.0.0", "1.2.0", "1.2.0"),
        ("v1.0.0", "v1.2.0", "v1.2.0"),
        ("1.0", "main", "main"),
    ],
)
def test_a_version_is_written_as_the_project_of_components_writes_it(
    repository: Callable[..., Any], ref: str, wanted: str, becomes: str
) -> None:
    tree = repository("test: {script: x}\n")
    tree.inject(source=TemplateSource("component", "gitlab.example.com/p/d", ref))
    tree.inject(ref=wanted)
    assert f"/image-build@{becomes}\n" in tree.files[MANIFEST]


def test_the_settings_in_the_docs_find_every_pin(repository: Callable[..., Any]) -> None:
    page = (Path(__file__).parents[2] / "docs/gitlab.md").read_text()
    settings = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])  # type: ignore[index]

    def fits(patterns: list[str], path: str) -> bool:
        return any(re.search(pattern.strip("/"), path) for pattern in patterns)

    for manager in ("gitlabci", "gitlabci-include"):
        (files,) = settings[manager].values()
        assert fits(files, CHILD), manager
    assert fits(settings["gitlabci-include"]["managerFilePatterns"], MANIFEST)
    (jenkins,) = settings["customManagers"]
    assert fits(jenkins["managerFilePatterns"], "Jenkinsfile")
    plan = Plan("shop", (PlannedStage("image-build"),))
    made = inject_jenkins(InjectionRequest("Jenkinsfile", "node { sh 'x' }\n", plan, version="v1.0.0"))
    (pattern,) = jenkins["matchStrings"]
    found = re.search(pattern.replace("(?<", "(?P<"), made.files["Jenkinsfile"] or "")
    assert found is not None
    assert found["currentValue"] == "v1.0.0"


# How a job comes by the program


def _shell(folder: Path, packages: str, version: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the provision where pipegraft is there at a version, or not at all."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "python3").write_text('#!/bin/sh\necho "python3 $*" >> "$LOG"\nexit 1\n')
    if version:
        (tools / "pipegraft").write_text(f"#!/bin/sh\necho pipegraft {version}\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    environment = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "LOG": str(folder / "log"),
        "PIPEGRAFT_PACKAGES": packages,
    }
    return subprocess.run(
        ["sh", "-e", "-c", provision("0.2.1", "--image")],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("packages", "version", "code", "said"),
    [
        ("", "0.2.7", 0, ""),
        ("", "0.3.0", 2, "made for pipegraft 0.2, found: pipegraft 0.3.0"),
        ("", "", 2, "pipegraft is not installed here"),
        ("pipegraft==0.2.1", "", 2, "names no index"),
        ("https://x/p.whl#sha256=1", "", 3, ""),
        ("--index-url https://x pipegraft", "", 3, ""),
        ("./p.whl", "", 3, ""),
    ],
)
def test_nothing_is_installed_unless_somebody_said_from_where(
    tmp_path: Path, packages: str, version: str, code: int, said: str
) -> None:
    done = _shell(tmp_path, packages, version)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    log = tmp_path / "log"
    assert log.exists() is (code == 3)
    if log.exists():
        assert "python3 -I -m pip install" in log.read_text()
        assert "--target" in log.read_text()


def test_an_index_that_the_machine_names_will_do(tmp_path: Path) -> None:
    assert _shell(tmp_path, "pipegraft==0.2.1", "", PIP_INDEX_URL="https://x").returncode == 3


@pytest.mark.parametrize(
    "packages",
    [
        "",
        f"https://x/p.whl#sha256={'a' * 64}",
        "--index-url https://x pipegraft==0.1.0",
        "--require-hashes -r requirements.txt",
        "./wheels/pipegraft-0.1.0-py3-none-any.whl",
    ],
)
def test_packages_that_say_where_they_come_from(packages: str) -> None:
    check_packages(packages)


@pytest.mark.parametrize("packages", ["pipegraft==0.1.0", "https://x/p.whl", "https://x/p.whl#sha256=ab"])
def test_packages_that_do_not(packages: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_packages(packages)
    assert "--packages" in refused.value.problem.fix


@pytest.mark.parametrize(
    ("pattern", "folder", "found"),
    [
        ("ci/*.yml", "ci", ["ci/a.yml"]),
        ("/ci/**.yml", "ci", ["ci/a.yml", "ci/b/c.yml"]),
        ("ci/**/*.yml", "ci", ["ci/b/c.yml"]),
        ("**.yml", "", ["ci/a.yml", "ci/b/c.yml", "d.yml"]),
        ("?.yml", "", ["d.yml"]),
    ],
)
def test_patterns(pattern: str, folder: str, found: list[str]) -> None:
    names = ["ci/a.yml", "ci/b/c.yml", "d.yml", "dxyml"]
    assert fixed_folder(pattern) == folder
    assert [name for name in names if pattern_of(pattern).fullmatch(name)] == found
