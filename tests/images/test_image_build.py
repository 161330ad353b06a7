"""The image-build stage: what is built, what is skipped, and how failures spread."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipegraft.core.delivery import Delivery, Signing
from pipegraft.core.errors import BuildFailed, OutsideError, Unreachable, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.core.ports import FakeClock, RecordingProgress
from pipegraft.core.release import FakeReleaseStore, Release, Source
from pipegraft.core.stage import StageContext
from pipegraft.images.hooks import BuildRequest, FakeImageBuilder, FoundPackages, Package
from pipegraft.images.ports import Descriptor, FakeKey, FakeRegistry, ImageToSign, Registry
from pipegraft.images.signatures import signed_by_key
from pipegraft.images.stage import STAGE
from pipegraft.testing.stage_suite import FakeConnections

COMPONENTS = {
    "web": {"path": "web", "needs": ["runtime"]},
    "pricing": {"path": "pricing", "intimacy": "in-process", "mount": "/opt/pricing"},
    "runtime": {"path": "runtime"},
}
COMMIT = "4be1" * 10


class ScriptedBuilder(FakeImageBuilder):
    """Fails for the components it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, Exception] = {}
        self.before: Callable[[BuildRequest], None] = lambda _request: None

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        self.before(request)
        if request.component in self.failures:
            for number in range(50):
                log(f"step {number}")
            raise self.failures[request.component]
        return super().build(request, registry, log)


class World:
    """A source repository, a registry and a builder."""

    def __init__(self, root: Path, components: Mapping[str, object]) -> None:
        self.root = root
        self.held = FakeRegistry()
        self.maker = ScriptedBuilder()
        self.signer: Callable[[ImageToSign], None] = lambda _image: None
        self.progress = RecordingProgress()
        self.releases = FakeReleaseStore(Release(app="shop", source=Source(commit=COMMIT, number=7)))
        self.delivery = Delivery.model_validate(
            {
                "app": "shop",
                "registry": "oci:images",
                "components": components,
                "iac": {"repository": "iac.git"},
                "environments": {"staging": {"gate": {"engine": "embedded"}}},
            }
        )
        for name in components:
            (root / name).mkdir()
            (root / name / "file").write_text(name)

    @hookimpl
    def pipegraft_sign_image(self, image: ImageToSign) -> None:
        self.signer(image)

    def run(self, **inputs: object) -> dict[str, object]:
        self.maker.requests.clear()
        behind = FakeConnections(images=self.held, maker=self.maker, listeners=[self])
        context = StageContext(
            self.delivery, self.root, None, behind, self.releases, FakeClock(), self.progress
        )
        STAGE.run(context, STAGE.parse_inputs(inputs))
        return dict(self.releases.load().images)

    def built(self) -> list[str]:
        return sorted(request.component for request in self.maker.requests)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, COMPONENTS)


def test_every_component_gets_an_image_in_the_record(world: World) -> None:
    images = world.run()
    assert set(images) == {"web", "pricing", "runtime"}
    web = images["web"]
    assert web.built
    assert web.builder == "fake"
    assert web.reference == f"oci:{world.root}/images/web@{web.digest}"
    assert world.held.find("web", web.input_hash).digest == web.digest


def test_nothing_is_built_twice(world: World) -> None:
    first = world.run()
    second = world.run()
    assert world.built() == []
    assert {name: image.digest for name, image in second.items()} == {
        name: image.digest for name, image in first.items()
    }
    assert not any(image.built for image in second.values())


def test_a_changed_component_is_built_with_those_that_need_it(world: World) -> None:
    world.run()
    (world.root / "runtime/file").write_text("changed")
    world.run()
    assert world.built() == ["runtime", "web"]
    (world.root / "pricing/file").write_text("changed")
    world.run()
    assert world.built() == ["pricing"]


def test_force_builds_what_is_there(world: World) -> None:
    world.run()
    world.run(force=True)
    assert world.built() == ["pricing", "runtime", "web"]


def test_a_choice_brings_what_it_needs_and_keeps_the_rest_of_the_record(world: World) -> None:
    before = world.run()
    (world.root / "runtime/file").write_text("changed")
    after = world.run(components=["web"])
    assert world.built() == ["runtime", "web"]
    assert after["pricing"] == before["pricing"]
    assert after["web"] != before["web"]


def test_an_unknown_choice_is_wrong_usage(world: World) -> None:
    with pytest.raises(UsageError, match=r"'api'.*web, pricing, runtime"):
        world.run(components=["api"])


def test_the_builder_learns_the_images_it_builds_from(world: World) -> None:
    images = world.run()
    request = next(request for request in world.maker.requests if request.component == "web")
    assert request.build_args == {"PIPEGRAFT_IMAGE_RUNTIME": images["runtime"].reference}


