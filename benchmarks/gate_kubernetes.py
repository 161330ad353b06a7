"""The gate on a real API server: latency, and many applications in one process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "e2e"))

ROUNDS = 15
APPLICATIONS = 500
RESOURCES = 30
"""Entries of each Application's `status.resources`: it is then about as large as real ones."""
LABELS = {"team": "shop"}


def rows() -> Iterator[tuple[str, float, str, str]]:
    """Name, figure, unit and bar of each measurement."""
    from gate_world import World  # noqa: PLC0415 - beside the end-to-end tests
    from kubernetes_api import running_api  # noqa: PLC0415 - beside the end-to-end tests

    with tempfile.TemporaryDirectory() as folder, running_api(Path(folder)) as api:
        for name, state in (("success", "Healthy"), ("failure", "Degraded")):
            figures = [latency(World(api), state) for _ in range(ROUNDS)]
            yield f"{name} shown to the gate's end, median", statistics.median(figures) * 1000, "ms", "< 100"
            yield f"{name} shown to the gate's end, longest", max(figures) * 1000, "ms", "< 2000"
        yield from many(World(api))


def latency(world: Any, health: str) -> float:
    """Seconds from the beginning of the controller's write until the gate knows how it ended."""
    world.create("app", "shop", spec())
    steps = [is_asked, lambda world: settle(world, ["shop"], health)]
    world.gate("argocd", steps, application="shop")
    return float(world.ended - world.shown)


def many(world: Any) -> Iterator[tuple[str, float, str, str]]:
    """One gate for many applications, in a process of its own."""
    names = [f"app-{number}" for number in range(APPLICATIONS)]
    each(names, lambda name: world.create("app", name, spec(), labels=LABELS))
    account = {
        "apiGroups": ["argoproj.io"],
        "resources": ["applications"],
        "verbs": ["list", "watch", "patch"],
    }
    metadata = {"name": "gate", "namespace": world.namespace}
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "gate", "namespace": world.namespace}
    kubeconfig = world.api.user(
        world.namespace,
        "gate",
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": [account]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "gate"},
            "subjects": [subject],
        },
    )
    command = [sys.executable, "-m", "benchmarks.gate_child", str(kubeconfig), world.namespace, world.target]
    with subprocess.Popen([*command, str(APPLICATIONS)], stdout=subprocess.PIPE, text=True) as child:
        account_name = f"system:serviceaccount:{world.namespace}:gate"
        while sum(one["verb"] == "patch" for one in world.api.audited(account_name)) < APPLICATIONS:
            time.sleep(0.5)
        settle(world, names, "Healthy")
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
    assert told["state"] == "succeeded", told
    events = world.api.audited(account_name)
    watches = [one for one in events if one["verb"] == "watch" and one["stage"] == "ResponseStarted"]
    yield f"memory of a gate for {APPLICATIONS} applications", told["megabytes"], "MB", "< 200"
    yield "watches it opened", len(watches), "", "1"
    yield "last of them shown to its end", (told["ended"] - world.shown) * 1000, "ms", ""


def spec() -> dict[str, Any]:
    """An Application's spec."""
    from gate_world import URL  # noqa: PLC0415 - beside the end-to-end tests

    return {
        "project": "default",
        "source": {"repoURL": URL, "path": ".", "targetRevision": "main"},
        "destination": {"server": "https://remote.example.com", "namespace": "shop"},
        "syncPolicy": {"automated": {}},
    }


def settle(world: Any, names: list[str], health: str) -> None:
    """What Argo CD writes when it has compared and applied."""
    declared = spec()
    compared = {key: declared[key] for key in ("source", "destination")}
    web = {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "status": "Synced"}
    resources = [
        {**web, "name": f"web-{number}", "health": {"status": health}} for number in range(RESOURCES)
    ]
    status = {
        "reconciledAt": "2026-01-01T10:00:00Z",
        "sync": {"status": "Synced", "revision": world.target, "comparedTo": compared},
        "health": {"status": health},
        "resources": resources,
    }
    handled = {"annotations": {"argocd.argoproj.io/refresh": None}}
    each(names, lambda name: world.patch("app", name, {"metadata": handled, "status": status}))


def is_asked(world: Any) -> None:
    """Wait until the gate has asked for a comparison."""
    path = world.path("app", "shop")
    while "argocd.argoproj.io/refresh" not in world.api.request("GET", path)["metadata"].get(
        "annotations", {}
    ):
        time.sleep(0.05)


def each(names: list[str], work: Callable[[str], object]) -> None:
    """Do something for every name, a few at once."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, names))
    assert threading.active_count() < 100
