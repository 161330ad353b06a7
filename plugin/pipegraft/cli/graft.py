"""How `inject` and `eject` show what they did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from pipegraft.ci.report import GraftReport, print_events, print_graft
from pipegraft.ci.usecases import Graft
from pipegraft.core.console import open_console
from pipegraft.core.delivery_file import DELIVERY_FILE
from pipegraft.core.stage import Requirement

__all__ = ["graft_data", "show_graft"]


def graft_data(graft: Graft, *, written: bool) -> dict[str, Any]:
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
            }
            for row in injection.events
        ],
        "refused-already": list(injection.invalid),
        "verified": graft.verified,
        "stops": [
            {"message": one.message, "place": str(one.place or ""), "fix": one.fix} for one in graft.stops
        ],
    }


def show_graft(graft: Graft, *, written: bool, ejected: bool = False) -> None:
    """The graft for people, on standard output."""
    name = graft.ci.root / graft.ci.name
    console = open_console(highlight=True)
    if not graft.injection.files:
        state = "carries no delivery" if ejected else "is up to date"
        console.print(f"{name} {state}: nothing to do", highlight=False, soft_wrap=True)
        if graft.injection.events:
            print_events(console, graft.injection.events)
        return
    did = (
        ("Took delivery out of" if ejected else "Grafted delivery onto")
        if written
        else ("Would take delivery out of" if ejected else "Would graft delivery onto")
    )
    print_graft(
        console,
        GraftReport(
            title=f"{did} {name}",
            injection=replace(graft.injection, notes=(*graft.injection.notes, *_warnings(graft))),
            before=graft.before,
            verb="removed" if ejected else "added",
            verified=graft.verified,
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
