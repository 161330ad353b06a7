from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipegraft.iac.adapters.git.objects import Entry, Objects, parse_tree
from pipegraft.iac.adapters.git.process import Git, git_environment

FORMATS = {"sha1": 40, "sha256": 64}
NAMES = st.text("ab-./0é", min_size=1, max_size=6).map(lambda name: name.replace("/", "~").encode())
MODES = st.sampled_from(["100644", "100755", "120000", "40000", "160000"])


def make(folder: Path, object_format: str) -> tuple[Git, Objects]:
    git = Git(folder / object_format, git_environment({"PATH": os.environ["PATH"]}))
    assert git.folder is not None
    command = ("git", "init", "--quiet", "--bare", f"--object-format={object_format}", str(git.folder))
    if not git.folder.exists():
        subprocess.run(command, check=True)
    return git, Objects(git, object_format)


@pytest.mark.parametrize("object_format", FORMATS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tree=st.dictionaries(NAMES.filter(lambda name: name not in {b".", b".."}), MODES, max_size=8),
    content=st.binary(max_size=300),
)
def test_objects_are_those_that_git_makes(
    object_format: str, tree: Mapping[bytes, str], content: bytes, tmp_path: Path
) -> None:
    git, objects = make(tmp_path, object_format)
    blob = objects.put_blob(content)
    assert blob == git.output("hash-object", "--stdin", stdin=content)
    names = (f"{number:0{FORMATS[object_format]}x}" for number in range(1, 9))
    entries = {name: Entry(mode, other) for (name, mode), other in zip(tree.items(), names, strict=False)}
    made = objects.put_tree(entries)
    lines = [
        f"{one.mode:0>6} {one.kind} {one.name}\t".encode() + name + b"\0" for name, one in entries.items()
    ]
    assert made == git.output("mktree", "-z", "--missing", stdin=b"".join(lines))
    assert objects.get(blob) == ("blob", content)
    kind, stored = objects.get(made) or ("", b"")
    assert (kind, dict(parse_tree(stored, FORMATS[object_format] // 2))) == ("tree", entries)


def test_an_object_that_is_here_is_not_written_again(tmp_path: Path) -> None:
    git, objects = make(tmp_path, "sha1")
    assert git.folder is not None
    name = objects.put_blob(b"text")
    file = git.folder / "objects" / name[:2] / name[2:]
    before = file.stat().st_ino
    assert objects.put_blob(b"text") == name
    assert file.stat().st_ino == before
    assert [one.name for one in file.parent.iterdir()] == [file.name]
