"""What the stages leave in git and the registry proves a release; and whatever is tampered with is named."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from gray_world import NEW, NEWER, OLD, PRODUCTION, STABLE, World, commit_of

from pipegraft.appspec.environment_file import bump
from pipegraft.audit.chain import Chain, State
from pipegraft.audit.release_commits import Wanted
from pipegraft.audit.usecases import AuditRequest, Scene, audit
from pipegraft.core.adapters.vcs_info import SourceLog
from pipegraft.core.errors import RolledBack, Unreachable, UsageError
from pipegraft.core.release import EnvironmentRelease, GateResult, IacCommit, Release, ReleaseMark, Source
from pipegraft.core.signing import Signer
from pipegraft.gray.judgement import Answer
from pipegraft.gray.ports import FakeJudge
from pipegraft.gray.stage import GrayReleaseInputs, run
from pipegraft.iac.archive import FakeArchive, Signature, Signed
from pipegraft.iac.commits import commit_message, release_trailers
from pipegraft.iac.ports import FakeIacRepository
from pipegraft.iac.released_images import EnvironmentState, write_state
from pipegraft.images.attestations import BuildFacts, attest, sign
from pipegraft.images.hooks import BuildRequest
from pipegraft.images.ports import Descriptor, FakeKey, FakeRegistry, FakeVerifier, ImageToSign


class Branch:
    """A branch and its archive, as `open_branch` answers them."""

    def __init__(self, branch: FakeIacRepository, signed: Mapping[str, Signature]) -> None:
        self.archive = FakeArchive(branch, signed)
        self.tip, self.read = branch.tip, branch.read


class Audited:
    """A world whose releases are audited."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.registry = FakeRegistry()
        self.source = folder
        self.signed: dict[str, Signature] = {}
        self.asks_for: tuple[Signer, ...] = ()
        for number, image in ((12, OLD), (13, NEW), (14, NEWER)):
            self.push(image, commit_of(number))

    def push(self, image: str, source: str, subject: str = "", key: FakeKey | None = None) -> None:
        """An image and its provenance."""
        digest = image.partition("@")[2]
        self.registry.manifests["shop/web", digest] = (b"{}", "application/vnd.oci.image.manifest.v1+json")
        request = BuildRequest("web", Path(), (), "shop/web", ())
        descriptor = Descriptor("application/vnd.oci.image.manifest.v1+json", digest, 2)
        facts = BuildFacts(
            image=descriptor,
            request=request,
            builder="layer 1",
            commit=source,
            repository="",
            pipeline="https://ci.example.com/7",
            started=0,
            finished=1,
        )
        if key is not None:
            image_of = ImageToSign("shop", "web", image, descriptor, self.registry, "shop/web", source)
            sign(image_of, attest(self.registry, facts), key, "bundle")
        elif subject:  # a statement about another image, attached to this one
            other = dataclasses.replace(facts, image=Descriptor(descriptor.media_type, subject, 2))
            attest(_Attached(self.registry, digest), other)
        else:
            attest(self.registry, facts)

    def release(self, number: int = 13, image: str = NEW) -> None:
        """iac-bump, sync-gate and gray-release."""
        self.world.prepare(number, image)
        context = self.world.context(number)
        gate = GateResult(
            revision=self.world.branch.tip(), verdict="succeeded", evidence="all well", seconds=3
        )
        context.update_environment(gate=gate)
        run(context, GrayReleaseInputs())

    def rewrite(
        self, step: str, edit: Callable[[str], str], trailers: Mapping[str, str] | None = None
    ) -> None:
        """Somebody rewrote history: the text after a step, or its trailers."""
        branch = self.world.branch
        for at, commit in enumerate(branch._commits):
            if commit.trailers.get("Pipegraft-Step") == step:
                branch._trees[commit.id][PRODUCTION] = edit(branch._trees[commit.id][PRODUCTION])
                if trailers is not None:
                    message = commit_message(commit.subject, ["why"], {**commit.trailers, **trailers})
                    branch._commits[at] = type(commit)(commit.id, commit.parent, message, commit.time)

    def chain(self, wanted: Wanted | None = None, **request: Any) -> Chain:
        scene = Scene(
            "shop",
            None,
            Branch(self.world.branch, self.signed),
            SourceLog(self.source),
            Path(),
            frozenset(),
            ("production",),
            {"production": self.asks_for},
        )
        asked = AuditRequest(wanted or Wanted(), **request)
        verifier = FakeVerifier({"release.pub": FakeKey("release")})
        (found,) = audit(scene, asked, lambda _address: self.registry, lambda: verifier)  # type: ignore[arg-type]
        return found


