"""Reads `delivery.yaml`, and checks it with everything that the rooms and plugins know."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipegraft.core.configuration import check
from pipegraft.core.delivery import Component, Delivery
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.core.faults import as_far_as_known
from pipegraft.core.hooks import DELIVERY_CHECKS
from pipegraft.core.model import Model
from pipegraft.core.plugins import Kind, Plugins
from pipegraft.core.project import Project
from pipegraft.core.yaml_positions import Marked, Route, load_marked

__all__ = ["DELIVERY_FILE", "find_plugin", "open_project", "option_problems", "read_text"]

DELIVERY_FILE = "delivery.yaml"

T = TypeVar("T")


def open_project(root: Path, plugins: Plugins) -> Project:
    """Read ``delivery.yaml`` in a folder.

    Raises:
        ConfigError: everything that is wrong with it, the plugins' own keys included.
        UsageError: it does not exist or is not readable.
    """
    path = root / DELIVERY_FILE
    text = read_text(
        path,
        fix="run in the folder that holds it, name that folder with --directory, or write a first one:"
        " pipegraft init",
    )
    shown = str(path) if root != Path() else DELIVERY_FILE
    marked = load_marked(text, shown)
    delivery, problems = check(marked, marked.data, Delivery)
    if delivery is None:
        raise ConfigError(problems)
    project = Project(root, delivery, plugins)
    problems += as_far_as_known(_missing_folders(project, marked))
    for one in plugins.all(DELIVERY_CHECKS).values():
        problems += as_far_as_known(one.problems(project, marked))
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.place or Place(shown)))
    return project


def read_text(path: Path, *, fix: str = "") -> str:
    """Text of a file, line ends and byte-order mark untouched.

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise UsageError("the file does not exist", place=Place(str(path)), fix=fix) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"expected UTF-8, found byte 0x{error.object[error.start]:02x} at offset {error.start}",
            place=Place(str(path)),
            fix="save the file as UTF-8",
        ) from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", place=Place(str(path)), fix=fix) from None


def _missing_folders(project: Project, marked: Marked) -> Iterator[Problem]:
    for name, component in project.delivery.components.items():
        yield from as_far_as_known(_missing_folder(project, marked, name, component))


def _missing_folder(project: Project, marked: Marked, name: str, component: Component) -> Iterator[Problem]:
    if not (project.root / component.path).is_dir():
        place = marked.place(("components", name, "path"))
        yield Problem(f"component '{name}': there is no folder '{component.path}'", place)


def find_plugin(
    plugins: Plugins, kind: Kind[T], name: str, marked: Marked, route: Route
) -> Generator[Problem, None, T | None]:
    """The plugin that a value of the file names, or the problem that there is none.

    Arguments:
        route: to that value.
    """
    try:
        return plugins.get(kind, name)
    except UsageError as error:
        yield Problem(error.problem.message, marked.place(route), error.problem.fix)
        return None


def option_problems(
    model: type[Model],
    options: Mapping[str, Any],
    marked: Marked,
    route: Route,
    beside: type[Model] | None = None,
) -> Iterator[Problem]:
    """What is wrong with the keys that belong to a plugin.

    Arguments:
        model: declares them.
        options: the keys.
        route: to the mapping that they stand in.
        beside: declares the other keys of that mapping.
    """
    yield from check(marked, dict(options), model, route, beside)[1]
