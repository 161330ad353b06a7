"""The images of a release: the piece of a manifest that brings each in, and a pointer for later jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipegraft.core.adapters.files import RECORD, FileReleaseStore, write_atomically
from pipegraft.core.delivery import Component
from pipegraft.core.errors import UsageError
from pipegraft.core.release import Release
from pipegraft.core.stage import Project

__all__ = [
    "WAYS",
    "hot_upgrade",
    "image_volume",
    "init_container",
    "read_release",
    "release_dotenv",
    "show_snippets",
    "sidecar",
    "snippet",
    "write_dotenv",
]

WAYS = ("image-volume", "init-container", "container", "native-sidecar", "hot-upgrade")
"""How an image can get into a pod; `container` is a sidecar where another container is the main one."""

_COPY_TO = "/pipegraft/content"


def snippet(
    app: str, name: str, component: Component, images: Mapping[str, str], way: str | None = None
) -> dict[str, Any]:
    """The piece of a manifest that brings a component in.

    Arguments:
        app: name of the application.
        name: of the component.
        images: component → its image, pinned by digest.
        way: one of `WAYS`; by the component's declaration if None.

    Raises:
        UsageError: this component cannot get in that way.
    """
    reference = images[name]
    chosen = way or _natural(component)
    if chosen in ("image-volume", "init-container"):
        if component.mount is None:
            raise _impossible(name, chosen, "it has no 'mount'", "declare it in-process, with a 'mount'")
        if chosen == "image-volume":
            return image_volume(name, reference, component.mount)
        if component.base is None:
            raise _impossible(name, chosen, "its image has no cp", "give it a 'base' that has")
        return init_container(name, reference, component.mount)
    if chosen == "hot-upgrade":
        if component.hot_upgrade is None:
            raise _impossible(
                name, chosen, "no empty image is declared", "name one as 'hot-upgrade' in delivery.yaml"
            )
        return hot_upgrade(app, name, reference, _empty_image(name, component.hot_upgrade, images))
    return sidecar(name, reference, native=chosen == "native-sidecar")


def _natural(component: Component) -> str:
    if component.mount:
        return "init-container" if component.base else "image-volume"
    return "hot-upgrade" if component.hot_upgrade else "container"


def _empty_image(name: str, declared: str, images: Mapping[str, str]) -> str:
    if "@" in declared:
        return declared
    if declared not in images:
        raise _impossible(name, "hot-upgrade", f"the release has no image of '{declared}'", "build it too")
    return images[declared]


def _impossible(name: str, way: str, why: str, fix: str) -> UsageError:
    return UsageError(f"component '{name}' cannot be shown as {way}: {why}", fix=fix)


def image_volume(name: str, reference: str, mount: str) -> dict[str, Any]:
    """The image mounted read-only (Kubernetes 1.33 and later), its root at `mount` of the main container."""
    return {
        "volumes": [{"name": name, "image": {"reference": reference, "pullPolicy": "IfNotPresent"}}],
        "containers": [{"volumeMounts": [{"name": name, "mountPath": mount, "readOnly": True}]}],
    }


def init_container(name: str, reference: str, mount: str) -> dict[str, Any]:
    """The image run before the main container to copy its content; it must have ``cp``."""
    return {
        "volumes": [{"name": name, "emptyDir": {}}],
        "initContainers": [
            {
                "name": name,
                "image": reference,
                "command": ["cp", "-a", f"{mount}/.", _COPY_TO],
                "volumeMounts": [{"name": name, "mountPath": _COPY_TO}],
            }
        ],
        "containers": [{"volumeMounts": [{"name": name, "mountPath": mount, "readOnly": True}]}],
    }


def sidecar(name: str, reference: str, *, native: bool = False) -> dict[str, Any]:
    """The image beside the main container.

    Arguments:
        native: as an init container that keeps running (Kubernetes 1.29 and later): it starts before the
            main container and ends after it, but OpenKruise cannot update it in place.
    """
    if native:
        return {"initContainers": [{"name": name, "image": reference, "restartPolicy": "Always"}]}
    return {"containers": [{"name": name, "image": reference}]}


def hot_upgrade(app: str, name: str, reference: str, empty: str) -> dict[str, Any]:
    """An OpenKruise SidecarSet that updates a sidecar without a break (openkruise.io, SidecarSet).

    Two containers stand in the pod; one runs `reference`, the other waits on `empty`, and they change
    places with each update.

    Arguments:
        app: value of the pods' label ``app``.
        empty: the image that waits, pinned by digest.
    """
    container = {
        "name": name,
        "image": reference,
        "upgradeStrategy": {"upgradeType": "HotUpgrade", "hotUpgradeEmptyImage": empty},
    }
    return {
        "apiVersion": "apps.kruise.io/v1alpha1",
        "kind": "SidecarSet",
        "metadata": {"name": f"{app}-{name}"},
        "spec": {"selector": {"matchLabels": {"app": app}}, "containers": [container]},
    }


def read_release(project: Project) -> Release:
    """The release record of a project.

    Raises:
        UsageError: there is none.
    """
    return FileReleaseStore(project.root / RECORD).load()


def show_snippets(
    project: Project, release: Release, components: Sequence[str] = (), way: str | None = None
) -> str:
    """One YAML document for each image: the piece of a manifest that brings it in.

    Arguments:
        components: names; all of the release if empty.
        way: one of `pipegraft.images.usecases.images.WAYS`; each component's own if None.

    Raises:
        UsageError: a component is not in the release, or cannot get in that way.
    """
    images = {name: image.reference for name, image in release.images.items()}
    declared = project.delivery.components
    for name in components:
        if name not in images or name not in declared:
            known = ", ".join(one for one in images if one in declared)
            raise UsageError(f"the release has no component '{name}'; it has: {known or 'none'}")
    pieces: list[dict[str, Any]] = [
        snippet(release.app, name, declared[name], images, way)
        for name in components or images
        if name in declared
    ]
    return yaml.safe_dump_all(pieces, sort_keys=False, explicit_start=True)


def write_dotenv(project: Project, release: Release, path: Path) -> None:
    """Write a pointer to the release record for GitLab's dotenv reports."""
    content = (project.root / RECORD).read_bytes()
    write_atomically(path, release_dotenv(release, RECORD, content).encode())


def release_dotenv(release: Release, path: str, content: bytes) -> str:
    """A pointer to the release record for GitLab's dotenv reports.

    A dotenv file may have 5 KiB and 20 variables (GitLab, "artifacts:reports:dotenv"), less than the images
    of a large application take: so it says where the record is and what it is, and later jobs read that.

    Arguments:
        path: of the record, relative to the repository.
        content: bytes of the record.
    """
    values = {
        "PIPEGRAFT_RELEASE_FILE": path,
        "PIPEGRAFT_RELEASE_SHA256": hashlib.sha256(content).hexdigest(),
        "PIPEGRAFT_RELEASE_NUMBER": str(release.source.number),
        "PIPEGRAFT_RELEASE_COMMIT": release.source.commit,
        "PIPEGRAFT_RELEASE_IMAGES": str(len(release.images)),
        "PIPEGRAFT_RELEASE_BUILT": str(sum(image.built for image in release.images.values())),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
