"""Which cluster, and who we are there: kubeconfig files, or the service account of the pod we run in.

The order is kubectl's: the file that is named, ``KUBECONFIG`` (several files, the first one with a name
wins), ``~/.kube/config``, and last the pod's own account. What expires is renewed: a token file is read
again, a credential plugin is run again, a static token is read from its kubeconfig again.
Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ and
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

import yaml

from pipegraft.core.errors import AccessDenied, UsageError
from pipegraft.core.reading import load_json
from pipegraft.kubernetes.model import ClusterOptions

__all__ = ["IN_CLUSTER", "Access", "Credentials", "Identity", "load_access"]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "in-cluster"
"""What stands for a context where the pod's own account is used."""
_MEND = "name another file: KUBECONFIG, or the key 'kubeconfig' of the gate"
_FILES = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key", "tokenFile"),
}

_EARLY = 10.0
"""Seconds before its end that a credential counts as expired."""
_TOKEN_FILE_AGE = 60.0
"""Seconds after which a token file is read again: the kubelet replaces it (as client-go does)."""
_PLUGIN_TIME = 60.0
_VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))

Access = dict[str, Any]
"""``cluster`` and ``user`` as a kubeconfig has them, with absolute paths; ``context``, ``namespace``."""


def load_access(options: ClusterOptions, root: Path, variables: Mapping[str, str] = os.environ) -> Access:
    """Find out where the cluster is and who we are there.

    Raises:
        UsageError: no configuration, or it does not hold what is asked for.
    """
    files = _files(options, root, variables)
    if files:
        return _from_files(files, options.context)
    account = _from_account(variables)
    if account:
        return account
    raise UsageError(
        "expected a kubeconfig or to run in a pod of the cluster, found neither",
        fix="set 'gate.kubeconfig', or the variable KUBECONFIG",
    )


def _files(options: ClusterOptions, root: Path, variables: Mapping[str, str]) -> list[Path]:
    if options.kubeconfig:
        return [root / Path(options.kubeconfig).expanduser()]
    named = [Path(part) for part in variables.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        found = [file for file in named if file.exists()]
        if found:
            return found
        raise UsageError(f"KUBECONFIG names {', '.join(map(str, named))}, which does not exist", fix=_MEND)
    home = Path(variables.get("HOME", "~")).expanduser() / ".kube" / "config"
    return [home] if home.exists() else []


def _from_files(files: list[Path], context: str | None) -> Access:
    entries: dict[str, dict[str, Any]] = {"cluster": {}, "user": {}, "context": {}}
    current = ""
    for file in files:
        config = _parsed(file)
        current = current or str(config.get("current-context") or "")
        for kind, known in entries.items():
            for entry in config.get(f"{kind}s") or ():
                known.setdefault(entry["name"], _with_absolute_paths(entry.get(kind) or {}, kind, file))
    name = context or current
    place = ", ".join(map(str, files))
    if not name:
        raise UsageError(
            f"{place} has no current context; it has: {', '.join(entries['context']) or 'none'}",
            fix="set 'gate.context'",
        )
    chosen = _entry(entries, "context", name, place)
    return {
        "context": name,
        "namespace": chosen.get("namespace") or "default",
        "cluster": _entry(entries, "cluster", chosen.get("cluster", ""), place),
        "user": _entry(entries, "user", chosen["user"], place) if chosen.get("user") else {},
    }


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(file.read_text())
    except OSError as error:
        raise UsageError(f"kubeconfig {file} cannot be read: {error.strerror}", fix=_MEND) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UsageError(f"kubeconfig {file} is not YAML", fix=_MEND) from None  # its text may hold secrets
    if not isinstance(config, dict):
        raise UsageError(f"kubeconfig {file} holds no configuration", fix=_MEND)
    return config


def _entry(entries: Mapping[str, Mapping[str, Any]], kind: str, name: str, place: str) -> Any:
    try:
        return entries[kind][name]
    except KeyError:
        known = ", ".join(entries[kind]) or "none"
        raise UsageError(f"{place} has no {kind} '{name}'; it has: {known}") from None


def _with_absolute_paths(entry: Mapping[str, Any], kind: str, file: Path) -> dict[str, Any]:
    """Relative paths of a kubeconfig count from its own folder."""
    paths = {
        key: str((file.parent / entry[key]).absolute()) for key in _FILES.get(kind, ()) if entry.get(key)
    }
    return {**entry, **paths}


def _from_account(variables: Mapping[str, str]) -> Access | None:
    host, port = variables.get("KUBERNETES_SERVICE_HOST"), variables.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (_ACCOUNT / "token").exists():
        return None
    return {
        "context": IN_CLUSTER,
        "namespace": (_ACCOUNT / "namespace").read_text().strip(),
        "cluster": {
            "server": f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
            "certificate-authority": str(_ACCOUNT / "ca.crt"),
        },
        "user": {"tokenFile": str(_ACCOUNT / "token")},
    }


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
