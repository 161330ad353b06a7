"""`pipegraft audit`: the chain of one release in each environment, and the figures of delivery.

It reads the IaC branch, its environments' files, the source repository and the registries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from pipegraft.appspec.environment_file import environment_path
from pipegraft.audit.chain import (
    Chain,
    Link,
    SourceFacts,
    broken,
    iac_link,
    outcome_link,
    outcome_of,
    source_link,
)
from pipegraft.audit.dora import Figures, deployments_of, figures_of
from pipegraft.audit.evidence import ImageFacts, gate_link, gray_link, image_link
from pipegraft.audit.release_commits import Book, Story, Wanted
from pipegraft.core.adapters.vcs_info import SourceLog
from pipegraft.core.delivery import Delivery, Iac
from pipegraft.core.delivery_file import DELIVERY_FILE, parse_document, read_text
from pipegraft.core.errors import Damaged, PipegraftError, UsageError
from pipegraft.core.release import GateResult, Release
from pipegraft.core.signing import Signer
from pipegraft.iac.adapters.git import open_branch
from pipegraft.iac.adapters.git.access import trusting
from pipegraft.iac.archive import IacArchive, Signature, Signed
from pipegraft.iac.released_images import state_path
from pipegraft.images.adapters.registry import open_registry
from pipegraft.images.ports import ReferringRegistry, SignatureVerifier
from pipegraft.images.reference import ImageReference
from pipegraft.images.signatures import what_is_known

__all__ = ["AuditRequest", "Place", "Required", "Scene", "audit", "delivery_figures", "open_scene"]


_LETTERS = {"G": Signed.GOOD, "U": Signed.UNTRUSTED, "B": Signed.BAD, "R": Signed.REVOKED, "N": Signed.NONE}
_AT_ONCE = 8
"""Images that registries are asked about together."""
_BLOCK = 1 << 16
"""Bytes of a manifest that are read together."""
OpenRegistry = Callable[[str], ReferringRegistry]


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look; what is absent is taken from ``delivery.yaml``.

    Arguments:
        root: the source repository's folder.
        repository: the IaC repository, URL or path; the delivery's if None.
        branch: of the IaC repository; the delivery's, else ``main``.
        folder: the app's folder in a repository of several.
        source: folder of the source repository's clone; `root` if None.
        allowed_signers: file of SSH keys that may sign (ssh-keygen(1)); git's own setting if None.
    """

    root: Path = Path()
    repository: str | None = None
    branch: str | None = None
    folder: str | None = None
    source: Path | None = None
    allowed_signers: Path | None = None


class _Branch(Protocol):
    """What reads an archive and single files until it is closed."""

    @property
    def archive(self) -> IacArchive: ...

    def tip(self) -> str: ...

    def read(self, path: str, at: str) -> str | None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Scene:
    """Everything an audit reads.

    Arguments:
        app: name of the application, empty if nobody says.
        folder: the app's folder in the IaC repository, None for the root.
        branch: the IaC branch.
        source: the source repository.
        root: folder that relative registry folders count from.
        targets: environments whose release is remembered beside targets; None if only the files tell.
        order: environments in the order they are delivered to; empty if only the files tell.
        signers: environment → whose signatures of images it asks for.
    """

    app: str
    folder: str | None
    branch: _Branch
    source: SourceLog
    root: Path
    targets: frozenset[str] | None
    order: tuple[str, ...]
    signers: Mapping[str, tuple[Signer, ...]] = field(default_factory=dict)

    @cached_property
    def environments(self) -> Mapping[str, str]:
        """Environment → the file that tells of its releases."""
        files, states = (self._names(path) for path in ("environments", ".pipegraft"))
        names = self.order or tuple(dict.fromkeys([*files, *states]))
        found: dict[str, str] = {}
        for name in names:
            by_state = name in self.targets if self.targets is not None else name not in files
            path = state_path if by_state else environment_path
            found[name] = path(self.folder, name)
        return found

    def books(self, environment: str | None) -> Iterator[Book]:
        """The history of one environment's file, or of each.

        Raises:
            UsageError: there is no such environment.
        """
        known = self.environments
        if environment is not None and environment not in known:
            raise UsageError(
                f"there is no environment '{environment}' in the IaC repository",
                fix=f"use one of: {', '.join(known)}" if known else "check --folder and --branch",
            )
        if not known:
            raise UsageError(
                "expected environments/NAME.yaml in the IaC repository, there is none",
                fix="name the app's folder with --folder",
            )
        wanted = {name: path for name, path in known.items() if environment in (None, name)}
        archive = self.branch.archive
        versions = archive.versions(list(wanted.values()))
        for name, path in wanted.items():
            yield Book(name, path, versions, archive.contents)

    def _names(self, path: str) -> list[str]:
        whole = f"{self.folder.rstrip('/')}/{path}" if self.folder else path
        names = self.branch.archive.folder(whole)
        return [name.removesuffix(".yaml") for name in names if name.endswith(".yaml")]


