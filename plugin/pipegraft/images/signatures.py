"""What is told and signed about an image beside it: found, and matched with who must have signed it.

Two schemes are read: Sigstore bundles that refer to the image (cosign's BUNDLE_SPEC.md; artifacts of type
``application/vnd.dev.sigstore.bundle…``), and the older tags ``sha256-HEX.sig`` and ``sha256-HEX.att``
(cosign's SIGNATURE_SPEC.md and ATTESTATION_SPEC.md). A statement is in-toto's, in a DSSE envelope.
"""

from __future__ import annotations

import base64
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipegraft.core.errors import OutsideError
from pipegraft.core.reading import load_json
from pipegraft.core.signing import Requirements, Signer
from pipegraft.images.documents import EMPTY, read_document, referrers_tag
from pipegraft.images.ports import ReferringRegistry, Registry, SignatureVerifier, SignedThing, SigningKey

__all__ = [
    "BUNDLE",
    "DSSE",
    "IN_TOTO",
    "SIGNATURE",
    "SIGNED_IMAGE",
    "SIMPLE_SIGNING",
    "SLSA",
    "Known",
    "Provenance",
    "pre_authentication_encoding",
    "provenance_of",
    "read_provenance",
    "refuse",
    "signed_by_key",
    "signed_things",
    "what_is_known",
]

