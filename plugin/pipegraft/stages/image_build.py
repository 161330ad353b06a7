"""The image-build stage: an image for each component, made only when its inputs changed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from pydantic import Field

from pipegraft.actions.build_context import read_context
from pipegraft.domain.images.input_hash import BuildInputs
from pipegraft.domain.images.reference import ImageReference
from pipegraft.errors import BuildFailed, DeliveryRefused, OutsideError, PipegraftError, UsageError
from pipegraft.hookspecs import hookimpl
from pipegraft.model.base import Name
from pipegraft.model.delivery import Component, Delivery
from pipegraft.model.release import BuiltImage
from pipegraft.ports.images import BuildRequest, ImageBuilder
from pipegraft.ports.registry import Registry
from pipegraft.ports.stage import Requirement, Stage, StageContext, StageInputs

__all__ = ["STAGE", "ImageBuildInputs", "pipegraft_stages"]

_APP_FOLDER = "/app"
_LOG_TAIL = 30


class ImageBuildInputs(StageInputs):
    """What a pipeline may set."""

    components: tuple[Name, ...] = ()
    """Components to build, with those they need; all if empty."""
    jobs: int = Field(default=4, ge=1, le=64)
    """How many components are built at the same time."""
    force: bool = False
    """Build even what the registry has already."""
    tags: tuple[str, ...] = ()
    """Further tags for every image, such as the branch."""
    platform: str = Field(default="linux/amd64", pattern=r"^[a-z0-9]+/[a-z0-9]+$")
    """Operating system and architecture of images without a base image."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One component on its way to an image."""

    name: str
    component: Component
    builder_name: str
    builder: ImageBuilder


def run(context: StageContext, inputs: ImageBuildInputs) -> None:
    """Bring the image of every chosen component into the registry, and record them all at once."""
    order = _order(context.delivery, inputs.components)
    tasks = {
        name: _Task(name, context.delivery.components[name], *context.connections.builder(name))
        for name in order
    }
    images, failures = _Run(context, inputs, tasks).all(order)
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
            found[name] = delivery.components[name].needs
            waiting.extend(found[name])
    return found