class _Attached:
    """A registry that attaches what is pushed to another image."""

    def __init__(self, registry: FakeRegistry, digest: str) -> None:
        self._registry, self._digest = registry, digest
        self.push_blob = registry.push_blob

    def push_manifest(self, repository: str, reference: str, manifest: bytes, media_type: str) -> Descriptor:
        import json

        held = json.loads(manifest)
        held["subject"]["digest"] = self._digest
        return self._registry.push_manifest(repository, "moved", json.dumps(held).encode(), media_type)


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    return Audited(tmp_path)


def state_of(chain: Chain, link: str) -> State:
    return next(one for one in chain.links if one.name == link).state


def broken(chain: Chain) -> list[str]:
    """What is broken: link, claim and what was found."""
    return [
        f"{link.name}: {check.claim}: {check.found}"
        for link in chain.links
        for check in link.checks
        if check.state is State.BROKEN
    ]


def test_a_promoted_release_holds_from_end_to_end(audited: Audited) -> None:
    audited.release()
    chain = audited.chain()
    assert broken(chain) == []
    assert (chain.release, chain.outcome) == (13, "serves")
    assert [link.name for link in chain.links] == ["source", "images", "iac", "gate", "gray", "outcome"]
    assert {state_of(chain, name) for name in ("images", "gate", "gray", "outcome")} == {State.HOLDS}
    claims = [check.claim for link in chain.links for check in link.checks if check.state is State.HOLDS]
    assert "web: provenance says it was built from the release's source" in claims
    assert "the promotion serves exactly what was prepared" in claims
    facts = dict(next(link for link in chain.links if link.name == "gate").facts)
    assert facts["verdict"].startswith("succeeded ")


def test_a_release_that_was_taken_back_holds_too(audited: Audited) -> None:
    audited.world.judge = FakeJudge(Answer.FAIL)
    with pytest.raises(RolledBack):
        audited.release()
    chain = audited.chain()
    assert broken(chain) == []
    assert chain.outcome == "taken back"


def test_a_release_under_way_and_one_that_was_replaced(audited: Audited) -> None:
    audited.release()
    audited.world.prepare(14, NEWER)
    assert audited.chain().outcome == "under way"
    assert audited.chain(Wanted(release=13)).outcome == "replaced"


def test_a_release_of_configuration_that_a_newer_one_replaces_is_superseded(audited: Audited) -> None:
    for number in (13, 14):
        mark = ReleaseMark(number=number, source=commit_of(number))
        config = {("components", "web", "env", "LIMIT"): str(number)}
        made = bump(audited.world.text, {}, mark, gray=True, file=PRODUCTION, config=config)
        trailers = release_trailers("shop", "production", World.source_of(number), made.step)
        audited.world.write(made.text, commit_message(f"shop: prepare {number}", [], trailers))
    assert audited.chain(Wanted(release=13)).outcome == "superseded"
    assert audited.chain(Wanted(release=14)).outcome == "under way"


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(release=13),
        Wanted(digest="2" * 7),
        Wanted(digest=NEW.partition("@")[2]),
        Wanted(commit=commit_of(13)),
    ],
    ids=str,
)
def test_a_release_is_found_by_number_digest_and_commit(audited: Audited, wanted: Wanted) -> None:
    audited.release()
    audited.release(14, NEWER)
    assert audited.chain(wanted).release == 13
    assert audited.chain().release == 14


