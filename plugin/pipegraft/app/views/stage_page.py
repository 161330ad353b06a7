"""A stage's page in the documentation, from its definition."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jinja2

from pipegraft.ci.hooks import UsageExample
from pipegraft.core.model import keys_of
from pipegraft.core.stage import Stage

__all__ = ["index_page", "stage_page"]


def stage_page(stage: Stage, examples: Sequence[UsageExample] = ()) -> str:
    """Markdown: what it does, its inputs, what it needs, and how to use it.

    Arguments:
        stage: the definition.
        examples: how each CI system uses it.
    """
    defaults = stage.inputs().model_dump(mode="json")
    inputs = [
        {
            "name": key,
            "default": _written(defaults[key]),
            "description": " ".join((stage.inputs.model_fields[name].description or "").split()),
            "variable": f"PIPEGRAFT_INPUT_{stage.name}_{key}".replace("-", "_").upper(),
        }
        for name, key in keys_of(stage.inputs).items()
    ]
    rendered: str = _template().render(stage=stage, inputs=inputs, examples=examples)
    return rendered.strip() + "\n"


def index_page(stages: Sequence[Stage]) -> str:
    """Markdown: a list of the pages."""
    lines = [f"- [{stage.name}]({stage.name}.md): {stage.summary}" for stage in stages]
    return "\n".join(
        ["# Stages", "", "Generated from their definitions by `pipegraft templates`.", "", *lines, ""]
    )


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_written, value))
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


@functools.cache
def _template() -> Any:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipegraft.app.views"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown
    )
    return environment.get_template("stage.md.j2")
