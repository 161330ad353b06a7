"""Reads a team's Compose file as far as it tells what an application consists of.

What cannot be carried over is said, service by service. Source: the Compose Specification, services.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from pipegraft.core.errors import ConfigError
from pipegraft.core.reading import load_marked

__all__ = ["ComposeService", "compose_services", "merge_compose", "put_defaults", "read_compose"]

_RESOURCES = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "postgis": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
    "redis": "redis",
    "valkey": "redis",
    "minio": "bucket",
}
"""Last word of an image's name → type of resource."""
_DATABASES = ("POSTGRES_DB", "MYSQL_DATABASE", "MARIADB_DATABASE")
_SAID = {"profiles", "restart", "container_name", "hostname", "develop"}
"""Keys that decide what a service is taken for, or concern developers alone."""
_CARRIED = {"build", "image", "ports", "expose", "environment", "command", "entrypoint", *_SAID}
_CARRIED_OF_BUILD = {"context", "dockerfile", "target", "args", "platforms", "additional_contexts"}
_TAKEN_BY_RESOURCE = {"image", "environment", "ports", "expose", *_SAID}
"""What a resource of an app spec has of its own, or its provider decides."""
_OF_FILE = {"services", "version", "name"}
_TRAEFIK = re.compile(r"traefik\.http\.services\.[^.]+\.loadbalancer\.server\.port", re.IGNORECASE)
_REPLACED = {"command", "entrypoint", "test"}
_WITH_DEFAULT = re.compile(r"(?<!\$)\$\{\w+:?-(?P<default>[^${}]*)\}")


@dataclass(frozen=True, slots=True)
class ComposeService:
    """One service.

    Arguments:
        build: folder it is built from, None if it is not.
        build_keys: what else its build says, by the keys of a component in `delivery.yaml`.
        resource: type of resource that its image is; empty if none.
        published: whether a port is open to the host.
        hosts: names by which others reach it: its own, container name, host name and aliases.
        profiles: that it belongs to; one without any always runs.
        ends: whether others wait until it has ended, or it is not started again.
    """

    name: str
    build: str | None
    image: str
    build_keys: Mapping[str, Any] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, str | None] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    published: bool = False
    resource: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    ends: bool = False


def read_compose(text: str, file: str) -> tuple[list[ComposeService], list[str]]:
    """Read a Compose file.

    Returns:
        Its services, and a sentence for everything that is not carried over.
    """
    try:
        data = load_marked(text, file).data
    except ConfigError as error:
        return [], [f"{error.problems[0]}"]
    declared = data.get("services") if isinstance(data, dict) else None
    if not isinstance(declared, dict):
        return [], [f"{file}: expected 'services', found none"]
    data, left = put_defaults(data, file)
    declared = data["services"]
    services = compose_services(data)
    by_name = {one.name: one for one in services}
    left += [f"{file}: '{key}'" for key in sorted(map(str, data)) if key not in _OF_FILE]
    for name, one in declared.items():
        if name in by_name:
            left += [f"{file}: {what} of service '{name}'" for what in _lost(one, by_name[name])]
        else:
            left.append(f"{file}: service '{name}' is no mapping")
    return services, left


def compose_services(data: Mapping[str, Any]) -> list[ComposeService]:
    """The services of a Compose file that are mappings.

    Arguments:
        data: the file, with a mapping `services`.
    """
    declared = data["services"]
    waited = set(_waited_for(declared))
    return [
        _service(str(name), one, ends=name in waited)
        for name, one in declared.items()
        if isinstance(one, dict)
    ]


def put_defaults(value: Any, file: str) -> tuple[Any, list[str]]:
    """A Compose file with ``${NAME:-default}`` replaced by what stands for it where nobody sets the variable.

    Returns:
        The file, and a sentence for each default that was taken.
    """
    taken: dict[str, None] = {}

    def default(found: re.Match[str]) -> str:
        taken[f"{file}: '{found[0]}': its default is taken"] = None
        return found["default"]

    def put(value: Any) -> Any:
        if isinstance(value, str):
            return _WITH_DEFAULT.sub(default, value)
        if isinstance(value, dict):
            return {key: put(one) for key, one in value.items()}
        return [put(one) for one in value] if isinstance(value, list) else value

    return put(value), list(taken)


def merge_compose(below: Any, above: Any, key: str = "") -> Any:
    """An override put over a Compose file: mappings merge, lists grow, commands are replaced.

    Source: the Compose Specification, "Merge Compose files".
    """
    if key == "environment" and (isinstance(below, list) or isinstance(above, list)):
        below, above = dict(_environment(below)), dict(_environment(above))
    if isinstance(below, dict) and isinstance(above, dict):
        both = {name: merge_compose(below[name], above[name], name) for name in below if name in above}
        return {**below, **above, **both}
    if isinstance(below, list) and isinstance(above, list) and key not in _REPLACED:
        return [*below, *(one for one in above if one not in below)]
    return above


def _lost(one: Mapping[str, Any], service: ComposeService) -> Iterator[str]:
    """What a first app spec does not say of a service."""
    carried = _TAKEN_BY_RESOURCE if service.resource else _CARRIED
    yield from (f"'{key}'" for key in sorted(map(str, one)) if key not in carried)
    if isinstance(one.get("build"), dict):
        yield from (
            f"'build.{key}'" for key in sorted(map(str, one["build"])) if key not in _CARRIED_OF_BUILD
        )
        yield from _lost_of_build(one["build"])
    if service.resource:
        return
    for key in ("ports", "expose"):
        entries = one.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if _number(entry) is None:
                yield f"'{key}' entry {entry!r}, which is no single TCP port,"
            elif key == "ports" and ":" in str(entry):
                yield f"the host's side of 'ports' entry {entry!r}"


