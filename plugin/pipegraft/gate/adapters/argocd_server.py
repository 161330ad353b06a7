"""Argo CD's Applications by its own API: a stream of changes, and a poll in case it drops some.

Source: argoproj/argo-cd, ``assets/swagger.json`` and ``server/application``: a request to refresh is answered
once the Application was compared; ``broadcaster.go`` drops events when a listener's buffer is full.
"""

from __future__ import annotations

import atexit
import math
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pipegraft.core.adapters.http import Answer, Http, trusted
from pipegraft.core.adapters.waiting import Again, Attempts, Patience
from pipegraft.core.errors import AccessDenied, PipegraftError, Unreachable, UsageError
from pipegraft.core.reading import load_json, readable
from pipegraft.gate.model import ArgoCdOptions
from pipegraft.gate.workloads import TEMPLATED

__all__ = ["ServerApplications", "key_of", "open_server", "rolls", "set_of"]

_POLL = 10.0
"""Seconds after which everything is asked again."""
_SILENCE = 60.0
"""Seconds without a byte after which the stream counts as lost; Argo CD itself sends nothing in between."""
_STREAM = Patience(attempts=1, deadline=math.inf, silence=_SILENCE)
_TIMEOUT = 15.0
_COMPARING = 60.0
"""Seconds that one comparison may take."""
_ASKING = 8
"""Comparisons that are asked for at the same time."""
_PAUSES = (0.2, 5.0)
_TREE_AGE = 0.5
"""Seconds for which what an Application consists of is not asked again."""
_JOIN = 20.0
_LOG_LINES = 10
_MOST_EXPLAINED = 3
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
    applications = ServerApplications(options, str(root / options.ca) if options.ca else None, token)
    atexit.register(applications.close)  # on every way out, before the interpreter ends under its threads
    return applications


