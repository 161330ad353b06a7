"""Brings applications about as objects of a Kubernetes cluster, whose own controllers run them.

Server-side apply with a field manager of our own; what belongs to an application is known by ApplySet
labels, which kubectl and other tools respect. Sources: Kubernetes documentation "Server-Side Apply",
KEP-3659 (ApplySet: ``kubectl apply --prune`` redesign).
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from pipegraft.appspec.rendering.kubernetes import render_kubernetes
from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.spec import Resolved
from pipegraft.core.errors import Locked, PipegraftError, UsageError
from pipegraft.engine.usecases.application import Application, Desired, Place, Turn
from pipegraft.engine.usecases.status import Outcome, describe_cluster
from pipegraft.engine.workloads import Plan
from pipegraft.gate.adapters.workloads import explain
from pipegraft.gate.conditions import name_of
from pipegraft.gate.ports import State, Verdict
from pipegraft.gate.workloads import health
from pipegraft.kubernetes.adapters.cluster import Cluster
from pipegraft.kubernetes.adapters.watching import Watched
from pipegraft.kubernetes.model import CONFIG_MAP, CRON_JOB, DEPLOYMENT, JOB, POD, REPLICA_SET, Kind

__all__ = ["MANAGER", "ClusterObjects", "ClusterOperator"]


_AGAIN = 30.0
"""Seconds after which everything is applied again, whatever the watches told."""
_RETRY = 2.0
"""Seconds before something that went wrong is tried again."""
MANAGER = "pipegraft-engine"
"""Field manager: owner of every field the app spec declares."""

_PART_OF = "applyset.kubernetes.io/part-of"
_ID = "applyset.kubernetes.io/id"
_TOOLING = "applyset.kubernetes.io/tooling"
_KINDS = "applyset.kubernetes.io/contains-group-kinds"
_OWN_KINDS = "pipegraft.dev/kinds"
"""The same with versions, without which an object of a custom resource cannot be found again."""
_LAST = ("HTTPRoute", "VirtualService", "Ingress")
"""Kinds that send requests somewhere: after what they lead to."""
_SERVED = (
    Kind("", "v1", "Service", "services"),
    Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("networking.k8s.io", "v1", "Ingress", "ingresses"),
    Kind("apps.kruise.io", "v1beta1", "SidecarSet", "sidecarsets", namespaced=False),
    CONFIG_MAP,
    CRON_JOB,
    DEPLOYMENT,
    JOB,
)

Object = Mapping[str, Any]


@dataclass
class _Run:
    """One application's work."""

    objects: ClusterObjects
    namespace: str
    job: Future[Outcome] | None = None
    outcome: Outcome = field(default_factory=lambda: Outcome(""))
    pruned: str = ""
    seen: int = -1
    due: float = 0.0


