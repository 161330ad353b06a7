"""What is installed is found, kept apart by kind, and named when it does not work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipegraft.app.plugins import HOOKS, installed_plugins, shipped_plugins
from pipegraft.core import hooks
from pipegraft.core.errors import PluginError, Unreachable, UsageError
from pipegraft.core.hooks import STAGES
from pipegraft.core.plugins import HOOKS_VERSION, Plugins, hookimpl
from pipegraft.core.stage import Stage
from pipegraft.testing.stage_suite import FakeConnections, stage_context


class Entry:
    """An entry point as `importlib.metadata` gives it."""

    def __init__(
        self,
        name: str,
        loaded: object,
        group: str = "pipegraft",
        dist: str = "",
        extras: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.extras = extras
        self.group = group
        self.value = f"acme_{name}:plugin"
        self.dist = SimpleNamespace(name=dist or f"acme-{name}", version="1.2")
        self._loaded = loaded

    def load(self) -> object:
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def plugin(**hooks: Any) -> ModuleType:
    module = ModuleType("plugin")
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function))
    return module


def stage(name: str) -> Stage:
    return Stage(name=name, summary=name, run=lambda _context, _inputs: None)


def load(*entries: Any) -> Plugins:
    return Plugins([hooks], entries)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[EntryPoint, ...]:
    """Two plugins of a package that each yield a stage, and one that vetoes; all ship, as it were."""
    for name in ("one", "two"):
        text = f"""
from pipegraft.core.plugins import hookimpl
from pipegraft.core.stage import Stage

@hookimpl
def pipegraft_stages():
    yield Stage(name="stage-{name}", summary="", run=print)
