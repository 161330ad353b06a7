"""Finding the packages in an image by a scanner that is installed: syft, else trivy."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipegraft.core.errors import OutsideError
from pipegraft.core.limits import load_json
from pipegraft.images.ports.builders import BuildRequest, FoundPackages, Package

__all__ = ["scan_archive", "scan_context", "scanner"]

_PATIENCE = 900.0
"""Seconds that a scan may take."""
_COMMANDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "syft": {
        "archive": ("scan", "--quiet", "--output=cyclonedx-json", "docker-archive:{}"),
        "folder": ("scan", "--quiet", "--output=cyclonedx-json", "dir:{}"),
    },
    "trivy": {
        "archive": ("image", "--quiet", "--format=cyclonedx", "--input={}"),
        "folder": ("filesystem", "--quiet", "--format=cyclonedx", "{}"),
    },
}
"""Scanner → what is scanned → arguments."""
_QUIET = {"SYFT_CHECK_FOR_APP_UPDATE": "false", "TRIVY_SKIP_VERSION_CHECK": "true"}


def scanner() -> str | None:
    """The scanner that is taken, None if none is installed."""
    return next((name for name in _COMMANDS if shutil.which(name)), None)


def scan_archive(request: BuildRequest, archive: Path, log: Callable[[str], None]) -> None:
    """Note the packages in all layers of an image.

    Arguments:
        archive: as `docker save` writes it.

    Raises:
        OutsideError: the scanner failed.
    """
    if request.note_packages is not None:
        request.note_packages(_scan("archive", archive, "all layers of the image", log))


def scan_context(request: BuildRequest, log: Callable[[str], None]) -> None:
    """Note the packages in a build context, ignored files left out.

    Raises:
        OutsideError: the scanner failed.
    """
    if request.note_packages is None:
        return
    if scanner() is None:
        request.note_packages(_scan("folder", request.context, "", log))
        return
    with tempfile.TemporaryDirectory() as name:
        for entry in request.entries:
            if entry.kind == "file":
                path = Path(name, entry.path)
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(request.context / entry.path, path)
        request.note_packages(_scan("folder", Path(name), "the component's files", log))


def _scan(kind: str, target: Path, looked_at: str, log: Callable[[str], None]) -> FoundPackages:
    name = scanner()
    if name is None:
        log("SBOM: files alone, for neither syft nor trivy is installed")
        return FoundPackages()
    command = [name, *(word.format(target) for word in _COMMANDS[name][kind])]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_PATIENCE, check=False, env={**os.environ, **_QUIET}
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise OutsideError(f"{name} ended with exit code {done.returncode}: {said[-1]}")
        bill = load_json(done.stdout)
        packages = tuple(sorted(set(_packages(bill))))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutsideError(f"expected a CycloneDX document from {name}: {error}") from error
    except subprocess.TimeoutExpired:
        raise OutsideError(f"{name} did not end within {_PATIENCE:g} s") from None
    by = f"{name} {_version(bill)}".strip()
    log(f"SBOM: {len(packages)} package{'s' * (len(packages) != 1)} found by {by} in {looked_at}")
    return FoundPackages(packages, by, looked_at, sees_bases=kind == "archive")


def _packages(bill: Mapping[str, Any]) -> Iterator[Package]:
    for component in bill.get("components", ()):
        if component.get("purl"):
            name = "/".join(filter(None, (component.get("group"), component["name"])))
            yield Package(component["purl"], name, component.get("version", ""), _place(component))


def _place(component: Mapping[str, Any]) -> str:
    """The file that told the scanner of a package, empty if it does not say."""
    for one in component.get("properties", ()):
        if one.get("name") in ("syft:location:0:path", "aquasecurity:trivy:FilePath"):
            return str(one["value"]).lstrip("/")
    return ""


def _version(bill: Mapping[str, Any]) -> str:
    """Version of the scanner; CycloneDX had a list of tools before 1.5, an object from then on."""
    tools = bill.get("metadata", {}).get("tools", [])
    named = tools.get("components", []) if isinstance(tools, dict) else tools
    return str(named[0].get("version", "")) if named else ""
