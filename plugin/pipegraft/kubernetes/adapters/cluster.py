"""One Kubernetes cluster: objects as plain JSON values, over lightkube."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx2
from lightkube import ApiError, Client, KubeConfig
from lightkube.config.models import Cluster as Address
from lightkube.config.models import User
from lightkube.core.exceptions import NotReadyError
from lightkube.core.resource import ApiInfo, ResourceDef
from lightkube.generic_resource import (
    GenericGlobalResource,
    GenericNamespacedResource,
)
from lightkube.models.meta_v1 import ListMeta, ObjectMeta
from lightkube.types import CascadeType, PatchType

from pipegraft.core.errors import UsageError
from pipegraft.kubernetes.adapters.credentials import IN_CLUSTER, Access, Credentials, load_access
from pipegraft.kubernetes.adapters.transport import WATCH_SECONDS, Transport, translated
from pipegraft.kubernetes.adapters.watching import Object, Watched
from pipegraft.kubernetes.model import ClusterOptions, Kind

__all__ = ["Cluster", "Object", "open_cluster"]

_PAGE = 500


def open_cluster(options: ClusterOptions, root: Path) -> Cluster:
    """The cluster that the options name; one for a whole process, so that its watches are shared.

    Raises:
        UsageError: there is no such configuration.
    """
    access = load_access(options, root)
    return _opened(options.kubeconfig, root, access["context"], access["cluster"].get("server", ""))


@cache
def _opened(kubeconfig: str | None, root: Path, context: str, _server: str) -> Cluster:
    named = None if kubeconfig is None and context == IN_CLUSTER else context
    cluster = Cluster(ClusterOptions(kubeconfig=kubeconfig, context=named), root)
    atexit.register(cluster.close)  # on every way out, before the interpreter ends under its threads
    return cluster


class Cluster:
    """The API of one cluster, as one user; from any thread.

    Arguments:
        options: which cluster.
        root: folder that a relative kubeconfig counts from.
    """

    def __init__(self, options: ClusterOptions, root: Path) -> None:
        self._options = options
        self._root = root
        self._lock = threading.Lock()
        self._connected: tuple[Client, Transport, httpx2.Client] | None = None
        self._watched: dict[tuple[Kind, str | None], Watched] = {}
        access = self._load()
        self.server: str = access["cluster"].get("server", "")
        self.namespace: str = access["namespace"]

    def get(self, kind: Kind, name: str, namespace: str | None = None, *, part: str = "") -> Object | None:
        """An object; None if there is none of that name.

        Arguments:
            namespace: the configuration's own if None.
            part: a subresource, as ``status`` or ``scale``.

        Raises:
            Unreachable, AccessDenied: the API did not answer or refused.
        """
        with self._translated(kind):
            try:
                found = self._client.get(_resource(kind, part), name, **self._place(kind, namespace))
            except ApiError as error:
                if error.status.code == 404 and (error.status.details and error.status.details.name):
                    return None
                raise
            return _plain(found, kind)

    def find(
        self,
        kind: Kind,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Sequence[Object]:
        """Objects of a kind.

        Arguments:
            namespace: ``*`` for all; the configuration's own if None.
            labels: what each must have.
            fields: what must stand in each, by its path; each kind knows a few.
        """
        with self._translated(kind):
            found = self._client.list(
                _resource(kind),
                chunk_size=_PAGE,
                labels=dict(labels or {}),
                fields=dict(fields or {}),
                **self._place(kind, namespace),
            )
            return [_plain(item, kind) for item in found]

    def apply(
        self, item: Mapping[str, Any], kind: Kind, *, manager: str, force: bool = True, dry_run: bool = False
    ) -> Object:
        """Server-side apply: create the object, or make the fields it names what it says.

        Arguments:
            manager: owner of those fields.
            force: take fields from other managers; else `Locked` is raised where one differs.

        Returns:
            The object as it is then.

        Raises:
            UsageError: the API finds it invalid.
        """
        metadata = item["metadata"]
        with self._translated(kind):
            found = self._client.apply(
                _resource(kind)(dict(item)),
                metadata["name"],
                field_manager=manager,
                force=force,
                dry_run=dry_run,
                **self._place(kind, metadata.get("namespace")),
            )
            return _plain(found, kind)

    def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str | None = None, *, part: str = ""
    ) -> Object:
        """Change an object by a JSON merge patch (RFC 7386)."""
        with self._translated(kind):
            place = self._place(kind, namespace)
            found = self._client.patch(
                _resource(kind, part), name, dict(patch), patch_type=PatchType.MERGE, **place
            )
            return _plain(found, kind)

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Delete an object, with what it owns in the background; nothing if it is not there."""
        with self._translated(kind):
            try:
                place = self._place(kind, namespace)
                self._client.delete(_resource(kind), name, cascade=CascadeType.BACKGROUND, **place)
            except ApiError as error:
                if error.status.code != 404:
                    raise

    def log(
        self, pod: str, namespace: str, container: str, *, lines: int, previous: bool = False
    ) -> Sequence[str]:
        """The last lines a container wrote; `previous`: its last instance, which has ended."""
        with self._translated():
            answer = self._parts()[2].get(
                f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
                params={"container": container, "tailLines": lines, "previous": str(previous).lower()},
            )
            answer.raise_for_status()
            return answer.text.splitlines()

    def now(self) -> datetime:
        """The time by the server's clock, once it has answered."""
        return self._parts()[1].now()

    def watched(self, kind: Kind, namespace: str | None = None) -> Watched:
        """The objects of a kind, kept up to date by one watch for the whole process.

        Arguments:
            namespace: ``*`` for all; the configuration's own if None.
        """
        place = (namespace or self.namespace) if kind.namespaced else None
        with self._lock:
            if (kind, place) not in self._watched:
                self._watched[kind, place] = Watched(self, kind, place)
            return self._watched[kind, place]

    def changes(self, kind: Kind, namespace: str | None, since: str) -> Iterator[tuple[str, Object]]:
        """What happens to objects of a kind from a resource version on: ``ADDED``, ``MODIFIED``, ``DELETED``.

        Raises:
            Unreachable: the watch broke, or the server does not have that version any more (410): list again.
        """
        with self._translated(kind):
            stream = self._client.watch(
                _resource(kind),
                server_timeout=WATCH_SECONDS,
                resource_version=since,
                **self._place(kind, namespace),
            )
            for event, found in stream:
                yield event, _plain(found, kind)

    def snapshot(self, kind: Kind, namespace: str | None) -> tuple[str, list[Object]]:
        """All objects of a kind and the resource version they were read at."""
        with self._translated(kind):
            place = self._place(kind, namespace)
            found = self._client.list(_resource(kind), chunk_size=_PAGE, **place)
            items = [_plain(item, kind) for item in found]
            try:
                return str(found.resourceVersion or ""), items
            except NotReadyError as error:
                raise ValueError(error) from None

    def close(self) -> None:
        """End the watches and their threads, then the connections."""
        with self._lock:
            watched, self._watched = list(self._watched.values()), {}
            connected = self._connected
        for one in watched:
            one.end()
        if connected:
            client, transport, http = connected
            transport.end()
            for one in watched:
                one.join()
            with self._lock:
                self._connected = None
            client.close()
            http.close()

    def _place(self, kind: Kind, namespace: str | None) -> dict[str, Any]:
        return {"namespace": namespace or self.namespace} if kind.namespaced else {}

    def _load(self) -> Access:
        return load_access(self._options, self._root)

    def _translated(self, kind: Kind | None = None) -> Any:
        return translated(self.server, kind)

    @property
    def _client(self) -> Client:
        return self._parts()[0]

    def _parts(self) -> tuple[Client, Transport, httpx2.Client]:
        with self._lock:
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def _connect(self) -> tuple[Client, Transport, httpx2.Client]:
        if not self.server:
            raise UsageError("the kubeconfig's cluster has no 'server'")
        transport = Transport(self._load(), Credentials(self._load))
        _use_types_once()
        config = KubeConfig.from_one(
            cluster=Address(server=self.server, insecure=True), user=User(), namespace=self.namespace
        )
        client = Client(config.get(), transport=transport, trust_env=False)
        return client, transport, httpx2.Client(base_url=self.server, transport=transport, trust_env=False)


