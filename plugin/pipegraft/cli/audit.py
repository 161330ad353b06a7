"""`pipegraft audit`: prove a release's chain, or measure delivery."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from pipegraft.audit.chain import Chain, State
from pipegraft.audit.release_commits import Wanted
from pipegraft.audit.usecases import AuditRequest, Place, Scene, audit, delivery_figures, open_scene
from pipegraft.audit.views import chain_view, figures_json, figures_page, figures_table
from pipegraft.cli.common import directory_option, json_option, load_plugins, print_json, write_page
from pipegraft.core.adapters.files import RECORD, FileReleaseStore
from pipegraft.core.console import open_console
from pipegraft.core.delivery_file import open_project
from pipegraft.core.errors import UsageError
from pipegraft.core.foreign_text import echo
from pipegraft.core.hooks import LiveConnections
from pipegraft.core.release import Release
from pipegraft.images.ports import VERIFIER, SignatureVerifier

__all__ = ["audit_command"]

_file = click.Path(dir_okay=False, path_type=Path)


@click.command("audit")
@click.argument("repository", required=False)
@directory_option
@click.option(
    "--env", "environment", help="The environment; if absent all of them, with --dora the last one."
)
@click.option(
    "--release", type=click.IntRange(min=0), help="Number of the release; the newest one if absent."
)
@click.option("--digest", help="The release that brought this image, at least seven hex digits.")
@click.option("--commit", help="The release of this source or IaC commit, at least seven digits.")
@click.option("--branch", help="Branch of the IaC repository; the delivery's if absent.")
@click.option("--folder", help="The app's folder in an IaC repository of several.")
@click.option(
    "--source", type=click.Path(file_okay=False, path_type=Path), help="Clone of the source repository."
)
@click.option(
    "--record", type=_file, help="The pipeline's release record; `.pipegraft/release.json` if there."
)
@click.option("--allowed-signers", type=_file, help="Keys that may sign, of SSH (ssh-keygen(1)) or OpenPGP.")
@click.option(
    "--require",
    "required",
    multiple=True,
    type=click.Choice(["signature", "provenance", "gate"]),
    help="Take it for broken if this is not proven; may be given several times.",
)
@click.option("--offline", is_flag=True, help="Ask no registry.")
@click.option(
    "--dora", is_flag=True, help="Measure delivery instead: frequency, lead time, failures, recovery, rework."
)
@click.option("--since", help="With --dora: first day, YYYY-MM-DD, or a span such as 90d.")
@click.option("--until", help="With --dora: last day, YYYY-MM-DD; today if absent.")
@click.option("--html", type=_file, help="With --dora: write a page with charts to this file.")
@json_option
def audit_command(
    *,
    repository: str | None,
    directory: Path,
    environment: str | None,
    release: int | None,
    digest: str | None,
    commit: str | None,
    branch: str | None,
    folder: str | None,
    source: Path | None,
    record: Path | None,
    allowed_signers: Path | None,
    required: tuple[str, ...],
    offline: bool,
    dora: bool,
    since: str | None,
    until: str | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Prove how a release came to run: source, image, IaC commit, gate, gray steps, outcome.

    Everything is read from git and the registry; REPOSITORY is the IaC repository, the delivery's if absent.
    Ends with 1 if a link is broken, with 3 if none is and a registry did not answer.
    """
    if sum(one is not None for one in (release, digest, commit)) > 1:
        raise UsageError("expected one of --release, --digest and --commit, found several")
    if not dora and (since or until or html):
        raise UsageError("--since, --until and --html belong to --dora", fix="add --dora")
    place = Place(directory, repository, branch, folder, source, allowed_signers)
    with open_scene(place, os.environ) as scene:
        if dora:
            _measure(scene, environment, since, until, html, as_json=as_json)
            return 0
        wanted = Wanted(release, digest or "", commit or "")
        request = AuditRequest(wanted, environment, required, _record(record, directory), offline)  # type: ignore[arg-type] # click checked the words
        chains = audit(scene, request, verifier=lambda: _verifier(directory))
        _show(chains, as_json=as_json)
        return _exit_code(chains)


def _verifier(directory: Path) -> SignatureVerifier:
    """What checks signatures of images, as the delivery's plugins provide it."""
    return LiveConnections(open_project(directory, load_plugins())).open(VERIFIER)


def _exit_code(chains: list[Chain]) -> int:
    states = {chain.state for chain in chains}
    return 1 if State.BROKEN in states else 3 if State.UNREACHABLE in states else 0


def _show(chains: list[Chain], *, as_json: bool) -> None:
    if as_json:
        print_json([chain.to_json() for chain in chains])
        return
    console = open_console()
    for number, chain in enumerate(chains):
        if number:
            console.print()
        console.print(chain_view(chain))


def _record(path: Path | None, directory: Path) -> Release | None:
    if path is None and not (directory / RECORD).exists():
        return None
    return FileReleaseStore(path or directory / RECORD).load()


def _measure(
    scene: Scene,
    environment: str | None,
    since: str | None,
    until: str | None,
    html: Path | None,
    *,
    as_json: bool,
) -> None:
    end = (_day(until, "--until") + timedelta(days=1)) if until else datetime.now(UTC)
    begin = _beginning(since, end)
    found = delivery_figures(scene, environment, begin, end.timestamp())
    if html:
        write_page(html, figures_page(scene.app, found))
    if as_json:
        print_json(figures_json(found))
        return
    console = open_console()
    console.print(figures_table(scene.app, found))
    if html:
        echo(f"written to {html}")


def _beginning(since: str | None, end: datetime) -> float | None:
    if since is None:
        return None
    if since.endswith("d") and since[:-1].isdecimal():
        return (end - timedelta(days=int(since[:-1]))).timestamp()
    return _day(since, "--since").timestamp()


def _day(text: str, option: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"{option}: expected a day such as 2026-03-31, found '{text}'") from None
