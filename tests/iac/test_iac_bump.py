"""The iac-bump stage: what is written, what is not, and who wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import Conflict, UsageError, Vetoed
from pipegraft.core.ports import FakeClock, RecordingProgress
from pipegraft.core.release import BuiltImage, FakeReleaseStore, IacCommit, Release, Source
from pipegraft.core.signing import Requirements
from pipegraft.core.stage import StageContext
from pipegraft.iac.ports import FakeIacRepository, NewerProposed
from pipegraft.iac.stage import STAGE
from pipegraft.images.attestations import BuildFacts, attest, sign
from pipegraft.images.hooks import BuildRequest
from pipegraft.images.ports import FakeKey, FakeRegistry, FakeVerifier, ImageToSign
from pipegraft.images.signatures import Known, Provenance, refuse
from pipegraft.testing.stage_suite import FakeConnections

PRODUCTION = "environments/production.yaml"
APP = {"app.yaml": "app: shop\ncomponents:\n  web: {ports: {http: 80}}\n"}
GRAY = {"metrics": [{"source": "fake"}]}


class Racing(FakeIacRepository):
    """A branch on which somebody writes right before our first commit."""

    def __init__(self, files: Mapping[str, str], theirs: Callable[[str], Mapping[str, str]]) -> None:
        super().__init__(files)
        self._theirs: Callable[[str], Mapping[str, str]] | None = theirs

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        if self._theirs:
            theirs, self._theirs = self._theirs, None
            super().commit(theirs(self.read(PRODUCTION, parent) or ""), "theirs", parent)
        return super().commit(changes, message, parent)


class World:
    """A delivery of one component to one environment, and everything it touches."""

    def __init__(
        self,
        branch: FakeIacRepository,
        number: int,
        *,
        gray: bool = False,
        path: str | None = None,
        targets: Sequence[Mapping[str, str]] = (),
        require: Mapping[str, object] | None = None,
    ) -> None:
        self.branch = branch
        self.held = FakeRegistry()
        self.progress = RecordingProgress()
        self.environment = "production"
        self.image = pushed = self.held.push_manifest("web", "v", f"web {number}".encode(), "m")
        self.reference = f"registry.example.com/shop/web@{pushed.digest}"
        self.tagged = f"registry.example.com/shop/web:ih-{'0' * 64}@{pushed.digest}"
        image = BuiltImage(
            reference=self.reference,
            digest=pushed.digest,
            input_hash=f"ih-{'0' * 64}",
            builder="fake",
            built=True,
        )
        source = Source(commit=f"{number:040x}", number=number, pipeline=f"https://ci.example.com/{number}")
        self.releases = FakeReleaseStore(Release(app="shop", source=source, images={"web": image}))
        self.delivery = Delivery.model_validate(
            {
                "app": "shop",
                "registry": "registry.example.com/shop",
                "components": {"web": {"path": "web"}},
                "iac": {"repository": "iac.git", "path": path},
                "environments": {
                    "staging": {"gate": {"engine": "fake"}, "targets": targets},
                    "production": {
                        "gate": {"engine": "fake"},
                        "gray": GRAY if gray else None,
                        "targets": targets,
                        "require": require or {},
                    },
                },
            }
        )

    def attest(self, **facts: str) -> tuple[bytes, ...]:
        """Attach what image-build would."""
        request = BuildRequest("web", Path(), (), "web", ())
        builder = facts.get("builder", "layer:1")
        repository = facts.get("repository", "https://git.example.com/team/shop")
        return attest(self.held, BuildFacts(self.image, request, builder, "1" * 40, repository, "", 0, 1))

    def sign(self, key: FakeKey, scheme: str = "bundle", *, statements: bool = True) -> None:
        """Sign as image-build would, with what it says of the image."""
        said = self.attest() if statements else ()
        image = ImageToSign("shop", "web", self.reference, self.image, self.held, "web", "1" * 40)
        sign(image, said, key, scheme)

    def run(self, **inputs: object) -> IacCommit | None:
        context = StageContext(
            self.delivery,
            Path(),
            self.environment,
            FakeConnections(
                images=self.held,
                branch=self.branch,
                signatures=FakeVerifier({"release.pub": FakeKey("release")}),
            ),
            self.releases,
            FakeClock(),
            self.progress,
        )
        STAGE.run(context, STAGE.parse_inputs(inputs))
        part = self.releases.release.environments.get(self.environment)
        return part.bump if part else None

    def file(self) -> str:
        return self.branch.read(PRODUCTION, self.branch.tip()) or ""


def test_a_release_is_one_commit_that_says_what_it_did() -> None:
    branch = FakeIacRepository(APP)
    first, second = World(branch, 12), World(branch, 13)
    first.run()
    bump = second.run()
    commit = branch.log()[0]
    assert bump == IacCommit(commit=commit.id, path=PRODUCTION, outcome="written", images=(second.tagged,))
    assert commit.subject == "shop: release 13 in production"
    assert f"{PRODUCTION}: image of 'web': {first.reference} → {second.reference}" in commit.message
    assert commit.trailers == {
        "Pipegraft-App": "shop",
        "Pipegraft-Environment": "production",
        "Pipegraft-Release": "13",
        "Pipegraft-Source-Commit": f"{13:040x}",
        "Pipegraft-Pipeline": "https://ci.example.com/13",
        "Pipegraft-Step": "bump",
    }
    assert second.reference in second.file()


def test_running_again_finds_the_commit_that_holds_it() -> None:
    branch = FakeIacRepository(APP)
    written = World(branch, 13).run()
    assert written
    branch.commit({"other.yaml": "1\n"}, "somebody else", branch.tip())
    tip = branch.tip()
    world = World(branch, 13)
    found = IacCommit(commit=written.commit, path=PRODUCTION, outcome="unchanged", images=(world.tagged,))
    assert world.run() == found
    assert branch.tip() == tip


def test_a_newer_release_is_not_overwritten() -> None:
    branch = FakeIacRepository(APP)
    newer = World(branch, 14).run()
    assert newer
    older = World(branch, 13)
    assert older.run() == IacCommit(commit=newer.commit, path=PRODUCTION, outcome="superseded")
    assert "release 14, newer than 13" in older.progress.events[-1].message


def test_gray_prepares_at_weight_zero() -> None:
    branch = FakeIacRepository(APP)
    World(branch, 12, gray=True).run()
    second = World(branch, 13, gray=True)
    second.run()
    assert "weight: 0" in second.file()
    assert branch.log()[0].trailers["Pipegraft-Step"] == "prepare"


def test_a_folder_of_a_shared_repository() -> None:
    branch = FakeIacRepository({f"apps/shop/{path}": text for path, text in APP.items()})
    bump = World(branch, 12, path="apps/shop").run()
    assert bump
    assert bump.path == f"apps/shop/{PRODUCTION}"
    assert branch.read(bump.path, bump.commit)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"expected app\.yaml in the IaC repository"),
        ({"app.yaml": "app: cart\n"}, r"app\.yaml:1:6: expected the app spec of 'shop', found 'cart'"),
        ({"app.yaml": "- 1\n"}, "expected the app spec of 'shop', found None"),
    ],
)
def test_another_applications_repository_is_refused(files: dict[str, str], message: str) -> None:
    branch = FakeIacRepository(files)
    tip = branch.tip()
    with pytest.raises(UsageError, match=message):
        World(branch, 12).run()
    assert branch.tip() == tip


def test_a_digest_that_the_registry_does_not_have_is_not_written() -> None:
    branch = FakeIacRepository(APP)
    tip = branch.tip()
    world = World(branch, 12)
    world.held.manifests.clear()
    with pytest.raises(UsageError, match="the image of 'web'"):
        world.run()
    assert branch.tip() == tip
    world.run(verify=False)
    assert branch.tip() != tip


def test_a_newer_release_that_waits_to_be_merged_supersedes() -> None:
    branch = FakeIacRepository(APP)
    world, tip = World(branch, 12), branch.tip()

    def commit(_changes: object, _message: str, _parent: str) -> str:
        raise NewerProposed("f" * 40, 13)

    branch.commit = commit  # type: ignore[method-assign, assignment]
    assert world.run() == IacCommit(commit="f" * 40, path=PRODUCTION, outcome="superseded")
    assert "holds release 13, newer than 12" in world.progress.events[-1].message
    assert branch.tip() == tip


STRICT = {
    "provenance": True,
    "builders": ["urn:pipegraft:builder:layer:*"],
    "repositories": ["https://git.example.com/team/*"],
}


@pytest.mark.parametrize("require", [{"provenance": True}, STRICT])
def test_an_image_with_the_required_provenance_is_released(require: Mapping[str, object]) -> None:
    world = World(FakeIacRepository(APP), 12, require=require)
    world.attest(
        builder="somebody", repository="https://elsewhere.example.com/x"
    ) if require is STRICT else None
    world.attest()
    assert world.run()
    assert world.image.digest in world.file()


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (None, "there is none in the registry"),
        ({"builder": "laptop"}, "expected a builder like .*, found 'urn:pipegraft:builder:laptop'"),
        ({"repository": "https://git.example.com/other/shop"}, "found 'https://git.example.com/other/shop'"),
        ({"repository": ""}, "expected a source repository like .*, found none"),
    ],
)
def test_an_image_without_the_required_provenance_is_refused(
    facts: dict[str, str] | None, reason: str
) -> None:
    branch = FakeIacRepository(APP)
    tip = branch.tip()
    world = World(branch, 12, require=STRICT)
    if facts is not None:
        world.attest(**facts)
    for verify in (True, False):
        with pytest.raises(Vetoed, match=f"'production' does not take the image of 'web': .*{reason}"):
            world.run(verify=verify)
    assert branch.tip() == tip


def test_provenance_of_another_image_proves_nothing() -> None:
    statement = Provenance(("sha256:" + "1" * 64,), ("1" * 40,), (), "b", "")
    required = Requirements(provenance=True)
    known = Known(provenance=(statement,))
    assert "another image" in str(refuse(required, "sha256:" + "2" * 64, known))
    assert refuse(required, "sha256:" + "1" * 64, known) is None
    without = Known(provenance=(Provenance(("sha256:" + "1" * 64,), (), (), "b", ""),))
    assert "it names no source commit" in str(refuse(required, "sha256:" + "1" * 64, without))


SIGNED = {"signed-by": [{"key": "release.pub"}], "provenance": True}


@pytest.mark.parametrize("scheme", ["bundle", "tags"])
def test_an_image_that_is_signed_by_the_right_key_is_released(scheme: str) -> None:
    world = World(FakeIacRepository(APP), 12, require=SIGNED)
    world.sign(FakeKey("release"), scheme)
    assert world.run()
    assert world.image.digest in world.file()


@pytest.mark.parametrize(
    ("key", "signs_provenance", "reason"),
    [
        (None, False, "it is not signed by the key release.pub"),
        ("mallory", True, "it is not signed by the key release.pub .*artifact sha256:.*"),
        ("release", False, "there is none in the registry that one of the signers signed"),
    ],
)
def test_an_image_without_the_required_signature_is_refused(
    key: str | None, signs_provenance: bool, reason: str
) -> None:
    branch = FakeIacRepository(APP)
    tip = branch.tip()
    world = World(branch, 12, require=SIGNED)
    world.attest()
    if key is not None:
        world.sign(FakeKey(key), statements=signs_provenance)
    with pytest.raises(Vetoed, match=f"'production' does not take the image of 'web': .*{reason}"):
        world.run()
    assert branch.tip() == tip


def test_a_release_without_images_is_refused() -> None:
    world = World(FakeIacRepository(APP), 12)
    world.releases.save(world.releases.release.model_copy(update={"images": {}}))
    with pytest.raises(UsageError, match="image-build"):
        world.run()


def test_a_dry_run_shows_the_difference_and_writes_nothing() -> None:
    branch = FakeIacRepository(APP)
    World(branch, 12).run()
    tip = branch.tip()
    world = World(branch, 13)
    assert world.run(dry_run=True) is None
    assert branch.tip() == tip
    diff = world.progress.events[-1].data["diff"]
    assert f"--- a/{PRODUCTION}\n+++ b/{PRODUCTION}\n" in diff
    assert f"+    image: {world.reference}\n" in diff


def test_what_others_change_meanwhile_stays() -> None:
    held = f"release:\n  number: 12\n  source: abc\ncomponents:\n  web:\n    image: r/web@sha256:{'a' * 64}\n"
    branch = Racing(APP | {PRODUCTION: held}, lambda text: {PRODUCTION: text + "    replicas: 3  # busy\n"})
    world = World(branch, 13)
    world.run()
    assert world.file().endswith("    replicas: 3  # busy\n")
    assert world.reference in world.file()


def test_an_image_that_a_person_changes_meanwhile_is_a_conflict() -> None:
    old, theirs = f"r/web@sha256:{'a' * 64}", f"r/web@sha256:{'b' * 64}"
    held = f"release:\n  number: 12\n  source: abc\ncomponents:\n  web:\n    image: {old}\n"
    branch = Racing(APP | {PRODUCTION: held}, lambda text: {PRODUCTION: text.replace(old, theirs)})
    world = World(branch, 13)
    with pytest.raises(Conflict) as caught:
        world.run()
    for value in (old, theirs, world.reference):
        assert value in str(caught.value)
    assert theirs in world.file()


def test_an_older_pipeline_that_is_faster_is_no_conflict() -> None:
    held = f"release:\n  number: 12\n  source: abc\ncomponents:\n  web:\n    image: r/web@sha256:{'a' * 64}\n"
    newer = held.replace("12", "13").replace("a" * 64, "b" * 64)
    branch = Racing(APP | {PRODUCTION: held}, lambda _text: {PRODUCTION: newer})
    world = World(branch, 14)
    world.run()
    assert world.reference in world.file()


VALUES = "web:\n  image: {repository: r/web, tag: v1, digest: x}   # ours\n  replicas: 2\n"
TARGETS = [
    {"kind": "helm", "file": "values.yaml", "path": "web.image", "component": "web", "write": "both"},
    {"kind": "marker", "file": "notes.txt"},
]
HELM = {"values.yaml": VALUES, "notes.txt": "web = old # pipegraft:set=web.digest\n"}


def test_targets_are_written_in_one_commit_with_the_release_beside_them() -> None:
    branch = FakeIacRepository(HELM)
    world = World(branch, 12, targets=TARGETS)
    bump = world.run()
    assert bump is not None
    commit = branch.log()[0]
    why = "no chart or kustomization in its folder or above takes it in, and the target names no 'source'"
    effect = tuple(f"{file}: not proven: {why}" for file in HELM)
    path = ".pipegraft/production.yaml"
    assert bump == IacCommit(
        commit=commit.id, path=path, outcome="written", images=(world.tagged,), effect=effect
    )
    assert commit.trailers["Pipegraft-Effect"] == "; ".join(effect)
    digest = world.reference.partition("@")[2]
    assert digest in (branch.read("values.yaml", bump.commit) or "")
    assert branch.read("notes.txt", bump.commit) == f"web = {digest} # pipegraft:set=web.digest\n"
    assert "notes.txt: web = " in commit.message
    assert World(branch, 12, targets=TARGETS).run() == IacCommit(
        commit=commit.id, path=bump.path, outcome="unchanged", images=(world.tagged,), effect=effect
    )


def test_an_older_release_leaves_targets_alone() -> None:
    branch = FakeIacRepository(HELM)
    newer = World(branch, 14, targets=TARGETS).run()
    assert newer
    older = World(branch, 13, targets=TARGETS).run()
    assert older
    assert (older.commit, older.outcome) == (newer.commit, "superseded")


def test_a_target_that_a_person_changes_meanwhile_is_a_conflict() -> None:
    branch = Racing(HELM, lambda _text: {"values.yaml": VALUES.replace("v1", "v1-hotfix")})
    with pytest.raises(Conflict, match="v1-hotfix"):
        World(branch, 13, targets=TARGETS).run()


def test_a_missing_target_file_writes_nothing() -> None:
    branch = FakeIacRepository({"notes.txt": HELM["notes.txt"]})
    tip = branch.tip()
    with pytest.raises(UsageError, match=r"expected values\.yaml"):
        World(branch, 13, targets=TARGETS).run()
    assert branch.tip() == tip


@pytest.mark.parametrize("targets", [(), TARGETS], ids=["app spec", "targets"])
def test_promotion_carries_exactly_what_the_other_environment_runs(
    targets: Sequence[Mapping[str, str]],
) -> None:
    branch = FakeIacRepository({**APP, **HELM})
    staged = World(branch, 13, targets=targets)
    staged.environment = "staging"
    staged.run()
    later = World(branch, 15, targets=targets)
    later.held = staged.held
    if targets:  # both environments share the files here, so only the record differs
        branch.commit(HELM, "back", branch.tip())
    bump = later.run(**{"from": "staging"})
    assert bump
    assert bump.outcome == "written"
    commit = branch.log()[0]
    assert commit.trailers["Pipegraft-Release"] == "13"
    assert commit.trailers["Pipegraft-Pipeline"] == "https://ci.example.com/15"
    written = branch.read("values.yaml" if targets else PRODUCTION, bump.commit) or ""
    assert staged.reference.partition("@")[2] in written


def test_promotion_from_nowhere_is_refused() -> None:
    world = World(FakeIacRepository(APP), 13)
    for origin, message in [
        ("production", "another environment"),
        ("moon", "use one of: staging"),
        ("staging", "yet"),
    ]:
        with pytest.raises(UsageError, match=message):
            world.run(**{"from": origin})


def test_a_gray_release_under_way_is_not_promoted() -> None:
    text = f"""\
