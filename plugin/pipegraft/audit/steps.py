"""The link of the gray steps: each sets its weight, none is left out, each ended with evidence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pipegraft.audit.chain import Check, Link, broken, holds, unproven
from pipegraft.audit.release_commits import Moment, Story
from pipegraft.audit.release_scan import Held
from pipegraft.gray.history import OBSERVED, from_trailer

__all__ = ["gray_link", "weight_of"]

_STEP = re.compile(r"(?:(\d+)/(\d+) )?weight=(\d+)")


def weight_of(step: str) -> int | None:
    """The weight that a step sets, None for one that sets none."""
    found = _STEP.fullmatch(step)
    return int(found[3]) if found else None


def gray_link(story: Story) -> Link | None:
    """The steps of the gray release, None if there was none."""
    if story.moments[0].step != "prepare":
        return None
    facts: list[tuple[str, str]] = []
    checks: list[Check] = []
    prepared = (story.moments[0].held or Held()).gray
    weights: list[int] = []
    places: list[tuple[int, int]] = []
    for one in story.moments[1:]:
        step = _STEP.fullmatch(one.step)
        facts.append((one.step or "by hand", str(one)))
        if step is None:
            continue
        weights.append(int(step[3]))
        if step[1]:
            places.append((int(step[1]), int(step[2])))
        checks += _step_checks(one, int(step[3]), prepared)
    checks += _order_checks(story, weights, places)
    return Link("gray", tuple(facts), tuple(checks))


def _step_checks(one: Moment, weight: int, prepared: Mapping[str, str]) -> Iterator[Check]:
    held = one.held or Held()
    if held.weight != weight:
        yield broken(f"step '{one.step}' sets its weight", f"the file says {held.weight}%")
    if dict(held.gray) != dict(prepared):
        yield broken(f"step '{one.step}' releases what was prepared", "the gray images differ from those")


def _order_checks(story: Story, weights: list[int], places: list[tuple[int, int]]) -> Iterator[Check]:
    if weights != sorted(set(weights)):
        yield broken("the weights rise", f"they are {', '.join(map(str, weights))}")
    elif weights:
        yield holds("the weights rise", ", ".join(f"{weight}%" for weight in weights))
    promoted = any(one.step == "promote" for one in story.moments)
    whole = places[0][1] if places else 0
    seen = [place for place, _ in places]
    wanted = list(range(1, (whole if promoted else len(seen)) + 1))
    if places and seen != wanted:
        missing = [place for place in wanted if place not in seen]
        yield broken("no step was left out", f"{', '.join(f'{one}/{whole}' for one in missing)} is missing")
    elif promoted and not weights:
        yield broken("a promotion follows steps", "there are none")
    elif places:
        yield holds("no step was left out", f"{len(seen)} of {whole}")
    if promoted:
        yield from _evidence_checks(story)


def _evidence_checks(story: Story) -> Iterator[Check]:
    """Whether the commits that ended a step carry what the judge saw."""
    enders = [one for one in story.moments if _ends_a_step(one)]
    blind = [one for one in enders if not from_trailer(one.version.trailers.get(OBSERVED, ""))]
    claim = "each step ended with what was observed"
    if blind:
        which = ", ".join(f"{one.id[:12]} ({one.step})" for one in blind)
        yield unproven(claim, f"nothing was observed before {which}: somebody skipped or approved")
    elif enders:
        yield holds(claim)


def _ends_a_step(one: Moment) -> bool:
    """The first weight ends no step: nothing had requests before."""
    step = _STEP.fullmatch(one.step)
    return one.step == "promote" or (step is not None and step[1] not in (None, "1"))
