"""Real files: replace scalars one by one, add entries and take them out; only what is meant changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from yaml.events import MappingStartEvent, ScalarEvent, SequenceStartEvent
from yaml_documents import events, is_same_around, nodes

from pipegraft.core.errors import EditRefused
from pipegraft.text.yaml import Insert, Put, Remove, apply, get_value, set_values

CORPUS = Path(os.environ.get("PIPEGRAFT_CORPUS", Path(__file__).parents[3] / "shared/corpus"))
OWN = Path(__file__).parent / "fixtures"
FILES = sorted([*OWN.glob("*.yaml"), *CORPUS.glob("gitlab/*.yml")])
AT_THE_END = "byte-order mark, no line break at the end"
VARIANTS = {
    "as it is": lambda text: text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    AT_THE_END: lambda text: "\ufeff" + text.rstrip("\n"),
}
AT_MOST = 12


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_edits_of_a_real_file_change_what_they_name(file: Path, variant: str) -> None:
    text = VARIANTS[variant](file.read_bytes().decode())
    found = list(nodes(text))
    old = events(text)
    paths = [node[:2] for node in found]
    unique = [node for node in found if paths.count(node[:2]) == 1]
    scalars = [node for node in unique if isinstance(node[3], ScalarEvent) and node[3].tag is None]
    for document, path, index, event in scalars[:: len(scalars) // AT_MOST + 1]:
        after = set_values(text, {path: "1.10 # c"}, document=document)
        new = events(after)
        assert [at for at in range(len(old)) if old[at] != new[at]] == [index]
        assert new[index][1] == "1.10 # c"
        assert not path or is_same_around(text, after, event)
    collections = [node for node in unique if isinstance(node[3], MappingStartEvent | SequenceStartEvent)]
    for document, path, _, event in collections[:: len(collections) // AT_MOST + 1]:
        if isinstance(event, MappingStartEvent):
            edit, where = Put((*path, "new-key"), {"a": [1, {"b": "x"}]}), (*path, "new-key")
        else:
            edit, where = Insert(path, 0, {"a": [1, {"b": "x"}]}), (*path, 0)
        try:
            after = apply(text, [edit], document=document)
        except EditRefused as refusal:
            if "inside this text block" in str(refusal) and variant == AT_THE_END:
                continue
            raise
        assert get_value(after, where, document=document) == {"a": [1, {"b": "x"}]}
        assert apply(after, [Remove(where)], document=document) == text
