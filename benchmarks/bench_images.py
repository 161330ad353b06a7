"""Component images against the tools people use: nothing changed, one file changed, memory."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

COMPONENTS = 50
FILES, FILE_SIZE = 400, 256 * 1024
ROUNDS = 5
PROGRAM = str(Path(sys.executable).with_name("pipegraft"))

BASELINE = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1])
for path in sys.argv[2:]:
    connection.request("HEAD", path, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
"""
"""Asks for the same images, one after another over one connection."""


def main() -> None:
    """Print the table; what needs docker-registry or dockerd is left out where they are missing."""
    if shutil.which("docker-registry") is None:
        print("docker-registry is not installed (tests/e2e/install)")
        return
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))
        )  # short: a socket is below
        registry = stack.enter_context(_registry(folder / "registry"))
        engine = stack.enter_context(_engine(folder / "engine")) if shutil.which("dockerd") else None
        _nothing_changed(folder, registry, engine)
        _one_file_changed(folder, registry, engine)
        _memory(folder, registry)


def _nothing_changed(folder: Path, registry: str, engine: str | None) -> None:
    source = _source(folder / "many", registry, {f"c{n}": {"main.py": b"%d" % n} for n in range(COMPONENTS)})
    _deliver(source)
    images = json.loads((source / ".pipegraft/release.json").read_text())["images"]
    paths = [f"/v2/shop/{name}/manifests/{image['input-hash']}" for name, image in images.items()]
    one = _source(folder / "one", registry, {"c0": {"main.py": b"0"}})
    _deliver(one)
    ours, start = _best(lambda _round: _deliver(source), lambda _round: _deliver(one))
    _, heads = _best(
        lambda _round: None, lambda _round: _run(sys.executable, "-c", BASELINE, registry, *paths)
    )
    beyond = f"{1000 * (ours - start):8.0f} ms of {1000 * ours:.0f} ms"
    print(f"{f'{COMPONENTS} unchanged, beyond those of one':<48} {beyond}   bar: under 1000 ms")
    print(f"{f'python + {COMPONENTS} HEADs':<48} {1000 * heads:8.0f} ms")
    if engine:

        def cached(_round: int) -> None:
            for number in range(COMPONENTS):
                _docker(engine, source / f"c{number}", f"{registry}/docker/c{number}:v1")

        cached(0)
        ours, theirs = _best(lambda _round: _deliver(source), cached, rounds=1)
        _show(f"{COMPONENTS} unchanged, against docker build + push", ours, theirs, "10 times at least")


def _one_file_changed(folder: Path, registry: str, engine: str | None) -> None:
    noise = random.Random(1)
    files = {f"part{n % 20}/file{n}.bin": noise.randbytes(FILE_SIZE) for n in range(FILES)}
    source = _source(folder / "large", registry, {"large": files})
    _deliver(source)
    sent: list[int] = []

    def ours(number: int) -> None:
        (source / f"large/part3/file{20 * number + 3}.bin").write_bytes(noise.randbytes(FILE_SIZE))
        before = _stored(folder)
        _deliver(source)
        sent.append(_stored(folder) - before)

    def theirs(_round: int) -> None:
        if engine:
            _docker(engine, source / "large", f"{registry}/docker/large:v1")

    theirs(0)
    mine, other = _best(ours, theirs)
    total = FILES * FILE_SIZE
    share = statistics.median(sent) / total
    size = f"{share:8.1%} of {total >> 20} MiB"
    print(f"{'one file of 400 changed, bytes uploaded':<48} {size}   bar: at most 20%")
    if engine:
        _show("one file of 400 changed, against docker build + push", mine, other, "5 times at least")


def _memory(folder: Path, registry: str) -> None:
    source = _source(folder / "huge", registry, {"huge": {}})
    with (source / "huge/data").open("wb") as out:
        out.truncate(1 << 30)
    # Not ru_maxrss: a new program inherits that of the one that started it.
    script = (
        "import re, sys; from pipegraft.cli import run; sys.argv[1:] = ['run', 'image-build']; code = run();"
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr);"
        "sys.exit(code)"
    )
    done = _run(sys.executable, "-c", script, folder=source)
    peak = int(done.stderr.splitlines()[-1]) / 1024
    print(f"{'peak memory, a layer of 1 GiB':<48} {peak:8.0f} MiB   bar: under 100 MiB")


