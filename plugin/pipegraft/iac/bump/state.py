"""``.pipegraft/NAME.yaml`` beside the app: what Pipegraft must remember that the app's files cannot say.

With `targets` it holds the release and its images, for supersession and promotion; after a rollback it
holds the release that was taken back, so that a late or repeated pipeline does not bring it again.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipegraft.core.delivery_file import parse_document
from pipegraft.core.model import Model, Name
from pipegraft.core.release import ReleaseMark
from pipegraft.text.yaml import Put, Remove, apply
from pipegraft.text.yaml.changes import Value

__all__ = ["EnvironmentState", "read_state", "state_path", "without_taken_back", "write_state"]

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
