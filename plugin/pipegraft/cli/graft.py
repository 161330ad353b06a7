"""`pipegraft inject` and `pipegraft eject`: delivery onto an existing pipeline, and out of it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipegraft.ci.hooks import EventRow, Injection, InjectOptions
from pipegraft.ci.usecases import Graft, choose_source, plan_ejection, plan_injection
from pipegraft.cli.common import json_option, load_plugins, print_json, working_plugins
from pipegraft.core.console import open_console, unified_diff
from pipegraft.core.delivery_file import DELIVERY_FILE
from pipegraft.core.stage import Requirement

__all__ = ["eject_command", "inject_command"]


_SHOWN_NAMES = 12
_SHOWN_LINES = 60  # of a file that is new as a whole


@dataclass(frozen=True, slots=True)
class _GraftReport:
    """What to tell.

    Arguments:
        title: what was done to what.
        injection: the changes.
        before: texts that change, as they were.
        verb: ``added`` or ``removed``.
        following: what to do next, one clause each.
    """

    title: str
    injection: Injection
    before: Mapping[str, str | None]
    verb: str = "added"
    following: Sequence[str] = ()


def _print_graft(console: Console, report: _GraftReport) -> None:
    """Print the title, what stays, what comes, the diff and what to do next."""
    injection = report.injection
    console.print(f"[bold]{escape(report.title)}[/]\n", highlight=False)
    for line in _summary(report):
        console.print(line, highlight=False, soft_wrap=True)
    if injection.verified:
        console.print(f"[green]✔[/] {escape(injection.verified)}", highlight=False, soft_wrap=True)
    for clause in injection.invalid:
        console.print(
            f"[red]✘[/] The CI system refuses this already: {escape(clause)}", highlight=False, soft_wrap=True
        )
    _print_events(console, injection)
    console.print()
    for change in _changes(report):
        console.print(change, highlight=False, soft_wrap=True)
    if report.following:
        console.print("[bold]Next[/]", highlight=False)
    for number, step in enumerate(report.following, 1):
        console.print(f"  {number}. {escape(step)}", highlight=False, soft_wrap=True)


def _print_events(console: Console, injection: Injection) -> None:
    """Print when delivery runs, one line an event, and the notes."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("event", "pipeline", "delivery", "behind"):
        table.add_column(title, overflow="fold")
    for row in injection.events:
        table.add_row(escape(row.name), row.pipeline, row.delivery, escape(_behind(row)))
    if injection.events:
        console.print()
        console.print(table, highlight=False)
        console.print()
    for note in injection.notes:
        console.print(f"[yellow]![/] {escape(note)}", highlight=False, soft_wrap=True)


def _behind(row: EventRow) -> str:
    if row.delivery == "no":
        return "" if row.pipeline == "maybe" else row.why
    waits = f"; waits for somebody to start {', '.join(row.waits_for)}" if row.waits_for else ""
    shown = ", ".join(row.behind[:_SHOWN_NAMES]) or "nothing of yours"
    more = f" and {len(row.behind) - _SHOWN_NAMES} more" if len(row.behind) > _SHOWN_NAMES else ""
    depends = f" ({row.why})" if row.why else ""
    unread = f"; unknown: {', '.join(row.unread)} not read" if row.unread and not row.why else ""
    return f"{shown}{more}{waits}{depends}{unread}"


def _summary(report: _GraftReport) -> Iterator[str]:
    injection = report.injection
    mark = "[yellow]![/]" if injection.invalid else "[green]✔[/]"
    yield (
        f"{mark} {_count(injection.jobs_unchanged, 'job')} unchanged, each compared as it is in force "
        f"before and after{_names(injection.jobs_unchanged)}"
    )
    sign = "[green]+[/]" if report.verb == "added" else "[red]-[/]"
    if injection.jobs_added:
        yield f"{sign} {_count(injection.jobs_added, 'job')} {report.verb}{_names(injection.jobs_added)}"
    stages = injection.stages_added
    if stages:
        yield f"{sign} {_count(stages, 'stage')} {report.verb}{_names(stages)}"


def _count(names: Sequence[str], word: str) -> str:
    return f"{len(names)} {word}{'' if len(names) == 1 else 's'}"


