"""An OCI registry over HTTP (distribution-spec)."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import BinaryIO

import httpx2

from pipegraft.core.adapters.files import stream_of, verified
from pipegraft.core.adapters.http import Answer
from pipegraft.core.adapters.waiting import Attempts, Patience
from pipegraft.core.errors import OutsideError, Unreachable
from pipegraft.core.ports import Clock
from pipegraft.core.reading import load_json
from pipegraft.images.adapters.registry.endpoint import Endpoint
from pipegraft.images.adapters.registry.session import Session, pull_scope, push_scope
from pipegraft.images.adapters.registry.upload import UploadSession, upload, with_query
from pipegraft.images.documents import (
    INDEX,
    MANIFEST,
    descriptor_of,
    is_referrers_list,
    parse_descriptor,
    referrers_index,
    referrers_tag,
    sha256_digest,
    subject_of,
)
from pipegraft.images.ports import Descriptor, Referrer

__all__ = ["HttpRegistry"]

_ACCEPTED = (
    MANIFEST,
    INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
"""All must be named: a registry that is not asked for OCI types answers 404 for an OCI manifest."""
_MOST_PAGES = 100
"""Of what refers to one image."""
_NEXT = re.compile(r'<([^>]*)>[^,]*;\s*rel="?next"?')
"""The next page of a list (RFC 8288, distribution-spec)."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NO_HEAD = frozenset({405, 501})
"""Answers of a proxy or a registry that lets no HEAD pass."""
_NO_REFERRERS = frozenset({400, 404, 405, 406, 501})
"""Answers of registries without the referrers API, by what they take its address for."""


