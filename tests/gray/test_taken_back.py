from __future__ import annotations

import pytest

from pipegraft.gray.branch import taken_back
from pipegraft.iac.ports import FakeIacRepository

PATH = "environments/production.yaml"
STATE = ".pipegraft/production.yaml"


def mark(number: int) -> str:
    return f"release: {{number: {number}, source: {'a' * 40}}}\n"


GRAY = f"{mark(12)}gray:\n  {mark(13)}  weight: 0\n  phase: step\n  components: {{web: {{}}}}\n"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({PATH: mark(13)}, None),
        ({PATH: mark(14)}, None),
        ({PATH: mark(12)}, "takes release 13 back: it has release 12"),
        ({PATH: GRAY}, None),
        ({STATE: mark(13)}, None),
        ({STATE: mark(12)}, "it has release 12"),
        ({PATH: mark(12), STATE: f"taken-back: {mark(13).removeprefix('release: ')}"}, "was rolled back by"),
        ({PATH: "release: nonsense"}, None),
        ({"values.yaml": "image: x"}, None),
    ],
)
@pytest.mark.parametrize("folder", [None, "apps/shop"])
def test_the_content_of_a_later_commit_tells(
    files: dict[str, str], says: str | None, folder: str | None
) -> None:
    placed = {f"{folder}/{path}" if folder else path: text for path, text in files.items()}
    repository = FakeIacRepository(placed)
    found = taken_back(repository, folder, "production", 13)(repository.tip())
    assert says is None if found is None else says is not None and says in found
