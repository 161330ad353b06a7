"""Where the release record is kept between stages."""

from __future__ import annotations

from typing import Protocol

from pipegraft.core.release import Release

__all__ = ["FakeReleaseStore", "ReleaseStore"]


class ReleaseStore(Protocol):
    """One release record."""

    def load(self) -> Release:
        """The record as it is now.

        Raises:
            UsageError: it is missing or not readable as a record.
        """

    def save(self, release: Release) -> None:
        """Replace the record, whole or not at all."""


class FakeReleaseStore:
    """A record in memory."""

    def __init__(self, release: Release) -> None:
        self.release = release

    def load(self) -> Release:
        return self.release

    def save(self, release: Release) -> None:
        self.release = release
