"""The first `delivery.yaml` and IaC repository, with comments; and the app spec of a Compose file alone."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipegraft.appspec.importing.compose import ComposeService, speaks_http
from pipegraft.appspec.importing.compose_parts import CREDENTIALS, SECRET_NAME
from pipegraft.appspec.importing.survey import FoundComponent, FoundResource, Survey
from pipegraft.appspec.importing.taking import Imported, found_values, is_outside, name_from
from pipegraft.appspec.pods import port_variable

__all__ = ["Answers", "Written", "gate_options", "import_compose", "write_files"]

_ADDRESS = r"(?<![\w.-]){0}:\d|(host|server|address|data source)\s*=\s*{0}(?![\w.-])"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL = re.compile(
    r"(?P<jdbc>jdbc:)?(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/@]*@)?(?P<host>[^:/@?]+)(?::\d+)?(?P<path>/[^?]*)?(?P<query>\?.*)?"
)
_HOST_AND_PORT = re.compile(r"(?P<host>[^:/@?]+):\d+")
_PORT = re.compile(r"((APP|API|HTTP|WEB|SERVER|SERVICE|LISTEN|FLASK_RUN|UVICORN|ASPNETCORE_HTTP)_)?PORTS?")
"""Variables by which a program is told where to listen."""
_SUBSTITUTED = re.compile(r"(?<!\$)(?:\$\$)*\$(?!\$)")
_BESIDE_HOST = {
    "PORT": "port",
    "USER": "username",
    "USERNAME": "username",
    "PASSWORD": "password",
    "PASS": "password",
    "NAME": "database",
    "DATABASE": "database",
    "DB": "database",
}
"""End of a variable's name → output, where the variable of that name with one of `_HOSTS` is a resource's."""
_HOSTS = ("HOST", "SERVER", "HOSTNAME", "ADDRESS", "ADDR")
_HOLDS_HOST = re.compile(
    r"(HOST|HOST_?NAME|SERVER|ADDR|ADDRESS|ENDPOINT|MASTER|NODE|UR[IL])S?$", re.IGNORECASE
)
_KINDS = frozenset(("postgres", "postgresql", "mysql", "mariadb", "redis", "valkey", "minio"))
"""Drivers and kinds of servers; often the names of services, too."""
_BESIDE = re.compile(rf"(?P<prefix>.+_|PG)(?P<last>{'|'.join(_BESIDE_HOST)})")
"""With an underscore, or as libpq names its variables."""
_OUTPUTS = {
    "postgres": {"host", "port", "username", "password", "database"},
    "mysql": {"host", "port", "username", "password", "database"},
    "redis": {"host", "port", "password"},
    "bucket": {"endpoint", "bucket", "region", "access-key", "secret-key"},
}


def _variables_of(
    app: str, component: FoundComponent, resources: Mapping[str, FoundResource]
) -> tuple[dict[str, Any], list[str]]:
    """Variables of a component.

    Arguments:
        resources: host name in the Compose file → the resource it is.

    Returns:
        `env` of the component, and a sentence for each variable that is not carried over.
    """
    found: dict[str, Any] = {}
    left: list[str] = []
    for name, value in component.env.items():
        if not _NAME.fullmatch(name) or name.startswith("PIPEGRAFT_"):
            left.append(f"variable '{name}' of '{component.name}': no name that a variable may have")
            continue
        own = _own_port(name, value or "", component)
        placeholder = own or _placeholder(name, value or "", component.env, resources)
        if placeholder:
            found[name] = placeholder
        elif _is_secret(name, value or ""):
            found[name] = {"secret": f"{app}-{component.name}", "key": name}
            left.append(
                f"the value of variable '{name}' of '{component.name}': it looks like a secret; "
                f"put it under the key '{name}' into the secret '{app}-{component.name}'"
            )
        elif value is None or _SUBSTITUTED.search(value):
            left.append(f"variable '{name}' of '{component.name}': its value comes from the shell")
        else:
            found[name] = value.replace("$$", "$")
            if value in _KINDS and value in resources and not _BESIDE.fullmatch(name):
                address = _address_alone(resources[value])
                said = f"'{value}' in variable '{name}' of '{component.name}' as an address"
                left.append(f"{said}: it is taken for the name of a kind; otherwise write {address}")
        if not placeholder:
            left += (
                f"the address of '{host}' in variable '{name}' of '{component.name}': "
                f"it is the resource '{resource.name}' now"
                for host, resource in resources.items()
                if re.search(_ADDRESS.format(re.escape(host)), value or "", re.IGNORECASE)
            )
    return found, left


def _own_port(name: str, value: str, component: FoundComponent) -> str:
    """The port that a component listens on, wherever it runs; empty for another number."""
    ports = component.ports
    known = next(
        (port for port, number in ports.items() if _PORT.fullmatch(name) and str(number) == value), None
    )
    return f"$({port_variable(component.name, known, several=len(ports) > 1)})" if known else ""


def _is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret, and not the path of a file that does."""
    path = name.upper().endswith(("_FILE", "_PATH", "_DIR")) and value.startswith("/")
    return bool((SECRET_NAME.search(name) and not path) or CREDENTIALS.search(value))


