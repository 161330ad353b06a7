"""The example plugins can be imported without being installed."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in sorted(EXAMPLES.glob("plugin-*/src")):
        monkeypatch.syspath_prepend(source)
