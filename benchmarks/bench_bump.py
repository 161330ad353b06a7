"""The IaC bump: against a clone, in repositories of two sizes, and among a hundred writers at once."""

from __future__ import annotations

import itertools
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.bump_programs import bump_command, ready_pushes
from git_http import HttpGit, serve

from pipegraft.core.delivery import Delivery
from pipegraft.core.release import ReleaseMark
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.optimistic_commit import Change, Changes, Read, rewrite, rewrite_all
from pipegraft.iac.plan import BumpRequest, plan_bump
from pipegraft.iac.released_images import PinnedImage
from pipegraft.iac.targets.units import Unit
from pipegraft.text.yaml import set_values

FILES_PER_APP = 100
WRITERS = 100
ROUNDS = 10
LATENCY = 0.03
GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.com")


def main() -> None:
    """Print a table: name, ours, baseline, ratio, bar."""
    print(f"{'':<46}{'ours':>10}{'baseline':>10}{'ratio':>8}   bar")
    with tempfile.TemporaryDirectory(prefix="bench-bump-") as name, serve(Path(name)) as server:
        folder = Path(name)
        make_repository(folder / "small.git", apps=1_000 // FILES_PER_APP)
        make_repository(folder / "large.git", apps=100_000 // FILES_PER_APP)
        make_repository(folder / "flat.git", apps=20_000, files=5)
        one_line(folder, server)
        server_check(folder)
        effect(server)
        serial = one_by_one(server, WRITERS)
        many_writers(server, WRITERS, "on one machine", serial)
        with mock.patch("pipegraft.iac.adapters.git.private_folder") as private_folder:
            private_folder.side_effect = lambda: Path(tempfile.mkdtemp(dir=folder))
            many_writers(server, WRITERS, "on as many machines", serial)
        one_push(server, WRITERS, serial)


def one_line(folder: Path, server: HttpGit) -> None:
    """One digest in the repository of 100,000 files over HTTP."""
    urls = [f"{server.url}/{name}.git" for name in ("small", "large")]
    small, large = best(*(lambda url=url: bump(url, 7) for url in urls))
    started = time.perf_counter()
    by_clone(f"{server.url}/large.git", folder / "clone", 7)
    cloned = time.perf_counter() - started
    row("one line in 100,000 files, vs clone (s)", large, cloned, cloned / large, "at least 8")
    row("one line in 100,000 files, vs in 1,000 (s)", large, small, large / small, "under 1.5")
    commands = [bump_command(folder / f"project-{at}", url, 7) for at, url in enumerate(urls)]
    small, large = best(*commands)
    row("  by `pipegraft run iac-bump` (s)", large, small, large / small, "under 1.5")
    row("  by that command, vs clone (s)", large, cloned, cloned / large, "at least 8")
    floor(folder, server)
    server.before = slow
    small, large = best(*(lambda url=url: bump(url, 7) for url in urls))
    server.before = lambda _method, _path: None
    row(f"the same, {LATENCY * 1000:.0f} ms a request (s)", large, small, large / small, "under 1.5")
    uncompressed(folder / "large.git", folder / "plain.git")
    small, large = best(
        *(lambda name=name: bump(f"{server.url}/{name}.git", 7) for name in ("small", "plain"))
    )
    row("  packed for it on the server (s)", large, small, large / small, "under 1.5")
    requests, sent = len(server.requests), server.sent
    bump(f"{server.url}/large.git", 11)
    print(f"{'requests':<46}{len(server.requests) - requests:>10}{'':>18}   at most 10")
    print(f"{'kilobytes down':<46}{(server.sent - sent) / 1000:>10.1f}{'':>18}   at most 200")


def effect(server: HttpGit) -> None:
    """Targets, whose effect is proven without Helm and Kustomize, against the same written unproven."""
    url, numbers = f"{server.url}/large.git", itertools.count(2)

    def release(kind: str) -> None:
        number = next(numbers)
        delivery = Delivery.model_validate(_DELIVERY | {"environments": {"live": _GATE | TARGETS[kind]}})
        image = PinnedImage("r/web", f"sha256:{random.getrandbits(256):064x}", f"v{number}")
        mark = ReleaseMark(number=number, source="c" * 40)
        request = BumpRequest(delivery, "live", mark, {"web": image})
        branch = open_branch(url, "main", Path(), folder=_APP)
        rewrite(branch, lambda read: Changes(plan_bump(read, request).files, "bump"))

    def unproven(kind: str) -> None:
        with (
            mock.patch("pipegraft.iac.plan.check_effect", return_value=[]),
            mock.patch("pipegraft.iac.plan.find_unit", return_value=Unit("none", "")),
        ):
            release(kind)

    for kind in TARGETS:
        proven, plain = best(lambda kind=kind: release(kind), lambda kind=kind: unproven(kind))
        row(f"effect of {kind} without the tool (s)", proven, plain, proven / plain, "under 1.1")


_APP = "apps/app-00007"
_GATE = {"gate": {"engine": "embedded", "url": "http://127.0.0.1:9", "application": "shop"}}
_DELIVERY = {
    "app": "shop",
    "registry": "r",
    "components": {"web": {"path": "web"}},
    "iac": {"repository": "iac.git", "path": _APP},
}
TARGETS: Mapping[str, Mapping[str, Any]] = {
    "a kustomization": {"targets": [{"kind": "kustomize", "file": "overlays/live/kustomization.yaml"}]},
    "a chart": {
        "targets": [{"kind": "helm", "file": "chart/values-live.yaml", "path": "image", "component": "web"}]
    },
}
_DEPLOYMENT = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n"
    "      containers:\n      - {name: web, image: IMAGE}\n"
)
FILES_OF_TARGETS = {
    "base/kustomization.yaml": "resources: [web.yaml]\n",
    "base/web.yaml": _DEPLOYMENT.replace("IMAGE", "web"),
    "overlays/live/kustomization.yaml": (
        "resources: [../../base]\nimages: [{name: web, newName: r/web, newTag: v1}]\n"
    ),
    "chart/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "chart/values.yaml": "image: {repository: r/web, tag: v0}\n",
    "chart/values-live.yaml": "image: {tag: v1}\n",
    "chart/templates/web.yaml": _DEPLOYMENT.replace(
        "IMAGE", '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"'
    ),
}


def floor(folder: Path, server: HttpGit) -> None:
    """What grows whoever pushes: git's own push of a commit that is made."""
    path = "apps/app-00007/file-7.yaml"
    small, large = best(
        *(
            ready_pushes(
                folder / f"ready-{name}", f"{server.url}/{name}.git", folder / f"{name}.git", path, ROUNDS
            )
            for name in ("small", "large")
        )
    )
    row("`git push` alone, of a commit that is made (s)", large, small, large / small, "")


def server_check(folder: Path) -> None:
    """What the server spends of that on looking through the parent's folders, in time of its processor."""
    shapes = {
        "small": "ten folders of 100 files",
        "large": "1,000 folders of 100 files",
        "plain": "the same with core.compression 0",
        "flat": "20,000 applications of five files",
    }
    baseline = 0.0
    for name, shape in shapes.items():
        least = 1000 * min(check_of_a_push(folder / f"{name}.git"))
        baseline = baseline or least
        what = f"check, {shape} (ms)"
        print(f"{what:<46}{least:>10.0f}{baseline:>10.0f}{least / baseline:>8.1f}", flush=True)


def slow(_method: str, _path: str) -> None:
    """A request from another town."""
    time.sleep(LATENCY)


def check_of_a_push(repository: Path) -> Iterator[float]:
    """What git-receive-pack runs for every push, whoever pushes: it reads all trees of the parent.

    Yields:
        Seconds of a processor, once a round.
    """
    git = (*GIT, "-C", str(repository))
    command = (*git, "commit-tree", "-m", "x", "-p", "main", "main^{tree}")
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(*git, "rev-list", "--objects", "--quiet", made, "--not", "--all")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        yield after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def uncompressed(repository: Path, copy: Path) -> None:
    """A copy of a repository as an administrator may pack it, see docs/iac-bump.md."""
    shutil.copytree(repository, copy)
    for key, value in (("core.compression", "0"), ("pack.writeReverseIndex", "true")):
        run("git", "-C", str(copy), "config", key, value)
    run("git", "-C", str(copy), "repack", "-adFq")


def one_by_one(server: HttpGit, count: int) -> float:
    """Seconds of writers to different applications, one after another."""
    started = time.perf_counter()
    for app in range(count):
        bump(f"{server.url}/large.git", app)
    return time.perf_counter() - started


def many_writers(server: HttpGit, count: int, where: str, serial: float) -> None:
    """Writers to different applications of one branch at once."""
    url, held = f"{server.url}/large.git", commits(server)
    started = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        ended = [
            one.exception() or one.result() for one in [pool.submit(bump, url, app) for app in range(count)]
        ]
    together = time.perf_counter() - started
    attempts = [one for one in ended if isinstance(one, int)]
    row(f"{count} writers {where}, vs serial (s)", together, serial, together / serial, "at most 1.5")
    print(f"{'  succeeded':<46}{len(attempts):>10}{'':>18}   {count}")
    print(f"{'  commits':<46}{commits(server) - held:>10}{'':>18}   {count}")
    print(f"{'  attempts':<46}{sum(attempts):>10}", flush=True)


def one_push(server: HttpGit, count: int, serial: float) -> None:
    """The same by one process with one push."""
    folders = [f"apps/app-{app:05}" for app in range(count)]
    started = time.perf_counter()
    branch = open_branch(f"{server.url}/large.git", "main", Path(), folder=folders)
    changes = [change(app) for app in range(count)]
    done = rewrite_all(branch, changes)
    together = time.perf_counter() - started
    row(f"{len(done.commits)} applications with one push (s)", together, serial, together / serial, "")


def commits(server: HttpGit) -> int:
    """How many commits the branch has."""
    git = ("git", "-C", str(server.folder / "large.git"), "rev-list", "--count", "main")
    return int(subprocess.run(git, check=True, capture_output=True, text=True).stdout)


def bump(url: str, app: int) -> int:
    """What iac-bump does to a repository; answers how many attempts it took."""
    branch = open_branch(url, "main", Path(), folder=f"apps/app-{app:05}")
    return rewrite(branch, change(app)).attempts


def change(app: int) -> Change:
    """A new digest for an application."""
    path = f"apps/app-{app:05}/environments/production.yaml"
    digest = f"sha256:{random.getrandbits(256):064x}"

    def edit(read: Read) -> Changes:
        text = set_values(read(path) or "", {"components.web.image": f"r/web@{digest}"}, file=path)
        return Changes({path: text}, "bump")

    return edit


def by_clone(url: str, folder: Path, app: int) -> None:
    """The same by clone, edit, commit and push."""
    run(*GIT, "clone", "--quiet", "--depth", "1", url, str(folder))
    file = folder / f"apps/app-{app:05}/environments/production.yaml"
    file.write_text(file.read_text().replace("replicas: 2", "replicas: 3"))
    run(*GIT, "-C", str(folder), "commit", "--quiet", "--all", "--message", "bump")
    run(*GIT, "-C", str(folder), "push", "--quiet", "origin", "HEAD:main")
    shutil.rmtree(folder)


def make_repository(folder: Path, apps: int, files: int = FILES_PER_APP) -> None:
    """A bare repository of applications, 660 bytes a file."""
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder))
    for key in ("http.receivepack", "uploadpack.allowFilter"):
        run("git", "-C", str(folder), "config", key, "true")
    run("git", "-C", str(folder), "fast-import", "--quiet", stdin="".join(first_commit(apps, files)).encode())
    run("git", "-C", str(folder), "gc", "--quiet")  # as a server's upkeep leaves it