def _placeholder(
    name: str, value: str, env: Mapping[str, str | None], resources: Mapping[str, FoundResource]
) -> str:
    """What a resource tells in place of a value; empty if no resource is meant."""
    parts = _BESIDE.fullmatch(name)
    if value in resources and (_HOLDS_HOST.search(name) or not (parts or value in _KINDS)):
        return _address_alone(resources[value])
    url = _URL.fullmatch(value)
    if url and url["host"] in resources:
        return _address(url, resources[url["host"]])
    pair = _HOST_AND_PORT.fullmatch(value)
    if pair and pair["host"] in resources and (host := _output(resources[pair["host"]], "host")):
        return f"{host}:{_output(resources[pair['host']], 'port')}"
    if not parts:
        return ""
    hosts = ((env.get(f"{parts['prefix']}{word}") or "").partition(":")[0] for word in _HOSTS)
    beside = next((resources[host] for host in hosts if host in resources), None)
    for word in ("URL", "JDBC_URL"):
        jdbc = _URL.fullmatch(env.get(f"{parts['prefix']}{word}") or "")
        if jdbc and jdbc["jdbc"]:  # which says no user itself
            beside = beside or resources.get(jdbc["host"])
    return _output(beside, _BESIDE_HOST[parts["last"]]) if beside else ""


def _address_alone(resource: FoundResource) -> str:
    return _output(resource, "host") or _output(resource, "endpoint")


def _address(url: re.Match[str], resource: FoundResource) -> str:
    if resource.type == "bucket":
        return _output(resource, "endpoint")
    host, port, password = (_output(resource, name) for name in ("host", "port", "password"))
    query = (url["query"] or "").replace("$", "$$")
    if resource.type == "redis":
        return f"{url['scheme']}://:{password}@{host}:{port}{url['path'] or ''}{query}"
    user, database = _output(resource, "username"), _output(resource, "database")
    if url["jdbc"]:
        return f"jdbc:{url['scheme']}://{host}:{port}/{database}{query}"
    return f"{url['scheme']}://{user}:{password}@{host}:{port}/{database}{query}"


def _output(resource: FoundResource, output: str) -> str:
    known = output in _OUTPUTS[resource.type]
    return f"${{resources.{resource.name}.{output}}}" if known else ""


