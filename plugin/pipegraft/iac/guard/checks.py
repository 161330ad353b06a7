"""The checks: spec valid, images pinned, nothing secret, gray steps in order, no way around them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipegraft.appspec.environment_file import read_environment
from pipegraft.appspec.model.spec import App
from pipegraft.appspec.resources.binding import Platform
from pipegraft.appspec.spec import resolve
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.core.yaml_positions import load_marked_all
from pipegraft.iac.bump.state import read_state
from pipegraft.iac.guard.gray import gray_in_order
from pipegraft.iac.guard.images import pinned_in_manifests, pinned_in_spec
from pipegraft.iac.guard.rules import GUARD_FILE, GuardRules, matches, read_rules
from pipegraft.iac.guard.secrets import searchable, secret_manifests, secret_variables, secrets_in

__all__ = ["ChangedFile", "Files", "check_files"]

_ENVIRONMENT = re.compile(r"(?P<folder>(?:.+/)?)environments/(?P<name>[^/]+)\.yaml", re.DOTALL)
_APP = re.compile(r"(?P<folder>(?:.+/)?)app\.yaml", re.DOTALL)
_STATE = re.compile(r"(?:.+/)?\.pipegraft/[^/]+\.yaml", re.DOTALL)
_FOREIGN = re.compile(r"^apiVersion:", re.MULTILINE)
_LARGEST = 16_000_000
"""Bytes; an IaC repository holds text, and what nobody can read hides things."""
_LINKS = {"120000": "a symbolic link", "160000": "a submodule"}


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A path that a change touches.

    Arguments:
        path: in the repository; bytes that are no UTF-8 are escaped as by `os.fsdecode`.
        mode: as git writes it (gitformat-index(5)), six digits; zeros if the file is gone.
    """

    path: str
    mode: str


@dataclass(frozen=True, slots=True)
class Files:
    """Files at one moment.

    Arguments:
        content: path → what the file holds, None if there is none.
        names: folder, with its final slash or empty → names of the files in it.
        earlier: path → what the file held then and before, newest first; nothing if nobody knows.
    """

    content: Callable[[str], bytes | None]
    names: Callable[[str], Sequence[str]]
    earlier: Callable[[str], Iterable[bytes]] = lambda _path: ()

    def texts(self, path: str) -> Iterator[str]:
        """As `earlier`, those that are UTF-8."""
        for content in self.earlier(path):
            with suppress(UnicodeDecodeError):
                yield content.decode()

    def text(self, path: str) -> str | None:
        """A file's text, None if there is none or it is not UTF-8."""
        content = self.content(path)
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError:
            return None


def check_files(
    changed: Sequence[ChangedFile], before: Files | None, after: Files, rules: GuardRules, platform: Platform
) -> list[Problem]:
    """Everything wrong with a change.

    Arguments:
        changed: files that changed.
        before: all files as they were; None if that is not known, so that no order can be checked.
        after: all files as they are to be.
        rules: of the repository, as they were before.
        platform: what resources are provided by.
    """
    problems: list[Problem] = []
    touched = {one.path for one in changed}
    for one in changed:
        if one.mode in _LINKS:
            problems += [] if rules.links else [_link(one)]
            continue
        if app := _APP.fullmatch(one.path):
            problems += _environments(app["folder"], touched, before, after, platform)
        content = after.content(one.path)
        if content is None:
            continue
        if len(content) > _LARGEST:
            problems.append(
                Problem(
                    f"expected at most {_LARGEST // 1_000_000} MB, found {len(content) / 1e6:.0f}",
                    Place(one.path),
                    "keep it in a registry or an object store",
                )
            )
            continue
        old = (before.content(one.path) if before else None) or b""
        if rules.secrets:
            problems += secrets_in(searchable(content), searchable(old), one.path)
        problems += _check_text(one.path, before, after, rules, platform)
    return problems


