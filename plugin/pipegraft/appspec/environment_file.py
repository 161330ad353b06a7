"""``environments/NAME.yaml`` as iac-bump and gray-release see and edit it: images, release, gray block.

Which of two releases is newer is told by their numbers alone. A file that holds a newer one is never
changed by an older one; a gray block of an older release gives way to a newer one. The gray block is an
overlay: rollback takes it away, promotion moves its values into `components`, in two commits: while stable is
replaced gray gets all requests, so that none goes back to the old version. Every other byte stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipegraft.appspec.model import PROMOTING, AppEnvironment
from pipegraft.core.delivery_file import validate
from pipegraft.core.errors import ConfigError, EditRefused, Problem, UsageError
from pipegraft.core.reading import load_marked
from pipegraft.core.release import ReleaseMark
from pipegraft.text.yaml import Edit, Path, Put, Remove, Set, apply, get_value
from pipegraft.text.yaml.reading import Read
from pipegraft.text.yaml.values import Value

__all__ = [
    "Bump",
    "ConfigPath",
    "Outcome",
    "Step",
    "app_path",
    "bump",
    "check_app",
    "environment_path",
    "images_of",
    "promote",
    "read_environment",
    "revert",
    "roll_back",
    "set_phase",
    "set_weight",
    "take_over",
]

Outcome = Literal["written", "unchanged", "superseded"]
Step = Literal["bump", "prepare"]
_EMPTY = re.compile(r"^\{[ \t]*\}[ \t]*\n?", re.MULTILINE)
"""A file that says nothing yet; written into these braces, a release would stand on one line."""
ConfigPath = tuple[str, ...]
"""Where a value of a component's configuration stands: ``components``, the component's name, keys."""


@dataclass(frozen=True, slots=True)
class Bump:
    """What becomes of an environment file.

    Arguments:
        outcome: `written`: `text` is new; `unchanged`: it says the same already; `superseded`: it holds
            a newer release.
        step: `bump` sets the images for all requests; `prepare` adds them as a gray block of weight 0.
        text: the file's new text; the old one unless written.
        images: component → image before, for those that change.
        config: path → value before, None if there was none, for what changes.
        held: the newest release that stood there before.
    """

    outcome: Outcome
    step: Step = "bump"
    text: str = ""
    images: Mapping[str, str | None] = field(default_factory=dict)
    config: Mapping[ConfigPath, Value] = field(default_factory=dict)
    held: ReleaseMark | None = None


def environment_path(folder: str | None, environment: str) -> str:
    """Path of an environment's file in the IaC repository.

    Arguments:
        folder: the app's folder in a repository shared by several, None for the root.
        environment: name of the environment.
    """
    path = f"environments/{environment}.yaml"
    return f"{folder.rstrip('/')}/{path}" if folder else path


def app_path(folder: str | None) -> str:
    """Path of the app spec in the IaC repository; `folder` as for `environment_path`."""
    return f"{folder.rstrip('/')}/app.yaml" if folder else "app.yaml"


def check_app(text: str | None, app: str, file: str) -> str:
    """Make sure the IaC repository is the one of this application.

    Arguments:
        text: its app spec, None if there is none.
        app: the application that is delivered.
        file: name for messages.

    Returns:
        The app spec.

    Raises:
        UsageError: there is no app spec, or it is another application's.
    """
    if text is None:
        raise UsageError(
            f"expected {file} in the IaC repository, it is not there",
            fix="add the app spec, or correct 'iac.path' in delivery.yaml",
        )
    marked = load_marked(text, file)
    found = marked.data.get("app") if isinstance(marked.data, dict) else None
    if found != app:
        problem = Problem(
            f"expected the app spec of '{app}', found {found!r}",
            marked.place(("app",)),
            "correct 'iac' in delivery.yaml: this folder belongs to another application",
        )
        raise ConfigError([problem])
    return text


def read_environment(text: str, file: str) -> AppEnvironment:
    """Read an environment file; one without content declares nothing.

    Raises:
        ConfigError: everything wrong with it, each with its place.
    """
    marked = load_marked(text, file)
    return AppEnvironment() if marked.data is None else validate(marked, marked.data, AppEnvironment)


def images_of(environment: AppEnvironment, *, gray: bool = False) -> dict[str, str]:
    """Component → image reference.

    Arguments:
        gray: as the gray version has them: its overlay above the environment.
    """
    layers = [environment.components]
    if gray and environment.gray:
        layers.append(environment.gray.components)
    return {name: one.image for layer in layers for name, one in layer.items() if one.image}


def bump(
    text: str | None,
    images: Mapping[str, str],
    release: ReleaseMark,
    *,
    gray: bool,
    file: str,
    config: Mapping[ConfigPath, Value] | None = None,
    baseline: bool = False,
) -> Bump:
    """Bring a release into an environment file.

    Arguments:
        text: the file as it is, None if it does not exist.
        images: component → reference of each image of the release.
        release: which release it is.
        config: values of the components that are released with the images.
        gray: whether traffic moves step by step; ignored while nothing runs there yet.
        baseline: whether fresh pods of the stable version run beside the new one.
        file: name for messages.

    Raises:
        ConfigError: the file is not an environment file.
        EditRefused: the edit cannot be made exactly.
    """
    data: Any = None if text is None else load_marked(text, file).data
    bare = _EMPTY.sub("", text or "", count=1)
    if text is None or (not data and load_marked(bare, file).data is None):
        return _first(bare, images, release, file, config or {})
    held = read_environment(text, file)
    newest = max(
        (mark for mark in (held.release, held.gray and held.gray.release) if mark),
        key=lambda mark: mark.number,
        default=None,
    )
    if newest and newest.number > release.number:
        return Bump("superseded", text=text, held=newest)
    stable = images_of(held)
    changed = {name: stable.get(name) for name, image in images.items() if stable.get(name) != image}
    config, old = _differing(data, config or {})
    gone = [Remove(("gray",))] if held.gray else []
    if gray and stable and (changed or config):
        step: Step = "prepare"
        same = (
            _is_prepared(held, images, release, baseline=baseline) and not _differing(data["gray"], config)[0]
        )
        block = _gray_block({name: images[name] for name in changed}, config, release, baseline=baseline)
        edits: list[Edit] = [*gone, Put(("gray",), block)]
    else:
        step = "bump"
        same = not changed and not config and not held.gray
        pins = [Put(("components", name, "image"), images[name]) for name in changed]
        pins += [Put(path, value) for path, value in config.items()]
        number, source = (
            Put(("release", "number"), release.number),
            Put(("release", "source"), release.source),
        )
        edits = [*pins, number, source, *gone]
    if same:
        return Bump("unchanged", step, text, held=newest)
    return Bump("written", step, apply(text, edits, file=file), changed, old, newest)


def _differing(
    data: Any, config: Mapping[ConfigPath, Value]
) -> tuple[dict[ConfigPath, Value], dict[ConfigPath, Value]]:
    """What is not as it is wanted: wanted, and before."""
    before = {path: _value_at(data, path) for path in config}
    wanted = {path: value for path, value in config.items() if before[path] != (value,)}
    return wanted, {path: before[path][0] if before[path] else None for path in wanted}


def _value_at(data: Any, path: ConfigPath) -> tuple[Value, ...]:
    """The value at a path; nothing if there is none."""
    value = data
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return ()
        value = value[part]
    return (value,)


def _first(
    text: str, images: Mapping[str, str], release: ReleaseMark, file: str, config: Mapping[ConfigPath, Value]
) -> Bump:
    head = text if not text or text.endswith("\n") else f"{text}\n"
    seed = f"{head}release:\n  number: {release.number}\n"
    content = {name: {"image": image} for name, image in images.items()}
    edits = [Put(("release", "source"), release.source), Put(("components",), content)]
    edits += [Put(path, value) for path, value in config.items()]
    return Bump(
        "written",
        text=apply(seed, edits, file=file),
        images=dict.fromkeys(images),
        config=dict.fromkeys(config),
    )


def _is_prepared(
    held: AppEnvironment, images: Mapping[str, str], release: ReleaseMark, *, baseline: bool
) -> bool:
    runs = images_of(held, gray=True)
    return (
        held.gray is not None
        and held.gray.release.number == release.number
        and held.gray.baseline == baseline
        and all(runs.get(name) == image for name, image in images.items())
    )


def _gray_block(
    images: Mapping[str, str], config: Mapping[ConfigPath, Value], release: ReleaseMark, *, baseline: bool
) -> dict[str, Value]:
    components: dict[str, Any] = {name: {"image": image} for name, image in images.items()}
    for path, value in config.items():
        inner = components
        for part in path[1:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
    return {
        "release": {"number": release.number, "source": release.source},
        "weight": 0,
        "phase": "step",
        **({"baseline": True} if baseline else {}),
        "components": components,
    }


_GRAY: Path = ("gray",)
_VARIABLES: Path = ("env",)
"""Below ``gray.components.NAME``: the reference in there is one value."""


def set_weight(text: str, weight: int, *, file: str) -> str:
    """Give gray this share of the requests, and go on."""
    return apply(text, [Set(("gray", "weight"), weight), Set(("gray", "phase"), "step")], file=file)


def set_phase(text: str, phase: str, *, file: str) -> str:
    """Say what the gray release is doing; the weight stays."""
    return apply(text, [Set(("gray", "phase"), phase)], file=file)


def take_over(text: str, split: Collection[str] | None, *, file: str) -> str:
    """Give stable gray's values, and gray all requests until that is done.

    Arguments:
        split: components that have two versions now; of others the block says nothing any more, lest they get
            a second version that nobody needs. None keeps all.

    Raises:
        EditRefused: there is no gray block, or it cannot be moved exactly.
    """
    known = _mapping(text, ("gray", "components"), file)
    alone = [name for name in known if split is not None and name not in split]
    gone = [Remove(("gray", "components", name)) for name in alone if len(alone) < len(known)]
    to_all: list[Edit] = [Set(("gray", "weight"), 100), Set(("gray", "phase"), PROMOTING)]
    return apply(text, [*_moved(text, file), *to_all, *gone], file=file)


def promote(text: str, *, file: str) -> str:
    """Make gray what serves: its values move into the environment, and the block goes.

    Raises:
        EditRefused: there is no gray block, or it cannot be moved exactly.
    """
    return apply(text, [*_moved(text, file), Remove(_GRAY)], file=file)


def _moved(text: str, file: str) -> list[Edit]:
    """The edits that give the environment gray's values."""
    block = _mapping(text, _GRAY, file)
    release = _mapping(text, ("gray", "release"), file)
    edits: list[Edit] = [
        Put((*path[1:],), value) for path, value in _leaves(block["components"], ("gray", "components"))
    ]
    return [*edits, *(Put(("release", key), value) for key, value in release.items())]


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
        text: the file as it is, with or without the gray block.
        promoted: the file as it was before its promotion began, with the gray block.
        before: the file as it was before the block came, None if nobody knows.

    Returns:
        `before`, to the byte, if nothing else was changed since; else what is there, with the values of
        the promoted overlay as they were.
    """
    stable = roll_back(promoted, before, file=file)
    if _has(text, _GRAY, file):
        text = apply(text, [Remove(_GRAY)], file=file)
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
    """Everything that overlays replace whole, with its path; see `pipegraft.appspec.pods`."""
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
