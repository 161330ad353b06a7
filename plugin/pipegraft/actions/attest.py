"""Attaching provenance and an SBOM to an image in its registry."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

from pipegraft.domain.images.attestations import EMPTY, BuildFacts, artifact_manifest, provenance, sbom
from pipegraft.domain.images.documents import Document
from pipegraft.ports.registry import Registry

__all__ = ["attest"]


def attest(registry: Registry, facts: BuildFacts) -> None:
    """Push provenance and SBOM as artifacts that refer to the image.

    Raises:
        OutsideError: the registry did not take them; the image itself is there.
    """
    repository = facts.request.repository
    registry.push_blob(repository, EMPTY.descriptor, _source(EMPTY))
    for document in (provenance(facts), sbom(facts)):
        registry.push_blob(repository, document.descriptor, _source(document))
        manifest = artifact_manifest(document, facts.image)
        descriptor = manifest.descriptor
        registry.push_manifest(repository, descriptor.digest, manifest.content, descriptor.media_type)


def _source(document: Document) -> Callable[[], AbstractContextManager[BinaryIO]]:
    return lambda: nullcontext(io.BytesIO(document.content))
