"""The checks: spec valid, images pinned, nothing secret, gray steps in order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from pipegraft.domain.appspec import resolve
from pipegraft.domain.configuration import parse_document
from pipegraft.domain.environment_file import read_environment
from pipegraft.domain.guard.rules import GUARD_FILE, GuardRules, read_rules
from pipegraft.domain.resources.binding import Platform
from pipegraft.errors import ConfigError, Place, Problem, UsageError
from pipegraft.model.appspec import App
from pipegraft.text.marked import load_marked

__all__ = ["Read", "check_files"]

Read = Callable[[str], str | None]
"""Text of a file, None if it does not exist or is not text."""

_ENVIRONMENT = re.compile(r"(?P<folder>(?:.+/)?)environments/(?P<name>[^/]+)\.yaml")
_APP = re.compile(r"(?P<folder>(?:.+/)?)app\.yaml")
_FOREIGN = re.compile(r"^apiVersion:", re.MULTILINE)
"""A Kubernetes manifest that happens to have the name of one of our files."""
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a GitLab token": re.compile(r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat)-[\w-]{20,}"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{60,})"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a Google API key": re.compile(r"\bAIza[\w-]{35}\b"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[\w-]{10,}"),
    "a password in a URL": re.compile(r"://[^\s/:@\"'{$]+:(?!\$|\{)[^\s/@\"'{$]{3,}@"),
}


def check_files(
    paths: Sequence[str], before: Read | None, after: Read, rules: GuardRules, platform: Platform
) -> list[Problem]:
    """Everything wrong with a change.

    Arguments:
        paths: files that changed.
        before: the files as they were; None if that is not known, so that no order can be checked.
        after: the files as they are to be.
        rules: of the repository, as they were before.
        platform: what resources are provided by.
    """
    problems: list[Problem] = []
    for path in paths:
        text = after(path)
        if text is None:
            continue
        spec = (_ENVIRONMENT.fullmatch(path) or _APP.fullmatch(path)) and not _FOREIGN.search(text)
        old = before(path) if before else None
        problems += _check_text(path, old or "", text, rules)
        problems += _pinned(path, text) if spec and rules.pinned else []
        if before and spec and _ENVIRONMENT.fullmatch(path):
            problems += _gray(path, old, text, rules)
        problems += _spec(path, after, platform) if spec else []
    return problems


def _check_text(path: str, before: str, after: str, rules: GuardRules) -> Iterator[Problem]:
    if rules.secrets:
        yield from _secrets(path, before, after)
    if path == GUARD_FILE:
        yield from _parsed(lambda: read_rules(after))


def _secrets(path: str, before: str, after: str) -> Iterator[Problem]:
    known = set(before.splitlines())
    for number, line in enumerate(after.splitlines(), start=1):
        if line in known:
            continue
        for what, pattern in _SECRETS.items():
            if found := pattern.search(line):
                yield Problem(
                    f"this looks like {what}",
                    Place(path, number, found.start() + 1),
                    "keep it in the secret store, refer to it by name, and revoke this one",
                )


def _pinned(path: str, text: str) -> Iterator[Problem]:
    try:
        marked = load_marked(text, path)
    except ConfigError:
        return  # told by the check of the spec
    for route, place in marked.values.items():
        if route[-1:] != ("image",) or "components" not in route:
            continue
        value = marked.data
        for part in route:
            value = value[part]
        if isinstance(value, str) and not _DIGEST.fullmatch(value):
            yield Problem(
                f"expected an image pinned by digest (name@sha256:…), found '{value}'",
                place,
                "pin it: a tag can name another image tomorrow",
            )


def _gray(path: str, before: str | None, after: str, rules: GuardRules) -> Iterator[Problem]:
    try:
        now = read_environment(after, path).gray
        was = read_environment(before or "", path).gray
    except ConfigError:
        return  # told by the check of the spec
    if now is None:
        return
    place = load_marked(after, path).place(("gray", "weight"))
    held = was.weight if was is not None and was.release.number == now.release.number else None
    if was is not None and now.release.number < was.release.number:
        yield Problem(
            f"a gray release of {was.release.number} stands there, {now.release.number} is older",
            place,
            "run the newest pipeline",
        )
    elif held is None and now.weight:
        yield Problem(
            f"a gray release starts at weight 0, found {now.weight}", place, "let iac-bump prepare it"
        )
    elif held is not None and now.weight < held:
        yield Problem(
            f"the weight of a gray release rises, found {now.weight} after {held}",
            place,
            "roll it back instead",
        )
    elif held is not None and now.weight != held and rules.gray_steps:
        allowed = next((step for step in rules.gray_steps if step > held), None)
        if now.weight != allowed:
            yield Problem(
                f"expected the weight {allowed} after {held}, found {now.weight}",
                place,
                f"follow the steps {', '.join(map(str, rules.gray_steps))}",
            )


def _spec(path: str, after: Read, platform: Platform) -> Iterator[Problem]:
    """Whether an app spec is one, and whether an environment fits to it."""
    text = after(path) or ""
    environment = _ENVIRONMENT.fullmatch(path)
    if environment is None:
        yield from _parsed(lambda: parse_document(text, path, App))
        return
    app_file = f"{environment['folder']}app.yaml"
    app_text = after(app_file)
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
