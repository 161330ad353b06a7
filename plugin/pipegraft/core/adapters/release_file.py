"""The release record as a file in the workspace, which CI carries from job to job."""

from __future__ import annotations

from pathlib import Path

from pipegraft.core.adapters.files import write_atomically
from pipegraft.core.errors import Place, UsageError
from pipegraft.core.faults import read_json
from pipegraft.core.release import Release

__all__ = ["RECORD", "FileReleaseStore"]

RECORD = ".pipegraft/release.json"
"""Where the record lies, relative to the source repository."""


class FileReleaseStore:
    """`ReleaseStore` in a JSON file.

    Arguments:
        path: the file; its folder is made when needed.
        begin: what the record is until something is saved, whatever the file holds; what it holds if None.
    """

    def __init__(self, path: Path, begin: Release | None = None) -> None:
        self.path = path
        self._begin = begin
        self._last: tuple[bytes, Release] | None = None
        """What the file held when it was last read, and what that says."""

    def load(self) -> Release:
        if self._begin is not None:
            return self._begin
        place = Place(str(self.path))
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            raise UsageError("the release record does not exist", place=place, fix=_FIX) from None
        if self._last is None or self._last[0] != content:
            self._last = content, self._parsed(content)
        return self._last[1]

    def _parsed(self, content: bytes) -> Release:
        found = read_json(Release, content)
        if found.known is None or found.faults:
            first = found.faults[0]
            where = ".".join(map(str, first.route))
            raise UsageError(
                f"expected a release record, found something else ({where or 'JSON'}: {first.message})",
                place=Place(str(self.path)),
                fix="delete it and run image-build again",
            )
        return found.known

    def save(self, release: Release) -> None:
        content = release.model_dump_json(indent=2).encode() + b"\n"
        if not self._holds(content):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, content)
        self._begin = None

    def _holds(self, content: bytes) -> bool:
        try:
            return self.path.read_bytes() == content
        except OSError:
            return False  # writing says why, if it matters


_FIX = "run image-build first, and carry .pipegraft/release.json to this job as an artifact"
