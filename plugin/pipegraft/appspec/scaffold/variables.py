"""Variables of a Compose file as an app spec has them: resources by placeholder, secrets by reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipegraft.appspec.scaffold.survey import FoundComponent, FoundResource

__all__ = ["variables_of"]

_SECRET = re.compile(r"PASS(WORD|WD)?$|SECRET|TOKEN|API_?KEY|PRIVATE|CREDENTIAL", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL = re.compile(
    r"(?P<jdbc>jdbc:)?(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/@]*@)?(?P<host>[^:/@?]+)(?::\d+)?(?P<path>/[^?]*)?(?P<query>\?.*)?"
)
_HOST_AND_PORT = re.compile(r"(?P<host>[^:/@?]+):\d+")
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
"""End of a variable's name → output, where the variable of that name with ``HOST`` is a resource's."""
_OUTPUTS = {
    "postgres": {"host", "port", "username", "password", "database"},
    "mysql": {"host", "port", "username", "password", "database"},
    "redis": {"host", "port", "password"},
    "bucket": {"endpoint", "bucket", "region", "access-key", "secret-key"},
}


def variables_of(
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
        placeholder = _placeholder(name, value or "", component.env, resources)
        if placeholder:
            found[name] = placeholder
        elif _SECRET.search(name):
            found[name] = {"secret": f"{app}-{component.name}", "key": name}
        elif value is None or _SUBSTITUTED.search(value):
            left.append(f"variable '{name}' of '{component.name}': its value comes from the shell")
        else:
            found[name] = value.replace("$$", "$")
            left += (
                f"the address of '{host}' in variable '{name}' of '{component.name}': "
                f"it is the resource '{resource.name}' now"
                for host, resource in resources.items()
                if re.search(rf"(?<![\w.-]){re.escape(host)}:\d", value)
            )
    return found, left


def _placeholder(
    name: str, value: str, env: Mapping[str, str | None], resources: Mapping[str, FoundResource]
) -> str:
    """What a resource tells in place of a value; empty if no resource is meant."""
    if value in resources:
        return _output(resources[value], "host") or _output(resources[value], "endpoint")
    url = _URL.fullmatch(value)
    if url and url["host"] in resources:
        return _address(url, resources[url["host"]])
    pair = _HOST_AND_PORT.fullmatch(value)
    if pair and pair["host"] in resources and (host := _output(resources[pair["host"]], "host")):
        return f"{host}:{_output(resources[pair['host']], 'port')}"
    prefix, _, last = name.rpartition("_")
    beside = resources.get(env.get(f"{prefix}_HOST") or "")
    jdbc = _URL.fullmatch(env.get(f"{prefix}_URL") or "")
    if jdbc and jdbc["jdbc"]:  # which says no user itself
        beside = beside or resources.get(jdbc["host"])
    return _output(beside, _BESIDE_HOST.get(last, "")) if beside and prefix else ""


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
