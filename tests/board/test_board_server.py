"""The live board: who may see it, who may say what, and what it answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestClient, TestServer
from board_world import World, deliver, gray, message, text

from pipegraft.board.adapters import LiveBoard, make_app
from pipegraft.board.collecting import BoardWord, collect, tell
from pipegraft.board.model import Application, Board
from pipegraft.board.views import page_name

TOKEN = "a token of the board"
ADDRESS = "https://git.example.com/iac/shop.git"
Client = TestClient  # type: ignore[type-arg]


def live_board(token: str = TOKEN) -> tuple[World, LiveBoard]:
    world = deliver(World())
    world.write("production", text(2, "b", gray(3, "c", 25)), message(3, "prepare", "production"))

    def read() -> Board:
        return collect({ADDRESS: ADDRESS}, lambda _one, _seen: world, title="Delivery", now=world.now())

    def say(_application: Application, word: BoardWord) -> str:
        return tell(world.branch, word)

    return world, LiveBoard(read, say, refresh=3600, token=token)


def visit(live: LiveBoard, story: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        jar = CookieJar(unsafe=True)  # the server of the test has an address for a name
        async with TestClient(TestServer(make_app(live)), cookie_jar=jar) as client:
            await story(client)

    asyncio.run(run())


async def sign_in(client: Client, token: str = TOKEN) -> int:
    answer = await client.post("/login", data={"name": "Ada", "token": token}, allow_redirects=False)
    return answer.status


async def form_of(client: Client, live: LiveBoard) -> dict[str, str]:
    assert live.board is not None
    page = await (await client.get(f"/{page_name(live.board.applications[0])}")).text()
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    fields["page"] = page
    return fields


@pytest.mark.parametrize(
    ("phase", "offered"),
    [
        ("step", ["pause", "abort"]),
        ("paused", ["approve", "abort"]),
        ("held", ["approve", "abort"]),
        ("promoting", ["abort"]),
    ],
)
def test_what_is_offered_is_what_a_release_in_that_phase_takes(phase: str, offered: list[str]) -> None:
    world, live = live_board()
    world.write("production", text(2, "b", gray(3, "c", 100, phase)), message(3, "take-over", "production"))

    async def story(client: Client) -> None:
        await sign_in(client)
        page = (await form_of(client, live))["page"]
        assert re.findall(r'name="word" value="(\w+)"', page) == offered

    visit(live, story)


def test_pages_and_data_are_there_and_nothing_may_be_said_without_a_token() -> None:
    _, live = live_board(token="")

    async def story(client: Client) -> None:
        index = await client.get("/")
        assert index.status == 200
        assert "25%" in await index.text()
        assert "default-src 'none'" in index.headers["Content-Security-Policy"]
        assert index.headers["X-Frame-Options"] == "DENY"
        data = await (await client.get("/board.json")).json()
        assert data["applications"][0]["cells"][1]["trial"]["weight"] == 25
        page = (await form_of(client, live))["page"]
        assert "<form" not in page
        assert await sign_in(client, "") == 403
        assert (await client.post("/word", data={"word": "abort"})).status == 403
        assert (await client.get("/apps/none.html")).status == 404

    visit(live, story)


def test_who_signs_in_may_abort_and_the_commit_names_them() -> None:
    world, live = live_board()

    async def story(client: Client) -> None:
        assert "Abort" not in (await form_of(client, live))["page"]
        assert await sign_in(client, "another token here") == 403
        assert await sign_in(client) == 303
        form = await form_of(client, live)
        assert "Abort" in form.pop("page")
        answer = await client.post("/word", data={**form, "word": "abort"})
        assert "release 3 in production is taken back, by Ada" in await answer.text()
        assert "taken back" in await (await client.get("/")).text()
        again = await client.post("/word", data={**form, "word": "abort"})
        assert "not done: expected the gray release 3 in production, found none" in await again.text()

    visit(live, story)
    assert world.branch.log()[0].trailers["Pipegraft-Step"] == "rollback"
    assert "aborted by Ada" in world.branch.log()[0].message


@pytest.mark.parametrize("change", [{"csrf": "x"}, {"csrf": ""}, {"word": "promote"}, {"release": "-1"}])
def test_a_forged_form_changes_nothing(change: dict[str, str]) -> None:
    world, live = live_board()

    async def story(client: Client) -> None:
        await sign_in(client)
        form = await form_of(client, live)
        form.pop("page")
        answer = await client.post("/word", data={**form, "word": "abort", **change})
        assert answer.status in (400, 403)

    tip = world.tip()
    visit(live, story)
    assert world.tip() == tip


def test_another_site_cannot_ask_under_its_own_name_nor_use_the_cookie() -> None:
    world, live = live_board()

    async def story(client: Client) -> None:
        await sign_in(client)
        form = await form_of(client, live)
        form.pop("page")
        misdirected = await client.get("/", headers={"Host": "evil.example.com"})
        assert misdirected.status == 421
        async with ClientSession() as elsewhere:  # a form on another site brings no cookie: SameSite
            url = client.make_url("/word")
            async with elsewhere.post(url, data={**form, "word": "abort"}) as answer:
                assert answer.status == 403
        (cookie,) = client.session.cookie_jar
        assert cookie["samesite"] == "Strict"
        assert cookie["httponly"]

    tip = world.tip()
    visit(live, story)
    assert world.tip() == tip


def test_a_form_of_a_megabyte_is_refused() -> None:
    _, live = live_board()

    async def story(client: Client) -> None:
        assert (await client.post("/login", data={"name": "A" * 1_000_000})).status == 413

    visit(live, story)
