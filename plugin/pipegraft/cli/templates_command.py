"""`pipegraft templates`: generate CI templates and the stages' pages."""

from __future__ import annotations

from pathlib import Path

import click

from pipegraft.app.templates import components, generate
from pipegraft.cli.common import directory_option, json_option, print_json, working_plugins
from pipegraft.core.errors import PluginError
from pipegraft.core.foreign_text import echo

__all__ = ["command"]


@click.command("templates")
@directory_option
@click.option(
    "--components",
    "project",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a project of GitLab CI/CD components into DIR instead.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if anything would change.")
@json_option
def command(*, directory: Path, project: Path | None, check: bool, as_json: bool) -> int:
    """Write ci_templates/ and docs/stages/ from the stage definitions.

    Stages of installed plugins are included. A file there that no definition makes is deleted, unless a
    plugin does not work.
    """
    with working_plugins() as plugins:
        generated = generate(directory, plugins) if project is None else components(project, plugins)
        broken = [one.name for one in plugins.loaded.values() if one.error]
    deleted = sorted(name for name, text in generated.changes.items() if text is None)
    if deleted and broken and not check:
        raise PluginError(
            f"{deleted[0]} would be deleted, and may be of a plugin that does not work: {', '.join(broken)}",
            fix="mend or uninstall the plugin, then run this again",
        )
    if not check:
        generated.write()
    if as_json:
        print_json({"changes": sorted(generated.changes), "current": generated.current, "written": not check})
        return 1 if check and generated.changes else 0
    for name, text in sorted(generated.changes.items()):
        word = "deleted" if text is None else "written"
        echo(f"{'would be ' if check else ''}{word}: {name}")
    echo(f"{generated.current} files are as the stage definitions make them")
    if check and generated.changes:
        echo("run `pipegraft templates` and commit what it writes", err=True)
        return 1
    return 0
