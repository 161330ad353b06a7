"""The embedded engine's status server and its client, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from pipegraft.core.errors import Unreachable, UsageError
from pipegraft.engine.adapters.gitops import EmbeddedEngine, EmbeddedOptions, verdict
from pipegraft.engine.adapters.server import Push, StatusServer
from pipegraft.gate.ports import VerdictRule
from pipegraft.testing.engine_suite import EngineSuite


def live(revision: str) -> dict[str, Any]:
    return {
        "revision": {"observed": revision, "desired": revision, "live": revision},
        "health": "healthy",
        "message": "it is live",
        "problems": [],
        "trouble": [],
        "resources": [],
    }


class Source:
    """An engine whose status a test sets."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._status = live("abc")
        self.syncs: list[Push | None] = []

    def names(self) -> Sequence[str]:
        return ["shop-production"]

    def status(self, name: str) -> dict[str, Any]:
        if name != "shop-production":
            raise UsageError(f"no application '{name}'; there are: shop-production")
        return self._status

    def become(self, status: dict[str, Any]) -> None:
        with self._news:
            self._status = status
            self._news.notify_all()

    def wait(self, seconds: float) -> None:
        with self._news:
            self._news.wait(seconds)

    def sync(self, push: Push | None = None) -> Sequence[str]:
        self.syncs.append(push)
        return ["shop-iac (main)"]

    def proxied(self, page: str) -> str:
        if page == "/instances":
            return '{"rows": []}'
        raise Unreachable("the proxy does not run")


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def server(source: Source) -> Iterator[StatusServer]:
    with StatusServer("127.0.0.1", 0, source, source.proxied, "hush") as server:
        yield server


def client(server: StatusServer, application: str = "shop-production") -> EmbeddedEngine:
    return EmbeddedEngine(EmbeddedOptions(application=application, url=server.url), Path())


class TestEmbeddedEngine(EngineSuite):
    @pytest.fixture
    def engine(self, server: StatusServer) -> EmbeddedEngine:
        return client(server)

    @pytest.fixture
    def rule(self) -> VerdictRule:
        return verdict

    @pytest.fixture
    def target(self) -> str:
        return "abc"


def test_waiting_ends_with_the_news(server: StatusServer, source: Source) -> None:
    engine = client(server)
    engine.observe()
    threading.Timer(0.1, source.become, [live("def")]).start()
    started = time.monotonic()
    engine.wait(30.0)
    assert time.monotonic() - started < 10.0
    assert engine.observe()["revision"]["live"] == "def"


def test_news_between_two_looks_are_not_missed(server: StatusServer, source: Source) -> None:
    engine = client(server)
    engine.observe()
    source.become(live("def"))
    started = time.monotonic()
    engine.wait(30.0)
    assert time.monotonic() - started < 10.0


def test_a_known_page_is_answered_without_a_body(server: StatusServer) -> None:
    page = f"{server.url}/applications/shop-production"
    tag = httpx2.get(page).headers["ETag"]
    again = httpx2.get(page, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)


def test_a_sync_is_passed_on(server: StatusServer, source: Source) -> None:
    client(server).request_sync()
    assert source.syncs == [None]


def test_an_unknown_application_is_named_with_those_that_exist(server: StatusServer) -> None:
    with pytest.raises(UsageError, match="no application 'shp'; there are: shop-production"):
        client(server, "shp").observe()


def test_an_engine_that_is_not_there_is_unreachable_and_waiting_for_it_takes_its_time() -> None:
    engine = EmbeddedEngine(EmbeddedOptions(application="x", url="http://127.0.0.1:1"), Path())
    with pytest.raises(Unreachable, match="start it with 'pipegraft engine'"):
        engine.observe()
    started = time.monotonic()
    engine.wait(0.1)
    assert time.monotonic() - started >= 0.1


def test_the_state_folder_says_where_the_engine_listens(server: StatusServer, tmp_path: Path) -> None:
    engine = EmbeddedEngine(EmbeddedOptions(application="shop-production", state="engine"), tmp_path)
    with pytest.raises(Unreachable, match=r"expected .*engine\.json to say where"):
        engine.observe()
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "engine.json").write_text(json.dumps({"url": server.url}))
    assert engine.observe()["health"] == "healthy"


@pytest.mark.parametrize("options", [{}, {"url": "http://x", "state": "y"}, {"url": "ftp://x"}])
def test_options_say_exactly_one_address(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        EmbeddedOptions.model_validate({"application": "shop", **options})


def test_other_pages(server: StatusServer) -> None:
    assert httpx2.get(f"{server.url}/healthz").text == "ok\n"
    assert httpx2.get(f"{server.url}/applications").json() == {"applications": ["shop-production"]}
    assert httpx2.get(f"{server.url}/metrics").status_code == 503
    assert httpx2.get(f"{server.url}/instances").json() == {"rows": []}
    assert httpx2.get(f"{server.url}/nowhere").status_code == 404
    assert httpx2.post(f"{server.url}/nowhere").status_code == 404


PUSH = {
    "object_kind": "push",
    "ref": "refs/heads/main",
    "project": {"git_http_url": "https://gitlab.example.com/iac/shop.git"},
}


def test_a_gitlab_webhook_is_passed_on(server: StatusServer, source: Source) -> None:
    answer = httpx2.post(f"{server.url}/webhook", json=PUSH, headers={"X-Gitlab-Token": "hush"})
    assert (answer.status_code, answer.json()) == (202, {"looking-at": ["shop-iac (main)"]})
    assert source.syncs == [Push(("https://gitlab.example.com/iac/shop.git",), "main")]


def test_a_webhook_without_the_secret_is_refused(server: StatusServer, source: Source) -> None:
    for headers in ({}, {"X-Gitlab-Token": "hush!"}, {"X-Gitlab-Token": ""}):
        answer = httpx2.post(f"{server.url}/webhook", json=PUSH, headers=headers)
        assert answer.status_code == 403
        assert "hush" not in answer.text
    assert source.syncs == []


def test_a_webhook_that_is_none_is_refused(server: StatusServer, source: Source) -> None:
    def post(content: bytes) -> int:
        headers = {"X-Gitlab-Token": "hush"}
        return httpx2.post(f"{server.url}/webhook", content=content, headers=headers).status_code

    assert post(b"no json") == 400
    assert post(b"[]") == 400
    assert post(b'{"ref": "refs/tags/v1"}') == 202
    assert post(b"x" * (5 << 20)) == 413
    assert source.syncs == []


def test_without_a_secret_no_webhook_is_taken(source: Source) -> None:
    with StatusServer("127.0.0.1", 0, source, source.proxied) as server:
        answer = httpx2.post(f"{server.url}/webhook", json=PUSH, headers={"X-Gitlab-Token": ""})
    assert answer.status_code == 403
    assert "PIPEGRAFT_WEBHOOK_SECRET" in answer.text


def test_an_address_that_is_taken_is_told(server: StatusServer, source: Source) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(Unreachable, match=f"cannot listen on 127.0.0.1:{port}"):
        StatusServer("127.0.0.1", port, source, source.proxied)
