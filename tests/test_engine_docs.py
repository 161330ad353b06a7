"""What docs/app-spec.md and docs/engine.md say is so."""

from __future__ import annotations

import re
from pathlib import Path

import click
from click.testing import CliRunner

from pipegraft.cli.engine_command import command
from pipegraft.domain.appspec import resolve
from pipegraft.domain.reconcile import History, reconcile
from pipegraft.model.appspec import AppComponent, AppEnvironment, Entrance, Probe
from pipegraft.model.base import kebab
from pipegraft.usecases.engine.application import Application
from pipegraft.usecases.engine.status import describe

DOCS = Path(__file__).parents[1] / "docs"
APP_SPEC = (DOCS / "app-spec.md").read_text("utf-8")
ENGINE = (DOCS / "engine.md").read_text("utf-8")


def test_the_example_resolves() -> None:
    app, environment = re.findall(r"```yaml\n(.*?)```", APP_SPEC, re.DOTALL)
    resolved = resolve(app, environment, "production")
    assert [pod.name for pod in resolved.pods] == ["web"]
    assert resolved.gray is not None
    assert list(resolved.gray.pods) == ["web"]


def test_every_key_is_explained() -> None:
    for model in (AppComponent, AppEnvironment, Entrance, Probe):
        for name in model.model_fields:
            assert re.search(rf"\b{kebab(name)}\b", APP_SPEC), name


def test_every_field_of_a_status_is_explained() -> None:
    status = describe(Application("production"), reconcile((), (), History(), 0.0), (), ())
    keys = {key if key != "revision" else "revision.live" for key in status}
    assert {key for key in keys if f"| `{key}` |" not in ENGINE} == {"application", "environment"}


def test_every_option_is_named_and_every_named_option_exists() -> None:
    options = {name for option in command.params for name in option.opts if name.startswith("--")}
    named = set(re.findall(r"--[a-z][a-z-]+", ENGINE))
    assert named - {"--help"} == options


def test_help_explains_every_option() -> None:
    shown = CliRunner().invoke(command, ["--help"])
    assert shown.exit_code == 0
    assert all(option.help for option in command.params if isinstance(option, click.Option))
