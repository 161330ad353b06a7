"""What an environment runs, to be carried to another one."""

from __future__ import annotations

from collections.abc import Callable

from pipegraft.appspec.environment_file import environment_path, images_of, read_environment
from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import UsageError
from pipegraft.core.release import ReleaseMark
from pipegraft.iac.bump.state import read_state, state_path
from pipegraft.iac.pinned import PinnedImage

__all__ = ["released_in"]


def released_in(
    read: Callable[[str], str | None], delivery: Delivery, origin: str, destination: str
) -> tuple[ReleaseMark, dict[str, PinnedImage]]:
    """The release that an environment runs, and its images.

    Arguments:
        read: text of a file of the IaC repository, None if it does not exist.
        delivery: the delivery as declared.
        origin: the environment to carry from.
        destination: the environment to carry to.

    Raises:
        UsageError: there is no such environment, nothing is released there, or a gray release is under way.
    """
    if origin not in delivery.environments or origin == destination:
        others = [name for name in delivery.environments if name != destination]
        raise UsageError(
            f"expected another environment to promote from, found '{origin}'",
            fix=f"use one of: {', '.join(others)}" if others else "declare it in delivery.yaml",
        )
    folder = delivery.iac.path
    if delivery.environments[origin].targets:
        path = state_path(folder, origin)
        state = read_state(read(path), path)
        mark, references = state.release, dict(state.images)
    else:
        path = environment_path(folder, origin)
        held = read_environment(read(path) or "", path)
        if held.gray:
            raise UsageError(
                f"'{origin}' is in the middle of a gray release of {held.gray.release.number}",
                fix="wait until it is promoted or taken back, then promote from there",
            )
        mark, references = held.release, images_of(held)
    images = {name: PinnedImage.parse(one) for name, one in references.items() if name in delivery.components}
    if mark is None or not images:
        raise UsageError(
            f"nothing is released in '{origin}' yet: {path} names no release", fix="deliver there first"
        )
    return mark, images
