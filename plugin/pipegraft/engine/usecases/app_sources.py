"""Where the engine's applications are declared: repositories, folders in them, environments."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pipegraft.iac.ports.repository import IacRepository

__all__ = ["Place", "Source", "source_name"]


@dataclass(frozen=True, slots=True)
class Place:
    """One environment of one application.

    Arguments:
        source: `source_name` of the repository and its branch.
        folder: the app's folder in a repository shared by several, empty for the root.
    """

    source: str
    folder: str
    environment: str

    @property
    def key(self) -> str:
        """Tells it from every other place, in names of files."""
        digest = hashlib.sha256(f"{self.source}\n{self.folder}".encode()).hexdigest()
        return f"{self.environment}-{digest[:12]}"

    def __str__(self) -> str:
        folder = f"{self.folder}/" if self.folder else ""
        return f"{folder}environments/{self.environment}.yaml of {self.source}"


@dataclass(frozen=True, slots=True)
class Source:
    """One branch of one repository, with everything in it that the engine applies.

    Arguments:
        url: of the repository, or its path.
    """

    url: str
    branch: str
    repository: IacRepository
    places: tuple[Place, ...]

    @property
    def name(self) -> str:
        """What people call it."""
        return source_name(self.url, self.branch)


def source_name(url: str, branch: str) -> str:
    """Repository and branch, without the credentials that a URL may hold."""
    return f"{re.sub(r'(?<=://)[^/@]*@', '', url)} ({branch})"
