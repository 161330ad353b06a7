"""YAML written by events of our own is the YAML that PyYAML writes, byte for byte."""

from __future__ import annotations

import re
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.appspec.rendering.yaml_output import dump_documents

WORDS = st.sampled_from(
    ["true", "No", "null", "~", "12", "0x1f", "1e3", "2026-01-01", "a: b", "- x", "", "<<", "="]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), WORDS, st.text(max_size=12)
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(WORDS, st.text(max_size=6)), inner, max_size=4)
    ),
    max_leaves=12,
)


class Full(yaml.CSafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


@given(st.lists(DATA, min_size=1, max_size=3))
def test_it_is_what_pyyaml_writes_but_for_quotes(documents: list[Any]) -> None:
    """Quotes stand where another reader (YAML 1.2, Go) would take a string for something else."""
    expected = yaml.dump_all(
        documents,
        Dumper=Full,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        explicit_start=True,
        width=4096,
    )
    written = dump_documents(documents)
    assert list(yaml.load_all(written, yaml.CSafeLoader)) == list(yaml.load_all(expected, yaml.CSafeLoader))
    assert re.sub("['\"?\\\\]", "", written).split() == re.sub("['\"?\\\\]", "", expected).split()


def test_what_stands_twice_is_written_in_full() -> None:
    shared = {"name": "x"}
    assert dump_documents([{"a": shared, "b": [shared]}]) == "---\na:\n  name: x\nb:\n- name: x\n"
