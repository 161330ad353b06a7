"""The bump as programs: the command as a pipeline runs it, and git pushing a commit that is made already."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.commands import program

__all__ = ["bump_command", "ready_pushes"]

_DELIVERY = """\
app: app-{app:05}
registry: oci:registry
components: {{web: {{path: web, command: [cat]}}}}
iac: {{repository: "{url}", path: apps/app-{app:05}}}
environments: {{production: {{gate: {{engine: embedded, state: engine, application: shop}}}}}}
"""
_PEOPLE = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "bench"), ("EMAIL", "bench@example.com"))
}


def bump_command(folder: Path, url: str, app: int) -> Callable[[], None]:
    """A project whose two images take turns, and the command that releases the next one.

    Arguments:
        folder: where the project is made.
        url: the IaC repository.
        app: number of its application.
    """
    (folder / "web").mkdir(parents=True)
    (folder / "delivery.yaml").write_text(_DELIVERY.format(app=app, url=url))
    _run(folder, "git", "init", "--quiet")
    record, built = folder / ".pipegraft/release.json", []
    for page in ("a", "b"):
        (folder / "web/page").write_text(page)
        _run(folder, "git", "add", "--all")
        _run(folder, "git", "commit", "--quiet", "--message", page)
        _run(folder, program(), "run", "image-build", number=2)
        built.append(json.loads(record.read_text()))
    number = 2

    def release() -> None:
        nonlocal number
        number += 1
        release = {**built[number % 2], "source": {**built[1]["source"], "number": number}}
        record.write_text(json.dumps(release))
        _run(folder, program(), "run", "iac-bump", number=number)
        assert json.loads(record.read_text())["environments"]["production"]["bump"]["outcome"] == "written"

    return release


def ready_pushes(folder: Path, url: str, bare: Path, path: str, count: int) -> Callable[[], None]:
    """Commits that are made already, and the push of the next one: what no client that pushes can save.

    Arguments:
        folder: where the clone is made.
        url: the repository.
        bare: its folder on the server.
        path: the file to change.
        count: how many commits.
    """
    folder.mkdir()
    _run(folder, "git", "clone", "--quiet", "--bare", "--depth", "1", f"file://{bare}", ".")
    _run(folder, "git", "read-tree", "main")
    made = ["main"]
    for number in range(count):
        blob = _run(folder, "git", "hash-object", "-w", "--stdin", stdin=f"# {number}\n")
        _run(folder, "git", "update-index", "--cacheinfo", f"100644,{blob},{path}")
        tree = _run(folder, "git", "write-tree")
        made.append(_run(folder, "git", "commit-tree", "-m", "bump", "-p", made[-1], tree))
    waiting = iter(made[1:])

    def push() -> None:
        _run(folder, "git", "push", "--quiet", url, f"{next(waiting)}:refs/heads/main")

    return push


def _run(folder: Path, *command: str, number: int = 1, stdin: str = "") -> str:
    environment: Mapping[str, str] = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        **_PEOPLE,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PIPEGRAFT_RELEASE_NUMBER": str(number),
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
