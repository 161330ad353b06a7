"""A group of 500 projects: calls to GitLab for each, with a real git repository behind every project."""

from __future__ import annotations

import collections
import tempfile
import time
from pathlib import Path

from fleet_files import PIPELINE, delivery
from group_double import TOKEN, Lab, serve_group

from pipegraft.app.plugins import shipped_plugins
from pipegraft.ci.hooks import InjectOptions, TemplateSource
from pipegraft.core.ports import RecordingProgress
from pipegraft.fleet.adapters import open_group
from pipegraft.fleet.usecases.edits import injecting
from pipegraft.fleet.usecases.projects import Campaign, propose_to_all, select

PROJECTS = 500


def main() -> None:
    """Print a table: what, calls for the busiest project, calls in all, seconds, bar."""
    source = TemplateSource("project", "platform/pipegraft", "v0.1.0")
    edit = injecting(shipped_plugins(), InjectOptions(source=source))
    campaign = Campaign("pipegraft/inject", "Graft delivery", "", edit)
    with tempfile.TemporaryDirectory() as folder, serve_group(Path(folder)) as lab:
        for number in range(PROJECTS):
            name = f"app{number:03}"
            lab.add(name, {".gitlab-ci.yml": PIPELINE, "delivery.yaml": delivery(name)})
        forge = open_group("acme", lab.url, {"PIPEGRAFT_GITLAB_TOKEN": TOKEN})
        print(f"{'':<34}{'a project':>10}{'in all':>10}{'seconds':>10}   bar")
        for what, dry_run in (("dry run", True), ("proposed", False), ("proposed again", False)):
            lab.calls.clear()
            started = time.perf_counter()
            propose_to_all(forge, campaign, select(forge, ()), RecordingProgress(), jobs=8, dry_run=dry_run)
            seconds = time.perf_counter() - started
            row = f"{PROJECTS} projects, {what}"
            print(f"{row:<34}{_busiest(lab):>10}{len(lab.calls):>10}{seconds:>10.1f}   at most 6 a project")
        print(f"{'merge requests':<34}{len(lab.requests):>10}{'':>20}   {PROJECTS}")


def _busiest(lab: Lab) -> int:
    calls = collections.Counter(
        path.split("/")[4] for _, path in lab.calls if path.startswith("/api/v4/projects/")
    )
    return max(calls.values(), default=0)