_UNRELEASED = "sha256:" + "0" * 64
"""Stands where the first release pins an image; no image has it."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a repository does not tell.

    Arguments:
        iac: the IaC repository, as `delivery.yaml` names it.
        environments: in the order they are delivered to.
        gate: further keys of every `gate:`; ``{app}`` and ``{env}`` are put in.
    """

    app: str
    registry: str
    iac: str
    branch: str
    environments: tuple[str, ...]
    engine: str
    gate: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """Texts.

    Arguments:
        iac: path in the IaC repository → text.
        left: what was seen and is not carried over.
    """

    delivery: str
    iac: Mapping[str, str]
    left: tuple[str, ...]


def gate_options(engine: str) -> Mapping[str, str]:
    """What an engine's `gate:` usually needs."""
    if engine == "embedded":
        return {"state": "../{app}-engine", "application": "{app}-{env}"}
    return {"kustomization": "{app}"} if engine == "flux" else {"application": "{app}-{env}"}


def write_files(found: Survey, answers: Answers) -> Written:
    """Write everything."""
    app, left = _app(found, answers)
    files = {"app.yaml": app}
    for name in answers.environments:
        files[f"environments/{name}.yaml"] = _environment(found.components, answers, name)
    return Written(_delivery(found, answers), files, (*found.left, *left))


def _delivery(found: Survey, answers: Answers) -> str:
    lines = [
        "# What this repository delivers, and where to. `pipegraft schema` prints its JSON Schema.",
        f"app: {answers.app}",
        f"registry: {_flow(answers.registry)}   # HOST/PATH, or a folder: oci:PATH",
        "components:",
    ]
    for one in found.components:
        lines.append(f"  {one.name}:   # {' '.join(one.why.split())}")
        lines.append(f"    path: {_flow(one.path)}")
        lines.append("    intimacy: rpc   # or ipc: a sidecar; or in-process, with `mount`: part of its host")
        lines += (f"    {key}: {_flow(value)}" for key, value in one.build_keys.items())
        if not one.dockerfile and "dockerfile" not in one.build_keys:
            lines.append("    # no Dockerfile: `base` names the image it is put upon, pinned by digest")
            lines.append(f"    command: {_flow(list(one.command))}   # what it runs: a guess")
    lines += [
        "iac:   # holds app.yaml and environments/NAME.yaml; the GitOps engine watches it",
        f"  repository: {_flow(answers.iac)}",
        f"  branch: {_flow(answers.branch)}",
        "  write: push   # or merge-request, or api: through GitLab",
        "environments:   # in the order they are delivered to",
    ]
    for name in answers.environments:
        gate = {"engine": answers.engine, **_gate(answers, name)}
        lines += [f"  {name}:", f"    gate: {_flow(gate)}"]
    lines += [
        "    # gray:   # moves the requests to a new version step by step; without it all at once",
        "    #   steps: [5, 25, 50]",
        "    #   interval: 5m",
        "    #   metrics: [{source: prometheus, url: …, query: …}]",
    ]
    return "\n".join(lines) + "\n"


def _gate(answers: Answers, environment: str) -> dict[str, str]:
    return {
        key: value.replace("{app}", answers.app).replace("{env}", environment)
        for key, value in answers.gate.items()
    }


def _app(found: Survey, answers: Answers) -> tuple[str, list[str]]:
    by_host = {host: one for one in found.resources for host in one.hosts}
    left: list[str] = []
    components: dict[str, Any] = {}
    for one in found.components:
        env, lost = _variables_of(answers.app, one, by_host)
        left += lost
        components[one.name] = _component(one, env, public=one in _entrances(found.components))
    lines = [
        "# What the application is, in every environment: what runs, how close its parts live, what it uses.",
        "# Keys, and how an environment changes them: docs/app-spec.md of Pipegraft.",
        f"app: {answers.app}",
        *_block({"components": components}),
    ]
    if found.resources:
        resources = {
            one.name: {"type": one.type, **({"params": dict(one.params)} if one.params else {})}
            for one in found.resources
        }
        lines.append("# An environment says under `providers` who provides these.")
        lines += _block({"resources": resources})
    return "\n".join(lines) + "\n", left


