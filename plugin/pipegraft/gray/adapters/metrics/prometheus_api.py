"""Prometheus' HTTP API: instant and range queries, as one user.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from pipegraft.core.base import Declared, RelativePath
from pipegraft.core.errors import AccessDenied, Unreachable, UsageError
from pipegraft.core.fields import Field, model_validator

__all__ = ["Labels", "PrometheusApi", "ServerOptions"]

Labels = tuple[tuple[str, str], ...]
"""Labels of a series, sorted."""

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class ServerOptions(Declared):
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

    @model_validator
    def _one_way_in(self) -> None:
        if (self.user is None) != (self.password_variable is None):
            raise ValueError("expected 'user' and 'password-variable' together")
        if self.user and self.token_variable:
            raise ValueError("expected either 'token-variable' or 'user', found both")


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
        found = {
            _labels(series): [(float(time), float(text)) for time, text in series["values"]]
            for series in data.get("result", [])
        }
        return {
            labels: [pair for pair in pairs if not math.isnan(pair[1])] for labels, pairs in found.items()
        }

    def _ask(self, kind: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        options = self._options
        url = f"{options.url.rstrip('/')}/api/v1/{kind}"
        try:
            answer = httpx2.post(
                url,
                data=dict(form),
                headers=self._headers(),
                auth=self._auth(),
                timeout=options.timeout,
                verify=self._trust(),
            )
        except httpx2.HTTPError as error:
            raise Unreachable(f"metric source 'prometheus': no answer from {url}: {error}") from error
        if answer.status_code in (401, 403):
            raise AccessDenied(
                f"metric source 'prometheus': {url} refused access ({answer.status_code})",
                fix="set 'token-variable', or 'user' and 'password-variable', to who may query it",
            )
        try:
            body = answer.json()
        except ValueError:
            raise Unreachable(
                f"metric source 'prometheus': {url} answered {answer.status_code}, no JSON"
            ) from None
        if body.get("status") == "success":
            return dict(body["data"])
        if body.get("errorType") == "bad_data":
            raise UsageError(f"metric source 'prometheus': {body.get('error')} in {form['query']}")
        raise Unreachable(f"metric source 'prometheus': {body.get('errorType')}: {body.get('error')}")

    def _headers(self) -> dict[str, str]:
        headers = dict(self._options.headers)
        if self._options.token_variable:
            headers["Authorization"] = f"Bearer {_secret(self._options.token_variable, 'token')}"
        return headers

    def _auth(self) -> tuple[str, str] | None:
        options = self._options
        if not (options.user and options.password_variable):
            return None
        return options.user, _secret(options.password_variable, "password")

    def _trust(self) -> Any:
        if self._options.ca is None:
            return True
        path = self._root / self._options.ca
        try:
            return ssl.create_default_context(cafile=str(path))
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"metric source 'prometheus': expected certificate authorities in {path}: {error}",
                fix="correct 'ca' of the metric",
            ) from None


def _labels(series: Mapping[str, Any]) -> Labels:
    return tuple(sorted(series["metric"].items()))


def _secret(name: str, what: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise AccessDenied(
            f"metric source 'prometheus': the variable {name} holds no {what}", fix=f"set {name}"
        )
    return found
