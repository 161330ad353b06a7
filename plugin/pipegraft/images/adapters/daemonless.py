"""The builders that need no Docker Engine and no rights: BuildKit and buildah.

``buildctl`` asks the BuildKit that ``BUILDKIT_HOST`` names; without one ``buildctl-daemonless.sh``, which the
image ``moby/buildkit:rootless`` has, runs a daemon for as long as the build lasts (moby/buildkit,
docs/rootless.md).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pipegraft.core.errors import BuildFailed, Unreachable, UsageError
from pipegraft.core.plugins import hookimpl
from pipegraft.images.adapters.building import (
    Finished,
    archive_kind,
    common_options,
    dockerfile_missing,
    further_contexts,
    hiding,
    lay_out,
    refuse,
    run_program,
    scanner_image,
    secret_options,
)
from pipegraft.images.adapters.pushing import base_of, push_saved
from pipegraft.images.hooks import DOCKERFILE, BuildRequest, ImageBuilderPlugin
from pipegraft.images.ports import Descriptor, Registry

__all__ = ["BuildahBuilder", "BuildkitBuilder", "buildkit_command", "pipegraft_image_builders"]

_SOCKET = Path("/run/buildkit/buildkitd.sock")
"""Where buildctl looks for a daemon by itself."""
_DAEMONLESS = "buildctl-daemonless.sh"
_AWAY = (
    "could not connect to", "failed to dial", "connection refused", "context deadline exceeded",
    "connection error: desc =",
)  # fmt: skip
_BARRED = (
    "Error during unshare(",
    "[rootlesskit:parent] error: failed",
    "[rootlesskit:child ] error: failed",
)
"""What buildah and rootlesskit say where they may not have a user namespace."""
_TLS = "PIPEGRAFT_BUILDKIT_TLS"
"""Variable that names a folder with certificates and a key, for a daemon behind TLS."""
_CERTIFICATES = (("ca.pem", "ca.crt"), ("cert.pem", "tls.crt"), ("key.pem", "tls.key"))
"""What that folder holds, by either name (buildctl, ``--tlsdir``)."""

_ROOTLESS = {"BUILDKITD_FLAGS": "--oci-worker-no-process-sandbox", "USER": "pipegraft"}
"""What a daemon of ours takes to work in a container without rights; variables of the job stand over it.

