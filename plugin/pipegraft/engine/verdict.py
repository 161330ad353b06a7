"""Verdict on what `pipegraft engine` reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipegraft.gate.ports import State, Status, Verdict

__all__ = ["verdict"]


def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
    """Succeeded once the target or a descendant is live and healthy; failed once it is known not to be.

    Arguments:
        status: see `pipegraft.engine.usecases.status.describe`.
        at_target: whether a revision is the target or a descendant of it.
    """
    revision = status["revision"]
    live, desired, observed = revision["live"], revision["desired"], revision["observed"]
    evidence = _evidence(status)
    if live and live == desired and status["health"] == "healthy" and at_target(live):
        return Verdict(State.SUCCEEDED, f"{live[:12]} is live and healthy", evidence)
    if desired and at_target(desired):
        if status["health"] == "degraded":
            return Verdict(State.FAILED, f"{desired[:12]} is degraded: {_worst(status)}", evidence)
        return Verdict(State.PROGRESSING, status["message"], evidence)
    if status["problems"] and at_target(observed):
        problems = tuple(status["problems"])
        return Verdict(State.FAILED, f"the spec at {observed[:12]} is refused: {problems[0]}", problems)
    trouble = status["trouble"]
    if trouble:
        return Verdict(State.PROGRESSING, trouble[0], tuple(trouble))
    seen = observed[:12] or "nothing"
    return Verdict(State.PROGRESSING, f"the engine has not seen the target yet; it has seen {seen}")


def _bad(status: Status) -> list[Mapping[str, Any]]:
    return [one for one in status["resources"] if one["health"] != "healthy"]


def _worst(status: Status) -> str:
    degraded = next(one for one in status["resources"] if one["health"] == "degraded")
    return f"{degraded['kind']} {degraded['name']} {degraded['message']}"


def _evidence(status: Status) -> tuple[str, ...]:
    lines = []
    for resource in _bad(status):
        lines.append(f"{resource['kind']} {resource['name']}: {resource['message']}")
        lines += [f"    {line}" for line in resource["evidence"]]
    return (*lines, *status["trouble"])
