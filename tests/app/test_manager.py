from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipegraft.app.builtins import PLUGINS
from pipegraft.core import hookspecs
from pipegraft.core.errors import PluginError, Unreachable, UsageError
from pipegraft.core.hookspecs import KINDS, STAGES, hookimpl
from pipegraft.core.manager import Builtin, Plugins
from pipegraft.core.progress import Event, RecordingProgress
from pipegraft.core.stage import Stage, StageContext


class Entry:
    """An entry point as `importlib.metadata` gives it."""

    def __init__(self, name: str, loaded: object) -> None:
        self.name = name
        self.value = f"acme_{name}:plugin"
        self.dist = SimpleNamespace(name=f"acme-{name}", version="1.2")
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


def load(*entries: Entry, builtins: tuple[Builtin, ...] = ()) -> Plugins:
    return Plugins(builtins, entries)  # type: ignore[arg-type]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Builtin, ...]:
    """Two plugins of the package that each yield a stage, and one that vetoes."""
    for name in ("one", "two"):
        text = f"""
from pipegraft.core.hookspecs import hookimpl
from pipegraft.core.stage import Stage

@hookimpl
def pipegraft_stages():
    yield Stage(name="stage-{name}", summary="", run=print)
"""
        (tmp_path / f"shipped_{name}.py").write_text(text)
    (tmp_path / "shipped_guard.py").write_text(
        "from pipegraft.core.hookspecs import hookimpl\n@hookimpl\ndef pipegraft_veto(): return 'no'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("one", "two", "guard"):
        monkeypatch.delitem(sys.modules, f"shipped_{name}", raising=False)
    return (
        Builtin("shipped_one", "stage stage-one"),
        Builtin("shipped_two", "stage stage-two"),
        Builtin("shipped_guard"),
    )


def imported() -> set[str]:
    return {name for name in sys.modules if name.startswith("shipped_")}


def test_what_ships_is_imported_when_it_is_needed(shipped: tuple[Builtin, ...]) -> None:
    plugins = load(builtins=shipped)
    assert imported() == {"shipped_guard"}
    assert plugins.get(STAGES, "stage-two").name == "stage-two"
    assert imported() == {"shipped_guard", "shipped_two"}
    assert list(plugins.all(STAGES)) == ["stage-one", "stage-two"]
    assert plugins.vetoes(None, None) == [("shipped_guard", "no")]  # type: ignore[arg-type]


def test_a_third_partys_name_is_compared_with_what_ships(shipped: tuple[Builtin, ...]) -> None:
    plugins = load(Entry("mine", plugin(pipegraft_stages=lambda: [stage("stage-two")])), builtins=shipped)
    with pytest.raises(PluginError, match="'stage-two': shipped_two \\(pipegraft\\) and mine"):
        plugins.get(STAGES, "stage-two")


def test_a_third_partys_values_come_after_what_ships(shipped: tuple[Builtin, ...]) -> None:
    plugins = load(Entry("mine", plugin(pipegraft_stages=lambda: [stage("own")])), builtins=shipped)
    assert list(plugins.all(STAGES)) == ["stage-one", "stage-two", "own"]


def test_the_table_of_what_ships_says_what_it_provides() -> None:
    for builtin in PLUGINS:
        plugins = Plugins([builtin], ())
        for kind in KINDS:
            plugins.all(kind)
        module = sys.modules[builtin.module]
        hooks = {name for name in dir(module) if name.startswith("pipegraft_")}
        assert plugins.loaded[builtin.module].provides == list(builtin.provides), builtin.module
        assert not builtin.provides or hooks <= {kind.hook for kind in KINDS}, builtin.module


def test_an_installed_plugin_is_found_where_its_distribution_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme.py").write_text(
        "from pipegraft.core.hookspecs import hookimpl\nfrom pipegraft.core.stage import Stage\n"
        "@hookimpl\ndef pipegraft_stages(): yield Stage(name='acme', summary='', run=print)\n"
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pipegraft]\nacme = acme\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Plugins()
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


def test_observers_and_guards_get_only_what_they_ask_for() -> None:
    seen: list[object] = []

    def starting(stage: Stage) -> None:
        seen.append(stage.name)

    def finished(error: Exception | None) -> None:
        raise RuntimeError("observer broke")

    def guard(context: StageContext) -> str:
        raise RuntimeError("cannot say")

    plugins = load(
        Entry("watch", plugin(pipegraft_stage_starting=starting, pipegraft_stage_finished=finished)),
        Entry("guard", plugin(pipegraft_veto=guard)),
        Entry("calm", plugin(pipegraft_veto=lambda stage: None)),
    )
    progress = RecordingProgress()
    context: Any = SimpleNamespace(
        report=lambda kind, message: progress.events.append((kind, message))  # type: ignore[arg-type]
    )
    plugins.starting(context, stage("one"))
    plugins.finished(context, stage("one"), None)
    assert seen == ["one"]
    assert progress.events == [
        ("warning", "plugin watch: pipegraft_stage_finished: RuntimeError: observer broke")
    ]
    assert plugins.vetoes(context, stage("one")) == [
        ("guard", "it could not decide: RuntimeError: cannot say")
    ]