def test_in_process_content_goes_to_the_root_and_the_rest_to_app(world: World) -> None:
    world.run()
    targets = {request.component: request.target for request in world.maker.requests}
    assert targets == {"web": "/app", "runtime": "/app", "pricing": "/"}


def test_an_image_is_tagged_with_its_inputs_its_commit_and_what_was_asked(world: World) -> None:
    images = world.run(tags=["main"])
    tags = {tag for repository, tag in world.held.manifests if repository == "web"}
    named = {tag for tag in tags if not tag.startswith("sha256:")}
    assert named == {images["web"].input_hash, f"commit-{COMMIT[:12]}", "main"}


def test_further_tags_are_given_to_what_is_there_too(world: World) -> None:
    images = world.run()
    world.run(tags=["branch"])
    assert world.held.find("web", "branch").digest == images["web"].digest


@pytest.mark.parametrize("tag", ["feature/x", "$CI_COMMIT_REF_SLUG", "-x", "a b", "x" * 129])
def test_a_tag_that_registries_do_not_take_is_refused(world: World, tag: str) -> None:
    with pytest.raises(ValidationError, match="tags"):
        world.run(tags=["main", tag])
    assert world.maker.requests == []


def test_independent_components_are_built_at_the_same_time(world: World) -> None:
    together = threading.Barrier(2, timeout=30)
    world.maker.before = lambda request: (
        together.wait() and None if request.component in ("runtime", "pricing") else None
    )
    world.run(jobs=2)
    assert world.built() == ["pricing", "runtime", "web"]


def test_a_failure_stops_those_that_need_it_and_lets_the_others_finish(world: World) -> None:
    world.maker.failures["runtime"] = BuildFailed("exit code 1 in step 49", fix="mend the Dockerfile")
    with pytest.raises(BuildFailed) as caught:
        world.run()
    message = str(caught.value)
    assert "runtime: exit code 1 in step 49" in message
    assert "| step 49" in message
    assert "| step 19\n" not in message
    assert "web: not built, it needs one that failed" in message
    assert "fix: mend the Dockerfile" in message
    assert world.built() == ["pricing"]
    assert world.releases.load().images == {}


def test_what_was_built_beside_a_failure_is_found_the_next_time(world: World) -> None:
    world.maker.failures["runtime"] = BuildFailed("no")
    with pytest.raises(BuildFailed):
        world.run()
    world.maker.failures.clear()
    assert not world.run()["pricing"].built


