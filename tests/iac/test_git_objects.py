from __future__ import annotations

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipegraft.core.adapters.git_command import BareRepository, GitCommand
from pipegraft.core.errors import UsageError
from pipegraft.iac.adapters.git.objects import Entry, Objects, parse_tree

FORMATS = {"sha1": 40, "sha256": 64}
NAMES = st.text("ab-./0é", min_size=1, max_size=6).map(lambda name: name.replace("/", "~").encode())
MODES = st.sampled_from(["100644", "100755", "120000", "40000", "160000"])


def make(folder: Path, object_format: str) -> tuple[GitCommand, Objects]:
    path = folder / object_format
    if not path.exists():
        command = ("git", "init", "--quiet", "--bare", f"--object-format={object_format}", str(path))
        subprocess.run(command, check=True)
    repository = BareRepository(path)
    return repository.git, Objects(repository.git, repository.odb if object_format == "sha1" else None)


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


def raw(*entries: tuple[str, bytes]) -> bytes:
    return b"".join(b"%b %b\0%b" % (mode.encode(), name, b"\x01" * 20) for mode, name in entries)


ODD_MODES = st.sampled_from(["100644", "40000", "040000", "100600", "0", "120000", "160000", "644", ""])
ODD_NAMES = st.sampled_from(
    [
        b"a", b"a.b", b"a/b", b"", b".", b"..", b".git", b".GIT", b".git ", b"git~1",
        b".g\xe2\x80\x8cit", b"b",
        b"a\\.git", b".gitx", b"z\xff", b".git::$INDEX",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(st.tuples(ODD_MODES, ODD_NAMES), max_size=4), cut=st.sampled_from([0, 0, 0, 1, 20]))
def test_no_tree_is_read_that_git_would_refuse(
    entries: list[tuple[str, bytes]], cut: int, tmp_path: Path
) -> None:
    """`git mktree` and fsck's own rules are the witness: hash-object checks what it stores."""
    git, _ = make(tmp_path, "sha1")
    content = raw(*entries)
    content = content[: len(content) - cut]
    with suppress(UsageError):
        parse_tree(content)
        name = git.output("hash-object", "-w", "-t", "tree", "--stdin", stdin=content)
        known = (": broken links", ": contains zero-padded file modes")
        told = git.run("fsck", "--strict", "--no-dangling", name).errors
        faults = [line for line in told.splitlines() if "in tree" in line and not line.endswith(known)]
        assert not faults, told


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ((("100644", b"a"), ("100644", b"a")), "out of order"),
        ((("100644", b"b"), ("100644", b"a")), "out of order"),
        ((("100644", b"a"), ("100644", b"a.b"), ("40000", b"a")), "'a' twice"),
        ((("40000", b".."),), "the name '..'"),
        ((("40000", b".g\xe2\x80\x8cit"),), "the name"),
        ((("100644", b"a/b"),), "the name 'a/b'"),
        ((("100600", b"a"),), "mode '100600'"),
    ],
)
def test_a_strange_tree_is_refused_and_says_why(entries: tuple[tuple[str, bytes], ...], told: str) -> None:
    with pytest.raises(UsageError, match="expected folders as git writes them") as caught:
        parse_tree(raw(*entries))
    assert told in str(caught.value)


def test_an_entry_that_is_cut_off_is_refused() -> None:
    for cut in range(1, 29):
        with pytest.raises(UsageError, match=r"cut off|without an object"):
            parse_tree(raw(("100644", b"a"))[:-cut])


def test_old_modes_are_read_as_git_reads_them() -> None:
    assert parse_tree(raw(("100664", b"a"), ("040000", b"b"))) == {
        b"a": Entry("100664", "01" * 20),
        b"b": Entry("40000", "01" * 20),
    }
