"""Flux: Kustomizations with their sources, what they apply, and the HelmReleases among it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipegraft.core.errors import AccessDenied, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.gate.adapters.workloads import ClusterReader, Reference, unknown
from pipegraft.gate.conditions import condition, expected_count, is_true, name_of
from pipegraft.gate.flux import REQUESTED, is_answered, is_younger, verdicts
from pipegraft.gate.hooks import GitOpsEnginePlugin
from pipegraft.gate.model import FluxOptions
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, Status
from pipegraft.gate.workloads import TEMPLATED
from pipegraft.kubernetes.adapters.cluster import Cluster, open_cluster
from pipegraft.kubernetes.model import Kind

__all__ = ["Flux", "pipegraft_gitops_engines"]

KUSTOMIZATION = Kind("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations")
GIT_REPOSITORY = Kind("source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories")
OCI_REPOSITORY = Kind("source.toolkit.fluxcd.io", "v1", "OCIRepository", "ocirepositories")
HELM_RELEASE = Kind("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases")
HELM_CHART = Kind("source.toolkit.fluxcd.io", "v1", "HelmChart", "helmcharts")
_OLDER = {OCI_REPOSITORY: replace(OCI_REPOSITORY, version="v1beta2")}
"""What Flux 2.3 to 2.5 serve, where it is not yet what is asked for."""
_CHARTS = {kind.kind: kind for kind in (HELM_CHART, OCI_REPOSITORY)}
_TELLING = {"Ready", "Stalled", "Remediated", "TestSuccess"}
"""Conditions by which an object says that it failed."""
_HELM_LABEL = "helm.toolkit.fluxcd.io/name"
"""Label that helm-controller puts on everything of a release."""

Object = Mapping[str, Any]
Key = tuple[str, str]


class Flux:
    """`GitOpsEngine` over Kustomizations.

    Arguments:
        options: which ones.
        request: the IaC repository they follow.
        cluster: where Flux runs.
    """

    def __init__(self, options: FluxOptions, request: EngineRequest, cluster: Cluster) -> None:
        self._options = options
        self._request = request
        self._cluster = cluster
        self._reader = ClusterReader(cluster)
        self._asked: dict[str, str] = {}
        self._refused: set[str] = set()
        self._hidden: set[Kind] = set()
        self._served: dict[Kind, Kind] = {}
        self._began: str | None = None

    def observe(self, *, anew: bool = False) -> Status:
        self._reader.begin(anew=anew)
        self._began = self._began or self._now()
        chosen = self._chosen()
        below = list(self._below(chosen.values(), set(chosen))) if self._options.children else []
        entries = [self._entry(item) for item in chosen.values()]
        entries += [self._entry(item, child=True) for item in below]
        expected = expected_count(
            self._options.names,
            len(below),
            self._options.expect,
            open_ended=bool(self._options.selector),
        )
        return {"applications": entries, "expected": expected}

    def request_sync(self) -> None:
        """Ask the sources to fetch; what they feed follows by itself."""
        self._began = self._began or self._now()
        for key in {self._source_key(item) for item in self._chosen().values()}:
            self._ask(GIT_REPOSITORY, *key)

    def wait(self, seconds: float) -> None:
        self._reader.wait(seconds)

    def explain(self) -> Sequence[str]:
        return self._reader.explain()

    def _now(self) -> str:
        return self._cluster.now().isoformat()

    def _ask(self, kind: Kind, namespace: str, name: str) -> None:
        """Ask for a look, and remember by which word it will be answered."""
        word = self._now()
        wanted = {"metadata": {"annotations": {REQUESTED: word}}}
        changed = self._cluster.merge(kind, name, wanted, namespace)
        self._asked[name_of(changed)] = word
        self._reader.watched(kind, namespace).take(changed)

    def _ask_what_failed_before(self, source: Object | None, items: Iterable[tuple[Kind, Object]]) -> None:
        """Ask those for a new attempt that failed before we came, once their source has nothing new."""
        ours = source is not None and source["kind"] == GIT_REPOSITORY.kind
        if source and ours and not is_answered(source, self._asked):
            return
        for kind, item in items:
            failed = [entry for entry in _failures(item) if not is_younger(entry, self._began or "")]
            if failed and (not ours or _has_nothing_new(item, source or {})):
                self._ask_once(kind, item)

    def _ask_once(self, kind: Kind, item: Object) -> None:
        """Ask, where that was not done yet and we may."""
        name = name_of(item)
        if name in self._asked or name in self._refused:
            return
        try:
            self._ask(kind, item["metadata"]["namespace"], item["metadata"]["name"])
        except AccessDenied:
            self._refused.add(name)

    def _chosen(self) -> dict[Key, Object]:
        known = self._reader.objects(KUSTOMIZATION, self._options.namespace)
        found: dict[Key, Object] = {}
        for name in self._options.names:
            item = self._reader.find(KUSTOMIZATION, self._options.namespace, name)
            if item is None:
                raise unknown(
                    f"Flux has no Kustomization '{name}' in namespace '{self._options.namespace}'",
                    name,
                    (one for _, one in known),
                    "'gate.kustomization', 'gate.namespace'",
                )
            found[self._options.namespace, name] = item
        wanted = self._options.selector.items()
        if wanted:
            found |= {
                key: item
                for key, item in known.items()
                if wanted <= (item["metadata"].get("labels") or {}).items()
            }
        return found

    def _below(self, parents: Iterable[Object], seen: set[Key]) -> Iterator[Object]:
        """Kustomizations that Kustomizations declare, and so on down."""
        for parent in parents:
            for kind, key in () if _is_elsewhere(parent) else _inventory(parent):
                if kind != KUSTOMIZATION.kind or key in seen:
                    continue
                child = self._reader.objects(KUSTOMIZATION, key[0]).get(key)
                if child is not None:
                    seen.add(key)
                    yield child
                    yield from self._below([child], seen)

    def _entry(self, item: Object, *, child: bool = False) -> Mapping[str, object]:
        source = self._source(item, child=child)
        declared = () if _is_elsewhere(item) else tuple(_inventory(item))
        keys = [one for kind, one in declared if kind == HELM_RELEASE.kind]
        releases = [
            release for one in keys if (release := self._reader.objects(HELM_RELEASE, one[0]).get(one))
        ]
        looked = [(KUSTOMIZATION, item), *((HELM_RELEASE, release) for release in releases)]
        self._ask_what_failed_before(source, looked)
        entry: dict[str, object] = {
            "source": source,
            "kustomization": item,
            "helm-releases": releases,
            "helm-charts": {name_of(one): chart for one in releases if (chart := self._chart(one))},
            "hidden-charts": [name_of(one) for one in releases if self._chart_kind(one) in self._hidden],
            "repository": self._options.repository or self._request.repository or None,
            "branch": self._request.branch,
            "child": child,
            "asked": dict(self._asked),
            "refused": sorted(self._refused),
            "began": self._began,
            "now": self._now(),
        }
        if self._options.workloads and not _is_elsewhere(item):
            entry |= self._reader.workloads(
                (Reference(kind, *one) for kind, one in declared if kind in TEMPLATED),
                [
                    (_target(release), _HELM_LABEL, release["metadata"]["name"])
                    for release in releases
                    if not _is_elsewhere(release)
                ],
                needed=not (item["spec"].get("wait") or item["spec"].get("healthChecks")),
            )
        return entry

    def _source(self, item: Object, *, child: bool) -> Object | None:
        """Where a Kustomization has its files from; None for a child's where that is not to be read."""
        if child and _source_kind(item) != GIT_REPOSITORY.kind:
            wanted = _source_kind(item) == OCI_REPOSITORY.kind
            return self._readable(OCI_REPOSITORY, *_source_place(item)) if wanted else None
        key = self._source_key(item)
        source = self._reader.find(GIT_REPOSITORY, *key)
        if source is None:
            raise UsageError(
                f"Kustomization {item['metadata']['name']} has the source GitRepository {'/'.join(key)},"
                " which does not exist"
            )
        if child:
            self._ask_once(GIT_REPOSITORY, source)
        return source

    def _chart(self, release: Object) -> Object | None:
        """What holds the chart of a release, where that may be read."""
        reference = release["spec"].get("chartRef")
        if reference:
            kind, namespace = self._chart_kind(release), reference.get("namespace")
            place = (namespace or release["metadata"]["namespace"], reference["name"])
            return self._readable(kind, *place) if kind else None
        namespace, _, name = str((release.get("status") or {}).get("helmChart") or "").partition("/")
        return self._readable(HELM_CHART, namespace, name) if name else None

    def _chart_kind(self, release: Object) -> Kind | None:
        reference = release["spec"].get("chartRef")
        return _CHARTS.get(reference["kind"]) if reference else HELM_CHART

    def _readable(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An object, where its kind may be read in a version that is served."""
        if kind in self._hidden:
            return None
        for served in filter(None, (self._served.get(kind, kind), _OLDER.get(kind))):
            try:
                found = self._reader.objects(served, namespace).get((namespace, name))
            except (AccessDenied, UsageError):
                continue
            self._served[kind] = served
            return found
        self._hidden.add(kind)
        return None

    def _source_key(self, item: Object) -> Key:
        if _source_kind(item) != GIT_REPOSITORY.kind:
            raise UsageError(
                f"Kustomization {item['metadata']['name']} takes its files from a {_source_kind(item)};"
                " the gate follows commits, so it needs a GitRepository"
            )
        return _source_place(item)


def _failures(item: Object) -> Iterator[Mapping[str, Any]]:
    """Conditions that say that something went wrong."""
    for entry in (item.get("status") or {}).get("conditions") or ():
        bad = "True" if entry.get("type") in {"Stalled", "Remediated"} else "False"
        if entry.get("type") in _TELLING and entry.get("status") == bad:
            yield entry


def _has_nothing_new(item: Object, source: Object) -> bool:
    """Whether an object works on what its source has now, or on nothing: it then rests until it is asked."""
    if item["kind"] != KUSTOMIZATION.kind or is_true(item, "Stalled"):
        return True
    revision = ((source.get("status") or {}).get("artifact") or {}).get("revision")
    status = item.get("status") or {}
    doing = condition(item, "Reconciling")
    return bool(revision) and (
        status.get("lastAttemptedRevision") == revision or str(revision) in str(doing.get("message"))
    )


def _is_elsewhere(item: Object) -> bool:
    """Whether what it applies is in another cluster: what has the same name here is something else."""
    return bool(item["spec"].get("kubeConfig"))


def _source_kind(item: Object) -> str:
    return str((item["spec"].get("sourceRef") or {}).get("kind"))


def _source_place(item: Object) -> Key:
    reference = item["spec"]["sourceRef"]
    return reference.get("namespace") or item["metadata"]["namespace"], reference["name"]


def _target(release: Object) -> str:
    """Namespace of what a release installs."""
    return str(release["spec"].get("targetNamespace") or release["metadata"]["namespace"])


def _inventory(item: Object) -> Iterator[tuple[str, Key]]:
    """Kind, namespace and name of what a Kustomization applied: ids are ``namespace_name_group_kind``."""
    entries = ((item.get("status") or {}).get("inventory") or {}).get("entries") or ()
    for entry in entries:
        parts = str(entry.get("id", "")).split("_")
        if len(parts) >= 4:
            yield parts[-1], (parts[0], "_".join(parts[1:-2]))


def _connect(options: FluxOptions, request: EngineRequest) -> GitOpsEngine:
    return Flux(options, request, open_cluster(options, request.root))


@hookimpl
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    yield GitOpsEnginePlugin("flux", FluxOptions, _connect, verdicts)
