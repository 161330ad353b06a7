"""The reader of Compose files: what each service says of a component or a resource, and a line for the rest.

Source: the Compose Specification (services, build, deploy, healthcheck, interpolation, merge). A service that
others wait for until it has ended is a job; one of a profile runs on demand.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipegraft.appspec.importing.builds import is_development
from pipegraft.appspec.importing.compose_others import with_others
from pipegraft.appspec.importing.compose_parts import (
    SHELL_VARIABLE,
    ReadBeside,
    compose_build,
    duration_of,
    env_lines,
    health_of,
    of_shell,
    pairs,
    public,
    variables_of,
)
from pipegraft.appspec.importing.taking import (
    Taking,
    amounts,
    found_values,
    name_from,
    numbered,
    short,
    tells_secret,
)
from pipegraft.core.errors import ConfigError, Place, Problem

__all__ = ["ComposeService", "named_ports", "read_compose", "speaks_http"]

_RESOURCES = {
    **dict.fromkeys(("postgres", "postgresql", "postgis", "pgvector"), "postgres"),
    **dict.fromkeys(("mysql", "mysql-server", "mariadb"), "mysql"),
    **dict.fromkeys(("redis", "valkey"), "redis"),
    "minio": "bucket",
}
"""Last word of an image's name → type of resource."""
_DATABASES = ("POSTGRES_DB", "MYSQL_DATABASE", "MARIADB_DATABASE")
_OF_FILE = {"services", "version", "name"}
_OF_RESOURCE = (
    "image", "environment", "env_file", "command", "entrypoint", "build", "ports", "expose", "profiles",
    "restart", "healthcheck", "volumes", "shm_size", "container_name", "hostname",
)  # fmt: skip
"""What a resource of an app spec has of its own, or its provider decides."""
_WHY: Mapping[str, str] = {
    "depends_on": "components start in any order and try again",
    "links": "components reach one another by name",
    "restart": "what ends is started again",
    "develop": "for developers' machines",
    "networks": "components reach one another by name",
    "container_name": "others reach it by the component's name",
    "hostname": "others reach it by the component's name",
    "labels": "for what looks at containers; a port that they tell Traefik is taken",
    **dict.fromkeys(("stdin_open", "tty"), "for terminals"),
    "build.labels": "write them as LABEL into the Dockerfile",
    "build.tags": "the input `tags` of image-build names images, also by variables",
    "build.no_cache": "`--set force=true` builds what is there already",
    "build.pull": "base images are looked up at every run",
    "build.ssh": "an agent's keys reach no build here: let a build secret hold a token",
    **dict.fromkeys(("build.provenance", "build.sbom"), "image-build attaches its own"),
    **dict.fromkeys(
        ("build.network", "build.extra_hosts", "build.shm_size", "build.ulimits", "build.isolation",
         "build.privileged", "build.entitlements"), "the settings of BuildKit's daemon decide it",
    ),
}  # fmt: skip
"""Key → why nothing of it is in the app spec."""
_ENDS = ("no", "False", "on-failure")
_ONCE = re.compile(r"migrat|seed|init\b|setup|fixture", re.IGNORECASE)
_TRAEFIK = re.compile(r"traefik\.http\.services\.[^.]+\.loadbalancer\.server\.port", re.IGNORECASE)
_CPU = re.compile(r"\d+(\.\d+)?")
_MEMORY = re.compile(r"(\d+)([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": "", "b": "", "k": "Ki", "m": "Mi", "g": "Gi"}
_DEBUGGERS = frozenset({9229, 9230, 5005, 5678, 2345})
"""Ports of Node's inspector, the JVM's debugger, debugpy and Delve."""
_PROTOCOLS: Mapping[int, str] = {
    22: "ssh", 25: "smtp", 53: "dns", 389: "ldap", 587: "submission", 636: "ldaps",
    1433: "sqlserver", 1521: "oracle", 1883: "mqtt", 2181: "zookeeper", 3306: "mysql", 4222: "nats",
    5432: "postgres", 5672: "amqp", 6379: "redis", 9042: "cassandra", 9092: "kafka", 11211: "memcached",
    27017: "mongodb",
}  # fmt: skip
"""Port → protocol that is not HTTP (IANA, "Service Name and Transport Protocol Port Number Registry")."""
_DEVELOPERS = re.compile(r"dev(el|elop|elopment|eloper)?|debug|local", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ComposeService:
    """One service.

    Arguments:
        source: all that it says, of which the parts that are carried over are taken.
        build: folder it is built from, None if it is not.
        build_keys: what else its build says, by the keys of a component in `delivery.yaml`.
        published: whether a port is open to the host.
        resource: type of resource that its image is; empty if none.
        hosts: names by which others reach it: its own, container name, host name and aliases.
        profiles: that it belongs to; one without any always runs.
        ends: whether others wait until it has ended.
        traits: further keys of a component in an app spec: amounts, readiness, security, …
        left: a line for everything that is not carried over.
    """

    name: str
    source: Taking
    image: str
    build: str | None = None
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
    traits: Mapping[str, Any] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    def built_outside(self) -> str:
        """The line for one whose context is not in the repository."""
        place = "" if tells_secret(str(self.build)) else f", in '{self.build}'"
        return f"{self.source.name}: is built outside of the repository{place}"


def read_compose(data: Any, file: str, read: ReadBeside) -> tuple[list[ComposeService], list[str]]:
    """Read a Compose file; ``${NAME:-default}`` stands for its value in `.env`, else for its default.

    Arguments:
        data: the file, overrides merged into it.
        read: text of a file by its path from the Compose file's folder; None if there is none.

    Returns:
        Its services, and a line for everything beside them that is not carried over.

    Raises:
        ConfigError: it is no Compose file.
    """
    declared = data.get("services") if isinstance(data, dict) else None
    if not isinstance(declared, dict):
        raise ConfigError([Problem("expected a mapping with 'services'", Place(file), "name a Compose file")])
    known = public(env_lines(read(".env") or "", {}))
    data, left = with_others(data, file, read, known)
    waited, services = set(_waited_for(data["services"])), list[ComposeService]()
    for name, one in data["services"].items():
        if isinstance(one, dict):
            part = Taking(one, f"{file}: service {name}")
            once = str(one.get("restart")) in ("no", "False", "on-failure") and _ONCE.search(
                f"{name} {one.get('command')}"
            )
            env, lost = variables_of(part, known, read)
            ends = name in waited or bool(once)
            services.append(_service(str(name), part, data.get("secrets"), env, lost, ends=ends))
        else:
            left.append(f"{file}: service {name}: expected a mapping, found {short(one)}")
    shared = [key for key in data if str(key).startswith("x-") or key == "secrets"]
    rest = {key: value for key, value in data.items() if key not in {*_OF_FILE, *shared}}
    left += Taking(rest, file, secret=True).left()
    left += (f"{file}: {key} (read where services take it in)" for key in shared)
    return services, left


def _service(
    name: str, part: Taking, secrets: Any, env: dict[str, str | None], lost: list[str], *, ends: bool
) -> ComposeService:
    hosts = tuple(dict.fromkeys(_hosts(name, part)))
    image = str(part.peek("image") or "")
    repository, _, tag = SHELL_VARIABLE.sub("", image).partition("@")[0].rpartition(":")
    if not repository or "/" in tag:
        repository, tag = SHELL_VARIABLE.sub("", image), ""
    product = repository.rsplit("/", 1)[-1]
    kind = "" if part.peek("build") else _RESOURCES.get(product, "")
    profiles = part.take("profiles")
    asked = tuple(map(str, profiles)) if isinstance(profiles, list) else ()
    if kind:
        for key in _OF_RESOURCE:
            part.take(key)
        return ComposeService(
            name, part, image, resource=kind, params=_params(kind, product, tag, env), hosts=hosts,
            profiles=asked, left=tuple(_left(part)),
        )  # fmt: skip
    part.take("image")
    if ends:
        part.take("restart")
    lost += of_shell(part, image)
    image = "" if SHELL_VARIABLE.search(image) else image
    build, build_keys = compose_build(part, secrets, lost)
    published = bool(part.peek("ports"))
    numbers = list(dict.fromkeys(_numbers(part, lost))) or _traefik_ports(part.peek("labels"))
    entrypoint, command = _words(part.take("entrypoint")), _words(part.take("command"))
    if build is not None:
        if developed := is_development((*entrypoint, *command)):
            said = " ".join((*entrypoint, *command))
            lost.append(f"{part.name}: runs `{said}`, a command for developers")
            entrypoint = command = ()
        if (target := str(build_keys.get("target", ""))) and _DEVELOPERS.fullmatch(target):
            lost.append(f"{part.name}: builds the stage '{target}', one for developers")
            developed = bool(build_keys.pop("target"))
        if developed:
            lost += (f"{part.name}: port {one}: a debugger's" for one in numbers if one in _DEBUGGERS)
            numbers = [one for one in numbers if one not in _DEBUGGERS]
    ports = named_ports(numbers)
    traits = _traits(part, ports, ends=ends)
    return ComposeService(
        name, part, image, build, build_keys, ports, env, entrypoint, command, published,
        hosts=hosts, profiles=asked, ends=ends, traits=traits, left=(*lost, *_left(part)),
    )  # fmt: skip


def _hosts(name: str, part: Taking) -> Iterator[str]:
    yield name
    yield from (str(part.peek(key)) for key in ("container_name", "hostname") if part.peek(key))
    for network in part.mapping("networks").values():
        aliases = network.get("aliases") if isinstance(network, dict) else None
        yield from map(str, aliases if isinstance(aliases, list) else ())


def _waited_for(services: Mapping[str, Any]) -> Iterator[str]:
    """Services that others wait for until they have ended (``service_completed_successfully``)."""
    for one in services.values():
        needs = one.get("depends_on") if isinstance(one, dict) else None
        for name, how in needs.items() if isinstance(needs, dict) else ():
            if isinstance(how, dict) and how.get("condition") == "service_completed_successfully":
                yield str(name)


def _numbers(part: Taking, lost: list[str]) -> Iterator[int]:
    """The containers' ports, of ``HOST:CONTAINER/PROTOCOL``; ranges and other protocols are lost."""
    for key in ("ports", "expose"):
        for at in part.keys(key) if isinstance(part.peek(key), list) else ():
            entry = part.take(key, at)
            beside: object
            if isinstance(entry, dict):
                number, protocol = str(entry.get("target") or ""), str(entry.get("protocol") or "tcp")
                beside = entry.keys() - {"target", "protocol"}
            else:
                beside, _, last = str(entry).rpartition(":")
                number, _, protocol = last.partition("/")
            known = number.isdecimal() and 0 < int(number) < 65536 and protocol in ("", "tcp")
            if known:
                yield int(number)
            if beside or not known:
                why = "the port of the host" if known else "no single TCP port"
                lost.append(f"{part.name}: {key}[{at}]: {short(entry)} ({why})")


def named_ports(numbers: Collection[int]) -> dict[str, int]:
    """Names for ports: those of other protocols than HTTP last, ``http`` for the only one of the rest."""
    others = [number for number in numbers if number not in _PROTOCOLS]
    named = {"http" if len(others) == 1 else f"port-{number}": number for number in others}
    return named | {_PROTOCOLS[number]: number for number in numbers if number in _PROTOCOLS}


def speaks_http(ports: Mapping[str, int]) -> bool:
    """Whether a port may be one of HTTP."""
    return any(number not in _PROTOCOLS for number in ports.values())


def _traefik_ports(labels: Any) -> list[int]:
    """Ports that labels tell Traefik of a service (Traefik, "Docker", ``loadbalancer.server.port``)."""
    found = (one for key, one in pairs(labels) if _TRAEFIK.fullmatch(key))
    return list(dict.fromkeys(int(one) for one in found if one and one.isdecimal() and 0 < int(one) < 65536))


def _words(value: Any) -> tuple[str, ...]:
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError:
        words = [value]
    return tuple(str(word).replace("$$", "$") for word in words) if isinstance(words, list) else ()


def _params(kind: str, product: str, tag: str, env: Mapping[str, str | None]) -> dict[str, str]:
    version = "" if product in {"mariadb", "valkey"} else tag  # whose versions count otherwise
    major = re.match(r"\d+", version) if kind in {"postgres", "mysql", "redis"} else None
    database = next((env[name] for name in _DATABASES if env.get(name)), None) or ""
    known = kind in {"postgres", "mysql"} and re.fullmatch(r"[a-z][a-z0-9_]{0,62}", database)
    return {**({"version": major[0]} if major else {}), **({"database": database} if known else {})}


def _traits(part: Taking, ports: Mapping[str, int], *, ends: bool) -> dict[str, Any]:
    counts = (route for route in (("deploy", "replicas"), ("scale",)) if isinstance(part.peek(*route), int))
    return found_values(
        {
            "replicas": next((part.take(*route) for route in counts), None),
            **_amounts(part),
            "readiness": None if ends else health_of(part, ports),
            "security": _security(part),
            "volumes": dict(_ephemeral(part)),
            "grace": duration_of(part, "stop_grace_period"),
        }
    )


def _amounts(part: Taking) -> dict[str, Any]:
    """CPU and memory, of `deploy` or of the older keys; the ``g`` of Compose is the ``Gi`` of Kubernetes."""
    wanted: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    places: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("requests", "cpu", ("deploy", "resources", "reservations", "cpus")),
        ("requests", "memory", ("deploy", "resources", "reservations", "memory")),
        ("requests", "memory", ("mem_reservation",)),
        ("limits", "cpu", ("deploy", "resources", "limits", "cpus")),
        ("limits", "memory", ("deploy", "resources", "limits", "memory")),
        ("limits", "cpu", ("cpus",)),
        ("limits", "memory", ("mem_limit",)),
    )
    for kind, key, route in places:
        found = (_CPU if key == "cpu" else _MEMORY).fullmatch(value := str(part.peek(*route)))
        if found and key not in wanted[kind]:
            part.take(*route)
            wanted[kind][key] = value if key == "cpu" else f"{found[1]}{_UNITS[found[2].lower()]}"
    return amounts(wanted["requests"], wanted["limits"])


