"""Finds plugins, keeps what they yield apart by kind, and says who is who."""

from __future__ import annotations

import difflib
import importlib
import threading
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from pipegraft import __version__
from pipegraft.core import hookspecs
from pipegraft.core.errors import PipegraftError, PluginError, UsageError
from pipegraft.core.hookspecs import HOOKS_VERSION, PROJECT, Kind
from pipegraft.core.installed import installed_plugins
from pipegraft.core.progress import Event
from pipegraft.core.stage import Stage, StageContext
from pipegraft.images.ports.builders import ImageToSign

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Builtin", "LoadedPlugin", "Plugins"]

T = TypeVar("T")

_OFFERED = f"pipegraft {__version__} has hooks of version {HOOKS_VERSION}"

_NOBODY = "unknown distribution"


class Builtin:
    """A plugin that ships with the package, imported when something it provides is needed.

    Arguments:
        module: its dotted name.
        provides: ``kind name`` of every value it yields; nothing for one that only observes or vetoes,
            which is imported at once.
    """

    def __init__(self, module: str, *provides: str) -> None:
        self.module = module
        self.provides = provides

    def offers(self, word: str) -> bool:
        """Whether it yields values of the kind called `word`."""
        return any(each.startswith(f"{word} ") for each in self.provides)


class LoadedPlugin:
    """One plugin, as `pipegraft plugins` shows it.

    Arguments:
        name: entry-point name; for those that ship with the package the module's name.
        origin: distribution and version, or ``pipegraft``.
        provides: ``kind name`` of everything it yields, known once the kind was asked for.
        error: why it does not work, empty if it does.
        fix: what to do about it; empty if it works.
    """

    def __init__(self, name: str, origin: str) -> None:
        self.name = name
        self.origin = origin
        self.provides: list[str] = []
        self.error = ""
        self.fix = ""

    def fail(self, error: Exception, where: str = "") -> None:
        """It does not work, for this reason; `where` says what was done with it."""
        told = error.problem if isinstance(error, PipegraftError) else None
        self.error = where + (told.message if told else _describe(error))
        distribution = "it" if self.origin == _NOBODY else self.origin.partition(" ")[0]
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        self.fix = (
            (told.fix if told else f"install what it needs, {missing!r}" if missing else "")
            or f"install a version of {distribution} that works"
        ) + f", or uninstall {distribution}"


