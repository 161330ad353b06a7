"""``.pipegraft/NAME.yaml`` beside the app, and what an environment runs by it or by its app spec.

The file holds what Pipegraft must remember that the app's files cannot say: with `targets` the release and
its images, for supersession and promotion; after a rollback the release that was taken back, so that a late
or repeated pipeline does not bring it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipegraft.appspec.environment_file import environment_path, images_of, read_environment
from pipegraft.core.delivery import Delivery
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import UsageError
from pipegraft.core.model import Model, Name
from pipegraft.core.release import ReleaseMark
from pipegraft.iac.references import PinnedImage
from pipegraft.text.yaml import Put, Remove, apply
from pipegraft.text.yaml.values import Value

__all__ = ["EnvironmentState", "read_state", "released_in", "state_path", "without_taken_back", "write_state"]

_HEAD = "# Written by pipegraft. Deleting it forgets which release is newest here.\n"


class EnvironmentState(Model):
    """The whole file."""

    release: ReleaseMark | None = None
    """The newest release written to targets."""
    images: Mapping[Name, str] = {}
    """Component → reference, as that release has them."""
    taken_back: ReleaseMark | None = None
    """The newest release that was rolled back by hand."""


def state_path(folder: str | None, environment: str) -> str:
    """Its path in the IaC repository; `folder` is the app's, None for the root."""
    path = f".pipegraft/{environment}.yaml"
    return f"{folder.rstrip('/')}/{path}" if folder else path


def read_state(text: str | None, file: str) -> EnvironmentState:
    """Read the file; nothing is remembered if there is none.

    Raises:
        ConfigError: it is not what Pipegraft writes.
    """
    return parse_document(text, file, EnvironmentState) if text and text.strip() else EnvironmentState()


def without_taken_back(text: str, file: str) -> str | None:
    """The file without a memory of a release that was taken back; None if it remembers nothing else."""
    state = read_state(text, file)
    return apply(text, [Remove(("taken-back",))], file=file) if state.release or state.images else None


def write_state(text: str | None, state: EnvironmentState, file: str) -> str:
    """The file with what `state` remembers; what it leaves out stays.

    Raises:
        EditRefused: the file is not what Pipegraft writes.
    """
    content: dict[str, Value] = state.model_dump(mode="json", exclude_defaults=True)
    if not text or not text.strip():
        text = f"{_HEAD}{next(iter(content))}: {{}}\n"  # an entry for the editor to begin with
    return apply(text, [Put((key,), value) for key, value in content.items()], file=file)


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