It keeps its files below the home of a `USER` that is not root (moby/buildkit, docs/rootless.md).
"""
_INSIDE = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
"""What works within a container without rights; variables of the job that say otherwise stand over it."""


class BuildkitBuilder:
    """Builds by ``buildctl``, and pushes what it built itself."""

    version = "2"

    def accepts(self, context: Path, dockerfile: str = DOCKERFILE) -> str | None:
        missing = dockerfile_missing(context, dockerfile)
        if missing:
            return missing
        command = buildkit_command()
        return command if isinstance(command, str) else None

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        refuse(request, self.accepts(request.context, request.dockerfile))
        base = base_of(request, log)
        told = hiding(request, log)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            archive = folder / "image.tar"
            command = [*buildkit_command(), "build", *_buildkit_options(request, folder, archive)]
            done = run_program(command, told, variables=_unsaid(_ROOTLESS) if os.geteuid() else None)
            _check_namespaces("buildctl", done)
            unmounted = done.said("failed to mount /tmp/buildkit-mount")
            if done.status and unmounted and command[0] == _DAEMONLESS:
                raise UsageError(
                    f"the daemon of {_DAEMONLESS} may not mount anything here: {unmounted}",
                    fix="let the job's image name a user who is not root: root's daemon needs 'privileged'",
                )
            away = done.said(*_AWAY)
            if done.status and away and "failed to solve: " in away and "Unavailable: " not in away:
                raise Unreachable(away, fix="what the build fetches from did not answer: run this again")
            if done.status and away and command[0] == _DAEMONLESS:
                raise UsageError(
                    f"the daemon of {_DAEMONLESS} did not come up: {done.said('buildkitd: ') or away}",
                    fix="mend that in the job's image; docs/images.md says what each set-up needs",
                )
            if done.status and away:
                fix = f"start buildkitd, or correct BUILDKIT_HOST; for one behind TLS, {_TLS}"
                raise Unreachable(away, fix=fix)
            if done.status:
                raise BuildFailed(f"buildctl ended with exit code {done.status}: {done.last}")
            return push_saved(archive, request, registry, base, log)


def buildkit_command() -> list[str] | str:
    """How BuildKit is asked on this machine; a clause that says why not where it cannot be."""
    host = os.environ.get("BUILDKIT_HOST")
    if host or _SOCKET.exists():
        if shutil.which("buildctl") is None:
            return "buildctl is not installed"
        folder = os.environ.get(_TLS)
        for names in _CERTIFICATES if folder else ():
            if not any(Path(folder or "", name).is_file() for name in names):
                return f"{_TLS}: '{folder}' holds neither {' nor '.join(names)}"
        return ["buildctl", *([f"--tlsdir={folder}"] if folder else [])]
    if shutil.which(_DAEMONLESS):
        return [_DAEMONLESS]
    return f"BUILDKIT_HOST is not set and {_DAEMONLESS} is not installed"


def _unsaid(variables: Mapping[str, str]) -> dict[str, str]:
    """Those variables that the job does not have."""
    return {name: value for name, value in variables.items() if name not in os.environ}


def _buildkit_options(request: BuildRequest, folder: Path, archive: Path) -> list[str]:
    context, apart = lay_out(request, folder)
    options = [
        "--progress=plain",
        "--frontend=dockerfile.v0",
        f"--local=context={context}",
        f"--local=dockerfile={apart}",
        f"--opt=filename={request.dockerfile}",
        f"--opt=platform={request.platform}",
        # The same inputs make the same image on any day (moby/buildkit, docs/build-repro.md).
        "--opt=build-arg:SOURCE_DATE_EPOCH=0",
        f"--output=type={archive_kind(request)},dest={archive},rewrite-timestamp=true",
        *secret_options(request),
    ]
    if request.stage:
        options.append(f"--opt=target={request.stage}")
    if image := scanner_image(request):
        options.append(f"--opt=attest:sbom=generator={image}")
    options += [f"--opt=build-arg:{name}={value}" for name, value in request.build_args.items()]
    options += [f"--import-cache={place}" for place in request.extras.cache_from]
    options += [f"--export-cache={place}" for place in request.extras.cache_to]
    for name, place in further_contexts(request, folder):
        if place.startswith("docker-image://"):
            options.append(f"--opt=context:{name}={place}")
        else:
            held = Path(place).name
            options += [f"--local={held}={place}", f"--opt=context:{name}=local:{held}"]
    return options


def _check_namespaces(program: str, done: Finished) -> None:
    """Tell a container, or a kernel, that bars rootless builds from a build that failed.

    Raises:
        UsageError: it does.
    """
    barred = done.said(*_BARRED) if done.status else ""
    if barred:
        raise UsageError(
            f"{program} may not have a user namespace here, without which it cannot build: {barred}",
            fix="let the runner set security_opt to seccomp=unconfined and apparmor=unconfined, which is not "
            "'privileged', or take another of the set-ups of docs/images.md",
        )


class BuildahBuilder:
    """Builds by ``buildah build``, and pushes what it built itself."""

    version = "2"

    def accepts(self, context: Path, dockerfile: str = DOCKERFILE) -> str | None:
        missing = dockerfile_missing(context, dockerfile)
        return missing or (None if shutil.which("buildah") else "buildah is not installed")

    def build(self, request: BuildRequest, registry: Registry, log: Callable[[str], None]) -> Descriptor:
        refuse(request, self.accepts(request.context, request.dockerfile))
        base = base_of(request, log)
        told = hiding(request, log)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            archive, identity = folder / "image.tar", folder / "image-id"
            _buildah(["build", f"--iidfile={identity}", *_buildah_options(request, folder)], told)
            image = identity.read_text().strip()
            _buildah(["push", "--quiet", image, f"docker-archive:{archive}"], told)
            _buildah(["rmi", image], told)
            return push_saved(archive, request, registry, base, log)


def _buildah_options(request: BuildRequest, folder: Path) -> list[str]:
    options, context = common_options(request, folder)
    nothing_more = folder / "nothing-more"
    nothing_more.touch()
    # The same inputs make the same image on any day.
    options += [f"--ignorefile={nothing_more}", "--format=oci", "--timestamp=0"]
    caches = {"from": request.extras.cache_from, "to": request.extras.cache_to}
    for direction, places in caches.items():
        options += ["--layers"] * bool(places)
        options += [f"--cache-{direction}={_repository(request, place)}" for place in places]
    return [*options, str(context)]


def _repository(request: BuildRequest, place: str) -> str:
    """The repository that buildah keeps a cache in, of what is written as for docker.

    Raises:
        UsageError: it names no registry.
    """
    parts = dict(part.partition("=")[::2] for part in place.split(","))
    if parts.get("type") != "registry" or not parts.get("ref"):
        raise UsageError(
            f"component '{request.component}': expected a cache as type=registry,ref=… for buildah, "
            f"found '{place}'",
            fix="name a registry, or another builder",
        )
    head, colon, tag = parts["ref"].rpartition(":")
    return head if colon and "/" not in tag else parts["ref"]


def _buildah(arguments: list[str], log: Callable[[str], str]) -> None:
    done = run_program(["buildah", *arguments], log, variables=_unsaid(_INSIDE))
    _check_namespaces("buildah", done)
    if done.status:
        raise BuildFailed(f"buildah {arguments[0]} ended with exit code {done.status}: {done.last}")


@hookimpl
def pipegraft_image_builders() -> Iterable[ImageBuilderPlugin]:
    supports = frozenset({"secrets", "cache", "contexts"})
    yield ImageBuilderPlugin("buildkit", BuildkitBuilder, priority=4, supports=supports)
    yield ImageBuilderPlugin("buildah", BuildahBuilder, priority=3, supports=supports)
