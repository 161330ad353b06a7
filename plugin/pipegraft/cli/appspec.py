"""`pipegraft import`, `render`, `diff` and `split`: the app spec, and what is made of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from pipegraft.appspec.hooks import resource_types
from pipegraft.appspec.rendering.differences import rendered_changes, summary_of
from pipegraft.appspec.resource_ports import Target
from pipegraft.appspec.splitting import Move
from pipegraft.appspec.usecases.importing import ImportResult, compose_files, kubernetes_files, score_files
from pipegraft.appspec.usecases.render import (
    EnvironmentDiff,
    Rendering,
    Split,
    diff,
    installed_rendering,
    plan_split,
    render,
    render_files,
    write_split,
)
from pipegraft.cli.common import json_option, load_plugins, print_json, said_together
from pipegraft.core.console import open_console, unified_diff
from pipegraft.core.delivery import Intimacy
from pipegraft.core.foreign_text import echo, write_data
from pipegraft.iac.adapters.renderers import installed_renderers

__all__ = ["diff_command", "import_command", "render_command", "split_command"]


_target_option = click.option(
    "--target",
    type=click.Choice(["oam", "kubernetes", "compose"]),
    default="oam",
    show_default=True,
    help="What to render: a KubeVela Application, plain Kubernetes objects or a Compose file.",
)


def _rendering(target: Target, revision: str | None = None) -> Rendering:
    """How to render with everything that is installed."""
    return installed_rendering(load_plugins(), target, revision)


def _changes_data(diffs: Sequence[EnvironmentDiff]) -> list[dict[str, Any]]:
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


def _show_changes(diffs: Sequence[EnvironmentDiff]) -> None:
    """What differs, for people, on standard output."""
    console = open_console(soft_wrap=True)
    for one in diffs:
        console.print(Text.assemble((one.environment, "bold"), f": {summary_of(one.changes)}"))
        for line in rendered_changes(one.changes):
            console.print(line)


@click.group("import")
def import_command() -> None:
    """Turn other tools' files into an app spec, naming everything that is not carried over."""


def _import_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option("--app", help="Name of the application; what the files say if absent."),
            click.option(
                "--env",
                "environment",
                default="production",
                show_default=True,
                help="Name of the environment.",
            ),
            click.option(
                "--output",
                type=click.Path(file_okay=False, path_type=Path),
                default=Path(),
                help="Folder for app.yaml and environments/; this folder if absent.",
            ),
            json_option,
        )
    ):
        function = option(function)
    return function


@import_command.command("score")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_import_options
def score(*, files: tuple[Path, ...], app: str | None, environment: str, output: Path, as_json: bool) -> None:
    """Turn Score workloads (score.dev/v1b1) into one application."""
    types = resource_types(load_plugins())
    _show_imported(score_files(files, app, environment, output, types=types), as_json=as_json)


@import_command.command("kubernetes")
@click.argument("source", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--values", multiple=True, metavar="FILE", help="Values file of a Helm chart, in its folder.")
@_import_options
def kubernetes(
    *,
    source: Path,
    values: tuple[str, ...],
    app: str | None,
    environment: str,
    output: Path,
    as_json: bool,
) -> None:
    """Turn the Kubernetes objects of all YAML files in DIR into one application.

    A Helm chart or a kustomization in DIR is rendered by helm or kustomize, where they are on PATH.
    """
    renderers = {name: tool.render for name, tool in installed_renderers().items()}
    done = kubernetes_files(source, app, environment, output, renderers=renderers, values=values)
    _show_imported(done, as_json=as_json)


@import_command.command("compose")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--profile", "profiles", multiple=True, help="Profile whose services are wanted, too.")
@_import_options
def compose(
    *,
    files: tuple[Path, ...],
    profiles: tuple[str, ...],
    app: str | None,
    environment: str,
    output: Path,
    as_json: bool,
) -> None:
    """Turn a Compose file, with the overrides named after it, into one application."""
    _show_imported(compose_files(files, app, environment, output, profiles=profiles), as_json=as_json)


def _show_imported(done: ImportResult, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "files": [str(path) for path in done.files],
                "components": list(done.components),
                "not-carried": list(done.left),
                "without-provider": list(done.unprovided),
            }
        )
        return
    for line in said_together(done.left):
        echo(f"not carried over: {line}", err=True)
    for line in done.unprovided:
        echo(f"kept, but `pipegraft resources` lists no provider: {line}", err=True)
    for path in done.files:
        echo(f"wrote {path}")
    spec, environment = done.files[0], done.files[-1]
    if done.without_image:
        names = ", ".join(done.without_image)
        echo(f"No image yet of {names}: name each in delivery.yaml, a release writes it;")
        echo(f"or write `image` for it into {environment}. Then:")
    else:
        echo("Read them, then:")
    echo(f"  pipegraft render {shlex.quote(str(spec.parent))} --env {environment.stem} --target kubernetes")


