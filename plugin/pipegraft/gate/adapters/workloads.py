"""What the engines read of a cluster, and the engine that is nothing else: plain workloads.

Whoever applies these, each names the commit it is of in an annotation.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from pipegraft.core.errors import AccessDenied, PipegraftError, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.gate.conditions import Object, name_of
from pipegraft.gate.hooks import GitOpsEnginePlugin
from pipegraft.gate.model import WorkloadsOptions
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, Status
from pipegraft.gate.workloads import TEMPLATED, verdict
from pipegraft.kubernetes.adapters.cluster import Cluster, open_cluster
from pipegraft.kubernetes.adapters.watching import Key, Watched
from pipegraft.kubernetes.model import (
    CRON_JOB,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    INGRESS,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    REPLICA_SET,
    SERVICE,
    WORKLOADS,
    Kind,
)

__all__ = ["ClusterReader", "Reference", "Workloads", "explain", "pipegraft_gitops_engines", "unknown"]


_MOST_PODS, _LOG_LINES, _MOST_EVENTS = 3, 10, 10
_MANY = ("Pod", "ReplicaSet")
"""Kinds of which a workload has several, and that only stand for it."""


def explain(cluster: Cluster, items: Sequence[Object]) -> list[str]:
    """Events and last log lines of the pods that are not ready, or events of the workloads; never raises.

    Arguments:
        items: workloads, and the ReplicaSets and pods that they own.
    """
    pods = [item for item in items if item["kind"] == "Pod" and not _is_ready(item)]
    others = [item for item in items if item["kind"] not in _MANY]
    lines: list[str] = []
    for item in [*pods[:_MOST_PODS], *([] if pods else others)]:
        for part in (_events, _logs):
            try:
                lines += part(cluster, item)
            except PipegraftError as error:
                lines.append(f"not to be had: {error.problem.message}")
    return lines


def unknown(missing: str, name: str, known: Iterable[str], keys: str) -> UsageError:
    """The error for a name that an engine does not know.

    Arguments:
        missing: what there is not, as a sentence.
        known: the names that there are.
        keys: what to check.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    there = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names[:20]) or 'none'}"
    return UsageError(f"{missing}; {there}", fix=f"check {keys} and the cluster that is asked")


def _events(cluster: Cluster, item: Object) -> Iterator[str]:
    metadata = item["metadata"]
    fields = {"involvedObject.name": metadata["name"], "involvedObject.kind": item["kind"]}
    found = [
        one
        for one in cluster.find(EVENT, metadata["namespace"], fields=fields)
        if one.get("type") != "Normal"
    ]
    found.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))
    for one in found[-_MOST_EVENTS:]:
        message = " ".join(str(one.get("message", "")).split())
        yield f"event of {item['kind']} {metadata['name']}: {one.get('reason')}: {message}"


def _logs(cluster: Cluster, item: Object) -> Iterator[str]:
    if item["kind"] != "Pod":
        return
    metadata, status = item["metadata"], item.get("status") or {}
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            if container.get("ready") or not _has_run(container):
                continue
            ended = bool((container.get("lastState") or {}).get("terminated"))
            lines = cluster.log(
                metadata["name"], metadata["namespace"], container["name"], lines=_LOG_LINES, previous=ended
            )
            yield f"log of pod {metadata['name']}, container {container['name']}:"
            yield from (f"    {line}" for line in lines)


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _has_run(container: Object) -> bool:
    state, last = container.get("state") or {}, container.get("lastState") or {}
    return bool(last.get("terminated") or state.get("running") or state.get("terminated"))


_BESIDE = {
    kind.kind: kind
    for kind in (CRON_JOB, HORIZONTAL_POD_AUTOSCALER, PERSISTENT_VOLUME_CLAIM, SERVICE, INGRESS)
}
"""Kinds that tell why something waits, or what will run; who may not read them learns less."""
_MOST_NAMESPACES = 20
"""Namespaces whose workloads are watched at most: each costs a few connections."""


