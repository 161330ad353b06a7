"""The smoke test against servers that are slow, late or not there."""

from __future__ import annotations

import dataclasses
import http.server
import threading
from pathlib import Path
from typing import Any

import pytest

from pipegraft.core.errors import DeliveryRefused
from pipegraft.core.ports import FakeClock
from pipegraft.testing.stage_suite import StageSuite, stage_context


class TestStageIsConformant(StageSuite):
    @pytest.fixture
    def stage(self) -> Any:
        import pipegraft_smoke_test

        return pipegraft_smoke_test.STAGE


def ask(root: Path, clock: FakeClock | None = None, **inputs: object) -> None:
    import pipegraft_smoke_test

    stage = pipegraft_smoke_test.STAGE
    context = dataclasses.replace(stage_context(root), clock=clock or FakeClock())
    stage.run(context, stage.parse_inputs(inputs))


def test_an_answer_that_comes_byte_by_byte_has_a_limit(tmp_path: Path, dripping: str) -> None:
    with pytest.raises(DeliveryRefused, match=r"expected 200, found no answer within 1 s"):
        ask(tmp_path, url=dripping, attempts=1, timeout="1s")


def test_it_waits_between_attempts_and_takes_the_first_good_answer(tmp_path: Path) -> None:
    clock = FakeClock()
    began = clock.now()

    class Late(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if clock.now() - began >= 20 else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            with pytest.raises(DeliveryRefused, match="found 503"):
                ask(tmp_path, clock, url=url, attempts=2, pause="10s")
            assert clock.now() - began == 10  # none before the first attempt, none after the last
            ask(tmp_path, clock, url=url, attempts=2, pause="10s")
        finally:
            server.shutdown()
            thread.join()
    assert clock.now() - began == 20


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeliveryRefused, match=r"http://127.0.0.1:9/: expected 200, found no answer"):
        ask(tmp_path, url="http://127.0.0.1:9", attempts=1)
