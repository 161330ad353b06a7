"""What the commits of a gray release do to the environment file; every other byte stays.

The gray block is an overlay: promotion moves its values into `components`, rollback takes the block away.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml import Edit, Path, Put, Remove, Set, apply, get_value
from pipegraft.text.yaml.reading import Read

__all__ = ["promote", "revert", "roll_back", "set_phase", "set_weight"]

_GRAY: Path = ("gray",)
_VARIABLES: Path = ("env",)
"""Below ``gray.components.NAME``: the reference in there is one value."""


def set_weight(text: str, weight: int, *, file: str) -> str:
    """Give gray this share of the requests, and go on."""
    return apply(text, [Set(("gray", "weight"), weight), Set(("gray", "phase"), "step")], file=file)


def set_phase(text: str, phase: str, *, file: str) -> str:
    """Say what the gray release is doing; the weight stays."""
    return apply(text, [Set(("gray", "phase"), phase)], file=file)


def promote(text: str, *, file: str) -> str:
    """Make gray what serves: its values move into the environment, and the block goes.

    Raises:
        EditRefused: there is no gray block, or it cannot be moved exactly.
    """
    block = _mapping(text, _GRAY, file)
    release = _mapping(text, ("gray", "release"), file)
    edits: list[Edit] = [
        Put((*path[1:],), value) for path, value in _leaves(block["components"], ("gray", "components"))
    ]
    edits += [Put(("release", key), value) for key, value in release.items()]
    return apply(text, [*edits, Remove(_GRAY)], file=file)


def roll_back(text: str, before: str | None, *, file: str) -> str:
    """Take the gray block away.

    Arguments:
        text: the file as it is, with a gray block.
        before: the file as it was before the block came, None if nobody knows.

    Returns:
        `before`, to the byte, if nothing but the block was changed since; else what is there, without
        the block.
    """
    without = apply(text, [Remove(_GRAY)], file=file)
    if before is None or without == before:
        return without
    block = get_value(text, _GRAY, file=file)
    try:
        again = apply(before, [Put(_GRAY, block)], file=file)
    except EditRefused:
        return without
    return before if again == text else without


def revert(text: str, promoted: str, before: str | None, *, file: str) -> str:
    """Take a promotion back.

    Arguments:
        text: the file as it is, without a gray block.
        promoted: the file as it was when it was promoted, with the gray block.
        before: the file as it was before the block came, None if nobody knows.

    Returns:
        `before`, to the byte, if nothing else was changed since; else what is there, with the values of
        the promoted overlay as they were.
    """
    stable = roll_back(promoted, before, file=file)
    if text == promote(promoted, file=file):
        return stable
    overlay = _mapping(promoted, ("gray", "components"), file)
    paths = [path[1:] for path, _ in _leaves(overlay, ("gray", "components"))]
    paths += [("release", "number"), ("release", "source")]
    return apply(text, [_restore(stable, text, path, file) for path in paths], file=file)


def _restore(stable: str, text: str, path: Path, file: str) -> Edit:
    """As it was; what was not there goes, with every mapping that it alone had brought."""
    if _has(stable, path, file):
        return Put(path, get_value(stable, path, file=file))
    while not _has(stable, path[:-1], file) and len(_mapping(text, path[:-1], file)) == 1:
        path = path[:-1]
    return Remove(path)


def _has(text: str, path: Path, file: str) -> bool:
    try:
        get_value(text, path, file=file)
    except EditRefused:
        return False
    return True


def _leaves(value: Read, path: Path) -> Iterator[tuple[Path, Read]]:
    """Everything that overlays replace whole, with its path; see `pipegraft.appspec.merging`."""
    if isinstance(value, dict) and value and path[3:-1] != _VARIABLES:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _mapping(text: str, path: Path, file: str) -> dict[str, Read]:
    found = get_value(text, path, file=file)
    if not isinstance(found, dict):
        raise EditRefused(f"expected '{'.'.join(map(str, path))}' to be a mapping in {file}")
    return found
