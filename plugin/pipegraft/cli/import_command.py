"""`pipegraft import`: other tools' files as an app spec."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from pipegraft.appspec.hooks import resource_types
from pipegraft.appspec.usecases.importing import ImportResult, compose_files, kubernetes_files, score_files
from pipegraft.cli.common import json_option, load_plugins, print_json
from pipegraft.core.foreign_text import echo
from pipegraft.iac.adapters.renderers import installed_renderers

__all__ = ["command"]


@click.group("import")
def command() -> None:
    """Turn other tools' files into an app spec, naming everything that is not carried over."""


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
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


@command.command("score")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_options
def score(*, files: tuple[Path, ...], app: str | None, environment: str, output: Path, as_json: bool) -> None:
    """Turn Score workloads (score.dev/v1b1) into one application."""
    types = resource_types(load_plugins())
    _show(score_files(files, app, environment, output, types=types), as_json=as_json)


@command.command("kubernetes")
@click.argument("source", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--values", multiple=True, metavar="FILE", help="Values file of a Helm chart, in its folder.")
@_options
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
    _show(done, as_json=as_json)


@command.command("compose")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--profile", "profiles", multiple=True, help="Profile whose services are wanted, too.")
@_options
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
    _show(compose_files(files, app, environment, output, profiles=profiles), as_json=as_json)


_OF_OBJECT = re.compile(r"(?P<file>[^:]+): (?P<name>[A-Z][A-Za-z]+ [a-z0-9.-]+): (?P<what>.+)")


def _together(lines: Sequence[str]) -> Iterator[str]:
    """Lines that say the same of several objects as one, at the place of the first."""
    said: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        found = _OF_OBJECT.fullmatch(line)
        names = said.setdefault((found["file"], found["what"]) if found else ("", line), [])
        names += [found["name"]] if found else []
    for (file, what), names in said.items():
        yield f"{file}: {', '.join(names)}: {what}" if names else what


def _show(done: ImportResult, *, as_json: bool) -> None:
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
    for line in _together(done.left):
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
