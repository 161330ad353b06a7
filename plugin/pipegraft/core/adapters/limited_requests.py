"""Limits for clients that speak by requests, such as python-gitlab: size and time of a whole answer."""

from __future__ import annotations

import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter

__all__ = ["limit_answers"]

_LARGEST = 64 << 20
"""Bytes of an answer, unpacked."""
_LONGEST = 300.0
"""Seconds of an answer; the timeout of requests is that of a silence."""


def limit_answers(session: requests.Session) -> None:
    """Make a session give up on answers without end."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Limited())


class _Limited(HTTPAdapter):
    def send(self, *arguments: Any, **words: Any) -> requests.Response:
        answer = super().send(*arguments, **words)
        if answer.links.get("next", {}).get("url") == answer.url:
            raise requests.ConnectionError(f"the page behind {answer.url} is that page again")
        answer.raw = _Body(answer.raw, str(answer.url))
        return answer


class _Body:
    """A body that ends, or raises.

    Arguments:
        raw: urllib3's response.
        url: what was asked, for messages.
    """

    def __init__(self, raw: Any, url: str) -> None:  # an untyped part of requests
        self._raw = raw
        self._url = url
        self._left = _LARGEST
        self._end = time.monotonic() + _LONGEST

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amount: int, decode_content: bool = True) -> Any:
        while block := self._raw.read1(amount, decode_content=decode_content):
            self._left -= len(block)
            if self._left < 0:
                raise requests.ConnectionError(f"more than {_LARGEST} bytes from {self._url}")
            if time.monotonic() > self._end:
                raise requests.ConnectionError(f"an answer of more than {_LONGEST:g} s from {self._url}")
            yield block
