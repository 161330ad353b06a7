"""Patterns of paths as GitLab's includes have them: ``*`` stays within a folder, ``**`` does not.

Source: https://docs.gitlab.com/ci/yaml/includes/#use-includelocal-with-wildcard-file-paths ;
``configs/**.yml`` finds files in ``configs`` and below it, ``configs/**/*.yml`` those below it alone.
"""

from __future__ import annotations

import re

__all__ = ["fixed_folder", "pattern_of"]


def pattern_of(written: str) -> re.Pattern[str]:
    """What a path must match, from the repository's root on."""
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?)", written.lstrip("/"))
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)


def fixed_folder(written: str) -> str:
    """The folder below which everything lies that can match; empty for the root."""
    head = re.split(r"[*?]", written.lstrip("/"), maxsplit=1)[0]
    return head.rpartition("/")[0]
