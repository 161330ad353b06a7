"""The link of the images: pinned, in the registry, and built from the release's source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipegraft.audit.chain import Check, Link, broken, holds, unproven, unreachable
from pipegraft.audit.release_commits import Story
from pipegraft.images.attestations import Provenance

__all__ = ["ImageFacts", "IsAncestor", "image_link"]

IsAncestor = Callable[[str, str], bool | None]
"""Older and newer commit of the source repository → whether one leads to the other; None: not known here."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a registry says of an image.

    Arguments:
        digest: the image's, empty if the reference is not pinned by one.
        exists: whether the registry holds it, None if it was not asked.
        damage: why its manifest is not what the digest says; empty if it is.
        provenance: the statements that refer to it.
        problem: why the registry could not be asked; empty if it could.
    """

    digest: str
    exists: bool | None = None
    damage: str = ""
    provenance: tuple[Provenance, ...] = ()
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
    yield _origin(component, facts, story, is_ancestor)


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
            claim, _built_by(next(one for one in about if story.source in one.commits)), "provenance"
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


def _built_by(one: Provenance) -> str:
    builder = one.builder.removeprefix("urn:pipegraft:builder:")
    return ", ".join(part for part in (builder, one.invocation) if part)
