"""The image-build stage: an image for each component, made only when its inputs changed."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from queue import SimpleQueue
from threading import Thread
from typing import Annotated

from pydantic import Field

from pipegraft.core.delivery import Delivery
from pipegraft.core.errors import BuildFailed, DeliveryRefused, OutsideError, PipegraftError, UsageError
from pipegraft.core.model import Name
from pipegraft.core.plugins import hookimpl
from pipegraft.core.release import BuiltImage
from pipegraft.core.stage import Requirement, Stage, StageContext, StageInputs
from pipegraft.images.attestations import BuildFacts, attest, sign
from pipegraft.images.build_request import BuildSettings, PreparedBuild, prepare_build
from pipegraft.images.documents import INDEX, image_index
from pipegraft.images.hooks import IMAGE_BUILDER, BuildRequest, FoundPackages, ImageBuilder
from pipegraft.images.ports import REGISTRY, REGISTRY_AT, SIGNING_KEY, Descriptor, ImageToSign, Registry
from pipegraft.images.reference import ImageReference
from pipegraft.images.signatures import signed_by_key

__all__ = ["STAGE", "ImageBuildInputs", "pipegraft_stages"]

_LOG_TAIL = 30
_ESCAPE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])"
"""ECMA-48: a control sequence, an operating system command as xterm ends it, or another escape."""
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
"""A name that registries take for an image (distribution-spec, "Pulling manifests")."""


class ImageBuildInputs(StageInputs):
    """What a pipeline may set."""

    ci_variables = ("tags",)

    components: tuple[Name, ...] = ()
    """Components to build, with those they need; all if empty."""
    jobs: int = Field(default=4, ge=1, le=64)
    """How many components are built at the same time."""
    force: bool = False
    """Build even what the registry has already."""
    tags: tuple[Tag, ...] = ()
    """Further tags for every image, such as the branch."""
    platform: str = Field(default="linux/amd64", pattern=r"^[a-z0-9]+/[a-z0-9]+(/v[0-9]+)?$")
    """Operating system and architecture of the images."""
    resolve_bases: bool = True
    """Ask registries for the digests of base images that a Dockerfile names by tag."""
    attest: bool = True
    """Attach provenance (SLSA v1) and an SBOM (CycloneDX) to every image that is built."""
    sign: bool = True
    """Sign every image that is not signed yet, where delivery.yaml names a key by `sign`."""


def run(context: StageContext, inputs: ImageBuildInputs) -> None:
    """Bring the image of every chosen component into the registry, and record them all at once."""
    order = _order(context.delivery, inputs.components)
    sorter = TopologicalSorter(order)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise UsageError(
            f"components need one another in a circle: {circle}", fix="remove one of the 'needs'"
        ) from error
    images, failures = _build_all(_Worker(context, inputs, order), sorter, inputs.jobs)
    if failures:
        raise _summary(failures, skipped=[name for name in order if name not in images | failures])
    release = context.releases.load()
    context.releases.save(release.model_copy(update={"images": {**release.images, **images}}))


def _order(delivery: Delivery, chosen: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Component → what it needs, for the chosen ones and all that they need."""
    unknown = [name for name in chosen if name not in delivery.components]
    if unknown:
        raise UsageError(
            f"there is no component '{unknown[0]}'; there are: {', '.join(delivery.components)}",
            fix="correct the input 'components'",
        )
    found: dict[str, tuple[str, ...]] = {}
    waiting = deque(chosen or delivery.components)
    while waiting:
        name = waiting.popleft()
        if name not in found:
            component = delivery.components[name]
            base = (component.base,) if component.base in delivery.components else ()
            found[name] = (*component.needs, *base)
            waiting.extend(found[name])
    return found


def _build_all(
    worker: _Worker, sorter: TopologicalSorter[str], jobs: int
) -> tuple[dict[str, BuiltImage], dict[str, PipegraftError]]:
    """Images and failures by component; what needs a failed one is in neither."""
    images: dict[str, BuiltImage] = {}
    failures: dict[str, PipegraftError] = {}
    ready: SimpleQueue[tuple[str, dict[str, BuiltImage]] | None] = SimpleQueue()
    done: SimpleQueue[tuple[str, BuiltImage | BaseException]] = SimpleQueue()
    # Not concurrent.futures, whose import takes as long as asking a registry for ten images.
    threads = [Thread(target=worker.serve, args=(ready, done), name=f"image-build_{n}") for n in range(jobs)]
    running = 0
    try:
        for thread in threads:
            thread.start()
        while True:
            for name in sorter.get_ready():
                ready.put((name, dict(images)))
                running += 1
            if not running:
                return images, failures
            name, outcome = done.get()
            running -= 1
            if isinstance(outcome, BuiltImage):
                images[name] = outcome
                sorter.done(name)
            elif isinstance(outcome, PipegraftError):
                failures[name] = outcome
            else:
                raise outcome
    finally:
        for _ in threads:
            ready.put(None)
        for thread in threads:
            thread.join()


