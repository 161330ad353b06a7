"""The chain of a release: its links, each with what was checked, what was expected and what was found.

The links that git alone tells of stand here: source, IaC commit and outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipegraft.audit.release_commits import BEGINNINGS, Moment, Story, show_time
from pipegraft.audit.release_scan import Held
from pipegraft.iac.archive import Signature, Signed

__all__ = [
    "Chain",
    "Check",
    "Link",
    "SourceFacts",
    "State",
    "broken",
    "holds",
    "iac_link",
    "outcome_link",
    "outcome_of",
    "source_link",
    "unproven",
    "unreachable",
]

_WANTED = (
    "Pipegraft-App",
    "Pipegraft-Environment",
    "Pipegraft-Release",
    "Pipegraft-Source-Commit",
    "Pipegraft-Step",
)
_FORGED = {Signed.BAD, Signed.REVOKED}


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


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What the source repository says of the release's commit.

    Arguments:
        asked: whether there is a source repository here.
        subject, author: of the commit; empty if it is not there.
        time: when it was made, seconds since the epoch; None if it is not there.
        on_branch: whether the branch that is checked out contains it; None if a shallow clone does not tell.
        signature: None if it is not there.
    """

    asked: bool = False
    subject: str = ""
    author: str = ""
    time: float | None = None
    on_branch: bool | None = False
    signature: Signature | None = None


def source_link(story: Story, facts: SourceFacts) -> Link:
    """The source commit: named by everybody alike, and known to the source repository."""
    named = {one.version.trailers.get("Pipegraft-Source-Commit", "") for one in story.moments} - {""}
    marks = {
        mark.source
        for one in story.moments
        for mark in (one.held or Held()).marks
        if mark.number == story.release
    }
    checks: list[Check] = []
    claim = "every commit of the release names the same source commit"
    if len(named | marks) > 1:
        checks.append(broken(claim, ", ".join(sorted(one[:12] for one in named | marks))))
    elif named | marks:
        checks.append(holds(claim))
    else:
        checks.append(broken(claim, "none is named"))
    claim = "the source repository has it on its branch"
    if not facts.asked:
        checks.append(unproven(claim, "the source repository is not here; name it with --source"))
    elif facts.time is None:
        checks.append(unproven(claim, "this clone does not have it; fetch, and look again"))
    elif facts.on_branch is None:
        checks.append(unproven(claim, "this clone is too shallow to tell; run `git fetch --unshallow`"))
    elif not facts.on_branch:
        checks.append(broken(claim, "it is there, and the branch that is checked out does not contain it"))
    else:
        checks.append(holds(claim))
    if facts.signature:
        checks.append(_signature_check("the source commit", facts.signature))
    shown = [("commit", story.source or "unknown")]
    if facts.time is not None:
        shown += [("subject", facts.subject), ("by", f"{facts.author}, {show_time(facts.time)}")]
    return Link("source", tuple(shown), tuple(checks))


def iac_link(story: Story, signatures: Mapping[str, Signature]) -> Link:
    """The commit that brought the release in, and that it is what Pipegraft writes."""
    first = story.moments[0]
    trailers, commit = first.version.trailers, first.version.commit
    missing = [name for name in _WANTED if name not in trailers]
    claim = "the commit says which release it brings, from which source"
    if missing:
        checks = [broken(claim, f"it lacks {', '.join(missing)}: somebody changed the file by hand")]
    elif first.step not in BEGINNINGS:
        checks = [broken("the history tells how the release came", f"it begins with '{first.step}'")]
    else:
        checks = [holds(claim)]
    checks += _mark_checks(story)
    checks += [
        broken(
            "only the release's own commits changed its digests",
            f"{one.id[:12]} did: {one.version.commit.subject}",
        )
        for one in story.strangers
    ]
    checks += _signature_checks(story, signatures)
    pipeline = trailers.get("Pipegraft-Pipeline", "")
    shown = [
        ("commit", first.id),
        ("subject", commit.subject),
        ("by", f"{commit.author}, {show_time(commit.time)}"),
    ]
    return Link("iac", (*shown, *([("pipeline", pipeline)] if pipeline else [])), tuple(checks))


