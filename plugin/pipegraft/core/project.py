"""A source repository with its `delivery.yaml`, read and checked against the plugins at hand."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipegraft.core.configuration import check
from pipegraft.core.delivery import Component, Delivery, Environment, Gate, Gray, Metric
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.core.faults import as_far_as_known
from pipegraft.core.hookspecs import GITOPS_ENGINES, JUDGES, METRIC_SOURCES, TRAFFIC_ROUTERS, Kind
from pipegraft.core.manager import Plugins
from pipegraft.core.model import Model
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
    delivery, problems = check(marked, marked.data, Delivery)
    if delivery is not None:
        problems += _Checks(root, marked, plugins).problems(delivery)
    if delivery is None or problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.place or Place(shown)))
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


@dataclass(frozen=True, slots=True)
class _Checks:
    """What is wrong with a delivery beyond its own keys, as far as those are right."""

    root: Path
    marked: Marked
    plugins: Plugins

    def problems(self, delivery: Delivery) -> Iterator[Problem]:
        """Everything that plugins and folders say, in the order of the file."""
        yield from as_far_as_known(self._folders(delivery))
        yield from as_far_as_known(self._environments(delivery))

    def _folders(self, delivery: Delivery) -> Iterator[Problem]:
        for name, component in delivery.components.items():
            yield from as_far_as_known(self._folder(name, component))

    def _folder(self, name: str, component: Component) -> Iterator[Problem]:
        if not (self.root / component.path).is_dir():
            place = self.marked.place(("components", name, "path"))
            yield Problem(f"component '{name}': there is no folder '{component.path}'", place)

    def _environments(self, delivery: Delivery) -> Iterator[Problem]:
        for name, environment in delivery.environments.items():
            yield from as_far_as_known(self._engine(environment, ("environments", name, "gate")))
            yield from as_far_as_known(self._gray(environment, ("environments", name, "gray")))

    def _engine(self, environment: Environment, route: Route) -> Iterator[Problem]:
        gate = environment.gate
        plugin = yield from self._find(GITOPS_ENGINES, gate.engine, (*route, "engine"))
        if plugin:
            yield from self._options(plugin.options, gate.options, route, Gate)

    def _gray(self, environment: Environment, route: Route) -> Iterator[Problem]:
        gray = environment.gray
        if gray is None:
            return
        yield from as_far_as_known(self._judge(gray, route))
        yield from as_far_as_known(self._router(gray, route))
        for index, metric in enumerate(gray.metrics):
            yield from as_far_as_known(self._metric(metric, (*route, "metrics", index)))

    def _judge(self, gray: Gray, route: Route) -> Iterator[Problem]:
        yield from self._find(JUDGES, gray.judge, (*route, "judge"))

    def _metric(self, metric: Metric, route: Route) -> Iterator[Problem]:
        plugin = yield from self._find(METRIC_SOURCES, metric.source, (*route, "source"))
        if plugin:
            yield from self._options(plugin.options, metric.options, route, Metric)

    def _router(self, gray: Gray, route: Route) -> Iterator[Problem]:
        router = yield from self._find(TRAFFIC_ROUTERS, gray.router, (*route, "router"))
        if router is None:
            return
        if router.options is None and gray.rollout is not None:
            place = self.marked.place((*route, "rollout"))
            yield Problem(f"'rollout' is for routers that are observed; '{gray.router}' is driven", place)
        elif router.options is not None and gray.rollout is None:
            place = self.marked.place((*route, "router"))
            fix = "add 'rollout: {name: …}'"
            yield Problem(f"'{gray.router}' is observed: expected 'rollout' to say which object", place, fix)
        elif router.options is not None:
            yield from self._options(router.options, gray.rollout or {}, (*route, "rollout"))

    def _find(self, kind: Kind[T], name: str, route: Route) -> Generator[Problem, None, T | None]:
        """The plugin that a value of the file names, or the problem that there is none."""
        try:
            return self.plugins.get(kind, name)
        except UsageError as error:
            yield Problem(error.problem.message, self.marked.place(route), error.problem.fix)
            return None

    def _options(
        self, model: type[Model], options: Mapping[str, Any], route: Route, beside: type[Model] | None = None
    ) -> Iterator[Problem]:
        """What is wrong with the keys that belong to a plugin; `beside` has the others of its mapping."""
        yield from check(self.marked, dict(options), model, route, beside)[1]
