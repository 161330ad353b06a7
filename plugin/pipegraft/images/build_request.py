"""From a component as declared to a build request and the tag that says what its image follows from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from pipegraft.core.delivery import BuildCache, Component, Delivery
from pipegraft.core.errors import AccessDenied, Unreachable, UsageError
from pipegraft.core.release import BuiltImage
from pipegraft.images.build_context import (
    BuildContext,
    Taken,
    check_content,
    check_context,
    read_context,
    taken_by,
)
from pipegraft.images.dockerfile import read_dockerfile
from pipegraft.images.documents import canonical_json
from pipegraft.images.hooks import (
    DOCKERFILE,
    BaseImage,
    BuildExtras,
    BuildRequest,
    ContextEntry,
    ExtraContext,
    ImageBuilder,
)
from pipegraft.images.ports import Registry
from pipegraft.images.reference import ImageReference, mount_source, split_name

__all__ = ["BuildInputs", "BuildSettings", "PreparedBuild", "build_extras", "image_argument", "prepare_build"]

_SCHEME = 1

_APP_FOLDER = "/app"


@dataclass(frozen=True, slots=True)
class BuildInputs:
    """What an image follows from; no time, commit, machine or folder is among it.

    Arguments:
        builder: name of the builder.
        builder_version: its version.
        entries: the build context, ignore rules applied.
        dockerfile: content of the Dockerfile, None without one; it counts even where it is ignored.
        build_args: arguments of the build.
        bases: image that it is built on, as it is named → digest; empty where nobody knows it.
        upstream: component that this one needs → digest of its image.
        command: what the image runs.
        secrets: ids of build secrets; never what they hold.
        target: where in the image the context goes.
        platform: ``os/architecture``; several with commas between.
        dockerfile_path: where in the context the Dockerfile is, empty for the usual place.
        stage: stage of the Dockerfile that is built, empty for the last.
        contexts: further contexts by name; an image stands among `bases`.
    """

    builder: str
    builder_version: str
    entries: Sequence[ContextEntry]
    dockerfile: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    secrets: Sequence[str] = ()
    target: str = "/"
    platform: str = "linux/amd64"
    dockerfile_path: str = ""
    stage: str = ""
    contexts: Mapping[str, Sequence[ContextEntry]] = field(default_factory=dict)

    def tag(self) -> str:
        """``ih-`` and 64 hex digits: the same inputs, the same tag, on any machine."""
        described = {
            **{name: getattr(self, name) for name in _PLAIN},
            "scheme": _SCHEME,
            "entries": _shown(self.entries),
            "build_args": dict(self.build_args),
            "bases": dict(self.bases),
            "upstream": dict(self.upstream),
            "command": list(self.command),
            **self._rarely_set(),
        }
        return f"ih-{hashlib.sha256(canonical_json(described)).hexdigest()}"

    def _rarely_set(self) -> dict[str, object]:
        """What is left out where it is not set: it came later, and unchanged images keep their tag."""
        described: dict[str, object] = {
            "secrets": sorted(self.secrets),
            "dockerfile_path": self.dockerfile_path,
            "stage": self.stage,
            "contexts": {name: _shown(entries) for name, entries in self.contexts.items()},
        }
        return {name: value for name, value in described.items() if value}


def _shown(entries: Sequence[ContextEntry]) -> list[dict[str, object]]:
    return [dict(zip(_ENTRY, entry.facts, strict=True)) for entry in sorted(entries)]


_ENTRY = tuple(each.name for each in fields(ContextEntry))
_PLAIN = ("builder", "builder_version", "dockerfile", "target", "platform")


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """What is the same for every component of a run.

    Arguments:
        delivery: what is delivered.
        root: the source repository's folder.
        registry: opens a registry by its address.
        tags: names for every image, besides its input hash.
        platform: ``os/architecture`` of components that name none.
        resolve_bases: whether registries are asked for the digests of base images named by tag.
    """

    delivery: Delivery
    root: Path
    registry: Callable[[str], Registry]
    tags: tuple[str, ...] = ()
    platform: str = "linux/amd64"
    resolve_bases: bool = True


@dataclass(frozen=True, slots=True)
class PreparedBuild:
    """A component, ready to be looked up or built.

    Arguments:
        request: what the builder gets.
        platforms: what it is built for, one image each.
        dependencies: image or component that it is built from → digest; empty where nobody knows it.
        notes: what a careful person should know, one clause each.
    """

    request: BuildRequest
    platforms: tuple[str, ...]
    dependencies: Mapping[str, str]
    notes: tuple[str, ...] = ()


def prepare_build(
    settings: BuildSettings,
    name: str,
    builder_name: str,
    builder: ImageBuilder,
    upstream: Mapping[str, BuiltImage],
) -> PreparedBuild:
    """Read a component's folder and what it is built on.

    Arguments:
        upstream: images of the components that this one needs.

    Raises:
        UsageError: the folder or the declaration cannot be used.
        OutsideError: a registry could not say what a base image is.
    """
    component = settings.delivery.components[name]
    folder = _inside(settings.root, component.build_folder, f"component '{name}'")
    name_of_dockerfile = component.dockerfile or DOCKERFILE
    context = read_context(folder, name_of_dockerfile)
    by_dockerfile = context.dockerfile if builder_name != "layer" else None
    lacking = check_context(
        name, component, folder, context, taken_by(by_dockerfile) if by_dockerfile else Taken()
    )
    arguments = {image_argument(need): image.reference for need, image in upstream.items()}
    arguments |= component.build_args
    platforms = tuple(sorted(set(component.platforms or (settings.platform,))))
    bases, base, notes = _bases(settings, name, context, arguments, upstream, platforms=platforms)
    digests = {need: image.digest for need, image in upstream.items()}
    contexts, unsure = _further_contexts(settings, name, bases, context.dockerfile or "")
    target = _target(component)
    tag = BuildInputs(
        builder=builder_name,
        builder_version=builder.version,
        entries=context.entries,
        dockerfile=context.dockerfile,
        build_args=component.build_args,
        bases=bases,
        upstream=digests,
        command=component.command,
        secrets=tuple(component.secrets),
        target=target,
        platform=",".join(platforms),
        dockerfile_path=component.dockerfile or "",
        stage=component.target or "",
        contexts={name: extra.entries for name, extra in contexts.items() if extra.folder},
    ).tag()
    request = BuildRequest(
        component=name,
        context=folder,
        entries=context.entries,
        repository=settings.delivery.image_repository(name),
        tags=settings.tags,
        target=target,
        command=component.command,
        base=base,
        build_args=arguments,
        platform=platforms[0],
        input_hash=tag,
        extras=replace(build_extras(component, settings.root), contexts=contexts),
        dockerfile=name_of_dockerfile,
        stage=component.target or "",
    )
    return PreparedBuild(request, platforms, {**bases, **digests}, (*notes, *lacking, *unsure))


def _further_contexts(
    settings: BuildSettings, name: str, bases: dict[str, str], dockerfile: str
) -> tuple[dict[str, ExtraContext], list[str]]:
    """Further contexts by name, and what lacks; the digests of images among them are noted in `bases`."""
    found: dict[str, ExtraContext] = {}
    notes: list[str] = []
    for called, place in settings.delivery.components[name].additional_contexts.items():
        scheme, separator, image = place.partition("://")
        if separator and scheme != "docker-image":
            raise UsageError(
                f"component '{name}': expected the context '{called}' to be a folder or docker-image://…,"
                f" found '{place}'",
                fix="fetch it before the build and name its folder",
            )
        if not separator:
            folder = _inside(settings.root, place, f"component '{name}': the context '{called}'")
            if not folder.is_dir():
                raise UsageError(
                    f"component '{name}': expected the context '{called}' at {folder}, found no folder",
                    fix="correct 'additional-contexts'; folders are relative to the repository",
                )
            entries = read_context(folder).entries
            taken = taken_by(dockerfile, called)
            notes += check_content(f"component '{name}': the context '{called}'", folder, entries, taken)
            found[called] = ExtraContext(folder, entries)
            continue
        base = _resolve(settings, image)
        bases[image] = base.digest if base else ""
        address, repository, _ = split_name(image)
        pinned = f"{address}/{repository}@{base.digest}" if base else image
        found[called] = ExtraContext(image=pinned)
    return found, notes


def _inside(root: Path, path: str, what: str) -> Path:
    """A folder of the source repository.

    Raises:
        UsageError: symbolic links lead out of it: what is elsewhere on this machine is not ours to pack.
    """
    folder = root / path
    if not folder.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"{what}: expected a folder of the repository at {folder}, found a link to {folder.resolve()}",
            fix="put the folder itself into the repository",
        )
    return folder


def build_extras(component: Component, root: Path) -> BuildExtras:
    """What a component declares that only some builders can use."""
    cache = component.cache or BuildCache()
    secrets = {name: secret.env or root / (secret.file or "") for name, secret in component.secrets.items()}
    contexts = dict.fromkeys(component.additional_contexts, ExtraContext())
    return BuildExtras(secrets, cache.load, cache.save, contexts)


def _target(component: Component) -> str:
    """Where in the image the folder goes.

    An image volume shows an image from its root, so a component that is mounted has its content there.
    On a base image it is started instead, to copy its content out, which lies apart from the base's.
    """
    if component.intimacy != "in-process":
        return _APP_FOLDER
    return component.mount or "/" if component.base else "/"


def image_argument(component: str) -> str:
    """Build argument by which a Dockerfile names the image of a component it needs."""
    return f"PIPEGRAFT_IMAGE_{component.upper().replace('-', '_')}"


def _bases(
    settings: BuildSettings,
    name: str,
    context: BuildContext,
    arguments: Mapping[str, str],
    upstream: Mapping[str, BuiltImage],
    *,
    platforms: tuple[str, ...],
) -> tuple[dict[str, str], BaseImage | None, tuple[str, ...]]:
    """Digests of all images it is built on, the one below the first platform's last layer, and what lacks."""
    component = settings.delivery.components[name]
    if context.dockerfile is None:
        base = _declared_base(settings, component, upstream)
        return ({component.base or "": base.digest} if base else {}), base, ()
    if component.base is not None:
        raise UsageError(
            f"component '{name}' has a Dockerfile and a 'base'", fix="name the base image in the Dockerfile"
        )
    files = [
        read_dockerfile(
            context.dockerfile,
            arguments,
            stage=component.target or "",
            platform=platform,
            contexts=[called.lower().removesuffix(":latest") for called in component.additional_contexts],
        )
        for platform in platforms
    ]
    found = {image: _resolve(settings, image) for file in files for image in file.images}
    notes = tuple(
        f"base image '{image}' is not pinned and its registry does not show it: a newer one goes unnoticed"
        " (pin it by digest, or set 'resolve-bases' to false)"
        for image, base in found.items()
        if base is None
    )
    digests = {image: base.digest if base else "" for image, base in found.items()}
    return digests, found.get(files[0].final or ""), notes