def first_commit(apps: int, count: int) -> Iterable[str]:
    """A stream for git-fast-import(1)."""
    yield "commit refs/heads/main\ncommitter bench <bench@example.com> 1700000000 +0000\ndata 5\nfirst\n"
    for app in range(apps):
        folder = f"apps/app-{app:05}"
        environment = (
            "release: {number: 1, source: 4be1}\ncomponents:\n  web:\n"
            f"    image: r/web@sha256:{app:064x}\n    replicas: 2\n"
        )
        spec = f"app: app-{app:05}\ncomponents: {{web: {{ports: {{http: 8080}}}}}}\n"
        files = {"app.yaml": spec, "environments/production.yaml": environment}
        files |= FILES_OF_TARGETS if count > len(FILES_OF_TARGETS) + len(files) else {}
        files |= {f"file-{number}.yaml": "" for number in range(count - len(files))}
        for path, text in files.items():
            content = text + f"# {folder}/{path} " + random.Random(f"{app}{path}").randbytes(320).hex() + "\n"
            yield f"M 100644 inline {folder}/{path}\ndata {len(content)}\n{content}\n"


def best(*measured: Callable[[], object]) -> list[float]:
    """Seconds of the quickest of several rounds, taking turns."""
    seconds: list[list[float]] = [[] for _ in measured]
    for _ in range(ROUNDS):
        for one, times in zip(measured, seconds, strict=True):
            started = time.perf_counter()
            one()
            times.append(time.perf_counter() - started)
    return [min(times) for times in seconds]


def row(name: str, ours: float, baseline: float, ratio: float, bar: str) -> None:
    """Print one line."""
    print(f"{name:<46}{ours:>10.3f}{baseline:>10.3f}{ratio:>8.2f}   {bar}", flush=True)


def run(*command: str, stdin: bytes = b"") -> None:
    """Run a command that must succeed."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(command, input=stdin, check=True, stdout=subprocess.DEVNULL, env=environment)


if __name__ == "__main__":
    main()
