"""Uploading one blob (distribution-spec, "Pushing blobs"): whole, resumed where it broke, or in chunks."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from http import HTTPStatus
from types import TracebackType
from typing import BinaryIO, Self

from pipegraft.core.adapters.files import verified
from pipegraft.core.adapters.http import Answer
from pipegraft.core.adapters.waiting import Again, Attempts
from pipegraft.core.errors import OutsideError, Unreachable
from pipegraft.images.adapters.registry.session import Session, push_scope
from pipegraft.images.ports import Descriptor

__all__ = ["UploadSession", "upload", "with_query"]

_READ = 1 << 18
_CHUNK = 16 << 20
_LEAST_CHUNK = 256 << 10
_WORTH_RESUMING = 4 << 20
"""Bytes below which sending again costs less than asking what arrived."""
_NOT_WHOLE = frozenset({405, 411, 413, 501})
"""Answers to a whole blob after which chunks may still pass: a proxy or a registry with a limit."""
_LOST = frozenset({400, 404, 416})
"""Answers after which what the registry holds of an upload is not what we think."""


class _NotWhole(Exception):
    """The registry does not take this blob, or this chunk of it, in one piece or in this way."""

    def __init__(self, limited: bool) -> None:
        self.limited = limited
        """Whether smaller chunks may pass."""


@dataclass(frozen=True, slots=True)
class UploadSession:
    """Where the registry wants the bytes.

    Arguments:
        url: of the next request.
        offset: bytes it has.
        chunk: bytes it wants in a chunk, the last one aside.
    """

    url: str
    offset: int = 0
    chunk: int = _CHUNK

    @classmethod
    def opened(cls, session: Session, answer: Answer) -> UploadSession:
        """From the answer that opens a session."""
        least = answer.headers.get("oci-chunk-min-length", "")
        chunk = max(_CHUNK, int(least) if least.isdecimal() else 0)
        return cls(session.safe_upload(answer.url, answer.headers.get("location")), chunk=chunk)


def with_query(url: str, **parameters: str) -> str:
    """A URL with further parameters; those it has stay as they are, for they mean something to a registry."""
    added = urllib.parse.urlencode(parameters)
    return f"{url}{'&' if urllib.parse.urlsplit(url).query else '?'}{added}"


def upload(
    session: Session,
    repository: str,
    blob: Descriptor,
    source: Callable[[], AbstractContextManager[BinaryIO]],
    *,
    attempts: Attempts,
    stored: Callable[[], bool],
    place: UploadSession | None = None,
) -> int:
    """Upload a blob until the registry says that it has it.

    Arguments:
        repository: full path on the server.
        source: opens the content anew at each call.
        stored: asks whether the registry has the blob by now.
        place: a session that is open already.

    Returns:
        Bytes that went over the line, those of failed attempts included.

    Raises:
        OutsideError: it did not succeed; nothing refers to what may have arrived.
    """
    with _Content(source, blob, attempts) as content:
        one = _Upload(session, repository, content, attempts, place)
        broken = False
        for attempt in attempts:
            with attempt:
                if broken and stored():
                    return content.sent
                if broken:
                    one.resume()
                broken = True
                one.send()
                return content.sent
    raise AssertionError("attempts end with an answer or an error")


class _Upload:
    """The requests of one upload, and how far it has come."""

    def __init__(
        self,
        session: Session,
        repository: str,
        content: _Content,
        attempts: Attempts,
        place: UploadSession | None,
    ) -> None:
        self._session = session
        self._scopes = (push_scope(repository),)
        self._repository = repository
        self._content = content
        self._attempts = attempts
        self._size = content.blob.size
        self._place = place
        self._chunked = False
        self._both_refused = False

    def send(self) -> None:
        """Send all that is missing; what a registry does not take whole is sent in chunks, or the reverse."""
        place = self._place or self._begin()
        try:
            if self._chunked or place.offset:
                place = self._send_chunks(place)
            self._finish(place)
        except _NotWhole:
            self._chunked, self._both_refused = not self._chunked, True
            place = self._begin()
            self._finish(self._send_chunks(place) if self._chunked else place)

    def resume(self) -> None:
        """Ask what the registry has of a broken upload; it begins again where that cannot be told.

        Distribution, and what comes from it, drops an upload that broke within a request. So it goes on in
        chunks then: what breaks between them, or in a proxy that collects them, costs one.
        """
        self._chunked = self._chunked or (self._size >= _WORTH_RESUMING and not self._both_refused)
        place, self._place = self._place, None
        if place is None or self._size < _WORTH_RESUMING:
            return
        try:
            with self._session.stream(self._attempts, "GET", place.url, scopes=self._scopes) as answer:
                if answer.status_code != HTTPStatus.NO_CONTENT:
                    return
                found = self._moved(place, answer.headers)
        except Again:
            return
        if found.offset > place.offset:
            self._attempts.progressed()
        if 1 < found.offset <= self._size:  # registries say 0-0 for nothing as well as for one byte
            self._place = found

    def _begin(self) -> UploadSession:
        url = self._session.url(f"{self._repository}/blobs/uploads/", self._attempts)
        answer = self._session.request(
            self._attempts, "POST", url, scopes=self._scopes, content=b"", good=(202,)
        )
        self._place = UploadSession.opened(self._session, answer)
        return self._place

    def _send_chunks(self, place: UploadSession) -> UploadSession:
        while place.offset < self._size:
            end = min(place.offset + place.chunk, self._size)
            try:
                answered = self._send("PATCH", place.url, place.offset, end)
            except _NotWhole as refused:
                if not refused.limited:
                    raise
                place = replace(place, chunk=self._smaller(place))
                continue
            # A proxy may take `Range` away; what did not arrive shows by the digest at the end.
            place = self._moved(place, {"range": f"0-{end - 1}", **answered})
            if place.offset != end:
                raise Again(f"{place.offset} bytes arrived where {end} were sent")
            self._attempts.progressed()
            self._place = place
        return place

    def _smaller(self, place: UploadSession) -> int:
        """Bytes of a chunk where a proxy refused one of that size."""
        if place.chunk <= _LEAST_CHUNK:
            raise OutsideError(
                f"{self._session.http.name}: {self._repository}: chunks of {place.chunk} bytes are too large",
                fix="raise the limit of the proxy before it (nginx: client_max_body_size)",
            )
        return place.chunk // 4

    def _finish(self, place: UploadSession) -> None:
        digest = self._content.blob.digest
        headers = self._send("PUT", with_query(place.url, digest=digest), place.offset, self._size)
        said = headers.get("docker-content-digest", digest)
        if said != digest:
            raise Unreachable(f"the registry says it stored {said} where {digest} was sent")

    def _moved(self, place: UploadSession, headers: Mapping[str, str]) -> UploadSession:
        arrived = re.fullmatch(r"(?:bytes=)?0-(\d+)", headers.get("range", "").strip())
        url = self._session.safe_upload(place.url, headers.get("location") or place.url)
        return replace(place, url=url, offset=int(arrived[1]) + 1 if arrived else 0)

    def _send(self, method: str, url: str, start: int, end: int) -> Mapping[str, str]:
        headers = {"Content-Length": str(end - start), "Content-Type": "application/octet-stream"}
        if method == "PATCH":
            headers["Content-Range"] = f"{start}-{end - 1}"
        with self._session.stream(
            self._attempts,
            method,
            url,
            scopes=self._scopes,
            headers=headers,
            content=_Part(self._content, start, end),
        ) as answer:
            if answer.status_code in _LOST:
                raise Again(f"HTTP {answer.status_code} while uploading")
            limited = method == "PATCH" and answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            other = not self._both_refused and method == ("PATCH" if self._chunked else "PUT")
            if limited or (other and answer.status_code in _NOT_WHOLE):
                raise _NotWhole(limited)
            self._session.http.require(answer, range(200, 300))
            return answer.headers


class _Content:
    """The bytes of a blob from any offset; going back opens the source again."""

    def __init__(
        self, source: Callable[[], AbstractContextManager[BinaryIO]], blob: Descriptor, attempts: Attempts
    ) -> None:
        self.blob = blob
        self.sent = 0
        self._source = source
        self._attempts = attempts
        self._open = ExitStack()
        self._stream: BinaryIO | None = None
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Blocks from one offset to another; the source is verified when its end is reached."""
        if self._stream is None or self._at > start:
            self._open.close()
            name = f"what is pushed as {self.blob.digest}"
            self._stream = self._open.enter_context(
                verified(self._source(), self.blob.digest, name, self.blob.size)
            )
            self._at = 0
        while self._at < start:
            self._at += len(self._some(start - self._at))
        while self._at < end:
            self._attempts.check()
            block = self._some(end - self._at)
            self._at += len(block)
            if self._at == self.blob.size:
                self._stream.read(1)  # the end, where the digest is compared, before the last block leaves
            self.sent += len(block)
            yield block

    def _some(self, most: int) -> bytes:
        assert self._stream is not None  # noqa: S101 - read opens it
        return self._stream.read(min(_READ, most))


@dataclass(frozen=True, slots=True)
class _Part:
    """A body that can be sent again after a challenge."""

    content: _Content
    start: int
    end: int

    def __iter__(self) -> Iterator[bytes]:
        return self.content.read(self.start, self.end)
