"""A release as people read it: the chain of commits, and who answered the requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from pipegraft.iac.ports.repository import Commit

__all__ = ["commit_table", "request_table"]


def commit_table(commits: Sequence[Commit]) -> Table:
    """One line a commit of the IaC repository, with what its trailers say of the release.

    Arguments:
        commits: oldest first.
    """
    table = Table(
        title="The IaC repository's commits, oldest first", title_justify="left", box=box.SIMPLE_HEAD
    )
    for heading in ("commit", "release", "step", "what"):
        table.add_column(heading, no_wrap=heading != "what")
    for commit in commits:
        trailers = commit.trailers
        table.add_row(
            Text(commit.id[:10], style="cyan"),
            trailers.get("Pipegraft-Release", ""),
            trailers.get("Pipegraft-Step", ""),
            commit.message.splitlines()[0],
        )
    return table


def request_table(requests: Mapping[str, Mapping[str, int]]) -> Table:
    """Who answered how many requests, and how.

    Arguments:
        requests: version → status code → requests.
    """
    table = Table(title="Requests of the application's clients", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("version")
    for heading in ("requests", "good", "failed"):
        table.add_column(heading, justify="right")
    for version, counts in requests.items():
        good = sum(count for status, count in counts.items() if status.startswith("2"))
        failed = sum(counts.values()) - good
        table.add_row(
            Text(version, style="bold"),
            str(good + failed),
            str(good),
            Text(str(failed), style="red" if failed else "dim"),
        )
    return table
