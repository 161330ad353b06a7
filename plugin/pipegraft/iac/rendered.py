"""A branch where no environment is committed that cannot be rendered, with its manifests where wanted.

What commits say there is in the words that the delivery has for them.

Whoever writes (a bump, a step of a gray release, a rollback, a fleet) writes `environments/NAME.yaml` alone.
What is rendered follows from the app spec at that commit and nothing else, so a restored file has the
manifests it had before, byte for byte but for KubeVela's `publishVersion`; so have Applications of others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pipegraft.appspec.environment_file import app_path, read_environment
from pipegraft.appspec.rendering.oam import PUBLISH_VERSION
from pipegraft.appspec.rendering.yaml_output import environment_of, rendered_path, with_own_version
from pipegraft.core.errors import EditRefused, UsageError
from pipegraft.core.hooks import Closable
from pipegraft.iac.optimistic_commit import Change, Changes
from pipegraft.iac.ports import Commit, CommitFiles, Edited, Files, IacBranch
from pipegraft.iac.targets.objects import value_at
from pipegraft.text.yaml import Path, Set, apply, read_documents

__all__ = ["Render", "RenderedApp", "RenderedBranch"]

Render = Callable[[str, str, str], str]
"""Text of ``app.yaml``, text of an environment's file, name of the environment → its manifests."""


@dataclass(frozen=True, slots=True)
class RenderedApp:
    """How the environments of an application are rendered.

    Arguments:
        render: does it; raises where it cannot be done.
        kept: whether the manifests are committed too.
    """

    render: Render
    kept: bool


class RenderedBranch:
    """`IacBranch` that refuses what cannot be rendered, and adds manifests to what is written.

    Arguments:
        branch: the branch itself.
        apps: folder of an app, empty for the root → how its environments are rendered.
        word: turns what a commit would say into what it says.
    """

    def __init__(
        self,
        branch: IacBranch,
        apps: Mapping[str, RenderedApp],
        word: Callable[[str], str] = lambda message: message,
    ) -> None:
        self.branch = branch
        self._apps = apps
        self._word = word

    def turn(self) -> AbstractContextManager[None]:
        return self.branch.turn()

    def tip(self) -> str:
        return self.branch.tip()

    def read(self, path: str, at: str) -> str | None:
        return self.branch.read(path, at)

    def files_below(self, folder: str, at: str) -> Mapping[str, bytes]:
        return self.branch.files_below(folder, at)

    def contains(self, revision: str, at: str) -> bool:
        return self.branch.contains(revision, at)

    def log(self, path: str | None = None, *, limit: int | None = None) -> Sequence[Commit]:
        return self.branch.log(path, limit=limit)

    def complete(self, change: Change) -> Change:
        """An edit with its manifests: one that cannot be rendered is refused by itself."""

        def whole(read: Files) -> Changes | None:
            made = change(read)
            return made and Changes(self._with_manifests(made.files, read), made.message)

        return whole

    def commit(self, changes: Mapping[str, str | None], message: str, parent: str) -> str:
        """As the branch does, with the manifests of the environments that change.

        Raises:
            ConfigError: an environment cannot be rendered; nothing was written.
            UsageError: what the commit is to say cannot be made; nothing was written.
        """
        whole = self._with_manifests(changes, CommitFiles(self.branch, parent))
        return self.branch.commit(whole, self._word(message), parent)

    def commit_all(self, commits: Sequence[tuple[Mapping[str, str | None], str]], parent: str) -> list[str]:
        """As the branch does, with the manifests of the environments that change in each."""
        held: dict[str, str | None] = {}
        read = Edited(CommitFiles(self.branch, parent), held)
        whole = []
        for changes, message in commits:
            added = self._with_manifests(changes, read)
            held |= added
            whole.append((added, self._word(message)))
        return self.branch.commit_all(whole, parent)

    def close(self) -> None:
        """Close the branch, if it holds something open."""
        if isinstance(self.branch, Closable):
            self.branch.close()

    def _with_manifests(self, changes: Mapping[str, str | None], read: Files) -> dict[str, str | None]:
        whole = dict(changes)
        for path, text in changes.items():
            place = environment_of(path)
            if place is None or place[0] not in self._apps:
                whole[path] = text and _with_own_versions(text, read(path), path)
                continue
            folder, name = place
            app, rendered = self._apps[folder], rendered_path(folder, name)
            if rendered in changes:
                continue
            if text is not None and read_environment(text, path).release:
                made = app.render(_text(changes, app_path(folder), read), text, name)
                if app.kept:
                    whole[rendered] = with_own_version(made, read(rendered))
            elif app.kept and read(rendered) is not None:  # nothing is released there: nothing is to run
                whole[rendered] = None
        return whole


_PUBLISHED: Path = ("metadata", "annotations", PUBLISH_VERSION)


def _with_own_versions(text: str, before: str | None, file: str) -> str:
    """A file whose Applications of KubeVela have a `publishVersion` that none had before, where they change.

    KubeVela applies a version once: with an old one it would go on with what runs.
    """
    if not before or PUBLISH_VERSION not in text or text == before:
        return text
    try:
        old, new = read_documents(before, file), read_documents(text, file)
    except EditRefused:  # a template
        return text
    for number, document in enumerate(new):
        version = value_at(document, _PUBLISHED)
        held = next((one for one in old if _is_same(one, document)), None)
        if isinstance(version, str) and held is not None and held != document:
            said = f"{version} after {value_at(held, _PUBLISHED)}: {document}"
            own = hashlib.sha256(said.encode()).hexdigest()[:40]
            text = apply(text, [Set(_PUBLISHED, own)], document=number, file=file)
    return text


def _is_same(one: Any, other: Any) -> bool:
    """Whether two documents are one object."""
    places = (("kind",), ("metadata", "name"), ("metadata", "namespace"))
    return all(value_at(one, place) == value_at(other, place) for place in places)


def _text(changes: Mapping[str, str | None], path: str, read: Files) -> str:
    text = changes[path] if path in changes else read(path)
    if text is None:
        raise UsageError(f"expected {path} in the IaC repository, found nothing", fix="commit it")
    return text
