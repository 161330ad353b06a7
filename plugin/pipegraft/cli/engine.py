"""``pipegraft engine``: the GitOps engine of one machine, and the process that its traffic router starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import click

from pipegraft.cli.common import load_plugins
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.foreign_text import echo
from pipegraft.engine.adapters import proxy_server
from pipegraft.engine.usecases.application import EngineApplication, EngineFile
from pipegraft.engine.usecases.start import EngineSetup, run_engine

__all__ = ["engine_command", "proxy_command"]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def _duration(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", value)
    if not found or not float(found[1]):
        raise click.BadParameter(f"expected a duration such as 250ms, 1s or 5m, found '{value}'")
    return float(found[1]) * _SECONDS[found[2]]


def _address(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"expected HOST:PORT, found '{value}'")
    return host, int(port)


@click.command("engine")
@click.option("--repository", help="The IaC repository: a path or a URL.")
@click.option("--branch", default="main", show_default=True, help="Its branch.")
@click.option("--path", "folder", default="", help="The app's folder in a shared repository.")
@click.option("--env", "environments", multiple=True, help="Environment to apply; repeatable.")
@click.option(
    "--applications",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="YAML file that lists several applications, in place of --repository and --env.",
)
@click.option(
    "--runtime",
    type=click.Choice(["process", "docker", "kubernetes"]),
    default="process",
    show_default=True,
    help="What runs the workloads; kubernetes takes the current context of KUBECONFIG.",
)
@click.option(
    "--state",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for everything the engine knows and runs.",
)
@click.option(
    "--listen",
    default="127.0.0.1:0",
    show_default=True,
    callback=_address,
    help="Where to tell the status; port 0 takes a free one and keeps it. STATE/engine.json says which.",
)
@click.option(
    "--poll",
    default="1s",
    show_default=True,
    callback=_duration,
    help="Time between two looks at the branch.",
)
@click.option(
    "--secrets",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of NAME/KEY files that secrets and config maps are read from.",
)
@click.option(
    "--keep-workloads", is_flag=True, help="On SIGTERM or Ctrl-C leave what runs running for the next engine."
)
@click.option(
    "--until-stdin-closes", is_flag=True, help="End when standard input closes, as with whoever started it."
)
def engine_command(
    *,
    repository: str | None,
    branch: str,
    folder: str,
    environments: tuple[str, ...],
    applications: Path | None,
    runtime: Literal["process", "docker", "kubernetes"],
    state: Path,
    listen: tuple[str, int],
    poll: float,
    secrets: Path | None,
    keep_workloads: bool,
    until_stdin_closes: bool,
) -> None:
    """Keep environments on this machine as their IaC repositories declare them.

    Watches the branches, runs what the app specs declare behind a weighted proxy, heals what breaks,
    removes what is no longer declared. It may be killed at any moment: what runs goes on, and the next
    engine with the same --state takes it over. With the variable PIPEGRAFT_WEBHOOK_SECRET it takes push
    webhooks at /webhook.
    """
    if applications:
        if repository or environments or folder:
            raise click.UsageError("expected either --applications, or --repository and --env")
        listed, base = _read(applications), applications.resolve().parent
    elif repository and environments:
        one = EngineApplication(repository=repository, branch=branch, path=folder, environments=environments)
        listed, base = (one,), Path.cwd()
    else:
        raise click.UsageError("expected --repository and --env, or --applications")
    setup = EngineSetup(
        listed,
        base,
        state.resolve(),
        runtime,
        poll,
        listen,
        secrets.resolve() if secrets else None,
        os.environ.get("PIPEGRAFT_WEBHOOK_SECRET", ""),
        keep_workloads,
        until_stdin_closes,
    )
    run_engine(setup, load_plugins(), lambda line: echo(line, err=True))


def _read(file: Path) -> tuple[EngineApplication, ...]:
    return parse_document(file.read_text("utf-8"), str(file), EngineFile).applications


@click.command(hidden=True)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Routes, as JSON or YAML. Read again on SIGHUP; SIGTERM ends the proxy.",
)
@click.option("--background", is_flag=True, help="Return once it serves, and leave it running.")
def proxy_command(config: Path, background: bool) -> None:
    """Serve HTTP by weight: the traffic router of the embedded engine."""
    if background:
        proxy_server.serve_in_background(config)
    else:
        proxy_server.serve(config)
