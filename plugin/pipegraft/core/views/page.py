"""What every HTML report shares: one skeleton and style, nothing to fetch, light and dark, desk and phone."""

from __future__ import annotations

from datetime import UTC, datetime

import jinja2

__all__ = ["clock", "render_page"]


def render_page(room: str, template: str, **values: object) -> str:
    """A page that stands alone.

    Arguments:
        room: dotted name of the package whose ``templates/`` holds the template.
        template: name of a file there that extends ``page.html.j2``.
        values: what it speaks of; everything that is not `markupsafe.Markup` is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(room), jinja2.PackageLoader(__package__)]),
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