def _source(folder: Path, registry: str, components: dict[str, dict[str, bytes]]) -> Path:
    """A source repository whose components have these files, and a Dockerfile beside for docker."""
    lines = ["app: shop", f"registry: {registry}/shop", "components:"]
    for name, files in components.items():
        lines.append(f"  {name}: {{path: {name}, command: [run], builder: layer}}")
        (folder / name).mkdir(parents=True)
        (folder / name / "Dockerfile").write_text("FROM scratch\nCOPY . /app\n")
        for path, content in files.items():
            (folder / name / path).parent.mkdir(exist_ok=True)
            (folder / name / path).write_bytes(content)
    lines += [
        "iac: {repository: iac.git}",
        "environments: {staging: {gate: {engine: embedded, state: x, application: y}}}",
    ]
    (folder / "delivery.yaml").write_text("\n".join(lines) + "\n")
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
    _run("git", "init", "-q", folder=folder)
    _run("git", *identity, "commit", "-q", "--allow-empty", "-m", "first", folder=folder)
    return folder


def _deliver(source: Path) -> None:
    _run(PROGRAM, "run", "image-build", folder=source)


def _docker(engine: str, context: Path, image: str) -> None:
    docker = _docker_with_buildkit()
    _run(docker, "--host", engine, "build", "-q", "-t", image, str(context))
    _run(docker, "--host", engine, "push", "-q", image)


@cache
def _docker_with_buildkit() -> str:
    """The first docker command that builds with BuildKit: one of before 23, or one with its plugin."""
    for folder in os.environ["PATH"].split(os.pathsep):
        docker = shutil.which("docker", path=folder)
        if docker:
            version = _run(docker, "--version").stdout
            plugin = subprocess.run([docker, "buildx", "version"], capture_output=True, check=False)
            if plugin.returncode == 0 or " 20." in version:
                return docker
    raise SystemExit("there is no docker command that builds with BuildKit (tests/e2e/install)")


def _run(*command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=_variables())
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:200]}\n{done.stdout}{done.stderr}")
    return done


def _variables() -> dict[str, str]:
    """The engine's quicker builder for docker, and compiled modules for Python, as everybody has them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": "/nonexistent"}


def _best(
    one: Callable[[int], object], other: Callable[[int], object], rounds: int = ROUNDS
) -> tuple[float, float]:
    """The shortest time of each, taken in turns, so that a busy machine slows both."""
    times: list[tuple[float, float]] = []
    for number in range(rounds):
        started = time.perf_counter()
        one(number)
        between = time.perf_counter()
        other(number)
        times.append((between - started, time.perf_counter() - between))
    return min(time[0] for time in times), min(time[1] for time in times)


def _show(name: str, ours: float, baseline: float, bar: str) -> None:
    ratio = baseline / ours
    print(f"{name:<48} {1000 * ours:8.0f} ms {1000 * baseline:8.0f} ms {ratio:7.2f} times   bar: {bar}")


def _stored(folder: Path) -> int:
    """Bytes of the blobs of our repositories: what was ever uploaded, since nothing is deleted."""
    blobs = folder / "registry/data/docker/registry/v2/blobs"
    own = folder / "registry/data/docker/registry/v2/repositories/shop"
    names = {path.parent.name for path in own.rglob("_layers/sha256/*/link")}
    return sum((blobs / "sha256" / name[:2] / name / "data").stat().st_size for name in names)


@contextmanager
def _registry(folder: Path) -> Iterator[str]:
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config.yml").write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}', secret: made-up}}\n"
    )

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with _server(["docker-registry", "serve", str(folder / "config.yml")], ready):
        yield f"127.0.0.1:{port}"


@contextmanager
def _engine(folder: Path) -> Iterator[str]:
    folder.mkdir()
    command = [
        "dockerd", f"--host=unix://{folder}/s", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid", "--bridge=none", "--iptables=false", "--storage-driver=vfs",
    ]  # fmt: skip
    address = f"unix://{folder}/s"

    def ready() -> bool:
        asked = subprocess.run(["docker", "--host", address, "version"], capture_output=True, check=False)
        return asked.returncode == 0

    with _server(command, ready):
        yield address


@contextmanager
def _server(command: list[str], ready: Callable[[], bool]) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} did not start")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
