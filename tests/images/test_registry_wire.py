"""Connections that are kept, and proxies."""

from __future__ import annotations

import base64
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from registry_server import RegistryServer

from pipegraft.core.errors import UsageError
from pipegraft.images.adapters.registry import wire
from pipegraft.images.adapters.registry.wire import Lost, Wire, with_query


class Proxy(ThreadingHTTPServer):
    """Answers everything itself, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.clients: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_GET(self) -> None:
        self.server.clients.append(self.client_address[1])
        self.server.asked.append((self.path, self.headers["Proxy-Authorization"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def do_CONNECT(self) -> None:
        self.server.asked.append((self.path, self.headers["Proxy-Authorization"]))
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(connections: Wire, url: str) -> bytes:
    with connections.send("GET", url, headers={}, silence=5) as answer:
        return answer.content


@pytest.fixture
def connections() -> Iterator[Wire]:
    found = Wire(lambda: pytest.fail("no TLS is wanted"), "test")
    yield found
    found.close()


def test_one_connection_serves_many_requests(connections: Wire, proxy: Proxy) -> None:
    with_port = f"http://127.0.0.1:{proxy.server_address[1]}/"
    assert [ask(connections, with_port) for _ in range(3)] == [b"ok"] * 3
    assert (len(proxy.clients), len(set(proxy.clients))) == (3, 1)


def test_a_connection_the_server_closed_meanwhile_is_not_used(connections: Wire) -> None:
    answers = iter([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"] * 2)

    class Once(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(next(answers))

    with socketserver.TCPServer(("127.0.0.1", 0), Once) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        assert ask(connections, url) == b"ok"
        (idle,) = connections._idle.values()
        assert idle[0].sock.recv(1, socket.MSG_PEEK) == b""  # waits until the end of it has arrived
        assert ask(connections, url) == b"ok"
        server.shutdown()


def test_a_body_that_is_cut_short_is_no_answer(connections: Wire) -> None:
    class Half(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf")

    with socketserver.TCPServer(("127.0.0.1", 0), Half) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(Lost):
            ask(connections, f"http://127.0.0.1:{server.server_address[1]}/")
        server.shutdown()


def test_a_proxy_gets_whole_urls_and_its_own_credentials(
    connections: Wire, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:p%40ss@127.0.0.1:{proxy.server_address[1]}")
    assert ask(connections, "http://registry.example.com/v2/") == b"ok"
    said = base64.b64encode(b"me:p@ss").decode()
    assert proxy.asked == [("http://registry.example.com/v2/", f"Basic {said}")]


def test_https_goes_through_a_tunnel(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
    with pytest.raises(Lost):
        ask(Wire(wire.ssl.create_default_context, "test"), "https://registry.example.com/v2/")
    assert proxy.asked == [("registry.example.com:443", None)]


def test_no_proxy_is_asked_for_what_needs_none(
    connections: Wire, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
    monkeypatch.setenv("no_proxy", "example.invalid")
    with RegistryServer() as server:
        ask(connections, f"http://{server.name}/v2/")
    with pytest.raises(Lost):
        ask(connections, "http://registry.example.invalid/v2/")
    assert proxy.asked == []


def test_a_proxy_we_cannot_speak_to_is_named(connections: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(UsageError, match="found scheme 'socks5'"):
        ask(connections, "http://registry.example.com/")


@pytest.mark.parametrize(
    ("url", "parameters", "expected"),
    [
        ("http://r/u", {"digest": "sha256:0"}, "http://r/u?digest=sha256%3A0"),
        ("http://r/u?state=a%2Fb", {"digest": "d"}, "http://r/u?state=a%2Fb&digest=d"),
        ("http://r/u", {"scope": ["a", "b"]}, "http://r/u?scope=a&scope=b"),
        ("http://r/u", {}, "http://r/u"),
    ],
)
def test_a_query_is_added_to_what_is_there(url: str, parameters: dict[str, str], expected: str) -> None:
    assert with_query(url, parameters) == expected
