"""What `pipegraft doctor` looks at: one examination a module, beside the adapter that knows the system."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ParamSpec, TypeVar

from pipegraft.core.clock import Clock
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import PluginError
from pipegraft.core.stage import Connections, Port, Requirement

__all__ = ["Diagnosis", "Examination", "Health", "Patient", "addresses_of"]


class Health(StrEnum):
    """What came of a check."""

    GOOD = "good"
    NOTE = "worth knowing"
    UNREACHABLE = "not reachable"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One check.

    Arguments:
        subject: what was checked, in a few words.
        health: what came of it.
        found: what is there, one sentence.
        mend: what to do, as an imperative clause; empty where nothing is to be done.
    """

    subject: str
    health: Health
    found: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What an examination may look at.

    Arguments:
        delivery: the delivery as declared.
        root: the source repository's folder.
        connections: opens the systems that it names.
        environment: the process's variables.
        requirements: what the stages of the plan need of the runner.
        clock: the time.
    """

    delivery: Delivery
    root: Path
    connections: Connections
    environment: Mapping[str, str]
    requirements: Sequence[Requirement]
    clock: Clock

    def open(self, port: Port[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What is behind a port, as a stage opens it."""
        return self.connections.open(port, *args, **kwargs)


P = ParamSpec("P")
T = TypeVar("T")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Examination:
    """Checks of one kind of system. Nothing is written anywhere.

    Arguments:
        name: kebab-case, unique over all plugins.
        summary: one line: what is checked.
        run: the checks of one subject; what it raises is a diagnosis too.
        subjects: what there is to look at, each looked at beside the others: environments, for example.
        limit: seconds that one subject may take.
    """

    name: str
    summary: str
    run: Callable[[Patient, str], Iterable[Diagnosis]]
    subjects: Callable[[Patient], Sequence[str]] = field(default=lambda _patient: ("",))
    limit: float = 20.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise PluginError(f"expected a kebab-case name of an examination, found {self.name!r}")
        if self.limit <= 0:
            raise PluginError(f"examination '{self.name}': expected a limit in seconds, found {self.limit:g}")


def addresses_of(delivery: Delivery) -> Sequence[str]:
    """Roots of the HTTP servers that a delivery names: ``https://host``."""
    named = [delivery.iac.repository]
    for environment in delivery.environments.values():
        named += [str(value) for value in environment.gate.options.values()]
        for metric in environment.gray.metrics if environment.gray else ():
            named += [str(value) for value in metric.options.values()]
    found = (re.match(r"(https?://)(?:[^@/\s]*@)?([^/\s?#]+)", text) for text in named)
    return tuple(dict.fromkeys(f"{one[1]}{one[2]}" for one in found if one))
