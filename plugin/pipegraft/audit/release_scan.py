"""What one version of an environment's file holds: read whole for a release, scanned for a whole history."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipegraft.appspec.environment_file import images_of, read_environment
from pipegraft.core.errors import PipegraftError
from pipegraft.core.release import ReleaseMark
from pipegraft.iac.released_images import read_state

__all__ = ["Digests", "Held", "digests_in", "is_state", "read_held"]

_GRAY = re.compile(r"^gray:.*?(?=^[^\s#]|\Z)", re.MULTILINE | re.DOTALL)
_RELEASE = re.compile(r"^release:.*?(?=^[^\s#]|\Z)", re.MULTILINE | re.DOTALL)
_DIGEST = re.compile(r"@(sha256:(?!0{64})[0-9a-f]{64})")
"""Of an image: sums in other values are none, and zeros stand where nothing was released yet."""
_NUMBER = re.compile(r"\bnumber:\s*(\d+)")
_WEIGHT = re.compile(r"\bweight:\s*(\d+)")
_COMMENTED = re.compile(r"#[^\n]*sha256:")
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Held:
    """An environment's file at one commit.

    Arguments:
        images: component → reference that serves.
        gray: component → reference of the new version; empty unless a gray release runs.
        release: the release that serves, if the file says so.
        gray_release: the release that is being released.
        weight: percent of the requests it gets.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    gray: Mapping[str, str] = field(default_factory=dict)
    release: ReleaseMark | None = None
    gray_release: ReleaseMark | None = None
    weight: int = 0

    @property
    def marks(self) -> tuple[ReleaseMark, ...]:
        """The releases it names, the newer version's first."""
        return tuple(mark for mark in (self.gray_release, self.release) if mark)

    def images_for(self, number: int) -> Mapping[str, str]:
        """The images as a release has them: its gray ones over those that serve."""
        gray = self.gray_release is not None and self.gray_release.number == number
        return {**self.images, **self.gray} if gray else self.images


def is_state(path: str) -> bool:
    """Whether a path is the file that remembers a release written to targets."""
    return ".pipegraft/" in f"/{path}"


def read_held(text: str | None, path: str) -> Held | None:
    """Read a file whole; None if it is not what Pipegraft writes."""
    try:
        if is_state(path):
            state = read_state(text, path)
            return Held(state.images, release=state.release)
        environment = read_environment(text or "", path)
    except PipegraftError:
        return None
    block = environment.gray
    return Held(
        images_of(environment),
        {name: one.image for name, one in block.components.items() if one.image} if block else {},
        environment.release,
        block.release if block else None,
        block.weight if block else 0,
    )


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests that a file names, without the components they belong to.

    Arguments:
        stable: of what serves.
        gray: of the gray block, whatever serves too.
        weight: percent of the requests for gray, 0 without a gray block.
        number: of the release that serves, None if the file does not say.
        gray_number: of the release that is being released, None without one.
        rest: stands for everything but both releases and the gray block; alike only if that is.
    """

    stable: frozenset[str]
    gray: frozenset[str]
    weight: int
    number: int | None = None
    gray_number: int | None = None
    rest: int = 0


def digests_in(text: str) -> Digests:
    """Scan a file: a thousand times in the time that a YAML parser reads it ten times.

    The gray block is the top-level key ``gray``; comments do not count.
    """
    plain = _COMMENT.sub("", text) if _COMMENTED.search(text) else text
    gray, rest = _cut(_GRAY, plain)
    release, rest = _cut(_RELEASE, rest)
    return Digests(
        frozenset(_DIGEST.findall(rest)),
        frozenset(_DIGEST.findall(gray)),
        _number(_WEIGHT, gray) or 0,
        _number(_NUMBER, release),
        _number(_NUMBER, gray),
        hash(rest),
    )


def _cut(block: re.Pattern[str], text: str) -> tuple[str, str]:
    """A top-level block, empty if there is none, and the text without it."""
    found = block.search(text)
    return (found[0], text[: found.start()] + text[found.end() :]) if found else ("", text)


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(found[1]) if found else None
