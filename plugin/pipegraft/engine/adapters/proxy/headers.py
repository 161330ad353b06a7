"""Which header fields cross the proxy, and which it adds."""

from __future__ import annotations

from collections.abc import Iterable

import h11

__all__ = ["Fields", "chunked", "has_body", "plain_target", "request_fields", "response_fields"]

Fields = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade")
)
"""RFC 9110 section 7.6.1: these concern one connection; so do the fields that Connection names."""


def request_fields(request: h11.Request, peer: str, address: str) -> Fields:
    """Fields of a request as the instance gets them.

    Arguments:
        request: as the client sent it.
        peer: the client's address.
        address: the instance's, for a client so old that it names no host.
    """
    fields = _end_to_end(request)
    names = {name.lower() for name, _ in fields}
    if b"host" not in names:
        fields.insert(0, (b"Host", address.encode("ascii")))
    earlier = b", ".join(value for name, value in fields if name.lower() == b"x-forwarded-for")
    fields = [(name, value) for name, value in fields if name.lower() != b"x-forwarded-for"]
    chain = b", ".join(part for part in (earlier, peer.encode("ascii")) if part)
    if chain:
        fields.append((b"X-Forwarded-For", chain))
    if b"x-forwarded-proto" not in names:
        fields.append((b"X-Forwarded-Proto", b"http"))
    if b"x-forwarded-host" not in names:
        fields.extend((b"X-Forwarded-Host", value) for name, value in fields if name.lower() == b"host")
    fields.append((b"Via", request.http_version + b" pipegraft"))
    if chunked(request.headers):
        fields.append((b"Transfer-Encoding", b"chunked"))
    return fields


def response_fields(response: h11.Response | h11.InformationalResponse, *, last: bool) -> Fields:
    """Fields of an answer as the client gets them; h11 frames the body itself.

    Arguments:
        last: the connection to the client ends with this answer.
    """
    fields = _end_to_end(response)
    if last:
        fields.append((b"Connection", b"close"))
    return fields


def plain_target(target: bytes) -> bytes:
    """The target in origin form; a client may send the absolute form to any server (RFC 9112, 3.2.2)."""
    if not target.lower().startswith((b"http://", b"https://")):
        return target
    slash = target.find(b"/", target.index(b"://") + 3)
    return target[slash:] if slash >= 0 else b"/"


def chunked(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the body is framed by chunks; h11 has refused every other transfer encoding."""
    return any(name == b"transfer-encoding" for name, _ in headers)


def has_body(request: h11.Request) -> bool:
    """Whether anything follows the head of the request."""
    if chunked(request.headers):
        return True
    return any(name == b"content-length" and int(value) > 0 for name, value in request.headers)


def _end_to_end(message: h11.Request | h11.Response | h11.InformationalResponse) -> Fields:
    dropped = set(_HOP_BY_HOP)
    for name, value in message.headers:
        if name == b"connection":
            dropped.update(part.strip().lower() for part in value.split(b","))
    if chunked(message.headers):
        dropped.add(b"content-length")  # RFC 9112, 6.3: the transfer encoding overrides it
    return [(name, value) for name, value in message.headers.raw_items() if name.lower() not in dropped]