@contextmanager
def open_scene(place: Place, environment: Mapping[str, str]) -> Iterator[Scene]:
    """What an audit reads, open for as long as the context is.

    Arguments:
        environment: the process's variables, for credentials.

    Raises:
        UsageError: no repository is named and there is no ``delivery.yaml``, or there is none at its path.
        ConfigError: ``delivery.yaml`` is wrong.
    """
    delivery = _delivery(place)
    if delivery is None and place.repository is None:
        raise UsageError(
            f"expected {DELIVERY_FILE} or an IaC repository, found neither",
            fix="run in the source repository, or name the IaC repository: pipegraft audit REPOSITORY",
        )
    iac = delivery.iac if delivery else Iac(repository=place.repository or "")
    base = place.root
    if place.repository is not None:
        iac, base = iac.model_copy(update={"repository": place.repository}), Path()
    folder = place.folder or iac.path
    branch = open_branch(
        iac.repository,
        place.branch or iac.branch,
        base,
        folder=folder,
        environment=trusting(place.allowed_signers, environment),
    )
    with closing(branch):
        environments = delivery.environments if delivery else {}
        yield Scene(
            delivery.app if delivery else _app(branch, folder),
            folder,
            branch,
            SourceLog(place.source or place.root, trusting(place.allowed_signers, environment)),
            place.root,
            frozenset(name for name, one in environments.items() if one.targets) if delivery else None,
            tuple(environments),
            {name: one.require.signed_by for name, one in environments.items()},
        )


def _delivery(place: Place) -> Delivery | None:
    """The delivery, without its plugins' own keys: an audit needs none of them."""
    path = place.root / DELIVERY_FILE
    if not path.exists() and place.repository is not None:
        return None
    return parse_document(read_text(path), str(path), Delivery) if path.exists() else None


def _app(branch: _Branch, folder: str | None) -> str:
    text = branch.read(f"{folder.rstrip('/')}/app.yaml" if folder else "app.yaml", branch.tip()) or ""
    found = next((line for line in text.splitlines() if line.startswith("app:")), "")
    return found.removeprefix("app:").split("#")[0].strip().strip("'\"")


Required = Literal["signature", "provenance", "gate"]


