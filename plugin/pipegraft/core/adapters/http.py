"""HTTP for every adapter: proxies, trust, redirects, limits, retries and errors in one place.

The protocol is httpx2's, which knows proxies of every kind (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` with
``http``, ``https``, ``socks5`` and ``socks5h``; `NO_PROXY`).
"""

from __future__ import annotations

import base64
import functools
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2

from pipegraft import __version__
from pipegraft.core.adapters.waiting import Again, Attempts, Patience, SystemClock, retry_after
from pipegraft.core.errors import AccessDenied, OutsideError, Unreachable, UsageError
from pipegraft.core.foreign_text import keep_secret
from pipegraft.core.ports import Clock
from pipegraft.core.reading import load_json

__all__ = ["LARGEST", "Answer", "Connections", "Http", "basic", "same_origin", "trusted"]


LARGEST = 32 << 20
"""Bytes of an answer that is read into memory, unless the caller says otherwise."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""
_TELLS_WHEN = frozenset({429, 503})
"""Of these, the ones whose `Retry-After` says how long to wait (RFC 9110, 10.2.3)."""
_MOST_REDIRECTS = 5
_MOST_SAID = 1 << 16
"""Bytes of a refusal that are read for its reason."""
_DIRECT: Mapping[str, None] = dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]"))
"""This machine is reached without a proxy, whatever the variables say."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read whole.

    Arguments:
        url: what was asked, redirects followed.
        headers: by name in any case.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body, taken as UTF-8."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The body.

        Raises:
            Unreachable: it is no JSON: something else than the API answered.
        """
        try:
            return load_json(self.content)
        except ValueError as error:
            raise Unreachable(f"expected JSON from {self.url}, found something else: {error}") from None


class Http:
    """One system that is spoken to by HTTP; usable from several threads.

    Arguments:
        name: the system as messages name it, such as ``registry registry.example.com``.
        trust: what is trusted, and what we show; the machine's authorities if None.
        headers: sent with every request, and not along with a redirect to another host.
        auth: user and password for Basic authentication; the same holds for them.
        proxies: whether the proxies of the environment are used.
        untrusted: what to do about a certificate that is not trusted.
        denied: what to do about a refusal.
    """

    def __init__(
        self,
        name: str,
        *,
        trust: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        patience: Patience | None = None,
        clock: Clock | None = None,
        proxies: bool = True,
        untrusted: str = "trust the authority that signed it",
        denied: str = "check that this user may do so",
    ) -> None:
        self.name = name
        self.patience = patience or Patience()
        self.clock = clock or SystemClock()
        self._untrusted = untrusted
        self._denied = denied
        self._connections = Connections()
        self._own = dict(headers or {})
        if auth is not None:
            self._own["Authorization"] = basic(*auth)
        for value in self._own.values():
            keep_secret(value.rpartition(" ")[2])
        try:
            self._client = httpx2.Client(
                verify=trust or trusted(None),
                headers={"User-Agent": f"pipegraft/{__version__}", **self._own},
                trust_env=proxies,
                mounts=_DIRECT if proxies else None,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
            )
        except ValueError as error:
            raise UsageError(
                f"expected a proxy such as http://proxy.example.com:3128 or socks5h://…: {error}",
                fix="correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY",
            ) from None
        self.close = weakref.finalize(self, self._client.close)
        """Closes the connections; done by itself when nobody holds this any more."""

    def end(self) -> None:
        """Wake every thread that waits for an answer; there are none from now on."""
        self._connections.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attempts(self, what: str, size: int = 0) -> Attempts:
        """A call begins: `what` stands in its errors, `size` is how many bytes it moves."""
        return Attempts(self.patience, self.clock, f"{self.name}: {what}", size)

    def ask(
        self,
        method: str,
        url: str,
        *,
        what: str = "",
        attempts: Attempts | None = None,
        good: Container[int] = (200,),
        largest: int = LARGEST,
        **request: Any,
    ) -> Answer:
        """Send a request until it is answered with one of the `good` statuses, and read the answer.

        Arguments:
            what: the call, for messages; method and path if empty.
            attempts: those of a call with limits of its own.
            largest: bytes of the answer that are read at most.
            request: `params`, `headers`, `content`, `data`, `json` as httpx2 takes them.

        Raises:
            OutsideError: it never was, or the answer is larger.
        """
        attempts = attempts or self.attempts(what or f"{method} {httpx2.URL(url).path}")
        for attempt in attempts:
            with attempt, self.stream(attempts, method, url, **request) as answer:
                self.require(answer, good)
                return self.read(answer, attempts, largest)
        raise AssertionError("attempts end with an answer or an error")

    @contextmanager
    def stream(
        self, attempts: Attempts, method: str, url: str, *, elsewhere: bool = False, **request: Any
    ) -> Iterator[httpx2.Response]:
        """Send a request once and leave the body of its answer to be read; readers follow redirects.

        Arguments:
            elsewhere: whether a redirect may lead to another host, which gets no credentials of ours.

        Raises:
            Again: there is no answer, or it breaks off while it is read.
            OutsideError: asking again will not help.
        """
        asked = self._client.build_request(
            method,
            url,
            timeout=httpx2.Timeout(attempts.silence()),
            extensions=self._connections.extensions,
            **request,
        )
        for _ in range(_MOST_REDIRECTS + 1):
            with self._translated():
                answer = self._client.send(asked, stream=True)
            try:
                if answer.next_request is None or method not in ("GET", "HEAD"):
                    with self._translated():
                        yield answer
                    return
                asked = self._redirected(asked, answer.next_request, elsewhere=elsewhere)
            finally:
                answer.close()
        raise OutsideError(f"{self.name}: {url} leads through more than {_MOST_REDIRECTS} redirects")

    def require(self, answer: httpx2.Response, good: Container[int]) -> None:
        """Check the status of an answer.

        Raises:
            Again: the same request may succeed later.
            OutsideError: it will not.
        """
        if answer.status_code in good:
            return
        said = f"HTTP {answer.status_code}{self.reason(answer)}"
        if answer.status_code in _AGAIN:
            told = answer.headers.get("retry-after") if answer.status_code in _TELLS_WHEN else None
            raise Again(said, retry_after(told, self.clock.now()))
        asked = f"{self.name}: {answer.request.method} {answer.url.path}:"
        if answer.status_code in (401, 403):
            raise AccessDenied(f"{asked} refused access, {said}", fix=self._denied)
        raise OutsideError(f"{asked} {said}")

    def reason(self, answer: httpx2.Response) -> str:
        """What an answer says about its status, in brackets; empty if nothing is understood.

        Known are ``errors`` of registries (distribution-spec, error codes), and ``error`` and ``message``.
        """
        try:
            said = load_json(b"".join(_blocks(answer, _MOST_SAID, self.attempts("reading a refusal").check)))
            if "errors" in said:
                pairs = [f"{one.get('code', '')} {one.get('message', '')}".strip() for one in said["errors"]]
                return f" ({'; '.join(pairs)})"
            found = said.get("message") or said.get("error")
        except (ValueError, KeyError, TypeError, AttributeError, _TooLarge, httpx2.HTTPError):
            return ""
        return f" ({found})" if found else ""

    def read(self, answer: httpx2.Response, attempts: Attempts, largest: int = LARGEST) -> Answer:
        """Read an answer whole.

        Raises:
            OutsideError: it is larger than `largest` bytes, or not there in the time of the call.
        """
        try:
            content = b"".join(_blocks(answer, largest, attempts.check))
        except _TooLarge:
            raise OutsideError(
                f"{self.name}: expected at most {largest} bytes from {answer.url}, found more",
                fix="check that the address is the one that is meant",
            ) from None
        return Answer(str(answer.url), answer.status_code, answer.headers, content)

    def _redirected(self, old: httpx2.Request, new: httpx2.Request, *, elsewhere: bool) -> httpx2.Request:
        """The request that a redirect asks for."""
        scheme, host = new.url.scheme, new.url.netloc.decode()
        if scheme not in ("http", "https") or (old.url.scheme == "https" and scheme != "https"):
            raise OutsideError(
                f"{self.name}: {old.url.host} sends us from {old.url.scheme.upper()} to {scheme}://{host}"
            )
        if not same_origin(str(old.url), str(new.url)):
            if not elsewhere:
                raise OutsideError(
                    f"{self.name}: {old.url.host} sends us to {scheme}://{host}",
                    fix="name that address itself, if it is the right one",
                )
            for name in self._own:
                new.headers.pop(name, None)
        return new

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            refused = _cause(error, ssl.SSLCertVerificationError)
            if refused is not None:
                raise UsageError(
                    f"{self.name}: its certificate is not trusted: {refused}", fix=self._untrusted
                ) from error
            if isinstance(error, httpx2.UnsupportedProtocol):
                raise UsageError(f"{self.name}: {error}") from error
            raise Again(_describe(error)) from error
        except (httpx2.InvalidURL, httpx2.DecodingError) as error:
            raise OutsideError(f"{self.name}: {error}") from error


@functools.cache
def trusted(ca: Path | None) -> ssl.SSLContext:
    """What is trusted: the authorities of a PEM file, the machine's if None.

    Raises:
        OSError: the file cannot be read, or holds no certificate.
    """
    return ssl.create_default_context(cafile=None if ca is None else str(ca))


def basic(user: str, password: str) -> str:
    """Value of `Authorization` for Basic authentication (RFC 7617)."""
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    keep_secret(encoded)
    keep_secret(password)
    return f"Basic {encoded}"


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port."""
    return _origin(one) == _origin(other)


