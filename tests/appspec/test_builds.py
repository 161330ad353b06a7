"""Files of build tools with what their tools would refuse: nothing of it ends a survey."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipegraft.appspec.importing.builds import Found, Tree, find_services

KEYS = [
    "name", "workspaces", "packages", "scripts", "start", "start:prod", "main", "dependencies", "project",
    "projectType", "tool", "poetry", "uv", "workspace", "members", "exclude", "package", "bin", "id",
]  # fmt: skip
SCALARS = st.sampled_from(
    [0, 1.5, True, "", "*", "!", "apps/*", "application", "vite", "node a.js", "[", "\\"]
)
TREES = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from(KEYS), one, max_size=5)
)
READ_AS_JSON = (
    "package.json",
    "apps/a/package.json",
    "project.json",
    "apps/a/project.json",
    "pnpm-workspace.yaml",
)
READ_AS_TOML = ("pyproject.toml", "apps/a/pyproject.toml", "Cargo.toml", "apps/a/Cargo.toml")
CATALOG = "gradle/libs.versions.toml"
OTHERS = dict.fromkeys(
    ("settings.gradle", "src/main.rs", "apps/a/src/main.rs", "apps/a/a.csproj", "Procfile"), ""
)


def inline(value: Any) -> str:
    """A value in the syntax of TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(map(inline, value)) + "]" if isinstance(value, list) else json.dumps(value)


def found(files: dict[str, str]) -> list[Found]:
    return find_services(Tree(sorted(files), files.get))


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6))
def test_values_of_any_type_end_nothing_and_make_no_names(data: dict[str, Any]) -> None:
    toml = "\n".join(f"{json.dumps(key)} = {inline(one)}" for key, one in data.items())
    files = OTHERS | dict.fromkeys(READ_AS_JSON, json.dumps(data))
    services = found(files | dict.fromkeys((*READ_AS_TOML, CATALOG), toml))
    assert all("{" not in f"{one.name}{one.command}" for one in services)


@pytest.mark.parametrize(
    "file", ["package.json", "project.json", "pnpm-workspace.yaml", *READ_AS_TOML, CATALOG]
)
@pytest.mark.parametrize(
    "text", ["[" * 9999, "a = " + "[" * 9999, "{" * 9999, "!!int ''", "? [a]\n: b", "- a", "\0"]
)
def test_texts_of_no_sense_are_no_services(file: str, text: str) -> None:
    assert found({"package.json": "{}", "settings.gradle": "", file: text}) == []


def test_names_that_are_no_text_are_those_of_folders() -> None:
    main = {"apps/a/src/main.rs": "", "apps/b/src/main.rs": ""}
    services = found(
        {
            "apps/a/Cargo.toml": "[package]\nname = {workspace = true}",
            "apps/b/Cargo.toml": '[package]\nname = "b"\n[[bin]]\nname = 3',
            **main,
        }
    )
    assert [(one.name, one.command) for one in services] == [("a", ("./a",)), ("b", ("./b",))]
    package = '{"name": ["x"], "workspaces": ["apps/*"]}'
    assert found({"package.json": package, "apps/x/package.json": '{"name": ["x"]}'}) == []


def test_a_start_script_runs_on_unless_its_name_tells_otherwise_for_sure() -> None:
    start = '{"scripts": {"start": "node server.js"}}'
    names = ("console", "release", "setup", "migrations", "seed")
    files = {f"apps/{name}/package.json": start for name in names}
    services = found({"package.json": '{"workspaces": ["apps/*"]}', **files})
    assert {one.name for one in services if one.runs} == {"console", "release", "setup"}
    processes = found({"Procfile": "web: a\nconsole: b\nrelease: c\n"})
    assert [one.name for one in processes if one.runs] == ["web"]


def test_modules_that_name_one_another_are_read_once() -> None:
    names = [f"m{at}" for at in range(12)]
    modules = "".join(f"<module>../{name}</module>" for name in names)
    pom = f"<packaging>war</packaging>{modules}"
    files = {f"{name}/pom.xml": pom for name in names}
    root = f"<packaging>pom</packaging>{modules.replace('../', '')}"
    assert [one.name for one in found({"pom.xml": root, **files})] == names
