from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from spec_fields import APP, ENVIRONMENT, POLICIES, Data, placements

from pipegraft.appspec.model import App, AppEnvironment
from pipegraft.cli import run
from pipegraft.core.faults import Fault, read
from pipegraft.core.model import Model


def schema(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert run(["schema", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.mark.parametrize(("file", "index"), [("app", 0), ("environment", 1)])
def test_editors_take_what_the_program_takes(
    file: str, index: int, capsys: pytest.CaptureFixture[str]
) -> None:
    validator = jsonschema.Draft202012Validator(schema(capsys, file))
    for documents in placements().values():
        validator.validate(documents[index])


@pytest.mark.parametrize(
    ("file", "document"),
    [
        ("app", {"app": "shop", "components": {"web": {"prots": {"http": 80}}}}),
        ("app", {"app": "shop", "components": {"web": {"replicas": -1}}}),
        ("app", {"app": "shop", "components": {"web": {"update": {"surge": "many"}}}}),
        ("environment", {"components": {"web": {"volumes": {"data": {"size": "1Gi"}}}}}),
    ],
)
def test_editors_mark_what_the_program_refuses(
    file: str, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not jsonschema.Draft202012Validator(schema(capsys, file)).is_valid(document)


# No number in quotes, and neither 0 nor 1 for false and true: the program takes them, editors mark them.
WRONG: list[Any] = [
    None, True, False, -1, 1.5, 2.0, 100, 70000, 10**20, "", "x", "X", "a_b", "10s", "1.5s",
    "0.5m", "1h30m", "0s", "10Gi", "500m", "25%", "200%", "/x", "x:/y", "a/b", "127.0.0.1:80", "ünï",
    "x" * 64, "a\nb", "* * * * *", "ipc", "container", "preferred", "many", "drop", "secret", [], ["a"], [1],
    "@daily", ["a", None], {}, {"a": "b"}, {"a": None}, {"secret": "s", "key": "k"}, {"config": "c"},
    {"secret": "s", "config": "c", "key": "k"},
]  # fmt: skip
NAMES = ["zzz", "a_b", "Ä", "-x", "x-", "X", "", "1", "image", "PIPEGRAFT_PORT_X", "pipegraft.dev/x", "a/b/c"]


def mutated(seed: int, count: int) -> Iterator[tuple[str, Data]]:
    """Valid documents with one value replaced, or one key added or taken away, and which file each is."""
    chosen = random.Random(seed)
    whole: list[tuple[str, Data]] = [("app", {**APP, "policies": POLICIES}), ("environment", ENVIRONMENT)]
    for pair in placements().values():
        whole += zip(("app", "environment"), pair, strict=True)
    for _ in range(count):
        file, document = chosen.choice(whole)
        changed = json.loads(json.dumps(document))
        holder, key = chosen.choice(list(_entries(changed)))
        what = chosen.choice(["replace", "replace", "replace", "add", "remove"])
        if what == "replace" or isinstance(holder, list):
            holder[key] = chosen.choice(WRONG)
        elif what == "add":
            holder[chosen.choice(NAMES)] = chosen.choice(WRONG)
        else:
            del holder[key]
        yield file, changed


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield value, key
        yield from _entries(part)


def test_editors_and_the_program_refuse_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    models: dict[str, type[Model]] = {"app": App, "environment": AppEnvironment}
    validators = {file: jsonschema.Draft202012Validator(schema(capsys, file)) for file in models}
    outcomes = set()
    for file, document in mutated(seed=7, count=1200):
        marked = [error.instance for error in validators[file].iter_errors(document)]
        refused = [fault for fault in _faults(models[file], document) if not _short(fault)]
        assert bool(marked) == bool(refused), (file, document, marked, refused)
        outcomes.add(bool(refused))
    assert outcomes == {True, False}


def _faults(model: type[Model], document: Data) -> tuple[Fault, ...]:
    return read(model, document).faults


def _short(fault: Fault) -> bool:
    """The bounds of a duration as text are known to the program alone."""
    return fault.found == "0s" and fault.message == "expected 1 or more"


def test_every_key_comes_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    component = schema(capsys, "app")["$defs"]["AppComponent"]["properties"]
    assert [key for key, shape in component.items() if not shape.get("description")] == []
