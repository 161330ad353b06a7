"""Configuration that is released like an image: ``components.web.env.LIMIT=5``, checked before it is written.

What is judged must be what is promoted: a gray block is merged over the environment by one set of rules and
promoted by edits, so both are compared before the block is written at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from pipegraft.appspec.environment_file import Bump, ConfigPath, images_of, promote
from pipegraft.appspec.model import AppComponent, AppEnvironment
from pipegraft.appspec.resource_binding import UNBOUND
from pipegraft.appspec.spec import Resolved, resolve
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import ConfigError, EditRefused, Place, Problem, UsageError
from pipegraft.core.model import Model, Name
from pipegraft.core.reading import load_marked
from pipegraft.core.release import ReleaseMark
from pipegraft.text.yaml import format_path, parse_path, split_assignment
from pipegraft.text.yaml.values import Value

__all__ = ["changes_what_runs", "read_config", "refuse_delivery", "refuse_number", "refuse_standing"]


class _Overlay(Model):
    """What a gray block may change."""

    components: Mapping[Name, AppComponent]


def read_config(words: Iterable[str]) -> dict[ConfigPath, Value]:
    """Read ``PATH=VALUE`` as people write it.

    A value is read as YAML, so that ``3``, ``null``, ``[a, b]`` and ``{secret: shop, key: token}`` are what
    they look like; where the app spec wants text, it is the text as written.

    Returns:
        Path in an environment's file → the value it is to have.

    Raises:
        ConfigError: everything that is no configuration of a component, each with its path.
    """
    found: dict[ConfigPath, Value] = {}
    problems: list[Problem] = []
    for word in words:
        try:
            path, written = _split(word)
            if path in found:
                raise _refused(path, "it is set twice", "say it once")
            found[path] = _value(path, written)
        except ConfigError as error:
            problems += error.problems
    clash = ((one, other) for one in found for other in found if one != other and other[: len(one)] == one)
    problems += [
        Problem(f"'{format_path(one)}' holds '{format_path(other)}', which is set too", _place(one))
        for one, other in clash
    ]
    if problems:
        raise ConfigError(problems)
    return found


_STRUCTURE = tuple("\"'[{|>&!*")
"""What begins a YAML value that is more than the text as written."""
_DEEPEST = 3
"""Parts of the shortest path: the list of components, one of them, and a key of it."""


def _split(word: str) -> tuple[ConfigPath, str]:
    found = split_assignment(word)
    if found is None:
        raise ConfigError([Problem(f"expected PATH=VALUE, found {word!r}", Place("configuration"))])
    try:
        path = parse_path(found[0].strip())
    except EditRefused as error:
        raise ConfigError([replace(error.problem, place=Place(found[0].strip()))]) from None
    names = tuple(part for part in path if isinstance(part, str))
    if names != path:
        raise _refused(path, "an item of a list cannot be set by itself", "set the whole list: PATH=[a, b]")
    if names[:1] != ("components",) or len(names) < _DEEPEST:
        raise _refused(
            path,
            "expected components.NAME.KEY: of all else both versions have one",
            "change policies, resources and namespaces by a commit to the IaC repository",
        )
    if names[2] == "image":
        raise _refused(path, "an image is no configuration", "deliver it: image-build, then iac-bump")
    return names, found[1]


def _value(path: ConfigPath, written: str) -> Value:
    """The value as the app spec understands it.

    Raises:
        ConfigError: the app spec has no such key, or not with such a value.
    """
    readings = [_read(written), written] if not written.startswith(("[", "{")) else [_read(written)]
    refusal: ConfigError | None = None
    for value in readings:
        nested: Any = value
        for part in reversed(path):
            nested = {part: nested}
        try:
            parse_document(json.dumps(nested), format_path(path), _Overlay)
        except ConfigError as error:
            refusal = refusal or ConfigError([replace(one, place=_place(path)) for one in error.problems])
            continue
        return value
    assert refusal is not None  # noqa: S101 - there is at least one reading
    raise refusal


def _read(written: str) -> Value:
    """What YAML makes of it; a plain text is that text, whatever it holds."""
    if not written:
        return ""
    try:
        value: Value = load_marked(written, "value").data
        json.dumps(value)
    except (ConfigError, TypeError):  # no YAML, or a date
        return written
    return written if isinstance(value, str) and not written.startswith(_STRUCTURE) else value


def _refused(path: object, message: str, fix: str) -> ConfigError:
    return ConfigError([Problem(message, _place(path), fix)])


def _place(path: Any) -> Place:
    return Place(format_path(path))


def refuse_delivery(environment: str, *, targets: bool, observed: str | None) -> None:
    """Make sure that an environment's configuration is in its own file, and that we move its requests.

    Arguments:
        targets: whether its images are written to files of other tools.
        observed: the controller that moves the requests by steps of its own, if one does.

    Raises:
        UsageError: it is not.
    """
    if targets:
        raise UsageError(
            f"'{environment}' is written to 'targets': its configuration is in files of another tool",
            fix="commit the change to those files",
        )
    if observed:
        raise UsageError(
            f"'{observed}' moves the requests of '{environment}', and takes every change by its own steps",
            fix="commit the change to the IaC repository",
        )


def refuse_standing(made: Bump, held: AppEnvironment, number: int, environment: str) -> None:
    """Make sure that configuration alone can be released on what stands there.

    Arguments:
        made: what would become of the file.
        held: the file as it is.
        number: of the release.

    Raises:
        UsageError: nothing was released yet, a gray release is under way, or the release is not the newest.
    """
    if not held.release or not images_of(held):
        raise UsageError(
            f"nothing was released in '{environment}' yet, so its configuration is not released step by step",
            fix="commit the configuration to the IaC repository, and deliver images",
        )
    if made.outcome == "written" and held.gray:
        raise UsageError(
            f"release {held.gray.release.number} gets {held.gray.weight}% of the requests of '{environment}' "
            f"({held.gray.phase}): two versions at once are not judged",
            fix="see `pipegraft gray status`; wait for its end, or end it with `pipegraft gray abort`",
        )
    if made.outcome == "superseded" or (made.outcome == "written" and held.release.number >= number):
        refuse_number(made.held or held.release, number, environment)


def refuse_number(newest: ReleaseMark, number: int, environment: str) -> NoReturn:
    """Say that configuration is a release of its own, whose number tells its place among the others.

    Arguments:
        newest: the newest release that was in the environment.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        f"expected a number above {newest.number}, the newest release in '{environment}', found {number}: "
        "configuration is a release of its own",
        fix="run it in a new pipeline, or leave PIPEGRAFT_RELEASE_NUMBER out: it is then the next number",
    )


def changes_what_runs(app: str, text: str, *, environment: str, app_file: str, file: str) -> bool:
    """Whether a release changes anything of the pods, and is promoted as it is judged.

    Arguments:
        app: the app spec.
        text: the environment's file with the release, as a gray block or for all requests.
        environment: its name.
        app_file, file: names for messages.

    Raises:
        ConfigError: the new version cannot be what is asked for, each with the place in the new file.
        EditRefused: promoting it would not make it what was judged.
    """

    def resolved(text: str) -> Resolved:
        return resolve(
            app, text, environment, app_file=app_file, environment_file=f"{file} (as asked)", platform=UNBOUND
        )

    tried = resolved(text)
    if tried.gray is None:
        return True
    new = tried.gray.pods
    judged = {pod.name: new.get(pod.name, pod) for pod in tried.pods}
    served = {pod.name: pod for pod in resolved(promote(text, file=file)).pods}
    if judged != served:
        differing = next(name for name in judged if judged[name] != served.get(name))
        raise EditRefused(
            f"the new version of '{differing}' would not be the same once it is promoted",
            place=Place(file),
            fix="set single keys (components.web.env.NAME), or take the old ones away with null",
        )
    return bool(new)
