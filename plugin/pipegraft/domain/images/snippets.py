"""How a component's image gets into a pod, as the piece of a manifest that does it."""

from __future__ import annotations

from typing import Any

from pipegraft.model.delivery import Component

__all__ = ["hot_upgrade", "image_volume", "init_container", "sidecar", "snippet"]

_COPY_TO = "/pipegraft/content"


def snippet(name: str, component: Component, reference: str) -> dict[str, Any]:
    """The piece of a pod's spec for a component, by its intimacy.

    Arguments:
        name: of the component.
        reference: its image, pinned by digest.
    """
    if component.intimacy == "in-process" and component.mount:
        if component.base:
            return init_container(name, reference, component.mount)
        return image_volume(name, reference, component.mount)
    if component.intimacy == "ipc":
        return sidecar(name, reference)
    return {"containers": [{"name": name, "image": reference}]}


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
