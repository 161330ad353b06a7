from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from spec_fields import placements

from pipegraft.cli import run


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


def test_every_key_comes_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    component = schema(capsys, "app")["$defs"]["AppComponent"]["properties"]
    assert [key for key, shape in component.items() if not shape.get("description")] == []
