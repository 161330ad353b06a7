"""Who we are to a registry: CI variables, docker's configuration, podman's, credential helpers."""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipegraft.core.errors import AccessDenied, ConfigError, Place, Problem, UsageError

__all__ = ["Credentials", "find_credentials"]

_HELPER_TIMEOUT = 60.0
_HUB = "docker.io"
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
_TRIOS = (
    ("PIPEGRAFT_REGISTRY", "PIPEGRAFT_REGISTRY_USER", "PIPEGRAFT_REGISTRY_PASSWORD"),
    ("CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"),
)
"""Host, user and password. Bound to a host, because a password must not follow a base image elsewhere."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user with a password, or an identity token that buys access tokens."""

    user: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


def find_credentials(host: str, variables: Mapping[str, str]) -> Credentials | None:
    """Credentials for a registry, None to be anonymous.

    The CI's variables come first, then docker's `config.json`, then podman's `auth.json`; in a file a
    credential helper of the host, then the credential store, then what the file itself holds.

    Arguments:
        host: ``host[:port]`` as it stands in image references.
        variables: the process's environment variables.

    Raises:
        ConfigError: a file cannot be read.
        AccessDenied: a credential helper failed.
    """
    for registry, user, password in _TRIOS:
        if variables.get(user) and registry not in variables and registry == _TRIOS[0][0]:
            raise UsageError(
                f"{user} is set and {registry} is not", fix=f"set {registry} to the registry's host"
            )
        if variables.get(registry) == host and variables.get(user):
            return Credentials(variables[user], variables.get(password, ""))
    for path in _files(variables):
        found = _from_file(path, host)
        if found is not None:
            return found
    return None


def _files(variables: Mapping[str, str]) -> list[Path]:
    home = Path(variables.get("HOME") or Path.home())
    docker = Path(variables.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    podman = variables.get("REGISTRY_AUTH_FILE") or (
        f"{variables['XDG_RUNTIME_DIR']}/containers/auth.json" if variables.get("XDG_RUNTIME_DIR") else None
    )
    return [docker, *([Path(podman)] if podman else [])]


def _from_file(path: Path, host: str) -> Credentials | None:
    try:
        config = json.loads(path.read_bytes())
        helpers, entries = config.get("credHelpers") or {}, config.get("auths") or {}
        store = config.get("credsStore")
        names = _names(host)
        for name in names:
            if name in helpers:
                return _ask_helper(helpers[name], name)
        if store:
            for name in names:
                found = _ask_helper(store, name)
                if found is not None:
                    return found
        return next((_decode(entries[name]) for name in names if entries.get(name)), None)
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError, TypeError, OSError) as error:
        raise ConfigError([Problem(f"expected a docker configuration: {error}", Place(str(path)))]) from error


def _names(host: str) -> tuple[str, ...]:
    plain = (host, f"https://{host}", f"http://{host}", f"https://{host}/v1/", f"https://{host}/v2/")
    return (*_HUB_KEYS, *plain) if host == _HUB else plain


def _decode(entry: Mapping[str, Any]) -> Credentials | None:
    if entry.get("identitytoken"):
        return Credentials(identity_token=entry["identitytoken"])
    if entry.get("auth"):
        try:
            user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError(f"'auth' is not base64 of user:password ({error})") from error
        return Credentials(user, password.rstrip("\0"))
    if entry.get("username"):
        return Credentials(entry["username"], entry.get("password", ""))
    return None


def _ask_helper(name: str, server: str) -> Credentials | None:
    """Ask ``docker-credential-<name>``, by docker's credential helper protocol."""
    program = f"docker-credential-{name}"
    try:
        answer = subprocess.run(
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=_HELPER_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise AccessDenied(
            f"docker's configuration names the credential helper '{name}', and {program} is not installed",
            fix=f"install {program}, or remove it from the configuration",
        ) from None
    except subprocess.TimeoutExpired:
        raise AccessDenied(f"{program} gave no answer within {_HELPER_TIMEOUT:g} s") from None
    if answer.returncode != 0:
        said = (answer.stdout + answer.stderr).decode(errors="replace").strip()
        if "not found" in said.lower():
            return None
        raise AccessDenied(f"{program} failed: {said or f'exit code {answer.returncode}'}")
    found = json.loads(answer.stdout)
    if found.get("Username") == "<token>":
        return Credentials(identity_token=found["Secret"])
    return Credentials(found["Username"], found["Secret"])
