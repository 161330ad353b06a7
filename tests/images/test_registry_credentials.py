"""Where credentials come from, which host they are for, and that they stay secret."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from pipegraft.core.errors import AccessDenied, ConfigError, UsageError
from pipegraft.images.adapters.registry.endpoint import Credentials, find_keyring

HOST = "registry.example.com:5000"
AUTH = base64.b64encode(b"user:se:cret").decode()


def configured(tmp_path: Path, **config: object) -> dict[str, str]:
    (tmp_path / "config.json").write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path / "home")}


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "docker-credential-test"
    program.write_text(f"#!/bin/sh\nread server\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_nothing_means_anonymous(tmp_path: Path) -> None:
    assert find_keyring(HOST, {"HOME": str(tmp_path)}).general is None


@pytest.mark.parametrize("prefix", ["PIPEGRAFT_REGISTRY", "CI_REGISTRY", "CI_DEPENDENCY_PROXY"])
def test_ci_variables_are_for_their_host_alone(tmp_path: Path, prefix: str) -> None:
    variables = {
        "HOME": str(tmp_path), prefix + "_SERVER" * prefix.endswith("PROXY"): HOST,
        f"{prefix}_USER": "user", f"{prefix}_PASSWORD": "secret",
    }  # fmt: skip
    assert find_keyring(HOST, variables).general == Credentials("user", "secret")
    assert find_keyring("docker.io", variables).general is None


def test_a_user_without_a_host_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PIPEGRAFT_REGISTRY is not"):
        find_keyring(HOST, {"HOME": str(tmp_path), "PIPEGRAFT_REGISTRY_USER": "user"})


@pytest.mark.parametrize("given", [f"https://{HOST}", f"{HOST}/group/project"])
def test_a_host_with_more_around_it_is_told_with_the_right_one(tmp_path: Path, given: str) -> None:
    variables = {"HOME": str(tmp_path), "PIPEGRAFT_REGISTRY": given, "PIPEGRAFT_REGISTRY_USER": "user"}
    with pytest.raises(UsageError, match="expected the host") as caught:
        find_keyring(HOST, variables)
    assert caught.value.problem.fix == f"set it to {HOST}"


def test_a_variable_holds_what_a_file_would(tmp_path: Path) -> None:
    variables = configured(tmp_path, auths={HOST: {"auth": base64.b64encode(b"file:old").decode()}})
    variables["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {HOST: {"auth": AUTH}}})
    assert find_keyring(HOST, variables).general == Credentials("user", "se:cret")


@pytest.mark.parametrize("text", ["{", '"text"', json.dumps({"auths": {HOST: {"auth": "s3cret-no-base64"}}})])
def test_a_broken_variable_is_named_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="DOCKER_AUTH_CONFIG") as caught:
        find_keyring(HOST, {"HOME": str(tmp_path), "DOCKER_AUTH_CONFIG": text})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v2/"])
def test_docker_configuration(tmp_path: Path, key: str) -> None:
    variables = configured(tmp_path, auths={key: {"auth": AUTH}})
    assert find_keyring(HOST, variables).general == Credentials("user", "se:cret")
    assert find_keyring("other.example.com", variables).general is None


def test_docker_hub_has_a_name_of_its_own_there(tmp_path: Path) -> None:
    variables = configured(tmp_path, auths={"https://index.docker.io/v1/": {"auth": AUTH}})
    assert find_keyring("docker.io", variables).general == Credentials("user", "se:cret")


def test_an_identity_token(tmp_path: Path) -> None:
    variables = configured(tmp_path, auths={HOST: {"auth": AUTH, "identitytoken": "token"}})
    assert find_keyring(HOST, variables).general == Credentials(identity_token="token")


def test_podmans_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {HOST: {"auth": AUTH}}}))
    variables = {"HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(path)}
    assert find_keyring(HOST, variables).general == Credentials("user", "se:cret")


def test_podman_knows_parts_of_a_registry(tmp_path: Path) -> None:
    def auth(user: str) -> dict[str, str]:
        return {"auth": base64.b64encode(f"{user}:secret".encode()).decode()}

    folder = tmp_path / ".config/containers"
    folder.mkdir(parents=True)
    entries = {HOST: auth("all"), f"{HOST}/shop": auth("shop"), f"{HOST}/shop/web": auth("web")}
    (folder / "auth.json").write_text(json.dumps({"auths": entries | {"other.example.com/shop": auth("no")}}))
    keyring = find_keyring(HOST, {"HOME": str(tmp_path)})
    found = {path: keyring.of(path) for path in ("shop/web", "shop/web/debug", "shop/api", "shopping", "")}
    assert {path: one.user for path, one in found.items() if one} == {
        "shop/web": "web", "shop/web/debug": "web", "shop/api": "shop", "shopping": "all", "": "all",
    }  # fmt: skip


def test_a_part_of_a_registry_is_not_all_of_it(tmp_path: Path) -> None:
    variables = configured(tmp_path, auths={f"{HOST}/shop": {"auth": AUTH}})
    keyring = find_keyring(HOST, variables)
    assert keyring.of("shop/web") == Credentials("user", "se:cret")
    assert keyring.of("other") is None


def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, 'echo "{\\"Username\\":\\"user\\",\\"Secret\\":\\"for $server\\"}"')
    variables = configured(tmp_path, credHelpers={HOST: "test"})
    assert find_keyring(HOST, variables).general == Credentials("user", f"for {HOST}")


def test_a_credential_store_may_hold_an_identity_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, 'echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"token\\"}"')
    variables = configured(tmp_path, credsStore="test")
    assert find_keyring(HOST, variables).general == Credentials(identity_token="token")


def test_a_store_that_does_not_know_the_host_leaves_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1")
    variables = configured(tmp_path, credsStore="test", auths={HOST: {"auth": AUTH}})
    assert find_keyring(HOST, variables).general == Credentials("user", "se:cret")


def test_a_helper_that_fails_is_not_taken_for_anonymous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "echo the keychain is locked; exit 1")
    variables = configured(tmp_path, credHelpers={HOST: "test"})
    with pytest.raises(AccessDenied, match="the keychain is locked"):
        find_keyring(HOST, variables)


def test_a_missing_helper_is_named(tmp_path: Path) -> None:
    variables = configured(tmp_path, credHelpers={HOST: "missing-one"})
    with pytest.raises(AccessDenied, match="docker-credential-missing-one is not installed"):
        find_keyring(HOST, variables)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"auths": {HOST: {"auth": "?"}}})])
def test_a_broken_configuration_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        find_keyring(HOST, {"DOCKER_CONFIG": str(tmp_path)})


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("user", "secret", "secret-token"))


def test_a_helper_that_waits_for_a_person_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr("pipegraft.images.adapters.registry.endpoint._HELPER_PATIENCE", 0.1)
    with pytest.raises(AccessDenied, match="docker-credential-test did not answer within"):
        find_keyring(HOST, configured(tmp_path, credsStore="test"))
