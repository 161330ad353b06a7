"""What every `Registry` and `ImageBuilder` does.

Subclass a suite in a test module and give it its fixtures.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import pytest

from pipegraft.core.errors import OutsideError
from pipegraft.images.build_context import read_context
from pipegraft.images.documents import (
    CONFIG,
    EMPTY,
    LAYER,
    MANIFEST,
    Document,
    artifact_manifest,
    descriptor_of,
    image_config,
    image_manifest,
)
from pipegraft.images.hooks import BuildRequest, ImageBuilder
from pipegraft.images.ports import Descriptor, ReferringRegistry, Registry

__all__ = ["BuilderSuite", "ReferrersSuite", "RegistrySuite", "blob_of"]


Source = Callable[[], AbstractContextManager[BinaryIO]]


def blob_of(content: bytes, media_type: str = LAYER) -> tuple[Descriptor, Source]:
    """A blob and the source it can be pushed from."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Descriptor(media_type, digest, len(content)), lambda: nullcontext(io.BytesIO(content))


class RegistrySuite:
    """Runs on a fixture `registry` that is empty at the start of each test."""

    @pytest.fixture
    def registry(self) -> Registry:
        raise NotImplementedError("a subclass provides the registry under test")

    def push_image(self, registry: Registry, tag: str, content: bytes, repository: str = "web") -> Descriptor:
        """Push an image of one layer."""
        layer, source = blob_of(content)
        registry.push_blob(repository, layer, source)
        config = image_config([layer], platform="linux/amd64")
        registry.push_blob(repository, *blob_of(config.content, CONFIG))
        manifest = image_manifest(config.descriptor, [layer])
        return registry.push_manifest(repository, tag, manifest.content, MANIFEST)

    def test_an_empty_registry_finds_nothing(self, registry: Registry) -> None:
        assert registry.find("web", "ih-1") is None
        assert registry.find("web", "sha256:" + "0" * 64) is None

    def test_finds_an_image_by_tag_and_by_digest(self, registry: Registry) -> None:
        pushed = self.push_image(registry, "ih-1", b"one")
        assert pushed.media_type == MANIFEST
        assert registry.find("web", "ih-1") == pushed
        assert registry.find("web", pushed.digest) == pushed
        assert registry.find("web", "ih-2") is None
        assert registry.find("other", "ih-1") is None

    def test_a_tag_moves_and_the_former_image_stays_reachable_by_digest(self, registry: Registry) -> None:
        first = self.push_image(registry, "main", b"one")
        second = self.push_image(registry, "main", b"two")
        assert registry.find("web", "main") == second
        assert registry.find("web", first.digest) == first

    def test_an_image_may_have_several_tags(self, registry: Registry) -> None:
        first = self.push_image(registry, "a", b"one")
        self.push_image(registry, "b", b"one")
        assert registry.find("web", "a") == registry.find("web", "b") == first

    def test_reads_back_what_was_pushed(self, registry: Registry) -> None:
        content = bytes(range(256)) * 5000
        layer, source = blob_of(content)
        assert registry.push_blob("web", layer, source) == len(content)
        with registry.open("web", layer.digest) as stream:
            assert stream.read() == content

    def test_reads_a_manifest_byte_for_byte(self, registry: Registry) -> None:
        pushed = self.push_image(registry, "ih-1", b"one")
        with registry.open("web", pushed.digest, manifest=True) as stream:
            assert f"sha256:{hashlib.sha256(stream.read()).hexdigest()}" == pushed.digest

    def test_a_blob_is_sent_once(self, registry: Registry) -> None:
        layer, source = blob_of(b"content")
        assert registry.push_blob("web", layer, source) == layer.size

        def never() -> AbstractContextManager[BinaryIO]:
            raise AssertionError("the content was asked for though the registry has it")

        assert registry.push_blob("web", layer, never) == 0

    def test_a_blob_of_another_repository_is_mounted(self, registry: Registry) -> None:
        layer, source = blob_of(b"content")
        registry.push_blob("base", layer, source)
        assert registry.push_blob("web", layer, source, mount_from="base") == 0
        with registry.open("web", layer.digest) as stream:
            assert stream.read() == b"content"

    def test_a_mount_that_cannot_be_is_an_ordinary_push(self, registry: Registry) -> None:
        layer, source = blob_of(b"content")
        assert registry.push_blob("web", layer, source, mount_from="nowhere") == layer.size

    def test_content_that_is_not_its_digest_is_refused(self, registry: Registry) -> None:
        layer, _ = blob_of(b"content")
        _, other = blob_of(b"CONTENT")
        with pytest.raises(OutsideError):
            registry.push_blob("web", layer, other)
        with pytest.raises(OutsideError), registry.open("web", layer.digest) as stream:
            stream.read()

    def test_content_cut_short_is_refused(self, registry: Registry) -> None:
        layer, _ = blob_of(b"content")
        _, shorter = blob_of(b"conte")
        with pytest.raises(OutsideError):
            registry.push_blob("web", layer, shorter)
        assert registry.push_blob("web", *blob_of(b"content")) == layer.size

    def test_an_unknown_digest_cannot_be_read(self, registry: Registry) -> None:
        for manifest in (False, True):
            with (
                pytest.raises(OutsideError),
                registry.open("web", "sha256:" + "0" * 64, manifest=manifest) as stream,
            ):
                stream.read()

    def test_many_threads_push_at_once(self, registry: Registry) -> None:
        with ThreadPoolExecutor(8) as pool:
            pushed = list(pool.map(lambda n: self.push_image(registry, f"t{n}", b"%d" % (n % 3)), range(24)))
        assert [registry.find("web", f"t{n}") for n in range(24)] == pushed


