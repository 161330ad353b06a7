"""The proxy on the wire: what clients and instances see, byte by byte where it matters."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from pipegraft.appspec.traffic_ports import Backend, Choice, Route
from pipegraft.engine.adapters.metrics import samples_of
from pipegraft.engine.adapters.proxy import ProxyConfig
from pipegraft.engine.adapters.proxy_server import Balancer, Proxy

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(test: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(limited())


@asynccontextmanager
async def instance(handler: Handler) -> AsyncIterator[str]:
    """A server on an ephemeral port; answers its address."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def says(text: str, *, close: bool = False) -> Handler:
    """Answers every request with a short text, over as many requests as the peer likes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (
                    int(line[15:])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            await reader.readexactly(length)
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
            if close:
                return

    return handler


def raw(answer: bytes, seen: list[bytes] | None = None) -> Handler:
    """Reads one head, sends these bytes, closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(head)
        writer.write(answer)
        await writer.drain()

    return handler


@asynccontextmanager
async def proxy(*backends: Backend, **options: Any) -> AsyncIterator[tuple[Proxy, int]]:
    """A proxy with one route; answers it and its port."""
    served = Proxy()
    await served.apply(config(*backends, **options))
    try:
        yield served, int(served.listening["web"].rpartition(":")[2])
    finally:
        await served.close()


def config(*backends: Backend, **options: Any) -> ProxyConfig:
    of = ProxyConfig.of((Route("web", "127.0.0.1:0", backends),), "127.0.0.1:0")
    return of.model_copy(update={"grace": 1.0, **options})


