"""The objects of one kind in one namespace, kept up to date by a watch and, in case it lies, by a poll.

A watch may break, stall behind a proxy or drop events, so everything is listed again now and then. Which
of two answers is newer follows from resource versions, which are comparable numbers (KEP-5504).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from pipegraft.core.errors import PipegraftError
from pipegraft.kubernetes.model import Kind

__all__ = ["POLL", "Key", "Object", "Watched"]

Object = dict[str, Any]
"""A Kubernetes object as its API answers it."""

POLL = 30.0
"""Seconds after which everything is listed again."""
_LONGEST_VERSION = 40
"""Digits; etcd's have twenty at most."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_LONGEST_JOIN = 20.0
"""Seconds in which a thread ends whose connections were shut down, however long it takes to connect."""

Key = tuple[str, str]
"""Namespace (empty for a kind without) and name."""


class _Cluster(Protocol):
    """What is listed and watched; see `pipegraft.kubernetes.adapters.cluster.Cluster`."""

    def snapshot(self, kind: Kind, namespace: str | None) -> tuple[str, list[Object]]: ...

    def changes(self, kind: Kind, namespace: str | None, since: str) -> Iterator[tuple[str, Object]]: ...


class Watched:
    """One kind in one namespace; from any thread. It is read first by whoever asks first.

    Arguments:
        cluster: whose objects.
        namespace: ``*`` for all, None for a kind without.
    """

    def __init__(self, cluster: _Cluster, kind: Kind, namespace: str | None) -> None:
        self.kind = kind
        self.namespace = namespace
        self._cluster = cluster
        self._listing = threading.Lock()
        self._lock = threading.Lock()
        self._objects: dict[Key, Object] = {}
        self._gone: dict[Key, int] = {}
        self._version = ""
        self._listed: float | None = None
        self._trouble: PipegraftError | None = None
        self._listeners: set[Callable[[], None]] = set()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def objects(self, *, anew: bool = False) -> Mapping[Key, Object]:
        """What there is, not older than the poll; not to be changed.

        Arguments:
            anew: listed now, whatever the watch has told.

        Raises:
            Unreachable, AccessDenied: it is not known at present.
            UsageError: the cluster does not have the kind.
        """
        if anew or self._listed is None or time.monotonic() - self._listed > POLL:
            self._list()
        with self._lock:
            if self._trouble:
                raise self._trouble
            return dict(self._objects)

    def take(self, item: Object) -> None:
        """Learn of an object in its newest version before the watch tells, as after changing it."""
        self._change("MODIFIED", item)

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after every change, from another thread."""
        with self._lock:
            self._listeners.add(listener)

    def end(self) -> None:
        """Stop following."""
        self._ended.set()

    def join(self) -> None:
        """Wait for the thread that follows, after its watch was ended."""
        if self._thread:
            self._thread.join(_LONGEST_JOIN)

    def _list(self) -> None:
        """List everything, once for all threads that find it too old."""
        asked = time.monotonic()
        with self._listing:
            if self._listed is not None and self._listed > asked:
                return
            try:
                version, items = self._cluster.snapshot(self.kind, self.namespace)
            except PipegraftError as error:
                self._fail(error)
                return
            self._replace(version, items)
            self._listed = time.monotonic()
            if self._thread is None:
                name = f"watch {self.kind.resource}"
                self._thread = threading.Thread(target=self._follow, name=name, daemon=True)
                self._thread.start()

    def _replace(self, version: str, items: list[Object]) -> None:
        at = _number(version)
        with self._lock:
            newer = {key: item for key, item in self._objects.items() if _version(item) > at}
            gone = {key: number for key, number in self._gone.items() if number > at}
            listed = {_key(item): _slim(item) for item in items}
            self._objects = {key: item for key, item in (listed | newer).items() if key not in gone}
            self._gone, self._version, self._trouble = gone, version, None
        self._tell()

    def _fail(self, error: PipegraftError) -> None:
        with self._lock:
            self._trouble = error
        self._tell()

    def _follow(self) -> None:
        """Follow the watch; after it broke, list again: what happened in between was not seen."""
        pause = _FIRST_PAUSE
        while not self._ended.is_set():
            try:
                for event, item in self._cluster.changes(self.kind, self.namespace, self._version):
                    pause = _FIRST_PAUSE
                    if self._ended.is_set():
                        return
                    self._change(event, item)
            except PipegraftError:
                if self._ended.wait(random.uniform(0.5, 1.0) * pause):  # noqa: S311 - spreads load only
                    return
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._list()

    def _change(self, event: str, item: Object) -> None:
        key, number = _key(item), _version(item)
        with self._lock:
            known = max(
                _number(self._version), self._gone.get(key, 0), _version(self._objects.get(key) or {})
            )
            if 0 < number <= known:
                return  # a listing has overtaken the watch
            if event == "DELETED":
                self._objects.pop(key, None)
                self._gone[key] = number
            else:
                self._objects[key] = _slim(item)
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()


def _key(item: Object) -> Key:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _version(item: Mapping[str, object]) -> int:
    metadata = item.get("metadata")
    return _number(str(metadata.get("resourceVersion", ""))) if isinstance(metadata, Mapping) else 0


def _number(version: str) -> int:
    return int(version) if version.isdecimal() and len(version) <= _LONGEST_VERSION else 0


def _slim(item: Object) -> Object:
    """Without what no verdict reads and what can be most of an object."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    status = item.get("status")
    if isinstance(status, dict) and "history" in status:
        item = {**item, "status": {key: value for key, value in status.items() if key != "history"}}
    return {**item, "metadata": metadata}
