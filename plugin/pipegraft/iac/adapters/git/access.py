"""Who we are to the server, and where credentials may be sent; none of them reaches a command line."""

from __future__ import annotations

import base64
import ipaddress
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import keep_secret

__all__ = [
    "HOST",
    "INSECURE",
    "TOKEN",
    "Access",
    "access",
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
        environment: variables of this process; git's own (``GIT_AUTHOR_NAME`` …) win, then GitLab's, then
            Jenkins's.
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


def trusting(signers: Path | None, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Variables by which git trusts signers (git-config(1), ``GIT_CONFIG_COUNT``).

    Arguments:
        signers: file of SSH keys that may sign (ssh-keygen(1), "ALLOWED SIGNERS"); git's settings if None.
        environment: the process's variables.
    """
    if signers is None:
        return environment
    count = int(environment.get("GIT_CONFIG_COUNT", "0"))
    return {
        **environment,
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": "gpg.ssh.allowedSignersFile",
        f"GIT_CONFIG_VALUE_{count}": str(signers.absolute()),
    }


def signing(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Settings that sign commits, none if they are not to be signed.

    Arguments:
        environment: ``PIPEGRAFT_SIGNING_KEY`` names what to sign with: a file with a private SSH key, or the
            id of a GPG key of this user's keyring.
    """
    key = environment.get("PIPEGRAFT_SIGNING_KEY", "")
    if not key:
        return ()
    kind = "ssh" if "/" in key else "openpgp"
    return (("user.signingKey", key), ("gpg.format", kind))
