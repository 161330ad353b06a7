"""What every HTML report shares: one skeleton and style, nothing to fetch, light and dark, desk and phone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

__all__ = ["clock", "render_page"]


def render_page(template: str, **values: object) -> str:
    """A page that stands alone.

    Arguments:
        template: name of a file in ``templates/`` that extends ``page.html.j2``.
        values: what it speaks of; everything that is not `markupsafe.Markup` is escaped.
    """
    import jinja2  # noqa: PLC0415 - needed only here, and slow to import

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock
    return environment.get_template(template).render(**values)


def clock(seconds: float) -> str:
    """A moment as pages show it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