release: {{number: 12, source: abc}}
components: {{web: {{image: 'r/web@sha256:{"a" * 64}'}}}}
gray: {{release: {{number: 13, source: abd}}, weight: 5, phase: step, components: {{web: {{image: x}}}}}}
"""
    world = World(FakeIacRepository({**APP, "environments/staging.yaml": text}), 14)
    with pytest.raises(UsageError, match="gray release of 13"):
        world.run(**{"from": "staging"})


def test_a_release_that_was_rolled_back_does_not_come_again() -> None:
    state = "taken-back: {number: 13, source: abc}\n"
    branch = FakeIacRepository({**APP, ".pipegraft/production.yaml": state})
    tip = branch.tip()
    late = World(branch, 13)
    bump = late.run()
    assert bump
    assert bump.outcome == "superseded"
    assert "rolled back" in late.progress.events[-1].message
    assert branch.tip() == tip
    newer = World(branch, 14).run()
    assert newer
    assert newer.outcome == "written"


@pytest.mark.parametrize(
    ("repository", "write", "unasked"),
    [
        ("https://git.example.com/iac/shop.git", "push", {"PIPEGRAFT_IAC_SSH_KEY"}),
        ("git@git.example.com:iac/shop.git", "push", {"PIPEGRAFT_IAC_TOKEN", "PIPEGRAFT_IAC_USER"}),
        ("ssh://git@git.example.com/iac/shop.git", "api", set()),
        ("$IAC_URL", "push", set()),
    ],
)
def test_a_runner_is_asked_for_what_the_repository_takes(
    repository: str, write: str, unasked: set[str]
) -> None:
    delivery = Delivery.model_validate(
        {
            "app": "shop",
            "registry": "registry.example.com/shop",
            "components": {"web": {"path": "web"}},
            "iac": {"repository": repository, "branch": "main", "write": write},
            "environments": {"production": {"gate": {"engine": "argocd", "application": "shop"}}},
        }
    )
    assert {one.name for one in STAGE.requires if not one.wanted(delivery)} == unasked
