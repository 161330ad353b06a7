"""Who we are to the server, and where credentials may be sent; none of them reaches a command line."""

from __future__ import annotations

import atexit
import base64
import ipaddress
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pipegraft.core.delivery import CommitWords
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import keep_secret

__all__ = [
    "HOST",
    "INSECURE",
    "TOKEN",
    "Access",
    "access",
    "declared_identity",
    "iac_token",
    "identity",
    "refuse_in_the_clear",
    "signing",
    "trusting",
]

TOKEN = "PIPEGRAFT_IAC_TOKEN"  # noqa: S105 - the name of a variable
HOST = "PIPEGRAFT_IAC_HOST"
INSECURE = "PIPEGRAFT_IAC_INSECURE"


def iac_token(url: str, environment: Mapping[str, str]) -> str:
    """The token for a URL, empty if there is none.

    Arguments:
        url: what the token would be sent to.
        environment: ``PIPEGRAFT_IAC_TOKEN``; ``PIPEGRAFT_IAC_HOST`` says which host it belongs to, with its
            port if the URL has one.

    Raises:
        UsageError: the token belongs to another host, or would travel in the clear.
    """
    token = environment.get(TOKEN, "")
    named = environment.get(HOST, "")
    host = urlsplit(url).netloc.rpartition("@")[2]
    if token and named and named.lower() != host.lower():
        raise UsageError(
            f"expected an IaC repository on {named}, which {TOKEN} belongs to, found one on {host}",
            fix=f"correct 'iac.repository' in delivery.yaml, or {HOST}",
        )
    if token:
        refuse_in_the_clear(url, environment)
    return token


def refuse_in_the_clear(url: str, environment: Mapping[str, str]) -> None:
    """Look that credentials travel encrypted, or on this machine alone.

    Arguments:
        url: what they would be sent to.
        environment: ``PIPEGRAFT_IAC_INSECURE`` set to ``true`` lets them pass.

    Raises:
        UsageError: everybody on the way could read them.
    """
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_here(parts.hostname or "") and environment.get(INSECURE) != "true":
        raise UsageError(
            f"expected https for credentials, found http://{parts.netloc.rpartition('@')[2]}: anybody on the "
            "way could read them",
            fix=f"use https, or set {INSECURE}=true where the network between is yours",
        )