class ServerApplications:
    """`Applications` over Argo CD's API.

    Arguments:
        ca: file with its certificate authority; the system's if None.
    """

    def __init__(self, options: ArgoCdOptions, ca: str | None, token: str) -> None:
        self._options = options
        self._server = str(options.server).rstrip("/")
        try:
            trust = trusted(Path(ca) if ca else None)
        except OSError as error:
            raise UsageError(f"'gate.ca' {ca} cannot be read: {error}") from None
        self._http = Http(
            f"Argo CD at {self._server}",
            trust=trust,
            headers={"Authorization": f"Bearer {token}"},
            untrusted="set 'gate.ca' to a file with its certificate authority",
        )
        self._news = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._known: dict[Key, Object] = {}
        self._answers: dict[Key, int] = {}
        self._asking: set[Key] = set()
        self._questions: queue.SimpleQueue[tuple[Key, dict[str, str]] | None] = queue.SimpleQueue()
        self._trees: dict[Key, tuple[float, Sequence[Object]]] = {}
        self._threads: list[threading.Thread] = []
        self._polled: float | None = None
        self._now: datetime | None = None

    def begin(self, *, anew: bool) -> None:
        self._news.clear()
        if anew:
            self._polled = None

    def read(self, namespace: str | None) -> Mapping[Key, Object]:
        del namespace  # one server shows those of all its namespaces
        if self._polled is None or time.monotonic() - self._polled > _POLL:
            self._poll()
        if not self._threads:
            self._start(self._follow, "argocd stream")
        with self._lock:
            return dict(self._known)

    def ask(self, application: Object, *, hard: bool) -> None:
        """Argo CD answers once it has compared, so other threads wait for that."""
        key = key_of(application)
        with self._lock:
            if key in self._asking:
                return
            self._asking.add(key)
            helpers = sum(thread.name == "argocd refresh" for thread in self._threads)
        if helpers < min(_ASKING, len(self._asking)):
            self._start(self._refresh, "argocd refresh")
        self._questions.put((key, {**_place(application), "refresh": "hard" if hard else "normal"}))

    def is_answered(self, application: Object) -> bool:
        with self._lock:
            answer = self._answers.get(key_of(application))
        return answer is not None and _version(application) >= answer

    def evidence(self, application: Object, applied: Sequence[Object]) -> Mapping[str, object]:
        found: dict[str, object] = {"now": self._now.isoformat()} if self._now else {}
        with suppress(PipegraftError):  # without it less is known
            if applied:
                found["tree"] = self._tree(application)
            if ((application.get("status") or {}).get("sync") or {}).get("status") == "OutOfSync":
                windows = self._get(f"{_page(application)}/syncwindows", _place(application))
                found["rolling"] = None if set_of(application) else False
                found["can-sync"] = windows.get("canSync") if windows.get("assignedWindows") else None
                if set_of(application):
                    where = {"appsetNamespace": application["metadata"].get("namespace", "")}
                    found["rolling"] = rolls(
                        self._get(f"/api/v1/applicationsets/{set_of(application)}", where)
                    )
        return found

    def templates(self, application: Object, applied: Sequence[Object]) -> Sequence[Object]:
        found: list[Object] = []
        page = f"{_page(application)}/managed-resources"
        with suppress(PipegraftError, ValueError):  # without it less is known
            for kind in sorted({item["kind"] for item in applied if item.get("kind") in TEMPLATED}):
                items = self._get(page, {**_place(application), "kind": kind}).get("items") or ()
                live = (load_json(item.get("liveState") or "null") for item in items)
                found += [item for item in live if item]
        return found

    def wait(self, seconds: float) -> None:
        self._news.wait(seconds)

    def explain(self, applications: Sequence[Object]) -> Sequence[str]:
        """Unhealthy parts of the resource trees, with the logs of pods among them."""
        lines: list[str] = []
        for app in applications[:_MOST_EXPLAINED]:
            try:
                lines += self._explained(app)
            except PipegraftError as error:
                lines.append(f"not to be had: {error.problem.message}")
        return lines

    def close(self) -> None:
        """End the threads and the connections."""
        self._ended.set()
        self._http.end()
        for _ in self._threads:
            self._questions.put(None)
        for thread in self._threads:
            thread.join(_JOIN)
        self._http.close()

    def _start(self, what: Any, name: str) -> None:
        thread = threading.Thread(target=what, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _explained(self, app: Object) -> Sequence[str]:
        lines = []
        for node in self._tree(app):
            health = node.get("health") or {}
            if health.get("status") in {None, "Healthy"}:
                continue
            called = f"{node.get('kind')} {node.get('namespace', '')}/{node.get('name')}"
            lines.append(f"{called} {health['status']}: {health.get('message', '')}".removesuffix(": "))
            if node.get("kind") == "Pod":
                where = {"namespace": node.get("namespace", ""), "podName": node["name"]}
                asked = {**_place(app), **where, "tailLines": str(_LOG_LINES), "follow": "false"}
                said = self._request(f"{_page(app)}/logs", asked).text
                lines += [f"    {line}" for line in _log_lines(said)]
        return lines

    def _tree(self, app: Object) -> Sequence[Object]:
        """What an Application consists of, with the health of each part, pods included."""
        if not (app.get("status") or {}).get("reconciledAt"):
            return ()  # Argo CD would wait for its first look, which may never come
        key, now = key_of(app), time.monotonic()
        read, tree = self._trees.get(key, (float("-inf"), ()))
        if now - read > _TREE_AGE:
            tree = self._get(f"{_page(app)}/resource-tree", _place(app)).get("nodes") or ()
            self._trees[key] = (now, tree)
        return tree

    def _poll(self) -> None:
        options = self._options
        if options.names and not options.selector and not options.application_set and not options.children:
            found = [self._named(name) for name in options.names]
            items = self._listed() if None in found else found
        else:
            items = self._listed()
        with self._lock:
            self._known = {key_of(app): _typed(app) for app in items}
            self._polled = time.monotonic()

    def _named(self, name: str) -> Any:
        """An Application; who may list finds out that there is none of that name, which is 403, too."""
        options = self._options
        asked = {"appNamespace": options.namespace, "project": options.project}
        try:
            return self._get(f"/api/v1/applications/{name}", {key: it for key, it in asked.items() if it})
        except (AccessDenied, UsageError) as error:
            try:
                self._listed()
            except PipegraftError:
                raise error from None
            return None

    def _listed(self) -> list[Any]:
        options = self._options
        selector = ",".join(f"{key}={value}" for key, value in options.selector.items())
        asked = {"selector": selector} if selector and not options.names and not options.children else {}
        return self._get("/api/v1/applications", asked).get("items") or []

    def _follow(self) -> None:
        """Follow the stream until `close`."""
        options, pause = self._options, _PAUSES[0]
        alone = len(options.names) == 1 and not options.children
        asked = {"name": options.names[0], "appNamespace": options.namespace or ""} if alone else {}
        while not self._ended.is_set():
            try:
                with self._http.stream(
                    Attempts(_STREAM, self._http.clock, "following applications"),
                    "GET",
                    f"{self._server}/api/v1/stream/applications",
                    params={key: it for key, it in asked.items() if it},
                ) as answer:
                    self._http.require(answer, (200,))
                    for line in answer.iter_lines():
                        pause = _PAUSES[0]
                        with readable(self._http.name):
                            self._take(line)
            except (Again, PipegraftError):
                pass  # the poll tells what is wrong, if it lasts
            self._ended.wait(pause)
            pause = min(pause * 2, _PAUSES[1])

    def _take(self, line: str) -> None:
        event = load_json(line.removeprefix("data:")).get("result") if line.strip() else None
        if not event or not event.get("application"):
            return
        app = _typed(event["application"])
        with self._lock:
            if event.get("type") == "DELETED":
                self._known.pop(key_of(app), None)
            elif _version(app) >= _version(self._known.get(key_of(app), {})):
                self._known[key_of(app)] = app
        self._news.set()

    def _refresh(self) -> None:
        """Ask the questions, one after the other."""
        while not self._ended.is_set():
            question = self._questions.get()
            if question is None:
                return
            key, asked = question
            try:
                with readable(self._http.name):
                    app = _typed(self._get(f"/api/v1/applications/{key[1]}", asked, patience=_COMPARING))
                with self._lock, readable(self._http.name):
                    self._answers[key] = _version(app)
                    if _version(app) >= _version(self._known.get(key, {})):
                        self._known[key] = app
            except UsageError:  # its spec is wrong: no look will follow, and what it says of that is no news
                with self._lock:
                    self._answers.setdefault(key, 0)
            except PipegraftError:
                pass  # it was a request only; the poll tells what is wrong
            finally:
                with self._lock:
                    self._asking.discard(key)
                self._news.set()

    def _get(self, path: str, asked: Mapping[str, str] | None = None, patience: float = _TIMEOUT) -> Any:
        return self._request(path, asked, patience).json()

    def _request(
        self, path: str, asked: Mapping[str, str] | None = None, patience: float = _TIMEOUT
    ) -> Answer:
        attempts = Attempts(
            Patience(attempts=1, silence=patience), self._http.clock, f"{self._http.name}: GET {path}"
        )
        answer = self._http.ask(
            "GET", f"{self._server}{path}", attempts=attempts, good=range(600), params=asked
        )
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(answer, self._server)
        if answer.headers.get("Date"):
            self._now = parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
        return answer


def _refusal(answer: Answer, server: str) -> PipegraftError:
    """What went wrong; Argo CD answers 403 for an Application that does not exist, too."""
    try:
        body = load_json(answer.content)
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
    if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}:
        return UsageError(f"Argo CD at {server}: {said}", fix="check 'gate.application'")
    return Unreachable(f"Argo CD at {server} answered {answer.status}: {said}")