class ReferrersSuite(RegistrySuite):
    """The contract of `Referrers`, for a fixture `registry` that has both ports."""

    def attach(self, registry: Registry, image: Descriptor, media_type: str, content: bytes) -> Descriptor:
        """Push an artifact that refers to an image; answers its manifest."""
        document = Document(descriptor_of(content, media_type), content)
        registry.push_blob("web", *blob_of(EMPTY.content, EMPTY.descriptor.media_type))
        registry.push_blob("web", *blob_of(content, media_type))
        manifest = artifact_manifest(document, image)
        return registry.push_manifest("web", manifest.descriptor.digest, manifest.content, MANIFEST)

    def test_an_image_nobody_refers_to_has_no_referrers(self, registry: ReferringRegistry) -> None:
        image = self.push_image(registry, "v1", b"one")
        assert list(registry.referrers("web", image.digest)) == []
        assert list(registry.referrers("web", "sha256:" + "0" * 64)) == []
        assert list(registry.referrers("absent", image.digest)) == []

    def test_lists_what_refers_to_an_image_and_nothing_else(self, registry: ReferringRegistry) -> None:
        first, second = (self.push_image(registry, tag, tag.encode()) for tag in ("v1", "v2"))
        notes = [self.attach(registry, first, f"application/x{n}", b"%d" % n) for n in range(3)]
        self.attach(registry, second, "application/x9", b"9")
        found = registry.referrers("web", first.digest)
        assert {(one.manifest, one.artifact_type) for one in found} == {
            (note, f"application/x{n}") for n, note in enumerate(notes)
        }


class BuilderSuite:
    """Runs on the fixtures `builder`, `registry` and `context`, a folder that the builder accepts."""

    @pytest.fixture
    def builder(self) -> ImageBuilder:
        raise NotImplementedError("a subclass provides the builder under test")

    @pytest.fixture
    def registry(self) -> Registry:
        raise NotImplementedError("a subclass provides an empty registry")

    @pytest.fixture
    def context(self, tmp_path: Path) -> Path:
        raise NotImplementedError("a subclass provides a folder to build")

    def request_for(self, context: Path, *tags: str) -> BuildRequest:
        """A request as the stage makes it."""
        return BuildRequest("web", context, read_context(context).entries, "web", tags or ("ih-1",))

    def test_accepts_a_folder_it_can_build(self, builder: ImageBuilder, context: Path) -> None:
        assert builder.accepts(context) is None

    def test_says_why_it_does_not_accept(self, builder: ImageBuilder, tmp_path: Path) -> None:
        reason = builder.accepts(tmp_path / "missing")
        assert reason
        assert not reason.endswith(".")

    def test_states_its_version(self, builder: ImageBuilder) -> None:
        assert builder.version

    def test_the_image_is_in_the_registry_under_every_tag(
        self, builder: ImageBuilder, registry: Registry, context: Path
    ) -> None:
        built = builder.build(self.request_for(context, "ih-1", "main"), registry, lambda _line: None)
        assert registry.find("web", "ih-1") == built
        assert registry.find("web", "main") == built
        assert registry.find("web", built.digest) == built

    def test_tells_what_it_does(self, builder: ImageBuilder, registry: Registry, context: Path) -> None:
        lines: list[str] = []
        builder.build(self.request_for(context), registry, lines.append)
        assert lines
        assert not any("\n" in line for line in lines)