async def ask(port: int, request: bytes) -> bytes:
    """Send, and read until the proxy closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def get(port: int) -> bytes:
    return await ask(port, b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")


async def counts(served: Proxy) -> dict[str, float]:
    """What /metrics says of requests: ``backend code`` → count, zeros left out."""
    port = int(served.admin.rpartition(":")[2])
    page = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
    return {
        f"{sample.labels['backend']} {sample.labels['code']}": sample.value
        for sample in samples_of(page.partition(b"\r\n\r\n")[2].decode())
        if sample.name == "pipegraft_proxy_requests_total" and sample.value
    }


@pytest.mark.parametrize("weights", [(90, 10), (95, 5), (1, 1), (2, 1), (100, 0), (50, 30, 20), (33, 67)])
def test_every_window_of_the_sum_has_each_share_exactly(weights: tuple[int, ...]) -> None:
    balancer = Balancer([Backend(str(index), ("a:1",), weight) for index, weight in enumerate(weights)])
    total = sum(weights)
    chosen = [backend.name for _ in range(3 * total) if (backend := balancer.choose())]
    for start in range(0, 2 * total, 7):
        counted = Counter(chosen[start : start + total])
        assert [counted[str(index)] for index in range(len(weights))] == list(weights)


def test_a_tenth_of_the_traffic_is_spread_evenly() -> None:
    balancer = Balancer([Backend("stable", ("a:1",), 90), Backend("gray", ("b:1",), 10)])
    chosen = [backend.name for _ in range(40) if (backend := balancer.choose())]
    places = [index for index, name in enumerate(chosen) if name == "gray"]
    assert [later - earlier for earlier, later in pairwise(places)] == [10, 10, 10]


def test_choices_come_before_the_weights_and_take_nobody_s_turn() -> None:
    async def check() -> None:
        async with instance(says("stable")) as stable, instance(says("gray")) as gray:
            served = Proxy()
            backends = (Backend("web", (stable,), 100), Backend("web-gray", (gray,), 0))
            choices = (
                Choice("X-Team", "shop", "web-gray"),
                Choice("Cookie", r"^(.*;\s*)?beta=yes(\s*;.*)?$", "web-gray", regex=True),
            )
            await served.apply(
                ProxyConfig.of((Route("web", "127.0.0.1:0", backends, choices),), "127.0.0.1:0")
            )
            port = int(served.listening["web"].rpartition(":")[2])
            for fields, expected in (
                (b"", b"stable"),
                (b"x-team: shop\r\n", b"gray"),
                (b"X-Team: shops\r\n", b"stable"),
                (b"Cookie: a=1; beta=yes; c=2\r\n", b"gray"),
                (b"Cookie: a=1\r\nCookie: beta=yes\r\n", b"gray"),
                (b"Cookie: nobeta=yes\r\n", b"stable"),
            ):
                request = b"GET / HTTP/1.1\r\nHost: shop\r\n" + fields + b"Connection: close\r\n\r\n"
                assert (await ask(port, request)).endswith(expected), fields
            await served.close()

    run(check())


def test_weights_are_kept_over_real_requests() -> None:
    async def check() -> None:
        async with (
            instance(says("stable")) as stable,
            instance(says("gray")) as gray,
            proxy(Backend("web", (stable,), 80), Backend("web-gray", (gray,), 20)) as (served, port),
        ):
            answers = Counter([(await get(port)).rpartition(b"\r\n")[2] for _ in range(50)])
            assert answers == {b"stable": 40, b"gray": 10}
            assert await counts(served) == {"web 200": 40, "web-gray 200": 10}

    run(check())


def test_fields_that_concern_one_connection_stay_there_and_forwarding_is_told() -> None:
    async def check() -> None:
        seen: list[bytes] = []
        answer = (
            b"HTTP/1.1 200 OK\r\nConnection: X-Local\r\nX-Local: 1\r\nX-Kept: 2\r\nContent-Length: 2\r\n\r\n"
        )
        async with (
            instance(raw(answer + b"ok", seen)) as address,
            proxy(Backend("web", (address,), 1)) as (_, port),
        ):
            got = await ask(
                port,
                b"GET http://shop/a?b=c HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 10.0.0.9\r\n"
                b"TE: trailers\r\nX-Secret-Hop: 1\r\nConnection: close, X-Secret-Hop\r\nKeep-Alive: 5\r\n"
                b"Accept: */*\r\n\r\n",
            )
        assert seen == [
            b"GET /a?b=c HTTP/1.1\r\nHost: shop\r\nAccept: */*\r\nX-Forwarded-For: 10.0.0.9, 127.0.0.1\r\n"
            b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: shop\r\nVia: 1.1 pipegraft\r\n\r\n"
        ]
        without_date = re.sub(
            rb"Date: [^\r]*\r\n", b"", got
        )  # RFC 9110, 6.6.1: who forwards adds a missing one
        assert (
            without_date
            == b"HTTP/1.1 200 OK\r\nX-Kept: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        )

    run(check())


def test_bodies_stream_both_ways_before_they_are_complete() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (chunk := await reader.readline()) != b"0\r\n":
            writer.write(chunk + await reader.readline())
        await reader.readline()
        writer.write(b"0\r\n\r\n")

    async def check() -> None:
        async with instance(echo) as address, proxy(Backend("web", (address,), 1)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            for part in (b"3\r\none\r\n", b"5\r\nthree\r\n"):
                writer.write(part)
                assert await reader.readexactly(len(part)) == part
            writer.write(b"0\r\n\r\n")
            assert await reader.readexactly(5) == b"0\r\n\r\n"
            writer.close()

    run(check())


def test_a_slow_reader_slows_the_instance_down_and_gets_every_byte() -> None:
    size = 8 * 1024 * 1024

    async def check() -> None:
        async def big(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
            for start in range(0, size, 65536):
                writer.write(bytes([start // 65536 % 251]) * 65536)
                await writer.drain()

        async with instance(big) as address, proxy(Backend("web", (address,), 1)) as (_, port):
            answer = await get(port)
            body = answer.partition(b"\r\n\r\n")[2]
            assert len(body) == size
            assert body[65536 * 100] == 100

    run(check())


def test_an_expectation_is_asked_of_the_instance() -> None:
    async def check() -> None:
        async def careful(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Expect: 100-continue" in head
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(5)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)

        async def strict(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

        head = b"PUT / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        async with instance(careful) as address, proxy(Backend("web", (address,), 1)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
            writer.write(b"hello")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            writer.close()
        async with instance(strict) as address, proxy(Backend("web", (address,), 1)) as (_, port):
            assert (await ask(port, head)).startswith(b"HTTP/1.1 413")

    run(check())


def test_an_early_answer_ends_an_upload_that_nobody_reads() -> None:
    async def check() -> None:
        async with (
            instance(raw(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")) as address,
            proxy(Backend("web", (address,), 1)) as (served, port),
        ):
            head = b"POST / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n"
            assert (await ask(port, head + b"x" * 300000)).endswith(b"\r\n\r\nno")
            assert await counts(served) == {"web 403": 1}

    run(check())


async def closed_port() -> str:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    return address


def test_the_next_instance_is_tried_where_one_does_not_accept() -> None:
    async def check() -> None:
        dead = await closed_port()
        async with (
            instance(says("alive")) as alive,
            proxy(Backend("web", (dead, alive), 1)) as (served, port),
        ):
            for _ in range(4):
                assert (await get(port)).endswith(b"alive")
            assert await counts(served) == {"web 200": 4}
            admin = int(served.admin.rpartition(":")[2])
            page = await ask(admin, b"GET /instances HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
            rows = json.loads(page.partition(b"\r\n\r\n")[2])["rows"]
            assert {(route, backend, address) for _, route, backend, address, _ in rows} == {
                ("web", "web", alive)
            }
            assert sum(sum(counts) for *_, counts in rows) == 4

    run(check())


def test_no_instance_that_accepts_is_a_502_of_that_version() -> None:
    async def check() -> None:
        dead = await closed_port()
        async with (
            instance(says("stable")) as stable,
            proxy(Backend("web", (stable,), 1), Backend("web-gray", (dead,), 1)) as (served, port),
        ):
            codes = [(await get(port))[9:12] for _ in range(4)]
            assert codes == [b"200", b"502", b"200", b"502"]
            assert await counts(served) == {"web 200": 2, "web-gray 502": 2}

    run(check())


def test_a_version_without_instances_is_a_503() -> None:
    async def check() -> None:
        async with proxy(Backend("web", (), 1)) as (served, port):
            assert (await get(port)).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert await counts(served) == {"web 503": 1}

    run(check())


def test_what_was_sent_is_not_sent_again_elsewhere() -> None:
    async def check() -> None:
        seen: list[bytes] = []
        async with (
            instance(raw(b"", seen)) as one,
            instance(raw(b"", seen)) as two,
            proxy(Backend("web", (one, two), 1)) as (_, port),
        ):
            post = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n"
            assert (await ask(port, post)).startswith(b"HTTP/1.1 502")
            assert len(seen) == 1

    run(check())


def test_a_connection_closed_between_two_requests_costs_nobody_an_error() -> None:
    async def check() -> None:
        async with (
            instance(says("once", close=True)) as address,
            proxy(Backend("web", (address,), 1)) as (served, port),
        ):
            for _ in range(20):
                assert (await get(port)).endswith(b"once")
            assert await counts(served) == {"web 200": 20}

    run(check())


def test_an_answer_cut_short_reaches_the_client_cut_short_and_counts_as_failed() -> None:
    async def check() -> None:
        async with (
            instance(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")) as address,
            proxy(Backend("web", (address,), 1)) as (served, port),
        ):
            assert len((await get(port)).partition(b"\r\n\r\n")[2]) < 100
            assert await counts(served) == {"web 502": 1}

    run(check())


def test_an_answer_that_breaks_off_before_anything_was_passed_on_is_a_502() -> None:
    async def check() -> None:
        broken = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n"
        async with (
            instance(raw(broken)) as address,
            proxy(Backend("web", (address,), 1)) as (served, port),
        ):
            assert (await get(port)).startswith(b"HTTP/1.1 502")
            assert await counts(served) == {"web 502": 1}

    run(check())


def test_an_instance_that_does_not_speak_http_is_a_502() -> None:
    async def check() -> None:
        async with (
            instance(raw(b"hello\r\n\r\n")) as address,
            proxy(Backend("web", (address,), 1)) as (_, port),
        ):
            assert (await get(port)).startswith(b"HTTP/1.1 502")

    run(check())


def test_a_silent_instance_is_a_504() -> None:
    async def check() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        backend = silent
        async with (
            instance(backend) as address,
            proxy(Backend("web", (address,), 1), response_timeout=0.05) as (served, port),
        ):
            assert (await get(port)).startswith(b"HTTP/1.1 504")
            assert await counts(served) == {"web 504": 1}

    run(check())


def test_a_client_that_leaves_takes_its_request_with_it() -> None:
    async def check() -> None:
        reached, ended = asyncio.Event(), asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            reached.set()
            await reader.read()
            ended.set()

        async with instance(slow) as address, proxy(Backend("web", (address,), 1)) as (served, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            await reached.wait()
            writer.close()
            await ended.wait()
            while not await counts(served):
                pass
            assert await counts(served) == {"web 499": 1}

    run(check())


def test_rubbish_from_a_client_is_a_400_and_not_counted_against_a_version() -> None:
    async def check() -> None:
        async with instance(says("x")) as address, proxy(Backend("web", (address,), 1)) as (served, port):
            assert (await ask(port, b"rubbish\r\n\r\n"))[8:13] == b" 400 "
            smuggled = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
            assert (await ask(port, smuggled))[8:13] == b" 400 "
            assert await counts(served) == {}

    run(check())


def test_several_requests_share_a_connection_on_both_sides() -> None:
    async def check() -> None:
        accepted = 0
        answer = says("again")

        async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal accepted
            accepted += 1
            await answer(reader, writer)

        async with instance(counting) as address, proxy(Backend("web", (address,), 1)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n" * 5)
            for _ in range(5):
                await reader.readuntil(b"again")
            writer.close()
            assert accepted == 1

    run(check())


def test_head_and_old_clients_are_answered_in_their_way() -> None:
    async def check() -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        head_only = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
        async with instance(raw(chunked)) as address, proxy(Backend("web", (address,), 1)) as (_, port):
            old = await ask(port, b"GET / HTTP/1.0\r\n\r\n")
            assert old.endswith(b"\r\n\r\nabc")
            assert b"chunked" not in old
        async with instance(raw(head_only)) as address, proxy(Backend("web", (address,), 1)) as (_, port):
            answer = await ask(port, b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert b"\r\nContent-Length: 3\r\n" in answer
            assert answer.endswith(b"\r\nConnection: close\r\n\r\n")

    run(check())


def test_a_reload_cuts_nothing_and_keeps_the_counters() -> None:
    async def check() -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            reached.set()
            await go_on.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")

        async with (
            instance(slow) as old,
            instance(says("new")) as new,
            proxy(Backend("web", (old,), 1)) as (served, port),
        ):
            before = asyncio.create_task(get(port))
            await reached.wait()
            await served.apply(config(Backend("web", (old,), 0), Backend("web-gray", (new,), 1)))
            assert (await get(port)).endswith(b"new")
            go_on.set()
            assert (await before).endswith(b"old")
            assert await counts(served) == {"web 200": 1, "web-gray 200": 1}

    run(check())


def test_routes_come_and_go_and_a_port_in_use_changes_nothing() -> None:
    async def check() -> None:
        async with instance(says("x")) as address, proxy(Backend("web", (address,), 1)) as (served, port):
            backends = (Backend("web", (address,), 1),)
            taken = ProxyConfig.of(
                (Route("web", "127.0.0.1:0", backends), Route("other", address, backends)), "127.0.0.1:0"
            )
            with pytest.raises(OSError, match=f"cannot listen on {address}"):
                await served.apply(taken)
            assert (await get(port)).endswith(b"x")
            await served.apply(ProxyConfig())
            with pytest.raises(ConnectionRefusedError):
                await get(port)

    run(check())


def test_a_head_that_is_too_long_is_a_400() -> None:
    async def check() -> None:
        async with instance(says("x")) as address, proxy(Backend("web", (address,), 1)) as (served, port):
            fitting = (
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Long: " + b"a" * 60_000 + b"\r\n\r\n"
            )
            assert (await ask(port, fitting)).endswith(b"x")
            too_long = b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
            assert (await ask(port, too_long))[8:13] == b" 400 "
            assert await counts(served) == {"web 200": 1}

    run(check())


@pytest.mark.parametrize("target", [b"*", b"shop:443", b"/caf\xc3\xa9"])
def test_a_target_that_no_instance_can_be_asked_for_is_a_400(target: bytes) -> None:
    async def check() -> None:
        async with instance(says("x")) as address, proxy(Backend("web", (address,), 1)) as (_, port):
            request = b"OPTIONS " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            assert (await ask(port, request))[8:13] == b" 400 "

    run(check())


def test_targets_reach_the_instance_as_they_were_written() -> None:
    async def check() -> None:
        seen: list[bytes] = []
        answer = b"HTTP/1.1 204 No Content\r\n\r\n"
        target = b"/a%2Fb/../%41?q=%7e&q=a+b"
        async with (
            instance(raw(answer, seen)) as address,
            proxy(Backend("web", (address,), 1)) as (_, port),
        ):
            await ask(port, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert seen[0].startswith(b"GET " + target + b" HTTP/1.1\r\n")

    run(check())


def test_a_client_that_says_nothing_or_stops_within_its_head_or_body_is_not_waited_for() -> None:
    async def check() -> None:
        async with (
            instance(says("x")) as address,
            proxy(Backend("web", (address,), 1), client_timeout=0.1) as (served, port),
        ):
            assert await ask(port, b"") == b""
            assert await ask(port, b"GET / HTTP/1.1\r\nHost: ") == b""
            body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"
            assert (await ask(port, body)).startswith(b"HTTP/1.1 408")
            assert await counts(served) == {"web 408": 1}

    run(check())


def test_an_upload_under_way_ends_well_while_the_proxy_stops() -> None:
    async def check() -> None:
        reached = asyncio.Event()

        async def upload(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            reached.set()
            body = await reader.readexactly(5)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)

        async with instance(upload) as address, proxy(Backend("web", (address,), 1)) as (served, port):
            idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
            await reached.wait()
            closing = asyncio.create_task(served.close())
            assert await idle.read() == b""
            writer.write(b"hello")
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"hello")
            await closing
            idle_writer.close()
            writer.close()

    run(check())


def test_a_request_that_outlasts_the_grace_is_given_up() -> None:
    async def check() -> None:
        reached = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            reached.set()
            await reader.read()

        async with (
            instance(slow) as address,
            proxy(Backend("web", (address,), 1), grace=0.05) as (served, port),
        ):
            asking = asyncio.create_task(get(port))
            await reached.wait()
            await served.close()
            assert await asking == b""

    run(check())
