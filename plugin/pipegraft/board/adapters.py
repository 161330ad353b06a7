"""The live board: pages over HTTP on this machine, and, where it is asked for, words to gray releases."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

from pipegraft.board.collecting import WORDS, BoardWord
from pipegraft.board.model import Application, Board
from pipegraft.board.views import Controls, application_page, board_page, page_name
from pipegraft.core.errors import PipegraftError

__all__ = ["LiveBoard", "make_app", "serve"]

_COOKIE = "pipegraft-board"
_LARGEST = 16 * 1024
"""Bytes of a form."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass
class Session:
    """Somebody who signed in.

    Arguments:
        name: who it is; it goes into commits.
        csrf: what their forms must bring along.
        said: what came of their last word, shown once.
    """

    name: str
    csrf: str
    said: str = ""


@dataclass
class LiveBoard:
    """What the server shows and does.

    Arguments:
        read: reads the board anew; it blocks.
        tell: does what somebody said to an application, and answers what was done; it blocks.
        refresh: seconds between two readings.
        token: who knows it may approve, pause and abort; empty for a board that only shows.
        hosts: names under which it may be asked beside loopback addresses: a page elsewhere that lets its
            own name point here is refused.
    """

    read: Callable[[], Board]
    tell: Callable[[Application, BoardWord], str]
    refresh: int = 30
    token: str = ""
    hosts: frozenset[str] = frozenset()
    sessions: dict[str, Session] = field(default_factory=dict)
    """By cookie."""
    board: Board | None = None


_LIVE: web.AppKey[LiveBoard] = web.AppKey("live", LiveBoard)


def make_app(live: LiveBoard) -> web.Application:
    """The application; it reads the board before the first answer, then every `refresh` seconds."""
    app = web.Application(client_max_size=_LARGEST, middlewares=[_guarded])
    app[_LIVE] = live
    app.cleanup_ctx.append(_reading)
    app.add_routes(
        [
            web.get("/", _index),
            web.get("/board.json", _json),
            web.get("/apps/{page}", _application),
            web.post("/login", _login),
            web.post("/word", _word),
        ]
    )
    return app


async def serve(live: LiveBoard, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until it is cancelled.

    Arguments:
        ready: hears the address.
    """
    runner = web.AppRunner(make_app(live), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        listening = runner.addresses[0]
        shown = f"[{listening[0]}]" if ":" in listening[0] else listening[0]
        ready(f"http://{shown}:{listening[1]}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _reading(app: web.Application) -> AsyncIterator[None]:
    live = app[_LIVE]

    async def again() -> None:
        while True:
            live.board = await asyncio.to_thread(live.read)
            await asyncio.sleep(live.refresh)

    live.board = await asyncio.to_thread(live.read)
    task = asyncio.create_task(again())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@web.middleware
async def _guarded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    live = request.app[_LIVE]
    if not _is_here(request.url.host or "", live.hosts):
        raise web.HTTPMisdirectedRequest(text=f"this board is not called {request.host}; see --name\n")
    response = await handler(request)
    response.headers.update(_HEADERS)
    return response


def _is_here(host: str, names: frozenset[str]) -> bool:
    if host == "localhost" or host in names:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _board(request: web.Request) -> Board:
    board = request.app[_LIVE].board
    if board is None:
        raise web.HTTPServiceUnavailable
    return board


def _page(text: str, nonce: str) -> web.Response:
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'nonce-{nonce}'; "
    headers = {
        "Content-Security-Policy": policy + "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    }
    return web.Response(text=text, content_type="text/html", headers=headers)


async def _index(request: web.Request) -> web.Response:
    nonce = secrets.token_urlsafe(16)
    live = request.app[_LIVE]
    return _page(board_page(_board(request), nonce=nonce, refresh=live.refresh), nonce)


async def _json(request: web.Request) -> web.Response:
    return web.json_response(_board(request).to_json())


def _find(board: Board, key: str) -> Application:
    found = next((one for one in board.applications if key in (one.id, page_name(one))), None)
    if found is None:
        raise web.HTTPNotFound(text="there is no such application on the board\n")
    return found


async def _application(request: web.Request) -> web.Response:
    live, board = request.app[_LIVE], _board(request)
    application = _find(board, f"apps/{request.match_info['page']}")
    session = live.sessions.get(request.cookies.get(_COOKIE, ""))
    controls = Controls("/word", session.csrf) if session and live.token else None
    said, asks = (session.said if session else ""), bool(live.token and session is None)
    if session:
        session.said = ""
    text = application_page(application, board.made, home="/", controls=controls, said=said, asks=asks)
    return _page(text, secrets.token_urlsafe(16))


async def _login(request: web.Request) -> web.Response:
    live, form = request.app[_LIVE], await request.post()
    name, token = str(form.get("name", "")).strip()[:80], str(form.get("token", ""))
    if not live.token or not name or not hmac.compare_digest(token.encode(), live.token.encode()):
        raise web.HTTPForbidden(text="the token is not this board's, or no name was given\n")
    cookie = secrets.token_urlsafe(32)
    live.sessions[cookie] = Session(name, secrets.token_urlsafe(32))
    answer = web.Response(status=303, headers={"Location": _back(request)})
    answer.set_cookie(_COOKIE, cookie, httponly=True, samesite="Strict", secure=request.secure, max_age=28800)
    return answer


async def _word(request: web.Request) -> web.Response:
    live, form = request.app[_LIVE], await request.post()
    session = live.sessions.get(request.cookies.get(_COOKIE, ""))
    if session is None or not live.token:
        raise web.HTTPForbidden(text="sign in first\n")
    if not hmac.compare_digest(str(form.get("csrf", "")).encode(), session.csrf.encode()):
        raise web.HTTPForbidden(text="this form is not of this session; load the page again\n")
    word, number = str(form.get("word", "")), str(form.get("release", ""))
    if word not in WORDS or not number.isdecimal():
        raise web.HTTPBadRequest(text="expected approve, pause or abort, and the number of a release\n")
    application = _find(_board(request), str(form.get("application", "")))
    environment = str(form.get("environment", ""))
    meant = BoardWord(application.name, application.folder, environment, int(number), word, session.name)
    try:
        session.said = await asyncio.to_thread(live.tell, application, meant)
    except PipegraftError as error:
        session.said = f"not done: {error.problem.message}"
    live.board = await asyncio.to_thread(live.read)
    raise web.HTTPSeeOther(f"/{page_name(application)}")


def _back(request: web.Request) -> str:
    """The page that the form stood on, if it is one of ours."""
    path = urlsplit(request.headers.get("Referer", "")).path
    return path if path.startswith("/apps/") else "/"
