"""What is installed, and what is made from it: plugins, types of resources, schemas, templates."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click
from rich.text import Text

from pipegraft.app.generated import components, generate, new_plugin
from pipegraft.app.plugins import delivery_schema, list_plugins, shipped_plugins, spec_schema
from pipegraft.appspec.hooks import describe_types
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json, working_plugins
from pipegraft.core.console import open_console
from pipegraft.core.errors import PluginError
from pipegraft.core.foreign_text import echo

__all__ = ["plugin_command", "plugins_command", "resources_command", "schema_command", "templates_command"]


@click.command("plugins")
@json_option
def plugins_command(as_json: bool) -> int:
    """List the plugins that are loaded, from where, what they provide, and what failed and why.

    Exit code 2 when one of them does not work.
    """
    plugins = list_plugins(load_plugins())
    if as_json:
        print_json([asdict(plugin) for plugin in plugins])
    else:
        for plugin in plugins:
            echo(f"{plugin.name}  ({plugin.origin})")
            for provided in plugin.provides:
                echo(f"    {provided}")
            if plugin.error:
                echo(f"    does not work: {plugin.error}")
                echo(f"    fix: {plugin.fix}")
    return 2 if any(plugin.error for plugin in plugins) else 0


_GENERATED = ("ci_templates/", "docs/stages/")


@click.group("plugin")
def plugin_command() -> None:
    """Start a package that adds a stage of your own."""


@plugin_command.command("new")
@click.argument("name")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="The package's folder; pipegraft-NAME below this one if absent.",
)
@json_option
def new(*, name: str, folder: Path | None, as_json: bool) -> None:
    """Write a package with the stage NAME that works as it is.

    It holds the stage, its tests with the conformance suite, CI templates, the stage's page and a
    pipeline for itself. NAME is in kebab-case, as smoke-test.
    """
    target = folder or Path(f"pipegraft-{name}")
    files = new_plugin(name, target, load_plugins(), shipped_plugins)
    if as_json:
        print_json({"folder": str(target), "files": files})
        return
    written = [file for file in files if not file.startswith(_GENERATED)]
    for file in written:
        echo(f"written: {target / file}")
    echo(f"generated: {len(files) - len(written)} files in {' and '.join(_GENERATED)}")
    echo(
        f"\nNext, in {target}: `pip install -e . pytest`, `pytest`, `pipegraft plugins`;\n"
        "then change the stage in src/ and run `pipegraft templates`."
    )


@click.command("resources")
@click.argument("types", metavar="[TYPE]...", nargs=-1)
@json_option
def resources_command(types: tuple[str, ...], as_json: bool) -> None:
    """List the types of resources, what each takes and tells, and who provides it.

    With --json: JSON Schemas of the parameters, the outputs and the providers' options.
    """
    described = describe_types(load_plugins())
    unknown = [name for name in types if name not in described]
    if unknown:
        known = ", ".join(described)
        raise click.UsageError(f"there is no resource type '{unknown[0]}'; there are: {known}")
    chosen = {name: described[name] for name in types or described}
    if as_json:
        print_json(chosen)
    else:
        for name, told in chosen.items():
            _show_type(name, told)


def _show_type(name: str, told: dict[str, Any]) -> None:
    open_console(soft_wrap=True).print(Text.assemble((name, "bold"), f"  {told['summary']}"))
    for key, schema in told["params"]["properties"].items():
        required = " (required)" if key in told["params"]["required"] else ""
        default = f" Default: {_word(schema['default'])}." if "default" in schema else ""
        echo(f"    param    {key:<12} {schema.get('description', '')}{default}{required}")
    for key, schema in told["outputs"]["properties"].items():
        secret = " Secret." if schema.get("writeOnly") else ""
        echo(f"    output   {key:<12} {schema['description']}{secret}")
    for key, provider in told["providers"].items():
        echo(f"    provider {key} ({', '.join(provider['targets'])})")


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@click.command("schema")
@click.argument("file", type=click.Choice(["delivery", "app", "environment"]), default="delivery")
def schema_command(file: Literal["delivery", "app", "environment"]) -> None:
    """Print the JSON Schema of delivery.yaml, app.yaml or environments/NAME.yaml, for editors.

    With the YAML language server, put this line first in delivery.yaml:
    "# yaml-language-server: $schema=.pipegraft/delivery.schema.json"
    """
    plugins = load_plugins()
    print_json(delivery_schema(plugins) if file == "delivery" else spec_schema(file, plugins))


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
def templates_command(*, directory: Path, project: Path | None, check: bool, as_json: bool) -> int:
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
