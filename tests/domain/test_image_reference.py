"""Image references: parsed and shown."""

from __future__ import annotations

import pytest

from pipegraft.domain.images.reference import ImageReference
from pipegraft.errors import UsageError

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
    ["python:3.12", "python@sha256:short", f"oci:web@{DIGEST}", f"host.example/Web@{DIGEST}", f"@{DIGEST}"],
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