def _security(part: Taking) -> dict[str, Any]:
    found: dict[str, Any] = {}
    user = re.fullmatch(r"(\d+)(?::(\d+))?", str(part.peek("user") or ""))
    if user:
        part.take("user")
        found = {"user": int(user[1]), **({"group": int(user[2])} if user[2] else {})}
    for at in part.keys("security_opt"):
        if part.peek("security_opt", at) == "no-new-privileges:true":
            found["privilege-escalation"] = part.take("security_opt", at) is None
    if isinstance(part.peek("read_only"), bool):
        found["read-only-root"] = part.take("read_only")
    capabilities = {
        str(part.take(f"cap_{what}", at)): what for what in ("add", "drop") for at in part.keys(f"cap_{what}")
    }
    return {**found, **({"capabilities": capabilities} if capabilities else {})}


def _ephemeral(part: Taking) -> Iterator[tuple[str, dict[str, Any]]]:
    """Folders in memory; other volumes are left: a Compose file does not say how large they are."""
    value = part.peek("tmpfs")
    paths = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if paths and all(re.fullmatch(r"/[^:]*", str(path)) for path in paths):
        part.take("tmpfs")
        names: list[str] = []
        for path in dict.fromkeys(map(str, paths)):
            names.append(next(one for one in numbered(name_from(path, "tmp")) if one not in names))
            yield names[-1], {"path": path, "ephemeral": {"memory": True}}


def _left(part: Taking) -> Iterator[str]:
    """What is not carried over, with the reason where there is a general one."""
    for key, why in _WHY.items():
        if (value := part.take(*key.split("."))) is not None:
            told = isinstance(value, str) and not part.name.endswith(f" {value}")
            shown = f": {value}" if told else ""
            yield f"{part.name}: {key}{shown} ({why})"
    for at in part.keys("volumes") if isinstance(part.peek("volumes"), list) else ():
        entry = part.take("volumes", at)
        source, colon, _ = str(entry).partition(":")
        bound = bool(colon) and source.startswith((".", "/", "~", "$"))
        bound = entry.get("type") == "bind" if isinstance(entry, dict) else bound
        why = "a folder of this machine" if bound else "write it as `volumes`, with the size it needs"
        yield f"{part.name}: volumes[{at}]: {short(entry)} ({why})"
    yield from part.left()
