"""Several applications in one gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pipegraft.gate.ports import Resource, State, Status, Verdict, VerdictRule
from pipegraft.gate.verdicts.conditions import worst

__all__ = ["several"]


def several(
    rule: VerdictRule, called: Callable[[Status], str]
) -> Callable[[Status, Callable[[str], bool]], Verdict]:
    """The rule for several applications, from the rule for one: the worst of them counts.

    Arguments:
        rule: reads one entry of ``applications``.
        called: the name of what an entry is about.

    Returns:
        A rule over ``applications``, a list of statuses, and ``expected``, how many there must be.
    """

    def verdict(status: Status, at_target: Callable[[str], bool]) -> Verdict:
        entries: Sequence[Mapping[str, object]] = status["applications"]
        found = [_named(rule(entry, at_target), called(entry), len(entries) > 1) for entry in entries]
        expected = status.get("expected", 1)
        if len(found) < expected:
            found.append(Verdict(State.PROGRESSING, f"{len(found)} of {expected} applications are there"))
        good = found[0].reason if len(found) == 1 else f"{len(found)} applications are live and healthy"
        return worst(found, good)

    return verdict


def _named(found: Verdict, name: str, is_one_of_many: bool) -> Verdict:
    """A verdict that says whose it is; of many only what is not well is worth a line beside that."""
    mine = Resource(name, found.state, found.reason)
    if not is_one_of_many:
        return replace(found, resources=(mine, *found.resources))
    unwell = tuple(row for row in found.resources if row.state is not State.SUCCEEDED)
    return replace(found, reason=f"{name}: {found.reason}", resources=(mine, *unwell))