IN_TOTO = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle"
"""Media type of a Sigstore bundle, up to its version."""
DSSE = "application/vnd.dsse.envelope.v1+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
"""Annotation of a layer in the older scheme that holds the signature over its content."""
SLSA = "https://slsa.dev/provenance/v1"
SIGNED_IMAGE = "https://sigstore.dev/cosign/sign/v1"
"""Predicate of a statement that is the signature of an image itself (cosign, pkg/types)."""
_LARGEST = 4_000_000
"""Bytes of a statement that are read."""
_MOST = 100
"""Signed things of an image that are looked at: whoever may push there may add to them."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an in-toto statement with SLSA provenance says.

    Arguments:
        subjects: digests of the images it speaks of.
        commits: commits of the source repository they were built from.
        repositories: URLs of those repositories, where it names them.
        builder: who built them.
        invocation: the run that did.
    """

    subjects: tuple[str, ...]
    commits: tuple[str, ...]
    repositories: tuple[str, ...]
    builder: str
    invocation: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is proven of an image.

    Arguments:
        signers: who signed it, of those that were asked for.
        provenance: the statements that count: with signers asked for, only those that one of them signed.
        refusals: why other signatures do not count, one clause each.
    """

    signers: tuple[Signer, ...] = ()
    provenance: tuple[Provenance, ...] = ()
    refusals: tuple[str, ...] = ()


def what_is_known(
    registry: ReferringRegistry,
    repository: str,
    digest: str,
    signers: Sequence[Signer] = (),
    verifier: SignatureVerifier | None = None,
) -> Known:
    """What is proven of an image by what lies beside it.

    Arguments:
        signers: those whose signatures count; without any, every statement counts.
        verifier: checks their signatures; needed with signers.

    Raises:
        UsageError: a key or a trust root that is declared cannot be used.
        OutsideError: the registry did not answer, or holds something else than it says.
    """
    if not signers or verifier is None:
        return Known(provenance=tuple(provenance_of(registry, repository, digest)))
    signed_by: dict[Signer, None] = {}
    provenance: list[Provenance] = []
    refusals: dict[str, None] = {}
    for thing in signed_things(registry, repository, digest):
        reasons = {signer: verifier.refusal(signer, thing) for signer in signers}
        good = [signer for signer, reason in reasons.items() if reason is None]
        kind, subjects = _claim(thing.payload)
        if not good:
            refusals.update(dict.fromkeys(f"{thing.place}: {reason}" for reason in reasons.values()))
        elif digest not in subjects:
            refusals[f"{thing.place}: it is about another image"] = None
        elif kind == SIGNED_IMAGE:
            signed_by.update(dict.fromkeys(good))
        elif statement := read_provenance(thing.payload):
            provenance.append(statement)
    return Known(tuple(signed_by), tuple(provenance), tuple(refusals))


def refuse(required: Requirements, digest: str, known: Known) -> str | None:
    """Why an image may not be released, as a clause; None if what is known of it is enough.

    Arguments:
        required: what the environment requires.
        digest: of the image.
        known: what is proven of it in its registry.
    """
    others = "; ".join(known.refusals)
    if required.signed_by and not known.signers:
        wanted = " or ".join(str(signer) for signer in required.signed_by)
        return f"it is not signed by {wanted}" + (f" ({others})" if others else "")
    if not required.provenance:
        return None
    reasons = [_lacks(required, digest, statement) for statement in known.provenance]
    if None in reasons:
        return None
    by = " that one of the signers signed" if required.signed_by else ""
    why = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
    return f"its provenance does not do: {why or f'there is none in the registry{by}'}"


def _lacks(required: Requirements, digest: str, statement: Provenance) -> str | None:
    if digest not in statement.subjects:
        return "a statement that refers to it is about another image"
    if not statement.commits:
        return "it names no source commit"
    if not _fits(required.builders, [statement.builder]):
        return f"expected a builder like {_listed(required.builders)}, found '{statement.builder}'"
    if not _fits(required.repositories, statement.repositories):
        found = _listed(statement.repositories) or "none"
        return f"expected a source repository like {_listed(required.repositories)}, found {found}"
    return None


def _fits(patterns: Sequence[str], values: Sequence[str]) -> bool:
    """Whether there is a value, and all match a pattern; anything does without patterns."""
    if not patterns:
        return True
    return bool(values) and all(
        any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns) for value in values
    )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def provenance_of(registry: ReferringRegistry, repository: str, digest: str) -> Iterator[Provenance]:
    """The statements with SLSA provenance that refer to an image, whoever attached them, signed or not.

    Raises:
        OutsideError: the registry did not answer, or holds something else than it says.
    """
    for content, _ in _referring(registry, repository, digest, IN_TOTO):
        if statement := read_provenance(content):
            yield statement
    for thing in signed_things(registry, repository, digest):
        if statement := read_provenance(thing.payload):
            yield statement


def signed_things(registry: ReferringRegistry, repository: str, digest: str) -> Iterator[SignedThing]:
    """Everything signed that lies beside an image, in either scheme; what cannot be read is none.

    Raises:
        OutsideError: the registry did not answer, or holds something else than it says.
    """
    for number, thing in enumerate(_all_signed(registry, repository, digest)):
        if number == _MOST:
            raise OutsideError(
                f"{repository}@{digest} has more than {_MOST} signatures and attestations beside it",
                fix="remove those that nobody needs",
            )
        yield thing


def _all_signed(registry: ReferringRegistry, repository: str, digest: str) -> Iterator[SignedThing]:
    for content, place in _referring(registry, repository, digest, BUNDLE):
        if thing := _of_bundle(content, place):
            yield thing
    for end, media_type in ((".sig", SIMPLE_SIGNING), (".att", DSSE)):
        tag = f"{referrers_tag(digest)}{end}"
        held = registry.find(repository, tag)
        if held is None:
            continue
        for layer, content in _layers(registry, repository, held.digest, media_type):
            place = f"{tag}, {str(layer['digest'])[:19]}"
            if thing := _of_tag(layer, content, media_type, place):
                yield thing


def _of_bundle(content: bytes, place: str) -> SignedThing | None:
    try:
        thing = _of_envelope(load_json(content)["dsseEnvelope"], place)
    except (ValueError, KeyError, TypeError):
        return None
    return SignedThing(thing.payload, thing.message, thing.signatures, content, place)


def _of_tag(layer: Mapping[str, Any], content: bytes, media_type: str, place: str) -> SignedThing | None:
    try:
        if media_type == DSSE:
            return _of_envelope(load_json(content), place)
        signature = base64.b64decode(layer["annotations"][SIGNATURE], validate=True)
        return SignedThing(content, content, (signature,), place=place)
    except (ValueError, KeyError, TypeError):
        return None


def _of_envelope(envelope: Mapping[str, Any], place: str) -> SignedThing:
    payload = base64.b64decode(envelope["payload"], validate=True)
    signatures = tuple(base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"])
    message = pre_authentication_encoding(str(envelope["payloadType"]), payload)
    return SignedThing(payload, message, signatures, place=place)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What a DSSE signature is over (github.com/secure-systems-lab/dsse, protocol.md)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _referring(
    registry: ReferringRegistry, repository: str, digest: str, media_type: str
) -> Iterator[tuple[bytes, str]]:
    """Content and place of the artifacts of a type that refer to an image."""
    for referrer in registry.referrers(repository, digest):
        # There are registries that tell the type of the empty configuration instead of the artifact's.
        told = referrer.artifact_type if referrer.artifact_type != EMPTY.descriptor.media_type else ""
        if told and not told.startswith(media_type):
            continue
        for _, content in _layers(registry, repository, referrer.manifest.digest, media_type):
            yield content, f"artifact {referrer.manifest.digest[:19]}"


def _layers(
    registry: Registry, repository: str, digest: str, media_type: str
) -> Iterator[tuple[Mapping[str, Any], bytes]]:
    """The layers of an artifact that have a media type, as described and what they hold; no larger ones."""
    manifest = read_document(registry, repository, digest, manifest=True)
    for layer in manifest.get("layers", ()):
        if str(layer.get("mediaType", "")).startswith(media_type):
            with registry.open(repository, str(layer["digest"])) as stream:
                content = stream.read(_LARGEST + 1)
            if len(content) <= _LARGEST:
                yield layer, content


def _claim(payload: bytes) -> tuple[str, tuple[str, ...]]:
    """Predicate and digests of the images that something signed is about; simple signing signs the image."""
    try:
        said = load_json(payload)
        if "critical" in said:
            return SIGNED_IMAGE, (str(said["critical"]["image"]["docker-manifest-digest"]),)
        return str(said["predicateType"]), _subjects(said)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ()


def _subjects(statement: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"sha256:{one['digest']['sha256']}" for one in statement["subject"])


def read_provenance(content: bytes) -> Provenance | None:
    """Read a statement of Pipegraft, or of another builder that follows SLSA v1; None if it is none."""
    try:
        statement = load_json(content)
        if statement["predicateType"] != SLSA:
            return None
        predicate = statement["predicate"]
        run = predicate.get("runDetails", {})
        needed = predicate["buildDefinition"].get("resolvedDependencies", [])
        sources = [one for one in needed if "gitCommit" in one.get("digest", {})]
        return Provenance(
            _subjects(statement),
            tuple(one["digest"]["gitCommit"] for one in sources),
            tuple(_repository(one["uri"]) for one in sources if one.get("uri")),
            str(run.get("builder", {}).get("id", "")),
            str(run.get("metadata", {}).get("invocationId", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _repository(uri: str) -> str:
    """``git+URL@COMMIT`` without its ends."""
    url, at, revision = uri.removeprefix("git+").rpartition("@")
    return url if at and "/" not in revision else uri.removeprefix("git+")


def signed_by_key(registry: ReferringRegistry, repository: str, digest: str, key: SigningKey) -> bool:
    """Whether an image has a signature of its own by a key.

    Raises:
        OutsideError: the registry did not answer, or holds something else than it says.
    """
    return any(
        _claim(thing.payload) == (SIGNED_IMAGE, (digest,)) and key.made(thing)
        for thing in signed_things(registry, repository, digest)
    )
