"""Uploading one blob (distribution-spec, "Pushing blobs"): whole, resumed where it broke, or in chunks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from http import HTTPStatus
from types import TracebackType
from typing import BinaryIO, Self

from pipegraft.core.adapters.streams import verified
from pipegraft.core.errors import Unreachable
from pipegraft.images.adapters.registry.retry_policy import Deadline
from pipegraft.images.adapters.registry.session import Session
from pipegraft.images.adapters.registry.wire import Answer, Lost, with_query
from pipegraft.images.challenge import push_scope
from pipegraft.images.ports.registry import Descriptor

__all__ = ["UploadSession", "upload"]

_READ = 1 << 18
_CHUNK = 16 << 20
_WORTH_RESUMING = 4 << 20
"""Bytes below which sending again costs less than asking what arrived."""
_NOT_WHOLE = frozenset({405, 411, 413, 501})
"""Answers to a whole blob after which chunks may still pass: a proxy or a registry with a limit."""
_LOST = frozenset({400, 404, 416})
"""Answers after which what the registry holds of an upload is not what we think."""


class _NotWhole(Exception):
    """The registry does not take this blob in one piece."""


class _Interrupted(Exception):
    """A request did not pass, the wait before the next one is over."""


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
    def opened(cls, session: Session, base: str, answer: Answer) -> UploadSession:
        """From the answer that opens a session."""
        least = answer.headers.get("oci-chunk-min-length", "")
        chunk = max(_CHUNK, int(least) if least.isdigit() else 0)
        return cls(session.safe_upload(base, answer.headers.get("location")), chunk=chunk)


def upload(
    session: Session,
    repository: str,
    blob: Descriptor,
    source: Callable[[], AbstractContextManager[BinaryIO]],
    *,
    deadline: Deadline,
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
    chunked = False
    with _Content(source, blob) as content:
        one = _Upload(session, repository, content, deadline)
        while True:
            try:
                place = place or one.begin()
                if chunked or place.offset:
                    place = one.send_chunks(place)
                one.finish(place, whole=not chunked)
            except _NotWhole:
                chunked, place = True, None
            except (Lost, _Interrupted) as error:
                if isinstance(error, Lost):
                    session.lost(deadline, error)
                if stored():
                    return content.sent
                place = one.resume(place) if place else None
            else:
                return content.sent


class _Upload:
    """The requests of one upload."""

    def __init__(self, session: Session, repository: str, content: _Content, deadline: Deadline) -> None:
        self._session = session
        self._scopes = (push_scope(repository),)
        self._repository = repository
        self._content = content
        self._deadline = deadline
        self._size = content.blob.size

    def begin(self) -> UploadSession:
        """Open a session."""
        url = self._session.url(f"{self._repository}/blobs/uploads/", self._deadline)
        answer = self._session.request(
            self._deadline, "POST", url, scopes=self._scopes, body=b"", good=(202,)
        )
        return UploadSession.opened(self._session, url, answer)

    def send_chunks(self, place: UploadSession) -> UploadSession:
        """Send all that is missing, leaving the session open."""
        while place.offset < self._size:
            end = min(place.offset + place.chunk, self._size)
            headers = self._send("PATCH", place.url, place.offset, end, whole=False)
            moved = self._moved(place, headers)
            if moved.offset != end:
                self._deadline.wait(f"{moved.offset} bytes arrived where {end} were sent")
                raise _Interrupted
            self._deadline.progressed()
            place = moved
        return place

    def finish(self, place: UploadSession, *, whole: bool) -> None:
        """Send all that is missing and close the session."""
        digest = self._content.blob.digest
        url = with_query(place.url, {"digest": digest})
        headers = self._send("PUT", url, place.offset, self._size, whole=whole)
        said = headers.get("docker-content-digest", digest)
        if said != digest:
            raise Unreachable(f"the registry says it stored {said} where {digest} was sent")

    def resume(self, place: UploadSession) -> UploadSession | None:
        """What the registry has of a broken upload; None to begin again."""
        if self._size < _WORTH_RESUMING:
            return None
        try:
            with self._session.stream(self._deadline, "GET", place.url, scopes=self._scopes) as answer:
                if answer.status != HTTPStatus.NO_CONTENT:
                    return None
                found = self._moved(place, answer.headers)
        except Lost:
            return None
        if found.offset > place.offset:
            self._deadline.progressed()
        # Registries say 0-0 for nothing as well as for one byte.
        return found if 1 < found.offset <= self._size else None

    def _moved(self, place: UploadSession, headers: Mapping[str, str]) -> UploadSession:
        arrived = re.fullmatch(r"(?:bytes=)?0-(\d+)", headers.get("range", "").strip())
        url = self._session.safe_upload(place.url, headers.get("location") or place.url)
        return replace(place, url=url, offset=int(arrived[1]) + 1 if arrived else 0)

    def _send(self, method: str, url: str, start: int, end: int, *, whole: bool) -> Mapping[str, str]:
        headers = {"content-length": str(end - start), "content-type": "application/octet-stream"}
        if method == "PATCH":
            headers["content-range"] = f"{start}-{end - 1}"
        with self._session.stream(
            self._deadline,
            method,
            url,
            scopes=self._scopes,
            headers=headers,
            body=lambda: self._content.read(start, end),
        ) as answer:
            if answer.status // 100 == 2:
                return answer.headers
            if whole and answer.status in _NOT_WHOLE:
                raise _NotWhole
            if answer.status in _LOST:
                self._deadline.wait(f"HTTP {answer.status} while uploading")
            else:
                self._session.refuse(self._deadline, answer)
            raise _Interrupted


class _Content:
    """The bytes of a blob from any offset; going back opens the source again."""

    def __init__(self, source: Callable[[], AbstractContextManager[BinaryIO]], blob: Descriptor) -> None:
        self.blob = blob
        self.sent = 0
        self._source = source
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
            block = self._some(end - self._at)
            self._at += len(block)
            if self._at == self.blob.size:
                self._stream.read(1)  # the end, where the digest is compared, before the last block leaves
            self.sent += len(block)
            yield block

    def _some(self, most: int) -> bytes:
        assert self._stream is not None  # noqa: S101 - read opens it
        return self._stream.read(min(_READ, most))
