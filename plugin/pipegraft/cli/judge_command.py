"""`pipegraft judge`: recorded releases through any judge."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pipegraft.app.judge import Replay, environment_policy, judge_history, judge_releases
from pipegraft.app.suggest import Suggestion, suggestion_data, suggestion_lines
from pipegraft.app.suggest import suggest as suggest_settings
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json
from pipegraft.core.console import open_console
from pipegraft.core.delivery import Gray
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import echo
from pipegraft.gray.history import as_data
from pipegraft.gray.views import comparison, judgement_lines, simulated

__all__ = ["command"]


@click.command("judge")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--judge", "name", help="The judge to ask; the one that the policy names if absent.")
@click.option("--compare", is_flag=True, help="Ask every judge there is and show them side by side.")
@click.option("--env", "environment", help="Judge by the policy of this environment in delivery.yaml.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    metavar="N",
    help="Judge the last N gray releases of the environment that the IaC repository tells of.",
)
@click.option("--verbose", "-v", is_flag=True, help="Show the evidence as numbers, too.")
@click.option("--suggest", is_flag=True, help="Print settings that the environment's own releases speak for.")
@click.option("--simulate", is_flag=True, help="Simulate whole releases, good and bad; needs numpy.")
@click.option(
    "--releases",
    type=click.IntRange(min=10),
    default=200,
    show_default=True,
    help="With --simulate: releases of each kind.",
)
@click.option(
    "--requests",
    type=click.FloatRange(min=1),
    help="With --simulate: requests of both versions in an interval; several amounts if absent.",
)
@directory_option
@json_option
def command(
    *,
    files: tuple[Path, ...],
    name: str | None,
    compare: bool,
    environment: str | None,
    last: int | None,
    verbose: bool,
    suggest: bool,
    simulate: bool,
    releases: int,
    requests: float | None,
    directory: Path,
    as_json: bool,
) -> int:
    """Judge recorded releases again, to tune a policy before trusting it.

    Each FILE holds the observations of one release, as YAML or JSON, and the policy to judge it by unless
    --env names one. The format is in docs/judging.md. With --last the commits of the environment's own
    releases say what was observed, and delivery.yaml the policy: change it there and judge again.

    With --simulate nothing recorded is needed: releases are made up by chance, of good versions in many
    worlds and of bad ones with many faults, and decided as real ones would be, by the policy of --env or the
    defaults. It tells what that policy lets through and takes back, and how soon.

    With --suggest the same history says how far the versions drift by themselves, and for how long: printed
    are the settings that follow, and what they promise at the newest release's traffic; `learn: true` uses
    them.

    Exit code 0 when the judge would let every release go on; 1 when one fails, or is undecided at its
    end and its policy does not let it go on. With --compare, the policy's judge decides.
    """
    if [bool(files), last is not None, suggest, simulate].count(True) != 1:
        raise click.UsageError(
            "expected FILEs of recorded releases, --last N for those of the history, --suggest, or --simulate"
        )
    plugins = load_plugins()
    if suggest:
        _suggest(suggest_settings(open_project(directory, plugins), environment), as_json=as_json)
        return 0
    if simulate:
        gray = environment_policy(directory, environment, plugins) if environment else None
        _simulate(gray, releases, requests, as_json=as_json)
        return 0
    if last is not None:
        project = open_project(directory, plugins)
        replays = judge_history(project, environment, last, judge=name, compare=compare)
    else:
        gray = environment_policy(directory, environment, plugins) if environment else None
        replays = judge_releases(files, plugins, judge=name, compare=compare, gray=gray)
    if as_json:
        print_json([_data(replay) for replay in replays])
    else:
        _show(replays, compare=compare, verbose=verbose)
    return 0 if all(replay.goes_on for replay in replays if replay.decides) else 1


def _suggest(found: Suggestion, *, as_json: bool) -> None:
    if as_json:
        print_json(suggestion_data(found))
    else:
        for line in suggestion_lines(found):
            echo(line)


def _simulate(gray: Gray | None, releases: int, requests: float | None, *, as_json: bool) -> None:
    try:
        simulation = import_module("pipegraft.app.simulate")
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise UsageError(
            "expected numpy for the simulation, found none", fix="pip install 'pipegraft[simulate]'"
        ) from None
    lines = list(simulation.simulate_policy(gray, count=releases, requests=requests))
    if as_json:
        print_json([asdict(line) for line in lines])
    else:
        open_console().print(simulated(lines))


def _show(replays: tuple[Replay, ...], *, compare: bool, verbose: bool) -> None:
    console = open_console()
    if compare:
        rows = [
            (Path(replay.name).name, replay.judge, replay.refusal or replay.steps[-1].judgement)
            for replay in replays
        ]
        console.print(comparison(rows))
        return
    for replay in replays:
        steps = [(step.weight, step.intervals, step.judgement) for step in replay.steps]
        console.print(replay.name, soft_wrap=True, markup=False)
        for line in judgement_lines(replay.judge, steps, verbose=verbose):
            console.print(line, soft_wrap=True)


def _data(replay: Replay) -> dict[str, Any]:
    return {
        "file": replay.name if replay.release is None else None,
        "release": replay.release,
        "judge": replay.judge,
        "goes-on": replay.goes_on,
        "refusal": replay.refusal,
        "steps": [
            {"weight": step.weight, "intervals": step.intervals, "judgement": as_data(step.judgement)}
            for step in replay.steps
        ],
    }
