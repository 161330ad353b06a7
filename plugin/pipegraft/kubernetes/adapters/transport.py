"""The transport below lightkube's client: proves who we are, renews that, and can end what it waits for.

lightkube 1.0 reads no credential plugin of version v1, renews no expired token of a kubeconfig, knows no
``proxy-url`` or ``tls-server-name``, and reads a watch without a time limit; all of that is done here.
"""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx2

from pipegraft.core.adapters.http import Connections
from pipegraft.core.errors import AccessDenied, Locked, PipegraftError, Unreachable, UsageError
from pipegraft.core.foreign_text import keep_secret
from pipegraft.core.reading import readable
from pipegraft.kubernetes.adapters.credentials import Access, Credentials, Identity
from pipegraft.kubernetes.model import Kind

__all__ = ["WATCH_SECONDS", "Transport", "translated"]

_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 0x10), 15),  # Darwin calls it TCP_KEEPALIVE, 0x10
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""A peer that is gone is noticed within half a minute, however little there is to tell."""
WATCH_SECONDS = 240
"""How long the server keeps one watch; the client then asks for the next."""
_LARGEST = 256 << 20
"""Bytes of an answer, or of one event of a watch; a list of 10,000 large objects has a quarter of it."""
_LONGEST = 300.0
"""Seconds of an answer that is no watch."""
_SILENCE = WATCH_SECONDS + 20.0
"""Seconds without a byte after which a watch counts as lost."""
_BUSY = {408, 429, 500, 502, 503, 504}
"""Status codes of a server that is about to be well again."""


class Transport(httpx2.BaseTransport):
    """HTTP to one API server, from any thread.

    Arguments:
        access: where it is.
        credentials: who we are.
    """

    def __init__(self, access: Access, credentials: Credentials) -> None:
        self._cluster: dict[str, Any] = access["cluster"]
        self._credentials = credentials
        self._lock = threading.Lock()
        self._inner: tuple[Identity, httpx2.HTTPTransport] | None = None
        self._connections = Connections()
        self._clock_offset = 0.0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        identity = self._credentials.current()
        answer = self._send(request, identity)
        if answer.status_code == 401:
            renewed = self._credentials.renewed(identity)
            if renewed != identity:
                answer.read()
                answer.close()
                answer = self._send(request, renewed)
        answer.stream = _Bounded(answer.stream, lasting=request.url.params.get("watch") == "true")
        answer.headers.setdefault("Content-Type", "text/plain")  # lightkube looks at it when it fails
        self._note_time(answer)
        return answer

    def now(self) -> datetime:
        """The time by the server's clock, to a second."""
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self._clock_offset, UTC)

    def end(self) -> None:
        """Wake every thread that waits for an answer; there are no more requests from now on."""
        self._connections.end()

    def close(self) -> None:
        self.end()
        if self._inner:
            self._inner[1].close()

    def _send(self, request: httpx2.Request, identity: Identity) -> httpx2.Response:
        if identity.header:
            request.headers["Authorization"] = identity.header
            keep_secret(identity.header.rpartition(" ")[2])
        if self._cluster.get("tls-server-name"):
            request.extensions["sni_hostname"] = self._cluster["tls-server-name"]
        if self._connections.ended:
            raise httpx2.ReadError("the connections were ended", request=request)
        request.extensions |= self._connections.extensions
        if request.url.params.get("watch") == "true":
            request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "read": _SILENCE}
        return self._transport(identity).handle_request(request)

    def _transport(self, identity: Identity) -> httpx2.HTTPTransport:
        """One for as long as the client certificate stays the same."""
        with self._lock:
            if self._inner is None or self._inner[0].certificate != identity.certificate:
                proxy = self._cluster.get("proxy-url") or _proxy_of(self._cluster["server"])
                limits = httpx2.Limits(max_connections=None)  # each watch holds one
                inner = httpx2.HTTPTransport(
                    verify=_trust(self._cluster, identity),
                    proxy=proxy,
                    retries=1,
                    limits=limits,
                    socket_options=_KEEPALIVE,
                )
                self._inner = (identity, inner)
            return self._inner[1]

    def _note_time(self, answer: httpx2.Response) -> None:
        date = answer.headers.get("Date")
        if date:
            with suppress(ValueError):  # a proxy's own idea of a date
                self._clock_offset = parsedate_to_datetime(date).timestamp() - datetime.now(UTC).timestamp()


