"""The router keeps one proxy process running, whoever started it and whatever became of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from pipegraft.appspec.traffic_ports import Backend, Route
from pipegraft.cli import run
from pipegraft.core.errors import Unreachable
from pipegraft.engine.adapters.proxy import EmbeddedRouter
from pipegraft.testing.gray_suite import RouterSuite


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.server_address[1].to_bytes(2))

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def instance() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hello)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def router(tmp_path: Path) -> Iterator[EmbeddedRouter]:
    opened = EmbeddedRouter(tmp_path)
    yield opened
    opened.stop()


def route(*backends: Backend) -> Route:
    return Route("shop-web", "127.0.0.1:0", backends)


def url(router: EmbeddedRouter) -> str:
    return f"http://{router.listening['shop-web']}/"


def process_of(state: Path) -> int:
    return int((state / "proxy.pid").read_text())


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class TestEmbeddedRouter(RouterSuite):
    @pytest.fixture
    def addresses(self, instance: str) -> tuple[str, ...]:
        return (instance,)

    @pytest.fixture
    def ask(self, router: EmbeddedRouter) -> Callable[[str], None]:
        def ask(name: str) -> None:
            assert httpx2.get(f"http://{router.listening[name]}/", trust_env=False).status_code == 200

        return ask


def test_requests_are_served_and_counted(router: EmbeddedRouter, instance: str) -> None:
    router.apply([route(Backend("web", (instance,), 50), Backend("web-gray", (), 50))])
    codes = [httpx2.get(url(router)).status_code for _ in range(10)]
    assert codes == [200, 503] * 5
    assert router.observe() == {"shop-web": {"web": 5, "web-gray": 5}}


def test_new_weights_reach_the_running_proxy_and_the_port_stays(
    router: EmbeddedRouter, instance: str, tmp_path: Path
) -> None:
    router.apply([route(Backend("web", (instance,), 1))])
    process, where = process_of(tmp_path), url(router)
    router.apply([route(Backend("web", (instance,), 1), Backend("web-gray", (), 1))])
    assert (process_of(tmp_path), url(router)) == (process, where)
    assert [httpx2.get(where).status_code for _ in range(2)] == [200, 503]


def test_an_owner_killed_leaves_the_proxy_to_the_next(instance: str, tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import os, signal, pathlib
        from pipegraft.engine.adapters.proxy import EmbeddedRouter
        from pipegraft.appspec.traffic_ports import Backend, Route
        from pipegraft.engine.adapters.proxy import EmbeddedRouter
        from pipegraft.appspec.traffic_ports import Backend, Route
        route = Route("shop-web", "127.0.0.1:0", (Backend("web", ("{instance}",), 1),))
        EmbeddedRouter(pathlib.Path({str(tmp_path)!r})).apply([route])
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    router = EmbeddedRouter(tmp_path)
    process = process_of(tmp_path)
    try:
        assert httpx2.get(url(router)).status_code == 200
        router.apply([route(Backend("web", (instance,), 1))])
        assert process_of(tmp_path) == process
        assert router.observe() == {"shop-web": {"web": 1}}
    finally:
        router.stop()
    wait(lambda: not alive(process))


def test_a_dead_proxy_is_started_again(router: EmbeddedRouter, instance: str, tmp_path: Path) -> None:
    routes = [route(Backend("web", (instance,), 1))]
    router.apply(routes)
    before = process_of(tmp_path)
    os.kill(before, signal.SIGKILL)
    wait(lambda: not router.observe())
    router.apply(routes)
    assert process_of(tmp_path) != before
    assert httpx2.get(url(router)).status_code == 200


def test_a_port_in_use_is_said_and_what_was_served_is_served_on(
    router: EmbeddedRouter, instance: str
) -> None:
    served = route(Backend("web", (instance,), 1))
    router.apply([served])
    with pytest.raises(Unreachable, match=f"cannot listen on {instance}"):
        router.apply([served, Route("other", instance, ())])
    assert httpx2.get(url(router)).status_code == 200
    router.apply([served])


def test_a_proxy_that_cannot_start_says_why(tmp_path: Path, instance: str) -> None:
    with pytest.raises(Unreachable, match=f"did not start: .*cannot listen on {instance}"):
        EmbeddedRouter(tmp_path).apply([Route("web", instance, ())])


def test_a_second_proxy_for_the_same_file_is_refused(
    router: EmbeddedRouter, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    router.apply([])
    assert run(["proxy", "--config", str(tmp_path / "proxy.json")]) == 3
    assert f"(process {process_of(tmp_path)})" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routes: [{name: a, listen: nowhere}]", "proxy.yaml:1:28: 'routes[0].listen'"),
        ("rutes: []", "unknown key 'rutes'"),
        (
            "routes: [{name: a, listen: ':1'}, {name: a, listen: ':2'}]",
            "expected each route to have its own 'name', found 'a' twice",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(text)
    assert run(["proxy", "--config", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_no_file_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["proxy", "--config", str(tmp_path / "absent.json")]) == 2
    assert "found no file" in capsys.readouterr().err
