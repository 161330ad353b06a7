"""A source repository with its `delivery.yaml`, read and checked against the plugins at hand."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipegraft.core.base import Declared
from pipegraft.core.configuration import parse_marked, validate
from pipegraft.core.delivery import Delivery, Gray
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.core.hookspecs import GITOPS_ENGINES, JUDGES, METRIC_SOURCES, TRAFFIC_ROUTERS, Kind
from pipegraft.core.manager import Plugins
from pipegraft.text.yaml_positions import Marked, Route, load_marked

__all__ = ["DELIVERY_FILE", "Project", "open_project", "read_text"]

DELIVERY_FILE = "delivery.yaml"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Project:
    """One application's source repository.

    Arguments:
        root: its folder.
        delivery: what `delivery.yaml` declares.
        plugins: everything that can be used for it.
    """

    root: Path
    delivery: Delivery
    plugins: Plugins


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
    delivery = parse_marked(marked, Delivery)
    checks = (_missing_folders, _engine_problems, _gray_problems)
    problems = [problem for check in checks for problem in check(root, delivery, marked, plugins)]
    if problems:
        raise ConfigError(problems)
    return Project(root, _completed(delivery, plugins), plugins)


def _completed(delivery: Delivery, plugins: Plugins) -> Delivery:
    """The delivery with what its engines prefer where it does not say."""
    environments = {}
    for name, environment in delivery.environments.items():
        gate = environment.gate
        if gate.settle is None:
            gate = gate.model_copy(update={"settle": plugins.get(GITOPS_ENGINES, gate.engine).settle})
        environments[name] = environment.model_copy(update={"gate": gate})
    return delivery.model_copy(update={"environments": environments})


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


def _missing_folders(root: Path, delivery: Delivery, marked: Marked, _plugins: Plugins) -> Iterator[Problem]:
    for name, component in delivery.components.items():
        if not (root / component.path).is_dir():
            place = marked.place(("components", name, "path"))
            yield Problem(f"component '{name}': there is no folder '{component.path}'", place)


def _engine_problems(_root: Path, delivery: Delivery, marked: Marked, plugins: Plugins) -> Iterator[Problem]:
    for name, environment in delivery.environments.items():
        gate = environment.gate
        route: Route = ("environments", name, "gate")
        plugin = yield from _find(plugins, GITOPS_ENGINES, gate.engine, marked, (*route, "engine"))
        if plugin:
            yield from _option_problems(plugin.options, gate.options, marked, route, type(gate))


def _gray_problems(_root: Path, delivery: Delivery, marked: Marked, plugins: Plugins) -> Iterator[Problem]:
    for name, environment in delivery.environments.items():
        if environment.gray is None:
            continue
        route: Route = ("environments", name, "gray")
        yield from _find(plugins, JUDGES, environment.gray.judge, marked, (*route, "judge"))
        yield from _router_problems(environment.gray, marked, plugins, route)
        for index, metric in enumerate(environment.gray.metrics):
            place: Route = (*route, "metrics", index)
            plugin = yield from _find(plugins, METRIC_SOURCES, metric.source, marked, (*place, "source"))
            if plugin:
                yield from _option_problems(plugin.options, metric.options, marked, place, type(metric))


def _router_problems(gray: Gray, marked: Marked, plugins: Plugins, route: Route) -> Iterator[Problem]:
    router = yield from _find(plugins, TRAFFIC_ROUTERS, gray.router, marked, (*route, "router"))
    if router is None:
        return
    if router.options is None and gray.rollout is not None:
        place = marked.place((*route, "rollout"))
        yield Problem(f"'rollout' is for routers that are observed; '{gray.router}' is driven", place)
    elif router.options is not None and gray.rollout is None:
        place = marked.place((*route, "router"))
        fix = "add 'rollout: {name: …}'"
        yield Problem(f"'{gray.router}' is observed: expected 'rollout' to say which object", place, fix)
    elif router.options is not None:
        yield from _option_problems(router.options, gray.rollout or {}, marked, (*route, "rollout"))


def _find(
    plugins: Plugins, kind: Kind[T], name: str, marked: Marked, route: Route
) -> Generator[Problem, None, T | None]:
    """The plugin that a value of the file names, or the problem that there is none."""
    try:
        return plugins.get(kind, name)
    except UsageError as error:
        yield Problem(error.problem.message, marked.place(route), error.problem.fix)
        return None


def _option_problems(
    model: type[Declared],
    options: Mapping[str, Any],
    marked: Marked,
    route: Route,
    beside: type[Declared] | None = None,
) -> Iterator[Problem]:
    """What is wrong with the keys that belong to a plugin; `beside` has the others of its mapping."""
    try:
        validate(marked, dict(options), model, route, beside)
    except ConfigError as error:
        yield from error.problems
