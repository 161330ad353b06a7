"""HTTP as every adapter speaks it: connections, proxies, redirects, limits and errors."""

from __future__ import annotations

import base64
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from certificates import Certificates, certificates

from pipegraft.core.adapters.http import Http, same_origin, trusted
from pipegraft.core.adapters.waiting import Patience, retry_after
from pipegraft.core.errors import AccessDenied, OutsideError, Unreachable, UsageError
from pipegraft.core.ports import FakeClock

Reply = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """Answers what it is told to, a proxy's requests too, and remembers what it was asked.

    Arguments:
        reply: request → its answer.
    """

    daemon_threads = True

    def __init__(self, reply: Callable[[BaseHTTPRequestHandler], Reply] | None, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.reply = reply or (lambda _: (200, {}, b"ok"))
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.clients: list[int] = []

    @property
    def address(self) -> str:
        return "{}:{}".format(*self.server_address)

    def handle_error(self, *_: object) -> None:
        """A client may hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.clients.append(self.client_address[1])
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        status, headers, content = self.server.reply(self)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - http.server's names

    def do_CONNECT(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(
    reply: Callable[[BaseHTTPRequestHandler], Reply] | None = None,
    host: str = "127.0.0.1",
    tls: Certificates | None = None,
) -> Iterator[Server]:
    with Server(reply, host) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def answering(*texts: bytes) -> Iterator[str]:
    """A server that answers each connection with bytes as they are, and closes it."""
    left = iter(texts)

    class Raw(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(next(left))

    class Threaded(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Threaded(("127.0.0.1", 0), Raw) as server:
        threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture
def http() -> Iterator[Http]:
    found = client()
    yield found
    found.close()


def client(**options: object) -> Http:
    clock = FakeClock()
    given = {"patience": Patience(attempts=3, silence=5), "clock": clock, **options}
    return Http("test server", **given)


# Connections


def test_one_connection_serves_many_requests(http: Http) -> None:
    with serving() as server:
        url = f"http://{server.address}/"
        assert [http.ask("GET", url).content for _ in range(3)] == [b"ok"] * 3
        assert (len(server.clients), len(set(server.clients))) == (3, 1)


def test_a_connection_the_server_closed_meanwhile_is_not_used(http: Http) -> None:
    closed = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with answering(closed, closed) as url:
        assert [http.ask("GET", url).content for _ in range(2)] == [b"ok"] * 2


def test_a_body_that_is_cut_short_is_asked_for_again(http: Http) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok"
    with answering(half, half + b"ok") as url:
        assert http.ask("GET", url).content == b"okok"


def test_a_server_that_is_not_there_is_named_with_what_was_asked(http: Http) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/status"
    with pytest.raises(
        Unreachable, match=r"test server: GET /status: ConnectError: .* \(3 attempts\)"
    ) as caught:
        http.ask("GET", address)
    assert caught.value.exit_code == 3


def test_a_status_that_may_pass_is_waited_for() -> None:
    statuses = iter([503, 429, 200])
    clock = FakeClock()

    def reply(_: BaseHTTPRequestHandler) -> Reply:
        status = next(statuses)
        return status, {"Retry-After": "7"} if status == 429 else {}, b"ok"

    with serving(reply) as server:
        assert client(clock=clock).ask("GET", f"http://{server.address}/").status == 200
    assert clock.slept[1] == 7.0
    assert 0.1 < clock.slept[0] < 0.3


@pytest.mark.parametrize(("status", "kind"), [(404, OutsideError), (401, AccessDenied), (403, AccessDenied)])
def test_a_refusal_is_not_tried_again_and_tells_what_the_server_says(
    http: Http, status: int, kind: type[OutsideError]
) -> None:
    with serving(lambda _: (status, {}, b'{"message": "no such thing"}')) as server:
        with pytest.raises(kind, match=rf"GET /x: .*HTTP {status} \(no such thing\)"):
            http.ask("GET", f"http://{server.address}/x")
        assert len(server.asked) == 1


# Limits


def test_an_answer_larger_than_it_may_be_is_not_read(http: Http) -> None:
    with (
        serving(lambda _: (200, {}, bytes(2000))) as server,
        pytest.raises(OutsideError, match="at most 1000 bytes") as caught,
    ):
        http.ask("GET", f"http://{server.address}/", largest=1000)
    assert caught.value.exit_code == 3


def test_a_compressed_answer_counts_as_what_it_becomes(http: Http) -> None:
    import gzip

    packed = gzip.compress(bytes(1 << 20))
    with (
        serving(lambda _: (200, {"Content-Encoding": "gzip"}, packed)) as server,
        pytest.raises(OutsideError, match="at most 100000 bytes"),
    ):
        http.ask("GET", f"http://{server.address}/", largest=100_000)


# Redirects


def test_a_redirect_on_the_same_host_is_followed(http: Http) -> None:
    def reply(asked: BaseHTTPRequestHandler) -> Reply:
        return (302, {"Location": "/there"}, b"") if asked.path == "/" else (200, {}, b"there")

    with serving(reply) as server:
        assert http.ask("GET", f"http://{server.address}/").content == b"there"


def test_a_redirect_to_another_host_is_named_and_not_followed() -> None:
    with serving() as other:
        with (
            serving(lambda _: (302, {"Location": f"http://{other.address}/"}, b"")) as server,
            pytest.raises(OutsideError, match=f"sends us to http://{other.address}"),
        ):
            client(headers={"Private-Token": "hush"}).ask("GET", f"http://{server.address}/")
        assert other.asked == []


@pytest.mark.parametrize("options", [{"headers": {"Private-Token": "hush"}}, {"auth": ("me", "hush")}])
def test_secrets_stay_behind_where_a_redirect_elsewhere_is_wanted(options: dict[str, object]) -> None:
    http = client(**options)
    with (
        serving() as other,
        serving(lambda _: (302, {"Location": f"http://{other.address}/"}, b"")) as server,
        http.stream(http.attempts("reading"), "GET", f"http://{server.address}/", elsewhere=True) as answer,
    ):
        assert http.read(answer, http.attempts("reading")).content == b"ok"
    (asked,) = other.asked
    assert not {"private-token", "authorization"} & set(asked[1])
    (asked,) = server.asked
    assert {"private-token", "authorization"} & set(asked[1])


def test_a_circle_of_redirects_ends(http: Http) -> None:
    with (
        serving(lambda _: (302, {"Location": "/"}, b"")) as server,
        pytest.raises(OutsideError, match="more than 5 redirects"),
    ):
        http.ask("GET", f"http://{server.address}/")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example/x", "https://a.example:443/y", True),
        ("https://a.example", "http://a.example", False),
        ("http://a.example", "http://a.example:8080", False),
        ("http://a.example", "http://b.example", False),
        ("http://[::1]:80/", "http://[::1]/", True),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert same_origin(one, other) is same


# Proxies


def test_a_proxy_gets_whole_urls_and_its_own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:p%40ss@{proxy.address}")
        assert client().ask("GET", "http://registry.example.com/v2/").content == b"ok"
    ((path, headers),) = proxy.asked
    said = base64.b64encode(b"me:p@ss").decode()
    assert (path, headers["proxy-authorization"]) == ("http://registry.example.com/v2/", f"Basic {said}")


def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        with pytest.raises(Unreachable, match="403"):
            client(patience=Patience(attempts=1)).ask("GET", "https://registry.example.com/v2/")
    assert [path for path, _ in proxy.asked] == ["registry.example.com:443"]


@pytest.mark.parametrize("excluded", ["example.invalid", ".example.invalid", "*", "registry.example.invalid"])
def test_no_proxy_is_asked_for_what_needs_none(excluded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy, serving() as server:
        monkeypatch.setenv("ALL_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", excluded)
        http = client(patience=Patience(attempts=1))
        assert (
            http.ask("GET", f"http://{server.address}/").content == b"ok"
        )  # this machine is reached directly
        with pytest.raises(Unreachable):
            http.ask("GET", "http://registry.example.invalid/v2/")
        assert proxy.asked == []


def test_a_network_may_be_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy, serving(host="127.0.0.2") as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        assert client().ask("GET", f"http://{server.address}/").content == b"ok"
        assert client().ask("GET", "http://192.0.2.1/").content == b"ok"
        assert (len(server.asked), len(proxy.asked)) == (1, 1)


def test_a_proxy_may_be_reached_by_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificates(tmp_path)
    with serving(tls=made) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"https://{proxy.address}")
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        assert client().ask("GET", "http://registry.example.com/v2/").content == b"ok"
    assert [path for path, _ in proxy.asked] == ["http://registry.example.com/v2/"]


def test_a_certificate_that_is_not_trusted_is_said_at_once(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    with serving(tls=made) as server:
        url = f"https://{server.address}/"
        with pytest.raises(UsageError, match="its certificate is not trusted"):
            client().ask("GET", url)
        assert client(trust=trusted(made.ca)).ask("GET", url).content == b"ok"


@pytest.mark.parametrize(("scheme", "kind"), [("socks5", b"\x01"), ("socks5h", b"\x03")])
def test_a_socks_proxy_is_spoken_to(scheme: str, kind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    class Socks(socketserver.BaseRequestHandler):
        """RFC 1928 as far as one request goes."""

        def handle(self) -> None:
            self.request.recv(64)
            self.request.sendall(b"\x05\x00")
            asked.append(self.request.recv(512))
            self.request.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
            self.request.recv(4096)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with socketserver.TCPServer(("127.0.0.1", 0), Socks) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.005,), daemon=True).start()
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{proxy.server_address[1]}")
        host = "192.0.2.1" if scheme == "socks5" else "registry.example.com"
        assert client().ask("GET", f"http://{host}/v2/").content == b"ok"
        proxy.shutdown()
    assert asked[0][3:4] == kind


def test_a_proxy_we_cannot_speak_to_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "gopher://127.0.0.1:1")
    with pytest.raises(UsageError, match="gopher"):
        client()


def test_where_proxies_are_not_wanted_none_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        with pytest.raises(Unreachable):
            client(proxies=False, patience=Patience(attempts=1)).ask("GET", "http://engine.invalid/")
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:05 GMT", 0.0),
        ("soon", None),
        ("³", None),
        ("9" * 400, 86400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, now=10.0) == seconds
