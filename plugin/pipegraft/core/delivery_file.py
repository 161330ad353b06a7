"""Reads declared files: from a text to a typed value, or to everything that is wrong with it at once.

`delivery.yaml` is one of them; it is checked with everything that the rooms and plugins know.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipegraft.core.delivery import Component, Delivery
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.core.faults import Fault, as_far_as_known, read
from pipegraft.core.hooks import DELIVERY_CHECKS
from pipegraft.core.model import Model, keys_of
from pipegraft.core.plugins import Kind, Plugins
from pipegraft.core.reading import Marked, Route, load_marked
from pipegraft.core.stage import Project

__all__ = [
    "DELIVERY_FILE",
    "check",
    "find_plugin",
    "open_project",
    "option_problems",
    "parse_document",
    "read_text",
    "validate",
]


DELIVERY_FILE = "delivery.yaml"

M = TypeVar("M", bound=Model)
T = TypeVar("T")


def parse_document(text: str, file: str, model: type[M]) -> M:
    """Read one YAML file into a model.

    Arguments:
        text: what the file holds.
        file: name to use in messages.
        model: what it should be.

    Raises:
        ConfigError: every problem with its place, in the order of the file.
    """
    marked = load_marked(text, file)
    return validate(marked, marked.data, model)


def validate(marked: Marked, data: Any, model: type[M], base: Route = ()) -> M:
    """Read part of a document into a model.

    Arguments:
        marked: the whole document, for places.
        data: the part to read, any YAML value.
        model: what it should be.
        base: route of the part in the document.

    Raises:
        ConfigError: every problem with its place, in the order of the file.
    """
    value, problems = check(marked, data, model, base)
    if value is None or problems:
        raise ConfigError(problems)
    return value


def check(
    marked: Marked, data: Any, model: type[M], base: Route = (), beside: type[Model] | None = None
) -> tuple[M | None, list[Problem]]:
    """Read part of a document into a model as far as it can be read.

    Arguments:
        beside: has the other keys of the same mapping, which are checked elsewhere: they are proposed too.

    Returns: the value, as `pipegraft.core.faults.Reading` has it, and every problem with its place, in the
    order of the file.
    """
    if data is None and not base:
        return None, [Problem("expected a mapping, found an empty file", marked.place(()))]
    found = read(model, data)
    further = tuple(keys_of(beside).values()) if beside else ()
    problems = [_problem(marked, base, fault, further) for fault in found.faults]
    return found.known, sorted(problems, key=_order)


def _order(problem: Problem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place else (0, 0)


def _problem(marked: Marked, base: Route, fault: Fault, beside: Iterable[str]) -> Problem:
    """One fault at its place; `beside` are further keys of the mapping at `base`."""
    route = (*base, *fault.route)
    dotted = _dotted(route)
    if fault.kind == "unknown":
        known = sorted({*fault.known, *(beside if len(fault.route) == 1 else ())})
        close = fault._replace(known=tuple(known)).meant
        others = f"remove it, or use one of: {', '.join(known)}" if known else "remove it"
        fix = f"write '{close[0]}'" if close else others
        return Problem(f"unknown key '{dotted}'", marked.place(route, key=True), fix)
    if fault.kind == "missing":
        missing = _dotted((*route, fault.found))
        return Problem(f"'{missing}' is missing", marked.place(route, key=True), f"add '{fault.found}'")
    found = "" if isinstance(fault.found, (Mapping, list, tuple)) else f", found {_shown(fault.found)}"
    message = fault.message if ", found " in fault.message else f"{fault.message}{found}"
    place = marked.place(route, key=fault.kind == "key")
    return Problem(f"'{dotted}': {message}" if dotted else message, place)


def _shown(value: Any) -> str:
    """A scalar as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, str) else str(value)


def _dotted(route: Route) -> str:
    text = ""
    for step in route:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


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
