"""What a release written into files comes to, looked at with other readers than the ones that wrote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from target_files import IMAGES, Case

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import UsageError
from pipegraft.core.release import ReleaseMark
from pipegraft.iac.plan import BumpRequest, PlannedBump, plan_bump
from pipegraft.iac.ports import CommitFiles, FakeIacRepository, Renderer
from pipegraft.iac.released_images import PinnedImage

__all__ = ["Recorded", "assert_refused", "assert_written", "images_in", "written"]

_LINES_OF_AN_IMAGE = 5


@dataclass(slots=True)
class Recorded:
    """A renderer that keeps what it rendered, the files with the release first."""

    renderer: Renderer
    outputs: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.renderer.name

    def render(self, files: Mapping[str, bytes], folder: str, values: Sequence[str] = ()) -> str:
        self.outputs.append(self.renderer.render(files, folder, values))
        return self.outputs[-1]


def written(
    case: Case, renderers: Mapping[str, Renderer], images: Mapping[str, PinnedImage] = IMAGES
) -> PlannedBump:
    """Write a case's release into its files.

    Raises:
        UsageError: it is refused.
    """
    repository = FakeIacRepository(case.files)
    environment: dict[str, Any] = {
        "gate": {"engine": "embedded", "url": "http://127.0.0.1:9", "application": "shop"},
        "targets": list(case.targets),
        "effect": case.effect,
    }
    delivery = Delivery.model_validate(
        {
            "app": "shop",
            "registry": "registry.example.com/shop",
            "components": {name: {"path": name} for name in case.components},
            "iac": {"repository": "iac.git"},
            "environments": {"production": {key: one for key, one in environment.items() if one}},
        }
    )
    images = {name: images[name] for name in case.components}
    mark = ReleaseMark(number=2, source="c" * 40)
    request = BumpRequest(delivery, "production", mark, images, renderers=renderers)
    return plan_bump(CommitFiles(repository, repository.tip()), request)


def assert_refused(case: Case, error: UsageError) -> None:
    """It says what is wrong, where, and what to do."""
    said = "\n".join(str(one) for one in error.problems)
    assert re.search(case.refused, said), said
    assert all(one.fix or one.place for one in error.problems), said


def assert_written(case: Case, planned: PlannedBump) -> dict[str, str]:
    """Only the lines of its images changed, and the files hold them; answers the new texts."""
    texts = {path: text for path, text in planned.files.items() if not path.startswith(".pipegraft/")}
    for path, text in texts.items():
        _few_lines_changed(case.files[path], text, len(case.components))
    (only, *_) = sorted(case.runs)
    if only.startswith("(text)"):
        assert list(texts.values()) == [only.removeprefix("(text)")]
    elif only == "(not proven)":
        assert not all(one.proven for one in planned.effects)
    elif only != "(values)" and not case.rendered:
        documents = [one for text in texts.values() for one in yaml.load_all(text, _Lenient)]
        assert set(images_in(documents)) == case.runs
    return texts


def _few_lines_changed(before: str, after: str, images: int) -> None:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    changed = [one for one in difflib.ndiff(old, new) if one[:2] in {"- ", "+ "}]
    assert 0 < len(changed) <= 2 * _LINES_OF_AN_IMAGE * images, "".join(changed)


class _Lenient(yaml.SafeLoader):
    """PyYAML without what it takes for dates and for the value key, which other readers read as text."""


_Lenient.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":timestamp", ":value"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def images_in(data: Any) -> Iterator[str]:
    """Every image that a container or an image volume names."""
    if isinstance(data, list):
        for one in data:
            yield from images_in(one)
    elif isinstance(data, dict):
        image = data.get("image")
        if isinstance(image, str) and "name" in data:
            yield image
        elif isinstance(image, dict) and isinstance(image.get("reference"), str):
            yield image["reference"]
        for value in data.values():
            yield from images_in(value)