class HttpRegistry:
    """Repositories below a path of one registry.

    Arguments:
        endpoint: the server.
        prefix: path that every repository starts with, empty for none.
        patience: how long and how often to try.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        prefix: str = "",
        patience: Patience | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._session = Session(endpoint, patience, clock)
        self._prefix = prefix.strip("/")

    def find(self, repository: str, reference: str) -> Descriptor | None:
        attempts = self._session.http.attempts(f"looking for {repository}:{reference}")
        path = self._path(repository)
        answer = self._manifest(attempts, "HEAD", path, reference)
        if answer is None:
            return None
        digest, size = (
            answer.headers.get("docker-content-digest", ""),
            answer.headers.get("content-length", ""),
        )
        if not (_DIGEST.fullmatch(digest) and size.isdecimal() and int(size)):
            answer = self._manifest(attempts, "GET", path, reference)
            if answer is None:
                return None
            digest, size = sha256_digest(answer.content), str(len(answer.content))
        if reference.startswith("sha256:") and digest != reference:
            raise Unreachable(f"the registry answered {digest} where {reference} was asked for")
        media_type = answer.headers.get("content-type", MANIFEST).partition(";")[0].strip()
        return Descriptor(media_type, digest, int(size))

    def open(
        self, repository: str, digest: str, *, manifest: bool = False
    ) -> AbstractContextManager[BinaryIO]:
        path = self._path(repository)
        kind = "manifests" if manifest else "blobs"
        attempts = self._session.http.attempts(f"reading {repository}@{digest}")
        content = stream_of(self._download(attempts, path, f"{path}/{kind}/{digest}"))
        return verified(content, digest, f"{repository}@{digest}")

    def push_blob(
        self,
        repository: str,
        blob: Descriptor,
        source: Callable[[], AbstractContextManager[BinaryIO]],
        *,
        mount_from: str | None = None,
    ) -> int:
        path = self._path(repository)
        attempts = self._session.http.attempts(f"pushing {blob.digest} to {repository}", blob.size)

        def stored() -> bool:
            return self._has_blob(attempts, path, blob)

        if stored():
            return 0
        place = self._mount(attempts, path, blob, self._path(mount_from)) if mount_from else None
        if place is _MOUNTED:
            return 0
        return upload(self._session, path, blob, source, attempts=attempts, stored=stored, place=place)

    def try_push(self, repository: str) -> None:
        """Ask whether a repository may be pushed to: an upload is opened and given up, nothing is stored.

        Raises:
            Unreachable, AccessDenied: the registry did not answer or refused.
        """
        path = self._path(repository)
        attempts = self._session.http.attempts(f"asking whether {repository} may be pushed to")
        url = self._session.url(f"{path}/blobs/uploads/", attempts)
        scopes = (push_scope(path),)
        answer = self._session.request(attempts, "POST", url, scopes=scopes, content=b"", good=(202,))
        opened = UploadSession.opened(self._session, answer)
        # Registries that cannot give up an upload forget it by themselves.
        self._session.request(
            attempts, "DELETE", opened.url, scopes=scopes, good=(202, 204, 404, 405, 415, 501)
        )

    def push_manifest(self, repository: str, reference: str, manifest: bytes, media_type: str) -> Descriptor:
        path = self._path(repository)
        attempts = self._session.http.attempts(f"pushing {repository}:{reference}")
        answer = self._session.request(
            attempts,
            "PUT",
            self._session.url(f"{path}/manifests/{reference}", attempts),
            scopes=(push_scope(path),),
            headers={"content-type": media_type},
            content=manifest,
            good=range(200, 300),
        )
        descriptor = descriptor_of(manifest, media_type)
        said = answer.headers.get("docker-content-digest")
        if said is None:
            found = self.find(repository, reference)
            said = found.digest if found else "nothing"
        if said != descriptor.digest:
            raise Unreachable(
                f"the registry holds {said} as {repository}:{reference} where {descriptor.digest} was pushed",
                fix="look for whatever changes manifests between here and the registry",
            )
        subject = subject_of(manifest)
        if subject and "oci-subject" not in answer.headers:
            self._list_referrer(repository, subject, manifest)
        return descriptor

    def referrers(self, repository: str, digest: str) -> Sequence[Referrer]:
        path = self._path(repository)
        attempts = self._session.http.attempts(f"listing what refers to {repository}@{digest}")
        url: str | None = self._session.url(f"{path}/referrers/{digest}", attempts)
        found: list[Referrer] = []
        pages = 0
        while url is not None:
            answer = self._session.request(
                attempts,
                "GET",
                url,
                scopes=(pull_scope(path),),
                headers={"accept": INDEX},
                good={200, *_NO_REFERRERS},
            )
            kind = answer.headers.get("content-type", INDEX).partition(";")[0].strip()
            if answer.status in _NO_REFERRERS or kind == "text/html":
                return self._tagged_referrers(repository, digest)
            found += _listed(answer.content, f"{repository}@{digest}")
            following = _NEXT.search(answer.headers.get("link", ""))
            url = urllib.parse.urljoin(url, following[1]) if following else None
            pages += 1
            if pages > _MOST_PAGES:
                raise OutsideError(f"more than {_MOST_PAGES} pages refer to {repository}@{digest}")
        return found

    def _tagged_referrers(self, repository: str, digest: str) -> Sequence[Referrer]:
        """The list that clients keep under a tag (distribution-spec, "Referrers Tag Schema")."""
        _, held = self._held_list(repository, digest)
        return _listed(held, f"{repository}@{digest}") if held else ()

    def _list_referrer(self, repository: str, subject: str, manifest: bytes) -> None:
        """Keep the list of referrers that a registry without the referrers API leaves to its clients."""
        tag, held = self._held_list(repository, subject)
        index = referrers_index(held, manifest)
        if index is not None:
            self.push_manifest(repository, tag, index, INDEX)

    def _held_list(self, repository: str, digest: str) -> tuple[str, bytes | None]:
        """The tag that the list of referrers has, and the list, None if there is none yet.

        There are registries that resolve the tag ``sha256-…`` to the image of that digest itself: what is
        found there is taken for a list only if it is one, and else the list has a tag of our own.
        """
        tag = referrers_tag(digest)
        attempts = self._session.http.attempts(f"reading {repository}:{tag}")
        for name in (tag, f"{tag}.referrers"):
            answer = self._manifest(attempts, "GET", self._path(repository), name)
            if answer is None:
                return name, None
            if is_referrers_list(answer.content) and sha256_digest(answer.content) != digest:
                return name, answer.content
        raise OutsideError(f"expected a list of referrers at {repository}:{tag}.referrers, found an image")

    def _path(self, repository: str) -> str:
        if repository.startswith("/"):
            return repository.strip("/")
        return f"{self._prefix}/{repository}" if self._prefix else repository

    def _manifest(self, attempts: Attempts, method: str, path: str, reference: str) -> Answer | None:
        answer = self._session.request(
            attempts,
            method,
            self._session.url(f"{path}/manifests/{reference}", attempts),
            scopes=(pull_scope(path),),
            headers={"accept": ", ".join(_ACCEPTED), "accept-encoding": "identity"},
            good={200, 404, *(_NO_HEAD if method == "HEAD" else ())},
        )
        if answer.status in _NO_HEAD:
            return self._manifest(attempts, "GET", path, reference)
        return None if answer.status == HTTPStatus.NOT_FOUND else answer

    def _has_blob(self, attempts: Attempts, path: str, blob: Descriptor) -> bool:
        url = self._session.url(f"{path}/blobs/{blob.digest}", attempts)
        answer = self._session.request(
            attempts, "HEAD", url, scopes=(push_scope(path),), good={200, 404, *_NO_HEAD}
        )
        size = answer.headers.get("content-length", "")
        return answer.status == HTTPStatus.OK and size in ("", str(blob.size))

    def _mount(self, attempts: Attempts, path: str, blob: Descriptor, source: str) -> UploadSession | None:
        """Ask for a blob of another repository: `_MOUNTED`, or the upload session opened instead, if any."""
        url = self._session.url(f"{path}/blobs/uploads/", attempts)
        try:
            answer = self._session.request(
                attempts,
                "POST",
                with_query(url, mount=blob.digest, **{"from": source}),
                scopes=(push_scope(path), pull_scope(source)),
                content=b"",
                good=(201, 202),
            )
        except OutsideError:
            return None  # an ordinary push says what is wrong, if anything is
        if answer.status == HTTPStatus.CREATED:
            return _MOUNTED
        return UploadSession.opened(self._session, answer)

    def _download(self, attempts: Attempts, path: str, target: str) -> Iterator[bytes]:
        """Read a body to its end, going on where a connection broke."""
        seen = 0
        accepted = ", ".join(_ACCEPTED) if "/manifests/" in target else "*/*"
        for attempt in attempts:
            with attempt:
                headers = {"Accept": accepted, "Accept-Encoding": "identity"}
                if seen:
                    headers["Range"] = f"bytes={seen}-"
                with self._session.stream(
                    attempts,
                    "GET",
                    self._session.url(target, attempts),
                    scopes=(pull_scope(path),),
                    headers=headers,
                ) as answer:
                    self._session.http.require(answer, (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT))
                    for block in _behind(answer, seen):
                        attempts.check()
                        seen += len(block)
                        yield block


def _behind(answer: httpx2.Response, seen: int) -> Iterator[bytes]:
    """What an answer holds behind the bytes that are there already; a whole one repeats them."""
    skip = seen if answer.status_code == HTTPStatus.OK else 0
    for block in answer.iter_raw():
        if skip < len(block):
            yield block[skip:]
        skip = max(0, skip - len(block))


def _listed(content: bytes, name: str) -> list[Referrer]:
    """The entries of a list of referrers."""
    try:
        return [
            Referrer(parse_descriptor(each), str(each.get("artifactType", "")))
            for each in load_json(content)["manifests"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutsideError(f"expected a list of what refers to {name}: {error}") from error


_MOUNTED = UploadSession("")
