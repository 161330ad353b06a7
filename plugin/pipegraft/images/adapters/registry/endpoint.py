"""How a registry is reached: scheme, certificates, and who we are to it, from its address and the machine.

docker's configuration is read by docker's own library; what podman adds to it, entries for a part of a
registry (containers-auth.json(5)), and the CI's variables are read here.
"""

from __future__ import annotations

import ipaddress
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from docker.auth import INDEX_NAME, INDEX_URL, TOKEN_USERNAME, AuthConfig
from docker.credentials import Store
from docker.credentials.errors import CredentialsNotFound, StoreError, process_store_error
from docker.errors import DockerException

from pipegraft.core.errors import AccessDenied, ConfigError, Place, Problem, UsageError
from pipegraft.core.foreign_text import keep_secret
from pipegraft.core.reading import load_json

__all__ = ["Credentials", "Endpoint", "Keyring", "find_keyring", "is_loopback"]

_TRIOS = (
    ("PIPEGRAFT_REGISTRY", "PIPEGRAFT_REGISTRY_USER", "PIPEGRAFT_REGISTRY_PASSWORD"),
    ("CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"),
    ("CI_DEPENDENCY_PROXY_SERVER", "CI_DEPENDENCY_PROXY_USER", "CI_DEPENDENCY_PROXY_PASSWORD"),
)
"""Host, user and password. Bound to a host, because a password must not follow a base image elsewhere."""

_HELPER_PATIENCE = 30.0
"""Seconds that a credential helper may take; one that waits for a person never ends."""
_HUB_HOST = "registry-1.docker.io"
_CERTIFICATES = "/etc/docker/certs.d"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user with a password, or an identity token that buys access tokens."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        keep_secret(self.password)
        keep_secret(self.identity_token)


@dataclass(frozen=True, slots=True)
class Keyring:
    """Who we are to one registry.

    Arguments:
        general: for all of it; None to be anonymous.
        parts: path in the registry → who we are there, in what is below it too.
    """

    general: Credentials | None = None
    parts: Mapping[str, Credentials] = field(default_factory=dict)

    def of(self, repository: str) -> Credentials | None:
        """Who we are to a repository: the entry of the longest path wins."""
        path = repository
        while path:
            if path in self.parts:
                return self.parts[path]
            path = path.rpartition("/")[0]
        return self.general


def find_keyring(host: str, variables: Mapping[str, str]) -> Keyring:
    """Who this machine and job are to a registry.

    The CI's variables come first, then ``DOCKER_AUTH_CONFIG``, which holds the text of
    such a file for GitLab's runner and docker's command line, then docker's `config.json`, then podman's
    files; in each a credential helper of the host, then the credential store, then what it holds itself.

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
        named = variables.get(registry, "")
        if registry == _TRIOS[0][0] and "/" in named:
            raise UsageError(
                f"expected the host of a registry in {registry}, found '{named}'",
                fix=f"set it to {named.partition('://')[2].partition('/')[0] or named.partition('/')[0]}",
            )
        if named == host and variables.get(user):
            return Keyring(Credentials(variables[user], variables.get(password, "")))
    parts: dict[str, Credentials] = {}
    general: Credentials | None = None
    for path, config in _configurations(variables):
        try:
            general = general or _of_docker(config, host)
            for name, credentials in _parts(config, host):
                parts.setdefault(name, credentials)
        except (DockerException, ValueError, AttributeError, TypeError, KeyError) as error:
            raise _broken(path, str(error)) from None
    return Keyring(general, parts)


def _configurations(variables: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each configuration is, and what it says."""
    if variables.get("DOCKER_AUTH_CONFIG"):
        yield "DOCKER_AUTH_CONFIG", _object("DOCKER_AUTH_CONFIG", variables["DOCKER_AUTH_CONFIG"].encode())
    for path in _files(variables):
        yield str(path), _read(path)