@click.command("render")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--env", "environments", multiple=True, help="Only this environment; repeatable.")
@_target_option
@click.option("--revision", help="Commit to name in the output; a digest of the output if absent.")
@click.option("--write", is_flag=True, help="Write rendered/NAME/manifests.yaml instead.")
@click.option("--check", is_flag=True, help="Exit code 1 unless those files are as --write would leave them.")
def render_command(
    *,
    folder: Path,
    environments: tuple[str, ...],
    target: Target,
    revision: str | None,
    write: bool,
    check: bool,
) -> int:
    """Show what the app spec in FOLDER becomes for an engine.

    The output is the same, byte for byte, for the same spec.
    """
    if not (write or check):
        write_data(render(folder, environments, _rendering(target, revision)))
        return 0
    if revision or target == "compose":
        raise click.UsageError("--write and --check take no --revision, and no Compose file")
    differing = render_files(folder, environments, _rendering(target), write=write)
    for path in differing:
        echo(f"{'wrote' if write else 'differs:'} {path}")
    return 1 if differing and not write else 0


@click.command("diff")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--env", "environments", multiple=True, help="Only this environment; repeatable.")
@click.option("--from", "start", metavar="REV", default="HEAD", show_default=True, help="Commit before.")
@click.option("--to", "end", metavar="REV", help="Commit after; the files as they are now if absent.")
@_target_option
@click.option("--exit-code", is_flag=True, help="End with exit code 1 if anything differs.")
@json_option
def diff_command(
    *,
    folder: Path,
    environments: tuple[str, ...],
    start: str,
    end: str | None,
    target: Target,
    exit_code: bool,
    as_json: bool,
) -> int:
    """Show what a change of the app spec in FOLDER does to what is rendered.

    Compares the commit --from with the files in FOLDER, or with the commit --to, object by object and
    field by field; items of lists are found by their names. Exit code 0, or 1 with --exit-code where
    anything differs.
    """
    diffs = diff(folder, environments, start, end, _rendering(target))
    if as_json:
        print_json(_changes_data(diffs))
    else:
        _show_changes(diffs)
    return 1 if exit_code and any(one.changes for one in diffs) else 0


def _ports(_context: click.Context, _option: click.Parameter, words: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not (name and equals and number.isdecimal()):
            raise click.BadParameter(f"expected NAME=NUMBER, found '{word}'")
        found[name] = int(number)
    return found


@click.command("split")
@click.argument("component")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option(
    "--to",
    type=click.Choice(["in-process", "ipc", "rpc"]),
    required=True,
    help="Mounted into its host, a sidecar of it, or a workload and Service of its own.",
)
@click.option(
    "--port",
    "ports",
    metavar="NAME=NUMBER",
    multiple=True,
    callback=_ports,
    help="Declare a port; repeatable.",
)
@click.option("--host", metavar="COMPONENT", help="For ipc and in-process: whose pod it joins.")
@click.option("--mount", metavar="PATH", help="For in-process: where it appears in the pod.")
@click.option(
    "--address",
    metavar="VARIABLE",
    help="Variable of its host that says where it is, HOST:PORT; later steps keep it right.",
)
@click.option("--worker", is_flag=True, help="It takes no requests, and is meant to have no ports.")
@click.option("--dry-run", is_flag=True, help="Show what would change and write nothing.")
@_target_option
@json_option
def split_command(
    *,
    component: str,
    folder: Path,
    to: Intimacy,
    ports: dict[str, int],
    host: str | None,
    mount: str | None,
    address: str | None,
    worker: bool,
    dry_run: bool,
    target: Target,
    as_json: bool,
) -> None:
    """Move COMPONENT of the app spec in FOLDER one step: in-process, ipc, rpc, or back.

    Edits app.yaml and the environments, and no other byte of them, and shows what that changes in what is
    rendered. A step that cannot be made is refused with what to add; nothing is written then.
    """
    split = plan_split(folder, Move(component, to, ports, host, mount, worker, address), _rendering(target))
    if not dry_run:
        write_split(split)
    if as_json:
        print_json(
            {
                "written": bool(split.files) and not dry_run,
                "files": {file: after for file, (_before, after) in split.files.items()},
                "removed": list(split.removed),
                "notes": list(split.notes),
                "rendered": _changes_data(split.diffs),
            }
        )
    else:
        _show_split(split, component, to, dry_run=dry_run)


def _show_split(split: Split, component: str, to: str, *, dry_run: bool) -> None:
    console = open_console(soft_wrap=True)
    if not split.files:
        console.print(f"{component} is {to} already: nothing to do")
        return
    console.print(f"[bold]{'Would move' if dry_run else 'Moved'} {component} to {to}[/bold]")
    for file, (before, after) in split.files.items():
        console.print(unified_diff(file, before, after))
    for removed in split.removed:
        console.print(f"  taken out, for it has no meaning there: {removed}")
    for note in split.notes:
        console.print(f"  • {note}")
    console.print()
    _show_changes(split.diffs)