class _Run:
    """One run over all components."""

    def __init__(self, context: StageContext, inputs: ImageBuildInputs, tasks: Mapping[str, _Task]) -> None:
        self._context = context
        self._inputs = inputs
        self._tasks = tasks
        self._registry = context.connections.registry()

    def all(
        self, order: Mapping[str, tuple[str, ...]]
    ) -> tuple[dict[str, BuiltImage], dict[str, PipegraftError]]:
        """Images and failures by component; what needs a failed one is in neither."""
        images: dict[str, BuiltImage] = {}
        failures: dict[str, PipegraftError] = {}
        sorter = TopologicalSorter(order)
        try:
            sorter.prepare()
        except CycleError as error:
            circle = " → ".join(error.args[1])
            raise UsageError(
                f"components need one another in a circle: {circle}", fix="remove one of the 'needs'"
            ) from error
        running: dict[Future[BuiltImage], str] = {}
        with ThreadPoolExecutor(self._inputs.jobs, thread_name_prefix="image-build") as pool:
            while sorter.is_active():
                for name in sorter.get_ready():
                    upstream = {need: images[need] for need in order[name]}
                    running[pool.submit(self._one, self._tasks[name], upstream)] = name
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    try:
                        images[name] = future.result()
                    except PipegraftError as error:
                        failures[name] = error
                    else:
                        sorter.done(name)
        return images, failures

    def _one(self, task: _Task, upstream: Mapping[str, BuiltImage]) -> BuiltImage:
        started = time.monotonic()
        log: deque[str] = deque(maxlen=_LOG_TAIL)
        try:
            image = self._find_or_build(task, upstream, log)
        except PipegraftError as error:
            self._context.report("failed", str(error).splitlines()[0], task.name, log=list(log))
            if log and isinstance(error, DeliveryRefused):
                tail = "\n".join(f"    | {line}" for line in log)
                raise BuildFailed(f"{error.problem.message}\n{tail}", fix=error.problem.fix) from error
            raise
        seconds = time.monotonic() - started
        self._context.report(
            "built" if image.built else "present",
            f"{'built' if image.built else 'unchanged'}, {image.digest[:19]}",
            task.name,
            digest=image.digest,
            input_hash=image.input_hash,
            seconds=round(seconds, 3),
        )
        return image

    def _find_or_build(self, task: _Task, upstream: Mapping[str, BuiltImage], log: deque[str]) -> BuiltImage:
        self._context.report("progress", "reading its folder", task.name)
        request, tag = self._request(task, upstream)
        found = None if self._inputs.force else self._registry.find(request.repository, tag)
        if found is None:
            self._context.report("progress", f"building with {task.builder_name}", task.name)

            def note(line: str) -> None:
                log.append(line)
                self._context.report("progress", line, task.name)

            digest = task.builder.build(request, self._registry, note).digest
        else:
            digest = found.digest
            _tag_again(self._registry, request.repository, digest, found.media_type, self._inputs.tags)
        reference = ImageReference(self._context.delivery.registry, request.repository, digest)
        return BuiltImage(
            reference=str(reference.rooted(str(self._context.root.resolve()))),
            digest=digest,
            input_hash=tag,
            builder=task.builder_name,
            built=found is None,
        )

    def _request(self, task: _Task, upstream: Mapping[str, BuiltImage]) -> tuple[BuildRequest, str]:
        component = task.component
        folder = self._context.root / component.path
        context = read_context(folder)
        target = "/" if component.intimacy == "in-process" else _APP_FOLDER
        tag = BuildInputs(
            builder=task.builder_name,
            builder_version=task.builder.version,
            entries=context.entries,
            dockerfile=context.dockerfile,
            build_args=component.build_args,
            base=component.base,
            upstream={name: image.digest for name, image in upstream.items()},
            command=component.command,
            target=target,
            platform=self._inputs.platform,
        ).tag()
        commit = self._context.releases.load().source.commit
        request = BuildRequest(
            component=task.name,
            context=folder,
            entries=context.entries,
            repository=self._context.delivery.image_repository(task.name),
            tags=tuple(dict.fromkeys((tag, f"commit-{commit[:12]}", *self._inputs.tags))),
            target=target,
            command=component.command,
            base=component.base,
            build_args={
                **{_image_argument(name): image.reference for name, image in upstream.items()},
                **component.build_args,
            },
            platform=self._inputs.platform,
        )
        return request, tag


def _image_argument(component: str) -> str:
    """Build argument by which a Dockerfile names the image of a component it needs."""
    return f"PIPEGRAFT_IMAGE_{component.upper().replace('-', '_')}"


def _tag_again(
    registry: Registry, repository: str, digest: str, media_type: str, tags: tuple[str, ...]
) -> None:
    if not tags:
        return
    with registry.open(repository, digest, manifest=True) as stream:
        manifest = stream.read()
    for tag in tags:
        registry.push_manifest(repository, tag, manifest, media_type)


def _summary(failures: Mapping[str, PipegraftError], skipped: list[str]) -> PipegraftError:
    """One error for all: a refusal outweighs wrong usage, and that an outside system that may recover."""
    lines = [f"{name}: {error.problem.message}" for name, error in failures.items()]
    lines += [f"{name}: not built, it needs one that failed" for name in skipped]
    message = f"{len(failures)} of the components failed\n" + "\n".join(lines)
    fix = "; ".join(dict.fromkeys(error.problem.fix for error in failures.values() if error.problem.fix))
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
    requires=(
        Requirement("PIPEGRAFT_REGISTRY_USER", "logs in to the registry, unless a docker configuration does"),
        Requirement("PIPEGRAFT_REGISTRY_PASSWORD", "goes with the user", secret=True),
    ),
    description="""\
Each component is an image of its own. Before anything is built, everything the image follows from
(paths, modes, links and contents of its folder, Dockerfile, arguments, base image, builder, images it
needs) is hashed into a tag `ih-…`, and the registry is asked for it: what is there is not built.

Components are built in parallel in the order of their `needs`. When one fails, those that need it are
left out, the others finish, and the end of the failed log is shown. Nothing is recorded then; what was
built is found the next time.

The images go into the release record by digest. A component without a Dockerfile is packed as it is:
an `in-process` component at the root of its image, any other below `/app`, where its `command` runs.
""",
)


@hookimpl
def pipegraft_stages() -> Iterable[Stage]:
    """The stage."""
    yield STAGE
