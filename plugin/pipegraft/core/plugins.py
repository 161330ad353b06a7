"""Plugins: finds what is installed, keeps what it yields apart by kind, and says who is who.

A plugin is a module or object that an entry point names. One of the group ``pipegraft`` is loaded when a
command starts. One of a group called like a hook, ``pipegraft.judges`` for `pipegraft_judges`, is loaded when
a value of that kind is asked for: first the one that is called like the value.

The hooks themselves stand in the rooms, ``pipegraft/<room>/hooks.py``.
"""

from __future__ import annotations

import difflib
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any, Generic, TypeVar

import pluggy

from pipegraft import __version__
from pipegraft.core.errors import PipegraftError, PluginError, UsageError

__all__ = ["HOOKS_VERSION", "PROJECT", "Kind", "LoadedPlugin", "Plugins", "describe", "hookimpl", "hookspec"]

T = TypeVar("T")

PROJECT = "pipegraft"
HOOKS_VERSION = "2"
"""Rises when a hook, or what it takes and yields, changes in a way that a plugin notices."""
hookspec = pluggy.HookspecMarker(PROJECT)
"""Marks a function of a room's ``hooks.py`` as the specification of a hook."""
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""

_OFFERED = f"pipegraft {__version__} has hooks of version {HOOKS_VERSION}"
_NOBODY = "unknown distribution"


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value that plugins yield.

    Arguments:
        hook: name of the hook that yields it.
        type: the values' class; each has a `name`.
        word: what to call one in a message.
    """

    hook: str
    type: type[T]
    word: str

    @property
    def group(self) -> str:
        """Entry points of this group yield values of this kind alone."""
        return self.hook.replace("_", ".", 1)


@dataclass(slots=True)
class LoadedPlugin:
    """One plugin, as `pipegraft plugins` shows it.

    Arguments:
        name: entry-point name; for those that ship with the package the module's name.
        origin: distribution and version, or ``pipegraft``.
        provides: ``kind name`` of everything it yields, known once the kind was asked for.
        error: why it does not work, empty if it does.
        fix: what to do about it; empty if it works.
    """

    name: str
    origin: str
    provides: list[str] = field(default_factory=list)
    error: str = ""
    fix: str = ""

    @property
    def ships(self) -> bool:
        """Whether it comes with the package."""
        return self.origin == PROJECT

    def fail(self, error: Exception, where: str = "") -> None:
        """It does not work, for this reason; `where` says what was done with it."""
        told = error.problem if isinstance(error, PipegraftError) else None
        self.error = told.message if told else where + describe(error)
        distribution = "it" if self.origin == _NOBODY else self.origin.partition(" ")[0]
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        self.fix = (
            (told.fix if told else f"install what it needs, {missing!r}" if missing else "")
            or f"install a version of {distribution} that works"
        ) + f", or uninstall {distribution}"


class Plugins:
    """All plugins of this process.

    Arguments:
        hooks: the modules that specify hooks; the kinds they hold are those there are.
        entry_points: what is installed, in any groups; those of this project are taken.
    """

    def __init__(self, hooks: Iterable[ModuleType], entry_points: Iterable[EntryPoint]) -> None:
        self._pluggy = pluggy.PluginManager(PROJECT)
        self.kinds: dict[str, Kind[Any]] = {}
        """Every kind there is, by the name of its hook."""
        for module in hooks:
            self._pluggy.add_hookspecs(module)
            self.kinds |= {one.hook: one for one in vars(module).values() if isinstance(one, Kind)}
        self.loaded: dict[str, LoadedPlugin] = {}
        """Every plugin that was needed so far."""
        self._yielded: dict[tuple[str, str], list[Any]] = {}
        self._waiting: dict[str, list[EntryPoint]] = defaultdict(list)
        self._order: dict[str, int] = {}
        self._lock = threading.RLock()
        mine = [one for one in entry_points if f"{one.group}.".startswith(f"{PROJECT}.")]
        for entry in sorted(mine, key=lambda one: (not _ships(one), "" if _ships(one) else one.name)):
            self._order.setdefault(_name(entry), len(self._order))
            self._waiting[entry.group].append(entry)
        groups = {PROJECT, *(kind.group for kind in self.kinds.values())}
        for group in self._waiting.keys() - groups:
            self._refuse_group(group, groups)
        self._load(self._waiting.pop(PROJECT, ()))

    def register(self, implementation: object, name: str) -> None:
        """Add a plugin that no entry point names.

        Raises:
            PluginError: it does not fit the hooks, or another has this name.
        """
        self._order.setdefault(name, len(self._order))
        self._register(implementation, LoadedPlugin(name, _NOBODY))

    def _refuse_group(self, group: str, groups: Iterable[str]) -> None:
        for entry in self._waiting.pop(group):
            plugin = LoadedPlugin(_name(entry), _origin(entry))
            plugin.fail(PluginError(f"there is no group '{group}'; there are: {', '.join(sorted(groups))}"))
            self.loaded[f"{entry.name} of {plugin.origin}"] = plugin

    def _load(self, entries: Iterable[EntryPoint]) -> None:
        for entry in entries:
            plugin = LoadedPlugin(_name(entry), _origin(entry))
            try:
                self._register(_loaded(entry), plugin)
            except Exception as error:
                if plugin.ships:
                    raise
                plugin.fail(error, f"{entry.value} cannot be loaded: ")
                taken = plugin.name in self.loaded  # of the one that did load
                self.loaded[f"{plugin.name} of {plugin.origin}" if taken else plugin.name] = plugin

    def _register(self, implementation: object, plugin: LoadedPlugin) -> None:
        if self._pluggy.is_registered(implementation):
            return  # by another entry point: a module may stand in several groups
        other = self.loaded.get(plugin.name)
        if other is not None:
            raise PluginError(
                f"two plugins are called '{plugin.name}'; the one of {other.origin} is loaded",
                fix=f"uninstall {other.origin.partition(' ')[0]}",
            )
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pluggy warns about hooks that are on their way out
            try:
                self._pluggy.register(implementation, name=plugin.name)
                self._pluggy.check_pending()
            except pluggy.PluginValidationError as error:
                self._pluggy.unregister(name=plugin.name)
                raise PluginError(f"{' '.join(str(error).split())} ({_OFFERED})") from None
        self.loaded[plugin.name] = plugin

    def all(self, kind: Kind[T]) -> Mapping[str, T]:
        """Everything of one kind by name: what ships with the package, then the others by their names.

        Raises:
            PluginError: two plugins yield the same name.
        """
        with self._lock:  # threads ask too
            self._load(self._waiting.pop(kind.group, ()))
            return self._values(kind)

    def get(self, kind: Kind[T], name: str) -> T:
        """One value by name.

        Raises:
            UsageError: there is none; says which exist and which plugins are broken.
            PluginError: two plugins yield this name.
        """
        with self._lock:
            later: list[EntryPoint] = []
            wanted: list[EntryPoint] = []
            for entry in self._waiting.pop(kind.group, ()):
                (wanted if entry.name == name or not _ships(entry) else later).append(entry)
            self._waiting[kind.group] = later
            self._load(wanted)
            found = self._values(kind)
            if name not in found:
                found = self.all(kind)
        if name in found:
            return found[name]
        raise UsageError(
            f"there is no {kind.word} called '{name}'; there are: {', '.join(found) or 'none'}",
            fix=self._advice(name, found),
        )

    def _values(self, kind: Kind[T]) -> Mapping[str, T]:
        """What the loaded plugins yield of a kind."""
        found: dict[str, T] = {}
        owners: dict[str, LoadedPlugin] = {}
        implementations = getattr(self._pluggy.hook, kind.hook).get_hookimpls()
        for implementation in sorted(implementations, key=lambda one: self._order[one.plugin_name]):
            plugin = self.loaded[implementation.plugin_name]
            for value in self._ask(implementation, plugin, kind):
                name: str = value.name  # type: ignore[attr-defined] # every kind of value has a name
                if name in owners:
                    raise PluginError(
                        f"two plugins provide a {kind.word} called '{name}': "
                        f"{owners[name].name} ({owners[name].origin}) and {plugin.name} ({plugin.origin})",
                        fix="uninstall one of them",
                    )
                owners[name] = plugin
                found[name] = value
        return found

    def _ask(self, implementation: pluggy.HookImpl, plugin: LoadedPlugin, kind: Kind[T]) -> list[T]:
        """What a plugin yields; it is asked once."""
        key = (plugin.name, kind.hook)
        if key not in self._yielded:
            try:
                self._yielded[key] = _checked(list(_call(implementation, {})), kind)
            except Exception as error:
                if plugin.ships:
                    raise
                plugin.fail(error, f"{kind.hook} failed: ")
                self._yielded[key] = []
            plugin.provides += [f"{kind.word} {value.name}" for value in self._yielded[key]]
        return self._yielded[key]

    def _advice(self, name: str, known: Iterable[str]) -> str:
        close = difflib.get_close_matches(name, list(known), n=1)
        if close:
            return f"write '{close[0]}'"
        broken = [
            f"{plugin.name} of {plugin.origin}: {plugin.error}"
            for plugin in self.loaded.values()
            if plugin.error
        ]
        if broken:
            return f"mend or remove the plugin that did not load ({'; '.join(broken)})"
        return "install the plugin that provides it"

    def calls(self, hook: str, **arguments: object) -> Iterator[tuple[str, Callable[[], Any]]]:
        """The implementations of a hook that yields no values, one by one: one that fails can be named.

        Arguments:
            hook: its name.
            arguments: what it takes.

        Returns:
            Name of each plugin, and the call that is still to be made.
        """
        for implementation in getattr(self._pluggy.hook, hook).get_hookimpls():
            yield implementation.plugin_name, partial(_call, implementation, arguments)


def _ships(entry: EntryPoint) -> bool:
    return _origin(entry) == PROJECT


def _origin(entry: EntryPoint) -> str:
    if entry.dist is None:
        return _NOBODY
    return PROJECT if entry.dist.name == PROJECT else f"{entry.dist.name} {entry.dist.version}"


def _name(entry: EntryPoint) -> str:
    """Those of a group of their own are called like their modules: their names belong to what they yield."""
    return entry.name if entry.group == PROJECT and not _ships(entry) else entry.value


def _loaded(entry: EntryPoint) -> object:
    """What an entry point names, if it is written for these hooks.

    Raises:
        PluginError: it is written for others; says which of the two to change.
    """
    try:
        implementation = entry.load()
    except ImportError as error:
        if entry.extras:
            extras = ",".join(entry.extras)
            raise PluginError(
                f"it needs {error.name}, which is not installed", fix=f"install {PROJECT}[{extras}]"
            ) from None
        if (error.name or "").partition(".")[0] != PROJECT or _ships(entry):
            raise
        raise PluginError(
            f"it is written for other hooks: {error} ({_OFFERED})",
            fix=f"install a newer version of {_origin(entry).partition(' ')[0]}, or change its imports as"
            " docs/plugins.md says below 'From version 1 to 2'",
        ) from None
    written_for = str(getattr(implementation, "PIPEGRAFT_HOOKS", HOOKS_VERSION))
    if written_for != HOOKS_VERSION:
        newer = written_for.isdecimal() and int(written_for) > int(HOOKS_VERSION)
        distribution = _origin(entry).partition(" ")[0]
        raise PluginError(
            f"it is written for version {written_for} of the hooks ({_OFFERED})",
            fix="upgrade pipegraft" if newer else f"install a newer version of {distribution}",
        )
    return implementation


def _checked(values: list[Any], kind: Kind[T]) -> list[T]:
    for value in values:
        if not isinstance(value, kind.type):
            raise PluginError(f"{kind.hook} yields {kind.type.__name__}, found {type(value).__name__}")
    return values


def _call(implementation: pluggy.HookImpl, arguments: Mapping[str, object]) -> Any:
    return implementation.function(*(arguments[name] for name in implementation.argnames))


def describe(error: Exception) -> str:
    """An error that nobody expected, as a clause."""
    return f"{type(error).__name__}: {error}"
