"""What renders the files of an IaC repository as its engine does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipegraft.core.stage import Port

__all__ = ["RENDERERS", "FakeRenderer", "Renderer"]


class Renderer(Protocol):
    """A program that renders a folder: ``helm template``, ``kustomize build``."""

    @property
    def name(self) -> str:
        """Its name and version, for records."""

    def render(self, files: Mapping[str, bytes], folder: str, values: Sequence[str] = ()) -> str:
        """Render a folder; nothing is asked of a network.

        Arguments:
            files: path → content of everything that takes part.
            folder: which folder of them; empty for the root.
            values: paths of values files, in the order in which they count.

        Returns:
            The manifests, as YAML documents.

        Raises:
            EditRefused: they cannot be rendered, with the program's words.
            OutsideError: the program did not end in time.
        """


@dataclass(frozen=True, slots=True)
class FakeRenderer:
    """A renderer that is a function of the files.

    Arguments:
        rendered: files, folder and values files → manifests.
        name: for records.
    """

    rendered: Callable[[Mapping[str, bytes], str, Sequence[str]], str]
    name: str = field(default="fake 1.0")

    def render(self, files: Mapping[str, bytes], folder: str, values: Sequence[str] = ()) -> str:
        return self.rendered(files, folder, values)


RENDERERS: Port[[], Mapping[str, Renderer]] = Port("renderers")
"""``helm`` and ``kustomize``, those that are there."""
