"""From the history of an application's environments to what the board shows of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from pipegraft.appspec.environment_file import read_environment
from pipegraft.audit.dora import WEEK, deployments_of
from pipegraft.audit.release_commits import Book
from pipegraft.audit.release_scan import Held
from pipegraft.board.model import Application, Cell, Happening, Lead, Links, State, Trial, Week
from pipegraft.core.errors import PipegraftError
from pipegraft.iac.commits import GATE

__all__ = ["cell_of", "in_order", "leads_of", "links_of", "read_application"]

_SHOWN = 40
"""Commits of an environment that the board shows."""
_WEEKS = 12
_MONDAY = 4 * 86400.0
"""The epoch was a Thursday: its first Monday."""
_ORDER = ("dev", "develop", "development", "test", "testing", "qa", "integration", "uat", "stag", "preprod")
"""How environments before production are called, in the order in which releases reach them."""
_BEGIN = ("bump", "prepare")


def in_order(environments: Iterable[str]) -> list[str]:
    """Environments in the order in which releases usually reach them: what has no usual name before
    production, production last."""

    def place(name: str) -> tuple[int, str]:
        lower = name.lower()
        if lower.startswith(("prod", "live")):
            return len(_ORDER) + 1, name
        found = (at for at, start in enumerate(_ORDER) if lower.startswith(start))
        return next(found, len(_ORDER)), name

    return sorted(environments, key=place)


def read_application(
    name: str, repository: str, folder: str, books: Iterable[Book], now: float
) -> Application:
    """One application.

    Arguments:
        repository: its IaC repository, without credentials.
        folder: its folder there, empty for the root.
        books: the history of each environment's file.
        now: seconds since the epoch.
    """
    by_name = {book.environment: book for book in books}
    order = in_order(by_name)
    for book in by_name.values():
        book.load()
    cells = tuple(cell_of(by_name[one], now) for one in order)
    leads = tuple(leads_of([by_name[one] for one in order], cells))
    return Application(name, repository, folder, cells, leads, links_of(repository))


def cell_of(book: Book, now: float) -> Cell:
    """One environment: what its file says now, and how it came there."""
    last = len(book.versions) - 1
    held = book.held(last) if last >= 0 else None
    happened = tuple(_happening(book, index) for index in range(last, max(-1, last - _SHOWN), -1))
    if held is None:
        gone = last < 0 or book.versions[last].contents[book.path] is None
        problem = "" if gone else f"{book.path} is not an environment file that this version understands"
        return Cell(book.environment, "empty" if gone else "unreadable", happened=happened, problem=problem)
    # Until the first release zeros stand where a digest will.
    pinned = {name: image for name, image in held.images.items() if not image.endswith("0" * 64)}
    held = replace(held, images=pinned)
    since, by = _began(book, held)
    phase = _phase(book.text(last), book.path) if held.gray_release else ""
    mark = held.release
    return Cell(
        book.environment,
        _state(held, phase, happened),
        mark.number if mark else None,
        mark.source if mark else "",
        dict(held.images),
        since,
        by,
        _trial(book, held, phase, happened),
        happened,
        _weeks(book, now),
    )


def leads_of(books: Sequence[Book], cells: Sequence[Cell]) -> Iterable[Lead]:
    """How far each environment is ahead of the next one."""
    for book, ahead, behind in zip(books, cells, cells[1:], strict=False):
        if ahead.state in ("empty", "unreadable") or behind.state in ("empty", "unreadable"):
            continue
        components = sorted({*ahead.images, *behind.images})
        differing = tuple(name for name in components if ahead.images.get(name) != behind.images.get(name))
        numbers, settings = _since_release(book, behind.release)
        yield Lead(ahead.environment, behind.environment, numbers, differing, settings)


def links_of(repository: str) -> Links:
    """Pages of a forge for a repository, as far as its address tells.

    Arguments:
        repository: URL or path; ``ssh`` addresses are taken for the same host's web pages.
    """
    address = urlsplit(repository)
    if address.scheme in ("http", "https") and address.hostname:
        host, path = f"{address.scheme}://{address.netloc.rpartition('@')[2]}", address.path
    elif address.scheme == "ssh" and address.hostname:
        host, path = f"https://{address.hostname}", address.path
    elif "@" in repository.partition(":")[0] and "://" not in repository:
        user_and_host, _, path = repository.partition(":")
        host, path = f"https://{user_and_host.rpartition('@')[2]}", f"/{path}"
    else:
        return Links()
    page = f"{host}{path.removesuffix('/').removesuffix('.git')}"
    if "github." in host:
        return Links(page, f"{page}/commit/{{}}", f"{page}/pulls")
    return Links(page, f"{page}/-/commit/{{}}", f"{page}/-/merge_requests")


def _happening(book: Book, index: int) -> Happening:
    version = book.versions[index]
    trailers, commit = version.trailers, version.commit
    paragraphs = commit.message.strip().split("\n\n")
    why = paragraphs[1].partition("\n")[0] if len(paragraphs) > (2 if trailers else 1) else ""
    return Happening(
        commit.id,
        commit.time,
        commit.author.partition(" <")[0],
        trailers.get("Pipegraft-Step", ""),
        book.release_of(index),
        trailers.get("Pipegraft-Source-Commit", ""),
        why or ("" if trailers else paragraphs[0].partition("\n")[0]),
        trailers.get(GATE, "").partition(" ")[0],
        _web(trailers.get("Pipegraft-Pipeline", "")),
    )


def _web(address: str) -> str:
    """An address that a page may link to; what else stands in a trailer is no link."""
    return address if address.startswith(("https://", "http://")) else ""


def _phase(text: str, path: str) -> str:
    block = read_environment(text, path).gray
    return block.phase if block else ""


def _state(held: Held, phase: str, happened: Sequence[Happening]) -> State:
    if held.gray_release is not None:
        return "paused" if phase == "paused" else "held" if phase == "held" else "gray"
    if next((one.step for one in happened if one.step), "") == "rollback":
        return "taken back"
    return "serves" if held.images or held.release else "empty"


def _trial(book: Book, held: Held, phase: str, happened: Sequence[Happening]) -> Trial | None:
    mark = held.gray_release
    if mark is None:
        return None
    index = len(book.versions) - 1
    while index > 0 and book.digests(index - 1).weight == held.weight and book.digests(index - 1).gray:
        index -= 1
    return Trial(
        mark.number,
        mark.source,
        held.weight,
        phase,
        {**held.gray},
        book.versions[index].commit.time,
        happened[0].why if happened else "",
    )


def _began(book: Book, held: Held) -> tuple[float | None, str]:
    """When what serves began to, and who brought it."""
    index = len(book.versions) - 1
    if index < 0:
        return None, ""
    now = book.digests(index)
    while index > 0:
        before = book.digests(index - 1)
        if (before.stable, before.number) != (now.stable, now.number):
            break
        index -= 1
    commit = book.versions[index].commit
    return (commit.time, commit.author.partition(" <")[0]) if held.images else (None, "")


def _since_release(book: Book, number: int | None) -> tuple[int | None, int]:
    """Releases since a number, and commits among them that changed more than images."""
    if number is None:
        return None, 0
    newer: set[int] = set()
    settings = 0
    for index in range(len(book.versions) - 1, -1, -1):
        now = book.digests(index)
        if now.number == number:
            return len(newer), settings
        if now.number is not None:
            newer.add(now.number)
        before = book.digests(index - 1)
        settings += now.rest != before.rest and now.stable == before.stable
    return None, settings


def _weeks(book: Book, now: float) -> tuple[Week, ...]:
    this = now - (now - _MONDAY) % WEEK
    starts = [this - WEEK * back for back in range(_WEEKS - 1, -1, -1)]
    try:
        deployments, _ = deployments_of(book)
    except PipegraftError:
        return ()
    counts: Mapping[float, list[int]] = {start: [0, 0] for start in starts}
    for one in deployments:
        start = one.started - (one.started - _MONDAY) % WEEK
        if start in counts:
            counts[start][one.undone is not None] += 1
    return tuple(Week(start, *counts[start]) for start in starts)