def _link(one: ChangedFile) -> Problem:
    return Problem(
        f"{_LINKS[one.mode]}: what it leads to is not checked",
        Place(one.path),
        f"put the files themselves there, or set 'links: true' in {GUARD_FILE}",
    )


def _check_text(
    path: str, before: Files | None, after: Files, rules: GuardRules, platform: Platform
) -> Iterator[Problem]:
    text = after.text(path)
    ours = bool(_ENVIRONMENT.fullmatch(path) or _APP.fullmatch(path))
    declared = ours or path == GUARD_FILE or bool(_STATE.fullmatch(path))
    pinned = matches(path, rules.pinned_files) and path.endswith((".yaml", ".yml"))
    if text is None:
        if declared or pinned:
            yield Problem("expected text in UTF-8", Place(path), "save it as UTF-8")
        return
    if rules.secrets:
        yield from secret_manifests(path, text)
    if pinned:
        yield from pinned_in_manifests(path, text)
    if path == GUARD_FILE:
        yield from _parsed(lambda: read_rules(text))
    elif ours and not _is_foreign(text, path):
        yield from _check_ours(path, before, text, rules)
        yield from _spec(path, after, platform)
    elif declared and not ours:
        yield from _parsed(lambda: read_state(text, path))


def _check_ours(path: str, before: Files | None, text: str, rules: GuardRules) -> Iterator[Problem]:
    old = before.text(path) if before else None
    if rules.secrets:
        yield from secret_variables(path, old or "", text)
    if rules.pinned:
        yield from pinned_in_spec(path, text)
    if before and _ENVIRONMENT.fullmatch(path):
        yield from gray_in_order(path, old, text, rules.gray_steps, before.texts(path))


def _is_foreign(text: str, path: str) -> bool:
    """Whether it is a Kubernetes manifest, or a template of one, that has the name of one of our files."""
    if not _FOREIGN.search(text):
        return False
    try:
        documents = load_marked_all(text, path)
    except ConfigError:
        return True  # a template: nobody can read it as an app spec either
    return any(isinstance(one.data, dict) and "apiVersion" in one.data for one in documents)


def _environments(
    folder: str, touched: set[str], before: Files | None, after: Files, platform: Platform
) -> Iterator[Problem]:
    """Whether the environments that a change of their app spec leaves alone still fit to it."""
    app = f"{folder}app.yaml"
    paths = [f"{folder}environments/{name}" for name in after.names(f"{folder}environments/")]
    others = [path for path in paths if path not in touched and _ENVIRONMENT.fullmatch(path)]
    if after.content(app) is None:
        was = before.text(app) if before else None
        if others and was is not None and not _is_foreign(was, app):
            yield Problem(
                f"its environments stay without it: {', '.join(others)}", Place(app), "delete them too"
            )
        return
    if _is_foreign(after.text(app) or "", app):
        return
    for path in others:
        if not _is_foreign(after.text(path) or "", path):
            yield from _spec(path, after, platform)


def _spec(path: str, after: Files, platform: Platform) -> Iterator[Problem]:
    """Whether an app spec is one, and whether an environment fits to it."""
    text = after.text(path) or ""
    environment = _ENVIRONMENT.fullmatch(path)
    if environment is None:
        yield from _parsed(lambda: parse_document(text, path, App))
        return
    app_file = f"{environment['folder']}app.yaml"
    app_text = after.text(app_file)
    if app_text is not None:  # else it is the folder of a tool that is not ours
        name = environment["name"]
        yield from _parsed(lambda: _resolved(app_text, text, name, app_file, path, platform=platform))


def _resolved(app_text: str, text: str, name: str, app_file: str, file: str, *, platform: Platform) -> None:
    if read_environment(text, file).release:  # before the first release there are no images to resolve
        resolve(app_text, text, name, app_file=app_file, environment_file=file, platform=platform)


def _parsed(read: Callable[[], object]) -> Iterator[Problem]:
    try:
        read()
    except UsageError as error:
        yield from error.problems
