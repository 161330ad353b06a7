"""The guard on a server: a push of many files, and one of many commits."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("pipegraft"))
FILES, COMMITS, APPS = 20_000, 500, 100
IMAGE = f"registry.example.com/shop/web@sha256:{'a' * 64}"
APP = "app: shop\ncomponents:\n  web: {ports: {http: 80}}\n"
MANIFEST = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, labels: {{app: web}}}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: '{IMAGE}', ports: [{{containerPort: 8080}}]}}]}}
"""


def main() -> None:
    """Print a table: what, seconds, processor seconds, bar."""
    many = {}
    for number in range(FILES // 4):
        folder = f"apps/a{number}"
        many |= {
            f"{folder}/app.yaml": APP.replace("shop", f"shop-{number}"),
            f"{folder}/environments/production.yaml": _environment(number),
            f"{folder}/rendered/production/web.yaml": MANIFEST.replace("web", f"web-{number}"),
            f"{folder}/README.md": f"# Shop {number}\n",
        }
    first = {f"apps/a{one}/app.yaml": APP for one in range(APPS)}
    bumps = [{f"apps/a{n % APPS}/environments/production.yaml": _environment(n)} for n in range(COMMITS)]
    wall, busy = _pushed([{}, many])
    print(
        f"{'a push of ' + format(FILES, ',') + ' files':<36}{wall:8.1f} s{busy:8.1f} s of processor  bar 10 s"
    )
    wall, busy = _pushed([first, *bumps])
    told = f"a push of {COMMITS} commits, for each"
    print(f"{told:<36}{wall / COMMITS * 1000:8.1f} ms{busy / COMMITS * 1000:8.1f} ms of processor  bar 26 ms")


def _environment(number: int) -> str:
    return f"release: {{number: {number}, source: x}}\ncomponents: {{web: {{image: '{IMAGE}'}}}}\n"


def _pushed(commits: list[Mapping[str, str]]) -> tuple[float, float]:
    """Seconds, and processor seconds, of the hook for a push of all commits after the first."""
    with tempfile.TemporaryDirectory(prefix="bench-guard-") as folder:

        def git(*words: str, given: str = "") -> str:
            command = ["git", "--git-dir", folder, *words]
            return subprocess.run(command, input=given, text=True, check=True, capture_output=True).stdout

        git("init", "--quiet", "--bare", "--initial-branch=main")
        git("config", "receive.fsckObjects", "true")
        git("fast-import", "--quiet", given="".join(_stream(commits)))
        old, new = (git("rev-parse", name).strip() for name in ("first", "all"))
        git("update-ref", "refs/heads/main", old)
        git("update-ref", "-d", "refs/heads/all")
        began, before = time.perf_counter(), os.times()
        subprocess.run(
            [PROGRAM, "guard", "--pre-receive"],
            cwd=folder,
            env={**os.environ, "GIT_DIR": folder},
            input=f"{old} {new} refs/heads/main\n",
            text=True,
            check=True,
        )
        after = os.times()
        busy = after.children_user + after.children_system - before.children_user - before.children_system
        return time.perf_counter() - began, busy


def _stream(commits: list[Mapping[str, str]]) -> Iterator[str]:
    """The commits for git-fast-import(1)."""
    for number, files in enumerate(commits):
        yield f"commit refs/heads/all\ncommitter t <t@example.com> {1700000000 + number} +0000\ndata 1\nx\n"
        for path, text in files.items():
            yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
        yield "" if number else "reset refs/heads/first\nfrom refs/heads/all\n\n"


if __name__ == "__main__":
    main()
