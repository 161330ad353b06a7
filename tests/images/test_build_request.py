"""From a component as declared to a build request: what it is built on, and when that changes its tag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import AccessDenied, Unreachable, UsageError
from pipegraft.core.release import BuiltImage
from pipegraft.images.build_request import BuildSettings, PreparedBuild, prepare_build
from pipegraft.images.documents import MANIFEST
from pipegraft.images.hooks import FakeImageBuilder
from pipegraft.images.ports import Descriptor, FakeRegistry

DIGEST = "sha256:" + "a" * 64
COPIES = "FROM a\nCOPY . /\n"
ADDRESS = "registry.example.com/shop"


class Registries:
    """A registry for each address."""

    def __init__(self) -> None:
        self.opened: dict[str, FakeRegistry] = {}

    def __call__(self, address: str) -> FakeRegistry:
        return self.opened.setdefault(address, FakeRegistry())

    def push(self, address: str, repository: str, tag: str, content: bytes = b"{}") -> str:
        return self(address).push_manifest(repository, tag, content, MANIFEST).digest


@pytest.fixture
def registries() -> Registries:
    return Registries()


def prepare(
    root: Path,
    registries: Registries,
    text: str | None = None,
    upstream: dict[str, BuiltImage] | None = None,
    resolve_bases: bool = True,
    **component: object,
) -> PreparedBuild:
    folder = root / "web"
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text("print()\n")
    if text is not None:
        (folder / "Dockerfile").write_text(text)
    delivery = Delivery.model_validate(
        {
            "app": "shop",
            "registry": ADDRESS,
            "components": {"web": {"path": "web", **component}, "runtime": {"path": "runtime"}},
            "iac": {"repository": "iac.git"},
            "environments": {"staging": {"gate": {"engine": "embedded"}}},
        }
    )
    settings = BuildSettings(delivery, root, registries, resolve_bases=resolve_bases)
    return prepare_build(settings, "web", "fake", FakeImageBuilder(), upstream or {})


def built(address: str = ADDRESS, digest: str = DIGEST) -> BuiltImage:
    return BuiltImage(
        reference=f"{address}/runtime@{digest}",
        digest=digest,
        input_hash="ih-" + "0" * 64,
        builder="fake",
        built=True,
    )


def test_a_base_tag_that_moves_changes_the_input_hash(tmp_path: Path, registries: Registries) -> None:
    registries.push("docker.io", "library/python", "3.12", b"{}")
    before = prepare(tmp_path, registries, "FROM python:3.12\n")
    registries.push("docker.io", "library/python", "3.12", b"{ }")
    after = prepare(tmp_path, registries, "FROM python:3.12\n")
    assert before.request.input_hash != after.request.input_hash
    assert before.notes == after.notes == ()


def test_a_pinned_base_asks_no_registry(tmp_path: Path, registries: Registries) -> None:
    prepared = prepare(tmp_path, registries, f"FROM python@{DIGEST}\n")
    assert prepared.request.base.digest == DIGEST
    assert registries.opened["docker.io"].manifests == {}


@pytest.mark.parametrize("resolve", [True, False])
def test_a_base_that_cannot_be_resolved_is_said(
    tmp_path: Path, registries: Registries, resolve: bool
) -> None:
    prepared = prepare(tmp_path, registries, "FROM local-only\n", resolve_bases=resolve)
    assert prepared.request.base is None
    assert "'local-only' is not pinned" in prepared.notes[0]


def test_a_base_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    class Denying(FakeRegistry):
        def find(self, repository: str, reference: str) -> Descriptor | None:
            raise AccessDenied("no such repository, or no access")

    prepared = prepare(tmp_path, lambda _address: Denying(), "FROM private\n")
    assert len(prepared.notes) == 1


def test_a_base_of_the_same_server_can_be_mounted(tmp_path: Path, registries: Registries) -> None:
    registries.push("registry.example.com", "base/python", "3.12")
    prepared = prepare(tmp_path, registries, "FROM registry.example.com/base/python:3.12\n")
    assert prepared.request.base.mount_from == "/base/python"
    registries.push("docker.io", "library/python", "3.12")
    prepared = prepare(tmp_path, registries, "FROM python:3.12\n")
    assert prepared.request.base.mount_from is None


def test_an_argument_of_the_build_chooses_the_base(tmp_path: Path, registries: Registries) -> None:
    digest = registries.push("docker.io", "library/python", "3.13")
    prepared = prepare(tmp_path, registries, "ARG V=3.12\nFROM python:$V\n", build_args={"V": "3.13"})
    assert prepared.request.base.digest == digest


def test_a_declared_base_must_be_pinned(tmp_path: Path, registries: Registries) -> None:
    with pytest.raises(UsageError, match="pinned by digest"):
        prepare(tmp_path, registries, base="python:3.12")
    prepared = prepare(tmp_path, registries, base=f"python@{DIGEST}")
    assert (prepared.request.base.repository, prepared.request.base.digest) == ("library/python", DIGEST)


def test_a_component_can_be_the_base_of_another(tmp_path: Path, registries: Registries) -> None:
    prepared = prepare(tmp_path, registries, base="runtime", upstream={"runtime": built()})
    assert prepared.request.base.digest == DIGEST
    assert prepared.request.base.mount_from == "/shop/runtime"


def test_a_component_of_a_layout_can_be_the_base_of_another(tmp_path: Path, registries: Registries) -> None:
    image = built(f"oci:{tmp_path}/images")
    prepared = prepare(tmp_path, registries, base="runtime", upstream={"runtime": image})
    assert list(registries.opened) == [f"oci:{tmp_path}/images"]
    assert prepared.request.base.mount_from is None


def test_a_base_beside_a_dockerfile_is_wrong_usage(tmp_path: Path, registries: Registries) -> None:
    with pytest.raises(UsageError, match="has a Dockerfile and a 'base'"):
        prepare(tmp_path, registries, "FROM scratch\n", base=f"python@{DIGEST}")


def test_where_the_upstream_image_is_kept_does_not_change_the_tag(
    tmp_path: Path, registries: Registries
) -> None:
    one = prepare(tmp_path, registries, "FROM scratch\n", upstream={"runtime": built()})
    two = prepare(tmp_path, registries, "FROM scratch\n", upstream={"runtime": built("other.example.com")})
    assert one.request.input_hash == two.request.input_hash
    assert one.request.build_args != two.request.build_args


# Keys that compose's build section has


def test_a_dockerfile_elsewhere_in_a_context_of_its_own(tmp_path: Path, registries: Registries) -> None:
    folder = tmp_path / "web/docker"
    folder.mkdir(parents=True)
    (folder / "prod.Dockerfile").write_text("FROM scratch AS build\nFROM scratch\n")
    keys = {"context": ".", "dockerfile": "web/docker/prod.Dockerfile", "target": "build"}
    request = prepare(tmp_path, registries, **keys).request
    assert (request.context, request.dockerfile, request.stage) == (
        tmp_path, "web/docker/prod.Dockerfile", "build",
    )  # fmt: skip
    assert "web/main.py" in [entry.path for entry in request.entries]


@pytest.mark.parametrize(
    "changed", [{"target": "build"}, {"dockerfile": "Other"}, {"platforms": ["linux/arm64"]}]
)
def test_each_key_is_part_of_the_input_hash(
    tmp_path: Path, registries: Registries, changed: dict[str, object]
) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/Other").write_text("FROM scratch\n")
    plain = prepare(tmp_path, registries, "FROM scratch\n")
    assert prepare(tmp_path, registries, **changed).request.input_hash != plain.request.input_hash


def test_several_platforms_are_built_in_one_order(tmp_path: Path, registries: Registries) -> None:
    one, other = ["linux/arm64", "linux/amd64"], ["linux/amd64", "linux/arm64"]
    first, second = (prepare(tmp_path, registries, "FROM scratch\n", platforms=each) for each in (one, other))
    assert first.platforms == second.platforms == ("linux/amd64", "linux/arm64")
    assert first.request.input_hash == second.request.input_hash


def test_a_folder_as_a_further_context_counts(tmp_path: Path, registries: Registries) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/lib.py").write_text("one")
    asked = {"additional_contexts": {"shared": "shared"}}
    first = prepare(tmp_path, registries, "FROM scratch\n", **asked).request
    assert [entry.path for entry in first.extras.contexts["shared"].entries] == ["lib.py"]
    (tmp_path / "shared/lib.py").write_text("two")
    assert prepare(tmp_path, registries, "FROM scratch\n", **asked).request.input_hash != first.input_hash


def test_an_image_as_a_further_context_is_pinned(tmp_path: Path, registries: Registries) -> None:
    digest = registries.push("docker.io", "library/node", "22")
    asked = {"additional_contexts": {"tools": "docker-image://node:22"}}
    prepared = prepare(tmp_path, registries, "FROM scratch\n", **asked)
    assert prepared.request.extras.contexts["tools"].image == f"docker.io/library/node@{digest}"
    assert prepared.dependencies["node:22"] == digest


def test_a_further_context_that_is_not_there_is_named(tmp_path: Path, registries: Registries) -> None:
    with pytest.raises(UsageError, match=r"the context 'shared' at .*/nowhere, found no folder"):
        prepare(tmp_path, registries, "FROM scratch\n", additional_contexts={"shared": "nowhere"})


def test_a_platform_that_is_named_twice_is_built_once(tmp_path: Path, registries: Registries) -> None:
    twice = prepare(tmp_path, registries, platforms=["linux/amd64", "linux/amd64"])
    assert twice.platforms == ("linux/amd64",)
    assert twice.request.input_hash == prepare(tmp_path, registries).request.input_hash


def test_a_base_that_is_no_component_is_told_with_those_that_are(
    tmp_path: Path, registries: Registries
) -> None:
    with pytest.raises(UsageError, match="found 'runtme'") as caught:
        prepare(tmp_path, registries, base="runtme")
    assert "web, runtime" in caught.value.problem.fix


def test_a_further_context_that_cannot_be_hashed_is_refused(tmp_path: Path, registries: Registries) -> None:
    with pytest.raises(UsageError, match="a folder or docker-image"):
        prepare(
            tmp_path, registries, "FROM scratch\n", additional_contexts={"x": "https://example.com/x.git"}
        )


# What would become a wrong image without anybody noticing


@pytest.mark.parametrize("keys", [{"dockerfile": "Dockerfile.prod"}, {"target": "prod"}, {"context": "web"}])
def test_a_dockerfile_that_is_named_and_not_there_is_refused(
    tmp_path: Path, registries: Registries, keys: dict[str, str]
) -> None:
    with pytest.raises(
        UsageError, match=f"expected Dockerfile.* which '{next(iter(keys))}' is for, found none"
    ):
        prepare(tmp_path, registries, **keys)


@pytest.mark.parametrize(
    "name",
    [
        "Containerfile",
        "dockerfile",
        "Dockerfile.prod",
        "web.Dockerfile",
        "prod.dockerfile",
        "docker/Dockerfile",
    ],
)
def test_a_dockerfile_of_another_name_is_no_content(
    tmp_path: Path, registries: Registries, name: str
) -> None:
    path = tmp_path / "web" / name
    path.parent.mkdir(parents=True)
    path.write_text("FROM scratch\n")
    with pytest.raises(UsageError, match=f"expected Dockerfile in web, found {name}") as caught:
        prepare(tmp_path, registries)
    assert f"'dockerfile: {name}'" in caught.value.problem.fix
    assert prepare(tmp_path, registries, builder="layer").request.entries


@pytest.mark.parametrize(
    "name",
    [
        *("dockerfiles.md", "Dockerfile.dockerignore", "x/y/Dockerfile", "adockerfile"),
        *("dockerfile-tips.md", "Dockerfile.txt", "docs/notes.dockerfile", "testdata/deep/a.Dockerfile"),
        *("docker.dockerfile/a", "Dockerfile.d/x/a"),
    ],
)
def test_what_only_sounds_like_one_is_content(tmp_path: Path, registries: Registries, name: str) -> None:
    path = tmp_path / "web" / name
    path.parent.mkdir(parents=True)
    path.write_text("text\n")
    assert prepare(tmp_path, registries).request.entries


def test_stages_of_a_platform_and_further_contexts_are_looked_up_nowhere(
    tmp_path: Path, registries: Registries
) -> None:
    (tmp_path / "shared").mkdir()
    text = (
        "FROM registry.example.com/a:1 AS build-amd64\nFROM registry.example.com/b:1 AS build-arm64\n"
        "FROM build-${TARGETARCH}\nCOPY --from=Shared / /\n"
    )
    digest = registries.push("registry.example.com", "a", "1")
    registries.push("registry.example.com", "b", "1")
    prepared = prepare(
        tmp_path,
        registries,
        text,
        platforms=["linux/arm64", "linux/amd64"],
        additional_contexts={"shared": "shared"},
    )
    assert prepared.notes == ()
    assert prepared.dependencies["registry.example.com/a:1"] == digest
    assert set(registries.opened) == {"registry.example.com"}


def test_the_base_is_the_one_of_the_platform_that_is_asked_for(
    tmp_path: Path, registries: Registries
) -> None:
    found = {one: registries.push("r.example.com", "base", one, one.encode()) for one in ("amd64", "arm64")}
    order = ["linux/arm64", "linux/amd64"]
    request = prepare(
        tmp_path, registries, "FROM r.example.com/base:${TARGETARCH}\n", platforms=order
    ).request
    assert request.base is not None
    assert (request.platform, request.base.digest) == ("linux/amd64", found["amd64"])


def test_an_empty_component_is_refused(tmp_path: Path, registries: Registries) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/.dockerignore").write_text("*\n")
    with pytest.raises(UsageError, match="web holds nothing an image could be made of"):
        prepare(tmp_path, registries)


@pytest.mark.parametrize(
    ("path", "text", "keys"),
    [
        ("sub", None, {"path": "sub"}),
        ("sub", COPIES, {"context": ".", "dockerfile": "web/Dockerfile"}),
        ("web/vendor/lib", None, {}),
        ("web/vendor/lib", COPIES, {}),
        ("web/vendor/lib", 'FROM a\nCOPY ["vendor/*", "/"]\n', {}),
        ("web/vendor/lib", "FROM a\nCOPY vendor/lib/src /\n", {}),
        ("web/vendor/lib", "FROM a\nRUN --mount=type=bind,source=vendor,target=/v make\n", {}),
        ("shared", "FROM a\nCOPY --from=more . /", {"additional-contexts": {"more": "shared"}}),
        ("shared/lib", "FROM more", {"additional-contexts": {"more": "shared"}}),
    ],
)
def test_a_submodule_that_is_not_checked_out_is_named(
    path: str, text: str | None, keys: dict[str, Any], tmp_path: Path, registries: Registries
) -> None:
    (tmp_path / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = {path}\n\turl = ../x.git\n')
    (tmp_path / path).mkdir(parents=True)
    with pytest.raises(UsageError, match=rf"{path} is that of a git submodule that is not") as caught:
        prepare(tmp_path, registries, text, **keys)
    assert "GIT_SUBMODULE_STRATEGY" in caught.value.problem.fix
    (tmp_path / path / "there").write_text("content")
    prepare(tmp_path, registries, text, **keys)


def test_a_submodule_within_a_submodule_is_named(tmp_path: Path, registries: Registries) -> None:
    (tmp_path / ".gitmodules").write_text('[submodule "a"]\n\tpath = web/vendor/a\n')
    (tmp_path / "web/vendor/a/lib").mkdir(parents=True)
    (tmp_path / "web/vendor/a/.gitmodules").write_text('[submodule "lib"]\n\tpath = "lib"\n')
    with pytest.raises(UsageError, match="vendor/a/lib is that of a git submodule that is not checked out"):
        prepare(tmp_path, registries, COPIES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("COPY src .", 0),
        ("COPY *.py src/* /\nADD https://example.com/docs /\nCOPY --from=build docs /", 0),
        ("COPY src .\nRUN --mount=type=cache,target=/c --mount=type=secret,id=docs make", 0),
        ("ARG WHAT\nCOPY $WHAT .", 1),
        ("COPY --exclude=docs . .", 1),
        ("RUN make", 1),
    ],
)
def test_a_submodule_that_is_not_copied_need_not_be_there(
    text: str, told: int, tmp_path: Path, registries: Registries
) -> None:
    (tmp_path / ".gitmodules").write_text('[submodule "x"]\n\tpath = web/docs\n')
    (tmp_path / "web/docs").mkdir(parents=True)
    notes = prepare(tmp_path, registries, f"FROM scratch\n{text}\n").notes
    assert len([note for note in notes if "may copy it: docs" in note]) == told


def test_a_submodule_that_is_ignored_need_not_be_there(tmp_path: Path, registries: Registries) -> None:
    (tmp_path / ".gitmodules").write_text('[submodule "x"]\n\tpath = web/docs\n')
    (tmp_path / "web/docs").mkdir(parents=True)
    (tmp_path / "web/.dockerignore").write_text("docs\n")
    prepare(tmp_path, registries, "FROM scratch\n")


def test_pointers_of_git_lfs_are_named(tmp_path: Path, registries: Registries) -> None:
    (tmp_path / "web").mkdir()
    for number in range(5):
        (tmp_path / f"web/{number}.bin").write_text(
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize {number}\n"
        )
    with pytest.raises(UsageError, match=r"content of 0\.bin, 1\.bin, 2\.bin and 2 more elsewhere"):
        prepare(tmp_path, registries)
    (tmp_path / "web").rename(tmp_path / "shared")
    with pytest.raises(UsageError, match=r"the context 'more': Git LFS keeps the content of 0\.bin"):
        prepare(tmp_path, registries, "FROM scratch\n", **{"additional-contexts": {"more": "shared"}})


def test_a_registry_that_does_not_answer_is_a_note_and_no_failure(
    tmp_path: Path, registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(*_: object) -> None:
        raise Unreachable("no answer")

    monkeypatch.setattr(registries("docker.io"), "find", find)
    prepared = prepare(tmp_path, registries, "FROM python:3.12\n")
    assert "resolve-bases" in prepared.notes[0]


@pytest.mark.parametrize("what", ["folder", "further context", "Dockerfile", ".dockerignore"])
def test_nothing_outside_of_the_repository_is_packed(
    what: str, tmp_path: Path, registries: Registries
) -> None:
    root, secret = tmp_path / "source", tmp_path / "secret"
    root.mkdir()
    secret.mkdir()
    (secret / "Dockerfile").write_text("FROM scratch\n")
    declared: dict[str, Any] = {}
    if what == "folder":
        (root / "web").symlink_to(secret)
    elif what == "further context":
        (root / "more").symlink_to(secret)
        declared = {"additional-contexts": {"more": "more"}, "text": "FROM scratch\n"}
    else:
        (root / "web").mkdir()
        (root / "web" / what).symlink_to(secret / "Dockerfile")
    with pytest.raises(UsageError, match="found a link to"):
        prepare(root, registries, **declared)
