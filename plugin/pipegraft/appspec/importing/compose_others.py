"""What a Compose file takes from others: the files that it includes, and the services that its own extend.

Source: the Compose Specification ("include", "extends", "Merge"). Every path is one from the folder of the
first file as soon as its file is read. What cannot be taken is told, and left as it is.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipegraft.appspec.importing.compose_parts import (
    ReadBeside,
    env_lines,
    merge,
    pairs,
    public,
    with_values,
)
from pipegraft.core.errors import ConfigError
from pipegraft.core.reading import load_marked

__all__ = ["with_others"]

_SHARED = ("services", "secrets")
_NO_FILE = "no Compose file that can be read is there"


def with_others(
    data: Mapping[str, Any], file: str, read: ReadBeside, known: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """A Compose file with the services and secrets of those it includes, and with what its services extend.

    Arguments:
        file: its name, for people.
        read: text of a file by its path from the Compose file's folder; None if there is none.
        known: variables of `.env` beside it.

    Returns:
        The file with the values of its variables, and a line for what was put in and for what cannot be.
    """
    others = _Others(read, posixpath.dirname(file))
    scope = _Scope(posixpath.basename(file), "", known)
    found = {**others.valued({key: one for key, one in data.items() if key != "services"}, scope)}
    found |= others.whole(data, scope)
    if isinstance(found.get("include"), list):
        del found["include"]
    return {key: one for key, one in found.items() if one or key in data}, others.lines()


@dataclass(frozen=True, slots=True)
class _Scope:
    """A file whose services are read.

    Arguments:
        name: its path from the folder of the first file.
        folder: from which its paths count, likewise.
        known: variables that its texts may name.
        origins: the file that each is from, where that is not the first one's `.env`.
        within: files that include it, of which none is included again.
    """

    name: str
    folder: str
    known: Mapping[str, str]
    origins: Mapping[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()


@dataclass(slots=True)
class _Others:
    read: ReadBeside
    shown: str
    told: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)
    lost: dict[str, None] = field(default_factory=dict)
    included: dict[Any, dict[str, Any]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        found = []
        for (name, values), told in self.told.items():
            file = posixpath.join(self.shown, name)
            found += [f"{file}: '{one}': its default is taken" for one in told if one.startswith("$")]
            if taken := [one for one in told if not one.startswith("$")]:
                found.append(f"{file}: the values that {values} has are taken: {', '.join(taken)}")
        return [*found, *self.lost]

    def valued(self, value: Any, scope: _Scope) -> Any:
        told: dict[str, None] = {}
        put = with_values(value, scope.known, told)
        for one in told:
            self.told.setdefault((scope.name, scope.origins.get(one, ".env")), {})[one] = None
        return put

    def lose(self, scope: _Scope, what: str, why: str) -> None:
        self.lost[f"{posixpath.join(self.shown, scope.name)}: {what} ({why})"] = None

    def whole(self, data: Mapping[str, Any], scope: _Scope) -> dict[str, Any]:
        """Services and secrets of a file, and of those it includes."""
        raw = _mapping(data.get("services"))
        found: dict[str, dict[Any, Any]] = {
            "services": {name: self.service(name, raw, scope, ()) for name in raw},
            "secrets": {
                name: _moved_secret(one, scope.folder)
                for name, one in _mapping(self.valued(data.get("secrets"), scope)).items()
            },
        }
        for entry in _listed(self.valued(data.get("include"), scope)):
            for kind, more in self.of_include(entry, scope).items():
                for name, one in more.items():
                    if found[kind].setdefault(name, one) != one:
                        why = "another file that is included says something else: Compose refuses it"
                        self.lose(scope, f"{kind}.{name}", why)
        return found

    def of_include(self, entry: Any, scope: _Scope) -> dict[str, Any]:
        """Services and secrets of the files of one entry, of which each is put over those before it."""
        said = entry if isinstance(entry, dict) else {"path": entry}
        paths = [_below(scope.folder, str(one)) for one in _listed(said.get("path"))]
        if not paths or paths[0] in (scope.name, *scope.within):
            self.lose(scope, f"include: {', '.join(paths)}", "a file that includes itself, or none")
            return {}
        folder = posixpath.dirname(paths[0])
        if said.get("project_directory"):
            folder = _below(scope.folder, str(said["project_directory"]))
        named = [_below(scope.folder, str(one)) for one in _listed(said.get("env_file"))]
        for one in named:
            if self.read(one) is None:
                self.lose(scope, f"include: env_file: {one}", "it is not there")
        files = tuple(named or [_below(folder, ".env")])
        key = (*paths, None, folder, *files, None, *scope.known.items())
        if key not in self.included:
            own, origins = dict[str, str](), dict[str, str]()
            for one in files:
                more = public(env_lines(self.read(one) or "", scope.known))
                own, origins = own | more, origins | dict.fromkeys(more, one)
            known = {**own, **scope.known}
            origins = {**origins, **dict.fromkeys(scope.known, ".env"), **scope.origins}
            inner = _Scope(paths[0], folder, known, origins, (*scope.within, scope.name))
            self.included[key] = self.whole(self.merged(paths, scope), inner)
        return self.included[key]

    def merged(self, paths: list[str], scope: _Scope) -> Any:
        found: Any = {}
        for path in paths:
            if (data := self.load(path)) is None:
                self.lose(scope, f"include: {path}", _NO_FILE)
            found = merge(found, data or {})
        return found

    def service(self, name: Any, services: Mapping[Any, Any], scope: _Scope, seen: tuple[Any, ...]) -> Any:
        """A service with what it extends; the key stays where that is not there, or is itself."""
        one = _moved(self.valued(services[name], scope), scope.folder)
        asked = one.get("extends") if isinstance(one, dict) else None
        wanted = {"service": asked} if isinstance(asked, str) else asked
        if not isinstance(wanted, dict):
            return one
        base, there = wanted.get("service"), services
        seen = (*seen, (scope.name, name))
        if wanted.get("file"):
            path = _below(scope.folder, str(wanted["file"]))
            scope = _Scope(path, posixpath.dirname(path), scope.known, scope.origins, scope.within)
            there = _mapping((self.load(path) or {}).get("services"))
        if not isinstance(base, str) or base not in there or (scope.name, base) in seen:
            return one
        below = self.service(base, there, scope, seen)
        return merge(below, {key: value for key, value in one.items() if key != "extends"})

    def load(self, path: str) -> dict[str, Any] | None:
        """A file's mapping; None if it cannot be read."""
        try:
            data = load_marked(self.read(path) or "", path).data
        except ConfigError:
            return None
        return data if isinstance(data, dict) else None


