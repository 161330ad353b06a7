"""Argo CD's Applications by its own API: a stream of changes, and a poll in case it drops some.

Source: argoproj/argo-cd, ``assets/swagger.json`` and ``server/application/broadcaster.go``, which drops
events when a listener's buffer is full.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pipegraft.core.adapters.attempts import Again, Attempts, Patience
from pipegraft.core.adapters.http import Answer, Http, trusted
from pipegraft.core.errors import AccessDenied, PipegraftError, Unreachable, UsageError
from pipegraft.gate.adapters.argocd_options import ArgoCdOptions

__all__ = ["ServerApplications", "open_server"]

_POLL = 10.0
"""Seconds after which everything is asked again."""
_SILENCE = 60.0
"""Seconds without a byte after which the stream counts as lost; Argo CD itself sends nothing in between."""
_STREAM = Patience(attempts=1, deadline=math.inf, silence=_SILENCE)
_TIMEOUT = 15.0
_PAUSES = (0.2, 5.0)
_LOG_LINES = 10
_TOKEN = "ARGOCD_AUTH_TOKEN"  # noqa: S105 - the name of a variable

Key = tuple[str, str]
Object = Mapping[str, Any]


def open_server(options: ArgoCdOptions, root: Path) -> ServerApplications:
    """Argo CD's API as the options name it.

    Raises:
        UsageError: there is no token, or the certificate authority cannot be read.
    """
    token = os.environ.get(_TOKEN, "")
    if not token:
        raise UsageError(
            f"expected the variable {_TOKEN} to hold a token for {options.server}",
            fix="make one with 'argocd account generate-token', and add it to the job's secret variables",
        )
    return ServerApplications(options, str(root / options.ca) if options.ca else None, token)


class ServerApplications:
    """`Applications` over Argo CD's API.

    Arguments:
        ca: file with its certificate authority; the system's if None.
    """

    def __init__(self, options: ArgoCdOptions, ca: str | None, token: str) -> None:
        self._options = options
        self._ca = ca
        self._token = token
        self._server = str(options.server).rstrip("/")
        self._news = threading.Event()
        self._lock = threading.Lock()
        self._known: dict[Key, Object] = {}
        self._polled: float | None = None
        self._followed = False
        self._refreshing: set[str] = set()
        self._ended = threading.Event()

    def begin(self) -> None:
        self._news.clear()

    def read(self, namespace: str) -> Mapping[Key, Object]:
        del namespace  # one server shows those of all its namespaces
        if self._polled is None or time.monotonic() - self._polled > _POLL:
            self._poll()
        if not self._followed:
            self._followed = True
            threading.Thread(target=self._follow, name="argocd stream", daemon=True).start()
        with self._lock:
            return dict(self._known)

    def can_sync(self, application: Object) -> bool | None:
        found = self._get(f"/api/v1/applications/{application['metadata']['name']}/syncwindows")
        return found.get("canSync") if found.get("assignedWindows") else None

    def refresh(self, application: Object, *, hard: bool) -> None:
        """Argo CD answers once it has compared, so that is not waited for here."""
        name = application["metadata"]["name"]
        with self._lock:
            if name in self._refreshing:
                return
            self._refreshing.add(name)
        how = "hard" if hard else "normal"
        threading.Thread(target=self._refresh, args=(name, how), name=f"refresh {name}", daemon=True).start()

    def workloads(self, application: Object, applied: Sequence[Object]) -> Mapping[str, object]:
        del application, applied  # its API tells health, which has what the pods say
        return {}

    def wait(self, seconds: float) -> None:
        self._news.wait(seconds)

    def explain(self) -> Sequence[str]:
        """Unhealthy parts of the resource trees, with the logs of pods among them."""
        lines: list[str] = []
        with self._lock:
            apps = list(self._known.values())
        unwell = [
            app for app in apps if (app.get("status") or {}).get("health", {}).get("status") != "Healthy"
        ]
        for app in unwell[:3]:
            try:
                lines += self._explained(app["metadata"]["name"])
            except PipegraftError as error:
                lines.append(f"not to be had: {error.problem.message}")
        return lines

    def close(self) -> None:
        """Follow the stream no more."""
        self._ended.set()

    def _explained(self, name: str) -> Sequence[str]:
        lines = []
        tree = self._get(f"/api/v1/applications/{name}/resource-tree")
        for node in tree.get("nodes") or ():
            health = node.get("health") or {}
            if health.get("status") in {None, "Healthy"}:
                continue
            called = f"{node.get('kind')} {node.get('namespace', '')}/{node.get('name')}"
            lines.append(f"{called} {health['status']}: {health.get('message', '')}")
            if node.get("kind") == "Pod":
                where = {"namespace": node.get("namespace", ""), "podName": node["name"]}
                asked = {**where, "tailLines": str(_LOG_LINES), "follow": "false"}
                said = self._ask(f"/api/v1/applications/{name}/logs", asked).text
                lines += [f"    {line}" for line in _log_lines(said)]
        return lines

    def _poll(self) -> None:
        options = self._options
        selector = ",".join(f"{key}={value}" for key, value in options.selector.items())
        if options.names and not selector and options.application_set is None and not options.children:
            items = [self._get(f"/api/v1/applications/{name}") for name in options.names]
        else:
            asked = {"selector": selector} if selector and not options.names else {}
            items = self._get("/api/v1/applications", asked).get("items") or []
        with self._lock:
            self._known = {_key(app): _named(app) for app in items}
            self._polled = time.monotonic()

    def _follow(self) -> None:
        """Follow the stream until `close`."""
        pause = _PAUSES[0]
        asked = {"name": self._options.names[0]} if len(self._options.names) == 1 else {}
        while not self._ended.is_set():
            try:
                with self._http.stream(
                    Attempts(_STREAM, self._http.clock, "following applications"),
                    "GET",
                    f"{self._server}/api/v1/stream/applications",
                    params=asked if not self._options.children else {},
                ) as answer:
                    self._http.require(answer, (200,))
                    for line in answer.iter_lines():
                        pause = _PAUSES[0]
                        self._take(line)
            except (Again, PipegraftError, ValueError):
                pass  # the poll tells what is wrong, if it lasts
            self._ended.wait(pause)
            pause = min(pause * 2, _PAUSES[1])

    def _take(self, line: str) -> None:
        event = json.loads(line.removeprefix("data:")).get("result") if line.strip() else None
        if not event or not event.get("application"):
            return
        app = _named(event["application"])
        with self._lock:
            if event.get("type") == "DELETED":
                self._known.pop(_key(app), None)
            elif _version(app) >= _version(self._known.get(_key(app), {})):
                self._known[_key(app)] = app
        self._news.set()

    def _refresh(self, name: str, how: str) -> None:
        try:
            app = _named(self._get(f"/api/v1/applications/{name}", {"refresh": how}, patience=60.0))
            with self._lock:
                self._known[_key(app)] = app
        except PipegraftError:
            pass  # it was a request only; the poll tells what is wrong
        finally:
            with self._lock:
                self._refreshing.discard(name)
            self._news.set()

    def _get(self, path: str, asked: Mapping[str, str] | None = None, patience: float = _TIMEOUT) -> Any:
        return self._ask(path, asked, patience).json()

    def _ask(self, path: str, asked: Mapping[str, str] | None = None, patience: float = _TIMEOUT) -> Answer:
        attempts = Attempts(
            Patience(attempts=1, silence=patience), self._http.clock, f"{self._http.name}: GET {path}"
        )
        answer = self._http.ask(
            "GET", f"{self._server}{path}", attempts=attempts, good=range(600), params=asked
        )
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(answer, self._server)
        return answer

    @cached_property
    def _http(self) -> Http:
        try:
            trust = trusted(Path(self._ca) if self._ca else None)
        except OSError as error:
            raise UsageError(f"'gate.ca' {self._ca} cannot be read: {error}") from None
        return Http(
            f"Argo CD at {self._server}",
            trust=trust,
            headers={"Authorization": f"Bearer {self._token}"},
            untrusted="name its authority in 'gate.ca'",
        )


def _refusal(answer: Answer, server: str) -> PipegraftError:
    """What went wrong; Argo CD answers 403 for an Application that does not exist, too."""
    try:
        body = json.loads(answer.content)
        said = str(body.get("error") or body.get("message"))
    except (ValueError, AttributeError):
        said = HTTPStatus(answer.status).phrase
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return AccessDenied(f"Argo CD at {server} does not accept the token: {said}", fix=f"renew {_TOKEN}")
    if answer.status == HTTPStatus.FORBIDDEN:
        return AccessDenied(
            f"Argo CD at {server} refuses: {said}",
            fix="check the Application's name, and grant the rights that docs/gate.md lists",
        )
    if answer.status == HTTPStatus.NOT_FOUND:
        return UsageError(f"Argo CD at {server}: {said}", fix="check 'gate.application'")
    return Unreachable(f"Argo CD at {server} answered {answer.status}: {said}")


def _key(app: Object) -> Key:
    return app["metadata"].get("namespace", ""), app["metadata"]["name"]


def _named(app: Object) -> Object:
    return {"kind": "Application", **app}


def _version(app: Object) -> int:
    version = str((app.get("metadata") or {}).get("resourceVersion", ""))
    return int(version) if version.isdigit() else 0


def _log_lines(text: str) -> Sequence[str]:
    """Lines of a log as Argo CD streams them, one JSON value a line."""
    lines = []
    for line in text.splitlines():
        try:
            lines.append(str(json.loads(line)["result"]["content"]))
        except (ValueError, KeyError, TypeError):
            continue
    return lines[-_LOG_LINES:]