class Plugins:
    """All plugins of this process.

    Arguments:
        builtins: what ships with the package.
        entry_points: third-party plugins; those installed under the group ``pipegraft`` if None.
    """

    def __init__(
        self, builtins: Iterable[Builtin] = (), entry_points: Iterable[EntryPoint] | None = None
    ) -> None:
        self._pluggy = pluggy.PluginManager(PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self.loaded: dict[str, LoadedPlugin] = {}
        self._waiting: dict[str, Builtin] = {}
        self._collected: dict[str, Mapping[str, Any]] = {}
        self._single: dict[tuple[str, str], Any] = {}
        self._builtins = tuple(builtins)
        self._complaints: set[str] = set()
        self._lock = threading.RLock()
        for builtin in self._builtins:
            self.loaded[builtin.module] = LoadedPlugin(builtin.module, PROJECT)
            self._waiting[builtin.module] = builtin
            if not builtin.provides:
                self._import(builtin)
        found = installed_plugins() if entry_points is None else entry_points
        for entry in sorted(found, key=lambda entry: entry.name):
            self._load(entry)

    def _import(self, builtin: Builtin) -> None:
        del self._waiting[builtin.module]
        self._register(importlib.import_module(builtin.module), self.loaded[builtin.module])

    def _load(self, entry: EntryPoint) -> None:
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else _NOBODY
        plugin = LoadedPlugin(entry.name, origin)
        try:
            implementation = entry.load()
            _check_version(implementation, origin)
            self._register(implementation, plugin)
        except Exception as error:  # noqa: BLE001 - whatever a third party raises, the others must load
            plugin.fail(
                error, "" if isinstance(error, PipegraftError) else f"{entry.value} cannot be loaded: "
            )
            taken = plugin.name in self.loaded  # of the one that did load
            self.loaded[f"{plugin.name} of {origin}" if taken else plugin.name] = plugin

    def _register(self, implementation: object, plugin: LoadedPlugin) -> None:
        other = self.loaded.get(plugin.name, plugin)
        if other is not plugin:
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
        """Everything of one kind by name, in the order the plugins were loaded.

        Raises:
            PluginError: two plugins yield the same name.
        """
        with self._lock:  # threads ask too
            if kind.hook not in self._collected:
                self._collected[kind.hook] = self._collect(kind)
            return self._collected[kind.hook]

    def _collect(self, kind: Kind[T]) -> Mapping[str, T]:
        for builtin in [one for one in self._waiting.values() if one.offers(kind.word)]:
            self._import(builtin)
        found: dict[str, T] = {}
        owners: dict[str, LoadedPlugin] = {}
        order = {name: number for number, name in enumerate(self.loaded)}
        implementations = self._implementations(kind)
        for implementation in sorted(implementations, key=lambda one: order[one.plugin_name]):
            plugin = self.loaded[implementation.plugin_name]
            for value in self._yielded(implementation, plugin, kind):
                name: str = value.name  # type: ignore[attr-defined] # every kind of value has a name
                if name in owners:
                    raise PluginError(
                        f"two plugins provide a {kind.word} called '{name}': "
                        f"{owners[name].name} ({owners[name].origin}) and {plugin.name} ({plugin.origin})",
                        fix="uninstall one of them",
                    )
                owners[name] = plugin
                plugin.provides.append(f"{kind.word} {name}")
                found[name] = value
        return found

    def _implementations(self, kind: Kind[T]) -> list[pluggy.HookImpl]:
        found: list[pluggy.HookImpl] = getattr(self._pluggy.hook, kind.hook).get_hookimpls()
        return found

    def _yielded(self, implementation: pluggy.HookImpl, plugin: LoadedPlugin, kind: Kind[T]) -> list[T]:
        try:
            values: list[Any] = list(_call(implementation))
            wrong = next((value for value in values if not isinstance(value, kind.type)), None)
            if wrong is not None:
                raise PluginError(f"{kind.hook} yields {kind.type.__name__}, found {type(wrong).__name__}")  # noqa: TRY301
        except Exception as error:
            if plugin.origin == PROJECT:
                raise
            plugin.fail(error, "" if isinstance(error, PipegraftError) else f"{kind.hook} failed: ")
            return []
        return values

    def get(self, kind: Kind[T], name: str) -> T:
        """One value by name.

        Raises:
            UsageError: there is none; says which exist and which plugins are broken.
        """
        with self._lock:
            builtin = self._only(kind, name)
            if builtin is not None:
                return self._one(kind, name, builtin)
        values = self.all(kind)
        if name in values:
            return values[name]
        raise UsageError(
            f"there is no {kind.word} called '{name}'; there are: {', '.join(values) or 'none'}",
            fix=self._advice(name, values),
        )

    def _only(self, kind: Kind[T], name: str) -> Builtin | None:
        """The plugin of the package that surely alone provides a value, None if others must be asked."""
        if kind.hook in self._collected:
            return None
        for implementation in self._implementations(kind):
            if self.loaded[implementation.plugin_name].origin != PROJECT:
                return None
        return next((one for one in self._builtins if f"{kind.word} {name}" in one.provides), None)

    def _one(self, kind: Kind[T], name: str, builtin: Builtin) -> T:
        if (kind.hook, name) not in self._single:
            if builtin.module in self._waiting:
                self._import(builtin)
            for implementation in self._implementations(kind):
                if implementation.plugin_name == builtin.module:
                    for value in self._yielded(implementation, self.loaded[builtin.module], kind):
                        self._single[kind.hook, value.name] = value  # type: ignore[attr-defined] # see `_collect`
        found: T = self._single[kind.hook, name]
        return found

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

    def starting(self, context: StageContext, stage: Stage) -> None:
        """Tell every observer that a stage is about to run."""
        self._observe("pipegraft_stage_starting", context, context=context, stage=stage)

    def finished(self, context: StageContext, stage: Stage, error: Exception | None) -> None:
        """Tell every observer how a stage ended."""
        self._observe("pipegraft_stage_finished", context, context=context, stage=stage, error=error)

    def hear(self, app: str, event: Event) -> list[str]:
        """Tell every plugin that listens what happened; answers what went wrong in one for the first time."""
        complaints: list[str] = []
        for implementation in self._pluggy.hook.pipegraft_event.get_hookimpls():
            try:
                _call(implementation, app=app, event=event)
            except Exception as error:  # noqa: BLE001 - an observer must not change what it observes
                complaint = f"plugin {implementation.plugin_name}: pipegraft_event: {_describe(error)}"
                if complaint not in self._complaints:
                    self._complaints.add(complaint)
                    complaints.append(complaint)
        return complaints

    def _observe(self, hook: str, told: StageContext, **arguments: object) -> None:
        for implementation in getattr(self._pluggy.hook, hook).get_hookimpls():
            try:
                _call(implementation, **arguments)
            except Exception as error:  # noqa: BLE001 - a guard that cannot answer must not let pass
                told.report("warning", f"plugin {implementation.plugin_name}: {hook}: {_describe(error)}")

    def sign(self, image: ImageToSign) -> None:
        """Let every plugin that signs images sign this one.

        Raises:
            PipegraftError: one did not.
        """
        for implementation in self._pluggy.hook.pipegraft_sign_image.get_hookimpls():
            try:
                _call(implementation, image=image)
            except PipegraftError:
                raise
            except Exception as error:
                name = implementation.plugin_name
                raise PluginError(
                    f"plugin {name} could not sign '{image.component}': {_describe(error)}",
                    fix="mend the plugin, or remove it",
                ) from error

    def vetoes(self, context: StageContext, stage: Stage) -> list[tuple[str, str]]:
        """Plugin name and reason for each plugin that will not have this stage run."""
        reasons: list[tuple[str, str]] = []
        for implementation in self._pluggy.hook.pipegraft_veto.get_hookimpls():
            try:
                reason = _call(implementation, context=context, stage=stage)
            except Exception as error:  # noqa: BLE001 - a guard that cannot answer must not let pass
                reason = f"it could not decide: {_describe(error)}"
            if reason:
                reasons.append((implementation.plugin_name, reason))
        return reasons


def _check_version(implementation: object, origin: str) -> None:
    """Refuse a plugin that says it is written for other hooks than there are.

    Raises:
        PluginError: which of the two to change.
    """
    written_for = str(getattr(implementation, "PIPEGRAFT_HOOKS", HOOKS_VERSION))
    if written_for != HOOKS_VERSION:
        newer = written_for.isdecimal() and int(written_for) > int(HOOKS_VERSION)
        raise PluginError(
            f"it is written for version {written_for} of the hooks ({_OFFERED})",
            fix="upgrade pipegraft" if newer else f"install a newer version of {origin.partition(' ')[0]}",
        )


def _call(implementation: pluggy.HookImpl, **arguments: object) -> Any:  # what a third party answers
    return implementation.function(*(arguments[name] for name in implementation.argnames))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