def _moved(one: Any, folder: str) -> Any:
    """A service of a file as if that stood beside the first one."""
    if folder in ("", ".") or not isinstance(one, dict):
        return one
    found = dict(one)
    build = found.get("build")
    if isinstance(build, str):
        found["build"] = _below(folder, build)
    elif isinstance(build, dict):
        found["build"] = dict(build)
        if build.get("context"):
            found["build"]["context"] = _below(folder, str(build["context"]))
        if more := dict(pairs(build.get("additional_contexts"))):
            found["build"]["additional_contexts"] = {
                name: place and _below(folder, place) for name, place in more.items()
            }
    if files := _listed(found.get("env_file")):
        found["env_file"] = [
            {**file, "path": _below(folder, str(file.get("path")))}
            if isinstance(file, dict)
            else _below(folder, str(file))
            for file in files
        ]
    return found


def _moved_secret(one: Any, folder: str) -> Any:
    moves = folder not in ("", ".") and isinstance(one, dict) and one.get("file")
    return {**one, "file": _below(folder, str(one["file"]))} if moves else one


def _below(folder: str, name: str) -> str:
    """A path that counts from another folder; addresses, variables and what is at home stay."""
    if ":" in name or "$" in name or name.startswith("~"):
        return name
    return posixpath.normpath(posixpath.join(folder, name))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
