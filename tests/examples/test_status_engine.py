"""The engine with a page keeps the contract of engines, and believes nothing that it does not understand."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from pipegraft.app.plugins import HOOKS
from pipegraft.core.errors import Unreachable
from pipegraft.core.plugins import Plugins
from pipegraft.gate.hooks import GITOPS_ENGINES, GitOpsEnginePlugin
from pipegraft.gate.ports import EngineRequest, GitOpsEngine, State, VerdictRule
from pipegraft.testing.engine_suite import EngineSuite

LIVE = {"revision": "abc", "state": "running", "message": "3 of 3 instances are up"}


class Page(http.server.BaseHTTPRequestHandler):
    content: Any = LIVE

    def do_GET(self) -> None:
        body = json.dumps(self.content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def plugin() -> GitOpsEnginePlugin:
    entry = EntryPoint("status", "pipegraft_status_engine", "pipegraft.gitops_engines")
    return Plugins(HOOKS, [entry]).get(GITOPS_ENGINES, "status")


@pytest.fixture
def engine(plugin: GitOpsEnginePlugin, tmp_path: Path) -> Iterator[GitOpsEngine]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        options = plugin.options.model_validate({"url": f"http://127.0.0.1:{server.server_address[1]}/shop"})
        yield plugin.connect(options, EngineRequest(tmp_path))
        server.shutdown()
        thread.join()


class TestStatusEngine(EngineSuite):
    @pytest.fixture
    def rule(self, plugin: GitOpsEnginePlugin) -> VerdictRule:
        return plugin.verdict

    @pytest.fixture
    def target(self) -> str:
        return "abc"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (LIVE, State.SUCCEEDED),
        ({**LIVE, "state": "failed"}, State.FAILED),
        ({**LIVE, "state": "deploying"}, State.PROGRESSING),
        ({**LIVE, "state": "Running "}, State.PROGRESSING),
        ({**LIVE, "revision": "def", "state": "failed"}, State.PROGRESSING),
        ({**LIVE, "revision": None}, State.PROGRESSING),
        ({}, State.PROGRESSING),
    ],
)
def test_only_what_is_understood_and_ours_decides(
    plugin: GitOpsEnginePlugin, status: dict[str, Any], state: State
) -> None:
    assert plugin.verdict(status, lambda revision: revision == "abc").state is state


def test_a_page_that_is_no_object_is_not_believed(
    engine: GitOpsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Page, "content", ["running"])
    with pytest.raises(Unreachable, match="expected an object"):
        engine.observe()
