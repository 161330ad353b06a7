"""One component moved closer to the others or further away: `in-process` → `ipc` → `rpc`, and back.

The step is one word, `intimacy`. Keys that have no meaning where it goes are taken out of every file that
has them, and what it needs there is asked for instead of guessed. Addresses in the texts of its callers
follow it: inside a pod it is ``127.0.0.1:$(PIPEGRAFT_PORT_NAME)``, the port it listens on wherever it runs;
outside, ``NAME:NUMBER``, its Service.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipegraft.appspec.environment_file import environment_path
from pipegraft.appspec.pod_checks import HOST_ONLY, PROCESS_ONLY
from pipegraft.appspec.pods import Member, Pod, port_variable
from pipegraft.appspec.spec import Resolved
from pipegraft.core.delivery import Intimacy
from pipegraft.core.errors import Place, UsageError
from pipegraft.core.model import kebab
from pipegraft.core.reading import load_marked
from pipegraft.text.yaml import Edit, Put, Remove, apply, has_path

__all__ = ["Move", "Moved", "address_of", "callers_of", "check_before", "followed", "move", "notes_on"]

_APP = "app.yaml"
_COMPONENT_OF_POD = ("mount", "attach", "host", "sidecar")


@dataclass(frozen=True, slots=True)
class Move:
    """What is asked for.

    Arguments:
        component: its name.
        to: where it goes.
        ports: names and numbers of ports to declare.
        host: for `ipc` and `in-process`: the component whose pod it joins.
        mount: for `in-process`: where it appears.
        worker: whether it is meant to have no ports.
        address: variable of its host that shall say where it is.
    """

    component: str
    to: Intimacy
    ports: Mapping[str, int] = field(default_factory=dict)
    host: str | None = None
    mount: str | None = None
    worker: bool = False
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """The edit, not written yet.

    Arguments:
        texts: file → its new text, for those that change.
        removed: ``FILE: key`` of each key that is taken out.
    """

    texts: Mapping[str, str]
    removed: tuple[str, ...]


def check_before(resolved: Resolved, asked: Move) -> Member:
    """The component as it is in an environment before the step.

    Raises:
        UsageError: it cannot make this step: a gray release runs, it shares what only a pod shares, or the
            entrance of the pod goes via it.
    """
    pod, member = _find(resolved, asked.component)
    if resolved.gray:
        raise UsageError(
            f"a gray release runs in '{resolved.environment}': both versions must live in the same places",
            fix="promote it or take it back first",
        )
    others = [one for one in pod.processes if one.name != member.name]
    shared = [name for name in member.volumes if any(name in one.volumes for one in others)]
    if asked.to == "rpc" and shared:
        raise UsageError(
            f"'{member.name}' shares the volume '{shared[0]}' with its pod; a workload of its own cannot",
            fix=f"hand over by requests what '{shared[0]}' holds, and take it out of '{member.name}'",
        )
    _check_entrance(pod, member, asked)
    guests = [one.name for one in pod.guests] if member is pod.main else []
    if asked.to != "rpc" and guests:
        raise UsageError(
            f"'{', '.join(guests)}' live in the pod of '{member.name}': it cannot become a guest itself",
            fix=f"move them first: write another 'host', or 'pipegraft split {guests[0]} --to rpc'",
        )
    return member


def _check_entrance(pod: Pod, member: Member, asked: Move) -> None:
    """Refuse to take the component away that the entrance of its pod goes via."""
    entrance = pod.main.spec.entrance
    stays = asked.to == "ipc" and asked.host in {None, pod.name}
    if member is pod.main or stays or entrance is None or entrance.via != member.name:
        return
    others = [one.name for one in pod.processes if one.ports and one.name != member.name]
    loss = "lose its ports" if asked.to == "in-process" else "leave the pod"
    raise UsageError(
        f"the entrance of '{pod.name}' goes via '{member.name}', which would {loss}",
        fix=f"write 'via' and 'port' of one that stays in the entrance first; with ports: {', '.join(others)}"
        if others
        else f"first declare 'ports' of '{pod.name}' and take 'via' out of its entrance",
    )


def callers_of(resolved: Resolved, asked: Move) -> tuple[str, ...]:
    """Components whose address of it changes, before the step: those of the pod that it leaves or joins.

    Returns:
        The pod's main component first; nothing if it is not clear which pod it joins.
    """
    own, _member = _find(resolved, asked.component)
    pods = [own] if asked.to == "rpc" else [pod for pod in resolved.pods if pod.name != asked.component]
    if asked.to != "rpc" and asked.host:
        pods = [pod for pod in pods if pod.name == asked.host]
    if len(pods) != 1:
        return ()
    return tuple(one.name for one in pods[0].processes if one.name != asked.component)


def move(
    app: str, environments: Mapping[str, str], member: Member, callers: Sequence[str], asked: Move
) -> Moved:
    """Make the edit in all files.

    Arguments:
        app: text of ``app.yaml``.
        environments: name → text of its file.
        member: the component before the step, see `check_before`.
        callers: see `callers_of`.

    Raises:
        UsageError: something it needs where it goes is not declared.
        EditRefused: a file cannot be edited exactly.
    """
    _check_needs(member, asked)
    unfit = _unfit(asked)
    ports = {**member.ports, **asked.ports}
    files = {_APP: app, **{environment_path(None, name): text for name, text in environments.items()}}
    texts: dict[str, str] = {}
    removed: list[str] = []
    for file, text in files.items():
        base = ("components", asked.component)
        gone = [key for key in unfit if has_path(text, (*base, key), file=file)]
        edits: list[Edit] = [Remove((*base, key)) for key in gone]
        if file == _APP:
            edits = [*edits, *_puts(asked), *_told_address(ports, callers, asked)]
        elif has_path(text, (*base, "intimacy"), file=file):
            edits.append(Put((*base, "intimacy"), asked.to))
        components = load_marked(text, file).data.get("components") or {}
        edits += followed(components, member, ports, asked.to, callers)
        new = apply(text, edits, file=file)
        if new != text:
            texts[file] = new
        removed += [f"{file}: {key}" for key in gone]
    return Moved(texts, tuple(removed))


def _told_address(ports: Mapping[str, int], callers: Sequence[str], asked: Move) -> Iterator[Edit]:
    if asked.address is None:
        return
    if asked.to == "in-process" or not ports or not callers:
        raise UsageError(
            f"'{asked.component}' has no address that '{asked.address}' could hold",
            fix="give --address with --to ipc or rpc, --port, and --host where several could be",
        )
    address = address_of(asked.component, ports, asked.to)
    yield Put(("components", callers[0], "env", asked.address), address)


def _check_needs(member: Member, asked: Move) -> None:
    if asked.to == "in-process":
        if not (asked.mount or member.spec.mount):
            raise UsageError(
                f"'{member.name}' has no 'mount': where would it appear in its host?", fix="add --mount /PATH"
            )
        return
    if not (member.ports or asked.ports or asked.worker):
        raise UsageError(
            f"'{member.name}' has no ports: nobody could reach it as {asked.to}",
            fix="add --port NAME=NUMBER, what it listens on, or --worker if it takes no requests",
        )


def _unfit(asked: Move) -> list[str]:
    """Keys without a meaning where the component goes."""
    if asked.to == "rpc":
        names: tuple[str, ...] = _COMPONENT_OF_POD
    elif asked.to == "ipc":
        names = ("mount", "attach", *HOST_ONLY)
    else:
        names = ("sidecar", *HOST_ONLY, *PROCESS_ONLY)
    return [kebab(name) for name in names]


def _puts(asked: Move) -> Iterator[Edit]:
    base = ("components", asked.component)
    yield Put((*base, "intimacy"), asked.to)
    if asked.to != "rpc" and asked.host:
        yield Put((*base, "host"), asked.host)
    if asked.to == "in-process" and asked.mount:
        yield Put((*base, "mount"), asked.mount)
    for name, number in asked.ports.items():
        yield Put((*base, "ports", name), number)


def notes_on(before: Resolved, after: Resolved, component: str) -> Iterator[str]:
    """What the step means for the component and for those who call it, beyond what is rendered."""
    old_pod, old = _find(before, component)
    new_pod, new = _find(after, component)
    if new.intimacy == "rpc":
        yield from _notes_on_callers(old_pod, new, after)
    for name, value in new_pod.variables().items():
        if new.intimacy != "rpc" and name not in old_pod.variables():
            yield f"every container of '{new_pod.name}' gets {name}={value}"
    if new.intimacy != "in-process":
        yield from _notes_on_needs(new)
    if old.spec.command and old.intimacy == "in-process":
        yield "its 'command' was to copy it into the pod, and is now what it runs"


def _notes_on_callers(old_pod: Pod, new: Member, after: Resolved) -> Iterator[str]:
    for name, number in new.ports.items():
        yield f"callers reach it at {new.name}:{number} ({name}), its Service; before, inside of the pod"
    callers = ", ".join(member.name for member in old_pod.members if member.name != new.name)
    left = next((pod.variables() for pod in after.pods if pod.name == old_pod.name), {})
    lost = sorted(set(old_pod.variables()) - set(left))
    if lost and callers:
        yield f"{callers} no longer get {', '.join(lost)}: --address VARIABLE gives the address"


def _notes_on_needs(new: Member) -> Iterator[str]:
    if new.ports and new.spec.readiness is None:
        yield "it is ready when its first port takes connections; add 'readiness' to ask it"
    if new.spec.cpu is None and new.spec.memory is None:
        yield "nothing is kept for it; add 'cpu' and 'memory'"
    if new.intimacy == "rpc" and new.spec.replicas is None and new.spec.autoscaling is None:
        yield "it has one instance; add 'replicas' or 'autoscaling'"


def _find(resolved: Resolved, component: str) -> tuple[Pod, Member]:
    for pod in resolved.pods:
        for member in pod.members:
            if member.name == component:
                return pod, member
    known = ", ".join(member.name for pod in resolved.pods for member in pod.members)
    raise UsageError(
        f"there is no component '{component}'; there are: {known}", place=Place(_APP), fix="name one of them"
    )


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
    return re.compile(rf"(?<![\w.-]){re.escape(member.name)}:{member.service_port(port)}(?!\d)")


def _texts(component: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not isinstance(component, dict):
        return
    for key in ("env", "command", "args"):
        held = component.get(key)
        entries = held.items() if isinstance(held, dict) else enumerate(held or ())
        for name, value in entries:
            if isinstance(value, str):
                yield (key, name), value