def test_a_log_does_not_steer_the_terminal(world: World) -> None:
    lines = ["\x1b[91mred\x1b[0m", "10%\r20%\r", "\x1b]0;title\x07set", "\x1b[2Ja\x08\x9bb\tc", "plain größe"]

    def build(request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        for line in lines:
            log(line)
        raise BuildFailed("no")

    world.maker.build = build  # type: ignore[method-assign]
    with pytest.raises(BuildFailed) as caught:
        world.run(components=["pricing"])
    shown = ["red", "20%", "set", "ab\tc", "plain größe"]
    assert [line.removeprefix("    | ") for line in str(caught.value).splitlines()[-5:]] == shown
    said = [
        one.message for one in world.progress.events if one.kind == "progress" and one.subject == "pricing"
    ]
    assert said[-5:] == shown


def test_a_registry_that_is_away_is_not_the_deliverys_fault(world: World) -> None:
    world.maker.failures["pricing"] = Unreachable("no answer")
    with pytest.raises(OutsideError, match="pricing: no answer"):
        world.run(components=["pricing"])
    world.maker.failures["runtime"] = BuildFailed("no")
    with pytest.raises(BuildFailed, match="pricing: no answer"):
        world.run()


def test_a_defect_is_not_taken_for_a_failed_build(world: World) -> None:
    world.maker.failures["pricing"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        world.run()


def test_components_that_need_one_another_are_named(tmp_path: Path) -> None:
    world = World(tmp_path, {"a": {"path": "a", "needs": ["b"]}, "b": {"path": "b", "needs": ["a"]}})
    with pytest.raises(UsageError, match=r"circle: (a → b → a|b → a → b)"):
        world.run()


def test_each_component_reports_how_it_ended(world: World) -> None:
    world.run()
    world.maker.failures["pricing"] = BuildFailed("no")
    (world.root / "pricing/file").write_text("changed")
    with pytest.raises(BuildFailed):
        world.run()
    ends = [
        (event.subject, event.kind)
        for event in world.progress.events
        if event.kind in ("built", "present", "failed")
    ]
    assert sorted(ends[:3]) == [("pricing", "built"), ("runtime", "built"), ("web", "built")]
    assert sorted(ends[3:]) == [("pricing", "failed"), ("runtime", "present"), ("web", "present")]


def referrers(world: World, repository: str) -> dict[str, dict]:
    """Artifact type → document, of everything that refers to the repository's image."""
    digest = world.releases.load().images[repository].digest
    found = {}
    for (held_in, _), (content, _media_type) in world.held.manifests.items():
        manifest = json.loads(content)
        if held_in == repository and manifest.get("subject", {}).get("digest") == digest:
            layer = manifest["layers"][0]["digest"]
            found[manifest["artifactType"]] = json.loads(world.held.blobs[repository, layer])
    return found


def test_provenance_says_what_the_image_was_made_from(world: World) -> None:
    images = world.run()
    statement = referrers(world, "web")["application/vnd.in-toto+json"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [
        {"name": "web", "digest": {"sha256": images["web"].digest.removeprefix("sha256:")}}
    ]
    build = statement["predicate"]["buildDefinition"]
    assert build["externalParameters"]["inputHash"] == images["web"].input_hash
    assert build["resolvedDependencies"] == [
        {"name": "source", "digest": {"gitCommit": COMMIT}},
        {"name": "runtime", "digest": {"sha256": images["runtime"].digest.removeprefix("sha256:")}},
    ]
    run = statement["predicate"]["runDetails"]
    assert run["builder"] == {"id": "urn:pipegraft:builder:fake:1"}
    assert run["metadata"]["startedOn"] == "2023-11-14T22:13:20Z"


def test_the_bill_of_materials_names_every_file(world: World) -> None:
    world.run()
    bill = referrers(world, "pricing")["application/vnd.cyclonedx+json"]
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert [(one["type"], one["name"]) for one in bill["components"]] == [("file", "file")]


def test_what_a_scanner_found_stands_in_the_bill_of_its_component(world: World) -> None:
    def scanned(request: BuildRequest) -> None:
        assert request.note_packages
        if request.component == "pricing":
            found = (Package("pkg:apk/a@1", "a", "1", "lib/apk/db/installed"),)
            request.note_packages(FoundPackages(found, "syft 1.38.0", "all layers of the image", True))

    world.maker.before = scanned
    world.run()
    bills = [referrers(world, name)["application/vnd.cyclonedx+json"] for name in ("pricing", "runtime")]
    assert [bill["compositions"][0]["aggregate"] for bill in bills] == ["unknown", "incomplete"]
    assert ["pkg:apk/a@1" in [one.get("purl") for one in bill["components"]] for bill in bills] == [
        True,
        False,
    ]


def test_attestations_can_be_left_out(world: World) -> None:
    world.run(attest=False)
    assert referrers(world, "web") == {}


def test_an_image_whose_attestations_did_not_arrive_is_not_taken_for_finished(world: World) -> None:
    push = world.held.push_manifest

    def no_artifacts(repository: str, reference: str, manifest: bytes, media_type: str) -> Descriptor:
        if b"subject" in manifest:
            raise Unreachable("no answer")
        return push(repository, reference, manifest, media_type)

    world.held.push_manifest = no_artifacts
    with pytest.raises(OutsideError):
        world.run()
    world.held.push_manifest = push
    assert world.run()["web"].built
    assert len(referrers(world, "web")) == 2


def test_what_is_built_is_signed_before_it_can_be_found(world: World) -> None:
    signed: list[str] = []

    def sign(image: ImageToSign) -> None:
        names = {tag for repository, tag in world.held.manifests if repository == image.repository}
        assert not any(tag.startswith("ih-") for tag in names)
        assert len(world.held.manifests) > 2  # provenance and SBOM are there
        signed.append(image.reference)

    world.signer = sign
    images = world.run()
    assert sorted(signed) == sorted(image.reference for image in images.values())
    world.run()
    assert len(signed) == 3


def test_an_image_that_could_not_be_signed_is_built_and_signed_again(world: World) -> None:
    def refuse(image: ImageToSign) -> None:
        if image.component == "pricing":
            raise Unreachable("no answer from the signer")

    world.signer = refuse
    with pytest.raises(Unreachable, match="pricing: no answer from the signer"):
        world.run()
    world.signer = lambda _image: None
    world.run()
    assert world.built() == ["pricing"]


def test_a_declared_key_signs_what_is_built_and_what_was_built_without_it(world: World) -> None:
    world.delivery = world.delivery.model_copy(
        update={"sign": Signing.model_validate({"key": {"env": "SIGNING_KEY"}})}
    )

    def signed() -> set[bool]:
        images = world.releases.load().images
        return {signed_by_key(world.held, name, one.digest, FakeKey()) for name, one in images.items()}

    world.run(sign=False)
    assert signed() == {False}
    images = world.run()
    assert not any(image.built for image in images.values())
    assert signed() == {True}
    before = len(world.held.manifests)
    world.run()
    assert len(world.held.manifests) == before
    world.run(force=True)
    assert signed() == {True}
