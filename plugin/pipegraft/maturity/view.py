"""A repository as signals see it, over any source of files; everything is read when it is first asked for."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING

from pipegraft.core.configuration import parse_document
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import PipegraftError, Place
from pipegraft.maturity.jobs import gitlab_ci, jenkins_ci
from pipegraft.maturity.model import Evidence
from pipegraft.maturity.ports import Ci, Iac

if TYPE_CHECKING:
    from re import Pattern

__all__ = ["FileTree", "RepositoryView"]

_DELIVERY = "delivery.yaml"


class FileTree:
    """Files and their texts.

    Arguments:
        files: path of every file.
        read: path → text, None if it is no text.
    """

    def __init__(self, files: Sequence[str], read: Callable[[str], str | None]) -> None:
        self.files = tuple(sorted(files))
        self._known = frozenset(self.files)
        self._read = lru_cache(maxsize=None)(read)

    def read(self, path: str) -> str | None:
        return self._read(path) if path in self._known else None

    def find(self, *patterns: str) -> Sequence[str]:
        return self._find(patterns)

    @cache  # noqa: B019 - a view lives as long as one assessment
    def _find(self, patterns: tuple[str, ...]) -> Sequence[str]:
        whole, names = _compiled(patterns)
        return tuple(
            path
            for path in self.files
            if (whole and whole.fullmatch(path)) or (names and names.fullmatch(path.rpartition("/")[2]))
        )

    def search(self, pattern: str, *patterns: str, limit: int = 3) -> Sequence[Evidence]:
        compiled = re.compile(pattern, re.MULTILINE)
        found: list[Evidence] = []
        for path in self.find(*patterns):
            text = self.read(path) or ""
            for match in compiled.finditer(text):
                found.append(evidence_at(path, text, match.start()))
                if len(found) == limit:
                    return found
        return found


class RepositoryView(FileTree):
    """A source repository; see `pipegraft.maturity.ports.Repository`.

    Arguments:
        name: what to call it.
        iac: opens the IaC repository of a delivery; answers None if it cannot be read from here.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[str],
        read: Callable[[str], str | None],
        iac: Callable[[Delivery], Iac | None] = lambda _delivery: None,
    ) -> None:
        super().__init__(files, read)
        self.name = name
        self._open_iac = iac

    @cached_property
    def ci(self) -> Ci | None:
        text = self.read(".gitlab-ci.yml")
        if text is not None:
            return gitlab_ci(".gitlab-ci.yml", text, self.read, self.find)
        text = self.read("Jenkinsfile")
        return jenkins_ci("Jenkinsfile", text) if text is not None else None

    @cached_property
    def _delivery(self) -> tuple[Delivery | None, str]:
        text = self.read(_DELIVERY)
        if text is None:
            return None, ""
        try:
            return parse_document(text, _DELIVERY, Delivery), ""
        except PipegraftError as error:
            return None, str(error.problems[0])

    @property
    def delivery(self) -> Delivery | None:
        return self._delivery[0]

    @property
    def delivery_problem(self) -> str:
        return self._delivery[1]

    @cached_property
    def iac(self) -> Iac | None:
        return self._open_iac(self.delivery) if self.delivery else None


def evidence_at(path: str, text: str, at: int) -> Evidence:
    """The line of a text that holds a position."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[start : end if end >= 0 else len(text)]
    return Evidence(Place(path, text.count("\n", 0, at) + 1), line.strip()[:160])


@lru_cache(maxsize=512)
def _compiled(patterns: tuple[str, ...]) -> tuple[Pattern[str] | None, Pattern[str] | None]:
    """One expression for patterns of paths and one for patterns of names."""
    whole = [fnmatch.translate(pattern) for pattern in patterns if "/" in pattern]
    names = [fnmatch.translate(pattern) for pattern in patterns if "/" not in pattern]
    return tuple(re.compile("|".join(group)) if group else None for group in (whole, names))  # type: ignore[return-value]
