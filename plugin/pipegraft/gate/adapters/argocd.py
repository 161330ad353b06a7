"""Argo CD: Applications, by the Kubernetes API or by Argo CD's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

from pipegraft.core.errors import AccessDenied, PipegraftError, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.gate.adapters.argocd_server import key_of, open_server, rolls, set_of
from pipegraft.gate.adapters.workloads import ClusterReader, Reference, unknown
from pipegraft.gate.argocd import REFRESH, applied, verdicts
from pipegraft.gate.argocd_sync import can_sync, is_here
from pipegraft.gate.conditions import expected_count, time_of
from pipegraft.gate.hooks import GitOpsEnginePlugin
from pipegraft.gate.model import ArgoCdOptions
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, Status
from pipegraft.gate.workloads import KINDS
from pipegraft.kubernetes.adapters.cluster import Cluster, open_cluster
from pipegraft.kubernetes.model import Kind

__all__ = ["APPLICATION", "Applications", "ArgoCd", "ClusterApplications", "pipegraft_gitops_engines"]

APPLICATION = Kind("argoproj.io", "v1alpha1", "Application", "applications")
APPLICATION_SET = Kind("argoproj.io", "v1alpha1", "ApplicationSet", "applicationsets")
PROJECT = Kind("argoproj.io", "v1alpha1", "AppProject", "appprojects")
_OWN = "argocd"
"""Namespace of Argo CD where none is named."""
_TRACKED = "argocd.argoproj.io/tracking-id"
"""Annotation by which Argo CD knows what it has applied: ``APPLICATION:GROUP/KIND:NAMESPACE/NAME``."""

Key = tuple[str, str]
Object = Mapping[str, Any]


class Applications(Protocol):
    """How Argo CD is asked."""

    def begin(self, *, anew: bool) -> None:
        """A look begins: what happens from now on is news; `anew`: read everything again."""

    def read(self, namespace: str | None) -> Mapping[Key, Object]:
        """The Applications of a namespace, Argo CD's own if None, by namespace and name."""

    def ask(self, application: Object, *, hard: bool) -> None:
        """Ask for a comparison now; `hard` forgets cached manifests, too."""

    def is_answered(self, application: Object) -> bool:
        """Whether this is what Argo CD found when it was asked, or later."""

    def evidence(self, application: Object, applied: Sequence[Object]) -> Mapping[str, object]:
        """What is known beside the Application itself.

        ``can-sync``, ``rolling``, ``workloads``, ``owned``, ``tree`` and ``now`` of a status, each where it
        is to be had.

        Arguments:
            applied: entries of resources whose pods may tell something; empty: do not look at them.
        """

    def templates(self, application: Object, applied: Sequence[Object]) -> Sequence[Object]:
        """Workloads as they stand in the cluster, where that is to be had; the images they run are read."""

    def wait(self, seconds: float) -> None:
        """Return when there may be news."""

    def explain(self, applications: Sequence[Object]) -> Sequence[str]:
        """What more is known of why these are not well."""


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
        self._asked: set[Key] = set()
        self._seen: list[Object] = []
        self._unseen: set[str] = set()

    def observe(self, *, anew: bool = False) -> Status:
        self._applications.begin(anew=anew)
        chosen, below = self._all()
        self._seen = [*chosen, *below]
        for app in self._seen:
            if key_of(app) not in self._asked:
                with suppress(PipegraftError):  # the next look tells what is wrong
                    self._ask(app, hard=False)
        entries = [
            *(self._entry(app) for app in chosen),
            *(self._entry(app, child=True) for app in below),
        ]
        open_ended = bool(self._options.selector or self._options.application_set)
        expected = expected_count(
            self._options.names, len(below) + len(self._unseen), self._options.expect, open_ended=open_ended
        )
        return {"applications": entries, "expected": expected, "unseen": sorted(self._unseen)}

    def request_sync(self) -> None:
        """Ask for all that were not asked yet; again, and without caches, for those that are not well."""
        chosen, below = self._all()
        for app in [*chosen, *below]:
            again = key_of(app) in self._asked
            if not (again and self._applications.is_answered(app) and _is_well(app)):
                self._ask(app, hard=again)

    def wait(self, seconds: float) -> None:
        self._applications.wait(seconds)

    def explain(self) -> Sequence[str]:
        try:
            return self._applications.explain([app for app in self._seen if not _is_well(app)])
        except PipegraftError as error:
            return (f"not to be had: {error.problem.message}",)

    def _ask(self, app: Object, *, hard: bool) -> None:
        self._asked.add(key_of(app))
        self._applications.ask(app, hard=hard)

    def _all(self) -> tuple[list[Object], list[Object]]:
        """Those that are named or selected, and those that they declare."""
        known = self._applications.read(self._options.namespace)
        if set(self._options.names) - {name for _, name in known}:  # what tells of changes may be behind
            self._applications.begin(anew=True)
            known = self._applications.read(self._options.namespace)
        chosen = self._chosen(known)
        self._unseen = set()
        seen = set(chosen)
        below = list(self._below(chosen.values(), seen)) if self._options.children else []
        return list(chosen.values()), below

    def _chosen(self, known: Mapping[Key, Object]) -> dict[Key, Object]:
        options = self._options
        mine = {key: app for key, app in known.items() if _is_in(app, options)}
        found = {key: app for key, app in mine.items() if _is_selected(app, options)}
        for name in options.names:
            named = {key: app for key, app in mine.items() if key[1] == name}
            if not named:
                place = f" in namespace '{options.namespace}'" if options.namespace else ""
                project = f" of project '{options.project}'" if options.project else ""
                raise unknown(
                    f"Argo CD has no Application '{name}'{place}{project} that we may read",
                    name,
                    (key[1] for key in mine),
                    "'gate.application', 'gate.namespace', 'gate.project'",
                )
            found |= named
        return found

    def _below(self, parents: Iterable[Object], seen: set[Key]) -> Iterator[Object]:
        """Applications that Applications declare, and so on down."""
        for parent in parents:
            for item in (parent.get("status") or {}).get("resources") or ():
                if item.get("kind") != "Application" or item.get("group") != "argoproj.io":
                    continue
                key = (item.get("namespace") or parent["metadata"].get("namespace", ""), item["name"])
                child = self._child(key, parent)
                if child is None:
                    self._unseen.add("/".join(key))
                elif key not in seen:
                    seen.add(key)
                    yield child
                    yield from self._below([child], seen)

    def _child(self, key: Key, parent: Object) -> Object | None:
        """What a parent declares, if it can be seen; the cluster may be this one by another name."""
        if is_here(parent):
            return self._applications.read(key[0]).get(key)
        try:
            found = self._applications.read(key[0]).get(key)
        except (AccessDenied, UsageError):
            return None
        return found if found and _may_be_of(found, parent) else None

    def _entry(self, app: Object, *, child: bool = False) -> Mapping[str, object]:
        entry: dict[str, object] = {
            "application": app,
            "answered": key_of(app) in self._asked and self._applications.is_answered(app),
            "repository": self._options.repository or self._request.repository or None,
            "branch": self._request.branch,
            "child": child,
        }
        items = [item for item in applied(app) if item.get("kind") in KINDS and item.get("name")]
        if not self._options.workloads:
            items = []
        if _is_well(app):
            return {**entry, "templates": self._applications.templates(app, items)}
        return {**entry, **self._applications.evidence(app, items)}


