"""Any scalar beside an image stays what it is, and any other change of what is rendered is refused."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from target_files import CASES, IMAGES, OLD, REPOSITORY, WEB, Case
from written_files import written
from yaml import YAMLError, safe_dump_all, safe_load_all
from yaml.events import ScalarEvent
from yaml_documents import documents, nodes
from yaml_views import differences, views

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, UsageError
from pipegraft.iac.released_images import PinnedImage
from pipegraft.iac.targets.compare import Expected, confirm
from pipegraft.iac.targets.writing import write_target
from pipegraft.text.yaml import format_path, get_value

TAGS = st.sampled_from(
    ["1e5", "0123", "1_000", "no", "y", "1.10", "null", "0x1f", "12e4567", "1.0.0-rc.1", "08"]
)
TAGS |= st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
IMAGE = st.builds(PinnedImage, st.sampled_from([REPOSITORY, "web", "localhost:5000/web"]), DIGESTS, TAGS)


def assert_only(text: str, new: str, meant: Callable[[tuple[Any, ...]], bool], allowed: set[str]) -> None:
    """No reader sees another difference than meant ones, and a string of `allowed` at each."""
    before, after = views(text), views(new)
    for reader, held in before.items():
        if held is None:
            continue
        seen = after[reader]
        assert seen is not None, f"{reader} can read it no more"
        for at, (was, now) in differences(held, seen).items():
            assert meant(at), f"{reader}: {at}"
            if now is None:
                continue
            own = was[0] if was and was[0].startswith("!") else ""  # a tag of the file's own stays
            assert now[0] in {own, "tag:yaml.org,2002:str"}, f"{reader}: {at} is {now}"
            if was and "\n" in was[1] and now[1] not in allowed:  # a text that holds YAML
                assert_only(was[1], now[1], meant, allowed)
            else:
                assert now[1] in allowed, f"{reader}: {at} is {now}"


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data(), text=documents(), image=IMAGE, part=st.sampled_from(["tag", "digest", "reference"]))
def test_a_written_scalar_is_the_only_difference_to_any_reader(
    data: st.DataObject, text: str, image: PinnedImage, part: Any
) -> None:
    """Of any document: either exactly the scalar that is named changes, or the bump is refused."""
    try:
        found = [one for one in nodes(text) if isinstance(one[3], ScalarEvent) and one[1]]
    except YAMLError:
        return
    paths = [one[:2] for one in found]
    chosen = [one for one in found if paths.count(one[:2]) == 1]
    assume(chosen)
    document, path, _, _ = data.draw(st.sampled_from(chosen))
    target = Target(
        kind="yaml",
        file="f.yaml",
        path=format_path(path),
        document=document,
        component="web",
        value=part,
        write="digest" if part != "tag" else "tag",
    )
    try:
        new = write_target(text, target, {"web": image}, "f.yaml").text
    except EditRefused:
        return
    value, _ = image.like("", part, target.write)
    assert get_value(new, path, document=document) == value

    above = [one[3] for one in nodes(text) if one[0] == document and one[1] == path[: len(one[1])]]
    shared = any(one.anchor for one in above)  # an alias shows it elsewhere, too

    def meant(at: tuple[Any, ...]) -> bool:
        return at == (document, *path) or (shared and at[0] == document)

    assert_only(text, new, meant, {value})


@settings(max_examples=30)
@given(case=st.sampled_from([case for case in CASES if case.runs]), digest=DIGESTS, tag=TAGS)
def test_a_release_is_the_only_difference_in_files_as_teams_have_them(
    case: Case, digest: str, tag: str
) -> None:
    """Parts of its images come, or old ones go; all else is to every reader what it was."""
    images = {name: PinnedImage(IMAGES[name].repository, digest, tag) for name in case.components}
    planned = written(case, {}, images)
    for path, text in planned.files.items():
        if path in case.files and path.endswith((".yaml", ".yml")) and "{{" not in text:  # no template
            named = {name for one in case.files.values() for name in re.findall(r"image: ([\w./-]+)", one)}
            forms = named | set(_forms(case.files[path], images))  # a new entry names what the resources have
            assert_only(case.files[path], text, lambda _at: True, forms)


def _forms(text: str, images: Mapping[str, PinnedImage]) -> Iterator[str]:
    """What a file may say of images: each part, the whole, and with the tag that stands there."""
    for name, one in images.items():
        host, _, rest = one.repository.partition("/")
        yield from (one.repository, rest, host, f"{host}/")
        yield from (one.tag, one.digest, one.digest.removeprefix("sha256:"), f"{one.tag}@{one.digest}")
        for reference in (one.reference("tag"), one.reference("digest"), one.reference("both")):
            yield from (reference, f"{name}={reference}", f"--image={reference}", f"{reference}\n")
    yield from (
        f"{standing}@{one.digest}"
        for standing in re.findall(r"[\w.-]+(?=@)", text)
        for one in images.values()
    )


JUNK = st.sampled_from([None, 5, "x", "", [], {}, [5], {"a": 1}, True, [None], [{}], "a: b\n", "{{ x }}"])


@settings(max_examples=60)
@given(data=st.data(), case=st.sampled_from(CASES), junk=JUNK)
def test_what_nobody_expects_in_a_file_is_no_defect(data: st.DataObject, case: Case, junk: Any) -> None:
    """Whatever stands anywhere in the files around an image: the release is written, or refused."""
    texts = [path for path in case.files if path.endswith((".yaml", ".yml")) and "{{" not in case.files[path]]
    assume(texts)
    path = data.draw(st.sampled_from(sorted(texts)))
    try:
        found = list(safe_load_all(case.files[path]))
    except (YAMLError, ValueError):  # the second: a day that no month has
        return
    places = [(number, at) for number, one in enumerate(found) for at in inner(one) if at]
    assume(places)
    number, at = data.draw(st.sampled_from(places))
    held = found[number]
    for part in at[:-1]:
        held = held[part]
    held[at[-1]] = junk
    with contextlib.suppress(UsageError):
        written(replace(case, files={**case.files, path: safe_dump_all(found)}), {})


def inner(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(one for key, value in items for one in inner(value, (*path, key)))]


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
