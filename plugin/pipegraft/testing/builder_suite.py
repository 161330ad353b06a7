"""What every `ImageBuilder` must do. Subclass `BuilderSuite` in a test module and provide the fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipegraft.images.build_context import read_context
from pipegraft.images.ports.builders import BuildRequest, ImageBuilder
from pipegraft.images.ports.registry import Registry

__all__ = ["BuilderSuite"]


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