class ClusterOperator:
    """`Operator` over a cluster. What it applied goes on when the engine ends.

    Arguments:
        connect: application and namespace → its objects.
        submit: has work done beside the loop.
        platform: what resources are provided by.
        report: takes one line for people on everything that is deleted.
    """

    def __init__(
        self,
        connect: Callable[[str, str], ClusterObjects],
        submit: Callable[[Callable[[], Outcome]], Future[Outcome]],
        platform: Platform,
        *,
        report: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.platform = platform
        self._connect = connect
        self._submit = submit
        self._report = report
        self._clock = clock
        self._changes = 0
        self._runs: dict[Place, _Run] = {}

    def changed(self) -> None:
        """Something in the cluster did; may be called from any thread."""
        self._changes += 1

    def understand(self, resolved: Resolved) -> Plan:
        render_kubernetes(resolved)
        return Plan()

    def turn(self, applications: Sequence[Application]) -> Sequence[Turn]:
        return [self._turn(application) for application in applications]

    def end(self) -> None:
        """Nothing: the cluster runs it, and goes on."""

    def _turn(self, application: Application) -> Turn:
        desired = application.desired
        if desired is None:
            return Turn(application, describe_cluster(application, Outcome("")))
        run = self._run(application.place, desired)
        if run.job is not None and run.job.done():
            run.outcome, run.job = run.job.result(), None
            failed = run.outcome.trouble or run.outcome.refused
            run.due = self._clock() + (_RETRY if failed else _AGAIN)
        stale = run.outcome.revision != desired.revision or run.seen != self._changes
        if run.job is None and (stale or self._clock() >= run.due):
            run.seen = self._changes
            run.job = self._submit(lambda: self._work(run, desired))
        if run.outcome.done and run.outcome.revision == desired.revision:
            application = replace(application, live=desired.revision)
        return Turn(application, describe_cluster(application, run.outcome))

    def _run(self, place: Place, desired: Desired) -> _Run:
        namespace = desired.resolved.namespace
        run = self._runs.get(place)
        if run is None or run.namespace != namespace:
            run = self._runs[place] = _Run(self._connect(desired.name, namespace), namespace)
        return run

    def _work(self, run: _Run, desired: Desired) -> Outcome:
        """Apply, look, and once all is well delete what is no longer declared."""
        revision = desired.revision
        objects = render_kubernetes(desired.resolved, revision)
        refused: tuple[str, ...] = ()
        verdict = None
        try:
            refused = tuple(run.objects.apply(objects))
            verdict = run.objects.health(objects)
            if Outcome(revision, refused, verdict).done and run.pruned != revision:
                for gone in run.objects.prune(objects):
                    self._report(f"{desired.name}: deleted {gone}")
                run.pruned = revision
        except PipegraftError as error:
            return Outcome(revision, refused, verdict, str(error))
        return Outcome(revision, refused, verdict)


class ClusterObjects:
    """The objects of one application in one namespace.

    Arguments:
        application: its name.
        changed: called after every change of anything like them, from any thread.
    """

    def __init__(
        self, cluster: Cluster, application: str, namespace: str, changed: Callable[[], None]
    ) -> None:
        self._cluster = cluster
        self._name = f"pipegraft-{application}"
        self._namespace = namespace
        self._changed = changed
        self._set = _set_id(self._name, namespace)
        self._applied: dict[tuple[Kind, str], tuple[str, str]] = {}
        self._recorded: frozenset[Kind] | None = None

    def apply(self, objects: Sequence[Object]) -> list[str]:
        """Make the cluster have these: what is missing, differs from before, or was changed by somebody.

        Returns:
            What was refused, one sentence each; everything else is applied.

        Raises:
            Unreachable, AccessDenied: the API did not answer or refused.
        """
        self._record(frozenset(map(_kind_of, objects)) | self._known())
        refused = []
        for item in sorted(objects, key=lambda one: one["kind"] in _LAST):
            try:
                self._apply(item)
            except (Locked, UsageError) as error:
                refused.append(f"{item['kind']} {item['metadata']['name']}: {error}")
        return refused

    def health(self, objects: Sequence[Object]) -> Verdict:
        """Whether the workloads among them run as declared; with a failure, what its pods and logs say."""
        live = [found for item in objects if (found := self._live(item)) is not None]
        owned = [item for kind in (REPLICA_SET, POD) for item in self._watched(kind).objects().values()]
        told = health(live, owned, self._cluster.now().isoformat().replace("+00:00", "Z"))
        if told.state is not State.FAILED:
            return told
        failed = {row.name for row in told.resources if row.state is State.FAILED}
        workloads = [item for item in live if name_of(item) in failed]
        said = explain(self._cluster, [*workloads, *_belonging(workloads, owned)])
        return replace(told, evidence=(*told.evidence, *said))

    def prune(self, objects: Sequence[Object]) -> list[str]:
        """Delete what belongs to the application and is none of these; answers what was.

        Claims stay: data outlives a wrong edit, and who wants it gone deletes the claim.
        """
        kept = {(_kind_of(item), item["metadata"]["name"]) for item in objects}
        gone = []
        for kind in sorted(self._known(), key=lambda one: (one.kind not in _LAST, one.kind)):
            for item in self._own(kind):
                name = item["metadata"]["name"]
                if (kind, name) not in kept and kind.kind != "PersistentVolumeClaim":
                    self._cluster.delete(kind, name, self._namespace)
                    self._applied.pop((kind, name), None)
                    gone.append(f"{kind.kind} {name}")
        self._record(frozenset(kind for kind, _ in kept))
        return gone

    def _own(self, kind: Kind) -> Sequence[Object]:
        """What of a kind belongs to the application; nothing, where the API serves no such kind."""
        try:
            return self._cluster.find(kind, self._namespace, {_PART_OF: self._set})
        except UsageError:
            return ()

    def _apply(self, item: Object) -> None:
        kind, name = _kind_of(item), item["metadata"]["name"]
        digest = hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()
        live = self._live(item)
        owner = (live or {}).get("metadata", {}).get("labels", {}).get(_PART_OF)
        if owner not in (None, self._set):
            raise UsageError(
                f"it belongs to another set of objects, {owner}",
                fix="rename one of them, or delete the other application's first",
            )
        if live and owner and self._applied.get((kind, name)) == (digest, _mark(live)):
            return
        try:
            applied = self._cluster.apply(
                _labelled(item, self._set), kind, manager=MANAGER, force=owner is not None
            )
        except Locked as error:
            raise Locked(
                f"somebody else manages it: {error.problem.message}",
                fix="delete it there, or have its manager give up those fields",
            ) from error
        self._watched(kind).take(applied)
        self._applied[kind, name] = (digest, _mark(applied))

    def _live(self, item: Object) -> Object | None:
        name = item["metadata"]["name"]
        kind = _kind_of(item)
        key = (self._namespace if kind.namespaced else "", name)
        return self._watched(kind).objects().get(key)

    def _watched(self, kind: Kind) -> Watched:
        watched = self._cluster.watched(kind, self._namespace)
        watched.listen(self._changed)
        return watched

    def _known(self) -> frozenset[Kind]:
        """Kinds of which there may be objects, by the set's own record."""
        if self._recorded is None:
            parent = self._cluster.get(CONFIG_MAP, self._name, self._namespace)
            told = ((parent or {}).get("metadata", {}).get("annotations") or {}).get(_OWN_KINDS, "")
            self._recorded = frozenset(_read_kinds(told))
        return self._recorded

    def _record(self, kinds: frozenset[Kind]) -> None:
        """Keep the set's record; it names a kind before the first object of it is there."""
        if kinds == self._recorded:
            return
        labels = {_ID: self._set, "app.kubernetes.io/managed-by": "pipegraft"}
        annotations = {
            _TOOLING: "pipegraft/v1",
            _KINDS: ",".join(sorted(f"{one.kind}.{one.group}".rstrip(".") for one in kinds)),
            _OWN_KINDS: ",".join(sorted(f"{one.api_version}/{one.kind}" for one in kinds)),
        }
        metadata = {
            "name": self._name,
            "namespace": self._namespace,
            "labels": labels,
            "annotations": annotations,
        }
        parent = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        try:
            self._cluster.apply(parent, CONFIG_MAP, manager=MANAGER)
        except UsageError as error:  # every cluster has ConfigMaps
            raise UsageError(
                f"the namespace '{self._namespace}' cannot be used: {error.problem.message}",
                fix=f"make it: kubectl create namespace {self._namespace}",
            ) from error
        self._recorded = kinds


def _belonging(workloads: Sequence[Object], owned: Sequence[Object]) -> list[Object]:
    """The pods of workloads, those of their ReplicaSets among them."""
    owners = {item["metadata"].get("uid") for item in workloads}
    for _ in (REPLICA_SET, POD):
        owners |= {item["metadata"].get("uid") for item in owned if _owners(item) & owners}
    return [item for item in owned if item["kind"] == "Pod" and item["metadata"].get("uid") in owners]


def _owners(item: Object) -> set[str]:
    return {entry.get("uid") for entry in item["metadata"].get("ownerReferences") or ()}


def _set_id(name: str, namespace: str) -> str:
    """ID of an ApplySet whose parent is a ConfigMap (KEP-3659)."""
    digest = hashlib.sha256(f"{name}.{namespace}.ConfigMap.".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def _labelled(item: Object, set_id: str) -> dict[str, Any]:
    metadata = item["metadata"]
    labels = {**metadata.get("labels", {}), _PART_OF: set_id}
    return {**item, "metadata": {**metadata, "labels": labels}}


def _mark(item: Object) -> str:
    """Changes when what is declared of an object does; status alone leaves a generation as it is."""
    metadata = item["metadata"]
    return f"{metadata.get('uid')} {metadata.get('generation') or metadata.get('resourceVersion')}"


def _kind_of(item: Object) -> Kind:
    return _kind(str(item["apiVersion"]), str(item["kind"]), namespaced="namespace" in item["metadata"])


def _kind(api_version: str, kind: str, *, namespaced: bool = True) -> Kind:
    """Where the API serves a kind; a custom resource's plural mostly is the English one of its name."""
    group, _, version = api_version.rpartition("/")
    for one in _SERVED:
        if (one.group, one.kind) == (group, kind):
            return one
    word = kind.lower()
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}es" if word.endswith("s") else f"{word}s"
    return Kind(group, version, kind, plural, namespaced)


def _read_kinds(text: str) -> Iterator[Kind]:
    for entry in filter(None, text.split(",")):
        api_version, _, kind = entry.rpartition("/")
        yield _kind(api_version, kind)