def set_of(app: Object) -> str:
    """The ApplicationSet that has made an Application; empty if none has."""
    owners = app["metadata"].get("ownerReferences") or ()
    return next((str(one.get("name")) for one in owners if one.get("kind") == "ApplicationSet"), "")


def rolls(application_set: Object) -> bool:
    """Whether an ApplicationSet syncs its Applications itself, step by step."""
    return ((application_set.get("spec") or {}).get("strategy") or {}).get("type") == "RollingSync"


def key_of(app: Object) -> Key:
    """Namespace and name of an Application."""
    return app["metadata"].get("namespace", ""), app["metadata"]["name"]


def _page(app: Object) -> str:
    return f"/api/v1/applications/{app['metadata']['name']}"


def _place(app: Object) -> dict[str, str]:
    """What makes a name the one Application that is meant."""
    metadata, project = app["metadata"], app["spec"].get("project")
    asked = {"appNamespace": metadata.get("namespace"), "project": project}
    return {key: value for key, value in asked.items() if value}


def _typed(app: Object) -> Object:
    return {"kind": "Application", **app}


def _version(app: Object) -> int:
    version = str((app.get("metadata") or {}).get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0


def _log_lines(text: str) -> Sequence[str]:
    """Lines of a log as Argo CD streams them, one JSON value a line."""
    lines = []
    for line in text.splitlines():
        try:
            lines.append(str(load_json(line)["result"]["content"]))
        except (ValueError, KeyError, TypeError):
            continue
    return lines[-_LOG_LINES:]