def _files(variables: Mapping[str, str]) -> Iterator[Path]:
    """docker's file, then podman's, as containers-auth.json(5) orders them."""
    home = Path(variables.get("HOME") or Path.home())
    yield Path(variables.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    if variables.get("REGISTRY_AUTH_FILE"):
        yield Path(variables["REGISTRY_AUTH_FILE"])
        return
    if variables.get("XDG_RUNTIME_DIR"):
        yield Path(variables["XDG_RUNTIME_DIR"]) / "containers/auth.json"
    yield Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json"


def _read(path: Path) -> dict[str, Any]:
    """A file's JSON object, empty if there is no file: docker's library passes over what it cannot read."""
    try:
        return _object(str(path), path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _broken(str(path), str(error)) from error


def _object(place: str, content: bytes) -> dict[str, Any]:
    try:
        config = load_json(content)
    except ValueError as error:
        raise _broken(place, str(error)) from None
    if not isinstance(config, dict):
        raise _broken(place, "it is no JSON object")
    return config


def _broken(place: str, why: str) -> ConfigError:
    return ConfigError([Problem(f"expected a docker configuration: {why}", Place(place))])


def _of_docker(config: Mapping[str, Any], host: str) -> Credentials | None:
    """What docker would send to a host; entries with a path of podman's are none of docker's."""
    auths = {name: entry for name, entry in (config.get("auths") or {}).items() if not _path_in(name)}
    helper = AuthConfig.load_config(None, {**config, "auths": auths}).get_credential_store(host)
    if helper and not shutil.which(f"docker-credential-{helper}"):
        raise AccessDenied(
            f"docker's configuration names the credential helper '{helper}', and"
            f" docker-credential-{helper} is not installed",
            fix=f"install docker-credential-{helper}, or remove it from the configuration",
        )
    known = _of_helper(helper, host) if helper else None
    filed = AuthConfig.load_config(None, {"auths": auths})
    return known or _credentials(filed.resolve_authconfig(host) or {})


class _Helper(Store):  # type: ignore[misc] # docker ships no types
    """A credential helper that is not waited for without an end."""

    def _execute(self, subcmd: str, data_input: bytes) -> bytes:
        done = subprocess.run(
            [self.exe, subcmd], input=data_input, capture_output=True, timeout=_HELPER_PATIENCE, check=False
        )
        if done.returncode:
            failed = subprocess.CalledProcessError(done.returncode, self.program, done.stdout, done.stderr)
            raise process_store_error(failed, self.program)
        return done.stdout


def _of_helper(helper: str, host: str) -> Credentials | None:
    """What a credential helper keeps for a host (docker/docker-credential-helpers)."""
    try:
        entry = _Helper(helper).get(INDEX_URL if host == INDEX_NAME else host)
    except CredentialsNotFound:
        return None
    except subprocess.TimeoutExpired:
        raise AccessDenied(
            f"docker-credential-{helper} did not answer within {_HELPER_PATIENCE:g} s for {host}",
            fix="run it by hand: it may ask somebody for a password; or remove it from the configuration",
        ) from None
    except (StoreError, OSError, ValueError, KeyError) as error:
        raise AccessDenied(f"docker-credential-{helper} failed: {error}") from None
    if entry["Username"] == TOKEN_USERNAME:
        return Credentials(identity_token=entry["Secret"])
    return _credentials(entry | {"Password": entry["Secret"]})


def _parts(config: Mapping[str, Any], host: str) -> Iterator[tuple[str, Credentials]]:
    """Path and credentials of the entries that are for a part of the registry."""
    auths = config.get("auths") or {}
    own = {name: entry for name, entry in auths.items() if _path_in(name) and name.partition("/")[0] == host}
    for name, entry in AuthConfig.parse_auth(own, raise_on_error=True).items():
        credentials = _credentials(entry)
        if credentials is not None:
            yield _path_in(name), credentials


def _path_in(name: str) -> str:
    """The repository path that podman's key of an entry has; docker's are hosts and URLs."""
    return "" if "://" in name else name.partition("/")[2].strip("/")


def _credentials(entry: Mapping[str, Any]) -> Credentials | None:
    """What docker's library found, whose keys differ between files and helpers."""
    token = entry.get("IdentityToken")
    if token:
        return Credentials(identity_token=token)
    user = entry.get("username") or entry.get("Username")
    password = entry.get("password") or entry.get("Password") or ""
    return Credentials(user, password.rstrip("\0")) if user else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One registry server.

    Arguments:
        name: ``host[:port]`` as it stands in image references.
        schemes: to try in this order: ``https``, ``http``.
        ca: PEM file of further certificate authorities.
        certificates: folder as docker keeps it: ``*.crt`` authorities, ``NAME.cert`` with ``NAME.key``.
        keyring: who we are there.
    """

    name: str
    schemes: tuple[str, ...] = ("https",)
    ca: Path | None = None
    certificates: Path | None = None
    keyring: Keyring = field(default_factory=Keyring)

    @classmethod
    def of(cls, name: str, variables: Mapping[str, str]) -> Endpoint:
        """The registry as this machine's variables and docker's files say.

        Plain HTTP is spoken with a registry that ``PIPEGRAFT_INSECURE_REGISTRIES`` names (a list with
        commas), and, as docker does, with one on this machine's loopback that speaks no TLS.
        """
        insecure = {one.strip() for one in variables.get("PIPEGRAFT_INSECURE_REGISTRIES", "").split(",")}
        schemes = ("http",) if name in insecure else ("https", "http") if is_loopback(name) else ("https",)
        ca = variables.get("PIPEGRAFT_REGISTRY_CA")
        certificates = Path(_CERTIFICATES, name)
        return cls(
            name,
            schemes,
            Path(ca) if ca else None,
            certificates if certificates.is_dir() else None,
            find_keyring(name, variables),
        )

    @property
    def host(self) -> str:
        """``host[:port]`` to connect to."""
        return _HUB_HOST if self.name == "docker.io" else self.name

    def trust(self) -> ssl.SSLContext:
        """What is trusted, and what we show.

        Raises:
            UsageError: a certificate file is missing or none.
        """
        return _trust(self.ca, self.certificates)


@cache
def _trust(ca: Path | None, certificates: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    path = ca
    try:
        if path is not None:
            context.load_verify_locations(path)
        for path in sorted(certificates.iterdir()) if certificates else ():
            if path.suffix == ".crt":
                context.load_verify_locations(path)
            elif path.suffix == ".cert":
                context.load_cert_chain(path, path.with_suffix(".key"))
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"expected certificates in {path}: {error}") from error
    return context


def is_loopback(name: str) -> bool:
    """Whether ``host[:port]`` is this machine."""
    host = name.rsplit(":", 1)[0].strip("[]") if not name.endswith("]") else name.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
