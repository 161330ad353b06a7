"""What each runtime of the embedded engine makes of each key of the app spec.

Every key is honoured, or noted (it means nothing there, and the status says so), or refused: a spec that
has it is refused by name. None is ever skipped silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pipegraft.appspec.pods import Member
from pipegraft.core.model import Model, keys_of

__all__ = ["DOCKER", "PROCESS", "Answer", "Support", "Treatment", "declared_keys"]


class Treatment(StrEnum):
    """What happens to a key."""

    HONOURED = "honoured"
    NOTED = "noted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a runtime does about a key, and why."""

    treatment: Treatment
    why: str = ""


@dataclass(frozen=True, slots=True)
class Support:
    """One runtime.

    Arguments:
        keys: key → answer; keys of blocks are joined by dots, a value that is answered by itself is
            written ``key=value``, and names that users give are left out.
    """

    runtime: str
    keys: Mapping[str, Answer]

    def answer(self, key: str) -> Answer | None:
        """For a key, or for the block it belongs to; None if nothing is said of it."""
        entry = self.entry(key)
        return self.keys[entry] if entry else None

    def entry(self, key: str) -> str:
        """The key or block whose answer is that of a key; empty if nothing is said of it."""
        while key and key not in self.keys:
            cut = max(key.rfind("."), key.rfind("="))
            key = key[:cut] if cut > 0 else ""
        return key


def declared_keys(member: Member) -> Iterator[str]:
    """Keys that a component declares, as `Support.keys` names them."""
    for key in _keys(member.spec, ""):
        if key.partition("=")[0] != "attach":
            yield key
    if member.intimacy == "in-process":
        yield f"attach={member.attach}"


def _keys(block: Model, prefix: str) -> Iterator[str]:
    for name in block.model_fields_set:
        value = getattr(block, name)
        key = f"{prefix}{keys_of(type(block))[name]}"
        if isinstance(value, Model):
            yield from _keys(value, f"{key}.")
            if not value.model_fields_set:
                yield key
        elif isinstance(value, Mapping) and any(isinstance(entry, Model) for entry in value.values()):
            for entry in value.values():
                if isinstance(entry, Model):
                    yield from _keys(entry, f"{key}.")
        elif value is not None:
            yield f"{key}={value}" if isinstance(value, str) else key


_HONOURED = Answer(Treatment.HONOURED)


def _noted(why: str) -> Answer:
    return Answer(Treatment.NOTED, why)


def _refused(why: str) -> Answer:
    return Answer(Treatment.REFUSED, why)


_BOTH: Mapping[str, Answer] = {
    **dict.fromkeys(
        ("intimacy", "host", "mount", "image", "command", "args", "ports", "env", "env-from", "replicas"),
        _HONOURED,
    ),
    **dict.fromkeys(("startup", "readiness", "liveness", "grace", "update", "entrance"), _HONOURED),
    **dict.fromkeys(
        (f"{probe}.{how}" for probe in ("startup", "readiness", "liveness") for how in ("grpc", "exec")),
        _refused("the engine of this machine asks by HTTP or by connecting; write 'path', or 'port' alone"),
    ),
    "service-ports": _refused("others reach a port by its own number here; let 'ports' say the number"),
    "attach=image-volume": _HONOURED,
    "sidecar=container": _HONOURED,
    "sidecar=sidecar-set": _refused("OpenKruise adds it to pods, and there are none"),
    "disruption": _noted("no machine is drained while the engine runs on it"),
    "spread": _noted("there is one machine"),
    "namespace": _noted("only clusters have them"),
    "pull-secrets": _noted("images are fetched with this machine's own credentials"),
    "entrance.hosts": _noted("the entrance has a port of its own and answers every host"),
    "entrance.path": _noted("the entrance has a port of its own and answers every path"),
    **dict.fromkeys(
        ("entrance.gateway", "entrance.router", "entrance.ingress-class"),
        _noted("the embedded proxy takes its place"),
    ),
    "entrance.affinity": _refused("the embedded proxy does not remember its clients"),
    "entrance.mirror": _refused("the embedded proxy sends a request to one version"),
    "autoscaling": _refused("the number of instances is the declared one; set 'replicas'"),
    "service-account": _refused("there is no Kubernetes API to be known to"),
    "job": _refused("only what runs until it is stopped is run"),
}

PROCESS = Support(
    "process",
    {
        **_BOTH,
        "attach=init-container": _refused("a process cannot fill another one's folder at a path of its own"),
        "sidecar=native": _refused("the processes of an instance start together"),
        "volumes": _refused("a process sees the folders of this machine, not its own"),
        **dict.fromkeys(("cpu", "memory", "limits"), _noted("a process has no limits")),
        "security": _noted("a process has the rights of whoever started the engine"),
        "annotations": _noted("a process has none"),
        "resources": _HONOURED,
    },
)

DOCKER = Support(
    "docker",
    {
        **_BOTH,
        "attach=init-container": _HONOURED,
        "sidecar=native": _HONOURED,
        "volumes": _HONOURED,
        "volumes.persistent.size": _noted("a volume is as large as the disk"),
        "volumes.persistent.class": _noted("a volume is a folder of this machine"),
        "volumes.persistent.access": _noted("every instance is on the same machine"),
        "volumes.ephemeral.limit": _noted("only a folder in memory is held to its limit"),
        **dict.fromkeys(("cpu", "memory", "limits", "security", "annotations"), _HONOURED),
        "resources": _refused("a container cannot reach a server that listens on this machine alone"),
        "security.files-group": _refused("files of volumes belong to whoever writes them"),
    },
)
