"""Flux: Kustomizations with their sources, what they apply, and the HelmReleases among it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipegraft.core.errors import UsageError
from pipegraft.core.fields import Field, model_validator
from pipegraft.core.hookspecs import hookimpl
from pipegraft.core.plugin_values import GitOpsEnginePlugin
from pipegraft.gate.adapters.cluster_reader import WORKLOADS, ClusterReader, Reference
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, Status
from pipegraft.gate.verdicts.flux import verdicts
from pipegraft.kubernetes.adapters.cluster import Cluster, open_cluster
from pipegraft.kubernetes.kinds import Kind
from pipegraft.kubernetes.model import ClusterOptions

__all__ = ["Flux", "FluxOptions", "pipegraft_gitops_engines"]

KUSTOMIZATION = Kind("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations")
GIT_REPOSITORY = Kind("source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories")
HELM_RELEASE = Kind("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases")
REQUESTED = "reconcile.fluxcd.io/requestedAt"
"""Annotation that asks a controller to look now; any new value will do."""
_HELM_LABEL = "helm.toolkit.fluxcd.io/name"
"""Label that helm-controller puts on everything of a release."""

Object = Mapping[str, Any]
Key = tuple[str, str]


class FluxOptions(ClusterOptions):
    """Keys of `gate:` for Flux."""

    kustomization: str | None = None
    """The Kustomization."""
    kustomizations: tuple[str, ...] = ()
    """Several Kustomizations."""
    selector: Mapping[str, str] = {}
    """Labels of the Kustomizations."""
    expect: int | None = Field(default=None, ge=1)
    """How many Kustomizations there must be; needed with `selector`."""
    children: bool = True
    """Wait for the Kustomizations that these declare, too."""
    namespace: str = "flux-system"
    """Namespace of the Kustomizations."""
    repository: str | None = None
    """URL of the IaC repository as Flux knows it; `iac.repository` if absent."""
    workloads: bool = True
    """Look at workloads and pods, where they may be read."""

    @model_validator
    def _some_are_named(self) -> None:
        if not (self.names or self.selector):
            raise ValueError("expected 'kustomization', 'kustomizations' or 'selector'")
        if self.selector and self.expect is None:
            raise ValueError("'selector' needs 'expect': how many Kustomizations there must be")

    @property
    def names(self) -> tuple[str, ...]:
        """Kustomizations that are named."""
        return ((self.kustomization,) if self.kustomization else ()) + self.kustomizations


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

    def observe(self) -> Status:
        self._reader.begin()
        chosen = self._chosen()
        entries = [self._entry(item) for item in chosen.values()]
        if self._options.children:
            seen = set(chosen)
            entries += [self._entry(item, child=True) for item in self._below(chosen.values(), seen)]
        return {"applications": entries, "expected": self._options.expect or len(self._options.names)}

    def request_sync(self) -> None:
        """Ask the sources to fetch; what they feed follows by itself."""
        asked = {"metadata": {"annotations": {REQUESTED: self._cluster.now().isoformat()}}}
        for namespace, name in {self._source_key(item) for item in self._chosen().values()}:
            self._cluster.merge(GIT_REPOSITORY, name, asked, namespace)

    def wait(self, seconds: float) -> None:
        self._reader.wait(seconds)

    def explain(self) -> Sequence[str]:
        return self._reader.explain()

    def _chosen(self) -> dict[Key, Object]:
        known = self._reader.objects(KUSTOMIZATION, self._options.namespace)
        found: dict[Key, Object] = {}
        for name in self._options.names:
            key = (self._options.namespace, name)
            if key not in known:
                raise _unknown(name, self._options.namespace, [one for _, one in known])
            found[key] = known[key]
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
            for kind, key in _inventory(parent):
                if kind != KUSTOMIZATION.kind or key in seen:
                    continue
                child = self._reader.objects(KUSTOMIZATION, key[0]).get(key)
                if child is not None and _source_kind(child) == GIT_REPOSITORY.kind:
                    seen.add(key)
                    yield child
                    yield from self._below([child], seen)

    def _entry(self, item: Object, *, child: bool = False) -> Mapping[str, object]:
        key = self._source_key(item)
        source = self._reader.objects(GIT_REPOSITORY, key[0]).get(key)
        if source is None:
            raise UsageError(
                f"Kustomization {item['metadata']['name']} has the source GitRepository {'/'.join(key)},"
                " which does not exist"
            )
        declared = list(_inventory(item))
        keys = [one for kind, one in declared if kind == HELM_RELEASE.kind]
        releases = [
            release for one in keys if (release := self._reader.objects(HELM_RELEASE, one[0]).get(one))
        ]
        entry: dict[str, object] = {
            "source": source,
            "kustomization": item,
            "helm-releases": releases,
            "repository": self._options.repository or self._request.repository or None,
            "branch": self._request.branch,
            "child": child,
            "now": self._cluster.now().isoformat(),
        }
        if self._options.workloads:
            entry |= self._reader.workloads(
                (Reference(kind, *one) for kind, one in declared if kind in WORKLOADS),
                [(_target(release), _HELM_LABEL, release["metadata"]["name"]) for release in releases],
                needed=not (item["spec"].get("wait") or item["spec"].get("healthChecks")),
            )
        return entry

    def _source_key(self, item: Object) -> Key:
        reference = item["spec"].get("sourceRef") or {}
        if _source_kind(item) != GIT_REPOSITORY.kind:
            raise UsageError(
                f"Kustomization {item['metadata']['name']} takes its files from a {_source_kind(item)};"
                " the gate follows commits, so it needs a GitRepository"
            )
        return reference.get("namespace") or item["metadata"]["namespace"], reference["name"]


def _source_kind(item: Object) -> str:
    return str((item["spec"].get("sourceRef") or {}).get("kind"))


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


def _unknown(name: str, namespace: str, known: Sequence[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, 1)
    there = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(known)[:20]) or 'none'}"
    return UsageError(
        f"Flux has no Kustomization '{name}' in namespace '{namespace}'; {there}",
        fix="check 'gate.kustomization', 'gate.namespace' and the cluster that is asked",
    )


def _connect(options: FluxOptions, request: EngineRequest) -> GitOpsEngine:
    return Flux(options, request, open_cluster(options, request.root))


@hookimpl
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    yield GitOpsEnginePlugin("flux", FluxOptions, _connect, verdicts)
