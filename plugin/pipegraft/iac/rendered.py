"""A branch whose rendered manifests follow its environments: both change in the same commit.

Whoever writes (a bump, a step of a gray release, a rollback) writes `environments/NAME.yaml` alone. What is
rendered follows from the app spec at that commit and nothing else, so a restored file has the manifests it
had before, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from pipegraft.appspec.environment_file import app_path, read_environment
from pipegraft.appspec.rendered_files import environment_of, rendered_path
from pipegraft.core.errors import UsageError
from pipegraft.iac.optimistic_commit import Change, Changes, Read
from pipegraft.iac.ports.repository import Commit, IacBranch

__all__ = ["Render", "RenderedBranch"]

Render = Callable[[str, str, str], str]
"""Text of ``app.yaml``, text of an environment's file, name of the environment → its manifests."""


class RenderedBranch:
    """`IacBranch` that adds manifests to what is written.

    Arguments:
        branch: the branch itself.
        renders: folder of an app, empty for the root → how its environments are rendered.
    """

    def __init__(self, branch: IacBranch, renders: Mapping[str, Render]) -> None:
        self._branch = branch
        self._renders = renders

    def turn(self) -> AbstractContextManager[None]:
        return self._branch.turn()

    def tip(self) -> str:
        return self._branch.tip()

    def read(self, path: str, at: str) -> str | None:
        return self._branch.read(path, at)

    def contains(self, revision: str, at: str) -> bool:
        return self._branch.contains(revision, at)

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        return self._branch.log(path, limit=limit)

    def complete(self, change: Change) -> Change:
        """An edit with its manifests: one that cannot be rendered is refused by itself."""

        def whole(read: Read) -> Changes | None:
            made = change(read)
            return made and Changes(self._with_manifests(made.files, read), made.message)

        return whole

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        """As the branch does, with the manifests of the environments that change.

        Raises:
            ConfigError: an environment cannot be rendered; nothing was written.
        """
        whole = self._with_manifests(changes, lambda path: self._branch.read(path, parent))
        return self._branch.commit(whole, message, parent)

    def commit_all(self, commits: Sequence[tuple[Mapping[str, str | None], str]], parent: str) -> list[str]:
        """As the branch does, with the manifests of the environments that change in each."""
        held: dict[str, str | None] = {}

        def read(path: str) -> str | None:
            return held[path] if path in held else self._branch.read(path, parent)

        whole = []
        for changes, message in commits:
            added = self._with_manifests(changes, read)
            held |= added
            whole.append((added, message))
        return self._branch.commit_all(whole, parent)

    def _with_manifests(self, changes: Mapping[str, str | None], read: Read) -> dict[str, str | None]:
        whole = dict(changes)
        for path, text in changes.items():
            place = environment_of(path)
            if place is None or place[0] not in self._renders:
                continue
            folder, name = place
            rendered = rendered_path(folder, name)
            if rendered in changes:
                continue
            if text is not None and read_environment(text, path).release:
                app = app_path(folder)
                whole[rendered] = self._renders[folder](_text(changes, app, read), text, name)
            elif read(rendered) is not None:  # nothing is released there: nothing is to run
                whole[rendered] = None
        return whole


def _text(changes: Mapping[str, str | None], path: str, read: Read) -> str:
    text = changes[path] if path in changes else read(path)
    if text is None:
        raise UsageError(f"expected {path} in the IaC repository, found nothing", fix="commit it")
    return text
