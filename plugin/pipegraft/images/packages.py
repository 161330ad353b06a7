"""Packages that an image is made of: from lock files of its sources and from its package databases."""

from __future__ import annotations

import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pipegraft.images.ports.builders import Package

__all__ = [
    "DATABASES",
    "OS_RELEASE",
    "RPM_DATABASES",
    "UNREAD_DATABASES",
    "is_database",
    "is_lock_file",
    "read_database",
    "read_lock_file",
    "system_name",
]

DATABASES = ("var/lib/dpkg/status", "lib/apk/db/installed", "usr/lib/apk/db/installed")
"""Where distributions keep what is installed; distroless images have a folder instead, see `is_database`."""
RPM_DATABASES = tuple(f"{folder}/rpmdb.sqlite" for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm"))
"""Where RPM keeps what is installed, from version 4.16 on; see `pipegraft.images.rpm`."""
UNREAD_DATABASES = tuple(
    f"{folder}/{name}"
    for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm")
    for name in ("Packages", "Packages.db")
)
"""Where RPM keeps it in other forms (Berkeley DB, ndb), which are not read."""
OS_RELEASE = ("etc/os-release", "usr/lib/os-release")

_DISTROLESS = "var/lib/dpkg/status.d/"
_PIN = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*==\s*([A-Za-z0-9.!+_-]+)")
_GO = re.compile(
    r"^\s*(?:require\s+)?([A-Za-z0-9.\-_~/]+\.[A-Za-z0-9.\-_~/]*/[^\s]+)\s+(v[^\s]+)", re.MULTILINE
)


def is_lock_file(path: str) -> bool:
    """Whether `read_lock_file` can read a file of this name."""
    return _lock_reader(path) is not None


def read_lock_file(path: str, text: str) -> tuple[Package, ...]:
    """Packages that a lock file pins; none if it cannot be read, which is for its own tool to say."""
    reader = _lock_reader(path)
    try:
        return tuple(sorted(set(reader(text, path)))) if reader else ()
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()


def is_database(path: str) -> bool:
    """Whether a file of an image tells what its distribution installed."""
    return path in DATABASES or (path.startswith(_DISTROLESS) and not path.endswith(".md5sums"))


def read_database(path: str, text: str, system: str) -> tuple[Package, ...]:
    """Packages that are installed.

    Arguments:
        path: of the database in the image.
        system: ID of the distribution (os-release), empty if it does not say.
    """
    deb = "dpkg" in path
    keys = ("Package", "Version", "Architecture") if deb else ("P", "V", "A")
    found: set[Package] = set()
    for paragraph in re.split(r"\n\s*\n", text):
        fields = dict(line.split(":", 1) for line in paragraph.splitlines() if re.match(r"[A-Za-z-]+:", line))
        name, version, architecture = (fields.get(key, "").strip() for key in keys)
        installed = not deb or fields.get("Status", "install ok installed").split()[-1:] == ["installed"]
        if name and version and installed:
            kind, namespace = ("deb", system or "debian") if deb else ("apk", system or "alpine")
            purl = _purl(kind, f"{namespace}/{name}", version)
            found.add(
                Package(f"{purl}?arch={quote(architecture)}" if architecture else purl, name, version, path)
            )
    return tuple(sorted(found))


def system_name(os_release: str) -> str:
    """ID of a distribution (os-release(5))."""
    named = re.search(r'^ID="?([a-z0-9._-]+)"?\s*$', os_release, re.MULTILINE)
    return named[1] if named else ""


def _lock_reader(path: str) -> Callable[[str, str], Iterator[Package]] | None:
    name = posixpath.basename(path)
    if name.startswith("requirements") and name.endswith(".txt"):
        return _requirements
    return _LOCK_READERS.get(name)


def _requirements(text: str, path: str) -> Iterator[Package]:
    for line in text.splitlines():
        pinned = _PIN.match(line)
        if pinned:
            name = re.sub(r"[-_.]+", "-", pinned[1]).lower()
            yield Package(_purl("pypi", name, pinned[2]), name, pinned[2], path)


def _npm(text: str, path: str) -> Iterator[Package]:
    document = json.loads(text)
    for place, entry in document.get("packages", {}).items():
        if "node_modules/" in place and entry.get("version") and not entry.get("link"):
            name = entry.get("name") or place.rpartition("node_modules/")[2]
            yield Package(_purl("npm", name, entry["version"]), name, entry["version"], path)
    yield from _old_npm(document.get("dependencies", {}) if "packages" not in document else {}, path)


def _old_npm(dependencies: Mapping[str, Any], path: str) -> Iterator[Package]:
    for name, entry in dependencies.items():
        yield Package(_purl("npm", name, entry["version"]), name, entry["version"], path)
        yield from _old_npm(entry.get("dependencies", {}), path)


def _go(text: str, path: str) -> Iterator[Package]:
    for name, version in _GO.findall(re.sub(r"(?m)^\s*(replace|exclude)\b.*$", "", text)):
        yield Package(_purl("golang", name, version), name, version, path)


def _toml(kind: str) -> Callable[[str, str], Iterator[Package]]:
    def read(text: str, path: str) -> Iterator[Package]:
        for entry in tomllib.loads(text).get("package", ()):
            name, version = entry["name"], entry.get("version")
            local = kind == "cargo" and "source" not in entry  # the crates that are built here
            if version and not local and not {"editable", "virtual"} & set(_source_of(entry)):
                yield Package(_purl(kind, name, version), name, version, path)

    return read


def _source_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    source = entry.get("source")
    return source if isinstance(source, dict) else {}


def _purl(kind: str, name: str, version: str) -> str:
    return f"pkg:{kind}/{quote(name, safe='/')}@{quote(version, safe=':~')}"


_LOCK_READERS: Mapping[str, Callable[[str, str], Iterator[Package]]] = {
    "package-lock.json": _npm,
    "npm-shrinkwrap.json": _npm,
    "go.mod": _go,
    "Cargo.lock": _toml("cargo"),
    "poetry.lock": _toml("pypi"),
    "uv.lock": _toml("pypi"),
}
