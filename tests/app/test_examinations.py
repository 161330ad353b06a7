"""What each adapter's examination finds, against servers that say no."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NoReturn

import pytest
from git_http import serve
from git_repositories import git, make_repository
from gitlab_double import TOKEN, serve_gitlab
from registry_server import Fault, RegistryServer

from pipegraft.app import doctor
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.doctor import Diagnosis, Health, Patient
from pipegraft.core.errors import AccessDenied, OutsideError, PipegraftError
from pipegraft.core.ports import FakeClock
from pipegraft.iac import plugin as iac
from pipegraft.iac.adapters.git import open_branch
from pipegraft.images.adapters.registry.endpoint import Credentials, Endpoint, Keyring
from pipegraft.images.adapters.registry.http import HttpRegistry
from pipegraft.images.plugin import examine_builders, examine_registry
from pipegraft.testing.stage_suite import FakeConnections, patient_of

GITLAB_API = next(one for one in iac.pipegraft_examinations() if one.name == "gitlab-api")


def registry_patient(server: RegistryServer, root: Path, password: str = "secret") -> Patient:
    endpoint = Endpoint(server.name, ("http",), keyring=Keyring(Credentials("user", password)))
    held = HttpRegistry(endpoint, "shop", Patience(deadline=5, silence=0.3), FakeClock())
    return patient_of(root, FakeConnections(images=held), registry=f"{server.name}/shop")


def test_a_registry_that_may_be_pushed_to_keeps_nothing_of_the_question(tmp_path: Path) -> None:
    with RegistryServer("bearer") as server:
        found = list(examine_registry(registry_patient(server, tmp_path), "web"))
        assert [one.found for one in found] == ["answers, and may be read", "may be pushed to"]
        assert (server.uploads, server.blobs, server.manifests) == ({}, {}, {})


def test_a_registry_that_refuses_a_push_is_told_from_one_that_refuses_all(tmp_path: Path) -> None:
    with RegistryServer() as server:
        server.faults.append(Fault("POST .*uploads", "status", times=99, status=403))
        found: list[Diagnosis] = []
        with pytest.raises(AccessDenied):
            found.extend(examine_registry(registry_patient(server, tmp_path), "web"))
    with RegistryServer("basic") as server, pytest.raises(AccessDenied):
        list(examine_registry(registry_patient(server, tmp_path, "wrong"), "web"))


def test_a_folder_of_layouts_must_be_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for address, health in (("oci:new/folder", Health.GOOD), ("oci:file", Health.WRONG)):
        (found,) = examine_registry(patient_of(tmp_path, registry=address), "")
        assert found.health is health


FILES = {"app.yaml": "app: shop\n", "environments/production.yaml": "a: 1\n"}


def iac_patient(url: str, root: Path) -> Patient:
    branch = open_branch(url, "main", root)
    return patient_of(root, FakeConnections(branch=branch), iac={"repository": url})  # type: ignore[arg-type]


def test_a_branch_is_read_and_a_push_tried_without_moving_it(tmp_path: Path) -> None:
    bare = make_repository(tmp_path, FILES)
    git(bare, "config", "http.receivepack", "true")
    before = git(bare, "for-each-ref")
    with serve(tmp_path) as server:
        found = list(iac.examine_repository(iac_patient(f"{server.url}/iac.git", tmp_path), ""))
    assert {one.health for one in found} == {Health.GOOD}
    assert "takes pushes" in found[-1].found or "may be pushed" in found[-1].found
    assert git(bare, "for-each-ref") == before


def test_a_branch_that_may_only_be_read_is_told(tmp_path: Path) -> None:
    bare = make_repository(tmp_path, FILES)
    git(bare, "config", "http.receivepack", "false")
    with serve(tmp_path) as server:
        found: list[Diagnosis] = []
        with pytest.raises(PipegraftError):
            found.extend(iac.examine_repository(iac_patient(f"{server.url}/iac.git", tmp_path), ""))


def test_an_iac_repository_without_the_app_is_told(tmp_path: Path) -> None:
    make_repository(tmp_path, {"other.yaml": "a: 1\n"})
    found = list(iac.examine_repository(iac_patient("iac.git", tmp_path), ""))
    assert [one.found for one in found if one.health is Health.WRONG] == ["app.yaml is not there"]


def gitlab_patient(url: str, root: Path, token: str = TOKEN) -> Patient:
    declared = {"repository": f"{url}/iac/shop.git", "write": "api"}
    return patient_of(root, environment={"PIPEGRAFT_IAC_TOKEN": token}, iac=declared)


def gitlab_health(patient: Patient) -> list[tuple[Health, str]]:
    (subject,) = GITLAB_API.subjects(patient)
    return [(one.health, one.found) for one in GITLAB_API.run(patient, subject)]


def test_gitlab_tells_version_scope_and_role(tmp_path: Path) -> None:
    with serve_gitlab(FILES) as lab:
        found = gitlab_health(gitlab_patient(lab.url, tmp_path))
        assert {health for health, _ in found} == {Health.GOOD}
        assert found[0][1] == "answers: version 17.5.1"


def test_gitlab_says_what_a_token_lacks(tmp_path: Path) -> None:
    with serve_gitlab(FILES) as lab:
        patient = gitlab_patient(lab.url, tmp_path)
        lab.token, lab.level = {"scopes": ["read_api"], "expires_at": "2001-01-01"}, 20
        wrong = [found for health, found in gitlab_health(patient) if health is Health.WRONG]
        assert wrong == ["its scopes are read_api", "it ends on 2001-01-01", "the token's role may not write"]
        with pytest.raises(AccessDenied):
            gitlab_health(gitlab_patient(lab.url, tmp_path, "glpat-other"))


def test_gitlab_is_not_asked_where_git_pushes(tmp_path: Path) -> None:
    assert GITLAB_API.subjects(patient_of(tmp_path)) == ()


@pytest.mark.parametrize(("ahead", "health"), [(0, Health.GOOD), (20, Health.NOTE), (-600, Health.WRONG)])
def test_the_clock_is_held_against_a_servers(tmp_path: Path, ahead: float, health: Health) -> None:
    with serve_gitlab(FILES) as lab:
        patient = patient_of(tmp_path)
        clock = FakeClock(time.time() + ahead)
        patient = Patient(patient.delivery, tmp_path, patient.connections, {}, (), clock)
        (found,) = doctor.clock(patient, lab.url)
    assert found.health is health


def test_a_server_that_is_not_there_is_not_reachable(tmp_path: Path) -> None:
    (found,) = doctor.clock(patient_of(tmp_path), "http://127.0.0.1:9")
    assert found.health is Health.UNREACHABLE


def test_every_component_needs_a_builder(tmp_path: Path) -> None:
    class Builderless(FakeConnections):
        def open(self, *_port: object) -> NoReturn:  # type: ignore[override]
            raise OutsideError("no builder", fix="add one")

    assert [one.health for one in examine_builders(patient_of(tmp_path), "")] == [Health.GOOD]
    (found,) = examine_builders(patient_of(tmp_path, Builderless()), "")
    assert (found.health, found.mend) == (Health.WRONG, "add one")


TARGETS = next(one for one in iac.pipegraft_examinations() if one.run is iac.examine_targets)


@pytest.mark.parametrize(
    ("text", "health", "found"),
    [
        (
            "spec: {containers: [{name: web, image: 'r.example.com/shop/web:v1'}]}",
            Health.GOOD,
            "read as manifests",
        ),
        (
            "spec: {containers: [{name: web, image: 'other:v1'}]}",
            Health.WRONG,
            "nothing runs the image of 'web'",
        ),
        (None, Health.WRONG, "the branch has no k8s/web.yaml"),
    ],
)
def test_targets_are_tried_ahead_of_the_first_bump(
    tmp_path: Path, text: str | None, health: Health, found: str
) -> None:
    head = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
    make_repository(tmp_path, {"k8s/web.yaml": f"{head}{text}\n"} if text else {"other.yaml": "a: 1\n"})
    branch = open_branch("iac.git", "main", tmp_path)
    environment = {"gate": {"engine": "fake"}, "targets": [{"kind": "manifest", "file": "k8s/web.yaml"}]}
    patient = patient_of(
        tmp_path,
        FakeConnections(branch=branch),  # type: ignore[arg-type]
        registry="r.example.com/shop",
        iac={"repository": "iac.git"},
        components={"web": {"path": "web"}},
        environments={"production": environment},
    )
    (subject,) = TARGETS.subjects(patient)
    last = list(TARGETS.run(patient, subject))[-1]
    assert last.health is health
    assert found in last.found
