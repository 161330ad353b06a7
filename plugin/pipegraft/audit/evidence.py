"""The links that need evidence from elsewhere: origin of images, verdict of the gate, what gray steps saw."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipegraft.audit.chain import Check, Link, broken, holds, unproven, unreachable
from pipegraft.audit.release_commits import Moment, Story
from pipegraft.audit.release_scan import Held
from pipegraft.core.release import GateResult
from pipegraft.gray.history import OBSERVED, from_trailer
from pipegraft.iac.commits import GATE
from pipegraft.images.signatures import Provenance

__all__ = ["ImageFacts", "IsAncestor", "gate_link", "gray_link", "image_link"]

_STEP = re.compile(r"(?:(\d+)/(\d+) )?weight=(\d+)")

IsAncestor = Callable[[str, str], bool | None]
"""Older and newer commit of the source repository → whether one leads to the other; None: not known here."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a registry says of an image.

    Arguments:
        digest: the image's, empty if the reference is not pinned by one.
        exists: whether the registry holds it, None if it was not asked.
        damage: why its manifest is not what the digest says; empty if it is.
        provenance: the statements that refer to it; where signers are asked for, those they signed.
        signers: who signed it, of those that are asked for; None if nobody is.
        refusals: why other signatures do not count.
        problem: why the registry could not be asked; empty if it could.
    """

    digest: str
    exists: bool | None = None
    damage: str = ""
    provenance: tuple[Provenance, ...] = ()
    signers: tuple[str, ...] | None = None
    refusals: tuple[str, ...] = ()
    problem: str = ""


def image_link(story: Story, facts: Mapping[str, ImageFacts], is_ancestor: IsAncestor) -> Link:
    """The link.

    Arguments:
        facts: component → what its registry says.
    """
    held = story.moments[0].held
    images = held.images_for(story.release) if held and story.release is not None else {}
    images = images or (held.images if held else {})
    checks: list[Check] = []
    for component, reference in images.items():
        checks += _image_checks(component, reference, facts[component], story, is_ancestor)
    if not images:
        checks.append(broken("the commit names the release's images", "it names none"))
    shown = tuple((component, reference) for component, reference in images.items())
    return Link("images", shown, tuple(checks))


def _image_checks(
    component: str, reference: str, facts: ImageFacts, story: Story, is_ancestor: IsAncestor
) -> Iterator[Check]:
    if not facts.digest:
        yield broken(f"{component}: the image is pinned by digest", f"the commit names {reference}")
        return
    claim = f"{component}: the registry holds the image"
    if facts.problem:
        yield unreachable(claim, facts.problem)
        return
    if facts.exists is None:
        yield unproven(claim, "the registry was not asked")
        return
    if not facts.exists:
        yield broken(claim, f"there is no {facts.digest} (any more)")
        return
    if facts.damage:
        yield broken(claim, f"other content under its digest: {facts.damage}")
        return
    yield holds(claim)
    if facts.signers is not None:
        yield _signed(component, facts)
    yield _origin(component, facts, story, is_ancestor)


def _signed(component: str, facts: ImageFacts) -> Check:
    claim = f"{component}: the image is signed by somebody whom delivery.yaml asks for"
    if facts.signers:
        return holds(claim, ", ".join(facts.signers), "signature")
    return unproven(claim, "; ".join(facts.refusals) or "no signature", "signature")


def _origin(component: str, facts: ImageFacts, story: Story, is_ancestor: IsAncestor) -> Check:
    """Whether a statement says that this very image was built from the release's source or what led to it."""
    claim = f"{component}: provenance says it was built from the release's source"
    if not facts.provenance:
        return unproven(claim, "no provenance refers to it", "provenance")
    about = [one for one in facts.provenance if facts.digest in one.subjects]
    if not about:
        subjects = ", ".join(one for each in facts.provenance for one in each.subjects)
        return broken(claim, f"the provenance speaks of {subjects or 'nothing'}", "provenance")
    commits = [commit for one in about for commit in one.commits]
    if story.source in commits:
        return holds(
            claim, _built_by(next(one for one in about if story.source in one.commits), facts), "provenance"
        )
    reused = [commit for commit in commits if commit in story.earlier.get(facts.digest, ())]
    if reused:
        return holds(claim, f"unchanged since an earlier release, built from {reused[0][:12]}", "provenance")
    answers = {commit: is_ancestor(commit, story.source) for commit in commits}
    older = [commit for commit, answer in answers.items() if answer]
    if older:
        return holds(
            claim, f"unchanged since {older[0][:12]}, which leads to {story.source[:12]}", "provenance"
        )
    said = ", ".join(commit[:12] for commit in commits) or "no commit"
    if None in answers.values():
        return unproven(
            claim,
            f"it was built from {said}; whether that leads to {story.source[:12]} "
            "is not known without the source repository",
            "provenance",
        )
    return broken(
        claim, f"it was built from {said}, which does not lead to {story.source[:12] or 'it'}", "provenance"
    )