@dataclass(frozen=True, slots=True)
class _Registries:
    """How images are asked about; arguments of `audit`."""

    open_: OpenRegistry
    verifier: Callable[[], SignatureVerifier] | None


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What is to be proven.

    Arguments:
        wanted: which release.
        environment: where; every environment that knows it if None.
        required: what must be proven, not only not be wrong.
        record: the release record of the pipeline, for the gate's verdict; None if it is not at hand.
        offline: ask no registry.
    """

    wanted: Wanted
    environment: str | None = None
    required: tuple[Required, ...] = ()
    record: Release | None = None
    offline: bool = False


def audit(
    scene: Scene,
    request: AuditRequest,
    open_: OpenRegistry | None = None,
    verifier: Callable[[], SignatureVerifier] | None = None,
) -> list[Chain]:
    """Every chain of the release; one with a broken link if the history knows nothing of it.

    Arguments:
        open_: opens a registry by its address; the real ones if None.
        verifier: opens what checks signatures of images, where an environment asks for them.

    Raises:
        UsageError: nothing was ever released, or there is no such environment or release.
        Unreachable, AccessDenied: the IaC repository cannot be read.
    """
    opened = open_ or (lambda address: open_registry(address, scene.root))
    stories = [
        story for book in scene.books(request.environment) if (story := book.find(request.wanted)) is not None
    ]
    if not stories:
        return [_unknown(scene, request)]
    return [
        _chain(scene, request, story, _Registries(opened, verifier)).requiring(request.required)
        for story in stories
    ]


def _unknown(scene: Scene, request: AuditRequest) -> Chain:
    where = request.environment or ", ".join(scene.environments)
    if not request.wanted.digest:
        raise UsageError(
            f"the history of {where} knows of no {request.wanted}"
            if request.wanted != Wanted()
            else f"nothing was released in {where} yet",
            fix="name another environment, release or commit",
        )
    # A digest that runs somewhere and that no commit names is what an audit is there to find.
    checks = (broken(f"a commit brought {request.wanted.digest} into {where}", "none ever did"),)
    return Chain(scene.app, request.environment or "", None, "unknown", (Link("iac", (), checks),))


def _chain(scene: Scene, request: AuditRequest, story: Story, registries: _Registries) -> Chain:
    signatures = scene.branch.archive.signatures([one.id for one in story.moments])
    signers = scene.signers.get(story.environment, ())
    facts = _image_facts(story, None if request.offline else registries, signers)
    links = (
        source_link(story, _source_facts(scene.source, story.source)),
        image_link(story, facts, scene.source.leads_to),
        iac_link(story, signatures),
        gate_link(story, _gate(request.record, story)),
        gray_link(story),
        outcome_link(story),
    )
    return Chain(
        scene.app,
        story.environment,
        story.release,
        outcome_of(story),
        tuple(link for link in links if link is not None),
    )


def _source_facts(source: SourceLog, commit: str) -> SourceFacts:
    if not source.exists:
        return SourceFacts()
    found = source.commit(commit)
    if found is None:
        return SourceFacts(asked=True)
    letter, signer = found.signature
    signature = Signature(_LETTERS.get(letter, Signed.UNKNOWN), signer)
    return SourceFacts(
        asked=True,
        subject=found.subject,
        author=found.author,
        time=found.time,
        on_branch=source.on_branch(commit),
        signature=signature,
    )


def _gate(record: Release | None, story: Story) -> GateResult | None:
    """The gate's part of the record, if the record is this release's."""
    if record is None:
        return None
    source = record.source_in(story.environment)
    if (source.number, source.commit) != (story.release, story.source):
        return None
    part = record.environments.get(story.environment)
    return part.gate if part else None


def _image_facts(
    story: Story, registries: _Registries | None, signers: Sequence[Signer]
) -> Mapping[str, ImageFacts]:
    held = story.moments[0].held
    images = {**held.images, **held.gray} if held else {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda reference: _ask(reference, registries, signers), images.values())
        return dict(zip(images, found, strict=True))


def _ask(text: str, registries: _Registries | None, signers: Sequence[Signer]) -> ImageFacts:
    try:
        reference = ImageReference.parse(text)
    except UsageError:
        return ImageFacts("")
    if registries is None:
        return ImageFacts(reference.digest)
    try:
        registry = registries.open_(reference.address)
        if registry.find(reference.repository, reference.digest) is None:
            return ImageFacts(reference.digest, exists=False)
        with registry.open(reference.repository, reference.digest, manifest=True) as stream:
            while stream.read(_BLOCK):  # verified at its end
                pass
        verifier = registries.verifier() if signers and registries.verifier else None
        known = what_is_known(registry, reference.repository, reference.digest, signers, verifier)
        return ImageFacts(
            reference.digest,
            exists=True,
            provenance=known.provenance,
            signers=tuple(map(str, known.signers)) if verifier else None,
            refusals=known.refusals,
        )
    except Damaged as error:
        return ImageFacts(reference.digest, exists=True, damage=error.problem.message)
    except PipegraftError as error:
        return ImageFacts(reference.digest, problem=error.problem.message)


def delivery_figures(scene: Scene, environment: str | None, since: float | None, until: float) -> Figures:
    """The five figures.

    Arguments:
        environment: its name; the last one that is delivered to if None.
        since: the window's beginning, seconds since the epoch; the history's if None or earlier than that.
        until: its end.

    Raises:
        UsageError: there is no such environment, or nothing happened before the end of the window.
        Unreachable, AccessDenied: the IaC repository cannot be read.
    """
    book = next(scene.books(environment or _last(scene)))
    book.load()
    told = deployments_of(book)
    first = min((one.started for one in told[0]), default=None)
    if first is None or first >= until:
        raise UsageError(
            f"nothing was deployed to {book.environment} before the window ends: {book.path} names no digest",
            fix="name another environment with --env, or a later --until",
        )
    sources = scene.source.times(one.source for one in told[0])
    return figures_of(book.environment, told, sources, max(since or first, first), until)


def _last(scene: Scene) -> str | None:
    names = list(scene.environments)
    return "production" if "production" in names and not scene.order else names[-1] if names else None
