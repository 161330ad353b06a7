"""Requests of GitLab's API, by python-gitlab: limits of answers, the server's pace, failures as ours.

Source of the pace: GitLab, "Rate limits on user and IP", response headers: ``RateLimit-Remaining`` requests
until ``RateLimit-Reset``, a time by its clock.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import gitlab
import requests
from requests.adapters import HTTPAdapter

from pipegraft.core.adapters.waiting import retry_after
from pipegraft.core.errors import (
    AccessDenied,
    Locked,
    PipegraftError,
    TipMoved,
    Unreachable,
    UsageError,
    Vetoed,
)
from pipegraft.core.ports import Clock
from pipegraft.core.reading import readable

__all__ = ["Pace", "limit_answers", "translated"]


_LARGEST = 64 << 20
"""Bytes of an answer, unpacked."""
_LONGEST = 300.0
"""Seconds of an answer; the timeout of requests is that of a silence."""
_LONGEST_PERIOD = 3600.0
"""Seconds that a server is taken at its word for; GitLab's periods are of a minute up to an hour."""


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
        if answer.status_code >= 429 and not {"Retry-After", "RateLimit-Reset"}.isdisjoint(answer.headers):
            # The library sleeps for as long as it is told, whatever stands there.
            told = retry_after(answer.headers.get("Retry-After"), time.time())
            told = _until_reset(answer.headers) if told is None else told
            told = 1.0 if told is None else min(told, _LONGEST_PERIOD)
            answer.headers["Retry-After"] = str(math.ceil(told))
        return answer


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until a new period of the rate limit begins, by the server's clock; None if it does not say."""
    try:
        date = parsedate_to_datetime(headers["Date"]).timestamp()
        return min(max(0.0, float(headers["RateLimit-Reset"]) - date), _LONGEST_PERIOD)
    except (KeyError, ValueError, OverflowError):
        return None


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


_RESERVE = 40
"""Requests that are spread over what is left of a period; more than are ever under way at once here."""
_WORTH_SAYING = 5.0
"""Seconds of waiting that people are told of."""
_SILENCE = 30.0
"""Seconds between two such words."""


class Pace:
    """Shared by all threads that ask one server.

    Arguments:
        told: hears, now and then, for how many seconds requests are held back.
    """

    def __init__(self, clock: Clock, told: Callable[[float], None] = lambda _seconds: None) -> None:
        self._clock = clock
        self._told = told
        self._lock = threading.Lock()
        self._left: int | None = None
        self._end = 0.0
        self._slot = 0.0
        self._silent_until = 0.0

    def wait(self) -> None:
        """Before a request: wait for its turn."""
        with self._lock:
            now = self._clock.now()
            pause = self._turn(now) - now
            telling = pause >= _WORTH_SAYING and now >= self._silent_until
            if telling:
                self._silent_until = now + _SILENCE
        if telling:
            self._told(pause)
        self._clock.sleep(pause)

    def _turn(self, now: float) -> float:
        """When the next request may go out; the last ones of a period go at equal distances."""
        if self._left is None or now >= self._end:
            self._left = None  # a new period: its first answer tells
            return now
        if self._left <= _RESERVE:
            begin = max(now, self._slot)
            self._slot = begin + max(0.0, self._end - begin) / (max(self._left, 0) + 1)
            now = self._slot
        self._left -= 1
        return now

    def learn(self, headers: Mapping[str, str]) -> None:
        """After a request: what the answer says of the limit, if anything."""
        lasting = _until_reset(headers)
        try:
            left = int(headers["RateLimit-Remaining"])
        except (KeyError, ValueError):
            return
        if lasting is None:
            return
        with self._lock:
            end = self._clock.now() + lasting
            same = self._left is not None and abs(end - self._end) < _WORTH_SAYING
            # Those under way are counted here already, and not yet in what an earlier answer says.
            self._left = min(left, self._left) if same and self._left is not None else left
            self._end = end


_DECLINED = (
    "mend what the push rule or hook names: 'iac.commit' in delivery.yaml words messages and names authors"
)
_MOVED = re.compile(
    r"reference does not point to expected object|has changed since you started editing"
    r"|file with this name (?:already exists|doesn't exist)|could not update|failed to (?:lock|update)",
    re.IGNORECASE,
)


@contextmanager
def translated(name: str, token: str = "PIPEGRAFT_IAC_TOKEN") -> Iterator[None]:  # noqa: S107 - its name
    """Turn what the library raises into the error tree.

    Arguments:
        name: the project, for messages.
        token: the variable that holds the token.
    """
    try:
        with readable(f"GitLab with {name}"):
            yield
    except gitlab.GitlabError as error:
        raise _explained(error.response_code, _said_in(error), name, token) from None
    except requests.RequestException as error:
        raise Unreachable(
            f"{name}: GitLab gave no answer ({_cause(error)})",
            fix="check the server's address, proxy and certificates, or run this again",
        ) from None


def _cause(error: Exception) -> str:
    """What went wrong at the bottom: requests and urllib3 wrap it, and name objects of theirs."""
    inner = error.args[0] if error.args else ""
    said = str(getattr(inner, "reason", inner))
    return f"{type(error).__name__}: {said.rpartition('>: ')[2]}".rstrip(": ")


def _explained(code: int | None, said: str, name: str, token: str) -> PipegraftError:
    if code in {401, 403}:
        return AccessDenied(
            f"GitLab refused the token for {name}: {said}",
            fix=f"give {token} the scope 'api' and a role that may push to the branch",
        )
    if code == 404:
        return AccessDenied(
            f"there is no {name} for this token: {said}",
            fix=f"check the name, and what {token} may read",
        )
    if code == 409:
        return Locked(f"{name} is busy: {said}", fix="run this again")
    if code == 400 and _MOVED.search(said):
        return TipMoved(f"{name} has moved: {said}")
    if code == 400 and "hook" in said.lower():
        return Vetoed(f"{name} declined the commit: {said}", fix=_DECLINED)
    if code is None or code == 429 or code >= 500:
        return Unreachable(f"{name}: GitLab answered {code}: {said}", fix="run this again")
    return UsageError(f"{name}: GitLab answered {code}: {said}")


def _said_in(error: gitlab.GitlabError) -> str:
    """What GitLab said on one line; whoever answers in its place, a proxy for example, sends a page."""
    said = " ".join(str(error.error_message).split())
    return "the answer is a page, not GitLab's" if said.lower().startswith(("<html", "<!doctype")) else said
