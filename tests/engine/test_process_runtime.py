"""The process runtime with real processes: phases, crashes, probes, adoption, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipegraft.core.errors import OutsideError, UsageError
from pipegraft.engine.adapters.process_runtime import ProcessRuntime
from pipegraft.engine.adapters.supervision import strays
from pipegraft.engine.ports import Container, HealthProbe, Instance, Mount, Phase, SecretKey, Workload
from pipegraft.testing.engine_suite import RuntimeSuite, observe_until

SERVER = """
    import http.server, json, os, pathlib, signal, subprocess, sys, time
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/spawn":
                subprocess.Popen(["sleep", "600"], start_new_session=True)
            body = json.dumps({"pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ)}).encode()
            self.send_response(503 if self.path == "/healthz" and pathlib.Path("sick").exists() else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *args): pass
    if "--stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    address = ("127.0.0.1", int(os.environ["PIPEGRAFT_PORT_WEB"]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
QUICK = HealthProbe(8080, "/healthz", period=0.05, failures=2)


class Folders:
    """Images that are plain folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kept: set[str] = set()
        server = root / "web" / "app" / "server.py"
        server.parent.mkdir(parents=True)
        server.write_text(textwrap.dedent(SERVER))
        (root / "pricing").mkdir()

    def get(self, reference: str) -> tuple[Path, Mapping[str, Any]]:
        config = {
            "Entrypoint": [sys.executable, "/app/server.py"],
            "WorkingDir": "/app",
            "Env": ["FROM=image"],
        }
        return self.root / reference, config if reference == "web" else {}

    def keep(self, references: Collection[str]) -> bool:
        self.kept = set(references)
        return True


@pytest.fixture
def images(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "images")


@pytest.fixture
def open_runtime(tmp_path: Path, images: Folders) -> Iterator[Callable[[], ProcessRuntime]]:
    """Opens the runtime anew, as the next engine does; in the end everything it runs is ended."""
    opened: list[ProcessRuntime] = []

    def open_anew() -> ProcessRuntime:
        opened.append(ProcessRuntime(tmp_path / "instances", images, drain=0.05))
        return opened[-1]

    yield open_anew
    last = open_anew()
    for instance in last.observe():
        last.stop(instance.id)
    observe_until(last, lambda seen: not seen)


@pytest.fixture
def runtime(open_runtime: Callable[[], ProcessRuntime]) -> ProcessRuntime:
    return open_runtime()


@pytest.fixture
def workload() -> Workload:
    web = Container("web", "web", env=(("PIPEGRAFT_PORT_WEB", "8080"),), readiness=QUICK)
    return Workload("shop", "web", (web,), ports=(8080,), grace=0.3)


@pytest.fixture
def crashing() -> Workload:
    return shell("echo starting; echo boom >&2; exit 3")


def shell(script: str, **changes: Any) -> Workload:
    container = Container("main", "web", command=("sh", "-c", script))
    return Workload("shop", "job", (replace(container, **changes),), grace=0.3)


def ready(runtime: ProcessRuntime, workload: Workload) -> Instance:
    name = runtime.start(workload)
    seen = observe_until(runtime, lambda seen: {one.id: one.phase for one in seen}[name] is Phase.READY)
    return next(one for one in seen if one.id == name)


def ask(instance: Instance, path: str = "/") -> dict[str, Any]:
    import json

    with urllib.request.urlopen(f"http://{instance.addresses[8080]}{path}", timeout=60) as answer:
        return json.loads(answer.read())


def is_running(pid: int) -> bool:
    stat = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(stat.stdout.strip()) and not stat.stdout.startswith("Z")


def wait_for(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


class TestProcessRuntime(RuntimeSuite):
    pass


def test_the_image_and_the_spec_say_what_runs(runtime: ProcessRuntime, workload: Workload) -> None:
    mounted = replace(
        workload,
        containers=(
            replace(
                workload.containers[0],
                env=(*workload.containers[0].env, ("GREETING", "hello"), ("PIPEGRAFT_MOUNT_PRICING", "/opt")),
            ),
        ),
        mounts=(Mount("pricing", "pricing", "/opt"),),
    )
    instance = ready(runtime, mounted)
    told = ask(instance)
    assert told["cwd"].endswith("/images/web/app")
    assert told["env"]["GREETING"] == "hello"
    assert told["env"]["FROM"] == "image"
    assert told["env"]["PIPEGRAFT_MOUNT_PRICING"].endswith("/images/pricing")
    assert told["env"]["PIPEGRAFT_PORT_WEB"] == instance.addresses[8080].partition(":")[2]


def test_nothing_of_the_engines_environment_leaks_in(
    runtime: ProcessRuntime, workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_JOB_TOKEN", "secret")
    assert "CI_JOB_TOKEN" not in ask(ready(runtime, workload))["env"]


def test_a_crash_is_told_with_its_status_and_last_words(runtime: ProcessRuntime, crashing: Workload) -> None:
    runtime.start(crashing)
    (instance,) = observe_until(runtime, lambda seen: seen[0].phase is Phase.FAILED)
    assert "main of job-" in instance.reason
    assert "ended with exit status 3" in instance.reason
    assert instance.evidence == ("starting", "boom")


def test_a_command_that_does_not_exist_is_told(runtime: ProcessRuntime) -> None:
    runtime.start(replace(shell(""), containers=(Container("main", "web", command=("no-such-program",)),)))
    (instance,) = observe_until(runtime, lambda seen: seen[0].phase is Phase.FAILED)
    assert "ended with exit status 127" in instance.reason
    assert "no-such-program" in instance.evidence[-1]


def test_kill_minus_nine_of_a_process_is_a_failure(runtime: ProcessRuntime, workload: Workload) -> None:
    instance = ready(runtime, workload)
    os.kill(ask(instance)["pid"], signal.SIGKILL)
    (failed,) = observe_until(runtime, lambda seen: seen[0].phase is Phase.FAILED)
    assert "was ended by SIGKILL" in failed.reason


def test_one_process_that_ends_fails_the_instance_and_the_others_go_with_it(
    runtime: ProcessRuntime, workload: Workload, images: Folders
) -> None:
    sidecar = Container(
        "sidecar", "web", command=("sh", "-c", "until [ -e go ]; do sleep 0.02; done; exit 1")
    )
    instance = ready(runtime, replace(workload, containers=(*workload.containers, sidecar)))
    pid = ask(instance)["pid"]
    (images.root / "web" / "app" / "go").touch()
    (failed,) = observe_until(runtime, lambda seen: seen[0].phase is Phase.FAILED)
    assert "sidecar of" in failed.reason
    runtime.stop(instance.id)
    observe_until(runtime, lambda seen: not seen)
    assert not is_running(pid)


def test_readiness_can_be_lost_and_found(
    runtime: ProcessRuntime, workload: Workload, images: Folders
) -> None:
    ready(runtime, workload)
    sick = images.root / "web" / "app" / "sick"
    sick.touch()
    (unready,) = observe_until(runtime, lambda seen: seen[0].phase is Phase.UNREADY)
    assert re.fullmatch(
        r"GET /healthz on port 8080, which is \d+ on this machine .* answered 503", unready.reason
    )
    sick.unlink()
    observe_until(runtime, lambda seen: seen[0].phase is Phase.READY)


def test_what_does_not_live_fails(runtime: ProcessRuntime, workload: Workload, images: Folders) -> None:
    ready(runtime, replace(workload, containers=(replace(workload.containers[0], liveness=QUICK),)))
    (images.root / "web" / "app" / "sick").touch()
    (failed,) = observe_until(runtime, lambda seen: seen[0].phase is Phase.FAILED)
    assert re.search(r"does not live: GET /healthz on port 8080, .* answered 503", failed.reason)


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(
    runtime: ProcessRuntime, workload: Workload
) -> None:
    stubborn = replace(workload.containers[0], args=("--stubborn",))
    instance = ready(runtime, replace(workload, containers=(stubborn,)))
    pid = ask(instance)["pid"]
    runtime.stop(instance.id)
    observe_until(runtime, lambda seen: not seen)
    assert not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="strays are found through /proc")
def test_descendants_that_left_the_group_go_too(runtime: ProcessRuntime, workload: Workload) -> None:
    instance = ready(runtime, workload)
    ask(instance, "/spawn")
    wait_for(lambda: len(list(strays(instance.id))) == 2)
    runtime.stop(instance.id)
    observe_until(runtime, lambda seen: not seen)
    assert list(strays(instance.id)) == []


def test_the_next_runtime_adopts_what_runs_without_a_break(
    open_runtime: Callable[[], ProcessRuntime], workload: Workload
) -> None:
    instance = ready(open_runtime(), workload)
    pid = ask(instance)["pid"]
    (adopted,) = open_runtime().observe()
    assert adopted == instance
    assert ask(adopted)["pid"] == pid


def test_an_adopted_process_that_ended_meanwhile_has_failed(
    open_runtime: Callable[[], ProcessRuntime], workload: Workload
) -> None:
    instance = ready(open_runtime(), workload)
    pid = ask(instance)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_running(pid))
    (failed,) = open_runtime().observe()
    assert failed.phase is Phase.FAILED


def test_a_stop_is_remembered_by_the_next_runtime(
    open_runtime: Callable[[], ProcessRuntime], workload: Workload
) -> None:
    first = open_runtime()
    instance = ready(first, workload)
    pid = ask(instance)["pid"]
    first.stop(instance.id)
    observe_until(open_runtime(), lambda seen: not seen)
    assert not is_running(pid)


def test_another_process_with_the_same_id_is_not_taken_for_ours(
    open_runtime: Callable[[], ProcessRuntime], workload: Workload, tmp_path: Path
) -> None:
    instance = ready(open_runtime(), workload)
    record = tmp_path / "instances" / instance.id / "instance.json"
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    mine = ask(instance)["pid"]
    record.write_text(record.read_text().replace(f'"pid": {mine}', f'"pid": {bystander.pid}'))
    try:
        later = open_runtime()
        observe_until(later, lambda seen: seen[0].phase is Phase.FAILED)
        later.stop(instance.id)
        observe_until(later, lambda seen: not seen)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_start_that_was_cut_short_leaves_no_process(tmp_path: Path) -> None:
    """The starter dies between making the process and recording it: the process ends by itself."""
    script = textwrap.dedent(f"""
        import os, pathlib
        from pipegraft.engine.adapters.supervision import spawn
        log = pathlib.Path({str(tmp_path / "log")!r})
        child = spawn(["sleep", "600"], {{"PATH": os.environ["PATH"]}}, pathlib.Path("/"), log)
        print(child.id.pid, flush=True)
        os.kill(os.getpid(), 9)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_for(lambda: not is_running(int(done.stdout)))


def test_secrets_come_from_their_folder(tmp_path: Path, images: Folders, workload: Workload) -> None:
    (tmp_path / "secrets" / "db").mkdir(parents=True)
    (tmp_path / "secrets" / "db" / "password").write_text("hunter2\n")
    wanted = replace(
        workload.containers[0],
        env=(*workload.containers[0].env, ("PASSWORD", SecretKey("secret", "db", "password"))),
    )
    runtime = ProcessRuntime(tmp_path / "i", images, secret_folder=tmp_path / "secrets", drain=0)
    instance = ready(runtime, replace(workload, containers=(wanted,)))
    assert ask(instance)["env"]["PASSWORD"] == "hunter2"
    assert "hunter2" not in (tmp_path / "i" / instance.id / "instance.json").read_text()
    runtime.stop(instance.id)
    observe_until(runtime, lambda seen: not seen)


def test_a_missing_secret_starts_nothing(runtime: ProcessRuntime, workload: Workload) -> None:
    wanted = replace(workload.containers[0], env=(("PASSWORD", SecretKey("secret", "db", "password")),))
    with pytest.raises(UsageError, match="secret db/password is wanted"):
        runtime.start(replace(workload, containers=(wanted,)))
    assert runtime.observe() == []


def test_an_image_without_a_command_is_refused(runtime: ProcessRuntime) -> None:
    with pytest.raises(UsageError, match="says no command to run"):
        runtime.start(Workload("shop", "web", (Container("web", "pricing"),)))
    assert runtime.observe() == []


def test_collecting_keeps_the_images_of_what_runs(
    runtime: ProcessRuntime, workload: Workload, images: Folders
) -> None:
    runtime.start(workload)
    runtime.collect(["next"])
    assert images.kept == {"web", "next"}


def test_a_long_log_is_put_aside(runtime: ProcessRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipegraft.engine.adapters.process_instance._LONGEST_LOG", 10_000)
    name = runtime.start(shell("while :; do echo a line of the log; done"))
    log = runtime.log(name, "main")
    observe_until(runtime, lambda _seen: log.with_suffix(".log.1").exists())
    assert log.with_suffix(".log.1").read_text().startswith("a line of the log\n")


def test_a_process_that_cannot_be_made_is_an_outside_failure(
    runtime: ProcessRuntime, workload: Workload, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_room(*_: object, **__: object) -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_spawn", no_room)
    with pytest.raises(OutsideError, match="cannot start web-"):
        runtime.start(workload)
    assert runtime.observe() == []
    assert list((tmp_path / "instances").iterdir()) == []


def test_a_damaged_record_is_told_with_what_to_do(
    open_runtime: Callable[[], ProcessRuntime], tmp_path: Path
) -> None:
    folder = tmp_path / "instances" / "web-1"
    folder.mkdir(parents=True)
    (folder / "instance.json").write_text("{}")
    with pytest.raises(OutsideError, match=r"PIPEGRAFT_INSTANCE=web-1"):
        open_runtime()
    (folder / "instance.json").unlink()
