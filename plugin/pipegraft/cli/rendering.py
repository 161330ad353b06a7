"""What the commands that render share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.text import Text

from pipegraft.appspec.rendering.differences import rendered_changes, summary_of
from pipegraft.appspec.resource_ports import Target
from pipegraft.appspec.usecases.render import EnvironmentDiff, Rendering, installed_rendering
from pipegraft.cli.common import load_plugins
from pipegraft.core.console import open_console

__all__ = ["changes_data", "rendering", "show_changes", "target_option"]

target_option = click.option(
    "--target",
    type=click.Choice(["oam", "kubernetes", "compose"]),
    default="oam",
    show_default=True,
    help="What to render: a KubeVela Application, plain Kubernetes objects or a Compose file.",
)


def rendering(target: Target, revision: str | None = None) -> Rendering:
    """How to render with everything that is installed."""
    return installed_rendering(load_plugins(), target, revision)


def changes_data(diffs: Sequence[EnvironmentDiff]) -> list[dict[str, Any]]:
    """What differs, for machines."""
    return [
        {
            "environment": one.environment,
            "objects": [
                {
                    "name": change.name,
                    "kind": change.kind,
                    "fields": [
                        {
                            "path": field.path,
                            "kind": field.kind,
                            "before": field.before,
                            "after": field.after,
                        }
                        for field in change.fields
                    ],
                    "content": change.content,
                }
                for change in one.changes
            ],
        }
        for one in diffs
    ]


def show_changes(diffs: Sequence[EnvironmentDiff]) -> None:
    """What differs, for people, on standard output."""
    console = open_console(soft_wrap=True)
    for one in diffs:
        console.print(Text.assemble((one.environment, "bold"), f": {summary_of(one.changes)}"))
        for line in rendered_changes(one.changes):
            console.print(line)