def _service(name: str, one: Mapping[str, Any], *, ends: bool) -> ComposeService:
    build, build_keys = _build(one.get("build"))
    image = str(one.get("image") or "")
    env = dict(_environment(one.get("environment")))
    repository, _, tag = image.partition("@")[0].rpartition(":")
    if not repository or "/" in tag:
        repository, tag = image, ""
    kind = "" if build else _RESOURCES.get(repository.rsplit("/", 1)[-1], "")
    numbers = list(dict.fromkeys([*_ports(one.get("ports")), *_ports(one.get("expose"))]))
    numbers = numbers or _traefik_ports(one.get("labels"))
    ports = {"http": numbers[0]} if len(numbers) == 1 else {f"port-{number}": number for number in numbers}
    return ComposeService(
        name,
        build,
        image,
        build_keys,
        ports,
        env,
        _words(one.get("entrypoint")),
        _words(one.get("command")),
        bool(one.get("ports")),
        kind,
        _params(kind, repository.rsplit("/", 1)[-1], tag, env),
        tuple(dict.fromkeys(_hosts(name, one))),
        tuple(map(str, one.get("profiles") or ())) if isinstance(one.get("profiles"), list) else (),
        ends,
    )


def _hosts(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    yield name
    yield from (str(one[key]) for key in ("container_name", "hostname") if one.get(key))
    networks = one.get("networks")
    for network in networks.values() if isinstance(networks, dict) else ():
        aliases = network.get("aliases") if isinstance(network, dict) else None
        yield from map(str, aliases if isinstance(aliases, list) else ())


def _waited_for(services: Mapping[str, Any]) -> Iterator[str]:
    """Services that others wait for until they have ended (``service_completed_successfully``)."""
    for one in services.values():
        needs = one.get("depends_on") if isinstance(one, dict) else None
        for name, how in needs.items() if isinstance(needs, dict) else ():
            if isinstance(how, dict) and how.get("condition") == "service_completed_successfully":
                yield str(name)


def _build(value: Any) -> tuple[str | None, dict[str, Any]]:
    """Folder and further keys of a `build`; what no key can hold is told by `_lost_of_build`."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, dict):
        return None, {}
    platforms = value.get("platforms")
    keys = {
        "dockerfile": value.get("dockerfile"),
        "target": value.get("target"),
        "build-args": {key: one for key, one in _environment(value.get("args")) if _is_plain(one)},
        "platforms": list(map(str, platforms)) if isinstance(platforms, list) else [],
        "additional-contexts": {
            key: one
            for key, one in _environment(value.get("additional_contexts"))
            if _is_plain(one) and _is_context(one)
        },
    }
    return str(value.get("context") or "."), {key: one for key, one in keys.items() if one}


def _lost_of_build(value: Mapping[str, Any]) -> Iterator[str]:
    """Entries of a `build` that stand for something only Compose or a shell knows."""
    for key, one in _environment(value.get("args")):
        if not _is_plain(one):
            yield f"'build.args' entry '{key}', whose value is known to the shell alone,"
    for key, one in _environment(value.get("additional_contexts")):
        if not _is_plain(one) or not _is_context(one):
            yield f"'build.additional_contexts' entry '{key}', which is neither a folder nor an image,"


def _is_plain(value: str | None) -> TypeGuard[str]:
    return value is not None and "$" not in value


def _is_context(place: str) -> bool:
    return place.startswith("docker-image://") or not (":" in place or place.startswith(("/", "..")))


def _environment(value: Any) -> Iterator[tuple[str, str | None]]:
    """Variables; None for one that comes from the shell."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key, None if one is None else str(one).lower() if isinstance(one, bool) else str(one)
    elif isinstance(value, list):
        for entry in value:
            key, equals, one = str(entry).partition("=")
            yield key, one if equals else None


def _ports(value: Any) -> Iterator[int]:
    for entry in value if isinstance(value, list) else []:
        number = _number(entry)
        if number is not None:
            yield number


def _traefik_ports(labels: Any) -> list[int]:
    """Ports that labels tell Traefik of a service (Traefik, "Docker", ``loadbalancer.server.port``)."""
    found = (one for key, one in _environment(labels) if _TRAEFIK.fullmatch(key))
    return list(dict.fromkeys(int(one) for one in found if one and one.isdecimal() and 0 < int(one) < 65536))


def _number(entry: Any) -> int | None:
    """The port in the container, of ``HOST:CONTAINER/PROTOCOL``; None for ranges and other protocols."""
    if isinstance(entry, dict):
        number, protocol = str(entry.get("target") or ""), str(entry.get("protocol") or "tcp")
    else:
        number, _, protocol = str(entry).rpartition(":")[2].partition("/")
    known = number.isdecimal() and 0 < int(number) < 65536 and protocol in ("", "tcp")
    return int(number) if known else None


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError:
            return (value,)
    return tuple(str(word) for word in value) if isinstance(value, list) else ()


def _params(kind: str, product: str, tag: str, env: Mapping[str, str | None]) -> dict[str, str]:
    found = {}
    own = product not in {"mariadb", "valkey"}  # whose versions count otherwise
    version = re.match(r"\d+(\.\d+)*", tag)
    if kind in {"postgres", "mysql", "redis"} and version and own:
        found["version"] = version[0].split(".")[0]
    database = next((env[name] for name in _DATABASES if env.get(name)), None)
    if kind in {"postgres", "mysql"} and database and re.fullmatch(r"[a-z][a-z0-9_]{0,62}", database):
        found["database"] = database
    return found
