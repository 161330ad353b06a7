"""Attaching provenance and an SBOM to an image in its registry, and reading the provenance there is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

from pipegraft.images.attestations import (
    EMPTY,
    IN_TOTO,
    BuildFacts,
    Provenance,
    artifact_manifest,
    provenance,
    read_provenance,
)
from pipegraft.images.bill import sbom
from pipegraft.images.documents import Document
from pipegraft.images.image_reader import read_document
from pipegraft.images.ports.registry import ReferringRegistry, Registry

__all__ = ["attest", "provenance_of"]

_LARGEST = 4_000_000
"""Bytes of a statement that are read."""


def attest(registry: Registry, facts: BuildFacts) -> None:
    """Push provenance and SBOM as artifacts that refer to the image.

    Raises:
        OutsideError: the registry did not take them; the image itself is there.
    """
    repository = facts.request.repository
    documents = (provenance(facts), sbom(facts))
    with ThreadPoolExecutor() as pool:
        pushed = pool.map(
            lambda one: registry.push_blob(repository, one.descriptor, _source(one)), (EMPTY, *documents)
        )
        list(pushed)  # raises what went wrong
    for document in documents:  # one after another: both may go into one list of referrers
        manifest = artifact_manifest(document, facts.image)
        descriptor = manifest.descriptor
        registry.push_manifest(repository, descriptor.digest, manifest.content, descriptor.media_type)


def provenance_of(registry: ReferringRegistry, repository: str, digest: str) -> Iterator[Provenance]:
    """The statements with SLSA provenance that refer to an image, whoever attached them.

    Raises:
        OutsideError: the registry did not answer, or holds something else than it says.
    """
    for referrer in registry.referrers(repository, digest):
        if referrer.artifact_type not in {IN_TOTO, ""}:
            continue
        manifest = read_document(registry, repository, referrer.manifest.digest, manifest=True)
        for layer in manifest.get("layers", ()):
            if layer.get("mediaType") == IN_TOTO:
                with registry.open(repository, str(layer["digest"])) as stream:
                    content = stream.read(_LARGEST + 1)
                statement = read_provenance(content) if len(content) <= _LARGEST else None
                if statement is not None:
                    yield statement


def _source(document: Document) -> Callable[[], AbstractContextManager[BinaryIO]]:
    return lambda: nullcontext(io.BytesIO(document.content))
