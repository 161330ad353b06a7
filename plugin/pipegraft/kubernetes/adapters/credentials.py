"""Who we are to an API server, and how that is renewed when it expires.

A token file is read again, a kubeconfig's credential plugin is run again, a static token is read from its
kubeconfig again. Source of the plugin protocol:
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipegraft.core.errors import AccessDenied, UsageError
from pipegraft.core.limits import load_json
from pipegraft.kubernetes.adapters.kubeconfig import Access

__all__ = ["Credentials", "Identity"]

_EARLY = 10.0
"""Seconds before its end that a credential counts as expired."""
_TOKEN_FILE_AGE = 60.0
"""Seconds after which a token file is read again: the kubelet replaces it (as client-go does)."""
_PLUGIN_TIME = 60.0
_VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))


@dataclass(frozen=True, slots=True)
class Identity:
    """What proves who we are.

    Arguments:
        header: value of ``Authorization``, None if a certificate proves it.
        certificate: PEM of certificate and key.
        expires: seconds since the epoch.
    """

    header: str | None = None
    certificate: tuple[bytes, bytes] | None = None
    expires: float = float("inf")

    def __repr__(self) -> str:
        return "Identity(…)"  # the rest is secret


class Credentials:
    """The present identity, renewed when it is due or was refused; from any thread.

    Arguments:
        load: reads the access anew; what a kubeconfig holds may have been replaced.
    """

    def __init__(self, load: Callable[[], Access], now: Callable[[], float] = time.time) -> None:
        self._load = load
        self._now = now
        self._lock = threading.Lock()
        self._identity: Identity | None = None

    def current(self) -> Identity:
        """The identity to use now.

        Raises:
            AccessDenied: none could be got.
        """
        with self._lock:
            if self._identity is None or self._identity.expires - _EARLY < self._now():
                self._identity = _identity(self._load(), self._now())
            return self._identity

    def renewed(self, refused: Identity) -> Identity:
        """Another identity after the server refused one; the same if there is no other."""
        with self._lock:
            if self._identity == refused:
                self._identity = _identity(self._load(), self._now())
            return self._identity or refused


def _identity(access: Access, now: float) -> Identity:
    user: Mapping[str, Any] = access["user"]
    certificate = _certificate(user)
    if user.get("exec"):
        return _from_plugin(user["exec"], access["cluster"])
    if user.get("tokenFile"):
        return Identity(f"Bearer {_read(user['tokenFile'])}", certificate, now + _TOKEN_FILE_AGE)
    if user.get("token"):
        return Identity(f"Bearer {user['token']}", certificate)
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return Identity(f"Basic {base64.b64encode(pair).decode()}", certificate)
    if user.get("auth-provider"):
        raise UsageError(
            f"context '{access['context']}' uses an auth-provider, which Kubernetes removed in 1.26",
            fix="use a credential plugin ('exec') or a token",
        )
    return Identity(None, certificate)


def _read(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise AccessDenied(f"token file {file} cannot be read: {error.strerror}") from None


def _certificate(user: Mapping[str, Any]) -> tuple[bytes, bytes] | None:
    parts = []
    for key in ("client-certificate", "client-key"):
        if user.get(f"{key}-data"):
            parts.append(base64.b64decode(user[f"{key}-data"]))
        elif user.get(key):
            try:
                parts.append(Path(user[key]).read_bytes())
            except OSError as error:
                raise AccessDenied(f"{key} {user[key]} cannot be read: {error.strerror}") from None
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _from_plugin(plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> Identity:
    version, command = plugin.get("apiVersion"), [plugin["command"], *(plugin.get("args") or ())]
    if version not in _VERSIONS:
        raise UsageError(
            f"credential plugin '{command[0]}': expected apiVersion {_VERSIONS[0]}, found {version}"
        )
    info: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        info["cluster"] = {key: value for key, value in cluster.items() if key != "extensions"}
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": info}
    added = {entry["name"]: entry["value"] for entry in plugin.get("env") or ()}
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PLUGIN_TIME,
            check=False,
        )
    except FileNotFoundError:
        hint = " ".join(str(plugin.get("installHint") or "install it on the runner").split())
        raise UsageError(f"credential plugin '{command[0]}' is not installed", fix=hint) from None
    except subprocess.TimeoutExpired:
        raise AccessDenied(f"credential plugin '{command[0]}' gave no answer in {_PLUGIN_TIME:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise AccessDenied(f"credential plugin '{command[0]}' ended with {done.returncode}: {said}")
    return _plugin_answer(done.stdout, command[0])


def _plugin_answer(text: bytes, command: str) -> Identity:
    try:
        status = load_json(text)["status"]
        expires = status.get("expirationTimestamp")
        pair = (status.get("clientCertificateData"), status.get("clientKeyData"))
        return Identity(
            f"Bearer {status['token']}" if status.get("token") else None,
            (pair[0].encode(), pair[1].encode()) if pair[0] and pair[1] else None,
            datetime.fromisoformat(expires).timestamp() if expires else float("inf"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AccessDenied(f"credential plugin '{command}' did not answer an ExecCredential") from None
