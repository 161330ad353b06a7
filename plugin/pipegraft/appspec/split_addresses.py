"""Addresses in the texts of a component's callers: they follow it when it moves into or out of their pod.

Inside a pod it is ``127.0.0.1:$(PIPEGRAFT_PORT_NAME)``, the port it listens on wherever it runs; outside,
``NAME:NUMBER``, its Service.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pipegraft.appspec.pods import Member, port_variable
from pipegraft.core.delivery import Intimacy
from pipegraft.text.yaml import Edit, Put

__all__ = ["address_of", "followed"]


def address_of(component: str, ports: Mapping[str, int], to: Intimacy, port: str | None = None) -> str:
    """How callers reach a component's port, its first one if None, once it is there."""
    name = port or next(iter(ports))
    if to == "rpc":
        return f"{component}:{ports[name]}"
    return f"127.0.0.1:$({port_variable(component, name, several=len(ports) > 1)})"


def followed(
    components: Mapping[str, Any],
    member: Member,
    ports: Mapping[str, int],
    to: Intimacy,
    callers: Collection[str],
) -> Iterator[Edit]:
    """Edits of one file that let the texts of callers name the component where it goes.

    Arguments:
        components: what the file says of them.
        member: the component before the step.
        ports: its ports after it.
        callers: components whose address of it changes.
    """
    patterns = {
        _pattern(member, port, to): address_of(member.name, ports, to, port)
        for port in member.ports
        if port in ports and to != "in-process"
    }
    for caller in callers:
        for route, value in _texts(components.get(caller)):
            new = value
            for pattern, address in patterns.items():
                new = pattern.sub(lambda _found, address=address: address, new)  # type: ignore[misc]
            if new != value:
                yield Put(("components", caller, *route), new)


def _pattern(member: Member, port: str, to: Intimacy) -> re.Pattern[str]:
    """What an address of a port looks like before the step."""
    if to == "rpc":
        variable = port_variable(member.name, port, several=len(member.ports) > 1)
        return re.compile(rf"(?<![\w.-])(127\.0\.0\.1|localhost):\$\({variable}\)")
    return re.compile(rf"(?<![\w.-]){re.escape(member.name)}:{member.ports[port]}(?!\d)")


def _texts(component: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not isinstance(component, dict):
        return
    for key in ("env", "command", "args"):
        held = component.get(key)
        entries = held.items() if isinstance(held, dict) else enumerate(held or ())
        for name, value in entries:
            if isinstance(value, str):
                yield (key, name), value