class _Bounded(httpx2.SyncByteStream):
    """A body that ends, or raises: an answer as a whole, each event of a watch by itself.

    Arguments:
        stream: the body.
        lasting: whether it is a watch.
    """

    def __init__(self, stream: Any, *, lasting: bool) -> None:  # sync, though the type says both
        self._stream = stream
        self._lasting = lasting

    def __iter__(self) -> Iterator[bytes]:
        size, end = 0, time.monotonic() + _LONGEST
        for block in self._stream:
            size += len(block)
            if self._lasting and b"\n" in block:
                size = len(block) - block.rindex(b"\n")
            if size > _LARGEST:
                raise httpx2.ReadError(f"more than {_LARGEST} bytes")
            if not self._lasting and time.monotonic() > end:
                raise httpx2.ReadError(f"an answer of more than {_LONGEST:g} s")
            yield block

    def close(self) -> None:
        self._stream.close()


def _proxy_of(server: str) -> str | None:
    """The proxy that the usual variables name for a server."""
    url = httpx2.URL(server)
    return None if proxy_bypass(url.host) else getproxies().get(url.scheme)


def _trust(cluster: dict[str, Any], identity: Identity) -> ssl.SSLContext:
    try:
        if cluster.get("certificate-authority-data"):
            text = base64.b64decode(cluster["certificate-authority-data"]).decode()
            context = ssl.create_default_context(cadata=text)
        else:
            context = ssl.create_default_context(cafile=cluster.get("certificate-authority"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the certificate authority of {cluster.get('server')} is unusable: {error}"
        ) from None
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if identity.certificate:
        with NamedTemporaryFile() as file:  # the standard library reads certificates from files only
            file.write(b"\n".join(identity.certificate))
            file.flush()
            try:
                context.load_cert_chain(file.name)
            except ssl.SSLError as error:
                raise UsageError(f"the client certificate of the kubeconfig is unusable: {error}") from None
    return context


@contextmanager
def translated(server: str, kind: Kind | None = None) -> Iterator[None]:
    """Translate what the block raises.

    Arguments:
        server: URL, for messages.
        kind: what was asked for.
    """
    try:
        with readable(f"the Kubernetes API at {server}"):
            yield
    except httpx2.HTTPStatusError as error:
        raise _of_status(error, server, kind) from error
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
        raise _of_connection(error, server) from error


def _of_connection(error: Exception, server: str) -> PipegraftError:
    told = str(error) or type(error).__name__
    if isinstance(error.__cause__, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in told:
        return UsageError(
            f"the certificate of the Kubernetes API at {server} is not trusted: {told}",
            fix="check 'certificate-authority' of the kubeconfig",
        )
    return Unreachable(f"the Kubernetes API at {server} does not answer: {told}")


def _of_status(error: httpx2.HTTPStatusError, server: str, kind: Kind | None) -> PipegraftError:
    code, said = _told(error)
    what = f"the Kubernetes API at {server}"
    if code == 401:
        return AccessDenied(f"{what} does not accept our credentials: {said}", fix="renew the kubeconfig")
    if code == 403:
        return AccessDenied(f"{what} refuses: {said}", fix="grant the rights that docs/gate.md lists")
    if code == 404:
        missing = f"{what} has no {kind.resource} of {kind.version}" if kind else f"{what}: {said}"
        return UsageError(missing, fix="check that its controller is installed there, and the context")
    if code == 410:
        return Unreachable(f"{what} has forgotten the past: {said}")
    if code == 409:
        return Locked(f"{what} found a conflict: {said}")
    if code in _BUSY:
        return Unreachable(f"{what} answered {code}: {said}")
    return UsageError(f"{what} refused with {code}: {said}")


def _told(error: httpx2.HTTPStatusError) -> tuple[int, str]:
    """Code and message, from the Status object where there is one."""
    status = getattr(error, "status", None)
    if status is not None:
        return int(status.code or 500), " ".join(str(status.message or status.reason or "").split())
    return error.response.status_code, error.response.reason_phrase
