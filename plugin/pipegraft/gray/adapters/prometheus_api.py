"""Prometheus' HTTP API: what a query answers at one time, or over a span of it.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from pipegraft.core.adapters.http import Http, trusted
from pipegraft.core.adapters.waiting import Patience
from pipegraft.core.errors import AccessDenied, Unreachable, UsageError
from pipegraft.core.model import Breach, Model, RelativePath, rule
from pipegraft.core.reading import readable

__all__ = ["Labels", "PrometheusApi", "ServerOptions"]

Labels = tuple[tuple[str, str], ...]
"""Labels of a series, sorted."""

_SOURCE = "metric source 'prometheus'"
_TOLD = frozenset({200, 400, 422, 503})
"""Statuses with which Prometheus' own JSON tells what is the matter (its API's "Format overview")."""
_ATTEMPTS = 2
"""A query only reads: one that got lost is asked once more."""
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class ServerOptions(Model):
    """Keys that say where the server is, and as whom it is asked."""

    url: str = Field(pattern=r"^https?://[^\s@]+$")
    """The server, without ``/api/v1``."""
    token_variable: str | None = Field(default=None, pattern=_VARIABLE)
    """Environment variable that holds a bearer token."""
    user: str | None = Field(default=None, pattern=r"^[^:]+$")
    """User name, for basic authentication."""
    password_variable: str | None = Field(default=None, pattern=_VARIABLE)
    """Environment variable that holds the user's password."""
    ca: RelativePath | None = None
    """File of certificate authorities to trust instead of the system's, relative to `delivery.yaml`."""
    headers: Mapping[str, str] = {}
    """Further header fields, a tenant's name for example."""
    timeout: float = Field(default=10.0, gt=0)
    """Seconds an answer may take."""

    @rule
    def _one_way_in(self) -> Iterator[Breach]:
        if (self.user is None) != (self.password_variable is None):
            yield Breach("expected 'user' and 'password-variable' together")
        if self.user and self.token_variable:
            yield Breach("expected either 'token-variable' or 'user', found both")


class PrometheusApi:
    """One server.

    Arguments:
        options: where it is, and as whom it is asked.
        root: folder that `ca` counts from.
    """

    def __init__(self, options: ServerOptions, root: Path) -> None:
        self._options = options
        self._root = root

    def instant(self, query: str, time: float) -> list[tuple[Labels, float]]:
        """What a query answers at one time: a vector, or a scalar as a series without labels; no NaN.

        Raises:
            Unreachable, AccessDenied: it did not answer or refused.
            UsageError: it does not understand the query.
        """
        data = self._ask("query", {"query": query, "time": f"{time:.3f}"})
        with readable(_SOURCE):
            result: Any = data.get("result", [])
            if data.get("resultType") == "scalar":
                result = [{"metric": {}, "value": result}]
            pairs = [(_labels(series), float(series["value"][1])) for series in result]
        return [(labels, value) for labels, value in pairs if not math.isnan(value)]

    def range(self, query: str, start: float, end: float, step: float) -> Mapping[Labels, Sequence[Any]]:
        """What a query answers from `start` to `end`, every `step` seconds.

        Returns:
            Series → pairs of seconds since the epoch and a number; no NaN.
        """
        form = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        data = self._ask("query_range", form)
        with readable(_SOURCE):
            found = {
                _labels(series): [(float(time), float(text)) for time, text in series["values"]]
                for series in data.get("result", [])
            }
        return {
            labels: [pair for pair in pairs if not math.isnan(pair[1])] for labels, pairs in found.items()
        }

    def _ask(self, kind: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        url = f"{self._options.url.rstrip('/')}/api/v1/{kind}"
        answer = self._http.ask("POST", url, what=f"asking {url}", good=_TOLD, data=dict(form))
        body = answer.json()
        with readable(_SOURCE):
            if body.get("status") == "success":
                return dict(body["data"])
        if body.get("errorType") == "bad_data":
            raise UsageError(f"{_SOURCE}: {body.get('error')} in {form['query']}")
        raise Unreachable(f"{_SOURCE}: {body.get('errorType')}: {body.get('error')}")

    @cached_property
    def _http(self) -> Http:
        options = self._options
        headers, auth = dict(options.headers), None
        if options.token_variable:
            headers["Authorization"] = f"Bearer {_secret(options.token_variable, 'token')}"
        if options.user and options.password_variable:
            auth = options.user, _secret(options.password_variable, "password")
        return Http(
            _SOURCE,
            trust=self._trust(),
            headers=headers,
            auth=auth,
            patience=Patience(
                attempts=_ATTEMPTS, deadline=_ATTEMPTS * options.timeout, silence=options.timeout
            ),
            untrusted="name its authority in 'ca' of the metric",
            denied="set 'token-variable', or 'user' and 'password-variable', to who may query it",
        )

    def _trust(self) -> ssl.SSLContext | None:
        if self._options.ca is None:
            return None
        path = self._root / self._options.ca
        try:
            return trusted(path)
        except OSError as error:
            raise UsageError(
                f"{_SOURCE}: expected certificate authorities in {path}: {error}",
                fix="correct 'ca' of the metric",
            ) from None


def _labels(series: Mapping[str, Any]) -> Labels:
    return tuple(sorted((str(name), str(value)) for name, value in series["metric"].items()))


def _secret(name: str, what: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise AccessDenied(f"{_SOURCE}: the variable {name} holds no {what}", fix=f"set {name}")
    return found
