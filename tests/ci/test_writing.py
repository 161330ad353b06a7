"""What is written is what is read, by the parser GitLab uses."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.ci.gitlab.writing import dump_yaml

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(
        ["yes", "012", "1e3", "a: b", "a:b", "- a", "~", "null", "2024-01-01", '$X == "y"', "'", "1:20"]
    ),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc:-. é", min_size=1, max_size=8), _values, min_size=1, max_size=4))
def test_it_reads_back(values):
    assert yaml.load(dump_yaml(values), Loader=yaml.CSafeLoader) == values
