"""Argo CD by its own API: stream and poll, token, rights, windows, what explains a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from http_script import Script, scripted

from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.errors import AccessDenied, Unreachable, UsageError
from pipegraft.core.ports import RecordingProgress
from pipegraft.gate.adapters import argocd_server
from pipegraft.gate.adapters.argocd import ArgoCd
from pipegraft.gate.adapters.argocd_server import ServerApplications, open_server
from pipegraft.gate.argocd import verdicts
from pipegraft.gate.model import ArgoCdOptions
from pipegraft.gate.ports import EngineRequest, State
from pipegraft.gate.waiting import Patience, Waited, follow_revision
from pipegraft.iac.ports import FakeIacRepository

APPS = "/api/v1/applications"
URL = "https://git.example.com/iac/shop.git"


def app(revision: str, version: int = 1, sync: str = "Synced", health: str = "Healthy", **more: Any) -> Any:
    return {
        "metadata": {"name": "shop", "namespace": "argocd", "resourceVersion": str(version)},
        "spec": {"source": {"repoURL": URL}, "destination": {}, "syncPolicy": {"automated": {}}},
        "status": {
            "sync": {"status": sync, "revision": revision},
            "health": {"status": health},
            "reconciledAt": "2026-01-01T00:00:00Z",
            **more,
        },
    }


class World:
    """Argo CD's server with one Application, and a gate for it."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.iac = FakeIacRepository({"count": "0"})
        self.before = self.iac.tip()
        self.target = self.iac.commit({"count": "1"}, "ours", self.before)
        self.now = app(self.before)
        self.stream: list[Any] = []
        script.answers |= {
            f"{APPS}/shop": lambda _script, _query: self.now,
            "/api/v1/stream/applications": lambda script, _query: self.play(script),
            f"{APPS}/shop/syncwindows": lambda _script, _query: {},
        }

    def play(self, script: Script) -> Iterator[Any]:
        for event in self.stream:
            self.now = event["result"].get("application", self.now)
            yield event
        script.ended.wait(10)

    def options(self, **more: Any) -> ArgoCdOptions:
        return ArgoCdOptions.model_validate({"application": "shop", "server": self.script.url, **more})

    def gate(self, timeout: float = 5.0) -> Waited:
        server = ServerApplications(self.options(), None, "hush")
        try:
            return follow_revision(
                ArgoCd(self.options(), EngineRequest(root=None, repository=URL), server),  # type: ignore[arg-type]
                verdicts,
                history=self.iac,
                target=self.target,
                patience=Patience(timeout),
                clock=SystemClock(),
                progress=RecordingProgress(),
            )
        finally:
            server.close()


@pytest.fixture
def world() -> Iterator[World]:
    with scripted({}) as script:
        yield World(script)


def test_the_stream_tells_of_the_target(world: World) -> None:
    world.stream = [{"result": {"type": "MODIFIED", "application": app(world.target, 2)}}]
    waited = world.gate()
    assert waited.error is None
    assert world.script.headers[0]["Authorization"] == "Bearer hush"


def test_an_event_that_the_stream_dropped_is_found_by_the_poll(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argocd_server, "_POLL", 0.1)
    before, after = world.now, app(world.target, 2)
    asked = {"count": 0}

    def answer(_script: Script, query: dict[str, str]) -> Any:
        asked["count"] += 0 if query else 1
        return after if asked["count"] > 2 else before

    world.script.answers[f"{APPS}/shop"] = answer
    assert world.gate().error is None


def test_old_news_of_the_stream_change_nothing(world: World) -> None:
    world.now = app(world.before, 5)
    world.stream = [{"result": {"type": "MODIFIED", "application": app(world.target, 4)}}]
    waited = world.gate(0.6)
    assert waited.verdict
    assert waited.verdict.state is State.PROGRESSING


def test_it_is_asked_to_compare(world: World) -> None:
    world.now = app(world.target)
    world.gate()
    deadline = time.monotonic() + 60
    while not world.script.count(f"{APPS}/shop", refresh="normal"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_closed_sync_window_is_told_at_once(world: World) -> None:
    world.now = app(world.target, sync="OutOfSync")
    closed = {"assignedWindows": [{"kind": "deny"}], "canSync": False}
    world.script.answers[f"{APPS}/shop/syncwindows"] = lambda _script, _query: closed
    waited = world.gate()
    assert waited.verdict
    assert (waited.verdict.state, "sync window" in waited.verdict.reason) == (State.BLOCKED, True)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"spec": {"strategy": {"type": "RollingSync"}}}, State.PROGRESSING),
        ({"spec": {}}, State.BLOCKED),
        ((403, {"error": "permission denied", "code": 7}), State.PROGRESSING),  # it may be one that does
    ],
)
def test_what_its_application_set_syncs_step_by_step_is_not_blocked(
    world: World, answer: Any, state: State
) -> None:
    world.now = app(world.target, sync="OutOfSync")
    world.now["spec"]["syncPolicy"] = {}
    world.now["metadata"]["ownerReferences"] = [{"kind": "ApplicationSet", "name": "shops"}]
    world.script.answers["/api/v1/applicationsets/shops"] = lambda _script, _query: answer
    waited = world.gate(1.0)
    assert waited.verdict
    assert waited.verdict.state is state


