"""Image references: parsed and shown."""

from __future__ import annotations

import pytest

from pipegraft.core.errors import UsageError
from pipegraft.images.reference import ImageReference, mirrored, mount_source, split_name

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "address", "repository"),
    [
        ("registry.example.com/shop/web", "registry.example.com", "shop/web"),
        ("registry.example.com:5000/web:v1", "registry.example.com:5000", "web"),
        ("localhost/web", "localhost", "web"),
        ("python", "docker.io", "library/python"),
        ("python:3.12", "docker.io", "library/python"),
        ("bitnami/redis", "docker.io", "bitnami/redis"),
        ("oci:/srv/images/shop/web", "oci:/srv/images/shop", "web"),
        ("oci:.pipegraft/registry/web", "oci:.pipegraft/registry", "web"),
    ],
)
def test_reads_what_people_write(text: str, address: str, repository: str) -> None:
    assert ImageReference.parse(f"{text}@{DIGEST}") == ImageReference(address, repository, DIGEST)


@pytest.mark.parametrize(
    "text",
    [
        "python:3.12",
        f"python:@{DIGEST}",
        "python@sha256:short",
        f"oci:web@{DIGEST}",
        f"host.example/Web@{DIGEST}",
        f"@{DIGEST}",
    ],
)
def test_refuses_what_is_not_pinned_or_no_reference(text: str) -> None:
    with pytest.raises(UsageError):
        ImageReference.parse(text)


def test_a_relative_layout_becomes_absolute() -> None:
    reference = ImageReference("oci:.pipegraft/registry", "web", DIGEST)
    assert str(reference.rooted("/home/me/shop")) == f"oci:/home/me/shop/.pipegraft/registry/web@{DIGEST}"
    remote = ImageReference("registry.example.com/shop", "web", DIGEST)
    assert remote.rooted("/home/me") == remote
    assert str(remote) == f"registry.example.com/shop/web@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python", ("docker.io", "library/python", "latest")),
        ("python:3.12", ("docker.io", "library/python", "3.12")),
        (f"python:3.12@{DIGEST}", ("docker.io", "library/python", DIGEST)),
        ("localhost:5000/a/b", ("localhost:5000", "a/b", "latest")),
        ("registry.example.com/a/b:v1", ("registry.example.com", "a/b", "v1")),
        ("oci:/srv/images/web:v1", ("oci:/srv/images", "web", "v1")),
        ("oci:images/web", ("oci:images", "web", "latest")),
    ],
)
def test_a_name_has_an_address_a_repository_and_a_tag(text: str, expected: tuple[str, str, str]) -> None:
    assert split_name(text) == expected


@pytest.mark.parametrize("text", ["alpine:", "host.example:5000/a:"])
def test_a_tag_is_not_empty(text: str) -> None:
    with pytest.raises(UsageError, match=f"found '{text}'"):
        split_name(text)


@pytest.mark.parametrize(
    ("target", "address", "repository", "expected"),
    [
        ("registry.example.com/shop", "registry.example.com", "base/python", "/base/python"),
        ("registry.example.com/shop", "registry.example.com/shop", "web", "/shop/web"),
        ("registry.example.com", "registry.example.com", "web", "/web"),
        ("registry.example.com:5000/shop", "registry.example.com", "web", None),
        ("registry.example.com/shop", "docker.io", "library/python", None),
        ("oci:/images", "oci:/images", "web", "/web"),
        ("oci:/images", "oci:/images/base", "python", "/base/python"),
        ("oci:/images", "oci:/images-of-others", "web", None),
        ("oci:/images", "docker.io", "library/python", None),
        ("registry.example.com", "oci:/images", "web", None),
    ],
)
def test_layers_are_mounted_from_the_same_server_alone(
    target: str, address: str, repository: str, expected: str | None
) -> None:
    assert mount_source(target, address, repository) == expected


def test_capitals_are_named_as_what_is_wrong() -> None:
    with pytest.raises(UsageError) as caught:
        split_name("registry.example.com/Shop/web:v1")
    assert caught.value.problem.fix == "write the repository in lower case"


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("docker.io", "mirror.example.com/hub"),
        ("quay.io/team", "localhost:5000/team"),
        ("registry.example.com/shop", "registry.example.com/shop"),
        ("oci:images", "oci:images"),
    ],
)
def test_mirrors_are_asked_instead(address: str, asked: str) -> None:
    variables = {"PIPEGRAFT_REGISTRY_MIRRORS": "docker.io=mirror.example.com/hub, quay.io=localhost:5000"}
    assert mirrored(address, variables) == asked
    assert mirrored(address, {}) == address


@pytest.mark.parametrize("written", ["docker.io", "docker.io/library=mirror.example.com", "docker.io="])
def test_a_list_of_mirrors_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(UsageError, match="PIPEGRAFT_REGISTRY_MIRRORS: expected HOST=ADDRESS"):
        mirrored("docker.io", {"PIPEGRAFT_REGISTRY_MIRRORS": written})
