"""An application that a real engine delivers from a real repository, and a gate that waits for it."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from git_repositories import git
from kubernetes_api import KubernetesApi

from pipegraft.core.adapters.waiting import SystemClock
from pipegraft.core.ports import RecordingProgress
from pipegraft.gate.adapters import argocd, flux, kubevela, workloads
from pipegraft.gate.ports import EngineRequest, Verdict
from pipegraft.gate.waiting import Patience, Waited, follow_revision

__all__ = ["Delivery", "GitHistory", "Observer", "deployment", "job"]

_ENGINES = {
    plugin.name: plugin
    for module in (argocd, flux, kubevela, workloads)
    for plugin in module.pipegraft_gitops_engines()
}


class GitHistory:
    """Which commits of a repository contain which; `IacHistory` by git itself."""

    def __init__(self, bare: Path) -> None:
        self._bare = bare

    def contains(self, commit: str, *, at: str) -> bool:
        """Whether `at` is the commit or a descendant of it; names that are no commit's never are."""
        if not re.fullmatch(r"[0-9a-f]{40}", at):
            return False
        asked = ["git", "-C", str(self._bare), "merge-base", "--is-ancestor", commit, at]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0


@dataclass
class Delivery:
    """One repository, one namespace, and what an engine is told of them.

    Arguments:
        api: the cluster.
        folder: for the repository; served below `url`.
        name: of the repository, the namespace and the engine's object.

    Attributes:
        last: the target of the last wait, and what the engine reported at its end.
    """

    api: KubernetesApi
    folder: Path
    url: str
    name: str

    def __post_init__(self) -> None:
        self.bare = self.folder / f"{self.name}.git"
        self._work = self.folder / f"{self.name}.work"
        self.repository = f"{self.url}/{self.name}.git"
        self._work.mkdir(parents=True)
        git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git(self._work, "init", "--quiet", "--initial-branch=main")
        self.history = GitHistory(self.bare)
        self.progress = RecordingProgress()
        self.last: dict[str, Any] = {}
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})

    def commit(self, files: Mapping[str, Any], message: str = "release") -> str:
        """Write files (None removes one) and push; answers the commit."""
        for path, value in files.items():
            file = self._work / path
            if value is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
        git(self._work, "add", "-A")
        git(self._work, "commit", "--quiet", "--allow-empty", "-m", message)
        git(self._work, "push", "--quiet", str(self.bare), "HEAD:main")
        return git(self._work, "rev-parse", "HEAD")

    def tag(self, name: str) -> None:
        """Tag the newest commit, and push that."""
        git(self._work, "tag", name)
        git(self._work, "push", "--quiet", str(self.bare), name)

    def gate(
        self,
        engine: str,
        target: str,
        *steps: Callable[[], object],
        timeout: float = 60.0,
        settle: float | None = None,
        released: Sequence[str] = (),
        **options: Any,
    ) -> Waited:
        """Wait as the stage does; each step runs beside it, one after the other."""
        plugin = _ENGINES[engine]
        parsed = plugin.options.model_validate({"kubeconfig": str(self.api.kubeconfig), **options})
        connected = plugin.connect(parsed, EngineRequest(Path(), self.repository, "main", "production"))
        seen: list[Any] = []

        def rule(status: Any, at_target: Callable[[str], bool]) -> Verdict:
            seen[:] = [status]
            return plugin.verdict(status, at_target)

        playing = threading.Thread(target=lambda: [step() for step in steps])
        playing.start()
        try:
            waited = follow_revision(
                connected,
                rule,
                history=self.history,  # type: ignore[arg-type]
                target=target,
                patience=Patience(timeout, plugin.settle if settle is None else settle),
                clock=SystemClock(),
                progress=self.progress,
                released=released,
            )
        finally:
            playing.join()
        self.last = {"target": target, "status": seen[0] if seen else None}
        return waited


def deployment(
    name: str, image: str, *, behaviour: str = "", replicas: int = 1, **spec: Any
) -> dict[str, Any]:
    """A Deployment whose pods behave as `kwok_stages.yaml` says."""
    metadata: dict[str, Any] = {"labels": {"app": name}}
    if behaviour:
        metadata["annotations"] = {"pipegraft.test/pod": behaviour}
    template = {"metadata": metadata, "spec": {"containers": [{"name": name, "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
            **spec,
        },
    }


def job(name: str, *, behaviour: str = "", **spec: Any) -> dict[str, Any]:
    """A Job of one pod that is not tried again."""
    annotations = {"annotations": {"pipegraft.test/pod": behaviour}} if behaviour else {}
    container = {"name": name, "image": "registry.example.com/job:1"}
    template = {"metadata": annotations, "spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template, **spec},
    }


class Observer:
    """When objects of a cluster last changed, seen by watches of its own.

    Arguments:
        api: the cluster.
        paths: of the collections, all namespaces.
    """

    def __init__(self, api: KubernetesApi, *paths: str) -> None:
        self._api = api
        self._ended = False
        self._changed: list[tuple[float, str, str]] = []
        for path in paths:
            threading.Thread(target=self._follow, args=(path,), daemon=True).start()

    def last_change(self, of: str, before: float) -> float | None:
        """When something in a namespace, or of that name, last changed, by the monotonic clock."""
        mine = [at for at, namespace, name in self._changed if at <= before and of in {namespace, name}]
        return max(mine, default=None)

    def close(self) -> None:
        """Watch no more; the threads end with the server."""
        self._ended = True

    def _follow(self, path: str) -> None:
        while not self._ended:
            with suppress(OSError, ValueError):
                for event in self._api.watch(path):
                    metadata = event["object"]["metadata"]
                    self._changed.append(
                        (time.monotonic(), metadata.get("namespace", ""), metadata.get("name", ""))
                    )
