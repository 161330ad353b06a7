"""How `inject` and `eject` show what they did."""

from __future__ import annotations

from typing import Any

from pipegraft.usecases.ci_files import Graft

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
    }


def show_graft(graft: Graft, *, written: bool, ejected: bool = False) -> None:
    """The graft for people, on standard output."""
    from rich.console import Console  # noqa: PLC0415

    from pipegraft.reports.graft import GraftReport, print_graft  # noqa: PLC0415

    name = graft.ci.root / graft.ci.name
    console = Console()
    if not graft.injection.files:
        state = "carries no delivery" if ejected else "is up to date"
        console.print(f"{name} {state}: nothing to do", highlight=False, soft_wrap=True)
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
            injection=graft.injection,
            before=graft.before,
            verb="removed" if ejected else "added",
            following=_following(graft, written=written, ejected=ejected),
        ),
    )


def _following(graft: Graft, *, written: bool, ejected: bool) -> list[str]:
    if not written:
        return [f"pipegraft {'eject' if ejected else 'inject'} {graft.ci.root}   to write it"]
    names = [
        name
        for name, text in graft.injection.files.items()
        if not name.startswith(".pipegraft/") or text is None
    ]
    folder = [".pipegraft"] if any(name.startswith(".pipegraft/") for name in graft.injection.files) else []
    paths = " ".join(dict.fromkeys([*(n for n in names if not n.startswith(".pipegraft/")), *folder]))
    commit = (
        f"git add -A {paths} && git commit -m 'ci: {'take delivery out' if ejected else 'graft delivery on'}'"
    )
    if ejected:
        return [commit]
    return [commit, f"pipegraft eject {graft.ci.root}   takes it out again, byte for byte"]