def _mark_checks(story: Story) -> Iterator[Check]:
    """Whether the file agrees with the trailers."""
    held = story.moments[0].held
    claim = f"{story.path} names release {story.release}"
    if held is None:
        yield broken(claim, "the file is gone or cannot be read")
    elif story.release is None or story.release not in {mark.number for mark in held.marks}:
        said = ", ".join(str(mark.number) for mark in held.marks) or "none"
        yield broken(claim, f"it names {said}")
    else:
        yield holds(claim)


def _signature_checks(story: Story, signatures: Mapping[str, Signature]) -> Iterator[Check]:
    """One check for all commits that are alike."""
    alike: dict[Signature, list[str]] = {}
    for one in story.moments:
        alike.setdefault(signatures.get(one.id, Signature(Signed.NONE)), []).append(one.id)
    for signature, commits in alike.items():
        some = f"commit {commits[0][:12]}" if len(commits) == 1 else f"{len(commits)} commits of the release"
        yield _signature_check(some, signature)


def _signature_check(what: str, signature: Signature) -> Check:
    claim = f"{what}: signed by somebody who is trusted here"
    if signature.state is Signed.GOOD:
        return holds(claim, signature.by, "signature")
    found = "no signature" if signature.state is Signed.NONE else f"the signature is {signature.state}"
    if signature.state in _FORGED:
        return broken(claim, found, "signature")
    return unproven(claim, found, "signature")


def outcome_of(story: Story) -> str:
    """What became of the release; one of the words of `Chain.outcome`."""
    last = story.moments[-1]
    if last.step == "rollback":
        return "taken back"
    if any(mark.number == story.release for mark in story.now.marks) and story.successor is None:
        gray = story.now.gray_release
        return "under way" if gray and gray.number == story.release else "serves"
    if last.step in ("promote", "bump", "") and story.successor:
        return "replaced"
    if story.successor:
        return "superseded"
    return "unknown"


def outcome_link(story: Story) -> Link:
    """How it ended, and that the files are what they should be then."""
    outcome, last = outcome_of(story), story.moments[-1]
    facts = [("outcome", outcome), ("commit", str(last))]
    if story.successor:
        by = story.successor
        who = by.version.trailers.get("Pipegraft-Release")
        facts.append(
            (
                "followed by",
                f"{f'release {who}' if who else 'a change by hand'}, {by.id[:12]}, {show_time(by.time)}",
            )
        )
    return Link("outcome", tuple(facts), tuple(_ending_checks(story, last)))


def _ending_checks(story: Story, last: Moment) -> Iterator[Check]:
    held = last.held or Held()
    first = story.moments[0].held or Held()
    promoted = next((one for one in reversed(story.moments) if one.step == "promote"), None)
    if promoted:
        wanted = {**first.images, **first.gray}
        yield _same(
            "the promotion serves exactly what was prepared", wanted, (promoted.held or Held()).images
        )
    if last.step == "rollback":
        yield _same("the images are those from before the release", story.before.images, held.images)
    elif last.step in ("promote", "bump") and story.successor is None:
        yield _same("the branch still names exactly these images", held.images, story.now.images)
    elif (by := story.successor) and not by.version.trailers.get("Pipegraft-Release"):
        said = f"{by.id[:12]} changed them and says of none: {by.version.commit.subject}"
        yield broken("the images were replaced by a release", said)
    elif outcome_of(story) == "unknown":
        yield broken(
            "the history tells how the release ended", f"its last commit is '{last.step or 'by hand'}'"
        )


def _same(claim: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> Check:
    different = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if not different:
        return holds(claim)
    name = different[0]
    return broken(
        claim, f"{name}: expected {wanted.get(name, 'no image')}, found {found.get(name, 'no image')}"
    )
