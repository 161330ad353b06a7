"""Whether an image's provenance is what an environment requires."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from pipegraft.core.delivery import Requirements
from pipegraft.images.attestations import Provenance

__all__ = ["refuse_provenance"]


def refuse_provenance(required: Requirements, digest: str, statements: Iterable[Provenance]) -> str | None:
    """Why an image may not be released, None if one of the statements is enough.

    Arguments:
        required: what the environment requires.
        digest: of the image.
        statements: what is said about it in its registry.
    """
    reasons = [_lacks(required, digest, statement) for statement in statements]
    if None in reasons:
        return None
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason)) or "there is none in the registry"


def _lacks(required: Requirements, digest: str, statement: Provenance) -> str | None:
    if digest not in statement.subjects:
        return "a statement that refers to it is about another image"
    if not statement.commits:
        return "it names no source commit"
    if not _fits(required.builders, [statement.builder]):
        return f"expected a builder like {_listed(required.builders)}, found '{statement.builder}'"
    if not _fits(required.repositories, statement.repositories):
        found = _listed(statement.repositories) or "none"
        return f"expected a source repository like {_listed(required.repositories)}, found {found}"
    return None


def _fits(patterns: Sequence[str], values: Sequence[str]) -> bool:
    """Whether there is a value, and all match a pattern; anything does without patterns."""
    if not patterns:
        return True
    return bool(values) and all(
        any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns) for value in values
    )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
