"""Rendering the app spec: 200 components in 5 environments, against parsing and dumping the same YAML."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from pipegraft.appspec.usecases.render import Rendering, render

HOSTS = 50
GUESTS = 3
ENVIRONMENTS = 5
ROUNDS = 3


def main() -> None:
    """Print a table: name, ours, baseline, ratio, bar."""
    print(f"{'':<44}{'ours':>10}{'baseline':>10}{'ratio':>8}   bar")
    with tempfile.TemporaryDirectory(prefix="bench-render-") as name:
        folder = Path(name)
        make_spec(folder)
        for target in ("oam", "kubernetes"):
            rendered = render(folder, (), Rendering(target))
            ours = best(lambda target=target: render(folder, (), Rendering(target)))
            theirs = best(lambda rendered=rendered: dump(list(yaml.load_all(rendered, yaml.CSafeLoader))))
            what = f"{HOSTS * (1 + GUESTS)} components, {ENVIRONMENTS} environments, {target} (s)"
            print(f"{what:<44}{ours:>10.3f}{theirs:>10.3f}{ours / theirs:>8.2f}   under 1 s")


def dump(data: list[object]) -> str:
    """The output parsed and written again: what no renderer can do without."""
    return yaml.dump_all(data, Dumper=yaml.CSafeDumper, sort_keys=False)


def make_spec(folder: Path) -> None:
    """An app of 50 workloads, each with two mounted components and a sidecar."""
    components: dict[str, object] = {}
    images: dict[str, object] = {}
    for host in range(HOSTS):
        name = f"service-{host}"
        components[name] = {
            "ports": {"http": 8080, "admin": 8081},
            "readiness": {"path": "/healthz", "period": "5s"},
            "env": {f"OPTION_{number}": f"value {number}" for number in range(8)},
            "entrance": {"via": f"{name}-2", "hosts": [f"{name}.example.com"]},
        }
        for guest in range(GUESTS):
            part = f"{name}-{guest}"
            if guest < GUESTS - 1:
                components[part] = {"intimacy": "in-process", "host": name, "mount": f"/opt/{part}"}
            else:
                components[part] = {"intimacy": "ipc", "host": name, "ports": {"proxy": 9000}}
    for name in components:
        images[name] = {"image": f"registry.example.com/{name}@sha256:{'0' * 64}"}
    (folder / "app.yaml").write_text(yaml.safe_dump({"app": "shop", "components": components}))
    (folder / "environments").mkdir()
    for number in range(ENVIRONMENTS):
        (folder / "environments" / f"env-{number}.yaml").write_text(yaml.safe_dump({"components": images}))


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