"""
        (tmp_path / f"shipped_{name}.py").write_text(text)
    (tmp_path / "shipped_guard.py").write_text(
        "from pipegraft.core.plugins import hookimpl\n@hookimpl\ndef pipegraft_veto(): return 'no'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("one", "two", "guard"):
        monkeypatch.delitem(sys.modules, f"shipped_{name}", raising=False)
    dist = SimpleNamespace(name="pipegraft", version="1")
    return tuple(
        entry._for(dist)
        for entry in (
            EntryPoint("stage-one", "shipped_one", "pipegraft.stages"),
            EntryPoint("stage-two", "shipped_two", "pipegraft.stages"),
            EntryPoint("guard", "shipped_guard", "pipegraft"),
            EntryPoint("elsewhere", "no_such_module", "other"),
        )
    )


def imported() -> set[str]:
    return {name for name in sys.modules if name.startswith("shipped_")}


def test_what_a_kind_has_a_group_for_is_imported_when_it_is_asked_for(
    shipped: tuple[EntryPoint, ...],
) -> None:
    plugins = load(*shipped)
    assert imported() == {"shipped_guard"}
    assert plugins.get(STAGES, "stage-two").name == "stage-two"
    assert imported() == {"shipped_guard", "shipped_two"}
    assert list(plugins.all(STAGES)) == ["stage-one", "stage-two"]
    assert [(name, call()) for name, call in plugins.calls("pipegraft_veto")] == [("shipped_guard", "no")]


def test_a_value_may_be_called_otherwise_than_its_entry_point() -> None:
    entry = Entry(
        "several", plugin(pipegraft_stages=lambda: [stage("one"), stage("two")]), "pipegraft.stages"
    )
    assert load(entry).get(STAGES, "two").name == "two"


def test_one_module_may_stand_in_several_groups() -> None:
    module = plugin(pipegraft_stages=lambda: [stage("one")])
    plugins = load(Entry("one", module, "pipegraft.stages"), Entry("one", module))
    assert list(plugins.all(STAGES)) == ["one"]
    assert [one.error for one in plugins.loaded.values()] == [""]


@pytest.mark.parametrize("group", ["pipegraft", "pipegraft.stages"])
def test_a_third_partys_name_is_compared_with_what_ships(shipped: tuple[EntryPoint, ...], group: str) -> None:
    mine = Entry("mine", plugin(pipegraft_stages=lambda: [stage("stage-two")]), group)
    with pytest.raises(PluginError, match="'stage-two': shipped_two \\(pipegraft\\) and "):
        load(mine, *shipped).get(STAGES, "stage-two")


def test_a_third_partys_values_come_after_what_ships(shipped: tuple[EntryPoint, ...]) -> None:
    plugins = load(Entry("mine", plugin(pipegraft_stages=lambda: [stage("own")])), *shipped)
    assert list(plugins.all(STAGES)) == ["stage-one", "stage-two", "own"]


def test_a_group_that_is_no_hook_is_named_with_those_that_are() -> None:
    plugins = load(Entry("mine", plugin(), "pipegraft.stage"))
    (refused,) = plugins.loaded.values()
    assert refused.error.startswith("there is no group 'pipegraft.stage'; there are: pipegraft, ")
    assert "pipegraft.stages" in refused.error


def test_everything_that_ships_is_what_its_entry_points_say() -> None:
    plugins = shipped_plugins()
    for kind in plugins.kinds.values():
        assert plugins.all(kind), kind.hook
    assert [one.error for one in plugins.loaded.values() if one.error] == []
    assert all(one.provides or "." in one.name for one in plugins.loaded.values())


def test_an_installed_plugin_is_found_where_its_distribution_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme.py").write_text(
        "from pipegraft.core.plugins import hookimpl\nfrom pipegraft.core.stage import Stage\n"
        "@hookimpl\ndef pipegraft_stages(): yield Stage(name='acme', summary='', run=print)\n"
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pipegraft]\nacme = acme\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins = installed_plugins()
    assert "acme" in plugins.all(STAGES)
    assert plugins.loaded["acme"].origin == "acme 1.0"


def test_values_come_by_name_in_loading_order() -> None:
    plugins = load(
        Entry("b", plugin(pipegraft_stages=lambda: [stage("two")])),
        Entry("a", plugin(pipegraft_stages=lambda: [stage("one")])),
    )
    assert list(plugins.all(STAGES)) == ["one", "two"]
    assert plugins.loaded["a"].provides == ["stage one"]
    assert plugins.loaded["a"].origin == "acme-a 1.2"


def test_a_duplicate_names_both_owners() -> None:
    plugins = load(
        Entry("a", plugin(pipegraft_stages=lambda: [stage("same")])),
        Entry("b", plugin(pipegraft_stages=lambda: [stage("same")])),
    )
    with pytest.raises(PluginError) as caught:
        plugins.all(STAGES)
    assert str(caught.value) == (
        "two plugins provide a stage called 'same': a (acme-a 1.2) and b (acme-b 1.2)\n"
        "    fix: uninstall one of them"
    )


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            ImportError("no module named x"),
            "acme_bad:plugin cannot be loaded: ImportError: no module named x",
        ),
        (
            plugin(pipegraft_stages=lambda: 1 / 0),
            "pipegraft_stages failed: ZeroDivisionError: division by zero",
        ),
        (plugin(pipegraft_stages=lambda: ["text"]), "pipegraft_stages yields Stage, found str"),
        (
            plugin(pipegraft_stags=lambda: [stage("one")]),
            "unknown hook 'pipegraft_stags'",
        ),
        (plugin(pipegraft_veto=lambda nonsense: None), "Plugin 'bad'"),
    ],
)
def test_a_broken_plugin_stops_no_other_and_is_named_when_needed(broken: object, reason: str) -> None:
    plugins = load(Entry("bad", broken), Entry("good", plugin(pipegraft_stages=lambda: [stage("one")])))
    assert list(plugins.all(STAGES)) == ["one"]
    assert plugins.loaded["bad"].error.startswith(reason)
    assert plugins.loaded["bad"].fix == "install a version of acme-bad that works, or uninstall acme-bad"
    with pytest.raises(UsageError) as caught:
        plugins.get(STAGES, "smoke-test")
    assert "there is no stage called 'smoke-test'; there are: one" in str(caught.value)
    assert f"bad of acme-bad 1.2: {reason}" in str(caught.value)


def test_what_a_plugin_lacks_is_named() -> None:
    plugins = load(Entry("bad", ModuleNotFoundError("No module named 'numpy'", name="numpy")))
    assert plugins.loaded["bad"].fix == "install what it needs, 'numpy', or uninstall acme-bad"


def test_of_two_plugins_with_one_name_the_first_stays_and_the_second_is_shown() -> None:
    first = Entry("same", plugin(pipegraft_stages=lambda: [stage("one")]))
    second = Entry("same", plugin(pipegraft_stages=lambda: [stage("two")]))
    second.dist = SimpleNamespace(name="other", version="3")
    plugins = load(first, second)
    assert list(plugins.all(STAGES)) == ["one"]
    loaded, refused = plugins.loaded.values()
    assert (loaded.name, loaded.origin, loaded.provides, loaded.error) == (
        "same",
        "acme-same 1.2",
        ["stage one"],
        "",
    )
    assert (refused.name, refused.origin) == ("same", "other 3")
    assert refused.error == "two plugins are called 'same'; the one of acme-same 1.2 is loaded"
    assert refused.fix == "uninstall acme-same, or uninstall other"


def test_a_near_miss_is_suggested() -> None:
    plugins = load(Entry("a", plugin(pipegraft_stages=lambda: [stage("smoke-test")])))
    with pytest.raises(UsageError, match="write 'smoke-test'"):
        plugins.get(STAGES, "smoketest")


def test_every_hook_that_yields_values_has_its_kind() -> None:
    asked = {
        f"pipegraft_{name}"
        for name in (
            "stage_starting",
            "stage_finished",
            "event",
            "sign_image",
            "veto",
            "taken_back",
            "gate_refused",
        )
    }
    specified = {name for module in HOOKS for name in vars(module) if name.startswith("pipegraft_")}
    assert Plugins(HOOKS, ()).kinds.keys() == specified - asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Two Words"}, "expected a kebab-case stage name, found 'Two Words'"),
        ({"name": "x"}, "expected a kebab-case stage name, found 'x'"),
    ],
)
def test_a_stage_checks_itself(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Stage(summary="", run=lambda _context, _inputs: None, **options)


@pytest.mark.parametrize(
    ("version", "advice"),
    [("1", "install a newer version of acme-theirs"), ("3", "upgrade pipegraft")],
    ids=["an old plugin", "an old pipegraft"],
)
def test_a_plugin_for_other_hooks_is_refused_and_says_what_to_upgrade(version: str, advice: str) -> None:
    module = plugin(pipegraft_stages=lambda: [stage("theirs")])
    module.PIPEGRAFT_HOOKS = version  # type: ignore[attr-defined]
    plugins = load(Entry("theirs", module), Entry("ours", plugin(pipegraft_stages=lambda: [stage("ours")])))
    assert list(plugins.all(STAGES)) == ["ours"]
    error, fix = plugins.loaded["theirs"].error, plugins.loaded["theirs"].fix
    assert f"written for version {version} of the hooks" in error
    assert f"hooks of version {HOOKS_VERSION}" in error
    assert fix == f"{advice}, or uninstall acme-theirs"


def test_a_plugin_that_imports_what_version_1_had_is_told_what_to_change() -> None:
    missing = ModuleNotFoundError("No module named 'pipegraft.hookspecs'", name="pipegraft.hookspecs")
    plugins = load(Entry("theirs", missing))
    assert "written for other hooks: No module named 'pipegraft.hookspecs'" in plugins.loaded["theirs"].error
    assert "hooks of version 2" in plugins.loaded["theirs"].error
    assert "below 'From version 1 to 2'" in plugins.loaded["theirs"].fix


def test_an_extra_that_is_not_installed_is_named() -> None:
    missing = ModuleNotFoundError("No module named 'sigstore'", name="sigstore")
    plugins = load(Entry("theirs", missing, extras=["signing"]))
    assert plugins.loaded["theirs"].error == "it needs sigstore, which is not installed"
    assert plugins.loaded["theirs"].fix.startswith("install pipegraft[signing]")


def test_a_plugin_for_these_hooks_is_taken() -> None:
    module = plugin(pipegraft_stages=lambda: [stage("theirs")])
    module.PIPEGRAFT_HOOKS = HOOKS_VERSION  # type: ignore[attr-defined]
    assert list(load(Entry("theirs", module)).all(STAGES)) == ["theirs"]


def test_a_hook_that_does_not_exist_is_named_with_the_version_of_the_hooks() -> None:
    plugins = load(Entry("theirs", plugin(pipegraft_stage=lambda: [stage("theirs")])))
    error = plugins.loaded["theirs"].error
    assert "unknown hook 'pipegraft_stage'" in error
    assert "\n" not in error
    assert f"hooks of version {HOOKS_VERSION}" in error


def test_every_plugin_that_a_stage_asks_answers_and_a_broken_one_is_named(tmp_path: Path) -> None:
    signed: list[str] = []
    mine = plugin(pipegraft_sign_image=lambda image: signed.append(image.component))
    broken = plugin(pipegraft_sign_image=lambda image: 1 / 0)
    context = stage_context(tmp_path, connections=FakeConnections(listeners=[mine, broken]))
    with pytest.raises(PluginError, match="pipegraft_sign_image failed: ZeroDivisionError"):
        context.ask("pipegraft_sign_image", image=SimpleNamespace(component="web"))
    assert signed == ["web"]


def test_an_error_for_people_keeps_its_exit_code(tmp_path: Path) -> None:
    def refuse() -> None:
        raise Unreachable("no answer")

    connections = FakeConnections(listeners=[plugin(pipegraft_sign_image=refuse)])
    with pytest.raises(Unreachable, match="no answer"):
        stage_context(tmp_path, connections=connections).ask("pipegraft_sign_image", image=None)


def test_threads_may_ask_at_once(shipped: tuple[EntryPoint, ...]) -> None:
    for _ in range(20):
        for name in ("one", "two"):
            sys.modules.pop(f"shipped_{name}", None)
        plugins = load(*shipped)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _n, plugins=plugins: list(plugins.all(STAGES)), range(8)))
        assert found == [["stage-one", "stage-two"]] * 8
