"""Helm and Kustomize, where they are on PATH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipegraft.core.errors import EditRefused, Place, Unreachable
from pipegraft.iac.ports import Renderer

__all__ = ["installed_renderers"]

_TIMEOUT = 120.0
_RELEASE = "pipegraft"
_LINE_LIMIT = 400
_NEWEST = ("--kube-version", "1.99.0")
"""For charts that want a newer Kubernetes than Helm supposes; which one there is nobody knows here."""
_WITH_CHARTS = ("--enable-helm", "--load-restrictor", "LoadRestrictionsNone")
"""Engines that build charts this way are told so, and to read charts beside the folder; only files of the
repository are there to be read."""


def installed_renderers() -> Mapping[str, Renderer]:
    """``helm`` and ``kustomize``, those that are there."""
    found: dict[str, Renderer] = {}
    if shutil.which("helm"):
        found["helm"] = _Helm(f"helm {_version('helm', 'version', '--short')}")
    if shutil.which("kustomize"):
        found["kustomize"] = _Kustomize(f"kustomize {_version('kustomize', 'version')}")
    return found


@cache
def _version(program: str, *words: str) -> str:
    said = _run([program, *words], None, program)
    found = re.search(r"v?\d+\.\d+(\.\d+)?[\w.-]*", said)
    return found[0] if found else "of an unknown version"


@dataclass(frozen=True, slots=True)
class _Helm:
    """``helm template``: the chart's own values, then those files."""

    name: str

    def render(self, files: Mapping[str, bytes], folder: str, values: Sequence[str] = ()) -> str:
        with tempfile.TemporaryDirectory(prefix="pipegraft-helm-") as name:
            root = _written(files, Path(name) / "repository")
            options = [word for path in values for word in ("--values", str(root / path))]
            command = ["helm", "template", _RELEASE, str(root / folder), *options]
            try:
                return _run(command, Path(name), folder or ".")
            except EditRefused as error:
                if "incompatible with Kubernetes" not in error.problem.message:
                    raise
                return _run([*command, *_NEWEST], Path(name), folder or ".")


@dataclass(frozen=True, slots=True)
class _Kustomize:
    """``kustomize build``, without plugins and remote bases; charts by Helm where there are some."""

    name: str

    def render(self, files: Mapping[str, bytes], folder: str, values: Sequence[str] = ()) -> str:  # noqa: ARG002 - it has none
        with tempfile.TemporaryDirectory(prefix="pipegraft-kustomize-") as name:
            root = _written(files, Path(name) / "repository")
            charts = any(path.endswith("/Chart.yaml") for path in files)
            command = ["kustomize", "build", *(_WITH_CHARTS if charts else ()), str(root / folder)]
            return _run(command, Path(name), folder or ".")


def _written(files: Mapping[str, bytes], root: Path) -> Path:
    root.mkdir()
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root


def _run(command: Sequence[str], home: Path | None, what: str) -> str:
    """What a program prints. Its settings are none of this user's: plugins and repositories have no say."""
    environment = {"PATH": os.environ.get("PATH", "")}
    if home is not None:
        environment |= {"HOME": str(home), "TMPDIR": str(home)}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(
            f"{command[0]} did not end within {_TIMEOUT:g} s for {what}", fix="run it by hand to see why"
        ) from None
    if done.returncode:
        said = " ".join(done.stderr.replace(f"{home}/repository/", "").split())
        raise EditRefused(
            f"{' '.join(command[:2])} cannot render it: {said[:_LINE_LIMIT]}",
            place=Place(what),
            fix="mend it, or name in the target what the engine reads too: 'values', 'source'",
        )
    return done.stdout