def test_every_hook_that_yields_values_has_its_kind() -> None:
    asked = {
        f"pipegraft_{name}" for name in ("stage_starting", "stage_finished", "event", "sign_image", "veto")
    }
    hooks = {name for name in vars(hookspecs) if name.startswith("pipegraft_")}
    assert {kind.hook for kind in KINDS} == hooks - asked


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


def test_listeners_hear_every_event_and_a_broken_one_is_named_once() -> None:
    heard: list[tuple[str, str]] = []

    def event(app: str, event: Event) -> None:
        heard.append((app, event.kind))

    def broken() -> None:
        raise RuntimeError("no line")

    plugins = load(
        Entry("mine", plugin(pipegraft_event=event)), Entry("other", plugin(pipegraft_event=broken))
    )
    assert plugins.hear("shop", Event("commit", "weight 10")) == [
        "plugin other: pipegraft_event: RuntimeError: no line"
    ]
    assert plugins.hear("shop", Event("judgement", "pass")) == []
    assert heard == [("shop", "commit"), ("shop", "judgement")]


@pytest.mark.parametrize(
    ("version", "advice"),
    [("0", "install a newer version of acme-theirs"), ("2", "upgrade pipegraft")],
    ids=["an old plugin", "an old pipegraft"],
)
def test_a_plugin_for_other_hooks_is_refused_and_says_what_to_upgrade(version: str, advice: str) -> None:
    module = plugin(pipegraft_stages=lambda: [stage("theirs")])
    module.PIPEGRAFT_HOOKS = version  # type: ignore[attr-defined]
    plugins = load(Entry("theirs", module), Entry("ours", plugin(pipegraft_stages=lambda: [stage("ours")])))
    assert list(plugins.all(STAGES)) == ["ours"]
    error, fix = plugins.loaded["theirs"].error, plugins.loaded["theirs"].fix
    assert f"written for version {version} of the hooks" in error
    assert f"hooks of version {hookspecs.HOOKS_VERSION}" in error
    assert fix == f"{advice}, or uninstall acme-theirs"


def test_a_plugin_for_these_hooks_is_taken() -> None:
    module = plugin(pipegraft_stages=lambda: [stage("theirs")])
    module.PIPEGRAFT_HOOKS = hookspecs.HOOKS_VERSION  # type: ignore[attr-defined]
    assert list(load(Entry("theirs", module)).all(STAGES)) == ["theirs"]


def test_a_hook_that_does_not_exist_is_named_with_the_version_of_the_hooks() -> None:
    plugins = load(Entry("theirs", plugin(pipegraft_stage=lambda: [stage("theirs")])))
    error = plugins.loaded["theirs"].error
    assert "unknown hook 'pipegraft_stage'" in error
    assert "\n" not in error
    assert f"hooks of version {hookspecs.HOOKS_VERSION}" in error


def test_every_signer_is_asked_and_a_broken_one_is_named() -> None:
    signed: list[str] = []
    image: Any = SimpleNamespace(component="web")
    plugins = load(
        Entry("mine", plugin(pipegraft_sign_image=lambda image: signed.append(image.component))),
        Entry("other", plugin(pipegraft_sign_image=lambda image: 1 / 0)),
    )
    with pytest.raises(PluginError, match="plugin other could not sign 'web': ZeroDivisionError"):
        plugins.sign(image)
    assert signed == ["web"]


def test_a_signers_own_error_keeps_its_exit_code() -> None:
    def refuse() -> None:
        raise Unreachable("no answer")

    with pytest.raises(Unreachable, match="no answer"):
        load(Entry("mine", plugin(pipegraft_sign_image=refuse))).sign(SimpleNamespace(component="web"))  # type: ignore[arg-type]


def test_threads_may_ask_at_once(shipped: tuple[Builtin, ...]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for _ in range(20):
        for name in ("one", "two"):
            sys.modules.pop(f"shipped_{name}", None)
        plugins = load(builtins=shipped)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _n, plugins=plugins: list(plugins.all(STAGES)), range(8)))
        assert found == [["stage-one", "stage-two"]] * 8