class Reference(NamedTuple):
    """A workload by its name."""

    kind: str
    namespace: str
    name: str


class ClusterReader:
    """The watches that one engine reads, and waits on.

    Arguments:
        cluster: where.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._news = threading.Event()
        self._watched: dict[tuple[Kind, str], Watched] = {}
        self._unread: set[tuple[Kind, str]] = set()
        self._namespaces: set[str] = set()
        self._hidden: set[tuple[Kind, str]] = set()
        self._refused = ""
        self._looked_at: list[Object] = []

    def begin(self, *, anew: bool = False) -> None:
        """A look begins: what happens from now on is news.

        Arguments:
            anew: list what is read in this look again, whatever its watch has told.
        """
        self._news.clear()
        self._unread = set(self._watched) if anew else set()
        self._looked_at = []

    def wait(self, seconds: float) -> None:
        """Return when something that was read has changed, after `seconds` at the latest."""
        self._news.wait(seconds)

    def objects(self, kind: Kind, namespace: str) -> Mapping[Key, Object]:
        """The objects of a kind in a namespace; see `Watched.objects`."""
        watched, place = self.watched(kind, namespace), (kind, namespace)
        anew = place in self._unread
        self._unread.discard(place)
        return watched.objects(anew=anew)

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An object by its name; listed anew where its watch knows none, for it may be a moment behind."""
        key = (namespace, name)
        return self.objects(kind, namespace).get(key) or self.watched(kind, namespace).objects(anew=True).get(
            key
        )

    def watched(self, kind: Kind, namespace: str) -> Watched:
        """The watch of a kind in a namespace."""
        if (kind, namespace) not in self._watched:
            watched = self._cluster.watched(kind, namespace)
            watched.listen(self._news.set)
            self._watched[kind, namespace] = watched
        return self._watched[kind, namespace]

    def workloads(
        self,
        references: Iterable[Reference],
        labelled: Iterable[tuple[str, str, str]] = (),
        *,
        needed: bool = False,
    ) -> Mapping[str, object]:
        """As `read_workloads`; nothing where we may not look or where there is too much to watch.

        Arguments:
            needed: nothing else tells how they are, so that failing to look is an error.
        """
        wanted, labels = set(references), set(labelled)
        if needed:
            return self.read_workloads(wanted, labels)
        spaces = {one.namespace for one in wanted} | {namespace for namespace, _, _ in labels}
        if len(self._namespaces | spaces) > _MOST_NAMESPACES or self._refused:
            return {}
        self._namespaces |= spaces
        try:
            return self.read_workloads(wanted, labels)
        except AccessDenied as error:
            self._refused = error.problem.message
            return {}

    def templates(self, references: Iterable[Reference]) -> Sequence[Object]:
        """Workloads alone, without their pods; none where we may not look or there is too much to watch."""
        wanted = {one for one in references if one.kind in TEMPLATED}
        spaces = {one.namespace for one in wanted}
        if len(self._namespaces | spaces) > _MOST_NAMESPACES or self._refused:
            return ()
        self._namespaces |= spaces
        try:
            return [item for space in spaces for item in self._chosen(space, wanted, frozenset())]
        except AccessDenied as error:
            self._refused = error.problem.message
            return ()

    def read_workloads(
        self, references: AbstractSet[Reference], labelled: AbstractSet[tuple[str, str, str]]
    ) -> Status:
        """``workloads``, ``owned`` (their ReplicaSets and pods) and ``now`` of a status.

        Arguments:
            references: workloads by name.
            labelled: workloads by namespace, label and value.

        Raises:
            AccessDenied, Unreachable: they cannot be read.
        """
        spaces = {one.namespace for one in references} | {namespace for namespace, _, _ in labelled}
        objects = [item for space in spaces for item in self._chosen(space, references, labelled)]
        owned = list(self._owned(spaces, objects))
        self._looked_at += [*objects, *owned]
        return {"workloads": objects, "owned": owned, "now": self._cluster.now().isoformat()}

    def explain(self) -> Sequence[str]:
        """Events and last log lines of the pods of the last look that are not ready; never raises."""
        if self._refused:
            return (f"workloads were not looked at: {self._refused}",)
        return explain(self._cluster, self._looked_at)

    def _chosen(
        self, space: str, wanted: AbstractSet[Reference], labels: AbstractSet[tuple[str, str, str]]
    ) -> Iterator[Object]:
        here = {(label, value) for namespace, label, value in labels if namespace == space}
        named = {one.kind for one in wanted if one.namespace == space}
        for kind in (WORKLOADS | _BESIDE).values():
            if kind.kind not in named and (not here or kind.kind not in TEMPLATED):
                continue
            for item in self._readable(kind, space):
                mine = set() if _is_run(item) else set((item["metadata"].get("labels") or {}).items())
                if Reference(kind.kind, space, item["metadata"]["name"]) in wanted or here & mine:
                    yield item

    def _readable(self, kind: Kind, space: str) -> Iterable[Object]:
        if (kind, space) in self._hidden:
            return ()
        try:
            return self.objects(kind, space).values()
        except AccessDenied:
            if kind.kind in WORKLOADS:
                raise
            self._hidden.add((kind, space))
            return ()

    def _owned(self, spaces: Iterable[str], objects: Sequence[Object]) -> Iterator[Object]:
        """ReplicaSets and pods that belong to the workloads."""
        owners = {item["metadata"].get("uid") for item in objects}
        for space in spaces:
            sets = [item for item in self.objects(REPLICA_SET, space).values() if _owners(item) & owners]
            yield from sets
            above = owners | {item["metadata"].get("uid") for item in sets}
            yield from (item for item in self.objects(POD, space).values() if _owners(item) & above)


