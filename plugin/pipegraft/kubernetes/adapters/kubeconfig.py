"""Which cluster, and as whom: kubeconfig files, or the service account of the pod we run in.

The order is kubectl's: the file that is named, ``KUBECONFIG`` (several files, the first one with a name
wins), ``~/.kube/config``, and last the pod's own account.
Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipegraft.core.errors import UsageError
from pipegraft.kubernetes.model import ClusterOptions

__all__ = ["IN_CLUSTER", "Access", "load_access"]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "in-cluster"
"""What stands for a context where the pod's own account is used."""
_MEND = "name another file: KUBECONFIG, or the key 'kubeconfig' of the gate"
_FILES = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key", "tokenFile"),
}

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
        config = _read(file)
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


def _read(file: Path) -> Mapping[str, Any]:
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
