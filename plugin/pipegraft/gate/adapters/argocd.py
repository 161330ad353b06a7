"""Argo CD: Applications, by the Kubernetes API or by Argo CD's own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from pipegraft.core.errors import PipegraftError, UsageError
from pipegraft.core.hookspecs import hookimpl
from pipegraft.core.plugin_values import GitOpsEnginePlugin
from pipegraft.gate.adapters.argocd_cluster import ClusterApplications
from pipegraft.gate.adapters.argocd_options import ArgoCdOptions
from pipegraft.gate.adapters.argocd_server import open_server
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, Status
from pipegraft.gate.verdicts.argocd import APPLIED, applied, verdicts
from pipegraft.kubernetes.adapters.cluster import open_cluster

__all__ = ["Applications", "ArgoCd", "pipegraft_gitops_engines"]

Key = tuple[str, str]
Object = Mapping[str, Any]


class Applications(Protocol):
    """How Argo CD is asked."""

    def begin(self) -> None:
        """A look begins: what happens from now on is news."""

    def read(self, namespace: str) -> Mapping[Key, Object]:
        """The Applications of a namespace, by namespace and name."""

    def can_sync(self, application: Object) -> bool | None:
        """Whether its sync windows are open now; None if that is not known."""

    def refresh(self, application: Object, *, hard: bool) -> None:
        """Ask for a comparison now."""

    def workloads(self, application: Object, applied: Sequence[Object]) -> Mapping[str, object]:
        """``workloads``, ``owned`` and ``now`` of what an Application has applied."""

    def wait(self, seconds: float) -> None:
        """Return when there may be news."""

    def explain(self) -> Sequence[str]:
        """What more is known of why."""


class ArgoCd:
    """`GitOpsEngine` over Applications.

    Arguments:
        options: which ones.
        request: the IaC repository they follow.
        applications: how Argo CD is asked.
    """

    def __init__(self, options: ArgoCdOptions, request: EngineRequest, applications: Applications) -> None:
        self._options = options
        self._request = request
        self._applications = applications
        self._asked: dict[Key, str] = {}

    def observe(self) -> Status:
        self._applications.begin()
        known = self._applications.read(self._options.namespace)
        chosen = self._chosen(known)
        entries = [self._entry(app) for app in chosen.values()]
        if self._options.children:
            seen = set(chosen)
            entries += [self._entry(app, child=True) for app in self._below(chosen.values(), seen)]
        return {"applications": entries, "expected": self._options.expect or len(self._options.names)}

    def request_sync(self) -> None:
        """Ask for those that are not well; once more, and without caches, for those that have not changed."""
        for key, app in self._chosen(self._applications.read(self._options.namespace)).items():
            status = app.get("status") or {}
            before = self._asked.get(key)
            now = str(
                (status.get("sync") or {}).get("revision") or (status.get("sync") or {}).get("revisions")
            )
            if before is not None and before != now:
                continue
            self._applications.refresh(app, hard=before is not None)
            self._asked[key] = now

    def wait(self, seconds: float) -> None:
        self._applications.wait(seconds)

    def explain(self) -> Sequence[str]:
        try:
            return self._applications.explain()
        except PipegraftError as error:
            return (f"not to be had: {error.problem.message}",)

    def _chosen(self, known: Mapping[Key, Object]) -> dict[Key, Object]:
        options = self._options
        found: dict[Key, Object] = {}
        for name in options.names:
            found |= {key: app for key, app in known.items() if key[1] == name}
            if not any(key[1] == name for key in found):
                raise _unknown(name, options.namespace, [key[1] for key in known])
        for key, app in known.items():
            if _is_selected(app, options):
                found[key] = app
        return found

    def _below(self, parents: Iterable[Object], seen: set[Key]) -> Iterator[Object]:
        """Applications that Applications declare, and so on down."""
        for parent in parents:
            for item in (parent.get("status") or {}).get("resources") or ():
                if item.get("kind") != "Application" or item.get("group") != "argoproj.io":
                    continue
                key = (item.get("namespace") or self._options.namespace, item["name"])
                child = self._applications.read(key[0]).get(key)
                if child is not None and key not in seen:
                    seen.add(key)
                    yield child
                    yield from self._below([child], seen)

    def _entry(self, app: Object, *, child: bool = False) -> Mapping[str, object]:
        entry: dict[str, object] = {
            "application": app,
            "repository": self._options.repository or self._request.repository or None,
            "branch": self._request.branch,
            "child": child,
        }
        if _is_well(app):
            return entry
        if ((app.get("status") or {}).get("sync") or {}).get("status") == "OutOfSync":
            entry["can-sync"] = self._applications.can_sync(app)
        if self._options.workloads:
            items = [item for item in applied(app) if item.get("kind") in APPLIED]
            entry |= self._applications.workloads(app, items)
        return entry


def _is_selected(app: Object, options: ArgoCdOptions) -> bool:
    metadata = app["metadata"]
    labels = metadata.get("labels") or {}
    if options.selector and options.selector.items() <= labels.items():
        return True
    return options.application_set is not None and any(
        owner.get("kind") == "ApplicationSet" and owner.get("name") == options.application_set
        for owner in metadata.get("ownerReferences") or ()
    )


def _is_well(app: Object) -> bool:
    status = app.get("status") or {}
    synced = (status.get("sync") or {}).get("status") == "Synced"
    moving = (status.get("operationState") or {}).get("phase") == "Running"
    return synced and not moving and (status.get("health") or {}).get("status") == "Healthy"


def _unknown(name: str, namespace: str, known: Sequence[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, 1)
    there = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(known)[:20]) or 'none'}"
    return UsageError(
        f"Argo CD has no Application '{name}' in namespace '{namespace}'; {there}",
        fix="check 'gate.application', 'gate.namespace' and the cluster that is asked",
    )


def _connect(options: ArgoCdOptions, request: EngineRequest) -> GitOpsEngine:
    if options.server:
        return ArgoCd(options, request, open_server(options, request.root))
    return ArgoCd(options, request, ClusterApplications(open_cluster(options, request.root)))


@hookimpl
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    yield GitOpsEnginePlugin("argocd", ArgoCdOptions, _connect, verdicts, settle=5.0)
