"""The board: pages, one for all applications and one for each, and a table on a terminal."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import jinja2
from markupsafe import Markup
from rich.table import Table
from rich.text import Text

from pipegraft.audit.views import bars
from pipegraft.board.model import Application, Board, Cell, Lead, Week, in_order
from pipegraft.core.page import ago, clock, show_duration

__all__ = [
    "Controls",
    "application_page",
    "board_page",
    "board_table",
    "notes",
    "page_name",
    "show_image",
    "show_lead",
]

_DIGEST = re.compile(r"@sha256:([0-9a-f]{12})[0-9a-f]{52}$")
_NEEDY = ("paused", "held", "gray", "unreadable")


@dataclass(frozen=True, slots=True)
class Controls:
    """What the live page offers beside reading.

    Arguments:
        action: address that a word is sent to.
        csrf: what the form must bring along.
    """

    action: str
    csrf: str


@dataclass(frozen=True, slots=True)
class _Row:
    application: Application
    page: str
    cells: tuple[Cell | None, ...]
    leads: dict[str, str]
    text: str
    busy: bool


def board_page(board: Board, *, nonce: str = "", refresh: int = 0) -> str:
    """All applications.

    Arguments:
        nonce: of the page's script, for a server that sends a policy.
        refresh: seconds until the page is loaded again, 0 for never.
    """
    names = {cell.environment for one in board.applications for cell in one.cells}
    columns = in_order(names)
    rows = [_row(one, columns) for one in board.applications]
    return (
        _environment()
        .get_template("board.html.j2")
        .render(
            board=board, columns=columns, rows=rows, counts=list(_counts(board)), nonce=nonce, refresh=refresh
        )
    )


def application_page(
    application: Application,
    made: float,
    *,
    home: str = "../index.html",
    controls: Controls | None = None,
    said: str = "",
    asks: bool = False,
) -> str:
    """One application.

    Arguments:
        made: when it was read, seconds since the epoch.
        home: address of the page with all applications.
        controls: buttons for gray releases, None for a page that only shows.
        said: what came of a word that was sent, empty without one.
        asks: show a form to sign in with.
    """
    template = _environment().get_template("application.html.j2")
    return template.render(
        application=application, made=made, home=home, controls=controls, said=said, asks=asks
    )


def page_name(application: Application) -> str:
    """Path of an application's page below the board's."""
    plain = re.sub(r"[^a-z0-9]+", "-", application.name.lower()).strip("-") or "app"
    return f"apps/{plain}-{hashlib.sha256(application.id.encode()).hexdigest()[:8]}.html"


def show_lead(lead: Lead) -> str:
    """How far one environment is ahead of the next, as a sentence."""
    if not lead.images and not lead.settings and not lead.releases:
        return f"{lead.behind} runs what {lead.ahead} runs"
    told = []
    if lead.releases:
        told.append(f"{lead.releases} release{'' if lead.releases == 1 else 's'}")
    if lead.images:
        told.append(f"{len(lead.images)} image{'' if len(lead.images) == 1 else 's'}")
    if lead.settings:
        told.append(f"{lead.settings} change{'' if lead.settings == 1 else 's'} of configuration")
    return f"{lead.ahead} is ahead of {lead.behind} by {', '.join(told)}"


def show_image(image: str) -> str:
    """An image with the beginning of its digest."""
    return _DIGEST.sub(r"@sha256:\1…", image)


def _row(application: Application, columns: Sequence[str]) -> _Row:
    cells = {cell.environment: cell for cell in application.cells}
    words = [application.name, application.repository, application.folder]
    for cell in application.cells:
        trial = (
            [str(cell.trial.release), cell.trial.source, *cell.trial.images.values()] if cell.trial else []
        )
        words += [f"#{cell.release}", cell.source, cell.state, *cell.images.values(), *trial]
    return _Row(
        application,
        page_name(application),
        tuple(cells.get(name) for name in columns),
        {lead.ahead: show_lead(lead) for lead in application.leads if lead.images or lead.releases},
        " ".join(words).lower(),
        bool(application.problem) or any(cell.state in _NEEDY for cell in application.cells),
    )


def _counts(board: Board) -> Iterator[tuple[str, int]]:
    states = [cell.state for one in board.applications for cell in one.cells]
    yield "gray releases under way", sum(state in ("gray", "paused", "held") for state in states)
    yield "wait for a person", sum(state in ("paused", "held") for state in states)
    yield "taken back", states.count("taken back")
    unreadable = states.count("unreadable") + sum(bool(one.problem) for one in board.applications)
    if unreadable:
        yield "cannot be read", unreadable


def _chart(weeks: Sequence[Week]) -> Markup:
    parts = [("deployed", [one.deployed for one in weeks]), ("undone", [one.undone for one in weeks])]
    drawn = bars([one.start for one in weeks], parts, "deployments by week, those taken back in red")
    return Markup(drawn)  # noqa: S704 - our own numbers and words


def _image(image: str) -> Markup:
    name, at, digest = show_image(image).partition("@")
    shown = Markup('<wbr><span class="digest">@{}</span>').format(digest) if at else ""
    return Markup('<span title="{}">{}{}</span>').format(image, name, shown)


def _minute(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("pipegraft.board"), jinja2.PackageLoader("pipegraft.core")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {
        "ago": ago,
        "duration": show_duration,
        "clock": clock,
        "minute": _minute,
        "image": _image,
        "lead": show_lead,
        "chart": _chart,
    }
    environment.filters.update(filters)
    return environment


_STYLES = {
    "serves": "green",
    "gray": "magenta",
    "paused": "bold magenta",
    "held": "bold magenta",
    "taken back": "red",
    "unreadable": "bold red",
    "empty": "dim",
}
_BLOCKS = 10


def board_table(board: Board) -> Table:
    """A line for each application, a column for each environment."""
    columns = in_order({cell.environment for one in board.applications for cell in one.cells})
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("application", *columns):
        table.add_column(name, overflow="fold")
    for application in board.applications:
        cells = {cell.environment: cell for cell in application.cells}
        table.add_row(
            Text(application.name, style="bold"),
            *(
                _cell(cells[name], board.made) if name in cells else Text("-", style="dim")
                for name in columns
            ),
        )
    return table


def notes(application: Application) -> Iterator[str]:
    """What the table has no room for: how far environments are apart, and what cannot be read."""
    if application.problem:
        yield f"{application.name}: {application.problem}"
    for cell in application.cells:
        if cell.problem:
            yield f"{application.name}, {cell.environment}: {cell.problem}"
    for lead in application.leads:
        if lead.images or lead.releases:
            yield f"{application.name}: {show_lead(lead)}"


def _cell(cell: Cell, now: float) -> Text:
    said = Text(cell.state, style=_STYLES[cell.state])
    if cell.release is not None:
        said.append(f" #{cell.release}", style="default")
    if cell.since:
        said.append(f" {ago(now - cell.since)}", style="dim")
    if cell.trial:
        full = round(cell.trial.weight * _BLOCKS / 100)
        said.append(f"\n{'█' * full}{'░' * (_BLOCKS - full)}", style="magenta")
        since = show_duration(now - cell.trial.since)
        said.append(f" #{cell.trial.release} gets {cell.trial.weight}%, since {since}", style="default")
    return said
