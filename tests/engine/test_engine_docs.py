"""What docs/app-spec.md and docs/engine.md say is so."""

from __future__ import annotations

import re
from pathlib import Path

import click
import yaml
from click.testing import CliRunner

from pipegraft.appspec import traits
from pipegraft.appspec.model import AppComponent, AppEnvironment, Entrance, Policies
from pipegraft.appspec.runtime_support import DOCKER, PROCESS, Support
from pipegraft.appspec.spec import resolve
from pipegraft.cli.engine import engine_command
from pipegraft.core.model import Model, keys_of
from pipegraft.engine.reconcile import History, reconcile
from pipegraft.engine.usecases.application import Application, Place
from pipegraft.engine.usecases.status import describe

DOCS = Path(__file__).parents[2] / "docs"
APP_SPEC = (DOCS / "app-spec.md").read_text("utf-8")
ENGINE = (DOCS / "engine.md").read_text("utf-8")


def test_the_example_resolves() -> None:
    app, environment, *parts = re.findall(r"```yaml\n(.*?)```", APP_SPEC, re.DOTALL)
    resolved = resolve(app, environment, "production")
    assert [pod.name for pod in resolved.pods] == ["web"]
    volumes, jobs, policies = (yaml.safe_load(part) for part in parts)
    whole = yaml.safe_load(app)
    whole["components"]["web"] |= volumes
    whole["components"] |= {name: {**job, "image": "x"} for name, job in jobs.items()}
    resolved = resolve(yaml.safe_dump({**whole, **policies}, sort_keys=False), environment, "production")
    assert [pod.name for pod in resolved.pods] == ["web", "migrate", "nightly"]
    assert list(resolved.pods[0].volumes) == ["data", "uploads", "settings", "tls", "scratch"]
    assert resolved.gray is not None
    assert list(resolved.gray.pods) == ["web"]


def test_every_key_is_explained() -> None:
    blocks = [model for model in vars(traits).values() if isinstance(model, type) and model is not Model]
    models = [model for model in blocks if issubclass(model, Model)]
    for model in (AppComponent, AppEnvironment, Entrance, Policies, *models):
        for key in keys_of(model).values():
            assert re.search(rf"\b{key}\b", APP_SPEC), key


def test_every_field_of_a_status_is_explained() -> None:
    status = describe(Application(Place("", "", "production")), reconcile((), (), History(), 0.0), (), ())
    keys = {key if key != "revision" else "revision.live" for key in status}
    assert {key for key in keys if f"| `{key}` |" not in ENGINE} == {"application", "environment"}


def test_every_option_is_named_and_every_named_option_exists() -> None:
    options = {name for option in engine_command.params for name in option.opts if name.startswith("--")}
    named = set(re.findall(r"--[a-z][a-z-]+", ENGINE))
    assert named - {"--help"} == options


def test_help_explains_every_option() -> None:
    shown = CliRunner().invoke(engine_command, ["--help"])
    assert shown.exit_code == 0
    assert all(option.help for option in engine_command.params if isinstance(option, click.Option))


def test_the_table_of_runtimes_is_what_they_do() -> None:
    said = ENGINE.partition("<!-- runtimes -->\n")[2].partition("<!-- /runtimes -->")[0]
    keys = sorted({*PROCESS.keys, *DOCKER.keys}, key=lambda key: (key not in PROCESS.keys, key))
    rows = [f"| `{key.replace('=', ': ')}` | {_cell(PROCESS, key)} | {_cell(DOCKER, key)} |" for key in keys]
    assert said == "\n".join(["| key | `process` | `docker` |", "|---|---|---|", *rows, ""])


def _cell(support: Support, key: str) -> str:
    answer = support.answer(key)
    assert answer
    return answer.treatment if not answer.why else f"{answer.treatment}: {answer.why}"