def _declared_base(
    settings: BuildSettings, component: Component, upstream: Mapping[str, BuiltImage]
) -> BaseImage | None:
    if component.base is None:
        return None
    built = upstream.get(component.base)
    if built is None and not set("/.:@") & set(component.base):
        known = ", ".join(settings.delivery.components)
        raise UsageError(
            f"expected an image pinned by digest or a component as 'base', found '{component.base}'",
            fix=f"pin it (name@sha256:…), or name one of the components: {known}",
        )
    reference = ImageReference.parse(built.reference if built else component.base)
    return _base(settings, reference)


def _resolve(settings: BuildSettings, image: str) -> BaseImage | None:
    if "$" in image:
        return None  # more than we can expand
    address, repository, reference = split_name(image)
    if not reference.startswith("sha256:"):
        if not settings.resolve_bases:
            return None
        try:
            found = settings.registry(address).find(repository, reference)
        except (AccessDenied, Unreachable):  # Docker Hub refuses access to what it does not have
            return None
        if found is None:
            return None
        reference = found.digest
    return _base(settings, ImageReference(address, repository, reference))


def _base(settings: BuildSettings, reference: ImageReference) -> BaseImage:
    target = ImageReference(settings.delivery.registry, "", "").rooted(str(settings.root.resolve()))
    reference = reference.rooted(str(settings.root.resolve()))
    return BaseImage(
        settings.registry(reference.address),
        reference.repository,
        reference.digest,
        mount_source(target.address, reference.address, reference.repository),
    )
