"""The release record as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipegraft.core.adapters.files import RECORD, FileReleaseStore
from pipegraft.core.errors import UsageError
from pipegraft.testing.core_suite import ReleaseStoreSuite


class TestFileReleaseStore(ReleaseStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], FileReleaseStore]:
        return lambda: FileReleaseStore(tmp_path / RECORD)


def test_no_record_says_which_stage_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist") as caught:
        FileReleaseStore(tmp_path / RECORD).load()
    assert "run image-build first" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b"\xff"])
def test_what_is_no_record_is_refused_with_its_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "release.json"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="expected a release record") as caught:
        FileReleaseStore(file).load()
    assert str(file) in str(caught.value)
    assert file.read_bytes() == content