def test_a_release_is_found_by_its_iac_commit(audited: Audited) -> None:
    audited.release()
    commits = audited.world.branch.log(PRODUCTION)
    assert audited.chain(Wanted(commit=commits[1].id[:10])).release == 13


def test_a_digest_that_no_commit_names_breaks_the_chain(audited: Audited) -> None:
    audited.release()
    chain = audited.chain(Wanted(digest="f" * 64))
    assert broken(chain) == [f"iac: a commit brought {'f' * 64} into production: none ever did"]


def test_an_unknown_release_is_wrong_usage(audited: Audited) -> None:
    audited.release()
    with pytest.raises(UsageError, match="knows of no release 99"):
        audited.chain(Wanted(release=99))


def test_an_image_that_is_gone_is_named(audited: Audited) -> None:
    audited.release()
    digest = NEW.partition("@")[2]
    del audited.registry.manifests["shop/web", digest]
    assert broken(audited.chain()) == [
        f"images: web: the registry holds the image: there is no {digest} (any more)"
    ]


def test_an_image_by_tag_is_named(audited: Audited) -> None:
    audited.world.write(
        STABLE.replace(OLD, "registry.example.com/shop/web:v2").replace("12", "13"),
        commit_message(
            "shop: release 13", [], release_trailers("shop", "production", World.source_of(13), "bump")
        ),
    )
    told = "images: web: the image is pinned by digest: the commit names registry.example.com/shop/web:v2"
    assert told in broken(audited.chain())


def test_provenance_of_another_image_is_named(audited: Audited) -> None:
    audited.registry = FakeRegistry()
    audited.push(NEW, commit_of(13), subject="sha256:" + "e" * 64)
    audited.release()
    (found,) = broken(audited.chain())
    assert found.endswith(f"the provenance speaks of sha256:{'e' * 64}")


