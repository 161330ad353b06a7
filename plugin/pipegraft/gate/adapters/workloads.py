"""Plain workloads, whoever applies them: each names the commit it is of in an annotation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import Field

from pipegraft.core.model import Breach, rule
from pipegraft.core.plugins import hookimpl
from pipegraft.gate.adapters.cluster_reader import WORKLOADS, ClusterReader, Reference
from pipegraft.gate.hooks import GitOpsEnginePlugin
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, Status
from pipegraft.gate.verdicts.conditions import name_of
from pipegraft.gate.verdicts.workloads import verdict
from pipegraft.kubernetes.adapters.cluster import Cluster, open_cluster
from pipegraft.kubernetes.model import ClusterOptions

__all__ = ["Workloads", "WorkloadsOptions", "pipegraft_gitops_engines"]


class WorkloadsOptions(ClusterOptions):
    """Keys of `gate:` for plain workloads."""

    objects: tuple[str, ...] = ()
    """``Deployment/web``, ``StatefulSet/queue``, ``DaemonSet/agent``, ``Job/migrate``."""
    selector: Mapping[str, str] = Field(default={}, max_length=1)
    """A label that the workloads have, and its value."""
    expect: int | None = Field(default=None, ge=1)
    """How many workloads there must be; needed with `selector`."""
    namespace: str = "default"
    """Their namespace."""

    @rule
    def _some_are_named(self) -> Iterator[Breach]:
        if not (self.objects or self.selector):
            yield Breach("expected 'objects' or 'selector'")
        if self.selector and self.expect is None:
            yield Breach("'selector' needs 'expect': how many workloads there must be")
        for text in self.objects:
            kind, _, name = text.partition("/")
            if kind not in WORKLOADS or not name:
                yield Breach(f"expected KIND/NAME with a kind of {', '.join(WORKLOADS)}, found '{text}'")


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
        there = {name_of(item) for item in found["workloads"]}
        called = [f"{one.kind} {one.namespace}/{one.name}" for one in named]
        return {
            "objects": found["workloads"],
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
    yield GitOpsEnginePlugin("workloads", WorkloadsOptions, _connect, verdict)