class _Worker:
    """Brings one component's image into the registry; used by several threads."""

    def __init__(
        self, context: StageContext, inputs: ImageBuildInputs, order: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._source = context.releases.load().source
        self._context = context
        self._inputs = inputs
        self._order = order
        self._root = str(context.root.resolve())
        self._registry = context.open(REGISTRY)
        declared = context.delivery.sign
        self._key = (context.open(SIGNING_KEY), declared.scheme) if declared and inputs.sign else None
        self._builders: dict[str, tuple[str, ImageBuilder]] = {
            name: context.open(IMAGE_BUILDER, name) for name in order
        }
        self._settings = BuildSettings(
            context.delivery,
            context.root,
            lambda address: context.open(REGISTRY_AT, address),
            (f"commit-{self._source.commit[:12]}", *inputs.tags),
            inputs.platform,
            inputs.resolve_bases,
        )

    def serve(
        self,
        ready: SimpleQueue[tuple[str, dict[str, BuiltImage]] | None],
        done: SimpleQueue[tuple[str, BuiltImage | BaseException]],
    ) -> None:
        """Bring one component after another until None comes."""
        while (asked := ready.get()) is not None:
            try:
                done.put((asked[0], self.bring(*asked)))
            except BaseException as error:  # noqa: BLE001 - raised again where all of it is awaited
                done.put((asked[0], error))

    def bring(self, name: str, images: Mapping[str, BuiltImage]) -> BuiltImage:
        """Find or build one component's image.

        Arguments:
            images: those that are done, at least the ones it needs.
        """
        started = time.monotonic()
        log: deque[str] = deque(maxlen=_LOG_TAIL)
        try:
            image = self._find_or_build(name, images, log)
        except PipegraftError as error:
            self._context.report("failed", str(error).splitlines()[0], name, log=list(log))
            if log and isinstance(error, DeliveryRefused):
                tail = "\n".join(f"    | {line}" for line in log)
                raise BuildFailed(f"{error.problem.message}\n{tail}", fix=error.problem.fix) from error
            raise
        self._context.report(
            "built" if image.built else "present",
            f"{'built' if image.built else 'unchanged'}, {image.digest[:19]}",
            name,
            digest=image.digest,
            input_hash=image.input_hash,
            seconds=round(time.monotonic() - started, 3),
        )
        return image

    def _find_or_build(self, name: str, images: Mapping[str, BuiltImage], log: deque[str]) -> BuiltImage:
        builder_name, builder = self._builders[name]
        self._context.report("progress", "reading its folder", name)
        upstream = {need: images[need] for need in self._order[name]}
        prepared = prepare_build(self._settings, name, builder_name, builder, upstream)
        request = prepared.request
        for note in prepared.notes:
            self._context.report("warning", note, name)
        tag = request.input_hash
        found = None if self._inputs.force else self._registry.find(request.repository, tag)
        if found is None:
            self._context.report("progress", f"building with {builder_name}", name)

            def note_line(printed: str) -> None:
                line = _plain_line(printed)
                log.append(line)
                self._context.report("progress", line, name)

            started = self._context.clock.now()
            seen: list[FoundPackages] = []
            asked = replace(request, note_packages=seen.append if self._inputs.attest else None)
            image = self._build(builder, asked, prepared.platforms, note_line)
            statements: tuple[bytes, ...] = ()
            if self._inputs.attest:
                statements = self._attest(image, prepared, f"{builder_name}:{builder.version}", started, seen)
            self._sign(image, request, statements)
            _tag_again(self._registry, request.repository, image, (tag,))
        else:
            image = found
            self._sign_found(image, request)
            _tag_again(self._registry, request.repository, image, self._inputs.tags)
        return BuiltImage(
            reference=self._reference(request.repository, image),
            digest=image.digest,
            input_hash=tag,
            builder=builder_name,
            built=found is None,
        )

    def _build(
        self,
        builder: ImageBuilder,
        request: BuildRequest,
        platforms: Sequence[str],
        log: Callable[[str], None],
    ) -> Descriptor:
        """The image of one platform, or the index of several."""
        if len(platforms) == 1:
            return builder.build(request, self._registry, log)
        images: dict[str, Descriptor] = {}
        for platform in platforms:
            log(f"for {platform}")
            tag = f"{request.input_hash}-{platform.replace('/', '-')}"
            images[platform] = builder.build(
                replace(request, platform=platform, tags=(tag,)), self._registry, log
            )
        index = image_index(images)
        for name in request.tags:
            self._registry.push_manifest(request.repository, name, index.content, INDEX)
        return index.descriptor

    def _reference(self, repository: str, image: Descriptor) -> str:
        reference = ImageReference(self._context.delivery.registry, repository, image.digest)
        return str(reference.rooted(self._root))

    def _sign(self, image: Descriptor, request: BuildRequest, statements: Sequence[bytes]) -> None:
        """Have every plugin sign a new image, and sign it with the key that the delivery names."""
        whole = self._to_sign(image, request)
        self._context.ask("pipegraft_sign_image", image=whole)
        if self._key is not None:
            sign(whole, statements, *self._key)

    def _sign_found(self, image: Descriptor, request: BuildRequest) -> None:
        """Sign an image that is there from before the delivery named a key, or from a run without it."""
        if self._key is None:
            return
        key, scheme = self._key
        if not signed_by_key(self._registry, request.repository, image.digest, key):
            self._context.report("progress", "signing it", request.component)
            sign(self._to_sign(image, request), (), key, scheme)

    def _to_sign(self, image: Descriptor, request: BuildRequest) -> ImageToSign:
        return ImageToSign(
            self._context.delivery.app,
            request.component,
            self._reference(request.repository, image),
            image,
            self._registry,
            request.repository,
            self._source.commit,
        )

    def _attest(
        self,
        image: Descriptor,
        prepared: PreparedBuild,
        builder: str,
        started: float,
        seen: Sequence[FoundPackages],
    ) -> tuple[bytes, ...]:
        facts = BuildFacts(
            image=image,
            request=prepared.request,
            builder=builder,
            commit=self._source.commit,
            repository=self._source.repository,
            pipeline=self._source.pipeline,
            started=started,
            finished=self._context.clock.now(),
            dependencies=prepared.dependencies,
            packages=_together(seen),
        )
        return attest(self._registry, facts)


def _together(seen: Sequence[FoundPackages]) -> FoundPackages:
    """What was found in the images of several platforms."""
    if not seen:
        return FoundPackages()
    packages = {package for found in seen for package in found.packages}
    return replace(seen[0], packages=tuple(sorted(packages)))


def _tag_again(registry: Registry, repository: str, image: Descriptor, tags: tuple[str, ...]) -> None:
    if not tags:
        return
    with registry.open(repository, image.digest, manifest=True) as stream:
        manifest = stream.read()
    for tag in tags:
        registry.push_manifest(repository, tag, manifest, image.media_type)


def _plain_line(line: str) -> str:
    """A line as a terminal would show it, without what would move, colour or otherwise steer the terminal."""
    shown = line.rstrip("\r").rpartition("\r")[2]
    return re.sub(f"{_ESCAPE}|{_CONTROL}", "", shown)


def _summary(failures: Mapping[str, PipegraftError], skipped: list[str]) -> PipegraftError:
    """One error for all: a refusal outweighs wrong usage, and that an outside system that may recover."""
    problems = [(name, problem) for name, error in failures.items() for problem in error.problems]
    lines = [f"{name}: {replace(problem, fix='')}" for name, problem in problems]
    lines += [f"{name}: not built, it needs one that failed" for name in skipped]
    message = f"{len(failures)} of the components failed\n" + "\n".join(lines)
    fix = "; ".join(dict.fromkeys(problem.fix for _, problem in problems if problem.fix))
    for kind in (DeliveryRefused, UsageError):
        if any(isinstance(error, kind) for error in failures.values()):
            return (BuildFailed if kind is DeliveryRefused else UsageError)(message, fix=fix)
    first = next(iter(failures.values()))
    return type(first)(message, fix=fix) if isinstance(first, OutsideError) else first


STAGE = Stage(
    name="image-build",
    summary="Builds an image for each component whose inputs changed.",
    run=run,
    inputs=ImageBuildInputs,
    scope="app",
    uses_engine=True,
    requires=(
        Requirement("PIPEGRAFT_REGISTRY", "names the host that user and password below are for"),
        Requirement("PIPEGRAFT_REGISTRY_USER", "logs in to it, unless a docker configuration does"),
        Requirement("PIPEGRAFT_REGISTRY_PASSWORD", "goes with the user", secret=True),
    ),
    description="""\
Each component is an image of its own. Before anything is built, everything the image follows from
(paths, modes, links and contents of its folder, Dockerfile, arguments, base images, builder, images it
needs) is hashed into a tag `ih-…`, and the registry is asked for it: what is there is not built.

Components are built in parallel in the order of their `needs`. When one fails, those that need it are
left out, the others finish, and the end of the failed log is shown. Nothing is recorded then; what was
built is found the next time.

The images go into the release record by digest. A component without a Dockerfile is packed as it is:
an `in-process` component at the root of its image, any other below `/app`, where its `command` runs.
Its `base` is an image pinned by digest, or another component.

What is built gets two artifacts that refer to it: provenance (an in-toto statement, SLSA v1) and an SBOM
(CycloneDX). The image itself holds neither time nor commit, so its digest follows from its content.
""",
)


@hookimpl
def pipegraft_stages() -> Iterable[Stage]:
    """The stage."""
    yield STAGE
