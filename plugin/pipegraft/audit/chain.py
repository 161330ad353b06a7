"""The links of a release's chain, each with what was checked, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Chain", "Check", "Link", "State", "broken", "holds", "unproven", "unreachable"]


class State(StrEnum):
    """What a check came to."""

    HOLDS = "holds"
    UNPROVEN = "not proven"
    UNREACHABLE = "not reachable"
    BROKEN = "broken"


_ORDER = (State.HOLDS, State.UNPROVEN, State.UNREACHABLE, State.BROKEN)


@dataclass(frozen=True, slots=True)
class Check:
    """One claim.

    Arguments:
        state: what came of it.
        claim: what should be true, one clause.
        found: what is there instead, or what proves it; may be empty.
        kind: ``signature``, ``provenance`` or ``gate`` for what a policy may require; else empty.
    """

    state: State
    claim: str
    found: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """One link.

    Arguments:
        name: ``source``, ``images``, ``iac``, ``gate``, ``gray`` or ``outcome``.
        facts: what is told about it: name and value.
        checks: what was checked.
    """

    name: str
    facts: tuple[tuple[str, str], ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def state(self) -> State:
        """The worst of its checks."""
        return max((check.state for check in self.checks), key=_ORDER.index, default=State.HOLDS)


@dataclass(frozen=True, slots=True)
class Chain:
    """A release from its source commit to its outcome.

    Arguments:
        app: name of the application.
        environment: name of the environment.
        release: number, None if nobody said.
        outcome: ``serves``, ``replaced``, ``taken back``, ``under way``, ``superseded`` or ``unknown``.
        links: in the order of the delivery.
    """

    app: str
    environment: str
    release: int | None
    outcome: str
    links: tuple[Link, ...] = field(default=())

    @property
    def state(self) -> State:
        """The worst of its links."""
        return max((link.state for link in self.links), key=_ORDER.index, default=State.HOLDS)

    def requiring(self, kinds: Sequence[str]) -> Chain:
        """The same, with what is required and not proven taken for broken."""
        links = tuple(
            Link(link.name, link.facts, tuple(_required(check, kinds) for check in link.checks))
            for link in self.links
        )
        return Chain(self.app, self.environment, self.release, self.outcome, links)

    def to_json(self) -> Mapping[str, Any]:
        """Plain values."""
        return {
            "app": self.app,
            "environment": self.environment,
            "release": self.release,
            "outcome": self.outcome,
            "state": str(self.state),
            "links": [
                {
                    "name": link.name,
                    "state": str(link.state),
                    "facts": [{"name": name, "value": value} for name, value in link.facts],
                    "checks": [
                        {"state": str(one.state), "claim": one.claim, "found": one.found, "kind": one.kind}
                        for one in link.checks
                    ],
                }
                for link in self.links
            ],
        }


def holds(claim: str, found: str = "", kind: str = "") -> Check:
    """A claim that is true."""
    return Check(State.HOLDS, claim, found, kind)


def broken(claim: str, found: str, kind: str = "") -> Check:
    """A claim that is false."""
    return Check(State.BROKEN, claim, found, kind)


def unproven(claim: str, found: str, kind: str = "") -> Check:
    """A claim that nothing here proves."""
    return Check(State.UNPROVEN, claim, found, kind)


def unreachable(claim: str, found: str) -> Check:
    """A claim about a system that did not answer."""
    return Check(State.UNREACHABLE, claim, found)


def _required(check: Check, kinds: Sequence[str]) -> Check:
    if check.state is State.UNPROVEN and check.kind in kinds:
        return Check(State.BROKEN, check.claim, check.found, check.kind)
    return check