def test_a_failure_is_explained_by_the_tree_and_the_log(world: World) -> None:
    world.now = app(world.target, health="Degraded")
    crashing = {"status": "Degraded", "message": "CrashLoopBackOff"}
    pod = {"kind": "Pod", "namespace": "shop", "name": "web-1", "health": crashing}
    service = {"kind": "Service", "name": "web", "health": {"status": "Healthy"}}
    lines = iter([{"result": {"content": "boom"}}, {"result": {"content": "", "last": True}}])
    world.script.answers |= {
        f"{APPS}/shop/resource-tree": lambda _script, _query: {"nodes": [pod, service]},
        f"{APPS}/shop/logs": lambda _script, _query: lines,
    }
    waited = world.gate()
    assert waited.verdict
    assert waited.verdict.evidence == ("Pod shop/web-1 Degraded: CrashLoopBackOff", "    boom", "    ")


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (
            (401, {"error": "token expired", "code": 16}),
            AccessDenied,
            "does not accept the token: token expired",
        ),
        ((403, {"error": "permission denied", "code": 7}), AccessDenied, "refuses: permission denied"),
        ((404, {"error": "applications 'shop' not found", "code": 5}), UsageError, "'shop' not found"),
        ((503, b"upstream"), Unreachable, "answered 503"),
        (b"<html>", Unreachable, "expected JSON"),
    ],
)
def test_what_the_server_refuses_is_told(
    world: World, answer: Any, error: type[Exception], says: str
) -> None:
    world.script.answers[f"{APPS}/shop"] = lambda _script, _query: answer
    waited = world.gate(1.5)
    assert isinstance(waited.error, error)
    assert says in str(waited.error)
    assert "hush" not in str(waited.error)


def test_what_argo_cd_says_of_a_spec_that_it_refuses_to_look_at_is_believed(world: World) -> None:
    """As Argo CD 3.5 answers for an Application whose project does not exist: it lists it alone."""
    said = 'app is not allowed in project "nosuch", or the project does not exist'
    wrong = {"type": "InvalidSpecError", "message": "references project nosuch which does not exist"}
    world.script.answers |= {
        f"{APPS}/shop": lambda _script, _query: (400, {"error": said, "code": 3}),
        APPS: lambda _script, _query: {"items": [app("", sync="Unknown", conditions=[wrong])]},
    }
    waited = world.gate()
    assert waited.verdict
    assert (waited.verdict.state, "project nosuch" in waited.verdict.reason) == (State.FAILED, True)


def test_a_token_is_needed(monkeypatch: pytest.MonkeyPatch, world: World, tmp_path: Any) -> None:
    monkeypatch.delenv("ARGOCD_AUTH_TOKEN", raising=False)
    with pytest.raises(UsageError, match=r"ARGOCD_AUTH_TOKEN[\s\S]*fix: .*generate-token"):
        open_server(world.options(), tmp_path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "expected 'application'"),
        ({"selector": {"a": "b"}}, "need 'expect'"),
        ({"application-set": "shops"}, "need 'expect'"),
    ],
)
def test_options_that_say_too_little_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ArgoCdOptions.model_validate(given)


def test_several_applications_are_listed_by_label(world: World) -> None:
    listing: Callable[..., Any] = lambda _script, _query: {"items": [app(world.target)]}  # noqa: E731
    world.script.answers[APPS] = listing
    options = ArgoCdOptions.model_validate(
        {"selector": {"team": "shop"}, "expect": 2, "server": world.script.url}
    )
    server = ServerApplications(options, None, "hush")
    found = server.read("argocd")
    server.close()
    assert [name for _, name in found] == ["shop"]
    assert world.script.count(APPS, selector="team=shop") == 1


@pytest.mark.parametrize(
    "line",
    [5, [], {"result": 5}, {"result": {"application": 5}}, {"result": {"application": {"metadata": [5]}}}],
)
def test_a_line_of_the_stream_that_is_no_event_ends_no_thread(world: World, line: Any) -> None:
    world.stream = [line]
    server = ServerApplications(world.options(), None, "hush")
    try:
        server.read(None)
        (follower,) = server._threads
        deadline = time.monotonic() + 10
        while not world.script.count("/api/v1/stream/applications") and time.monotonic() < deadline:
            time.sleep(0.01)
        follower.join(0.05)
        assert follower.is_alive()
    finally:
        server.close()