@cache
def _resource(kind: Kind, part: str = "") -> Any:
    """The class by which lightkube knows a kind; its own registry is left alone."""
    named = ResourceDef(kind.group, kind.version, kind.kind)
    verbs = ["delete", "get", "list", "patch", "post", "put", "watch", "global_list", "global_watch"]
    info = ApiInfo(named, kind.plural, verbs, parent=named if part else None, action=part or None)
    base = GenericNamespacedResource if kind.namespaced else GenericGlobalResource
    return type(kind.kind, (base,), {"_api_info": info})


@cache
def _use_types_once() -> None:
    """Have lightkube and msgspec set up their types in one thread: two at once crash the process."""
    owner = {"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"}
    field = {"manager": "m", "operation": "Apply"}
    metadata = {"name": "n", "ownerReferences": [owner], "managedFields": [field]}
    ObjectMeta.from_dict(metadata)
    ListMeta.from_dict({"resourceVersion": "1"})


def _plain(found: Any, kind: Kind) -> Object:
    """Items of a list do not say their kind; ours do. What has no name is no object."""
    metadata = found["metadata"]
    if not (isinstance(metadata["name"], str) and isinstance(metadata.get("namespace", ""), str)):
        raise TypeError(f"expected a 'str' as name and namespace of a {kind.kind}")
    return {**cast("Object", found), "apiVersion": kind.api_version, "kind": kind.kind}