class _TooLarge(Exception):
    """A body is larger than it may be."""


def _blocks(answer: httpx2.Response, largest: int, check: Callable[[], None]) -> Iterable[bytes]:
    size = 0
    for block in answer.iter_bytes():
        check()  # a byte now and then is no silence
        size += len(block)
        if size > largest:
            raise _TooLarge
        yield block


def _origin(address: str) -> tuple[str, str, int | None]:
    url = httpx2.URL(address)
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _cause(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """What of this kind an error came from."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__ or cause.__context__
    return cause


def _describe(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


_OPENED = ("connect_tcp.complete", "start_tls.complete")


class Connections:
    """Every connection that requests with the extension ``trace`` of this object have opened.

    A thread that still waits for a byte of TLS while the interpreter ends takes the process with it, so
    whoever starts threads ends their connections and joins them first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.ended = False

    @property
    def extensions(self) -> dict[str, Any]:
        """Extensions of a request, as httpx2 hands them to httpcore2."""
        return {"trace": self._trace}

    def end(self) -> None:
        """Shut every connection down, and each that is opened from now on."""
        with self._lock:
            self.ended = True
            for one in self._open:
                _shut_down(one)
            self._open.clear()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Remember a connection that httpcore2 says it has opened."""
        if not event.endswith(_OPENED):
            return
        connection = info["return_value"].get_extra_info("socket")
        if isinstance(connection, socket.socket):
            with self._lock:
                self._open = {one for one in self._open if one.fileno() >= 0} | {connection}
                if self.ended:
                    _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    """The socket below TLS alone: another thread may be inside of TLS."""
    with suppress(OSError):  # it has ended by itself
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