def _component(one: FoundComponent, env: Mapping[str, Any], *, public: bool) -> dict[str, Any]:
    parts = {
        "intimacy": "rpc",
        "ports": dict(one.ports),
        "command": list(one.command) if one.dockerfile else None,
        "args": list(one.args),
        "env": dict(env),
        **one.traits,
    }
    return {**found_values(parts), **({"entrance": {}} if public else {})}


def _entrances(components: Sequence[FoundComponent]) -> list[FoundComponent]:
    """The components that requests from outside go to: those published, else the only one with a port."""
    listening = [one for one in components if speaks_http(one.ports)]
    published = [one for one in listening if one.public]
    return published or (listening if len(listening) == 1 else [])


def import_compose(
    services: Sequence[ComposeService], file: str, profiles: Collection[str], into: Imported
) -> None:
    """Take over what a Compose file runs, which is more than it builds.

    Arguments:
        profiles: those that are asked for.
        into: gets components, jobs, resources and what is left.
    """
    kept = [one for one in services if not one.profiles or set(one.profiles) & set(profiles)]
    into.left += (
        f"{file}: service {one.name}: the whole service (of the profile {', '.join(one.profiles)})"
        for one in services
        if one not in kept
    )
    used = [one for one in kept if one.resource]
    resources = [FoundResource(name_from(one.name), one.hosts, one.resource, "", one.params) for one in used]
    by_host = {host: one for one in resources for host in one.hosts}
    for one in kept:
        name, kind = name_from(one.name), "resources" if one.resource else "components"
        into.sources[kind, name] = [one.source]
        into.left += one.left
        if one.resource:
            into.resources[name] = found_values({"type": one.resource, "params": dict(one.params)})
            continue
        path, said = one.build or ".", (one.ports, one.env, one.entrypoint, one.command)
        found = FoundComponent(name, path, "", *said, traits=one.traits)
        env, lost = _variables_of(into.app, found, by_host)
        into.left += (f"{one.source.name}: {line}" for line in lost)
        public = one.published and speaks_http(one.ports) and not one.ends
        into.components[name] = _component(found, env, public=public) | ({"job": {}} if one.ends else {})
        if one.image:
            into.images[name] = one.image
        if one.build is not None and is_outside(one.build):
            into.left.append(one.built_outside())
        elif one.build is not None:
            keys = json.dumps({"path": one.build, **one.build_keys}, default=str)
            into.left.append(f"{one.source.name}: build: in delivery.yaml, `components: {name}: {keys}`")
    into.left += _other_names(kept, into)


def _other_names(services: Collection[ComposeService], into: Imported) -> Iterator[str]:
    """Variables that name a service by another name than the component's."""
    for one in services:
        aliases = [host for host in one.hosts if host != name_from(one.name)] if not one.resource else []
        for name, component in into.components.items():
            for variable, value in component.get("env", {}).items():
                yield from (
                    f"variable '{variable}' of '{name}' names '{alias}': "
                    f"others reach it as '{name_from(one.name)}'"
                    for alias in aliases
                    if isinstance(value, str)
                    and re.search(rf"(?<![\w.-]){re.escape(alias)}(?![\w.-])", value)
                )


def _environment(components: Sequence[FoundComponent], answers: Answers, name: str) -> str:
    lines = [
        f"# What differs in {name}. Releases write the images here, and gray releases their weight.",
        "components:",
    ]
    for one in components:
        image = f"{answers.registry}/{one.name}@{_UNRELEASED}"
        lines.append(f"  {one.name}:")
        lines.append(f"    image: {_flow(image)}   # until the first release")
    return "\n".join(lines) + "\n"


def _block(data: Any) -> list[str]:
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=4096)
    return text.rstrip("\n").split("\n")


def _flow(value: Any) -> str:
    """A value on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=100_000)
    return text.removesuffix("\n").removesuffix("\n...").rstrip("\n")