def _built_by(one: Provenance, facts: ImageFacts) -> str:
    """Who built it; a statement that nobody signed is only claimed, by whoever may push to the registry."""
    builder = one.builder.removeprefix("urn:pipegraft:builder:")
    told = ", ".join(part for part in (builder, one.invocation) if part)
    return told if facts.signers is not None else f"{told} (claimed, not signed)".strip()


def gate_link(story: Story, record: GateResult | None) -> Link:
    """What the gate said, from the commit that came after it, else from a release record.

    Arguments:
        record: the gate's part of the release record of this very release, None if there is none.
    """
    claim = "the gate found the revision live and healthy"
    told = [(one, one.version.trailers[GATE]) for one in story.moments if GATE in one.version.trailers]
    if told:
        after, text = told[0]
        verdict, _, rest = text.partition(" ")
        revision = rest.partition(" ")[0]
        facts = (("verdict", text), ("recorded in", after.id))
        if verdict != "succeeded":
            return Link("gate", facts, (broken(claim, f"the gate said '{verdict}'", "gate"),))
        about = story.moments[0].id
        if not about.startswith(revision):
            return Link(
                "gate", facts, (broken(claim, f"it speaks of {revision}, not of {about[:12]}", "gate"),)
            )
        return Link("gate", facts, (holds(claim, kind="gate"),))
    if record is not None:
        facts = (
            ("verdict", f"{record.verdict} after {record.seconds:g} s: {record.evidence}"),
            ("recorded in", "the release record, not in git"),
        )
        about = story.moments[0].id
        if record.verdict != "succeeded" or record.revision != about:
            said = f"it says '{record.verdict}' of {record.revision[:12]}, and the commit is {about[:12]}"
            return Link("gate", facts, (broken(claim, said, "gate"),))
        return Link("gate", facts, (holds(claim, kind="gate"),))
    weighted = next((one for one in story.moments if _weight_of(one.step) is not None), None)
    hint = (
        "not recorded; a gray step followed, and gray-release takes none before the revision is healthy"
        if weighted
        else "not recorded in git; the release record of the pipeline has it (--record FILE)"
    )
    return Link("gate", (), (unproven(claim, hint, "gate"),))


def _weight_of(step: str) -> int | None:
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
    taken_over = any(one.step == "take-over" for one in story.moments)
    enders = [one for one in story.moments if _ends_a_step(one, "take-over" if taken_over else "promote")]
    blind = [one for one in enders if not from_trailer(one.version.trailers.get(OBSERVED, ""))]
    claim = "each step ended with what was observed"
    if blind:
        which = ", ".join(f"{one.id[:12]} ({one.step})" for one in blind)
        yield unproven(claim, f"nothing was observed before {which}: somebody skipped or approved")
    elif enders:
        yield holds(claim)


def _ends_a_step(one: Moment, last: str) -> bool:
    """The first weight ends no step: nothing had requests before; `last` is what ends the last one."""
    step = _STEP.fullmatch(one.step)
    return one.step == last or (step is not None and step[1] not in (None, "1"))
