"""Why pods do not run: their events, and the last lines that their containers wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipegraft.core.errors import PipegraftError
from pipegraft.kubernetes.adapters.cluster import Cluster
from pipegraft.kubernetes.model import EVENT

__all__ = ["explain"]

Object = Mapping[str, Any]

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