def _is_here(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_USER = "PIPEGRAFT_IAC_USER"
_SSH_KEY = "PIPEGRAFT_IAC_SSH_KEY"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a repository.

    Arguments:
        url: without user name or password, fit for messages.
        settings: git configuration that carries the credentials.
        variables: environment variables that carry them.
        secrets: what must never be shown.
    """

    url: str
    settings: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def access(repository: str, environment: Mapping[str, str]) -> Access:
    """Credentials for a repository.

    In this order: ``PIPEGRAFT_IAC_TOKEN`` (user ``PIPEGRAFT_IAC_USER`` or ``oauth2``); a user and password
    in the URL itself; GitLab's deploy token, then its job token, for the server the job runs on. For SSH a
    key file named by ``PIPEGRAFT_IAC_SSH_KEY``. Without any, git's own helpers and agents are asked.

    Arguments:
        repository: URL as configured.
        environment: variables of this process.

    Raises:
        UsageError: the credentials would go to a host that they do not belong to, or in the clear.
    """
    parts = urlsplit(repository)
    if parts.scheme in {"http", "https"}:
        host = parts.netloc.rpartition("@")[2]
        url = urlunsplit(parts._replace(netloc=host))
        pair = _password(repository, environment)
        if pair is None:
            return Access(url)
        header = _basic_authorization(*pair)
        root = urlunsplit((parts.scheme, host, "/", "", ""))
        encoded = header.rpartition(" ")[2]
        for secret in (pair[1], encoded):
            keep_secret(secret)
        return Access(
            url, ((f"http.{root}.extraHeader", header),), secrets=(pair[1], quote(pair[1]), encoded)
        )
    key = environment.get(_SSH_KEY)
    if key:
        base = environment.get("GIT_SSH_COMMAND", "ssh")
        command = f"{base} -i {shlex.quote(key)} -o IdentitiesOnly=yes -o BatchMode=yes"
        return Access(repository, variables={"GIT_SSH_COMMAND": command})
    return Access(repository)


def _password(repository: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    parts = urlsplit(repository)
    if token := iac_token(repository, environment):
        return environment.get(_USER) or "oauth2", token
    if parts.password:
        refuse_in_the_clear(repository, environment)
        return unquote(parts.username or ""), unquote(parts.password)
    if parts.hostname and parts.hostname == environment.get("CI_SERVER_HOST"):
        if deploy := environment.get("CI_DEPLOY_PASSWORD"):
            return environment.get("CI_DEPLOY_USER") or "", deploy
        if job := environment.get("CI_JOB_TOKEN"):
            return "gitlab-ci-token", job
    return None


def _basic_authorization(user: str, password: str) -> str:
    """An HTTP header that says who we are (RFC 7617)."""
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def identity(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that name the author, who started the pipeline, and the committer, Pipegraft.

    Arguments:
        environment: variables of this process; git's own (``GIT_AUTHOR_NAME`` …) win, which
            `declared_identity` gives too, then GitLab's, then Jenkins's.
    """
    name = environment.get("GITLAB_USER_NAME") or environment.get("CHANGE_AUTHOR_DISPLAY_NAME") or "Pipegraft"
    mail = environment.get("GITLAB_USER_EMAIL") or environment.get("CHANGE_AUTHOR_EMAIL") or _MAIL
    default = {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": mail,
        "GIT_COMMITTER_NAME": "Pipegraft",
        "GIT_COMMITTER_EMAIL": _MAIL,
    }
    return {variable: environment.get(variable) or value for variable, value in default.items()}


_MAIL = "pipegraft@noreply.invalid"


def declared_identity(words: CommitWords) -> dict[str, str]:
    """git's variables for whose commits the delivery says they are; none for what it leaves open."""
    found: dict[str, str] = {}
    for role, said in (("AUTHOR", words.author), ("COMMITTER", words.committer)):
        if said:
            name, _, mail = said.rstrip(">").rpartition(" <")
            found |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": mail}
    return found


def trusting(signers: Path | None, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Variables by which git trusts signers (git-config(1), ``GIT_CONFIG_COUNT``), and nobody else.

    Arguments:
        signers: file of SSH keys that may sign (ssh-keygen(1), "ALLOWED SIGNERS"), or of public OpenPGP keys;
            git's settings and this user's keyring if None.
        environment: the process's variables.

    Raises:
        UsageError: it holds OpenPGP keys that gpg does not take, or gpg is not there.
    """
    if signers is None:
        return environment
    is_ring = _is_openpgp(signers)
    home = _keyring(signers.absolute()).home if is_ring else _nobodys_keyring()
    count = int(environment.get("GIT_CONFIG_COUNT", "0"))
    return {
        **environment,
        "GNUPGHOME": str(home),
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": "gpg.ssh.allowedSignersFile",
        f"GIT_CONFIG_VALUE_{count}": os.devnull if is_ring else str(signers.absolute()),
    }


def signing(environment: Mapping[str, str]) -> tuple[tuple[tuple[str, str], ...], Mapping[str, str]]:
    """Settings and variables that sign commits, none if they are not to be signed.

    Arguments:
        environment: ``PIPEGRAFT_SIGNING_KEY`` names what to sign with: a file with a private SSH or OpenPGP
            key, or the id of a GPG key of this user's keyring. ``PIPEGRAFT_SIGNING_PASSWORD`` opens an
            OpenPGP key of a file.

    Raises:
        UsageError: the file holds an OpenPGP key that gpg does not take, or gpg is not there.
    """
    key = environment.get("PIPEGRAFT_SIGNING_KEY", "")
    if not key:
        return (), {}
    if "/" not in key:
        return (("user.signingKey", key), ("gpg.format", "openpgp")), {}
    if not _is_openpgp(Path(key)):
        return (("user.signingKey", key), ("gpg.format", "ssh")), {}
    ring = _keyring(Path(key).absolute(), environment.get("PIPEGRAFT_SIGNING_PASSWORD", ""))
    return (("user.signingKey", ring.secret), ("gpg.format", "openpgp")), {"GNUPGHOME": str(ring.home)}


_GPG_SECONDS = 30.0
_GPG_SETTINGS = "batch\nno-tty\ntrust-model always\nno-auto-key-retrieve\npinentry-mode loopback\n"
"""Whoever is in the file is trusted, nobody is asked, and no key server either."""


@dataclass(frozen=True, slots=True)
class _Keyring:
    """A keyring of one file.

    Arguments:
        home: folder of gpg's, gone when this process is.
        secret: fingerprint of the first private key; empty if there is none.
    """

    home: Path
    secret: str


def _is_openpgp(file: Path) -> bool:
    """Whether a file holds OpenPGP keys, armoured or not (RFC 9580, 6.2 and 4.2)."""
    try:
        with file.open("rb") as stream:
            start = stream.read(4096)
    except OSError:
        return False  # told by whoever needs it
    return b"-----BEGIN PGP " in start or start[:1] >= b"\x80"


@cache
def _keyring(file: Path, password: str = "") -> _Keyring:
    home = _empty_keyring()
    if password:
        keep_secret(password)
        (home / "password").write_text(password)
        (home / "gpg.conf").write_text(f"{_GPG_SETTINGS}passphrase-file {home / 'password'}\n")
    _gpg(home, file, "--import", str(file))
    private = b"PRIVATE KEY" in file.read_bytes()[:4096] or file.read_bytes()[:1] in b"\x94\x95\xc5"
    listed = _gpg(home, file, "--with-colons", "--list-secret-keys") if private else ""  # it starts an agent
    prints = [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]
    return _Keyring(home, prints[0] if prints else "")


@cache
def _nobodys_keyring() -> Path:
    return _empty_keyring()


def _empty_keyring() -> Path:
    """A keyring without keys, for this process alone."""
    home = Path(tempfile.mkdtemp(prefix="pipegraft-gpg-"))  # short: an agent's socket lies there
    (home / "gpg.conf").write_text(_GPG_SETTINGS)
    atexit.register(_forget, home)
    return home


def _forget(home: Path) -> None:
    """End the agent of a keyring, which gpg starts for private keys, and remove it."""
    with suppress(OSError, subprocess.SubprocessError):
        words = ["gpgconf", "--homedir", str(home), "--kill", "all"]
        subprocess.run(words, capture_output=True, check=False, timeout=_GPG_SECONDS)
    shutil.rmtree(home, ignore_errors=True)


def _gpg(home: Path, file: Path, *words: str) -> str:
    """What gpg says with a keyring of ours.

    Raises:
        UsageError: it does not take the file, or is not installed.
    """
    command = ["gpg", "--homedir", str(home), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_GPG_SECONDS)
    except FileNotFoundError:
        raise UsageError(
            f"expected gpg for the keys in {file}, it is not installed", fix="install gnupg"
        ) from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"gpg did not end within {_GPG_SECONDS:g} s with {file}", fix="export its keys anew"
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UsageError(
            f"expected OpenPGP keys in {file}, gpg takes none: {said[-1] if said else 'no reason given'}",
            fix="export them with 'gpg --armor --export', private ones with '--export-secret-keys'",
        )
    return done.stdout
