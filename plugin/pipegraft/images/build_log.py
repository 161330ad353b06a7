"""What a build prints, for people to read."""

from __future__ import annotations

import re

__all__ = ["plain_line"]


def plain_line(line: str) -> str:
    """A line as a terminal would show it, without what would move, colour or otherwise steer the terminal."""
    shown = line.rstrip("\r").rpartition("\r")[2]
    return re.sub(f"{_ESCAPE}|{_CONTROL}", "", shown)


_ESCAPE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])"
"""ECMA-48: a control sequence, an operating system command as xterm ends it, or another escape."""
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
