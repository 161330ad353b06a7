"""The command line: each command parses, calls one use case, renders, returns.

A command's module is imported only when the command runs, so that `--help` and the commands that
need little stay quick. `COMMANDS` is the one list of them, `TOGETHER` says which share a module.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from typing import Any

import click

from pipegraft import __version__
from pipegraft.core.errors import PipegraftError
from pipegraft.core.foreign_text import echo, hear_libraries, learn_secrets

__all__ = ["COMMANDS", "find_command", "main", "run"]

COMMANDS: dict[str, str] = {
    "demo": "Watch a change of a small application go the whole way, on this machine and without network.",
    "init": "Look at a source repository and write its first delivery.yaml and IaC repository.",
    "import": "Turn other tools' files into an app spec, naming everything that is not carried over.",
    "inject": "Graft the stages of delivery.yaml onto the pipeline in PATH.",
    "eject": "Take delivery out of the pipeline in PATH.",
    "plan": "Show the stages that would run, in order, and what each waits for.",
    "run": "Run the plan, or the STAGEs named, one after another.",
    "bump": "Release the applications in FOLDERs, with one push for each IaC repository.",
    "images": "Show the images of the release.",
    "rollback": "Restore an environment's files as they were before its newest release, by a commit.",
    "gray": "Prepare or show a gray release, or approve, abort, pause or skip: each word is a commit.",
    "guard": "Refuse what must not enter an IaC repository: on the server, or FILES before a commit.",
    "assess": "Say on which stage of the path each dimension of a repository stands, and what comes next.",
    "audit": "Prove how a release came to run: source, image, IaC commit, gate, gray steps, outcome.",
    "status": "Show what runs where, from IaC repositories alone, as `pipegraft board` does on pages.",
    "board": "Show what runs where, from IaC repositories alone.",
    "doctor": "Check everything that a delivery needs, and say how to mend what is wrong. Nothing is written"
    " anywhere.",
    "judge": "Judge recorded releases again, to tune a policy before trusting it.",
    "engine": "Keep environments on this machine as their IaC repositories declare them.",
    "render": "Show what the app spec in FOLDER becomes for an engine.",
    "diff": "Show what a change of the app spec in FOLDER does to what is rendered.",
    "split": "Move COMPONENT of the app spec in FOLDER one step: in-process, ipc, rpc, or back.",
    "resources": "List the types of resources, what each takes and tells, and who provides it.",
    "fleet": "Graft, follow and upgrade delivery in all projects of a GitLab group.",
    "templates": "Write ci_templates/ and docs/stages/ from the stage definitions.",
    "plugins": "List the plugins that are loaded, from where, what they provide, and what failed and why.",
    "plugin": "Start a package that adds a stage of your own.",
    "schema": "Print the JSON Schema of delivery.yaml, app.yaml or environments/NAME.yaml, for editors.",
    "yaml": "Read or set single values in YAML files, leaving every other byte alone.",
}
"""Command name → one-line summary, in the order `--help` shows them; a test compares the summaries."""

TOGETHER: dict[str, tuple[str, ...]] = {
    "appspec": ("import", "render", "diff", "split"),
    "begin": ("init", "doctor"),
    "board": ("board", "status"),
    "engine": ("engine", "proxy"),
    "fleet": ("bump", "fleet"),
    "graft": ("inject", "eject"),
    "gray": ("gray", "judge"),
    "plan": ("plan", "images"),
    "plugins": ("plugins", "plugin", "resources", "schema", "templates"),
    "release": ("run", "rollback"),
}
"""Module of ``pipegraft.cli`` → its commands, where there are several; others have a module of their name."""

SECTIONS: dict[str, str] = {
    "Begin": "demo",
    "Deliver": "plan",
    "See and prove": "assess",
    "What runs": "engine",
    "Many projects, and tools": "fleet",
}
"""Heading of `--help` → the first command below it."""

HIDDEN: tuple[str, ...] = ("proxy",)
"""Commands that this program runs itself; `--help` does not show them."""


def find_command(name: str) -> click.Command:
    """The command of a name, ``name_command`` in its module, which this imports.

    Arguments:
        name: one of `COMMANDS` or `HIDDEN`.
    """
    module = next((module for module, names in TOGETHER.items() if name in names), name)
    command = getattr(importlib.import_module(f"pipegraft.cli.{module}"), f"{name}_command")
    assert isinstance(command, click.Command)  # noqa: S101 - a wrong table entry is a defect
    return command


class _LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        return find_command(cmd_name) if cmd_name in COMMANDS or cmd_name in HIDDEN else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        names = list(COMMANDS)
        starts = [names.index(first) for first in SECTIONS.values()]
        for title, start, end in zip(SECTIONS, starts, [*starts[1:], len(names)], strict=True):
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name]) for name in names[start:end]])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="pipegraft", message="%(prog)s %(version)s")
def main() -> None:
    """Graft delivery stages onto the CI pipelines you already have.

    Exit codes: 0 done; 1 the delivery said no; 2 wrong usage or configuration, nothing written;
    3 an outside system failed, safe to run again; 70 a defect in pipegraft.
    """


def run(args: list[str] | None = None) -> int:
    """Run one command and answer its exit code; every error is printed, none escapes.

    Arguments:
        args: the words after the program name; the process's own if None.
    """
    learn_secrets(os.environ)
    hear_libraries()
    try:
        result: Any = main.main(args=args, prog_name="pipegraft", standalone_mode=False)
    except click.exceptions.Abort:
        echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        echo(shown.getvalue().removesuffix("\n"), err=True)
        return 2
    except PipegraftError as error:
        for problem in error.problems:
            echo(f"error: {problem}", err=True)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away: nothing is left to say, and nobody to say it to
        return 0
    except Exception:  # noqa: BLE001 - the last line of defence: a defect gets its own exit code
        echo(traceback.format_exc(), err=True)
        echo("error: this is a defect in pipegraft; please report it with the lines above", err=True)
        return 70
    return result if isinstance(result, int) else 0