def _owners(item: Object) -> set[str]:
    return {entry.get("uid") for entry in item["metadata"].get("ownerReferences") or ()}


def _is_run(item: Object) -> bool:
    """Whether a CronJob has made it, which may give it labels: how it ends says nothing of a release."""
    return any(entry.get("kind") == "CronJob" for entry in item["metadata"].get("ownerReferences") or ())


class Workloads:
    """`GitOpsEngine` over workloads.

    Arguments:
        options: which ones.
        cluster: where they run.
    """

    def __init__(self, options: WorkloadsOptions, cluster: Cluster) -> None:
        self._options = options
        self._reader = ClusterReader(cluster)

    def observe(self, *, anew: bool = False) -> Status:
        self._reader.begin(anew=anew)
        options = self._options
        pairs = [text.split("/", 1) for text in options.objects]
        named = [Reference(kind, options.namespace, name) for kind, name in pairs]
        found = self._reader.read_workloads(
            set(named),
            {(options.namespace, label, value) for label, value in options.selector.items()},
        )
        objects = [
            item
            for item in found["workloads"]
            if item["kind"] in WORKLOADS or f"{item['kind']}/{item['metadata']['name']}" in options.objects
        ]  # what a label finds beside them need not name its commit
        there = {name_of(item) for item in objects}
        called = [f"{one.kind} {one.namespace}/{one.name}" for one in named]
        return {
            "objects": objects,
            "missing": [name for name in called if name not in there],
            "owned": found["owned"],
            "now": found["now"],
            "expected": options.expect or len(pairs),
        }

    def request_sync(self) -> None:
        """Nobody to ask: whoever applies them does so by itself."""

    def wait(self, seconds: float) -> None:
        self._reader.wait(seconds)

    def explain(self) -> Sequence[str]:
        return self._reader.explain()


def _connect(options: WorkloadsOptions, request: EngineRequest) -> GitOpsEngine:
    return Workloads(options, open_cluster(options, request.root))


@hookimpl
def pipegraft_gitops_engines() -> Iterable[GitOpsEnginePlugin]:
    yield GitOpsEnginePlugin("workloads", WorkloadsOptions, _connect, verdict, names_commit=True)
