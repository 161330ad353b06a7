"""What holds for every test: Hypothesis tries the same examples, on no clock; secrets are forgotten."""

from __future__ import annotations

import pytest
from hypothesis import settings

from pipegraft.core import foreign_text

settings.load_profile("ci")  # Hypothesis' own: derandomized, no deadline, no database of earlier failures


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_text, "_SECRETS", foreign_text._Secrets())