class ClusterApplications:
    """`Applications` over a cluster.

    Arguments:
        cluster: the one Argo CD runs in.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._reader = ClusterReader(cluster)
        self._may_read_projects = True
        self._asked_at: dict[tuple[str, str], datetime] = {}
        self._annotated: set[tuple[str, str]] = set()

    def begin(self, *, anew: bool) -> None:
        self._reader.begin(anew=anew)

    def read(self, namespace: str | None) -> Mapping[tuple[str, str], Object]:
        return self._reader.objects(APPLICATION, namespace or _OWN)

    def ask(self, application: Object, *, hard: bool) -> None:
        """A normal refresh resolves the branch anew; a hard one forgets cached manifests too."""
        metadata = application["metadata"]
        self._asked_at.setdefault(key_of(application), self._cluster.now())
        wanted = {"metadata": {"annotations": {REFRESH: "hard" if hard else "normal"}}}
        changed = self._cluster.merge(APPLICATION, metadata["name"], wanted, metadata["namespace"])
        self._annotated.add(key_of(application))
        self._reader.watched(APPLICATION, metadata["namespace"]).take(changed)

    def is_answered(self, application: Object) -> bool:
        """Argo CD takes the annotation away with what it found; who may not write it goes by the time."""
        if REFRESH in (application["metadata"].get("annotations") or {}):
            return False
        key = key_of(application)
        if key in self._annotated:
            return True
        looked = time_of((application.get("status") or {}).get("reconciledAt"))
        return key in self._asked_at and looked >= self._asked_at[key]

    def evidence(self, application: Object, applied: Sequence[Object]) -> Mapping[str, object]:
        found: dict[str, object] = {"now": self._cluster.now().isoformat()}
        if ((application.get("status") or {}).get("sync") or {}).get("status") == "OutOfSync":
            found["can-sync"] = self._can_sync(application)
            found["rolling"] = self._is_rolling(application)
        named = list(_references(application, applied))
        return {**found, **self._reader.workloads(named)} if named else found

    def templates(self, application: Object, applied: Sequence[Object]) -> Sequence[Object]:
        return self._reader.templates(_references(application, applied))

    def wait(self, seconds: float) -> None:
        self._reader.wait(seconds)

    def explain(self, applications: Sequence[Object]) -> Sequence[str]:
        del applications  # only workloads of those that are not well were looked at
        return self._reader.explain()

    def _is_rolling(self, application: Object) -> bool | None:
        """Whether its ApplicationSet syncs it; None where that may not be read."""
        name, namespace = set_of(application), application["metadata"]["namespace"]
        if not name:
            return False
        try:
            return rolls(self._reader.objects(APPLICATION_SET, namespace).get((namespace, name)) or {})
        except (AccessDenied, UsageError):
            return None

    def _can_sync(self, application: Object) -> bool | None:
        """What the windows of its project say now; None where those may not be read."""
        name = application["spec"].get("project") or "default"
        if not self._may_read_projects:
            return None
        try:
            projects = self._reader.objects(PROJECT, _controller(application))
        except (AccessDenied, UsageError):
            self._may_read_projects = False
            return None
        project = projects.get((_controller(application), name)) or {}
        windows = (project.get("spec") or {}).get("syncWindows") or ()
        return can_sync(windows, application, self._cluster.now())


def _controller(application: Object) -> str:
    """Namespace of the Argo CD that looks after an Application; its project is there."""
    told = (application.get("status") or {}).get("controllerNamespace")
    return str(told or application["metadata"]["namespace"])


def _references(application: Object, applied: Sequence[Object]) -> Iterator[Reference]:
    """What an Application has applied, if that is in the cluster that is asked."""
    own = (application["spec"].get("destination") or {}).get("namespace") or ""
    if is_here(application):
        for item in applied:
            yield Reference(item["kind"], item.get("namespace") or own, item["name"])


def _may_be_of(app: Object, parent: Object) -> bool:
    """Whether an Application may be declared by another: its tracking id, where it has one, tells by whom."""
    told = (app["metadata"].get("annotations") or {}).get(_TRACKED)
    namespace, name = key_of(parent)
    return not told or told.partition(":")[0] in {name, f"{namespace}_{name}"}


def _is_in(app: Object, options: ArgoCdOptions) -> bool:
    """Whether an Application is in the namespace and the project that are named."""
    project = app["spec"].get("project") or "default"
    return options.namespace in {None, key_of(app)[0]} and options.project in {None, project}


def _is_selected(app: Object, options: ArgoCdOptions) -> bool:
    metadata = app["metadata"]
    labels = metadata.get("labels") or {}
    if options.selector and options.selector.items() <= labels.items():
        return True
    return options.application_set is not None and set_of(app) == options.application_set


def _is_well(app: Object) -> bool:
    status = app.get("status") or {}
    synced = (status.get("sync") or {}).get("status") == "Synced"
    moving = (status.get("operationState") or {}).get("phase") == "Running"
    return synced and not moving and (status.get("health") or {}).get("status") == "Healthy"


def _connect(options: ArgoCdOptions, request: EngineRequest) -> GitOpsEngine:
    if options.server:
        return ArgoCd(options, request, open_server(options, request.root))
    return ArgoCd(options, request, ClusterApplications(open_cluster(options, request.root)))


@hookimpl
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    yield GitOpsEnginePlugin("argocd", ArgoCdOptions, _connect, verdicts, settle=5.0)