def source_repository(folder: Path) -> list[str]:
    """A repository of three commits, the third on a branch of its own; answers their names."""

    def git(*words: str) -> str:
        settings = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgSign=false")
        done = subprocess.run(
            ["git", *settings, *words], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    names = []
    for number in range(2):
        git("commit", "-q", "--allow-empty", "-m", f"number {number}")
        names.append(git("rev-parse", "HEAD"))
    git("checkout", "-q", "-b", "aside", names[0])
    git("commit", "-q", "--allow-empty", "-m", "aside")
    names.append(git("rev-parse", "HEAD"))
    git("checkout", "-q", "main")
    return names


def released_from(audited: Audited, source: str, built_from: str) -> Chain:
    """A release by one commit of an image that was built from another source commit."""
    audited.registry = FakeRegistry()
    audited.push(NEW, built_from)
    mark = ReleaseMark(number=13, source=source)
    made = bump(audited.world.text, {"web": NEW}, mark, gray=False, file=PRODUCTION)
    trailers = release_trailers("shop", "production", Source(commit=source, number=13), "bump")
    audited.world.write(made.text, commit_message("shop: release 13", [], trailers))
    return audited.chain()


def test_an_image_built_from_what_led_to_the_source_is_the_releases_own(audited: Audited) -> None:
    older, newer, _ = source_repository(audited.source)
    chain = released_from(audited, newer, older)
    assert broken(chain) == []
    assert state_of(chain, "source") is State.UNPROVEN  # not signed
    assert dict(chain.links[0].facts)["subject"] == "number 1"


def test_an_image_built_from_elsewhere_breaks_the_chain(audited: Audited) -> None:
    _, newer, aside = source_repository(audited.source)
    (found,) = broken(released_from(audited, newer, aside))
    assert f"it was built from {aside[:12]}, which does not lead to {newer[:12]}" in found


def test_a_source_commit_outside_the_branch_breaks_the_chain(audited: Audited) -> None:
    *_, aside = source_repository(audited.source)
    (found,) = broken(released_from(audited, aside, aside))
    assert found.startswith("source: the source repository has it on its branch")


def test_without_the_source_repository_nothing_is_claimed_of_it(audited: Audited) -> None:
    chain = released_from(audited, commit_of(13), commit_of(9))
    assert broken(chain) == []
    assert state_of(chain, "images") is State.UNPROVEN


def test_a_registry_that_does_not_answer_is_not_taken_for_a_broken_link(audited: Audited) -> None:
    audited.release()

    def silent(repository: str, reference: str) -> None:
        raise Unreachable("no answer")

    audited.registry.find = silent  # type: ignore[method-assign, assignment]
    chain = audited.chain()
    assert chain.state is State.UNREACHABLE
    assert audited.chain(offline=True).state is State.UNPROVEN


@pytest.mark.parametrize(
    ("step", "edit", "trailers", "told"),
    [
        ("1/2 weight=10", lambda text: text.replace("weight: 10", "weight: 100"), None, "the file says 100%"),
        ("2/2 weight=50", lambda text: text.replace(NEW, NEWER), None, "the gray images differ"),
        ("promote", lambda text: text.replace(NEW, NEWER), None, "found registry.example.com"),
        ("prepare", lambda text: text.replace("number: 13", "number: 15"), None, "it names 15, 12"),
        ("1/2 weight=10", str, {"Pipegraft-Step": "2/2 weight=10"}, "1/2 is missing"),
        ("2/2 weight=50", str, {"Pipegraft-Step": "2/2 weight=5"}, "they are 10, 5"),
        ("2/2 weight=50", str, {"Pipegraft-Source-Commit": "f" * 40}, "ffffffffffff"),
        ("1/2 weight=10", str, {"Pipegraft-Gate": "failed abc 1s"}, "the gate said 'failed'"),
        ("1/2 weight=10", str, {"Pipegraft-Gate": "succeeded abc 1s"}, "it speaks of abc"),
    ],
)
def test_whatever_is_tampered_with_is_named(
    audited: Audited,
    step: str,
    edit: Callable[[str], str],
    trailers: Mapping[str, str] | None,
    told: str,
) -> None:
    audited.release()
    assert broken(audited.chain()) == []
    audited.rewrite(step, edit, trailers)
    assert any(told in one for one in broken(audited.chain())), broken(audited.chain())


def test_a_step_without_evidence_is_told(audited: Audited) -> None:
    audited.release()
    audited.rewrite("2/2 weight=50", str, {"Pipegraft-Observed": ""})
    chain = audited.chain()
    assert broken(chain) == []
    assert state_of(chain, "gray") is State.UNPROVEN


def test_a_change_by_hand_in_between_is_named(audited: Audited) -> None:
    audited.world.prepare()
    audited.world.write(audited.world.text.replace(OLD, NEWER), "quick fix")
    audited.world.release()
    found = broken(audited.chain())
    assert any(
        "only the release's own commits changed its digests" in one and "quick fix" in one for one in found
    )


def test_a_change_by_hand_afterwards_is_named(audited: Audited) -> None:
    audited.release()
    audited.world.write(audited.world.text.replace(NEW, NEWER), "quick fix")
    (found,) = broken(audited.chain())
    assert found.startswith("outcome: the images were replaced by a release")
    assert "quick fix" in found


def test_what_somebody_brought_in_by_hand_is_no_release(audited: Audited) -> None:
    audited.world.write(STABLE.replace(OLD, NEWER), "quick fix")
    found = broken(audited.chain(Wanted(digest="3" * 12)))
    assert any("somebody changed the file by hand" in one for one in found)


def test_signatures_are_told_and_may_be_required(audited: Audited) -> None:
    audited.release()
    unsigned = audited.chain()
    assert state_of(unsigned, "iac") is State.UNPROVEN
    assert state_of(audited.chain(required=("signature",)), "iac") is State.BROKEN
    commits = audited.world.branch.log(PRODUCTION)
    audited.signed = {one.id: Signature(Signed.GOOD, "ci@example.com") for one in commits}
    assert state_of(audited.chain(required=("signature",)), "iac") is State.HOLDS
    audited.signed[commits[1].id] = Signature(Signed.BAD)
    (found,) = broken(audited.chain())
    assert f"commit {commits[1].id[:12]}" in found
    assert "the signature is bad" in found


@pytest.mark.parametrize(
    ("key", "state"), [("release", State.HOLDS), ("mallory", State.UNPROVEN), (None, State.UNPROVEN)]
)
def test_signatures_of_images_are_verified_where_delivery_asks_for_them(
    audited: Audited, key: str | None, state: State
) -> None:
    audited.asks_for = (Signer(key="release.pub"),)
    audited.push(NEW, commit_of(13), key=FakeKey(key) if key else None)
    audited.release()
    assert state_of(audited.chain(), "images") is state
    required = audited.chain(required=("signature",))
    assert (state_of(required, "images") is State.BROKEN) == (state is not State.HOLDS)


def test_a_statement_that_nobody_signed_is_shown_as_claimed(audited: Audited) -> None:
    audited.release()
    (images,) = [link for link in audited.chain().links if link.name == "images"]
    assert "(claimed, not signed)" in images.checks[-1].found


def test_without_a_gray_release_the_record_tells_what_the_gate_said(audited: Audited) -> None:
    chain = released_from(audited, commit_of(13), commit_of(13))
    assert state_of(chain, "gate") is State.UNPROVEN
    assert state_of(audited.chain(required=("gate",)), "gate") is State.BROKEN
    tip = audited.world.branch.tip()

    def record(revision: str, number: int = 13) -> Release:
        gate = GateResult(revision=revision, verdict="succeeded", evidence="all well", seconds=2)
        part = EnvironmentRelease(
            bump=IacCommit(commit=revision, path=PRODUCTION, outcome="written"), gate=gate
        )
        source = Source(commit=commit_of(13), number=number)
        return Release(app="shop", source=source, environments={"production": part})

    assert state_of(audited.chain(record=record(tip)), "gate") is State.HOLDS
    assert state_of(audited.chain(record=record("f" * 40)), "gate") is State.BROKEN
    assert state_of(audited.chain(record=record(tip, 12)), "gate") is State.UNPROVEN  # another release's


def test_an_environment_with_targets_is_proven_by_what_is_remembered_beside_them(tmp_path: Path) -> None:
    path = ".pipegraft/production.yaml"
    branch = FakeIacRepository({"values.yaml": "image: a\n"})
    registry = Audited(tmp_path).registry

    def commit(number: int, image: str, step: str) -> None:
        mark = ReleaseMark(number=number, source=commit_of(number))
        text = write_state(None, EnvironmentState(release=mark, images={"web": image}), path)
        trailers = release_trailers("shop", "production", World.source_of(number), step)
        branch.commit({path: text}, commit_message(f"shop: {step}", ["why"], trailers), branch.tip())

    for number, image in ((12, OLD), (13, NEW)):
        commit(number, image, "bump")
    targets = frozenset({"production"})
    source = SourceLog(tmp_path)
    scene = Scene("shop", None, Branch(branch, {}), source, Path(), targets, ("production",))
    (chain,) = audit(scene, AuditRequest(Wanted(release=12)), lambda _address: registry)  # type: ignore[arg-type]
    assert (broken(chain), chain.outcome) == ([], "replaced")
    (chain,) = audit(scene, AuditRequest(Wanted()), lambda _address: registry)  # type: ignore[arg-type]
    assert (broken(chain), chain.release, chain.outcome) == ([], 13, "serves")
    commit(13, OLD, "rollback")
    (chain,) = audit(scene, AuditRequest(Wanted()), lambda _address: registry)  # type: ignore[arg-type]
    assert (broken(chain), chain.outcome) == ([], "taken back")
