"""A gray release whose requests nginx splits, under load, judged by what its access log counts."""

from __future__ import annotations

import http.client
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import free_port, need, server
from test_gray_e2e import (
    NEW,
    OLD,
    PATH,
    SOURCE,
    STABLE,
    Engine,
    connected,
    instance,
    load,
    prepare,
    repository,
)

from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import RolledBack
from pipegraft.core.ports import RecordingProgress
from pipegraft.core.release import EnvironmentRelease, FakeReleaseStore, IacCommit, Release
from pipegraft.core.stage import StageContext
from pipegraft.gray.adapters.counts import CommandOptions, pipegraft_metric_sources
from pipegraft.gray.ports import MetricRequest
from pipegraft.gray.stage import GrayReleaseInputs
from pipegraft.gray.stage import run as run_stage

pytestmark = pytest.mark.e2e

RELOADED = 1.0
"""Seconds until the workers of before a reload take no more requests."""

COUNT = """\
import collections, json, sys
seen = collections.Counter(tuple(line.split()) for line in open(sys.argv[1]))
arms = ("stable", "gray")
print(json.dumps({arm: {
    "requests": sum(n for (version, _), n in seen.items() if version == arm),
    "errors": sum(n for (version, code), n in seen.items() if version == arm and code >= "500"),
} for arm in arms}))
"""


def configuration(folder: Path, listen: str, stable: str, gray: str, weight: int) -> str:
    share = f"{weight}% gray;" if weight else ""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  {temporary}
  split_clients "$request_id" $version {{ {share} * stable; }}
  upstream stable {{ server {stable}; keepalive 8; }}
  upstream gray {{ server {gray}; keepalive 8; }}
  log_format split '$version $status';
  access_log {folder}/access.log split;
  server {{
    listen {listen};
    location / {{ proxy_pass http://$version; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, listen: str, stable: str, gray: str) -> Iterator[Callable[[int, str], None]]:
    """An nginx in front of both versions; yields what sets gray's weight and the version that stable is."""
    file = folder / "nginx.conf"
    held = [(0, OLD)]
    file.write_text(configuration(folder, listen, stable, gray, 0))

    def answers() -> bool:
        connection = http.client.HTTPConnection(listen, timeout=2)
        try:
            connection.request("GET", "/")
            return bool(connection.getresponse().read() is not None)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def apply(weight: int, runs: str) -> None:
        if (weight, runs) != held[0]:
            held[0] = (weight, runs)
            file.write_text(configuration(folder, listen, gray if runs == NEW else stable, gray, weight))
            os.kill(int((folder / "nginx.pid").read_text()), signal.SIGHUP)

    command = ["nginx", "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")]
    with server(command, folder / "nginx.log", answers):
        yield apply


@pytest.mark.parametrize("failing", [0.0, 0.3])
def test_nginx_splits_and_its_log_decides(tmp_path: Path, failing: float) -> None:
    need("nginx", "git")
    branch = repository(tmp_path)
    listen = f"127.0.0.1:{free_port()}"
    (tmp_path / "count.py").write_text(COUNT)
    command = [sys.executable, str(tmp_path / "count.py"), str(tmp_path / "access.log")]
    metric: dict[str, Any] = {"source": "command", "command": command, "floor": 0.03}
    gray = {"steps": [20, 50], "interval": "2s", "warm-up": "0s", "deadline": "60s", "metrics": [metric]}
    declared = Delivery.model_validate(
        {
            "app": "shop",
            "registry": "registry.example.com",
            "components": {"web": {"path": "web"}},
            "iac": {"repository": "iac.git"},
            "environments": {"production": {"gate": {"engine": "nginx", "timeout": "30s"}, "gray": gray}},
        }
    )
    plugin = next(one for one in pipegraft_metric_sources() if one.name == "command")
    asked = declared.environments["production"].gray.metrics[0]  # type: ignore[union-attr]
    request = MetricRequest("shop", "production", asked, tmp_path)
    source = plugin.connect(CommandOptions.model_validate(dict(asked.options)), request)
    with (
        instance("v1", 0.0) as stable,
        instance("v2", failing) as new,
        nginx(tmp_path, listen, stable, new) as apply,
        load(listen) as served,
    ):
        bumped = IacCommit(commit=prepare(branch), path=PATH, outcome="written")
        record = Release(
            app="shop", source=SOURCE, environments={"production": EnvironmentRelease(bump=bumped)}
        )
        store, progress = FakeReleaseStore(record), RecordingProgress()
        engine = Engine(branch, apply)
        connections = connected(branch, engine, source)
        context = StageContext(declared, tmp_path, "production", connections, store, SystemClock(), progress)
        if failing:
            with pytest.raises(RolledBack, match="gray is worse"):
                run_stage(context, GrayReleaseInputs())
            assert branch.read(PATH, branch.tip()) == STABLE
        else:
            run_stage(context, GrayReleaseInputs())
            assert "gray:" not in (branch.read(PATH, branch.tip()) or "")
            assert engine.promoting
            after = [version for at, version in served if at > engine.promoting + RELOADED]
            assert after
            assert set(after) == {"v2"}
    steps = store.release.environments["production"].gray
    assert [step.weight for step in steps] == ([20, 0] if failing else [20, 50, 100, 100])
    looks = [look for step in steps for look in step.judgement.get("looks", ())]
    assert sum(look["metrics"]["errors"]["gray"]["requests"] for look in looks) > 50
    assert not [one.message for one in progress.events if one.kind == "warning"]  # the split is as committed
