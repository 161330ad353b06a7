"""What every target shares: annotations, variables, probes and ports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipegraft.appspec.model.spec import EnvValue, Reference
from pipegraft.appspec.model.traits import Probe
from pipegraft.appspec.pods import Member, Pod
from pipegraft.appspec.spec import GRAY_SUFFIX, Resolved
from pipegraft.core.release import ReleaseMark

__all__ = [
    "ANNOTATION",
    "Manifest",
    "annotations_of",
    "declared",
    "digest_of",
    "env_of",
    "labels_of",
    "ports_of",
    "probes_of",
    "versions",
    "whole_seconds",
]

ANNOTATION = "pipegraft.dev/"
"""Prefix of our annotations."""

Manifest = dict[str, Any]


def versions(resolved: Resolved, pod: Pod) -> Iterator[tuple[str, Pod]]:
    """The workloads a pod becomes, by name: the stable one, and the new version while a gray release runs.

    A job has one version: the new one takes its place when it is promoted, lest the work is done twice.
    """
    yield pod.name, pod
    if resolved.gray and pod.name in resolved.gray.pods and pod.main.spec.job is None:
        yield pod.name + GRAY_SUFFIX, resolved.gray.pods[pod.name]


def labels_of(resolved: Resolved) -> Manifest:
    """Labels of everything that is rendered."""
    return {"app.kubernetes.io/part-of": resolved.app, "app.kubernetes.io/managed-by": "pipegraft"}


def digest_of(rendered: Any) -> str:
    """Names what is rendered, where no revision does."""
    canonical = json.dumps(rendered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:40]


def annotations_of(resolved: Resolved) -> dict[str, str]:
    """Environment, release and gray release."""
    found = {f"{ANNOTATION}environment": resolved.environment}
    found |= _release("", resolved.release)
    if resolved.gray:
        found |= _release("gray-", resolved.gray.release)
        found |= {
            f"{ANNOTATION}gray-weight": str(resolved.gray.weight),
            f"{ANNOTATION}gray-phase": resolved.gray.phase,
        }
        waiting = [
            f"{member.name}={member.spec.image}"
            for pod in resolved.gray.pods.values()
            if pod.main.spec.job
            for member in pod.members
        ]
        if waiting:
            found[f"{ANNOTATION}gray-waiting"] = " ".join(waiting)
    return found


def _release(prefix: str, release: ReleaseMark | None) -> dict[str, str]:
    if release is None:
        return {}
    return {
        f"{ANNOTATION}{prefix}release": str(release.number),
        f"{ANNOTATION}{prefix}source-commit": release.source,
    }


def declared(values: Mapping[str, Any]) -> Manifest:
    """Without what nobody declared."""
    return {key: value for key, value in values.items() if value not in (None, [], {})}


def env_of(member: Member, pod: Pod) -> list[Manifest]:
    """What a container is told: about the pod it is in, then what is declared for it."""
    variables = {**pod.variables(), **(member.spec.env or {})}
    return [_variable(name, value) for name, value in variables.items()]


def _variable(name: str, value: EnvValue) -> Manifest:
    if not isinstance(value, Reference):
        return {"name": name, "value": value}
    if value.secret is not None:
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": value.secret, "key": value.key}}}
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": value.config, "key": value.key}}}


def ports_of(pod: Pod) -> list[Manifest]:
    """The main container's ports, and the one that requests enter by: the Service exposes that one alone."""
    entrance = pod.entrance[1] if pod.entrance else None
    ports = [
        {"port": number, "name": name, "expose": entrance in (None, number)}
        for name, number in pod.main.ports.items()
    ]
    if entrance is not None and entrance not in pod.main.ports.values():
        ports.append({"port": entrance, "name": "entrance", "expose": True})
    return ports


def probes_of(member: Member) -> Manifest:
    """Startup, readiness and liveness probe of a container."""
    spec = member.spec
    readiness = spec.readiness or (Probe() if member.ports else None)
    found = {"startupProbe": spec.startup, "readinessProbe": readiness, "livenessProbe": spec.liveness}
    return {key: _probe(member, probe) for key, probe in found.items() if probe}


def _probe(member: Member, probe: Probe) -> Manifest:
    port = member.port(probe.port)
    return declared(
        {
            "httpGet": {"path": probe.path, "port": port} if probe.path else None,
            "tcpSocket": None if probe.path else {"port": port},
            "initialDelaySeconds": whole_seconds(probe.initial_delay),
            "periodSeconds": whole_seconds(probe.period),
            "timeoutSeconds": whole_seconds(probe.timeout),
            "failureThreshold": probe.failures,
        }
    )


def whole_seconds(duration: float | None) -> int | None:
    """A declared time as Kubernetes takes it."""
    return None if duration is None else int(duration)
