"""Any scalar beside an image stays what it is, and any other change of what is rendered is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from target_files import NEW, OLD, REPOSITORY, WEB

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused
from pipegraft.iac.effect.compare import Expected, confirm
from pipegraft.iac.references import PinnedImage
from pipegraft.iac.targets.writing import write_target
from pipegraft.text.yaml import get_value, read_documents

PLAIN = st.from_regex(r"[A-Za-z0-9.~=_][A-Za-z0-9.:_=+~-]{0,11}", fullmatch=True).filter(
    lambda one: one[-1] != ":"
)
SCALARS = st.one_of(PLAIN, PLAIN.map("'{}'".format), PLAIN.map('"{}"'.format), st.just(""))
TAGS = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,20}", fullmatch=True)


@given(before=SCALARS, standing=SCALARS, after=SCALARS, tag=TAGS, flow=st.booleans())
def test_a_written_value_is_the_only_difference_to_a_reader(
    before: str, standing: str, after: str, tag: str, flow: bool
) -> None:
    text = f"a: {before}\nweb:\n  tag: {standing}  # ours\n  b: {after}\n"
    if flow:
        text = f"a: {before}\nweb: {{b: 'x', tag: {standing} , c: [1, y]}}\nd: {after}\n"
    image = PinnedImage(REPOSITORY, NEW, tag)
    target = Target(kind="yaml", file="f.yaml", path="web.tag", component="web", value="tag", write="tag")
    made = write_target(text, target, {"web": image}, "f.yaml").text
    (old,), (new,) = read_documents(text), read_documents(made)
    assert get_value(made, ("web", "tag")) == tag
    assert isinstance(old, dict)
    assert new == {**old, "web": {**old["web"], "tag": tag}}


def deployment(image: str) -> dict[str, Any]:
    container = {"name": "web", "image": image, "env": [{"name": "A", "value": "b"}], "ports": [80]}
    pod = {"containers": [container, {"name": "log", "image": "log:1"}]}
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {"replicas": 2, "template": {"spec": pod}},
    }


def leaves(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    return [path] if items is None else [one for key, value in items for one in leaves(value, (*path, key))]


@given(at=st.sampled_from(leaves(deployment("x"))), value=st.one_of(st.integers(), st.text(), st.none()))
def test_whatever_else_changes_is_refused(at: tuple[Any, ...], value: Any) -> None:
    before, after = deployment(f"{REPOSITORY}@{OLD}"), deployment(WEB.reference())
    expected = [Expected("web", WEB, frozenset({"digest"}))]
    assert confirm([before], [after], expected, "chart") == ["Deployment web: container 'web'"]
    changed = copy.deepcopy(after)
    place = changed
    for part in at[:-1]:
        place = place[part]
    if place[at[-1]] == value or place[at[-1]] == WEB.reference():
        return
    place[at[-1]] = value
    with pytest.raises(EditRefused):
        confirm([before], [changed], expected, "chart")