def _names(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f": [dim]{escape(', '.join(names[:_SHOWN_NAMES]))}{more}[/]"


def _yours_first(report: _GraftReport) -> list[str]:
    """Files that were there before delivery, then those that it brings."""
    return sorted(report.injection.files, key=lambda name: (name.startswith(".pipegraft/"), name))


def _changes(report: _GraftReport) -> Iterator[Text]:
    """The diffs; files that come or go as a whole and are long get one line each."""
    whole: list[Text] = []
    for name in _yours_first(report):
        before, after = report.before.get(name), report.injection.files[name]
        lines = (after or before or "").count("\n")
        if (before is None or after is None) and (after is None or lines > _SHOWN_LINES):
            word = "new" if before is None else "deleted"
            whole.append(
                Text.assemble((f"{word:<8}", "green" if before is None else "red"), f"{name} ({lines} lines)")
            )
            continue
        yield unified_diff(name, before, after)
        yield Text()
    yield from whole
    if whole:
        yield Text()


def _graft_data(graft: Graft, *, written: bool) -> dict[str, Any]:
    """The graft for machines."""
    injection = graft.injection
    return {
        "ci": graft.ci.system.name,
        "file": graft.ci.name,
        "written": written and bool(injection.files),
        "files": dict(injection.files),
        "jobs-unchanged": list(injection.jobs_unchanged),
        "jobs-added": list(injection.jobs_added),
        "stages-added": list(injection.stages_added),
        "notes": list(injection.notes),
        "events": [
            {
                "event": row.event,
                "name": row.name,
                "pipeline": row.pipeline,
                "delivery": row.delivery,
                "behind": list(row.behind),
                "passed": list(row.passed),
                "beside": list(row.beside),
                "after": list(row.after),
                "waits-for": list(row.waits_for),
                "why": row.why,
                "unread": list(row.unread),
            }
            for row in injection.events
        ],
        "refused-already": list(injection.invalid),
        "verified": injection.verified,
        "stops": [
            {"message": one.message, "place": str(one.place or ""), "fix": one.fix} for one in graft.stops
        ],
    }


def _show_graft(graft: Graft, *, written: bool, ejected: bool = False) -> None:
    """The graft for people, on standard output."""
    name = graft.ci.root / graft.ci.name
    console = open_console(highlight=True)
    if not graft.injection.files:
        state = "carries no delivery" if ejected else "is up to date"
        console.print(f"{name} {state}: nothing to do", highlight=False, soft_wrap=True)
        _print_events(console, graft.injection)
        return
    did = (
        ("Took delivery out of" if ejected else "Grafted delivery onto")
        if written
        else ("Would take delivery out of" if ejected else "Would graft delivery onto")
    )
    _print_graft(
        console,
        _GraftReport(
            title=f"{did} {name}",
            injection=replace(graft.injection, notes=(*graft.injection.notes, *_warnings(graft))),
            before=graft.before,
            verb="removed" if ejected else "added",
            following=_following(graft, written=written, ejected=ejected),
        ),
    )


def _warnings(graft: Graft) -> list[str]:
    ignored = [
        f"Git is told to ignore {name}: add it with force, or the pipeline will not find it."
        for name in graft.ignored[:1]
    ]
    stops = [f"Before you commit: {one.place}: {one.message}; {one.fix}." for one in graft.stops]
    return [*ignored, *stops]


def _following(graft: Graft, *, written: bool, ejected: bool) -> list[str]:
    if not written:
        return ["the same without --dry-run   to write it"]
    force = "-f " if graft.ignored else ""
    message = "ci: take delivery out" if ejected else "ci: graft delivery on"
    files = _paths(graft)
    if not ejected and (graft.ci.root / DELIVERY_FILE).exists():  # the jobs read it
        files = [*files, DELIVERY_FILE]
    commit = f"git add -A {force}{' '.join(files)} && git commit -m '{message}'"
    if ejected:
        return [commit]
    return [
        commit,
        *_provisions(graft.requires),
        f"pipegraft eject {graft.ci.root}   takes it out again, byte for byte",
    ]


def _provisions(requires: Sequence[Requirement]) -> list[str]:
    """What the runner must offer, as one step."""
    if not requires:
        return []
    width = max(len(need.name) for need in requires)
    lines = [
        f"\n       {need.name:<{width}}  {need.why}{' (masked and protected)' if need.secret else ''}"
        for need in requires
    ]
    return [f"give the jobs what your systems ask for, as CI/CD variables or in their image:{''.join(lines)}"]


def _paths(graft: Graft) -> list[str]:
    """The files that change; those in a folder below `.pipegraft/` by the folder's name."""
    found = (PurePosixPath(name) for name in graft.injection.files)
    short = (PurePosixPath(*path.parts[:2]) if path.parts[0] == ".pipegraft" else path for path in found)
    return sorted({str(path) for path in short})


@click.command("inject")
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=Path())
@click.option("--dry-run", is_flag=True, help="Show what would change and write nothing.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if anything would change.")
@click.option("--ci", metavar="SYSTEM", help="gitlab or jenkins, where the file does not tell.")
@click.option(
    "--mode",
    type=click.Choice(["include", "child"]),
    help="Add jobs, or one job that starts a child pipeline.",
)
@click.option(
    "--after", metavar="STAGE", help="The stage of yours that delivery follows; your last one if absent."
)
@click.option(
    "--from-project", metavar="PROJECT", help="Take the templates from a project on the same server."
)
@click.option(
    "--from-url", metavar="URL", help="Take the templates from below a URL; {ref} in it becomes the version."
)
@click.option(
    "--from-component",
    metavar="HOST/GROUP/PROJECT[@VERSION]",
    help="Take the templates from a project of CI/CD components (GitLab).",
)
@click.option(
    "--local", is_flag=True, help="Copy the templates into .pipegraft/, as the first injection does."
)
@click.option("--ref", help="Version to pin: tag, branch or commit; this program's own if absent.")
@click.option("--image", help="Container image the jobs run in.")
@click.option(
    "--packages",
    metavar="TEXT",
    help="What pip installs where the image has no pipegraft: a wheel's URL with #sha256=…, or a name with "
    "its --index-url.",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    help="Tag of the runners that take the jobs; repeatable, empty for none; as your own jobs if absent.",
)
@click.option("--branch", metavar="NAME", help="The branch that is delivered; the default branch if absent.")
@click.option(
    "--verify",
    metavar="URL",
    help="Ask the GitLab project at URL before anything is written; needs PIPEGRAFT_GITLAB_TOKEN.",
)
@json_option
def inject_command(
    *,
    path: Path,
    dry_run: bool,
    check: bool,
    ci: str | None,
    mode: Literal["include", "child"] | None,
    after: str | None,
    from_project: str | None,
    from_url: str | None,
    from_component: str | None,
    local: bool,
    ref: str | None,
    image: str | None,
    packages: str | None,
    tags: tuple[str, ...],
    branch: str | None,
    verify: str | None,
    as_json: bool,
) -> int:
    """Graft the stages of delivery.yaml onto the pipeline in PATH.

    PATH is a repository's folder, or its .gitlab-ci.yml or Jenkinsfile. Your jobs stay as they are, and
    that is proven before anything is written. Run it again to follow a change of delivery.yaml or a new
    version of the templates; what you chose stays. `pipegraft eject` restores your files byte for byte.
    """
    options = InjectOptions(
        source=choose_source(
            project=from_project, url=from_url, component=from_component, local=local, ref=ref
        ),
        ref=ref,
        mode=mode,
        after=after,
        image=image,
        tags=tuple(tag for tag in tags if tag) if tags else None,
        packages=packages,
        branch=branch,
    )
    with working_plugins() as plugins:
        graft = plan_injection(path, plugins, options, ci_system=ci, verify=verify)
    write = not (dry_run or check)
    if write:
        graft.write()
    if as_json:
        print_json(_graft_data(graft, written=write))
    else:
        _show_graft(graft, written=write)
    return 1 if check and graft.injection.files else 0


@click.command("eject")
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=Path())
@click.option("--dry-run", is_flag=True, help="Show what would change and write nothing.")
@click.option("--ci", metavar="SYSTEM", help="gitlab or jenkins, where the file does not tell.")
@json_option
def eject_command(path: Path, dry_run: bool, ci: str | None, as_json: bool) -> None:
    """Take delivery out of the pipeline in PATH.

    Your files become again, byte for byte, what they would be had delivery never been grafted onto them;
    what you changed since then stays. Nothing but the files themselves is needed for it.
    """
    graft = plan_ejection(path, load_plugins(), ci)
    if not dry_run:
        graft.write()
    if as_json:
        print_json(_graft_data(graft, written=not dry_run))
    else:
        _show_graft(graft, written=not dry_run, ejected=True)
