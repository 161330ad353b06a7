"""`pipegraft demo`: watch a change go the whole way on this machine."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click

from pipegraft.audit.views import commit_table, request_table
from pipegraft.cli.common import json_option, print_json
from pipegraft.core.console import open_console
from pipegraft.demo import run_demo

__all__ = ["demo_command"]


@click.command("demo")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Do it in DIR and keep it; what an earlier demonstration left there is cleared away.",
)
@json_option
def demo_command(keep: Path | None, as_json: bool) -> None:
    """Watch a change of a small application go the whole way, on this machine and without network.

    Grafts delivery onto the example's pipeline, delivers v1, promotes v2 by a gray release, and takes
    back v3, which fails a share of its requests. Ends with exit code 0 only if v2 is what serves.
    """
    console = open_console(stderr=True, highlight=True)

    def narrate(headline: str, line: str) -> None:
        console.print()
        console.rule(f"[bold]{headline}", align="left", style="cyan")
        console.print(f"[dim]{line}[/dim]\n", highlight=False)

    with _interruptible(), _folder(keep) as folder:
        result = run_demo(folder, narrate, kept=keep is not None)
    if as_json:
        print_json(result.to_json())
        return
    narrate("What happened", "a release is a chain of commits; a rollback is one of them")
    out = open_console(highlight=True)
    out.print(commit_table(result.commits))
    out.print(request_table(result.requests))
    out.print(
        "[bold green]✔[/] v2 serves; v3 was taken back by a commit that restored "
        f"the environment file byte for byte. [dim]{result.seconds:.0f} s[/]"
    )
    out.print("[dim]For a repository of your own: pipegraft init in it, or docs/getting-started.md.[/]")
    if result.folder:
        out.print(
            f"[dim]Everything is in {result.folder}: try git log there, and .pipegraft/release.json.[/]"
        )


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let a lost terminal and `kill` end it as Ctrl-C does: nothing that was started is left behind."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="pipegraft-demo-") as name:
            yield Path(name)
        return
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()
